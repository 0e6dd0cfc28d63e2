"""What a start, a bridge and `exit` print to standard error: nothing that the real switch doesn't print."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.vswitchd import PROGRAM, Stack, alive, eventually

pytestmark = pytest.mark.system

COMMON = "--enable-dummy=override --disable-system"
STARTS = (
    "--detach --pidfile=RUNDIR/own.pid --unixctl=RUNDIR/own.ctl --log-file=RUNDIR/own.log",
    "--detach --no-chdir --pidfile --overwrite-pidfile --monitor",
    "--detach --pidfile --log-file -vconsole:emer -vsyslog:err -vfile:info --mlockall --no-self-confinement",
    "--pidfile --unixctl=own.ctl -vPATTERN:console:%c|%p|%m",
)
"""Command lines of starts that go well. RUNDIR stands for the directory of the run."""
FAILING = {
    "--detach --pidfile=/nonexistent/x.pid": "/nonexistent/x.pid",
    "--pidfile --unixctl=/nonexistent/x.ctl": "x.ctl: could not initialize control socket (No such file",
    "--detach --pidfile --log-file=/nonexistent/x.log": "failed to open /nonexistent/x.log for logging",
    "--detach --pidfile --enable-dummy=nosuch": "nosuch: unknown dummy level",
}
"""Starts that fail -> what both must say of it."""
VARYING = (
    (r"^\d{4}-[0-9T:.-]+Z\|\d+\|", "T|"), (r"\b[0-9a-f]{16}\b", "DPID"), (r"\bpid \d+", "pid N"),
    # The real one probes within the limit of tags that is set then; ours asks what the datapath can do.
    (r"(?<=VLAN header stack length probed as )\d", "N"),
)
SPOILT = {
    "--unixctl=/nonexistent/x.ctl": "stream_unix|ERR|/nonexistent/x.ctl: binding failed: No such file",
    "--private-key=/nonexistent/x.pem": "stream_ssl|ERR|SSL_use_PrivateKey_file: ",
    "--certificate=/nonexistent/x.pem": "stream_ssl|ERR|SSL_use_certificate_file: ",
    "--ca-cert=/nonexistent/x.pem": "ERR|failed to load client certificates from /nonexistent/x.pem: ",
    "--peer-ca-cert=/nonexistent/x.pem": "ERR|failed to open /nonexistent/x.pem for reading: No such file",
    "--ssl-protocols=TLSv1.2,nosuch": "stream_ssl|ERR|nosuch: SSL protocol not recognized",
}
"""Options that something is wrong with -> what the log says of it."""
TOLD = ("connecting...", "connected", "using datapath ID DPID", "Datapath supports unique flow ids")
"""What a start in the foreground says, among other things."""


def start(stack: Stack, program: list[str], form: str) -> Counter[str]:
    """The lines on standard error of a switch that starts, gets a bridge, and ends with `exit`."""
    words = [word.replace("RUNDIR", str(stack.directory)) for word in f"{form} {COMMON}".split()]
    path = stack.directory / "standard-error"
    with path.open("wb") as out:
        started = subprocess.Popen([*program, *words], env=stack.environment, stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=out)  # fmt: skip
    try:
        if "--detach" in words:
            assert started.wait(30) == 0, path.read_text()
        eventually("the pidfile", lambda: bool(_pids(stack)) or started.poll() is not None)
        (pid,) = _pids(stack)
        stack.pids.add(pid)
        stack.run("ovs-vsctl", "-t", "20", "add-br", "b0", "--", "set", "bridge", "b0", "datapath_type=dummy")
        (control,) = (file for file in stack.directory.glob("*.ctl") if file.name != "db.ctl")
        subprocess.run(["ovs-appctl", "-t", str(control), "exit"], env=stack.environment, check=True)
        eventually("the switch ends", lambda: not alive(pid))
        if "--detach" not in words:
            assert started.wait(20) == 0
    finally:
        if started.poll() is None:
            started.kill()
            started.wait()
    text = path.read_text().replace(str(stack.directory), "RUNDIR")
    for pattern, instead in VARYING:
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    return Counter(text.splitlines())


def _pids(stack: Stack) -> list[int]:
    texts = [file.read_text().strip() for file in stack.directory.glob("*.pid")]
    return [int(text) for text in texts if text]


def pair(directory: Path, form: str) -> tuple[Counter[str], Counter[str]]:
    """What the real switch and ours print, each beside a database of its own."""
    found = []
    for name, program in (("real", ["ovs-vswitchd"]), ("ours", PROGRAM)):
        place = directory / name
        place.mkdir()
        stack = Stack(place)
        try:
            stack.start_database()
            found.append(start(stack, program, form))
        finally:
            for pid in _pids(stack):
                if alive(pid):
                    os.kill(pid, 9)
            stack.close()
    return found[0], found[1]


@pytest.mark.parametrize("form", STARTS)
def test_a_start_prints_only_what_the_real_one_prints(
    require: Callable[..., None], tmp_path: Path, form: str
) -> None:
    require("command:ovs-vswitchd", "command:ovsdb-server")
    real, ours = pair(tmp_path, form)
    assert ours - real == Counter()
    if "console:emer" in form:
        assert not [line for line in real if "vlog|INFO" not in line]
    else:
        said = "\n".join(ours)
        assert all(text in said for text in (TOLD[:2] if "--detach" in form else TOLD))


@pytest.mark.parametrize("form", FAILING)
def test_a_start_that_fails_says_why_as_the_real_one(
    require: Callable[..., None], tmp_path: Path, form: str
) -> None:
    require("command:ovs-vswitchd")
    said = []
    for program in (["ovs-vswitchd"], PROGRAM):
        stack = Stack(tmp_path)
        ran = subprocess.run([*program, *form.split(), "unix:nosuch"], env=stack.environment, check=False,
                             capture_output=True, text=True, timeout=30)  # fmt: skip
        assert ran.returncode == 1
        said.append(ran.stderr)
    assert all(FAILING[form] in text for text in said), said


@pytest.mark.parametrize("option", SPOILT)
def test_what_is_wrong_with_an_option_is_logged(
    require: Callable[..., None], tmp_path: Path, option: str
) -> None:
    require("command:ovs-vswitchd")
    stack = Stack(tmp_path)
    for program in (["ovs-vswitchd"], PROGRAM):
        last = [] if "unixctl" in option else ["--unixctl=/nonexistent/y.ctl"]
        ran = subprocess.run([*program, option, *last, "unix:nosuch"], env=stack.environment, check=False,
                             capture_output=True, text=True, timeout=30)  # fmt: skip
        assert ran.returncode == 1
        assert SPOILT[option] in ran.stderr


@pytest.mark.parametrize("remote", ["tcp:127.0.0.1:1", "unix:/nonexistent/db.sock"])
def test_a_database_that_is_not_there_is_no_warning(
    require: Callable[..., None], tmp_path: Path, remote: str
) -> None:
    require("command:ovs-vswitchd")
    found = []
    stack = Stack(tmp_path)
    for program in (["ovs-vswitchd"], PROGRAM):
        path = tmp_path / "standard-error"
        with path.open("wb") as out:
            started = subprocess.Popen([*program, "-vPATTERN:console:%c|%p|%m", *COMMON.split(), remote],
                                       env=stack.environment, stdout=out, stderr=out)  # fmt: skip
        try:
            eventually("it waits", lambda path=path: "waiting 2 seconds" in path.read_text())
        finally:
            started.kill()
            started.wait()
        found.append([line for line in path.read_text().splitlines() if "ovs_numa" not in line])
    failed = "No such file or directory" if "unix" in remote else "Connection refused"
    assert f"reconnect|INFO|{remote}: connection attempt failed ({failed})" in found[0]
    assert found[1] == found[0]
