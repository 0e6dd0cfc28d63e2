"""Asking a switch over its socket."""

import asyncio
from pathlib import Path

import pytest

from vswitch.base.unixctl import CommandError, Commands
from vswitch.cli.appctl import ask
from vswitch.daemon.daemon import new_event_loop
from vswitch.daemon.unixctl import UnixctlServer


def test_replies_and_errors(tmp_path: Path) -> None:
    path = str(tmp_path / "s.ctl")

    async def main() -> None:
        commands = Commands()
        commands.register("echo", "[word]...", 0, 9, " ".join)
        server = UnixctlServer(path, commands)
        await server.start()
        assert await asyncio.to_thread(ask, path, "echo", "a", "b") == "a b\n"
        with pytest.raises(CommandError, match='"nosuch" is not a valid command'):
            await asyncio.to_thread(ask, path, "nosuch")
        await server.close()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())
    with pytest.raises(FileNotFoundError):
        ask(path, "echo")
