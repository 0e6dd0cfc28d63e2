"""Streams of bytes over sockets: `tcp:`, `ssl:` and `unix:`, all non-blocking.

`connect` is called until it says 0; from then on `recv` and `send` do what they can at once.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, cast, final

from vswitch.base import coverage
from vswitch.base.vlog import Vlog
from vswitch.vconn.address import Address, AddressError, bracketed, parse_active, unix_path
from vswitch.vconn.lookup import Lookup
from vswitch.vconn.poller import READ, WRITE
from vswitch.vconn.retval import EAGAIN, EPROTO, error_of
from vswitch.vconn.tls import Tls, TlsError

log: Final = Vlog("stream")
ssl_log: Final = Vlog("stream_ssl")

_WOULD_BLOCK: Final = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINPROGRESS, errno.EALREADY, errno.EINTR)
_TLS_CHUNK: Final = 16384
"""The most that one TLS record holds."""
_unix_numbers: Final = itertools.count()
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


def _reason(error: ssl.SSLError) -> object:
    """What went wrong, in a word if there is one; the type of `reason` hides that it may be None."""
    return getattr(error, "reason", None) or error


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
                self._sock, error = _tcp(Address(address.method, lookup.address, address.port), self._dscp)
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


@final
class TlsStream(Stream):
    """TLS over a TCP stream. The handshake is part of `connect`."""

    def __init__(self, tcp: SocketStream, tls: Tls, context: ssl.SSLContext, server: bool) -> None:
        self.name = tcp.name
        self.short_read_drains = False  # TLS hands out a record at a time
        self._tcp = tcp
        self._tls = tls
        self._context = context
        self._server = server
        self._bootstrapping = tls.bootstrapping
        self._ssl: ssl.SSLSocket | None = None
        self._chunk = b""
        """What was given to TLS and not taken: it must be given again just so."""
        self._want = WRITE

    @property
    def fd(self) -> int:
        return self._tcp.fd if self._ssl is None else self._ssl.fileno()

    @property
    def connect_events(self) -> int:
        return self._tcp.connect_events if self._ssl is None else self._want

    def connect(self) -> int:
        if self._ssl is None:
            error = self._tcp.connect()
            if error:
                return error
            try:
                self._ssl = self._context.wrap_socket(
                    self._tcp.socket, server_side=self._server, do_handshake_on_connect=False
                )
            except OSError as e:
                return error_of(e)
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._want = READ
            return EAGAIN
        except ssl.SSLWantWriteError:
            self._want = WRITE
            return EAGAIN
        except ssl.SSLError as e:
            handshake_failed.inc()
            ssl_log.warn("%s: TLS handshake failed: %s", self.name, _reason(e))
            return EPROTO
        except OSError as e:
            handshake_failed.inc()
            ssl_log.warn("%s: TLS handshake failed: %s", self.name, e.strerror or e)
            return error_of(e)
        if self._bootstrapping:
            # The certificate is kept, and the next connection is checked by it: EPROTO makes that so.
            if self._tls.bootstrapping:
                self._tls.bootstrap(_chain(self._ssl))
            return EPROTO
        return 0

    def recv(self, n: int) -> bytes | None:
        assert self._ssl is not None
        try:
            return self._ssl.recv(n)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLError as e:
            ssl_log.warn("%s: TLS receive failed: %s", self.name, _reason(e))
            raise OSError(EPROTO, os.strerror(EPROTO)) from e

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        if self._chunk and not self._put():
            return 0
        chunk = b"".join(buffers)[:_TLS_CHUNK] if buffers else b""
        if chunk:
            self._chunk = chunk
            self._put()
        return len(chunk)

    def _put(self) -> bool:
        assert self._ssl is not None
        try:
            n = self._ssl.send(self._chunk)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except ssl.SSLError as e:
            ssl_log.warn("%s: TLS send failed: %s", self.name, _reason(e))
            raise OSError(EPROTO, os.strerror(EPROTO)) from e
        self._chunk = self._chunk[n:]
        return not self._chunk

    @property
    def unsent(self) -> bool:
        return bool(self._chunk)

    def close(self) -> None:
        if self._ssl is not None:
            self._ssl.close()
        self._tcp.close()


def _chain(sock: ssl.SSLSocket) -> list[bytes]:
    """The certificates that the peer sent, its own first, as DER."""
    if hasattr(sock, "get_unverified_chain"):  # Python 3.13
        return list(sock.get_unverified_chain())
    inner = cast("Any", sock)._sslobj
    der = 2  # _ssl.ENCODING_DER
    return [certificate.public_bytes(der) for certificate in inner.get_unverified_chain() or ()]


def _tcp(address: Address, dscp: int) -> tuple[socket.socket, int]:
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


def open_stream(target: str, tls: Tls, dscp: int = 0) -> Stream:
    """Begin to connect to an active target. OSError: it failed at once (also if it means nothing)."""
    try:
        address = parse_active(target)
    except AddressError as e:
        log.err("%s", e)
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT)) from e
    name = str(address)
    if address.method == "unix":
        return SocketStream(name, *_unix(address.host))
    context = None
    if address.method == "ssl":
        try:
            context = tls.context(server=False)
        except TlsError as e:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT)) from e
    if address.literal:
        sock, error = _tcp(address, dscp)
        tcp = SocketStream(name, sock, not error)
    else:
        tcp = SocketStream(name, None, False, Lookup(address.host), address, dscp)
    return tcp if context is None else TlsStream(tcp, tls, context, server=False)


def _unix(path: str) -> tuple[socket.socket, bool]:
    """A Unix socket that connects to `path`, and whether it has. OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        with unix_path(path) as short:
            sock.connect(short)
    except BaseException:
        # EAGAIN means that too many wait to be accepted: on Unix sockets it is not "in progress".
        sock.close()
        raise
    return sock, True


def accepted_stream(sock: socket.socket, peer: Any, method: str, tls: Tls, dscp: int) -> Stream:
    """The stream of a socket that a listener accepted. OSError; then the socket is closed."""
    try:
        sock.setblocking(False)
        if method == "unix":
            return SocketStream(f"unix#{next(_unix_numbers)}", sock, True)
        prepare(sock, dscp)
        tcp = SocketStream(f"{method}:{bracketed(peer[0])}:{peer[1]}", sock, True)
        if method == "tcp":
            return tcp
        try:
            return TlsStream(tcp, tls, tls.context(server=True), server=True)
        except TlsError as e:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT)) from e
    except BaseException:
        sock.close()
        raise
