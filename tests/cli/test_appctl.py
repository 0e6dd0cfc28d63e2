"""Asking a switch over its socket."""

import asyncio
import contextlib
import io
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_ofctl import real_switch
from vswitch.base.unixctl import CommandError, Commands
from vswitch.cli.appctl import ask, main
from vswitch.daemon.unixctl import UnixctlServer


def test_replies_and_errors(tmp_path: Path) -> None:
    path = str(tmp_path / "s.ctl")

    async def run() -> None:
        commands = Commands()
        commands.register("echo", "[word]...", 0, 9, " ".join)
        server = UnixctlServer(path, commands)
        server.start(asyncio.get_running_loop())
        assert await asyncio.to_thread(ask, path, "echo", "a", "b") == "a b\n"
        with pytest.raises(CommandError, match='"nosuch" is not a valid command'):
            await asyncio.to_thread(ask, path, "nosuch")
        server.close()

    with asyncio.Runner() as runner:
        runner.run(run())
    with pytest.raises(FileNotFoundError):
        ask(path, "echo")


LINES = """
version
-t ovs-vswitchd version
list-commands
dpif/show
dpctl/dump-flows
fdb/show br0
fdb/show nobr
ofproto/trace br0 in_port=1,tcp
ofproto/trace br0 bogus=1
nosuch
fdb/show
vlog/list
-t nobody version
-t /nonexistent version
-T 5 version
-T x version
--timeout=0 version
--nosuch
-t
-- version
coverage/read-counter nosuch
"""


@pytest.mark.system
def test_every_line_says_what_ovs_appctl_says(
    require: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("command:ovs-appctl", "command:ovs-vswitchd")
    with real_switch(tmp_path / "a") as home:
        monkeypatch.setenv("OVS_RUNDIR", str(home))
        differing = []
        for line in LINES.strip().splitlines():
            real = subprocess.run(
                ["ovs-appctl", *line.split()], capture_output=True, text=True, timeout=30, check=False
            )
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main(line.split())
            said = err.getvalue().replace("vswitch appctl: ", "ovs-appctl: ")
            # The real one also logs what it could not open.
            theirs = "".join(t for t in real.stderr.splitlines(keepends=True) if "|" not in t)
            if (out.getvalue(), status, said) != (real.stdout, real.returncode, theirs):
                differing.append((line, out.getvalue(), status, said, real))
        assert not differing
