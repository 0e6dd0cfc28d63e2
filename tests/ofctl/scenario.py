"""Reads `scenarios.txt`, runs a command of it on a switch, and says which differences don't matter."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.oracle.real import RealSwitch
from vswitch.cli.ofctl.main import main as own_ofctl

VERSIONS: Final = ("OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15")

# What differs between two runs of one switch: times, addresses of the devices, how long a ping took.
FREE: Final = (
    (re.compile(r"\bduration([=:])[0-9.]+s"), r"duration\1T"),
    (re.compile(r"\b(idle|hard)_age=\d+(, )?"), ""),
    (re.compile(r"dpid:[0-9a-f]{16}"), "dpid:D"),
    (re.compile(r"(?<=addr:)[0-9a-f:]{17}"), "MAC"),
    (re.compile(r"time=[0-9.]+ ms"), "time=T"),
    (re.compile(r"^\d{4}-\d\d-\d\dT\S+\|\d+\|", re.MULTILINE), "LOG|"),
    (re.compile(r"\(xid=0x[0-9a-f]+\)"), "(xid=X)"),
    (re.compile(r"\bxid=[0-9a-f]{8}\b"), "xid=X"),
    (re.compile(r"(?m)(?<=^00000000  0[1-6] [0-9a-f]{2} [0-9a-f]{2} [0-9a-f]{2} )00 00 00 [0-9a-f]{2}"), "X"),
    # Our userspace datapath has a kind of band that the real one has not (see `run`).
    (re.compile(r"band_types: drop dscp_remark"), "band_types: drop"),
)
BAND_OF_OURS: Final = "type=dscp_remark"


# Lists whose order is that of a hash table.
UNORDERED: Final = (
    "dump-flows", "dump-groups", "dump-group-stats", "dump-meters", "meter-stats", "diff-flows",
)  # fmt: skip
# How the entries of such a list begin where they have several lines.
ENTRIES: Final = {
    "dump-ports": re.compile(r"^ +port ", re.MULTILINE),
    "queue-stats": re.compile(r"^ +port ", re.MULTILINE),
    "queue-get-config": re.compile(r"^OFPT_QUEUE_GET_CONFIG_REPLY", re.MULTILINE),
}


@dataclass(frozen=True)
class Command:
    """One line: the words for ovs-ofctl and its standard input."""

    words: tuple[str, ...]
    stdin: str = ""

    def __str__(self) -> str:
        return shlex.join(self.words)


@dataclass(frozen=True)
class Result:
    """What a command said, without what is free to differ."""

    status: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit status {self.status}\n{self.out}{self.err}"


def read_scenarios(path: Path) -> dict[str, list[Command]]:
    """Scenario name -> its commands."""
    found: dict[str, list[Command]] = {}
    name = ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            name = line.strip("[]")
            found[name] = []
        elif line.startswith("| "):
            last = found[name].pop()
            found[name].append(Command(last.words, f"{last.stdin}{line[2:]}\n"))
        elif line and not line.startswith("#"):
            found[name].append(Command(tuple(shlex.split(line))))
    return found


def normalised(text: str, directory: Path) -> str:
    """`text` without what two runs of one switch would say differently."""
    text = text.replace(str(directory), "RUNDIR")
    for pattern, instead in FREE:
        text = pattern.sub(instead, text)
    return text


def in_order(text: str, begin: re.Pattern[str]) -> str:
    """`text` with its entries, each from a match of `begin` on, sorted."""
    starts = [found.start() for found in begin.finditer(text)]
    if not starts:
        return text
    entries = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    return text[: starts[0]] + "".join(sorted(entries))


def run(switch: RealSwitch, version: str, command: Command, rundir: Path | None = None) -> Result:
    """Run ovs-ofctl in `version` against `switch`'s bridge, whose socket is in `rundir`. Meters with a kind
    of band that the real switch can't have over any datapath of its own are left out: tests of ours have
    them."""
    if any(BAND_OF_OURS in word for word in command.words):
        return Result(0, "", "")
    ran = subprocess.run(
        ["ovs-ofctl", "-O", version, *command.words],
        env=switch.environment if rundir is None else {**switch.environment, "OVS_RUNDIR": str(rundir)},
        input=command.stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    place, usual = str(rundir or switch.directory), str(switch.directory)
    out, err = (text.replace(place, usual) for text in (ran.stdout, ran.stderr))
    return comparable(switch, command, ran.returncode, out, err)


def run_own(
    switch: RealSwitch, version: str, command: Command, monkeypatch: pytest.MonkeyPatch, rundir: Path
) -> Result:
    """The same with `vswitch ofctl`, in this process."""
    if any(BAND_OF_OURS in word for word in command.words):
        return Result(0, "", "")
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setenv("OVS_RUNDIR", str(rundir))
    monkeypatch.setattr("sys.stdin", io.StringIO(command.stdin))
    file = switch.directory / "stdin"
    file.write_text(command.stdin)
    words = [str(file) if word == "/dev/stdin" else word for word in command.words]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = own_ofctl(["-O", version, *words])
    told, failed = (text.getvalue().replace(str(rundir), str(switch.directory)) for text in (out, err))
    return comparable(switch, command, status, told, failed)


def comparable(switch: RealSwitch, command: Command, status: int, stdout: str, stderr: str) -> Result:
    """What was said, without what is free to differ."""
    out, err = (normalised(text, switch.directory) for text in (stdout, stderr))
    if any(word in UNORDERED for word in command.words) and not command.words[0].startswith(
        ("--sort", "--rsort")
    ):
        out = "\n".join(sorted(out.splitlines()))
    for word in command.words:
        if word in ENTRIES:
            out = in_order(out, ENTRIES[word])
    return Result(status, out, err)


def prepare(switch: RealSwitch, afresh: bool = True) -> None:
    """Bridge br0 anew, with ports p1 to p4 that have the numbers 1 to 4. Not `afresh`: deleted and added in
    one transaction, in which a bridge stays what it was, with all that it counted."""
    if afresh:
        switch.run("ovs-vsctl", "--if-exists", "del-br", "br0")
    switch.run(
        "ovs-vsctl",
        "--if-exists",
        "del-br",
        "br0",
        "--",
        "add-br",
        "br0",
        "--",
        "set",
        "bridge",
        "br0",
        "datapath_type=dummy",
        "fail_mode=secure",
        f"protocols={','.join(VERSIONS)}",
        "other_config:datapath-id=00000000000000a1",
    )
    # One port a transaction: FLOOD then outputs to them in the same order everywhere.
    for number in range(1, 5):
        switch.run(
            "ovs-vsctl",
            "add-port",
            "br0",
            f"p{number}",
            "--",
            "set",
            "interface",
            f"p{number}",
            "type=dummy",
            f"ofport_request={number}",
        )
