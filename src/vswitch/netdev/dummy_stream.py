"""Cables between dummy devices of several processes: packets over a stream socket.

Each packet is preceded by its length, 16 bits in network order, as Open vSwitch's dummies do it; so a
switch of either kind can be at the other end. Targets are "unix:PATH" and "tcp:ADDRESS:PORT", or
"punix:PATH" and "ptcp:PORT[:ADDRESS]" for those who wait. An active end that is not connected tries
again twice a second of real time, and whenever there is something to send.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
import time
from typing import Final, final

from vswitch.base import coverage
from vswitch.netdev.provider import NetdevError

MAX_QUEUED: Final = 1 << 20
"""Bytes that wait for a slow peer; packets beyond are dropped."""
MIN_PACKET: Final = 14
RECV_BATCH: Final = 1 << 16
RETRY_NS: Final = 500_000_000
"""Between two attempts to connect."""
_libc: Final = ctypes.CDLL(None, use_errno=True)
READS: Final = 16
"""How many times a connection is read in one turn."""

stream_short: Final = coverage.counter("drop_dummy_stream_short_packet")
stream_full: Final = coverage.counter("drop_dummy_stream_queue_full")


def _timer() -> int:
    """A descriptor that is readable every RETRY_NS (timerfd_create(2)). OSError."""
    fd = int(_libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    # struct itimerspec: the interval, then the first time.
    _libc.timerfd_settime(fd, 0, struct.pack("@4l", 0, RETRY_NS, 0, RETRY_NS), None)
    return fd


@final
class _Connection:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = bytearray()
        self.to_send = bytearray()


@final
class DummyStream:
    """A device's connections. `poll` is the epoll set that the device is waited on with.

    NetdevError: a target that can't be understood or listened at.
    """

    def __init__(self, name: str, target: str, passive: str, poll: select.epoll) -> None:
        self._name = name
        self._target = target
        self._poll = poll
        self._listener: socket.socket | None = None
        self._connections: list[_Connection] = []
        if passive:
            self._listener = self._open(passive, True)
            poll.register(self._listener, select.EPOLLIN)
        self._timer = -1
        if target:
            self._connect()
            self._timer = _timer()
            poll.register(self._timer, select.EPOLLIN)

    @property
    def connected(self) -> bool:
        """Whether somebody is at the other end."""
        return bool(self._connections)

    def close(self) -> None:
        """End all connections."""
        for connection in list(self._connections):
            self._drop(connection)
        if self._timer >= 0:
            self._poll.unregister(self._timer)
            os.close(self._timer)
            self._timer = -1
        if self._listener is not None:
            path = self._listener.getsockname()
            self._poll.unregister(self._listener)
            self._listener.close()
            self._listener = None
            if isinstance(path, str):
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def run(self) -> list[bytes]:
        """What has arrived; connections are accepted and what waits is sent on the way."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = self._listener.accept()
                    self._add(sock)
        if self._timer >= 0:
            with contextlib.suppress(BlockingIOError):
                os.read(self._timer, 8)
                if not self._connections:
                    self._connect()
        packets: list[bytes] = []
        for connection in list(self._connections):
            self._flush(connection)
            if connection in self._connections:
                self._read(connection, packets)
        return packets

    def send(self, packet: bytes) -> bool:
        """Send `packet` to whoever is there; whether it went, or waits."""
        if not self._connections and self._target:
            self._connect()
        sent = False
        for connection in list(self._connections):
            if len(connection.to_send) > MAX_QUEUED:
                stream_full.inc()
                continue
            connection.to_send += len(packet).to_bytes(2, "big") + packet
            self._flush(connection)
            sent = True
        return sent

    def _bad(self, target: str, why: str) -> NetdevError:
        return NetdevError(errno.EINVAL, f"{self._name}: stream {target}: {why}")

    def _open(self, target: str, passive: bool) -> socket.socket:
        kind, _, rest = target.partition(":")
        if kind == ("punix" if passive else "unix") and rest:
            sock = socket.socket(
                socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            )
            address: str | tuple[str, int] = rest
            if passive:
                with contextlib.suppress(OSError):
                    os.unlink(rest)
        elif kind == ("ptcp" if passive else "tcp"):
            first, _, second = rest.partition(":")
            host, port = (second, first) if passive else (first, second)
            if not port.isdigit() or (not passive and not host):
                raise self._bad(target, "no port")
            sock = socket.socket(
                socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            )
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            address = (host, int(port))
        else:
            raise self._bad(target, "unknown kind")
        try:
            if passive:
                sock.bind(address)
                sock.listen(8)
            else:
                error = sock.connect_ex(address)
                if error not in (0, errno.EINPROGRESS):
                    raise OSError(error, os.strerror(error))
        except OSError as e:
            sock.close()
            raise NetdevError(e.errno or errno.EIO, f"{self._name}: stream {target}: {e.strerror}") from e
        return sock

    def _connect(self) -> None:
        try:
            self._add(self._open(self._target, False))
        except NetdevError as e:
            if e.errno == errno.EINVAL:
                raise

    def _add(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._connections.append(_Connection(sock))
        self._poll.register(sock, select.EPOLLIN)

    def _drop(self, connection: _Connection) -> None:
        self._connections.remove(connection)
        with contextlib.suppress(OSError, ValueError):
            self._poll.unregister(connection.sock)
        connection.sock.close()

    def _flush(self, connection: _Connection) -> None:
        while connection.to_send:
            try:
                n = connection.sock.send(connection.to_send)
            except BlockingIOError:
                break
            except OSError as e:
                if e.errno != errno.ENOTCONN:
                    self._drop(connection)
                    return
                break
            del connection.to_send[:n]
        events = select.EPOLLIN | (select.EPOLLOUT if connection.to_send else 0)
        self._poll.modify(connection.sock, events)

    def _read(self, connection: _Connection, packets: list[bytes]) -> None:
        buffer = connection.received
        for _ in range(READS):
            try:
                data = connection.sock.recv(RECV_BATCH)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self._drop(connection)
                break
            buffer += data
        at = 0
        while len(buffer) - at >= 2:
            length = int.from_bytes(buffer[at : at + 2], "big")
            if len(buffer) - at - 2 < length:
                break
            if length < MIN_PACKET:
                stream_short.inc()
            else:
                packets.append(bytes(buffer[at + 2 : at + 2 + length]))
            at += 2 + length
        del buffer[:at]
