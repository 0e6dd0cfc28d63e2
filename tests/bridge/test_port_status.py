"""What controllers hear of a port that comes, changes and goes, beside the real switch."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bridge.pair import Side

pytestmark = pytest.mark.system

MONITORED = ("OpenFlow10", "OpenFlow13")
STEPS = (
    "ovs-vsctl add-port br0 p9 -- set interface p9 type=dummy ofport_request=9",
    "netdev-dummy/set-admin-state p9 down",
    "netdev-dummy/set-admin-state p9 up",
    "ovs-ofctl -O OpenFlow13 mod-port br0 9 down",
    "ovs-ofctl -O OpenFlow13 mod-port br0 9 up",
    "ovs-ofctl -O OpenFlow13 mod-port br0 9 no-receive",
    # OpenFlow 1.3 has no word for these.
    "ovs-ofctl -O OpenFlow10 mod-port br0 9 no-flood",
    "ovs-ofctl -O OpenFlow10 mod-port br0 9 no-stp",
    "ovs-ofctl -O OpenFlow10 mod-port br0 9 no-forward",
    "ovs-vsctl add-port br0 pa -- set interface pa type=patch options:peer=pb ofport_request=11",
    "ovs-vsctl del-port br0 p9",
)


def test_liveness_comes_in_a_message_of_its_own(real: Side, ours: Side) -> None:
    def told(side: Side) -> list[list[str]]:
        side.vsctl("add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure"
                   " protocols=OpenFlow10,OpenFlow13")  # fmt: skip
        logs = [side.directory / f"monitor.{version}" for version in MONITORED]
        monitors = []
        try:
            for version, path in zip(MONITORED, logs, strict=True):
                with path.open("wb") as out:
                    command = ["ovs-ofctl", "-O", version, "monitor", "br0", "65534"]
                    monitors.append(
                        subprocess.Popen(command, env=side.environment, stdout=out, stderr=out)
                    )  # fmt: skip
            for path in logs:
                side.wait(lambda path=path: _has_heard(side, path), "the monitor")
            for number, step in enumerate(STEPS):
                command, *words = step.split()
                if command.startswith("ovs-"):
                    side.run(command, *words)
                else:
                    side.appctl(command, *words)
                _has_heard(side, logs[0], f"m{number}")
                for path in logs:
                    side.wait(lambda path=path, name=f"(m{number})": name in path.read_text(), step)
        finally:
            for monitor in monitors:
                monitor.terminate()
                monitor.wait()
        return [_statuses(path.read_text()) for path in logs]

    with ThreadPoolExecutor(2) as both:
        theirs, mine = both.map(told, (real, ours))
    assert min(map(len, theirs)) > 8
    assert mine == theirs


def _has_heard(side: Side, path: Path, name: str = "hello") -> bool:
    """Whether a monitor has heard of port `name`, which comes anew."""
    # One that goes and comes back in one transaction stays.
    side.run("ovs-vsctl", "--if-exists", "del-port", "br0", name)
    side.run("ovs-vsctl", "add-port", "br0", name, "--", "set", "interface", name, "type=dummy")
    return f"({name})" in path.read_text()


def _statuses(text: str) -> list[str]:
    """The port statuses of a monitor's output about ports p*, without addresses. (What number pa has until it
    gets the one that it asks for hangs on how often the monitor had to be waited for.)"""
    text = re.sub(r"addr:[0-9a-f:]+", "addr:MAC", text)
    text = re.sub(r" (?!11\()\d+\(pa\)", " 0(pa)", text)
    found = re.findall(r"^OFPT_PORT_STATUS.*\n(?: .*\n)*", text, flags=re.MULTILINE)
    return [status for status in found if re.search(r" \d+\(p\w\)", status)]
