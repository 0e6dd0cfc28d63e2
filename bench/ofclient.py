"""A small OpenFlow 1.3 client over a bridge's Unix socket, that costs little beside what it measures."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from vswitch.openflow.wire.framing import Framing

VERSION = 4
HELLO, ERROR, ECHO_REQUEST, ECHO_REPLY, SET_CONFIG, PACKET_IN = 0, 1, 2, 3, 9, 10
BARRIER_REQUEST, BARRIER_REPLY = 20, 21


def message(kind: int, body: bytes = b"", xid: int = 1) -> bytes:
    """A message of type `kind` (OpenFlow 1.3, 7.1)."""
    return bytes((VERSION, kind)) + (8 + len(body)).to_bytes(2, "big") + xid.to_bytes(4, "big") + body


class Client:
    """One connection. A refused request raises RuntimeError."""

    def __init__(self, path: str, timeout: float = 20) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.framing = Framing()
        self.send(message(HELLO))
        self.wait(HELLO)

    def send(self, data: bytes) -> None:
        """Send whole messages."""
        self.socket.sendall(data)

    def wait(self, kind: int, count: int = 1) -> None:
        """Read until `count` messages of type `kind` have come; others but errors are passed over."""
        while count > 0:
            for data in self.framing.feed(self.socket.recv(65536)):
                if data[1] == kind:
                    count -= 1
                elif data[1] == ERROR:
                    raise RuntimeError(f"the switch refuses: {data.hex()}")
                elif data[1] == ECHO_REQUEST:
                    self.send(bytes((VERSION, ECHO_REPLY)) + data[2:])

    def barrier(self) -> None:
        """Wait until all that was sent has been carried out."""
        self.send(message(BARRIER_REQUEST))
        self.wait(BARRIER_REPLY)


@contextmanager
def client(path: str) -> Iterator[Client]:
    """A client of the socket `path`, closed at the end."""
    made = Client(path)
    try:
        yield made
    finally:
        made.socket.close()
