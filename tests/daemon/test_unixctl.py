"""The unixctl server against raw sockets and the real ovs-appctl."""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from vswitch.base.unixctl import CommandError, Commands
from vswitch.daemon.unixctl import UnixctlServer, command_errors

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _commands() -> Commands:
    commands = Commands()
    commands.register("echo", "[word]...", 0, 100, lambda args: " ".join(args))
    commands.register("big", "", 0, 0, lambda _args: "x" * 300_000)

    def fail(_args: list[str]) -> str:
        raise CommandError("no such bridge")

    def crash(_args: list[str]) -> str:
        raise KeyError("oops")

    commands.register("fail", "", 0, 0, fail)
    commands.register("crash", "", 0, 0, crash)
    return commands


def _serve(tmp_path: Path, test: Callable[[UnixctlServer], Awaitable[None]]) -> None:
    async def main() -> None:
        server = UnixctlServer(str(tmp_path / "t.ctl"), _commands())
        server.start(asyncio.get_running_loop())
        try:
            await asyncio.wait_for(test(server), 20)
        finally:
            server.close()
        assert not (tmp_path / "t.ctl").exists()

    with asyncio.Runner() as runner:
        runner.run(main())


async def _connect(server: UnixctlServer) -> Client:
    return await asyncio.open_unix_connection(server.path, limit=1 << 24)


def _request(method: str, *params: Any, id: Any = 0) -> bytes:
    return json.dumps({"method": method, "params": list(params), "id": id}).encode()


async def _reply(client: Client) -> Any:
    """The next JSON object that the server sends."""
    data = b""
    while True:
        data += await client[0].readexactly(1)
        if data.endswith(b"}"):
            try:
                return json.loads(data)
            except ValueError:
                continue


async def _ended(client: Client) -> bool:
    return await client[0].read() == b""


def test_replies_end_in_a_newline_and_errors_are_errors(tmp_path: Path) -> None:
    async def test(server: UnixctlServer) -> None:
        client = await _connect(server)
        client[1].write(_request("echo", "a", "b", id=7) + _request("fail") + _request("echo"))
        assert await _reply(client) == {"id": 7, "result": "a b\n", "error": None}
        assert await _reply(client) == {"id": 0, "result": None, "error": "no such bridge\n"}
        assert await _reply(client) == {"id": 0, "result": "", "error": None}
        client[1].close()

    _serve(tmp_path, test)


def test_a_command_that_breaks_is_an_error_reply(tmp_path: Path) -> None:
    async def test(server: UnixctlServer) -> None:
        before = command_errors.total
        client = await _connect(server)
        client[1].write(_request("crash") + _request("echo", "still here"))
        assert "internal error (KeyError: 'oops')" in (await _reply(client))["error"]
        assert (await _reply(client))["result"] == "still here\n"
        assert command_errors.total == before + 1
        client[1].close()

    _serve(tmp_path, test)


def test_arguments_are_strings(tmp_path: Path) -> None:
    async def test(server: UnixctlServer) -> None:
        client = await _connect(server)
        client[1].write(_request("echo", 1))
        assert (await _reply(client))["error"] == '"echo" command has non-string argument\n'
        client[1].close()

    _serve(tmp_path, test)


def test_requests_may_come_in_pieces_and_from_many_clients(tmp_path: Path) -> None:
    async def test(server: UnixctlServer) -> None:
        clients = [await _connect(server) for _ in range(40)]
        for n, client in enumerate(clients):
            client[1].write(_request("echo", f"client {n}")[:15])
        await asyncio.sleep(0.02)
        for n, client in enumerate(clients):
            client[1].write(_request("echo", f"client {n}")[15:])
        for n, client in enumerate(clients):
            assert (await _reply(client))["result"] == f"client {n}\n"
            client[1].close()

    _serve(tmp_path, test)


@pytest.mark.parametrize(
    "bad",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"{]",
        b'{"id":0}',
        b'{"id":0,"result":1,"error":null}',
        b"[1,2]",
        b"[" * 5000,
        b'{"method":"echo","params":[],"id":null}',
    ],
)
def test_a_bad_message_costs_its_own_connection_only(bad: bytes, tmp_path: Path) -> None:
    async def test(server: UnixctlServer) -> None:
        good, evil = await _connect(server), await _connect(server)
        evil[1].write(bad)
        assert await _ended(evil)
        good[1].write(_request("echo", "fine"))
        assert (await _reply(good))["result"] == "fine\n"
        good[1].close()

    _serve(tmp_path, test)


def test_a_huge_argument_is_taken_and_an_endless_one_is_not(tmp_path: Path) -> None:
    async def test(server: UnixctlServer) -> None:
        client = await _connect(server)
        client[1].write(_request("echo", "y" * 1_000_000))
        data = b""
        while len(data) < 1_000_000:
            data += await client[0].read(1 << 20)
        assert data.count(b"y") == 1_000_000
        client[1].write(b'["' + b"z" * (5 << 20))
        assert await _ended(client)

    _serve(tmp_path, test)


def test_a_client_that_reads_nothing_is_not_read_from(tmp_path: Path) -> None:
    async def test(server: UnixctlServer) -> None:
        lazy, other = await _connect(server), await _connect(server)
        for _ in range(200):
            lazy[1].write(_request("big"))
        await asyncio.sleep(0.1)
        other[1].write(_request("echo", "quick"))
        assert (await _reply(other))["result"] == "quick\n"
        lazy[1].close()
        other[1].close()

    _serve(tmp_path, test)


def test_half_a_request_and_a_hangup_are_harmless(tmp_path: Path) -> None:
    async def test(server: UnixctlServer) -> None:
        for data in (b"", b'{"method":', _request("echo", "x")):
            client = await _connect(server)
            client[1].write(data)
            client[1].close()
        client = await _connect(server)
        client[1].write(_request("echo", "alive"))
        assert (await _reply(client))["result"] == "alive\n"
        client[1].close()

    _serve(tmp_path, test)


@pytest.mark.system
def test_the_real_ovs_appctl_talks_to_it(tmp_path: Path, require: Callable[..., None]) -> None:
    require("command:ovs-appctl")

    async def appctl(server: UnixctlServer, *args: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            "ovs-appctl", "-t", server.path, *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    async def test(server: UnixctlServer) -> None:
        assert await appctl(server, "echo", "a b", "c") == (0, "a b c\n", "")
        code, out, err = await appctl(server, "fail")
        assert (code, out) == (2, "")
        assert err == f"no such bridge\novs-appctl: {server.path}: server returned an error\n"
        assert (await appctl(server, "list-commands"))[1].startswith("The available commands are:\n  big ")
        assert '"x" is not a valid command' in (await appctl(server, "x"))[2]

    _serve(tmp_path, test)
