"""`ovs-testcontroller` in each of its ways of working drives the real switch and ours: the same flows come of
the same frames, and they go out of the same ports."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ofctl.conftest import switches
from tests.oracle.real import RealSwitch
from tests.trials.trial import Bench
from tests.whole import sample

__all__ = ["switches"]
pytestmark = pytest.mark.system

HOSTS = {1: "020000000001", 2: "020000000002", 3: "020000000003"}
UDP = "0800" + "4500002400010000401166c60a0000010a00000200010002001000006" + "8656c6c6f776f72"
FRAMES = (
    (1, HOSTS[2] + HOSTS[1] + UDP),
    (2, HOSTS[1] + HOSTS[2] + UDP),
    (1, HOSTS[2] + HOSTS[1] + UDP),
    (3, HOSTS[1] + HOSTS[3] + "8100" + "6005" + UDP),
    (1, HOSTS[3] + HOSTS[1] + "8100" + "6005" + UDP),
    (2, "ff" * 6 + HOSTS[2] + "08060001080006040001" + HOSTS[2] + "0a000002" + "00" * 6 + "0a000001"),
    (3, "0180c2000000" + HOSTS[3] + "0026" + "4242030000" + "00" * 33),
    (3, HOSTS[3] + HOSTS[3] + UDP),
)  # fmt: skip
"""Port and frame: two hosts find each other, a third one in a VLAN, what goes to all, to the switch, back."""

FIRST = "ff" * 6 + "020000000009" + "9000" + "00" * 46
"""A frame that tells, by coming out somewhere, that the controller is at work."""
QUIET_S = 0.12
"""So long nothing happens when everything has happened."""
WITH_FLOWS = "table=0,priority=5,arp,actions=drop\npriority=9,ip,in_port=3,actions=output:1\n"
WAYS = {
    "learning": (),
    "learning in 1.0": ("-O", "OpenFlow10"),
    "learning in 1.1": ("-O", "OpenFlow11"),
    "learning in 1.3": ("-O", "OpenFlow13"),
    "learning in 1.5": ("-O", "OpenFlow15"),
    "hub": ("--hub",),
    "hub in 1.3": ("--hub", "-O", "OpenFlow13"),
    "no flows": ("--noflow",),
    "NORMAL": ("--normal",),
    "NORMAL in 1.3": ("--normal", "-O", "OpenFlow13"),
    "wildcards": ("--wildcards",),
    "some wildcards": ("--wildcards=0x3fff0f", "-O", "OpenFlow10"),
    "forever": ("--max-idle=permanent",),
    "one second": ("--max-idle=1",),
    "queue": ("-q", "5"),
    "queue in 1.3": ("-q", "5", "-O", "OpenFlow13"),
    "a port's queue": ("-Q", "e31:7", "-Q", "nosuch:8"),
    "mute": ("--mute",),
    "with flows": ("--with-flows", "FILE"),
    "with flows in 1.3": ("--with-flows", "FILE", "-O", "OpenFlow13"),
    "with flows, mute": ("--mute", "--with-flows", "FILE"),
    "hub with flows": ("--hub", "--with-flows", "FILE", "-O", "OpenFlow14"),
}


def eventually(what: str, condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for `condition`; AssertionError that names `what`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.02)


def driven(switch: RealSwitch, options: tuple[str, ...]) -> list[str]:
    """The answer to each frame, and in the end the flows, of a switch that the controller drives so."""
    bench = Bench(switch)
    bench.prepare()
    directory = switch.directory
    # Sockets elsewhere are not for controllers.
    socket, flows = directory / "tc.sock", directory / "flows"
    flows.write_text(WITH_FLOWS)
    words = [str(flows) if word == "FILE" else word for word in options]
    with (directory / "tc.out").open("wb") as out:
        controller = subprocess.Popen(
            ["ovs-testcontroller", *words, f"punix:{socket}", f"--unixctl={directory}/tc.ctl"],
            env=switch.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        eventually("the controller listens", socket.exists)
        switch.run("ovs-vsctl", "set-controller", "sw", f"unix:{socket}")
        logs = [path for path in switch.directory.glob("*.out") if "ovsdb" not in path.name]
        eventually("they are connected", lambda: any(f"{socket}: connected" in p.read_text() for p in logs))
        if "FILE" in options:
            dump = ("ovs-ofctl", "dump-flows", "sw")
            eventually("the flows are there", lambda: "priority=9" in bench.tool(*dump))
        said = []
        counts = sent(bench)
        end = time.monotonic() + (0.5 if "--mute" in options else 10)
        while time.monotonic() < end and sent(bench) == counts:
            bench.appctl("netdev-dummy/receive", "e31", FIRST)
            time.sleep(0.05)
        answer(bench, counts)
        for port, frame in FRAMES:
            bench.appctl("netdev-dummy/receive", f"e3{port}", frame)
            said.append(f"from {port}: {answer(bench, counts)}")
        dumped = "".join(
            bench.tool("ovs-ofctl", "-O", version, "dump-flows", "sw")
            for version in ("OpenFlow10", "OpenFlow15")
        )
        return [*said, *flow_lines(dumped)]
    finally:
        switch.run("ovs-vsctl", "del-controller", "sw")
        controller.terminate()
        controller.wait(10)


def answer(bench: Bench, before: dict[str, int]) -> dict[str, int]:
    """The packets that go out of which ports next, once nothing more happens; `before` is brought up
    to date."""
    end = time.monotonic() + QUIET_S
    last = before
    while time.monotonic() < end:
        time.sleep(0.01)
        now = sent(bench)
        if now != last:
            last, end = now, time.monotonic() + QUIET_S
    gained = {port: n - before.get(port, 0) for port, n in last.items() if n != before.get(port, 0)}
    before.update(last)
    return gained


def sent(bench: Bench) -> dict[str, int]:
    """How many packets have gone out of each port."""
    shown = bench.appctl("dpctl/show", "-s")
    return {port: int(n) for port, n in re.findall(r"port \d+: (e3\d|sw) .*\n.*\n +TX packets:(\d+)", shown)}


def flow_lines(dumped: str) -> list[str]:
    """Flows without times and counts, in some order. (The real switch credits packets that a datapath flow
    counted to the rules that there are when it looks.)"""
    lines = re.sub(r"(duration|hard_age|idle_age|n_packets|n_bytes)=[0-9.]+s?,? ?", "", dumped).splitlines()
    return sorted(line for line in lines if "reply" not in line)


@pytest.mark.parametrize("way", sample(WAYS, 6))
def test_it_drives_both_alike(way: str, switches: tuple[RealSwitch, RealSwitch]) -> None:
    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(lambda switch: driven(switch, WAYS[way]), switches)
    assert ours == theirs
