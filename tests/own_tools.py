"""Our own `vswitch ofctl`, `vsctl` and `appctl` in place of the programs that they stand for.

`run_both` is for tests of our switch: what only looks is asked by both tools, which have to see the same;
what changes something is done by ours. (The real tools do it in the same tests to the real switch, and to
ours in tests/ofctl, tests/trials and tests/cli; with VSWITCH_TEST_TOOLS=real in every test.)

`run_mixed` is for the real switch: half of the commands are carried out by its own tools, half by ours, the
same ones each time; with VSWITCH_TEST_TOOLS=own all are by ours.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from unittest.mock import patch

from tests import tool_server
from tests.tool_server import TOOLS, main_of

WHOSE: Final = os.environ.get("VSWITCH_TEST_TOOLS", "")
"""Whose tools do everything: "real" or "own"."""

LOOKING: Final = {
    "ovs-ofctl": re.compile(r"show|dump-(?!flows-).*|queue-.*|meter-.*|get-frags|probe"),
    "ovs-vsctl": re.compile(
        r"get|list|find|show|list-(br|ports|ifaces)|(br|port|iface)-(exists|to-.*)"
        r"|get-(controller|manager|fail-mode|ssl)"
    ),
    "ovs-appctl": re.compile(r"version|(?!coverage/).*/(list|.*show|dump-.*|list-.*|get-.*|ct-get-.*)"),
}
"""What only looks, of each tool's commands."""
TAKES_VALUE: Final = re.compile(r"-[tTOFPv]|--(timeout|target|protocols|db|flow-format)")
"""Options whose value is the next word."""
PASSES: Final = re.compile(
    r"(?<=duration[=:])[0-9.]+s|(?<=xid=0x)[0-9a-f]+|(?<=_age=)\d+|(?<=used:)[0-9.]+s|_version +: .*"
    r"|sec_since_\w+=\"\d+\"|\d+(?=ms)"
)
"""What time changes between two answers."""
TRIES: Final = 5
"""How often two answers may differ because something changed between them."""


def _commands(words: Sequence[str]) -> list[list[str]]:
    """The commands of a command line, without options: ovs-vsctl has several, each after "--"."""
    found: list[list[str]] = [[]]
    rest = list(words[1:])
    while rest:
        word = rest.pop(0)
        if word == "--" and words[0] == "ovs-vsctl":
            found.append([])
        elif word.startswith("-") and word != "-" and not found[-1]:
            if TAKES_VALUE.fullmatch(word) and rest:
                rest.pop(0)
            if word.startswith("--id"):
                found[-1].append(word)
        else:
            found[-1].append(word)
    return [command for command in found if command]


def only_looks(words: Sequence[str]) -> bool:
    """Whether a command line changes nothing."""
    looking = LOOKING[words[0]]
    return all(looking.fullmatch(command[0]) for command in _commands(words))


NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")


def _seen(ran: subprocess.CompletedProcess[str]) -> tuple[int, list[str]]:
    """What an answer says, whenever and in whichever order of rows."""
    return ran.returncode, sorted(PASSES.sub("T", ran.stdout).splitlines())


def _shape(ran: subprocess.CompletedProcess[str]) -> tuple[int, set[str]]:
    """What an answer says apart from numbers, which move while packets pass."""
    lines = NUMBER.sub("N", PASSES.sub("T", ran.stdout)).splitlines()
    return ran.returncode, {" ".join(line.split()) for line in lines}


class TimeLimit(BaseException):
    """The time that a tool was given has passed, which would end its process."""


def _expire(_pid: int, _number: int) -> None:
    raise TimeLimit


def _real(
    words: Sequence[str], environment: Mapping[str, str], stdin: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=60
    )


def run_both(
    words: Sequence[str], environment: Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """What a command line of one of the tools says to our switch, by both tools if it only looks."""
    if words[0] not in TOOLS or WHOSE == "real":
        return _real(words, environment, stdin)
    own = run_own(words, environment, stdin)
    if only_looks(words) and WHOSE != "own":
        for attempt in range(TRIES):
            real = _real(words, environment, stdin)
            if _seen(own) == _seen(real):
                break
            if attempt == TRIES - 1:
                assert _shape(own) == _shape(real), f"{' '.join(words)}\nours:\n{own}\nthe real one:\n{real}"
                break
            time.sleep(0.05 * attempt)
            own = run_own(words, environment, stdin)
    return own


def run_mixed(
    words: Sequence[str], environment: Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """What a command line of one of the tools says to the real switch: by its own tool or by ours."""
    ours = WHOSE == "own" or (WHOSE != "real" and zlib.crc32(" ".join(words).encode()) % 2)
    return (run_own if ours and words[0] in TOOLS else _real)(words, environment, stdin)


def programs(directory: Path) -> Path:
    """A new directory `bin` in `directory` with programs that have the real tools' names and are ours."""
    made = directory / "bin"
    made.mkdir()
    root = Path(__file__).parents[1]
    path = os.pathsep.join(
        [str(root / part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    )
    for program in TOOLS:
        file = made / program
        command = f"{sys.executable} -m vswitch {program.removeprefix('ovs-')}"
        file.write_text(f"#!/bin/sh\nPYTHONPATH={path} exec {command} \"$@\"\n")
        file.chmod(0o755)
    return made


def run_own(
    words: Sequence[str], environment: Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """What the tool of ours for the program `words[0]` says to the others, its own name as the program's: in
    this process, or in one of its own if another thread than the main one asks (time limits are alarms)."""
    program = words[0]
    ours = program.replace("ovs-", "vswitch ")
    if threading.current_thread() is not threading.main_thread():
        ran = tool_server.run(words, environment, stdin)
        ran.stderr = ran.stderr.replace(f"{ours}: ", f"{program}: ")
        return ran
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patch.dict(os.environ, environment),
        patch("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
        patch("vswitch.cli.alarm.os.kill", _expire),
    ):
        try:
            status = main_of(program)(list(words[1:])) or 0
        except TimeLimit:
            status = -signal.SIGALRM
        finally:
            signal.alarm(0)
    said = err.getvalue().replace(f"{ours}: ", f"{program}: ")
    return subprocess.CompletedProcess(list(words), status, out.getvalue(), said)
