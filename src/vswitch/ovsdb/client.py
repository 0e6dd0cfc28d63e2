"""`Client`: a blocking JSON-RPC connection to a database server, for commands that come and go.

What needs to live on (the switch itself) uses the `ovs` library's IDL; a command asks a few
things and ends, so that it waits plainly.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import time
from typing import TYPE_CHECKING, Final, final

from vswitch.base.json_framing import FramingError, JsonFramer
from vswitch.base.records import dataclass
from vswitch.ovsdb.errors import Json, OvsdbError

if TYPE_CHECKING:
    import ssl

DEFAULT_PORT: Final = 6640
MAX_MESSAGE: Final = 256 << 20


@dataclass(frozen=True)
class TlsFiles:
    """The files that `ssl:` needs; `ca_cert` "none" trusts anybody."""

    private_key: str = ""
    certificate: str = ""
    ca_cert: str = ""

    def context(self) -> ssl.SSLContext:
        """A client's TLS settings. OSError (ssl.SSLError is one) if a file can't be used."""
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        if self.ca_cert in ("", "none"):
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_verify_locations(self.ca_cert)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.private_key or None)
        return context


def split_address(text: str) -> tuple[str, int]:
    """HOST[:PORT], an IPv6 address in brackets. OSError if the port is none."""
    host, port = text, str(DEFAULT_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not port.isdigit() or int(port) > 65535:
        raise OSError(errno.EINVAL, f"bad port number {port!r}")
    return host, int(port)


def connect(target: str, tls: TlsFiles | None = None) -> socket.socket:
    """A stream socket to `unix:PATH`, `tcp:HOST[:PORT]` or `ssl:HOST[:PORT]`; `punix:`, `ptcp:`
    and `pssl:` wait for the server to connect. OSError."""
    kind, _, rest = target.partition(":")
    if kind == "unix" and rest:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(rest)
        except OSError:
            sock.close()
            raise
        return sock
    if kind in ("tcp", "ssl") and rest:
        sock = socket.create_connection(split_address(rest))
    elif kind in ("punix", "ptcp", "pssl"):
        sock = _accept(kind, rest)
    else:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
    if kind in ("ssl", "pssl"):
        settings = tls or TlsFiles()
        try:
            return settings.context().wrap_socket(sock)
        except OSError:
            sock.close()
            raise
    return sock


def _accept(kind: str, rest: str) -> socket.socket:
    """Listen, and take the first connection."""
    if kind == "punix":
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(rest)
        listener.listen(1)
    else:
        port, _, host = rest.partition(":")
        if not port.isdigit():
            raise OSError(errno.EINVAL, f"bad port number {port!r}")
        listener = socket.create_server((host.strip("[]"), int(port)))
    with listener:
        return listener.accept()[0]


@final
class Client:
    """One connection. Notifications that come while a reply is waited for are kept."""

    def __init__(self, target: str, tls: TlsFiles | None = None) -> None:
        """Connect. OSError."""
        self.target = target
        self._socket = connect(target, tls)
        self._framer = JsonFramer(MAX_MESSAGE)
        self._messages: list[Json] = []
        self._notifications: list[Json] = []
        self._next_id = 0

    def close(self) -> None:
        """End the connection. Idempotent."""
        self._socket.close()

    def _send(self, message: Json) -> None:
        self._socket.sendall(json.dumps(message, separators=(",", ":")).encode())

    def _receive(self, deadline: float | None = None) -> Json | None:
        """The next message; None if `deadline` (time.monotonic()) passes. ConnectionError."""
        while not self._messages:
            if deadline is not None:
                pending = getattr(self._socket, "pending", None)  # bytes that TLS has read already
                left = max(0.0, deadline - time.monotonic())
                if not (pending and pending()) and not select.select([self._socket], [], [], left)[0]:
                    return None
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionError(errno.ECONNRESET, "End of file")
            try:
                self._messages += self._framer.feed(data)
            except FramingError as error:
                raise ConnectionError(errno.EPROTO, f"the server sent no JSON-RPC: {error}") from error
        return self._messages.pop(0)

    def _take(self, message: Json) -> bool:
        """Deal with a request or notification of the server's; False if it is a reply."""
        if not isinstance(message, dict):
            raise ConnectionError(errno.EPROTO, "the server sent no JSON-RPC")
        if "method" not in message:
            return False
        if message["method"] == "echo":
            self._send({"result": message.get("params"), "error": None, "id": message.get("id")})
        else:
            self._notifications.append(message)
        return True

    def call(self, method: str, *params: Json) -> Json:
        """The result of a request. OvsdbError is its error, OSError a broken connection."""
        self._next_id += 1
        self._send({"method": method, "params": list(params), "id": self._next_id})
        while True:
            message = self._receive()
            if message is None or self._take(message) or message.get("id") != self._next_id:
                continue
            error = message.get("error")
            if error is None:
                return message.get("result")
            if isinstance(error, dict):
                raise OvsdbError(
                    str(error.get("error", "")), str(error.get("details", "")), error.get("syntax", ...)
                )
            raise OvsdbError(str(error))

    def notifications(self, seconds: float | None = None) -> list[Json]:
        """What the server told unasked; waits for something, at most `seconds`, if there is nothing.

        OSError if the connection ends.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._notifications:
            message = self._receive(deadline)
            if message is None:
                break
            self._take(message)
        while self._messages:
            self._take(self._messages.pop(0))
        found, self._notifications = self._notifications, []
        return found
