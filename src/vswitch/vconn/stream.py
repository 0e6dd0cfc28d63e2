"""Streams of bytes over sockets, all non-blocking; here are `tcp:` and `unix:`, `tls_stream.py` has `ssl:`.

`connect` is called until it says 0; from then on `recv` and `send` do what they can at once.
"""

from __future__ import annotations

import errno
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, final

from vswitch.base import coverage
from vswitch.vconn.address import Address
from vswitch.vconn.lookup import Lookup
from vswitch.vconn.poller import READ, WRITE
from vswitch.vconn.retval import EAGAIN, error_of

_WOULD_BLOCK: Final = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINPROGRESS, errno.EALREADY, errno.EINTR)
handshake_failed: Final = coverage.counter("stream_tls_handshake_failed")


class Stream(ABC):
    """One connection. No method blocks; after an error only `close` may be called."""

    name: str
    """Such as "tcp:127.0.0.1:6653", "unix#3"."""
    short_read_drains: bool
    """Whether a `recv` of less than it was asked for means that nothing is left."""

    @property
    @abstractmethod
    def fd(self) -> int:
        """The descriptor to watch; another may take its place while connecting."""

    @property
    @abstractmethod
    def connect_events(self) -> int:
        """READ or WRITE: what `connect` waits for on `fd`."""

    @abstractmethod
    def connect(self) -> int:
        """Go on with the connection: 0 when it is there, EAGAIN, or the errno with which it failed."""

    @abstractmethod
    def recv(self, n: int) -> bytes | None:
        """Up to `n` bytes, b"" at the end, None if there is nothing now. OSError."""

    @abstractmethod
    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        """Send the beginning of `buffers`; how many bytes were taken, 0 if none now. OSError."""

    @property
    @abstractmethod
    def unsent(self) -> bool:
        """Whether bytes that `send` took still wait here, for another call of it."""

    @abstractmethod
    def close(self) -> None:
        """Give up the connection. Idempotent."""


def _plain_connect(sock: socket.socket, where: Any) -> int:
    """Begin to connect: 0, EAGAIN or the errno."""
    error = sock.connect_ex(where)
    return EAGAIN if error in _WOULD_BLOCK else error


@final
class SocketStream(Stream):
    """TCP, or a Unix socket."""

    def __init__(self, name: str, sock: socket.socket | None, connected: bool, lookup: Lookup | None = None,
                 address: Address | None = None, dscp: int = 0) -> None:  # fmt: skip
        self.name = name
        self.short_read_drains = True
        self._sock = sock
        self._connected = connected
        self._lookup = lookup
        self._address = address
        self._dscp = dscp

    @property
    def fd(self) -> int:
        if self._sock is not None:
            return self._sock.fileno()
        return self._lookup.fd if self._lookup is not None else -1

    @property
    def socket(self) -> socket.socket:
        """The socket, once there is one."""
        assert self._sock is not None
        return self._sock

    @property
    def connect_events(self) -> int:
        return READ if self._sock is None else WRITE

    def connect(self) -> int:
        if self._connected:
            return 0
        if self._sock is None:
            lookup, address = self._lookup, self._address
            assert lookup is not None
            assert address is not None
            if not lookup.done:
                return EAGAIN
            # Its descriptor, which is being watched, stays open until `close`.
            if lookup.error:
                return lookup.error
            try:
                found = Address(address.method, lookup.address, address.port)
                self._sock, error = tcp_socket(found, self._dscp)
            except OSError as e:
                return error_of(e)
            if error:
                return error
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            return error
        try:
            self.socket.getpeername()
        except OSError:
            return EAGAIN
        self._connected = True
        return 0

    def recv(self, n: int) -> bytes | None:
        sock = self._sock
        assert sock is not None
        try:
            return sock.recv(n)
        except (BlockingIOError, InterruptedError):
            return None

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        sock = self._sock
        assert sock is not None
        try:
            return sock.send(buffers[0]) if len(buffers) == 1 else sock.sendmsg(buffers)
        except (BlockingIOError, InterruptedError):
            return 0

    @property
    def unsent(self) -> bool:
        return False

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
        if self._lookup is not None:
            self._lookup.close()


def tcp_socket(address: Address, dscp: int) -> tuple[socket.socket, int]:
    """A socket that connects to a literal address: (socket, 0 or EAGAIN or errno). OSError."""
    info = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )[0]
    sock = socket.socket(info[0], socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        prepare(sock, dscp)
        error = _plain_connect(sock, info[4])
        if error not in (0, EAGAIN):
            raise OSError(error, os.strerror(error))
    except BaseException:
        sock.close()
        raise
    return sock, error


def prepare(sock: socket.socket, dscp: int) -> None:
    """The options of every TCP connection: no waiting to fill segments, and the class of its packets."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if dscp:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
