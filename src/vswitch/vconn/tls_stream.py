"""`ssl:` streams: TLS over a TCP stream."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from typing import Any, Final, cast, final

from vswitch.base.vlog import Vlog
from vswitch.vconn.poller import READ, WRITE
from vswitch.vconn.retval import EAGAIN, EPROTO, error_of
from vswitch.vconn.stream import SocketStream, Stream, handshake_failed
from vswitch.vconn.tls import Tls

ssl_log: Final = Vlog("stream_ssl")

_TLS_CHUNK: Final = 16384
"""The most that one TLS record holds."""


def _reason(error: ssl.SSLError) -> object:
    """What went wrong, in a word if there is one; the type of `reason` hides that it may be None."""
    return getattr(error, "reason", None) or error


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
