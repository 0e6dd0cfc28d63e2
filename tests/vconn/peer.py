"""The other end of a connection: a plain socket that speaks just as much OpenFlow as a test wants."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, FEATURES_REQUEST = 0, 1, 2, 3, 5
FLOW_MOD = 14


def message(version: int, kind: int, body: bytes = b"", xid: int = 7, length: int | None = None) -> bytes:
    """A message; `length` to tell a wrong one."""
    return struct.pack("!BBHI", version, kind, 8 + len(body) if length is None else length, xid) + body


class Peer:
    """A connected socket, read message by message."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(10)
        self.sock = sock
        self._rest = b""

    @classmethod
    def unix(cls, path: str) -> Peer:
        """Connected to the Unix socket at `path`."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        return cls(sock)

    @classmethod
    def tcp(cls, port: int) -> Peer:
        """Connected to a port of this host."""
        return cls(socket.create_connection(("127.0.0.1", port), 10))

    def send(self, *messages: bytes) -> None:
        """Send all of them."""
        self.sock.sendall(b"".join(messages))

    def recv(self) -> bytes | None:
        """The next message, None at the end of the connection."""
        while len(self._rest) < 8 or len(self._rest) < int.from_bytes(self._rest[2:4], "big"):
            try:
                got = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not got:
                return None
            self._rest += got
        n = int.from_bytes(self._rest[2:4], "big")
        one, self._rest = self._rest[:n], self._rest[n:]
        return one

    def recv_kind(self, kind: int) -> bytes:
        """The next message of a type; the others are passed over. AssertionError: the connection ended."""
        while True:
            data = self.recv()
            assert data is not None, f"closed before a message of type {kind}"
            if data[1] == kind:
                return data

    def hello(self, version: int = 4) -> Peer:
        """Exchange hellos."""
        self.send(message(version, HELLO))
        self.recv_kind(HELLO)
        return self

    def hello_later(self, version: int = 4) -> Peer:
        """Say hello, and leave the other's for later."""
        self.send(message(version, HELLO))
        return self

    def echo(self, body: bytes = b"", version: int = 4, xid: int = 99) -> bytes:
        """Ask for an echo and wait for it."""
        self.send(message(version, ECHO_REQUEST, body, xid))
        return self.recv_kind(ECHO_REPLY)

    def close(self) -> None:
        """Hang up."""
        self.sock.close()


class Controller:
    """A listening socket on a port of its own."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.settimeout(10)
        self.port = self.sock.getsockname()[1]
        self.target = f"tcp:127.0.0.1:{self.port}"

    def accept(self) -> Peer:
        """The next switch that connects."""
        return Peer(self.sock.accept()[0])

    def close(self) -> None:
        """Listen no more."""
        self.sock.close()


def turns(run: Callable[[], Any], condition: Callable[[], Any], most: int = 20_000) -> None:
    """Call `run` until `condition()` is true. AssertionError: it never is."""
    for _ in range(most):
        if condition():
            return
        run()
    raise AssertionError(f"not in {most} turns: {condition}")
