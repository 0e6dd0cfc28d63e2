"""What `ovs-ofctl monitor` prints of our switch is what it prints of the real one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.ofctl.scenario import VERSIONS, normalised, prepare
from tests.oracle.real import RealSwitch
from tests.whole import sample

pytestmark = pytest.mark.system

WATCHES = (
    "watch:", "watch:!initial", "watch:!add", "watch:!delete,!modify", "watch:!actions", "watch:table=1",
    "watch:out_port=2,!initial", "watch:tcp",
)  # fmt: skip
"""Each sees the same changes."""
BEFORE = ("add-flow br0 priority=3,in_port=1,actions=output:2", "add-flow br0 priority=4,tcp,actions=drop")
CHANGES = (
    "add-flow br0 cookie=5,priority=5,tcp,tp_dst=80,actions=output:3",
    "mod-flows br0 in_port=1,actions=output:4",
    "add-flow br0 priority=4,tcp,actions=output:2",
    "del-flows br0 tcp",
    "del-flows br0",
)
UDP = (
    "505400000002505400000001080045000028000000004011"
    "65c20a0000010a010102003500350014000000000000000000000000000000000000"
)


REAL, OWN = ("ovs-ofctl",), (sys.executable, "-m", "vswitch", "ofctl")
SOME = sample(VERSIONS, 2)
"""Versions in which our switch is watched by our tool, too."""


class Watcher:
    """A running ovs-ofctl, or ours, which prints what it hears into a file."""

    def __init__(self, switch: RealSwitch, name: str, *args: str, tool: tuple[str, ...] = REAL) -> None:
        self.switch = switch
        self.control = switch.directory / f"{name}.ctl"
        self.log = switch.directory / f"{name}.out"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [*tool, f"--unixctl={self.control}", *args],
                env={**switch.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip

    def heard(self) -> str:
        return normalised(self.log.read_text(), self.switch.directory)

    def wait(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                return
            assert time.monotonic() < end, self.heard()
            time.sleep(0.02)

    def barrier(self) -> bool:
        """Whether everything that the switch has said so far is printed."""
        ran = subprocess.run(
            ["ovs-appctl", "-t", str(self.control), "ofctl/barrier"],
            env=self.switch.environment, capture_output=True, check=False, timeout=20,
        )  # fmt: skip
        return ran.returncode == 0

    def close(self) -> str:
        """End it; what it has printed."""
        self.process.terminate()
        self.process.wait(20)
        return self.heard()


def without_noise(text: str) -> list[str]:
    """The lines that matter: a flow monitor's barriers and what ends the program are not among them.
    Events of one message are sorted: they are those of one request, in the order of a hash table."""
    lines: list[str] = []
    events: list[str] = []
    for line in text.splitlines():
        if "BARRIER" in line or "terminating" in line:
            continue
        if line.startswith(" event="):
            events.append(line)
            continue
        lines += [*sorted(events), line]
        events = []
    return lines + sorted(events)


def ofctl(switch: RealSwitch, version: str, *commands: str) -> None:
    for command in commands:
        switch.run("ovs-ofctl", "-O", version, *command.split())


def flow_changes(switch: RealSwitch, version: str, tool: tuple[str, ...] = REAL) -> list[list[str]]:
    prepare(switch)
    ofctl(switch, version, *BEFORE)
    watchers: list[Watcher] = []
    try:
        for number, watch in enumerate(WATCHES):
            name = f"watch{version}-{number}"
            watchers.append(Watcher(switch, name, "-O", version, "monitor", "br0", watch, tool=tool))
        for watcher in watchers:
            watcher.wait(watcher.barrier)
        ofctl(switch, version, *CHANGES)
        for watcher in watchers:
            watcher.wait(watcher.barrier)
    finally:
        said = [watcher.close() for watcher in watchers]
    return [without_noise(text) for text in said]


@pytest.mark.parametrize("version", VERSIONS)
def test_flow_monitors_tell_the_same(switches: tuple[RealSwitch, RealSwitch], version: str) -> None:
    theirs, ours = (flow_changes(switch, version) for switch in switches)
    assert dict(zip(WATCHES, ours, strict=True)) == dict(zip(WATCHES, theirs, strict=True))
    assert any(len(lines) > 3 for lines in theirs), theirs


@pytest.mark.parametrize("version", SOME)
def test_our_own_flow_monitors_tell_the_same(switches: tuple[RealSwitch, RealSwitch], version: str) -> None:
    theirs, ours = flow_changes(switches[0], version), flow_changes(switches[1], version, OWN)
    assert dict(zip(WATCHES, ours, strict=True)) == dict(zip(WATCHES, theirs, strict=True))


def group_changes(switch: RealSwitch, version: str) -> list[str]:
    prepare(switch)
    ofctl(switch, version, "add-group br0 group_id=7,type=all,bucket=output:2")
    watch = "watch:out_group=7,!initial"
    watcher = Watcher(switch, f"group{version}", "-O", version, "monitor", "br0", watch)
    try:
        watcher.wait(watcher.barrier)
        ofctl(
            switch, version, "add-flow br0 in_port=1,actions=group:7",
            "mod-flows br0 in_port=1,actions=output:3",
            "mod-flows br0 in_port=1,actions=output:4", "mod-flows br0 in_port=1,actions=output:5,group:7",
            "add-flow br0 in_port=1,actions=output:3", "add-flow br0 in_port=1,actions=group:7",
            "del-flows br0 in_port=1",
        )  # fmt: skip
        watcher.wait(watcher.barrier)
    finally:
        said = watcher.close()
    ofctl(switch, version, "del-groups br0")
    return without_noise(said)


@pytest.mark.parametrize("version", ["OpenFlow13", "OpenFlow14", "OpenFlow15"])
def test_monitors_of_a_group_look_at_the_new_actions(
    switches: tuple[RealSwitch, RealSwitch], version: str
) -> None:
    theirs, ours = (group_changes(switch, version) for switch in switches)
    assert ours == theirs
    assert any("group:7" in line for line in theirs), theirs


def packet_ins(
    switch: RealSwitch, version: str, form: str, tool: tuple[str, ...] = REAL, more: tuple[str, ...] = ()
) -> list[str]:
    prepare(switch)
    ofctl(switch, version, "add-flow br0 cookie=7,priority=5,udp,actions=load:3->NXM_NX_REG2[],CONTROLLER:64")
    args = ["-O", version, *(["-P", form] if form else []), *more, "monitor", "br0", "65534"]
    watcher = Watcher(switch, f"monitor{version}{form}", *args, tool=tool)
    try:
        watcher.wait(watcher.barrier)
        switch.appctl("netdev-dummy/receive", "p1", UDP)
        watcher.wait(lambda: "udp" in watcher.heard())
    finally:
        said = watcher.close()
    return without_noise(said)


@pytest.mark.parametrize("form", ["", "standard", "nxt_packet_in", "nxt_packet_in2"])
@pytest.mark.parametrize("version", VERSIONS)
def test_packet_ins_print_the_same(switches: tuple[RealSwitch, RealSwitch], version: str, form: str) -> None:
    theirs, ours = (packet_ins(switch, version, form) for switch in switches)
    assert ours == theirs
    if version in SOME:
        assert packet_ins(switches[1], version, form, OWN) == theirs


def test_more_is_told_of_packets_with_m(switches: tuple[RealSwitch, RealSwitch]) -> None:
    theirs = packet_ins(switches[0], "OpenFlow13", "", more=("-m",))
    assert packet_ins(switches[1], "OpenFlow13", "", OWN, ("-m",)) == theirs
    assert any(line.startswith("00000000  ") for line in theirs), theirs
