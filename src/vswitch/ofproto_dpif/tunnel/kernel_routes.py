"""The host's own routes and addresses, followed by rtnetlink(7).

After every notification all of them are read anew, which takes a moment even with thousands: notifications
come in bursts, and one reading serves a whole burst.
"""

from __future__ import annotations

import socket
import struct
from typing import Final, final

from vswitch.base.vlog import Vlog
from vswitch.netdev.in4 import RT_TABLE_MAIN, RTA_GATEWAY, RTMSG, RTN_UNICAST
from vswitch.netdev.tunnel_options import V4_MAPPED, is_v4
from vswitch.netlink.attrs import NlAttrError, parse, u32_at
from vswitch.netlink.errors import NlError
from vswitch.netlink.message import NlMessage
from vswitch.netlink.socket import NETLINK_ROUTE, NlSocket
from vswitch.ofproto_dpif.tunnel.routes import Route, masked

log: Final = Vlog("route_table")

RTM_GETADDR: Final = 22
RTM_GETROUTE: Final = 26
RTNLGRP_LINK: Final = 1
RTNLGRP_IPV4_IFADDR: Final = 5
RTNLGRP_IPV4_ROUTE: Final = 7
RTNLGRP_IPV6_IFADDR: Final = 9
RTNLGRP_IPV6_ROUTE: Final = 11
_GROUPS: Final = (
    RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE
)  # fmt: skip
RTA_DST, RTA_OIF, RTA_PREFSRC, RTA_TABLE, RTA_MARK = 1, 4, 7, 15, 16
IFA_ADDRESS, IFA_LOCAL = 1, 2
RT_TABLE_UNSPEC, RT_TABLE_DEFAULT, RT_TABLE_LOCAL = 0, 253, 255
RTN_LOCAL = 2
_IFADDRMSG: Final = struct.Struct("=BBBBI")


def _address(data: bytes) -> int:
    return int.from_bytes(data, "big") | (V4_MAPPED if len(data) == 4 else 0)


def parse_route(payload: bytes, names: dict[int, str]) -> Route | None:
    """The route of an RTM_NEWROUTE's payload; None if it is of no use here. NlAttrError, struct.error."""
    family, dst_len, _, _, table, _, _, kind, _ = RTMSG.unpack_from(payload)
    attrs = parse(payload, RTMSG.size)
    if RTA_TABLE in attrs:
        table = int(u32_at(attrs[RTA_TABLE], 0))
    if family not in (socket.AF_INET, socket.AF_INET6) or kind not in (RTN_UNICAST, RTN_LOCAL):
        return None
    if table not in (RT_TABLE_DEFAULT, RT_TABLE_MAIN, RT_TABLE_LOCAL) or RTA_OIF not in attrs:
        return None
    name = names.get(int(u32_at(attrs[RTA_OIF], 0)))
    if name is None:
        return None
    v4 = family == socket.AF_INET
    prefix = _address(attrs[RTA_DST]) if RTA_DST in attrs else V4_MAPPED if v4 else 0
    plen = dst_len + (96 if v4 else 0)
    gateway = _address(attrs[RTA_GATEWAY]) if RTA_GATEWAY in attrs else 0
    source = _address(attrs[RTA_PREFSRC]) if RTA_PREFSRC in attrs else 0
    mark = int(u32_at(attrs[RTA_MARK], 0)) if RTA_MARK in attrs else 0
    return Route(masked(prefix, plen), plen, name, gateway, source, mark, kind == RTN_LOCAL)


@final
class KernelRoutes:
    """A watch over them. OSError where there is no rtnetlink."""

    def __init__(self) -> None:
        self._events = NlSocket(NETLINK_ROUTE)
        for group in _GROUPS:
            self._events.join(group)
        self._requests = NlSocket(NETLINK_ROUTE)
        self.routes: list[Route] = []
        self.addresses: dict[str, list[tuple[int, int]]] = {}
        """Device -> (address, prefix length of 128 bits) pairs."""
        self._stale = True

    def close(self) -> None:
        self._events.close()
        self._requests.close()

    def fileno(self) -> int:
        """Readable when something changed."""
        return self._events.fileno()

    def run(self) -> bool:
        """Read what changed; whether something did."""
        try:
            if self._events.drain():
                self._stale = True
        except NlError:
            self._stale = True
        if not self._stale:
            return False
        self._stale = False
        try:
            self._read()
        except (OSError, NlAttrError, struct.error) as e:
            log.warn("the host's routes cannot be read: %s", e)
            return False
        return True

    def _dump(self, kind: int, request: bytes, what: str) -> list[NlMessage]:
        return self._requests.dump_all(kind, request, what)

    def _read(self) -> None:
        names = dict(socket.if_nameindex())
        addresses: dict[str, list[tuple[int, int]]] = {}
        for message in self._dump(RTM_GETADDR, _IFADDRMSG.pack(0, 0, 0, 0, 0), "dump addresses"):
            payload = message.payload()
            family, plen, _, _, index = _IFADDRMSG.unpack_from(payload)
            attrs = parse(payload, _IFADDRMSG.size)
            raw = attrs.get(IFA_LOCAL, attrs.get(IFA_ADDRESS, b""))
            name = names.get(index)
            if name is not None and len(raw) in (4, 16):
                bits = plen + (96 if family == socket.AF_INET else 0)
                addresses.setdefault(name, []).append((_address(raw), bits))
        routes: list[Route] = []
        for message in self._dump(RTM_GETROUTE, RTMSG.pack(0, 0, 0, 0, 0, 0, 0, 0, 0), "dump routes"):
            route = parse_route(message.payload(), names)
            if route is not None:
                routes.append(route)
        self.addresses = addresses
        self.routes = [r if r.src else _with_source(r, addresses.get(r.dev, [])) for r in routes]


def _with_source(route: Route, addresses: list[tuple[int, int]]) -> Route:
    """The route with the source that packets get who go there."""
    towards = route.gw or route.prefix
    best, found = -1, 0
    for address, plen in addresses:
        near = masked(address, plen) == masked(towards, plen)
        if is_v4(address) == is_v4(route.prefix) and (plen if near else 0) > best:
            best, found = (plen if near else 0), address
    return Route(route.prefix, route.plen, route.dev, route.gw, found, route.mark, route.local)
