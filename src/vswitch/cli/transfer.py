"""A TCP transfer between two hosts of the demonstration, measured at the receiver.

`python -m vswitch.cli.transfer receive PORT` takes one connection and prints bytes and seconds;
`... send ADDRESS PORT SECONDS` fills it.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import Final

_CHUNK: Final = 1 << 18


def receive(port: int) -> tuple[int, float]:
    """Take one connection on `port` to its end: (bytes, seconds from first to last byte)."""
    with socket.create_server(("", port)) as server:
        print("ready", flush=True)
        connection, _peer = server.accept()
    buffer = bytearray(_CHUNK)
    total = 0
    with connection:
        total = connection.recv_into(buffer)
        start = time.monotonic()
        while n := connection.recv_into(buffer):
            total += n
        return total, time.monotonic() - start


def send(address: str, port: int, seconds: float) -> None:
    """Send zeros for `seconds`."""
    data = bytes(_CHUNK)
    with socket.create_connection((address, port), timeout=10) as connection:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            connection.sendall(data)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        print(*receive(int(sys.argv[2])))
    else:
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
