"""`ofctl monitor` and `snoop` as daemons that ovs-appctl talks to: ours says and does what ovs-ofctl does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ofctl.scenario import normalised, prepare
from tests.oracle.real import RealSwitch
from tests.stack import until

pytestmark = pytest.mark.system

REAL, OWN = ("ovs-ofctl",), (sys.executable, "-m", "vswitch", "ofctl")
ARP = "020000000002020000000001080600010800060400010200000000010a0000010000000000000a000002" + "00" * 18
FREE = (
    (re.compile(r"xid=0x[0-9a-f]+"), "xid=X"),
    (re.compile(r"pid \d+"), "pid N"),
    (re.compile(r"vswitch ofctl|ovs-ofctl"), "ofctl"),
    (re.compile(r"bridge=[0-9a-f-]{36}"), "bridge=UUID"),
    (re.compile(r"odp_port=\d+"), "odp_port=N"),
    (re.compile(r"^\S+\|(WARN|ERR)\|.*\n", re.MULTILINE), ""),
    (re.compile(r"(?m)^ofctl: /nonexistent/x: (could not initialize control socket \()?([^()\n]*)\)?$"),
     r"ofctl: \2"),
    (re.compile(r"(?m)^ofctl: failed to create unixctl server.*\n"), ""),
    (re.compile(r"^ofctl:.*failed to (open|connect to) socket.*$", re.MULTILINE), "ofctl: no snooping"),
)  # fmt: skip
"""Numbers, names, what the real tool logs beside its error, how a socket says that nobody speaks there."""


class Place:
    """A switch, and the tool that watches it."""

    def __init__(self, switch: RealSwitch, tool: tuple[str, ...]) -> None:
        self.switch = switch
        self.tool = tool
        self.said: list[str] = []

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, sys.path))
        return {**self.switch.environment, "PYTHONPATH": path}

    def run(self, *words: str, stderr: str = "") -> None:
        """A command line: what it says is noted, or goes to the file `stderr`."""
        ran = subprocess.run(words, env=self._environment(), cwd=self.switch.directory, capture_output=True,
                             text=True, check=False, timeout=30)  # fmt: skip
        self.note(ran.stdout + ran.stderr + (f"exit {ran.returncode}" if ran.returncode else ""))

    def watch(self, *words: str, file: str = "out") -> None:
        """Start the tool as a daemon, its standard error in `file`."""
        with (self.switch.directory / file).open("w") as err:
            ran = subprocess.run([*self.tool, *words, "--detach", "--no-chdir", "--pidfile"], stderr=err,
                                 env=self._environment(), cwd=self.switch.directory, check=False,
                                 timeout=30)  # fmt: skip
        self.note(f"started with {ran.returncode}")

    def tell(self, *words: str) -> None:
        """A command for the daemon."""
        self.run("ovs-appctl", "-t", "ovs-ofctl", *words)

    def receive(self, port: str) -> None:
        self.switch.appctl("netdev-dummy/receive", port, ARP)

    def note(self, text: str) -> None:
        text = normalised(text, self.switch.directory)
        for pattern, instead in FREE:
            text = pattern.sub(instead, text)
        self.said.append(text.strip())

    def note_file(self, name: str) -> None:
        self.note((self.switch.directory / name).read_text())

    @property
    def pidfile(self) -> Path:
        return self.switch.directory / "ovs-ofctl.pid"


def watched(place: Place) -> list[str]:
    """What is said while a monitor is told this and that."""
    directory = place.switch.directory
    prepare(place.switch)
    place.switch.run("ovs-ofctl", "add-flow", "br0", "in_port=1,actions=controller")
    place.switch.run("ovs-ofctl", "add-flow", "br0", "in_port=2,actions=controller(pause),output:3")
    place.watch("monitor", "br0", "65534", "resume", f"--log-file={directory}/monitor.log")
    place.tell("version")
    place.tell("ofctl/barrier")
    place.receive("p1")
    place.receive("p2")
    place.tell("ofctl/barrier")
    for words in (
        ["0100000800000005"], ["01"], ["0xzz"], ["01ff000800000009"],
        ["0102000800000007", "0102000800000008"],
    ):  # fmt: skip
        place.tell("ofctl/send", *words)
    place.tell("ofctl/barrier")
    for text in (f"in_port=1 packet={ARP} actions=2", f"in_port=p1,packet={ARP},actions=p2", "bogus",
                 "in_port=", f"packet={ARP}", f"in_port=1,tcp,packet={ARP},actions=2"):  # fmt: skip
        place.tell("ofctl/packet-out", text)
    place.tell("ofctl/barrier")
    place.tell("ofctl/block")
    place.receive("p1")
    time.sleep(0.2)
    place.note_file("out")
    place.tell("ofctl/unblock")
    place.tell("ofctl/barrier")
    place.tell("ofctl/set-output-file", str(directory / "out2"))
    place.tell("ofctl/set-output-file", "/nonexistent/x")
    place.receive("p1")
    place.tell("ofctl/barrier")
    place.tell("exit")
    until("the monitor's end", lambda: not place.pidfile.exists())
    for name in ("out", "out2", "monitor.log"):
        place.note_file(name)
        (directory / name).unlink()
    return place.said


def refused(place: Place) -> list[str]:
    """What command lines say, and who holds the pidfile."""
    prepare(place.switch)
    place.run(*place.tool, "monitor", "br0", "bogus")
    place.run(*place.tool, "snoop", "br0")
    place.run(*place.tool, "monitor", "nosuch")
    place.run(*place.tool, "monitor", "br0", "--unixctl=/nonexistent/x")
    place.run(*place.tool, "probe", "br0", "--detach", "--pidfile")
    place.note(str(place.pidfile.exists()))
    place.watch("monitor", "br0", "1")
    first = int(place.pidfile.read_text())
    place.watch("monitor", "br0", "1", file="second")
    place.note_file("second")
    place.watch("monitor", "br0", "1", "--overwrite-pidfile")
    place.note(str(int(place.pidfile.read_text()) != first))
    place.tell("ofctl/barrier")
    place.tell("exit")
    until("the monitor's end", lambda: not place.pidfile.exists())
    os.kill(first, signal.SIGTERM)
    place.note_file("out")
    return place.said


@pytest.mark.parametrize("what", [watched, refused], ids=["watched", "refused"])
def test_our_monitor_is_as_the_real_one(switches: tuple[RealSwitch, RealSwitch], what: object) -> None:
    assert callable(what)
    places = [Place(switches[0], REAL), Place(switches[1], OWN)]
    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(what, places)
    assert any("NXT_RESUME" in text for text in theirs) or what is refused
    assert ours == theirs
