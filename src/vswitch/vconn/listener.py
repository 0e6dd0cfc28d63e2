"""Sockets that others connect to: `ptcp:`, `pssl:` and `punix:`."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Final, final

from vswitch.base.vlog import Vlog
from vswitch.vconn.address import AddressError, parse_passive, unix_path
from vswitch.vconn.open_stream import accepted_stream
from vswitch.vconn.stream import Stream
from vswitch.vconn.tls import Tls

log: Final = Vlog("stream")
BACKLOG: Final = 1024
"""Connecting to a Unix socket fails at once if so many wait already."""


@final
class Listener:
    """One listening socket. OSError if it can't be made; ValueError if the target means nothing."""

    def __init__(self, target: str, tls: Tls, dscp: int = 0) -> None:
        try:
            address = parse_passive(target)
        except AddressError as e:
            log.err("%s", e)
            raise
        self.target: str = target
        self.method: str = address.method
        self._tls = tls
        self._dscp = dscp
        self._path = ""
        self._inode = (0, 0)
        if address.method == "unix":
            self._sock = self._bind_unix(address.host)
        else:
            self._sock = self._bind_tcp(address.host, address.port)
        self.port: int = 0 if address.method == "unix" else int(self._sock.getsockname()[1])
        """The TCP port, also where the target left it to the kernel."""

    def _bind_tcp(self, host: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            sock.bind(where[0][4])
            sock.listen(BACKLOG)
        except BaseException:
            sock.close()
            raise
        return sock

    def _bind_unix(self, path: str) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            # A process that was killed left its socket behind.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            # The file gets the socket's mode (unix(7)): no time between `bind` and `listen`, where those who
            # connect are refused.
            os.fchmod(sock.fileno(), 0o750)
            with unix_path(path) as short:
                sock.bind(short)
            sock.listen(BACKLOG)
            st = os.stat(path)
        except BaseException:
            sock.close()
            raise
        self._path, self._inode = path, (st.st_dev, st.st_ino)
        return sock

    @property
    def fd(self) -> int:
        """The descriptor to watch; readable when somebody waits."""
        return self._sock.fileno()

    def accept(self) -> Stream | None:
        """The next one who connected, None if nobody waits. OSError."""
        try:
            sock, peer = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return None
        return accepted_stream(sock, peer, self.method, self._tls, self._dscp)

    def close(self) -> None:
        """Listen no more, and remove the socket's file if it is still ours. Idempotent."""
        self._sock.close()
        if self._path:
            with contextlib.suppress(OSError):
                st = os.stat(self._path)
                if (st.st_dev, st.st_ino) == self._inode:
                    os.unlink(self._path)
            self._path = ""
