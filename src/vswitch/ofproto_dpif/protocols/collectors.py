"""Sockets to the collectors that NetFlow and its like send their datagrams to.

A datagram that can't be sent at once is dropped and counted: a collector that is not there costs nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import Final, final

from vswitch.base import coverage
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog

log = Vlog("collectors")

collector_sent = coverage.counter("collector_sent")
collector_dropped = coverage.counter("collector_dropped")
"""Datagrams that the host refused to send, or had no room for."""

_limit: Final = RateLimit(60, 5)


def parse_target(text: str, default_port: int = 0) -> tuple[str, int]:
    """ "ADDRESS:PORT" or "[ADDRESS]:PORT", addresses in numbers. ValueError says what is wrong."""
    host, colon, port = text.rpartition(":")
    if text.endswith("]") or not colon:
        if not default_port:
            raise ValueError(f"{text}: port must be specified")
        host, port = text, str(default_port)
    host = host.removeprefix("[").removesuffix("]")
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            break
    else:
        raise ValueError(f"{text}: {host or 'nothing'} is no IP address")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text}: {port or 'nothing'} is no port")
    return host, int(port)


@final
class Collectors:
    """One UDP socket a target; a target that is wrong is logged and left out."""

    def __init__(self, targets: tuple[str, ...], default_port: int = 0) -> None:
        self.targets: tuple[str, ...] = targets
        self._sockets: list[tuple[str, socket.socket]] = []
        for target in targets:
            try:
                address = parse_target(target, default_port)
                family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
                sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            except (ValueError, OSError) as e:
                why = e.strerror if isinstance(e, OSError) else os.strerror(errno.EAFNOSUPPORT)
                log.warn("couldn't open connection to collector %s (%s)", target, why)
                continue
            try:
                sock.connect(address)
            except OSError as e:
                log.warn("couldn't open connection to collector %s (%s)", target, e.strerror or e)
                sock.close()
                continue
            self._sockets.append((target, sock))

    @property
    def any(self) -> bool:
        """Whether there is one that can be sent to."""
        return bool(self._sockets)

    def send(self, datagram: bytes, now: int) -> tuple[int, int]:
        """To every target; to how many it went, and to how many not."""
        failed = 0
        for target, sock in self._sockets:
            try:
                sock.send(datagram)
                collector_sent.inc()
            except OSError as e:
                failed += 1
                collector_dropped.inc()
                why = os.strerror(e.errno or 0)
                log.warn_rl(_limit, now, "%s: sending to collector failed (%s)", target, why)

        return len(self._sockets) - failed, failed

    def close(self) -> None:
        """No more datagrams."""
        for _, sock in self._sockets:
            sock.close()
        self._sockets.clear()
