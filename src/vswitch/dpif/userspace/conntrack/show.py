"""Connections as the values that `dpctl` and controllers are shown."""

from __future__ import annotations

import ipaddress
from typing import Final

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.dpif.types import CtEntry
from vswitch.dpif.userspace.conntrack import tcp
from vswitch.dpif.userspace.conntrack.key import TCP, Key
from vswitch.dpif.userspace.conntrack.table import (
    EXPIRES_AT,
    F_FTP,
    F_TFTP,
    FLAGS_AT,
    LABEL_AT,
    MARK_AT,
    META_AT,
    ORIG_AT,
    REPLY_AT,
    Table,
    base_of,
)

_LOW: Final = (1 << 64) - 1


def address(high: int, low: int, family: int) -> str:
    """An address as text; halves are signed."""
    if family == 4:
        return str(ipaddress.IPv4Address(low))
    return str(ipaddress.IPv6Address((high & _LOW) << 64 | low & _LOW))


def tuple_of(rec: vec[i64], at: i64) -> tuple[str, str, int, int]:
    """(source, destination, source port or ICMP id, destination port or type << 8 | code)."""
    meta = int(rec[at + META_AT])
    family = meta & 0xFF
    return (
        address(int(rec[at]), int(rec[at + 1]), family),
        address(int(rec[at + 2]), int(rec[at + 3]), family),
        meta >> 48 & 0xFFFF,
        meta >> 32 & 0xFFFF,
    )


def tuple_of_key(key: Key) -> tuple[str, str, int, int]:
    """The same of a key."""
    family = int(key.meta & 0xFF)
    return (
        address(int(key.src_hi), int(key.src_lo), family),
        address(int(key.dst_hi), int(key.dst_lo), family),
        int(key.meta >> 48 & 0xFFFF),
        int(key.meta >> 32 & 0xFFFF),
    )


def zone_of(table: Table, conn: int) -> int:
    """The zone of connection `conn`."""
    return int(table.rec(conn)[base_of(conn) + META_AT]) >> 16 & 0xFFFF


def _flags(scale: int) -> str:
    if scale & tcp.HAS_SCALE:
        return "WINDOW_SCALE"
    return "BE_LIBERAL" if scale & tcp.SCALE_UNKNOWN else "0"


def entry(table: Table, conn: int, now: int, parent: Key | None = None) -> CtEntry:
    """Connection `conn` of `table`, which `parent` announced, if anybody did."""
    rec = table.rec(conn)
    base = base_of(conn)
    meta = int(rec[base + META_AT])
    flags = rec[base + FLAGS_AT]
    state, other = "", ""
    window_flags = ("0", "0")
    scales = (0, 0)
    if meta >> 8 & 0xFF == TCP:
        state = tcp.NAMES[tcp.state_of(rec, base, 0)]
        other = tcp.NAMES[tcp.state_of(rec, base, 1)]
        both = (int(tcp.scale_of(rec, base, 0)), int(tcp.scale_of(rec, base, 1)))
        window_flags = (_flags(both[0]), _flags(both[1]))
        scales = (both[0] & tcp.SCALE_BITS, both[1] & tcp.SCALE_BITS)
    return CtEntry(
        proto=meta >> 8 & 0xFF,
        orig=tuple_of(rec, base + ORIG_AT),
        reply=tuple_of(rec, base + REPLY_AT),
        zone=meta >> 16 & 0xFFFF,
        mark=int(rec[base + MARK_AT]),
        labels=(int(rec[base + LABEL_AT]) & _LOW) << 64 | int(rec[base + LABEL_AT + 1]) & _LOW,
        timeout=max(0, int(rec[base + EXPIRES_AT]) - now) // 1000,
        state=state,
        reply_state=other,
        flags=window_flags,
        scales=scales,
        parent=None if parent is None else tuple_of_key(parent),
        helper="ftp" if flags & F_FTP else "tftp" if flags & F_TFTP else "",
    )
