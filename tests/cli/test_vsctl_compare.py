"""Debian's ovs-vsctl, every command of its manual page, against our switch on the real database server and on
ours, and against the real pair: the same answers, and every one of them returns."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.sandbox import wait_until
from tests.cli.test_vsctl import LINES, UUID, comparable
from tests.ovsdb.pair import real_server
from vswitch.ovsdb.log import DatabaseFile
from vswitch.ovsdb.vswitch_schema import VSWITCH

pytestmark = pytest.mark.system

OUR_OWN = re.compile(
    r"set-manager|manager|ssl|ovs_version|system-id|^list open|--dry-run|-t \d|datapath_id|list-dp-cap"
    r"|^list bridge br0$|^find interface$|list bridge$|--oneline show"
)
"""Lines that tell of the switch itself (its addresses, versions, statistics), or that would have both
listen on one port."""


OWN = (sys.executable, "-m", "vswitch")


def _env(home: Path) -> dict[str, str]:
    return dict(os.environ, OVS_RUNDIR=str(home), OVS_LOGDIR=str(home), OVS_DBDIR=str(home))


@contextlib.contextmanager
def _running(command: list[str], home: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=_env(home), stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def real_pair(home: Path) -> Iterator[str]:
    """The real server and switch; the server's socket."""
    home.mkdir()
    with (
        real_server(home / "conf.db", VSWITCH) as sock,
        _running(["ovs-vswitchd", "--enable-dummy=override", "--disable-system", f"--unixctl={home}/ctl",
                  "-vconsole:off", f"unix:{sock}"], home),
    ):  # fmt: skip
        yield sock


@contextlib.contextmanager
def our_server(home: Path) -> Iterator[str]:
    """Our database server, as `vswitch up` starts it; its socket."""
    sock = f"{home}/db.sock"
    DatabaseFile.open(home / "conf.db", VSWITCH).close()
    command = [*OWN, "ovsdb-server", f"--remote=punix:{sock}", "-vconsole:off", f"{home}/conf.db"]
    with _running(command, home):
        assert wait_until(lambda: os.path.exists(sock))
        yield sock


@contextlib.contextmanager
def our_switch(home: Path, embedded: bool) -> Iterator[str]:
    """Our switch, on our server if `embedded`, else on the real one; the server's socket."""
    home.mkdir()
    with (
        our_server(home) if embedded else real_server(home / "conf.db", VSWITCH) as sock,
        _running([*OWN, "vswitchd", "--enable-dummy=override", "--disable-system", "-vconsole:off",
                  f"--unixctl={home}/ctl", f"--log-file={home}/log", f"unix:{sock}"], home),
    ):  # fmt: skip
        yield sock


def ask(sock: str, line: str) -> tuple[Any, int, str]:
    """(output to compare, exit status, all that was said)."""
    words = shlex.split(line)
    database = [] if any(word.startswith("--db") for word in words) else [f"--db=unix:{sock}"]
    ran = subprocess.run(
        ["ovs-vsctl", *database, "-t", "15", *words], capture_output=True, text=True, check=False, timeout=30
    )
    # Either switch says of a lone patch port when it comes to it that there is no peer.
    text = re.sub(r" +(ovs_version|error): .*\n", "", UUID.sub("UUID", ran.stdout))
    return comparable(line, text), ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize("embedded", [True, False], ids=["our server", "the real server"])
def test_every_command_returns_and_answers_as_with_the_real_pair(
    require: Any, tmp_path: Path, embedded: bool
) -> None:
    require("command:ovs-vsctl", "command:ovs-vswitchd", "tun")
    differing: list[str] = []
    with real_pair(tmp_path / "real") as theirs, our_switch(tmp_path / "ours", embedded) as ours:
        for line in LINES.read_text().splitlines():
            line = line.replace("--no-wait ", "")
            if line.startswith("==") or OUR_OWN.search(line):
                continue
            mine, real = ask(ours, line), ask(theirs, line)
            if mine[:2] != real[:2]:
                differing.append(f"$ {line}\n--- ours [{mine[1]}]\n{mine[2]}--- real [{real[1]}]\n{real[2]}")
    assert not differing, "\n".join(differing)
