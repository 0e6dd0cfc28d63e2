"""The unixctl server: `ovs-appctl` talks to it over a Unix socket in JSON-RPC (ovs-appctl(8)).

Any number of clients at a time. A client that sends what is no request loses its own
connection; a client that doesn't read its replies is not read from until it does.
"""

from __future__ import annotations

import json
import os
import socket
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final, final

from vswitch.base import coverage
from vswitch.base.json_framing import FramingError, JsonFramer
from vswitch.base.unixctl import CommandError, Commands, Json
from vswitch.base.vlog import Vlog
from vswitch.daemon.eventloop import EventLoop

log: Final = Vlog("unixctl")
received: Final = coverage.counter("unixctl_received")
replied: Final = coverage.counter("unixctl_replied")
command_errors: Final = coverage.counter("unixctl_command_exception")

READ_SIZE: Final = 1 << 18
"""More than a socket holds: what is left unread when one is closed would be an error to the client."""
ACCEPTED_AT_ONCE: Final = 10
LAST_WORDS_S: Final = 0.1
"""How long clients may take to read the last replies."""


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
class _Connection:
    """One client."""

    def __init__(self, sock: socket.socket, server: UnixctlServer, loop: EventLoop) -> None:
        self._sock = sock
        self._server = server
        self._loop = loop
        self._options = Options()
        self._framer = JsonFramer()
        self._pending: list[Any] = []
        self._unsent = memoryview(b"")
        self._reading = False
        self._writing = False
        self._eof = False
        """Whether nothing is to be read any more: the end comes when all is answered."""
        self._ended = False
        self._wait()

    def _wait(self) -> None:
        """Wait for what can come next: requests, or the client's taking the replies."""
        fd = self._sock.fileno()
        writing = bool(self._unsent)
        reading = not (writing or self._eof or self._ended)
        if reading != self._reading:
            self._reading = reading
            if reading:
                self._loop.add_reader(fd, self._readable)
            else:
                self._loop.remove_reader(fd)
        if writing != self._writing:
            self._writing = writing
            if writing:
                self._loop.add_writer(fd, self._writable)
            else:
                self._loop.remove_writer(fd)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            self.end()
            return
        if data:
            try:
                self._pending += self._framer.feed(data)
            except FramingError as e:
                self._drop(str(e))
                return
        else:
            self._eof = True
        self._work()

    def _work(self) -> None:
        """Answer what waits, as long as the client takes the replies."""
        while self._pending and not self._unsent and not self._ended:
            message = self._pending.pop(0)
            try:
                reply = answer(self._server.commands, message, self._options)
            except ValueError as e:
                self._drop(f"{e}: {str(message)[:100]}")
                return
            self._unsent = memoryview(json.dumps(reply).encode())
            self._send()
            self._server.answered()
        if self._eof and not self._pending and not self._unsent:
            self.end()
        self._wait()

    def _send(self) -> None:
        """Send what the client takes now."""
        try:
            self._unsent = self._unsent[self._sock.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.end()

    def _writable(self) -> None:
        self._send()
        self._work()

    def _drop(self, why: str) -> None:
        log.warn("dropping a connection: %s", why)
        self._pending.clear()
        self.close()

    def close(self) -> None:
        """End the connection after what is already answered."""
        self._pending.clear()
        self._eof = True
        if not self._unsent:
            self.end()
        self._wait()

    def end(self) -> None:
        """End the connection at once. Idempotent."""
        if self._ended:
            return
        self._ended = True
        self._pending.clear()
        self._unsent = memoryview(b"")
        self._wait()
        self._sock.close()
        self._server.ended(self)


@final
class UnixctlServer:
    """Listens on `path`."""

    def __init__(
        self, path: str, commands: Commands, answered: Callable[[], None] = lambda: None
    ) -> None:
        """`answered` is called after each command, which may have changed anything."""
        self.path = path
        self.commands = commands
        self.answered = answered
        self._connections: set[_Connection] = set()
        self._loop: EventLoop | None = None
        self._draining = False
        self._socket: socket.socket | None = None

    def start(self, loop: EventLoop) -> None:
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
            Vlog("stream_unix").err("%s: binding failed: %s", self.path, e.strerror or e)
            text = f"{self.path}: could not initialize control socket ({e.strerror or e})"
            raise OSError(e.errno, text) from e
        finally:
            os.umask(mask)
        sock.setblocking(False)
        self._socket, self._loop = sock, loop
        loop.add_reader(sock.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._socket is not None
        assert self._loop is not None
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            sock.setblocking(False)
            self._connections.add(_Connection(sock, self, self._loop))

    def ended(self, connection: _Connection) -> None:
        """A connection has ended."""
        self._connections.discard(connection)
        if self._draining and not self._connections:
            assert self._loop is not None
            self._loop.stop()

    def close(self) -> None:
        """Stop listening, remove the socket, end the connections whose replies are out; the others when
        theirs are, if the loop runs for so long. Idempotent."""
        if self._socket is None:
            return
        assert self._loop is not None
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None
        for connection in list(self._connections):
            connection.close()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass

    def drain(self) -> None:
        """After `close`, and outside of the loop: run it until the last replies are out, but not for long."""
        if self._loop is None or not self._connections:
            return
        self._draining = True
        enough = self._loop.call_later(LAST_WORDS_S, self._loop.stop)
        self._loop.run_forever()
        enough.cancel()
        self._draining = False
        for connection in list(self._connections):
            connection.end()
