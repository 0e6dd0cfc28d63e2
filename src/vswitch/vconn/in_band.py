"""In-band control: hidden flows that let a bridge reach its controllers through itself.

Open vSwitch's design document, "In-Band Control", lists them: (a) to (c) for the bridge's own address,
(d) and (e) for each next hop towards a controller, (f) and (g) for each controller's address, (h) and (i)
for each address and port. All do NORMAL, above every flow of a controller's own.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final, Protocol, final

from vswitch.base.clock import NEVER
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.flow.match import Match
from vswitch.flow.match_text import parse_match
from vswitch.ofproto.ofproto import Ofproto
from vswitch.ofproto.rule import Rule
from vswitch.openflow.actions import Actions, Output, SetQueue
from vswitch.openflow.constants import OFPP_LOCAL, OFPP_NORMAL
from vswitch.vconn.address import AddressError, parse_active
from vswitch.vconn.connection import Connection

log: Final = Vlog("in_band")

IBR_FROM_LOCAL_DHCP: Final = 180000
IBR_TO_LOCAL_ARP: Final = 180001
IBR_FROM_LOCAL_ARP: Final = 180002
IBR_TO_NEXT_HOP_ARP: Final = 180003
IBR_FROM_NEXT_HOP_ARP: Final = 180004
IBR_TO_REMOTE_ARP: Final = 180005
IBR_FROM_REMOTE_ARP: Final = 180006
IBR_TO_REMOTE_TCP: Final = 180007
IBR_FROM_REMOTE_TCP: Final = 180008

REFRESH_MS: Final = 1000
"""How often addresses are looked at while one is unknown."""
SLOW_REFRESH_MS: Final = 10_000
"""The same when all are known."""


class Owner(Protocol):
    """What is seen here of the `Controllers`."""

    ofproto: Ofproto
    name: str

    def primaries(self) -> list[Connection]:
        """The connections to primary controllers, connected or not."""

    def local_mac(self) -> str:
        """The address of the bridge's own port, "" if it has none."""


class Neighbours(Protocol):
    """Who knows how the host reaches an address."""

    def next_hop(self, address: str) -> str:
        """The MAC address of the first host on the way to an IPv4 address, "" if it is not known.
        OSError: there is no way."""


@final
class HostNeighbours:
    """The host's own routes and ARP table, proc(5)."""

    def __init__(self, routes: str = "/proc/net/route", arp: str = "/proc/net/arp") -> None:
        self._routes = routes
        self._arp = arp

    def next_hop(self, address: str) -> str:
        """As `Neighbours` says."""
        hop = _route(address, self._routes)
        with open(self._arp, encoding="ascii") as f:
            for line in f.readlines()[1:]:
                fields = line.split()
                # Flag 2: the entry is complete.
                if len(fields) >= 4 and fields[0] == hop and int(fields[2], 16) & 2:
                    return fields[3]
        return ""


@final
class NoNeighbours:
    """For a local port that isn't the host's: there is no way from it."""

    def next_hop(self, address: str) -> str:
        """As `Neighbours` says."""
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def _route(address: str, routes: str) -> str:
    """The gateway to `address`, or itself if it is on a link. OSError: no route."""
    wanted = int(ipaddress.IPv4Address(address))
    best = (-1, "")
    with open(routes, encoding="ascii") as f:
        for line in f.readlines()[1:]:
            fields = line.split()
            if len(fields) < 8 or not int(fields[3], 16) & 1:  # RTF_UP
                continue
            # Each is the word as the kernel has it, whose bytes in memory are in network order.
            destination, gateway, mask = (
                int.from_bytes(struct.pack("=I", int(fields[i], 16)), "big") for i in (1, 2, 7)
            )
            if wanted & mask == destination and mask.bit_count() > best[0]:
                hop = str(ipaddress.IPv4Address(gateway)) if gateway else address
                best = (mask.bit_count(), hop)
    if best[0] < 0:
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    return best[1]


@final
class InBand:
    """The in-band flows of one bridge."""

    def __init__(self, controllers: Owner, neighbours: Neighbours | None = None) -> None:
        self._controllers = controllers
        self._neighbours: Neighbours = neighbours or HostNeighbours()
        self._enabled = True
        self._queue: int | None = None
        self._remotes: tuple[tuple[str, int], ...] = ()
        self._rules: dict[tuple[int, str], Rule] = {}
        self._next: int = NEVER
        self._complete = True
        self._rl = RateLimit(60, 5)

    def configure(self, enabled: bool, queue: int | None, now: int) -> None:
        """`disable-in-band` and `in-band-queue`."""
        if queue != self._queue:
            self._remove_all()
        self._enabled = enabled
        self._queue = queue
        self.update(now)

    def update(self, now: int) -> None:
        """The controllers may have changed."""
        remotes: set[tuple[str, int]] = set()
        if self._enabled:
            for connection in self._controllers.primaries():
                settings = connection.settings
                if settings.in_band and not settings.passive:
                    remotes.update(_remote(settings.target))
        self._remotes = tuple(sorted(remotes))
        self._controllers.ofproto.has_in_band = bool(remotes)
        self._next = now if remotes or self._rules else NEVER
        self.run(now)

    def run(self, now: int) -> None:
        """Follow changes of addresses."""
        if now < self._next:
            return
        self._complete = True
        wanted = dict(self._wanted(now)) if self._remotes else {}
        tables = self._controllers.ofproto.tables
        for key in [key for key in self._rules if key not in wanted]:
            tables.remove(self._rules.pop(key))
        actions: Actions = (Output(OFPP_NORMAL),)
        if self._queue is not None:
            actions = (SetQueue(self._queue), *actions)
        for key, match in wanted.items():
            if key not in self._rules:
                rule = self._rules[key] = Rule(match, key[0], 0, actions, now=now)
                rule.hidden = True
                rule.readonly = True
                tables.insert(rule)
        if not self._remotes:
            self._next = NEVER
        else:
            self._next = now + (SLOW_REFRESH_MS if self._complete else REFRESH_MS)

    def deadline(self) -> int:
        """Clock ms of the next look at the addresses."""
        return self._next

    def close(self) -> None:
        """Remove the flows."""
        self._remotes = ()
        self._controllers.ofproto.has_in_band = False
        self._next = NEVER
        self._remove_all()

    def _remove_all(self) -> None:
        for rule in self._rules.values():
            self._controllers.ofproto.tables.remove(rule)
        self._rules.clear()

    def _wanted(self, now: int) -> Iterator[tuple[tuple[int, str], Match]]:
        for priority, text in self._texts(now):
            yield (priority, text), parse_match(text)

    def _texts(self, now: int) -> Iterator[tuple[int, str]]:
        """(priority, match) of each flow."""
        mac = self._controllers.local_mac()
        if mac:
            yield IBR_FROM_LOCAL_DHCP, f"udp,in_port={OFPP_LOCAL},dl_src={mac},tp_src=68,tp_dst=67"
            yield IBR_TO_LOCAL_ARP, f"arp,dl_dst={mac},arp_op=2"
            yield IBR_FROM_LOCAL_ARP, f"arp,dl_src={mac},arp_op=1"
        addresses = sorted({address for address, _port in self._remotes})
        for hop in sorted({self._next_hop(address, now) for address in addresses}):
            if hop:
                yield IBR_TO_NEXT_HOP_ARP, f"arp,dl_dst={hop},arp_op=2"
                yield IBR_FROM_NEXT_HOP_ARP, f"arp,dl_src={hop},arp_op=1"
        for address in addresses:
            yield IBR_TO_REMOTE_ARP, f"arp,arp_tpa={address},arp_op=2"
            yield IBR_FROM_REMOTE_ARP, f"arp,arp_spa={address},arp_op=1"
        for address, port in self._remotes:
            yield IBR_TO_REMOTE_TCP, f"tcp,nw_dst={address},tp_dst={port}"
            yield IBR_FROM_REMOTE_TCP, f"tcp,nw_src={address},tp_src={port}"

    def _next_hop(self, address: str, now: int) -> str:
        try:
            hop = self._neighbours.next_hop(address)
        except OSError as e:
            log.warn_rl(
                self._rl, now, "%s: cannot find route for controller (%s): %s",
                self._controllers.name, address, e.strerror,
            )  # fmt: skip
            hop = ""
        if not hop:
            self._complete = False
        return hop


def _remote(target: str) -> list[tuple[str, int]]:
    """The IPv4 address and port of a target, if it has one that needs no look-up."""
    try:
        address = parse_active(target)
        socket.inet_pton(socket.AF_INET, address.host)
    except (AddressError, OSError):
        return []
    return [(address.host, address.port)]
