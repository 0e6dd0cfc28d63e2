"""What the kernel says of its interfaces: rtnetlink(7) queries, and notifications of changes.

One `LinkWatch` serves all devices of the process; it is read when its descriptor is readable,
never on the packet path. Changes are made by the ioctls of netdevice(7).
"""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
import sys
from collections.abc import Callable

from vswitch.base.records import dataclass
from vswitch.netdev.provider import NetdevError, NetdevStats
from vswitch.netlink.attrs import NlAttrError, parse, text
from vswitch.netlink.errors import NlError, NlOverrun
from vswitch.netlink.message import walk
from vswitch.netlink.socket import NETLINK_ROUTE, NlSocket

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTNLGRP_LINK = 1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_STATS64, IFLA_CARRIER = 1, 3, 4, 23, 33
IFLA_MIN_MTU, IFLA_MAX_MTU = 50, 51
IFF_UP, IFF_LOWER_UP, IFF_PROMISC = 0x1, 0x10000, 0x100

QUERY_RCVBUF = 65536
"""Bytes for the one answer to a query."""

SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
SIOCSIFMTU, SIOCSIFHWADDR = 0x8922, 0x8924
ARPHRD_ETHER = 1

_IFINFOMSG = struct.Struct("=BxHiII")


@dataclass(frozen=True)
class Link:
    """One interface as the kernel describes it. `mac` is 48 bits."""

    index: int
    name: str
    flags: int
    mtu: int
    mac: int
    carrier: bool

    @property
    def up(self) -> bool:
        return bool(self.flags & IFF_UP)


def _link(body: bytes) -> tuple[Link, dict[int, bytes]]:
    """The link of an RTM_NEWLINK or RTM_DELLINK body; NlAttrError, struct.error if malformed."""
    _family, _type, index, flags, _change = _IFINFOMSG.unpack_from(body)
    attrs = parse(body, _IFINFOMSG.size)
    mtu = int.from_bytes(attrs.get(IFLA_MTU, b"")[:4], sys.byteorder)
    mac = int.from_bytes(attrs.get(IFLA_ADDRESS, b"")[:6], "big")
    carrier = bool(flags & IFF_LOWER_UP)
    return Link(index, text(attrs.get(IFLA_IFNAME, b"")), flags, mtu, mac, carrier), attrs


def query(index: int) -> tuple[Link, dict[int, bytes]]:
    """The interface numbered `index`, and its attributes; NetdevError(ENODEV)."""
    sock = NlSocket(NETLINK_ROUTE, QUERY_RCVBUF)
    try:
        body = _IFINFOMSG.pack(0, 0, index, 0, 0)
        reply = sock.transact(RTM_GETLINK, 0, body, "query interface", want_reply=True)
    except NlError as e:
        raise NetdevError(e.errno or errno.EIO, f"interface {index}: cannot be queried") from e
    finally:
        sock.close()
    try:
        return _link(reply)
    except (NlAttrError, struct.error) as e:
        raise NetdevError(errno.EPROTO, f"interface {index}: {e}") from e


def stats_of(index: int) -> NetdevStats:
    """The interface's counters (`struct rtnl_link_stats64`)."""
    _, attrs = query(index)
    raw = attrs.get(IFLA_STATS64, b"")
    c = struct.unpack_from("=18Q", raw) if len(raw) >= 18 * 8 else (0,) * 18
    return NetdevStats(
        rx_packets=c[0], tx_packets=c[1], rx_bytes=c[2], tx_bytes=c[3], rx_errors=c[4], tx_errors=c[5],
        rx_dropped=c[6], tx_dropped=c[7], collisions=c[9], rx_over_errors=c[11], rx_crc_errors=c[12],
        rx_frame_errors=c[13], rx_missed_errors=c[15], tx_aborted_errors=c[16], tx_carrier_errors=c[17],
        multicast=c[8],
    )


def _ioctl(name: str, request: int, argument: bytes, what: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            return fcntl.ioctl(sock, request, struct.pack("16s24s", name.encode(), argument))
        except OSError as e:
            raise NetdevError(e.errno or errno.EIO, f"{name}: {what} failed") from e


def set_mtu(name: str, mtu: int) -> None:
    """Change an interface's MTU."""
    _ioctl(name, SIOCSIFMTU, struct.pack("=i", mtu), "setting the MTU")


def set_mac(name: str, mac: int) -> None:
    """Change an interface's Ethernet address."""
    address = struct.pack("=H6s", ARPHRD_ETHER, mac.to_bytes(6, "big"))
    _ioctl(name, SIOCSIFHWADDR, address, "setting the address")


def set_up(name: str, up: bool) -> None:
    """Bring an interface up or down."""
    (flags,) = struct.unpack_from("=H", _ioctl(name, SIOCGIFFLAGS, b"", "reading flags"), 16)
    flags = flags | IFF_UP if up else flags & ~IFF_UP
    _ioctl(name, SIOCSIFFLAGS, struct.pack("=H", flags), "setting flags")


class LinkWatch:
    """Notifies who asked of each change to an interface (None says that it is gone), and that one
    of a name is there."""

    def __init__(self) -> None:
        self._sock = NlSocket(NETLINK_ROUTE)
        self._sock.join(RTNLGRP_LINK)
        self._told: dict[int, Callable[[Link | None], None]] = {}
        self._awaited: dict[tuple[str, object], Callable[[], None]] = {}

    def fileno(self) -> int:
        return self._sock.fileno()

    def add(self, index: int, tell: Callable[[Link | None], None]) -> None:
        """Have `tell` called with every change to interface `index`."""
        self._told[index] = tell

    def remove(self, index: int) -> None:
        """No more of interface `index`."""
        self._told.pop(index, None)

    def wait_for(self, name: str, who: object, tell: Callable[[], None]) -> None:
        """Have `tell` called whenever interface `name` appears or changes, until `who` gives up."""
        self._awaited[name, who] = tell

    def give_up(self, name: str, who: object) -> None:
        """`who` waits for interface `name` no longer."""
        self._awaited.pop((name, who), None)

    def run(self) -> None:
        """Read all notifications that wait."""
        while True:
            try:
                data = self._sock.recv()
            except NlOverrun:
                self._resync()
                continue
            if not data:
                return
            self._handle(data)

    def _handle(self, data: bytes) -> None:
        for message in walk(data):
            if message.type not in (RTM_NEWLINK, RTM_DELLINK):
                continue
            try:
                link, _ = _link(message.payload())
            except (NlAttrError, struct.error):
                return
            there = message.type == RTM_NEWLINK
            tell = self._told.get(link.index)
            if tell is not None:
                tell(link if there else None)
            if self._awaited and there:
                self._appeared(link.name)

    def _appeared(self, name: str) -> None:
        for (awaited, _), tell in list(self._awaited.items()):
            if awaited == name:
                tell()

    def _resync(self) -> None:
        """Notifications were lost: ask for every interface watched."""
        for index, tell in list(self._told.items()):
            try:
                tell(query(index)[0])
            except NetdevError:
                tell(None)
        for name, _ in list(self._awaited):
            self._appeared(name)


_watch: LinkWatch | None = None


def watch() -> LinkWatch:
    """The process's one watch over the kernel's interfaces, opened at the first call. OSError where there
    is no rtnetlink."""
    global _watch
    if _watch is None:
        _watch = LinkWatch()
    return _watch
