"""The unixctl server: `ovs-appctl` talks to it over a Unix socket in JSON-RPC (ovs-appctl(8)).

Any number of clients at a time. A client that sends what is no request loses its own
connection; a client that doesn't read its replies is not read from until it does.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final, cast, final

from vswitch.base import coverage
from vswitch.base.json_framing import FramingError, JsonFramer
from vswitch.base.unixctl import CommandError, Commands, Json
from vswitch.base.vlog import Vlog

log: Final = Vlog("unixctl")
received: Final = coverage.counter("unixctl_received")
replied: Final = coverage.counter("unixctl_replied")
command_errors: Final = coverage.counter("unixctl_command_exception")


@final
class Options:
    """What one client asked for with `set-options`, which ovs-appctl sends before its command."""

    def __init__(self) -> None:
        self.as_json = False

    def set(self, args: Sequence[str]) -> None:
        """Take the options "--format json|text"; CommandError names what is none."""
        words = iter(args)
        for word in words:
            if word != "--format":
                raise CommandError(f"set-options: unknown option {word}")
            value = next(words, None)
            if value not in ("json", "text"):
                raise CommandError(f"set-options: --format is json or text, not {value or 'nothing'}")
            self.as_json = value == "json"


def answer(commands: Commands, message: Any, options: Options) -> dict[str, Any]:
    """The JSON-RPC reply to one request; ValueError if `message` is none.

    A command that breaks (any exception but `CommandError`) gives an error reply and a
    traceback in the log.
    """
    if not isinstance(message, dict):
        raise ValueError("not an object")
    method, params, request_id = message.get("method"), message.get("params"), message.get("id")
    if not isinstance(method, str) or not isinstance(params, list) or request_id is None:
        raise ValueError("not a request")
    received.inc()
    log.dbg("received request %s%s, id=%s", method, params, request_id)
    if not all(isinstance(p, str) for p in params):
        ok, reply = False, f'"{method}" command has non-string argument'
    else:
        try:
            ok, reply = _carry_out(commands, method, params, options)
        except Exception as e:
            command_errors.inc()
            log.err("%s %s: %s\n%s", method, params, e, traceback.format_exc())
            ok, reply = False, f"{method}: internal error ({type(e).__name__}: {e}); the log has more"
    if isinstance(reply, str) and reply and not reply.endswith("\n"):
        reply += "\n"
    replied.inc()
    log.dbg("replying with %s, id=%s: %s", "success" if ok else "error", request_id, reply)
    return {
        "id": request_id,
        "result": reply if ok else None,
        "error": None if ok else reply,
    }


def _carry_out(commands: Commands, method: str, params: Sequence[str], options: Options) -> tuple[bool, Json]:
    if method == "set-options":
        try:
            options.set(params)
        except CommandError as e:
            return False, str(e)
        return True, ""
    return commands.run_json(method, params) if options.as_json else commands.run(method, params)


@final
class _Connection(asyncio.Protocol):
    """One client."""

    def __init__(
        self, commands: Commands, connections: set[_Connection], answered: Callable[[], None]
    ) -> None:
        self._commands = commands
        self._answered = answered
        self._options = Options()
        self._connections = connections
        self._framer = JsonFramer()
        self._pending: list[Any] = []
        self._writable = True
        self._eof = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._transport = None

    def pause_writing(self) -> None:
        self._writable = False
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable = True
        if self._transport is not None and not self._eof:
            self._transport.resume_reading()
        self._work()

    def eof_received(self) -> bool:
        self._eof = True
        return bool(self._pending)

    def data_received(self, data: bytes) -> None:
        try:
            self._pending += self._framer.feed(data)
        except FramingError as e:
            self._drop(str(e))
            return
        self._work()

    def _work(self) -> None:
        """Answer what waits, as long as the client takes the replies."""
        while self._pending and self._writable and self._transport is not None:
            message = self._pending.pop(0)
            try:
                reply = answer(self._commands, message, self._options)
            except ValueError as e:
                self._drop(f"{e}: {str(message)[:100]}")
                return
            self._transport.write(json.dumps(reply).encode())
            self._answered()
        if self._eof and not self._pending and self._transport is not None:
            self._transport.close()

    def _drop(self, why: str) -> None:
        log.warn("dropping a connection: %s", why)
        self._pending.clear()
        self.close()

    def close(self) -> None:
        """End the connection after what is already written."""
        if self._transport is not None:
            self._transport.close()


@final
class UnixctlServer:
    """Listens on `path`."""

    def __init__(
        self, path: str, commands: Commands, answered: Callable[[], None] = lambda: None
    ) -> None:
        """`answered` is called after each command, which may have changed anything."""
        self.path = path
        self._commands = commands
        self._answered = answered
        self._connections: set[_Connection] = set()
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Bind the socket, for this user and group only. OSError names the path if that fails."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o027)
        try:
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                pass
            sock.bind(self.path)
            sock.listen(64)
        except OSError as e:
            sock.close()
            text = f"{self.path}: could not initialize control socket ({e.strerror or e})"
            raise OSError(e.errno, text) from e
        finally:
            os.umask(mask)
        sock.setblocking(False)
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: _Connection(self._commands, self._connections, self._answered), sock=sock
        )

    async def close(self) -> None:
        """Stop listening, end all connections once their replies are out, remove the socket."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in list(self._connections):
            connection.close()
        for _ in range(20):
            if not self._connections:
                break
            await asyncio.sleep(0.005)
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
