"""`vswitch run`, as a person or a supervisor runs it: in a network namespace, with and without root."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.sandbox import VSWITCH, Sandbox, answers, wait_until

pytestmark = pytest.mark.system

ONE_PACKET = (
    "import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); "
    's.bind(("q1", 0)); s.send(bytes.fromhex("02000000000202000000000188b5") + bytes(50))'
)
TWO_HOSTS = """
for n in 1 2; do
  ip link add p$n type veth peer name q$n
  ip link set p$n up
done
"""


@pytest.fixture(params=["root", "user namespace"])
def sandbox(request: pytest.FixtureRequest, require: Callable[..., None]) -> Iterator[Sandbox]:
    if request.param == "root":
        require("root", "netns", "tun")
    else:
        require("userns", "tun")
    box = Sandbox(user=request.param != "root")
    yield box
    box.close()


class Running:
    """A `vswitch run` in a sandbox."""

    def __init__(self, box: Sandbox, where: Path, *args: str) -> None:
        self.box = box
        self.ctl = where / "run.ctl"
        common = [
            "run",
            "--datapath",
            "netdev",
            "--unixctl",
            str(self.ctl),
            "--pidfile",
            str(where / "run.pid"),
        ]
        self.process = subprocess.Popen(
            box.command(*VSWITCH, *common, *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait(self) -> None:
        """Until it answers; AssertionError with its log if it ended."""
        wait_until(lambda: answers(self.ctl) or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()

    def appctl(self, *args: str) -> str:
        ran = self.box.run("ovs-appctl", "-t", str(self.ctl), *args)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Signal it; (exit code, log)."""
        if self.process.poll() is None:
            # nsenter replaced itself with the switch, so that this is the switch's own pid.
            self.process.send_signal(number)
        _out, err = self.process.communicate(timeout=20)
        return self.process.returncode, err


@pytest.fixture
def start(sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def run(*args: str) -> Running:
        r = Running(sandbox, tmp_path, *args)
        started.append(r)
        return r

    yield run
    for r in started:
        if r.process.poll() is None:
            r.process.kill()
        r.process.communicate()


def _hosts(box: Sandbox) -> Sandbox:
    """Put q2 into a namespace of its own; q1 stays. Both get addresses."""
    other = Sandbox(outer=box)
    box.sh(f"ip link set q2 netns {other.holder.pid}; ip addr add 10.9.0.1/24 dev q1; ip link set q1 up")
    other.sh("ip addr add 10.9.0.2/24 dev q2; ip link set q2 up; ip link set lo up")
    return other


def test_two_hosts_ping_and_sigterm_leaves_nothing(
    sandbox: Sandbox, start: Callable[..., Running], tmp_path: Path, require: Callable[..., None]
) -> None:
    require("command:ping", "command:ovs-appctl")
    sandbox.sh(TWO_HOSTS)
    other = _hosts(sandbox)
    try:
        r = start("--port", "p1", "--port", "p2")
        r.wait()
        ping = sandbox.run("ping", "-c", "5", "-i", "0.2", "-W", "2", "10.9.0.2")
        assert " 5 received" in ping.stdout, ping.stdout
        assert "in_port(p1)" in r.appctl("dpctl/dump-flows", "--names")
        assert re.search(r"lookups: hit:\d+ missed:\d+ lost:0", r.appctl("dpctl/show"))
        assert r.appctl("ofproto/list") == "br0\n"
        assert "rules:" in r.appctl("memory/show")
        code, log = r.end()
    finally:
        other.close()
    assert code == 0, log
    assert re.search(
        r"^[-0-9]+T[0-9:]+Z\|\d{5}\|vswitchd\|INFO\|using the userspace datapath \(netdev\): as asked for$",
        log,
        re.MULTILINE,
    )
    assert "Traceback" not in log
    assert "br0" not in sandbox.devices()
    assert list(tmp_path.iterdir()) == []


COMMANDS = {
    "version": r"vswitchd \(vswitch \S+ \((compiled|interpreted)",
    "vlog/list": r"dpif +\w+ +\w+ +\w+\n",
    "vlog/set dpif:console:dbg": r"^$",
    "coverage/show": r"^Event coverage, avg rate over last: 5 seconds, .*,  hash=[0-9a-f]+:\n.*upcall_miss ",
    "memory/show": r"^[^\n]*facets:\d+ [^\n]*ports:3 rules:5",
    "dpif/show": r"^netdev@ovs-netdev: hit:\d+ missed:\d+\n  br0:\n    br0 65534/1: \(tap\)\n    p1 1/2: ",
    "dpif/show-channels": r"^netdev@ovs-netdev: a queue of 1000 upcalls a port, lost 0\n",
    "dpif/dump-flows br0": r"in_port\(2\),.* actions:.*1",
    "dpctl/show": r"^netdev@ovs-netdev:\n  lookups: hit:\d+ missed:\d+ lost:0\n  flows: \d+\n  port 0: ovs",
    "dpctl/dump-flows": r"^flow-dump from the main thread:\n.*in_port\(2\),",
    "ofproto/list": r"^br0\n$",
    "ofproto/trace br0 in_port=p1": r"^Flow: in_port=1,.*\nDatapath actions: [13],[13]\n$",
    "ofproto/clog": r"^$",
    "ofproto/unclog": r"^$",
    "fdb/show br0": r"^ port  VLAN  MAC                Age\n.*    1     0  02:00:00:00:00:01 +\d+\n",
    "fdb/flush br0": r"^table successfully flushed\n$",
    "upcall/show": r"^netdev@ovs-netdev:\n  flows         : \(current \d+\) .*\n",
    "time/stop": r"^$",
    "time/warp 20000 1000": r"^warped\n$",
    "dpctl/dump-flows -m": r"^$",
}
"""Runtime commands, in this order, and what the real ovs-appctl prints of each."""


def test_the_real_ovs_appctl_can_ask_everything(
    sandbox: Sandbox, start: Callable[..., Running], require: Callable[..., None]
) -> None:
    require("command:ovs-appctl")
    sandbox.sh(TWO_HOSTS)
    r = start("--port", "p1", "--port", "p2")
    r.wait()
    known = r.appctl("list-commands")
    sandbox.sh("for c in q1 q2; do echo 1 >/proc/sys/net/ipv6/conf/$c/disable_ipv6 2>/dev/null || true; done")
    sandbox.sh("ip link set q1 up; ip link set q2 up")
    assert wait_until(lambda: "p1" in r.appctl("dpif/show"))
    sandbox.sh(f"{sys.executable} -c '{ONE_PACKET}'")
    assert wait_until(lambda: "02:00:00:00:00:01" in r.appctl("fdb/show", "br0"))
    for command, wanted in COMMANDS.items():
        name, *args = command.split()
        assert re.search(rf"^  {name} ", known, re.MULTILINE), command
        said = r.appctl(name, *args)
        assert re.search(wanted, said, re.DOTALL), f"{command}:\n{said}"
    assert r.appctl("exit") == ""
    assert r.process.wait(10) == 0
    assert "|dpif|DBG|netdev@ovs-netdev: " in r.end()[1], "vlog/set turned debugging on"


def test_flows_from_the_command_line_and_from_a_file(
    sandbox: Sandbox, start: Callable[..., Running], tmp_path: Path, require: Callable[..., None]
) -> None:
    require("command:ovs-appctl")
    sandbox.sh(TWO_HOSTS)
    flows = tmp_path / "flows"
    flows.write_text("# a comment\n\npriority=5,ip,actions=drop  # why\n")
    r = start("--port", "p1", "--port", "p2", "--flow", "in_port=p1,actions=output:2", "--flows", str(flows))
    r.wait()
    # Datapath ports: 0 is ovs-netdev, 1 br0, 2 p1, 3 p2.
    assert "Datapath actions: 3\n" in r.appctl("ofproto/trace", "br0", "in_port=1")
    assert "Datapath actions: drop" in r.appctl("ofproto/trace", "br0", "in_port=2,ip")
    assert r.appctl("exit") == ""
    assert r.process.wait(10) == 0


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["--port", "nosuch"], r"vswitch: can't add port nosuch: .*[Nn]o such device"),
        (["--flow", "tcp,tp_dst=80,actions=outptu:1"], r"vswitch: --flow .*outptu"),
        (["--flows", "/nosuch/file"], r"vswitch: can't read flows from /nosuch/file: No such file"),
        (["--verbose", "bogus"], r'vswitch: --verbose bogus: no destination, level, or module "bogus"'),
        (["--log-file", "/nosuch/log"], r"vswitch: can't start: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    args: list[str], error: str, sandbox: Sandbox, start: Callable[..., Running], tmp_path: Path
) -> None:
    code, log = _ended(start(*args))
    assert code == 1
    assert re.search(error, log), log
    assert "Traceback" not in log
    assert sandbox.devices() == set()
    assert list(tmp_path.iterdir()) == []


def _ended(r: Running) -> tuple[int, str]:
    """Wait until it ends by itself."""
    _out, err = r.process.communicate(timeout=20)
    return r.process.returncode, err


def test_the_kernel_datapath_that_is_not_there(sandbox: Sandbox) -> None:
    if os.path.isdir("/sys/module/openvswitch"):
        pytest.skip("this kernel has openvswitch")
    ran = sandbox.run(*VSWITCH, "run", "--datapath", "system", "--pidfile", "none", "--unixctl", "none")
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("vswitch: the kernel has no openvswitch datapath")
    assert "netdev" in last


def test_a_second_one_of_the_same_name_is_refused(
    sandbox: Sandbox, start: Callable[..., Running], tmp_path: Path
) -> None:
    first = start("--bridge", "br1")
    first.wait()
    second = Running(sandbox, tmp_path, "--bridge", "br2")
    code, log = _ended(second)
    assert code == 1
    assert re.search(r"already running as pid \d+; give another --name$", log.strip()), log
    assert first.end()[0] == 0


def test_killed_and_started_again(
    sandbox: Sandbox, start: Callable[..., Running], require: Callable[..., None]
) -> None:
    require("command:ovs-appctl")
    sandbox.sh(TWO_HOSTS)
    first = start("--port", "p1")
    first.wait()
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL
    first.ctl.unlink()
    again = start("--port", "p1", "--port", "p2")
    again.wait()
    assert again.appctl("ofproto/list") == "br0\n"
    assert again.end()[0] == 0
    assert "br0" not in sandbox.devices()
