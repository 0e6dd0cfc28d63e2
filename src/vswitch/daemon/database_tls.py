"""`ssl:` connections to the database, with the keys and certificates of the process's other TLS connections.

The database client's library has its own settings, which it takes for granted; here a missing or bad file
is a connection that failed, is logged, and is tried again.
"""

from __future__ import annotations

import errno
import socket
from typing import Any, ClassVar

import ovs.poller
import ovs.socket_util
import ovs.stream

from vswitch.vconn.tls import Tls, TlsError


class _TlsStream(ovs.stream.SSLStream):  # type: ignore[misc]
    """The library's stream, over a context of ours."""

    tls: ClassVar[Tls | None] = None

    @staticmethod
    def _open(suffix: str, dscp: int) -> tuple[int, Any]:
        tls = _TlsStream.tls
        if tls is None or tls.bootstrapping:
            return errno.EPROTONOSUPPORT, None
        try:
            context = tls.context(server=False)
        except TlsError:
            # It has said why.
            return errno.EPROTONOSUPPORT, None
        import ssl

        for module in (ovs.poller, ovs.socket_util, ovs.stream):
            module.ssl = ssl  # They were loaded without it (`bridge/idl.py`).
        address = ovs.socket_util.inet_parse_active(suffix, 0, raises=False)
        family, sock = ovs.socket_util.inet_create_socket_active(socket.SOCK_STREAM, address)
        if sock is None:
            return int(family), None
        wrapped = context.wrap_socket(sock, do_handshake_on_connect=False)
        error = ovs.socket_util.inet_connect_active(wrapped, address, family, dscp)
        if error in (0, errno.EINPROGRESS):
            try:
                wrapped.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as e:
                wrapped.close()
                return e.errno or errno.EIO, None
        return error, wrapped


def use(tls: Tls) -> None:
    """Let the database's client connect with `tls`."""
    _TlsStream.tls = tls
    ovs.stream.Stream.register_method("ssl", _TlsStream)
