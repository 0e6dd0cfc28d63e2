"""Our daemon on the kernel's datapath: real traffic through flows that it put there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flood import FLOOD, FLOWS, RECEIVER, VICTIM
from tests.uml.inside.daemon import Daemon, Hosts, output_of, wait_until
from tests.uml.inside.lab import ip
from vswitch.base.clock import Clock
from vswitch.dpif.kernel.channels import N_CHANNELS, channel_of
from vswitch.dpif.kernel.provider import DpifKernel
from vswitch.dpif.kernel.vport import VportInfo
from vswitch.dpif.types import DpifError


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    hosts = Hosts(4)
    yield hosts
    hosts.close()


def vports() -> list[VportInfo]:
    """The ports of ovs-system as the kernel has them."""
    dpif = DpifKernel("ovs-system", Clock(), create=False)
    try:
        return dpif._ports()
    finally:
        dpif.close()


def channel_pids(pid: int) -> list[int]:
    """The Netlink pids of the 17 sockets that one epoll set of process `pid` holds, in fd order."""
    with open("/proc/net/netlink") as f:
        rows = [line.split() for line in f][1:]
    generic = {int(row[9]): int(row[2]) for row in rows if row[1] == "16"}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        if os.readlink(entry) != "anon_inode:[eventpoll]":
            continue
        info = Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text()
        targets = sorted(int(line.split()[1]) for line in info.splitlines() if line.startswith("tfd:"))
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in targets]
        if len(targets) == N_CHANNELS and all(link.startswith("socket:") for link in links):
            return [generic[int(re.sub(r"\D", "", link))] for link in links]
    raise AssertionError(f"no epoll set of process {pid} holds {N_CHANNELS} Netlink sockets")


def test_hosts_talk_through_kernel_flows_of_ours(hosts: Hosts) -> None:
    daemon = Daemon("p1", "p2", "p3")
    try:
        assert hosts.ping(1, 2, 10) == 10
        assert hosts.ping(2, 3, 3) == 3
        number = {p.name: p.port_no for p in vports()}
        flows = output_of("ovs-dpctl dump-flows")
        way = f"in_port({number['p1']}),eth(src=02:00:00:00:00:01,dst=02:00:00:00:00:02),eth_type(0x0800)"
        (there,) = [line for line in flows.splitlines() if way in line]
        assert re.search(rf"packets:[89], .*actions:{number['p2']}$", there), there
        server = subprocess.Popen(["ip", "netns", "exec", "h2", "iperf3", "-s"], stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        said = output_of("ip netns exec h1 iperf3 -c 10.0.0.2 -t 2 -f m")
        server.kill()
        server.wait()
        rate = re.search(r"([\d.]+) Mbits/sec +receiver", said)
        assert rate, said
        assert float(rate[1]) > 50
        assert "vswitch" in daemon.appctl("version").lower()
        assert "p1 " in daemon.appctl("dpif/show")
        assert "upcalls" in daemon.appctl("dpif/show-channels")
    finally:
        status = daemon.stop()
    assert status == 0, daemon.log()
    assert output_of("ovs-dpctl dump-dps") == ""


def test_every_vport_sends_to_its_channel(hosts: Hosts) -> None:
    daemon = Daemon("p1", "p2", "p3", "p4")
    try:
        pids = channel_pids(daemon.pid)
        assert len(set(pids)) == N_CHANNELS
        ports = vports()
        assert [p.name for p in ports[1:]] == ["br0", "p1", "p2", "p3", "p4"]
        for port in ports:
            assert port.upcall_pids == (pids[channel_of(port.port_no)],)
    finally:
        daemon.stop()


def test_a_killed_daemons_datapath_is_taken_over_by_the_next(hosts: Hosts) -> None:
    first = Daemon("p1", "p2")
    assert hosts.ping(1, 2) == 3
    first.kill()
    before = {p.name: p.port_no for p in vports()}
    assert hosts.ping(1, 2) == 3, "the kernel forwards on by itself"
    second = Daemon("p1", "p2")
    try:
        assert {p.name: p.port_no for p in vports()} == before
        pids = channel_pids(second.pid)
        assert all(p.upcall_pids == (pids[channel_of(p.port_no)],) for p in vports())
        assert hosts.ping(2, 1) == 3
        assert hosts.ping(1, 2, 5) == 5
        shown = second.appctl("dpif/dump-flows br0")
        assert "02:00:00:00:00:01" in shown
    finally:
        assert second.stop() == 0


def test_the_next_life_detaches_ports_that_it_is_not_to_have(hosts: Hosts) -> None:
    first = Daemon("p1", "p2", "p3")
    first.kill()
    second = Daemon("p1", "p3")
    try:
        assert [p.name for p in vports()][1:] == ["br0", "p1", "p3"]
        assert hosts.ping(1, 3) == 3
    finally:
        assert second.stop() == 0


def test_a_port_deleted_and_added_again_under_traffic_works(hosts: Hosts) -> None:
    daemon = Daemon("p1", "p2", "p3")
    try:
        assert hosts.ping(1, 2) == 3
        traffic = subprocess.Popen(
            ["ip", "netns", "exec", "h1", "ping", "-i", "0.02", "-W", "1", "-c", "500", "10.0.0.2"],
            stdout=subprocess.DEVNULL,
        )
        bystander = subprocess.Popen(
            ["ip", "netns", "exec", "h3", "ping", "-i", "0.02", "-W", "1", "-c", "150", "10.0.0.1"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        for _ in range(3):
            hosts.unplug(2)
            wait_until("p2 is gone", lambda: "p2" not in {p.name for p in vports()})
            time.sleep(0.2)
            hosts.plug(2)
            wait_until("p2 is back", lambda: "p2" in {p.name for p in vports()})
            wait_until("h2 answers again", lambda: hosts.ping(3, 2, 1) == 1, 15)
            pids = channel_pids(daemon.pid)
            port = next(p for p in vports() if p.name == "p2")
            assert port.upcall_pids == (pids[channel_of(port.port_no)],)
        said, _ = bystander.communicate(timeout=20)
        assert " 0% packet loss" in said, said
        traffic.terminate()
        traffic.wait()
        assert hosts.ping(1, 2) == 3
    finally:
        assert daemon.stop() == 0, daemon.log()


def inside(host: int, script: str, *args: object) -> subprocess.Popen[str]:
    """Run a Python script in a host's namespace."""
    command = ["ip", "netns", "exec", f"h{host}", sys.executable, "-c", script, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_flooding_port_does_not_starve_another(hosts: Hosts) -> None:
    """One port sends nothing but new flows for 10 s; another opens 50 new flows a second."""
    seconds, rate = 10, 50
    daemon = Daemon("p1", "p2", "p3", "p4", flows=FLOWS)
    try:
        assert hosts.ping(2, 3) == 3
        assert hosts.ping(1, 4) == 3
        number = {p.name: p.port_no for p in vports()}
        assert channel_of(number["p1"]) != channel_of(number["p2"])
        receiver = inside(3, RECEIVER, seconds + 6)
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        flood = inside(1, FLOOD, seconds)
        time.sleep(0.3)
        victim = inside(2, VICTIM, seconds * rate, rate)
        sent = int(flood.communicate(timeout=60)[0])
        victim.wait(60)
        set_up = int(receiver.communicate(timeout=60)[0])
        print(f"flood: {sent / seconds:.0f} new flows/s; set up: {set_up} of {seconds * rate}")
        shown = daemon.appctl("dpif/show-channels")
        log = daemon.log()
        print(shown)
        print(daemon.appctl("coverage/show"))
    finally:
        daemon.stop()
    assert set_up >= 0.99 * seconds * rate
    reports = re.findall(
        r"lost (\d+) packets on channel (\d+) \(last polled \d+ ms ago\), "
        r"most frequent sources are port (\d+) \((\S+): (\d+) to (\d+) upcalls\)",
        log,
    )
    assert reports, log
    for _, channel, port, name, low, high in reports:
        assert (int(channel), int(port), name) == (channel_of(number["p1"]), number["p1"], "p1")
        assert 0 < int(low) <= int(high)
    # The port is alone on its channel, so what the channel received is what it really sent up.
    m = re.search(
        rf"channel {channel_of(number['p1'])}: pid \d+, received (\d+), lost (\d+), .*\n"
        rf" +port {number['p1']} \(p1\): (\d+) to (\d+) upcalls",
        shown,
    )
    assert m, shown
    received, lost, low, high = map(int, m.groups())
    assert low <= received <= high
    assert lost > 0
    assert received + lost <= sent + 10


def test_a_missing_port_and_a_second_daemon_are_refused_cleanly(hosts: Hosts) -> None:
    with pytest.raises(AssertionError, match="nonesuch"):
        Daemon("p1", "nonesuch")
    ip("link show p1")
    with pytest.raises(DpifError):
        vports()
