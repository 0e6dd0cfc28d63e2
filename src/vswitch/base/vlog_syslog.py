"""Ways to a syslog daemon: `--syslog-method` and `--syslog-target` of ovs-vswitchd(8).

A message sent directly, over a Unix or UDP socket, has its priority in front; with `libc` the library
writes a longer header. `prefix` is that header as a pattern, for `vlog/list-pattern`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import syslog
from typing import Final, Protocol, final

FACILITIES: Final = {
    name: number << 3
    for number, name in (
        (0, "kern"), (1, "user"), (2, "mail"), (3, "daemon"), (4, "auth"), (5, "syslog"), (6, "lpr"),
        (7, "news"), (8, "uucp"), (9, "clock"), (11, "ftp"), (12, "ntp"), (13, "audit"), (14, "alert"),
        (15, "clock2"), (16, "local0"), (17, "local1"), (18, "local2"), (19, "local3"), (20, "local4"),
        (21, "local5"), (22, "local6"), (23, "local7"),
    )
}  # fmt: skip
"""Names of facilities (RFC 5424, section 6.2.1) as they are in a priority: times 8."""


class Syslogger(Protocol):
    """Sends messages somewhere."""

    @property
    def prefix(self) -> str:
        """What comes in front of each message."""

    def send(self, program: str, priority: int, text: str) -> None:
        """Send `text`; `priority` is facility and severity. What can't be sent is lost: there is nobody
        left to tell."""

    def close(self) -> None:
        """Let go of the way there."""


@final
class LibcSyslogger:
    """The C library's `syslog`."""

    prefix: Final = "<%B> %D{%h %e %T} %E %A:"

    def __init__(self) -> None:
        self._program = ""

    def send(self, program: str, priority: int, text: str) -> None:
        if self._program != program:
            self._program = program
            syslog.openlog(program, syslog.LOG_NDELAY, syslog.LOG_DAEMON)
        syslog.syslog(priority, text.replace("\0", " "))

    def close(self) -> None:
        syslog.closelog()
        self._program = ""


@final
class NullSyslogger:
    """Nowhere."""

    prefix: Final = ""

    def send(self, program: str, priority: int, text: str) -> None:
        pass

    def close(self) -> None:
        pass


@final
class SocketSyslogger:
    """Straight to a Unix socket's path or a UDP (address, port)."""

    prefix: Final = "<%B>"

    def __init__(self, address: str | tuple[str, int]) -> None:
        if isinstance(address, str):
            family = socket.AF_UNIX
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._address = address
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    def send(self, program: str, priority: int, text: str) -> None:
        self.send_bytes(f"<{priority}>{text}".encode(errors="backslashreplace"))

    def send_bytes(self, data: bytes) -> None:
        """Send a datagram."""
        with contextlib.suppress(OSError):
            self._socket.sendto(data, self._address)

    def close(self) -> None:
        self._socket.close()


def udp_address(text: str) -> tuple[str, int]:
    """"127.0.0.1:514" or "[::1]:514" as an address; ValueError says what is wrong."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port:
        raise ValueError(f"{text}: port must be specified")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text}: bad port number \"{port}\"")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{text}: bad IP address \"{host}\"") from None
    return host, int(port)


def syslogger(method: str) -> Syslogger:
    """The way that `--syslog-method` names: "libc", "null", "unix:FILE" or "udp:IP:PORT". ValueError."""
    kind, colon, rest = method.partition(":")
    if method == "libc":
        return LibcSyslogger()
    if method == "null":
        return NullSyslogger()
    if colon and kind == "unix" and rest:
        return SocketSyslogger(rest)
    if colon and kind == "udp":
        return SocketSyslogger(udp_address(rest))
    raise ValueError(f"unsupported syslog method '{method}'")
