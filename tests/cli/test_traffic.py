"""Real traffic through `vswitch run`: on the userspace datapath, as root and in a user namespace, and on the
eBPF one.

The same is shown of the kernel's datapath in `tests/uml/inside/test_daemon.py`.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.sandbox import VSWITCH, Sandbox, answers, wait_until
from tests.flood import FLOOD, FLOWS, RECEIVER, VICTIM

pytestmark = pytest.mark.system


class Net:
    """A switch's namespace with ports p1..pN, and hosts 10.0.0.1..N behind them."""

    def __init__(self, n: int, where: Path, user: bool, datapath: str = "netdev") -> None:
        self.where = where
        self.datapath = datapath
        self.box = Sandbox(user)
        self.hosts = {i: Sandbox(outer=self.box) for i in range(1, n + 1)}
        for i in self.hosts:
            self.plug(i)
        self.process: subprocess.Popen[str] | None = None
        self.ctl = where / "run.ctl"

    def plug(self, i: int) -> None:
        """Make host i's cable. Its address is always 02:00:00:00:00:0i."""
        host = self.hosts[i]
        self.box.sh(f"ip link add p{i} type veth peer name eth0 netns {host.holder.pid}; ip link set p{i} up")
        host.sh(f"ip link set eth0 address 02:00:00:00:00:0{i}; ip link set eth0 up; "
                f"ip addr add 10.0.0.{i}/24 dev eth0")

    def unplug(self, i: int) -> None:
        """Take host i's cable away."""
        self.box.sh(f"ip link del p{i}")

    def start(self, *flows: str) -> None:
        """Run the switch on all ports; AssertionError with its log if it does not come up."""
        words = ["run", "--datapath", self.datapath, "--unixctl", str(self.ctl), "--pidfile", "none"]
        for i in self.hosts:
            words += ["--port", f"p{i}"]
        for flow in flows:
            words += ["--flow", flow]
        log = (self.where / "log").open("w")
        with log:
            self.process = subprocess.Popen(self.box.command(*VSWITCH, *words), stderr=log, text=True)
        process = self.process
        assert wait_until(lambda: answers(self.ctl) or process.poll() is not None), self.log()
        assert process.poll() is None, self.log()

    def log(self) -> str:
        return (self.where / "log").read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the switch; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def appctl(self, *args: str) -> str:
        """What the real ovs-appctl says."""
        ran = self.box.run("ovs-appctl", "-t", str(self.ctl), *args)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def ping(self, a: int, b: int, count: int = 3) -> int:
        """Ping from host a to host b, ten a second; how many answers came."""
        said = self.hosts[a].run("ping", "-c", str(count), "-i", "0.1", "-W", "1", f"10.0.0.{b}").stdout
        m = re.search(r"(\d+) received", said)
        return int(m[1]) if m else 0

    def inside(self, i: int, *args: object) -> subprocess.Popen[str]:
        """Start a program on host i."""
        command = self.hosts[i].command(*map(str, args))
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for host in self.hosts.values():
            host.close()
        self.box.close()


@pytest.fixture(params=["root", "user namespace", "ebpf"])
def net(request: pytest.FixtureRequest, tmp_path: Path, require: Callable[..., None]) -> Iterator[Net]:
    user = request.param == "user namespace"
    require("userns" if user else "root", "netns", "tun")
    datapath = "netdev"
    if request.param == "ebpf":
        require("ebpf")
        datapath = "ebpf"
    require("command:ping", "command:iperf3", "command:ovs-appctl")
    net = Net(4, tmp_path, user, datapath)
    yield net
    net.close()


def test_hosts_ping_and_pass_tcp_through_flows_of_ours(net: Net) -> None:
    net.start()
    assert net.ping(1, 2, 10) == 10
    assert net.ping(2, 3) == 3
    flows = net.appctl("dpctl/dump-flows", "--names")
    way = r"in_port\(p1\),.*eth\(src=02:00:00:00:00:01,dst=02:00:00:00:00:02\),eth_type\(0x0800\)"
    (there,) = re.findall(rf"{way}.* packets:(\d+), .* actions:p2$", flows, re.MULTILINE)
    assert int(there) in (8, 9), flows
    server = net.inside(2, "iperf3", "-s", "-1")
    assert wait_until(lambda: ":5201" in net.hosts[2].run("ss", "-ltn").stdout)
    said = json.loads(net.hosts[1].run("iperf3", "-c", "10.0.0.2", "-t", "2", "-J").stdout)
    server.wait(10)
    rate = said["end"]["sum_received"]["bits_per_second"] / 1e9
    assert rate > 0.2, f"{rate:.2f} Gbit/s"
    m = re.search(r"lookups: hit:(\d+) missed:(\d+) lost:(\d+)", net.appctl("dpctl/show"))
    assert m
    hit, missed, lost = map(int, m.groups())
    assert hit > 100 * missed
    assert lost == 0
    assert net.stop() == 0, net.log()


def test_a_switch_started_again_serves_the_same_hosts(net: Net) -> None:
    net.start()
    assert net.ping(1, 2) == 3
    assert net.stop(signal.SIGKILL) == -signal.SIGKILL
    net.ctl.unlink()
    net.start()
    assert net.ping(2, 1) == 3
    assert net.ping(1, 3) == 3
    assert net.stop() == 0, net.log()


def test_a_port_deleted_and_added_again_under_traffic_works(net: Net) -> None:
    net.start()
    assert net.ping(1, 2) == 3
    traffic = net.inside(1, "ping", "-i", "0.02", "-W", "1", "-c", "2000", "10.0.0.2")
    bystander = net.inside(3, "ping", "-i", "0.02", "-W", "1", "-c", "150", "10.0.0.1")
    shown = net.appctl("dpif/show")
    assert re.search(r"p2 2/\d+: \(system\)", shown), shown
    for _ in range(3):
        net.unplug(2)
        assert wait_until(lambda: not re.search(r"p2 2/\d+:", net.appctl("dpif/show")))
        net.plug(2)
        assert wait_until(lambda: re.search(r"p2 2/\d+: \(system\)", net.appctl("dpif/show")))
        assert wait_until(lambda: net.ping(4, 2, 1) == 1)
    said, _ = bystander.communicate(timeout=20)
    assert " 0% packet loss" in said, said
    traffic.kill()
    traffic.communicate()
    assert net.ping(1, 2) == 3
    assert net.stop() == 0, net.log()
    assert "Traceback" not in net.log()


@pytest.mark.slow
def test_a_flooding_port_does_not_starve_another(net: Net) -> None:
    """One port sends nothing but new flows for 10 s; another opens 50 new flows a second."""
    seconds, rate = 10, 50
    net.start(*FLOWS)
    assert net.ping(2, 3) == 3
    assert net.ping(1, 4) == 3
    receiver = net.inside(3, sys.executable, "-c", RECEIVER, seconds + 3)
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == "ready\n"
    flood = net.inside(1, sys.executable, "-c", FLOOD, seconds)
    time.sleep(0.3)
    victim = net.inside(2, sys.executable, "-c", VICTIM, seconds * rate, rate)
    sent = int(flood.communicate(timeout=60)[0])
    victim.wait(60)
    set_up = int(receiver.communicate(timeout=60)[0])
    print(f"flood: {sent / seconds:.0f} new flows/s; set up: {set_up} of {seconds * rate}")
    print(net.appctl("dpctl/show", "-s"))
    print(net.appctl("coverage/show"))
    assert sent > 100 * seconds * rate
    assert set_up >= 0.99 * seconds * rate
    assert net.stop() == 0, net.log()
