"""Streams to active targets, and of what a listener accepted."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from vswitch.base.vlog import Vlog
from vswitch.vconn.address import AddressError, bracketed, parse_active, unix_path
from vswitch.vconn.lookup import Lookup
from vswitch.vconn.stream import SocketStream, Stream, prepare, tcp_socket
from vswitch.vconn.tls import Tls, TlsError

if TYPE_CHECKING:
    import ssl

log: Final = Vlog("stream")

_unix_numbers: Final = itertools.count()


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
        sock, error = tcp_socket(address, dscp)
        tcp = SocketStream(name, sock, not error)
    else:
        tcp = SocketStream(name, None, False, Lookup(address.host), address, dscp)
    return tcp if context is None else _over_tls(tcp, tls, context, server=False)


def _over_tls(tcp: SocketStream, tls: Tls, context: ssl.SSLContext, server: bool) -> Stream:
    """TLS over a connection: the library for it is loaded when there is one."""
    from vswitch.vconn.tls_stream import TlsStream

    return TlsStream(tcp, tls, context, server)


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
            return _over_tls(tcp, tls, tls.context(server=True), server=True)
        except TlsError as e:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT)) from e
    except BaseException:
        sock.close()
        raise
