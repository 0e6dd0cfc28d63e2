"""IGMP as a snooping switch reads it: who joins and leaves IPv4 groups, and who asks.

Versions 1 (RFC 1112, appendix I), 2 (RFC 2236) and 3 (RFC 3376). Sources are not kept: any source that is
wanted makes its group wanted.
"""

from __future__ import annotations

from typing import Final

from vswitch.base.records import dataclass
from vswitch.packet.checksum import csum

QUERY: Final = 0x11
V1_REPORT: Final = 0x12
V2_REPORT: Final = 0x16
V2_LEAVE: Final = 0x17
V3_REPORT: Final = 0x22

REPORTS: Final = frozenset((V1_REPORT, V2_REPORT, V2_LEAVE, V3_REPORT))
"""What goes to routers only (RFC 4541, 2.1.1)."""

IS_INCLUDE: Final = 1
TO_INCLUDE: Final = 3
LAST_RECORD_TYPE: Final = 6

HEADER: Final = 8


@dataclass(frozen=True)
class Membership:
    """`group` is wanted by somebody at the port, or no longer, as `protocol` ("IGMPv2") said."""

    group: int
    wanted: bool
    protocol: str


def decode(data: bytes) -> list[Membership] | None:
    """What an IGMP message of hosts says; [] for a query and for what is unknown; None if it is malformed."""
    if len(data) < HEADER or csum(data) != 0:
        return None
    kind = data[0]
    group = int.from_bytes(data[4:8], "big")
    if kind == V1_REPORT:
        return [Membership(group, True, "IGMPv1")]
    if kind == V2_REPORT:
        return [Membership(group, True, "IGMPv2")]
    if kind == V2_LEAVE:
        return [Membership(group, False, "IGMPv2")]
    if kind == V3_REPORT:
        return records(data, 4, "IGMPv3")
    return []


def records(data: bytes, width: int, protocol: str) -> list[Membership] | None:
    """The group records of a report of IGMPv3 (RFC 3376, 4.2.4) or MLDv2 (RFC 3810, 5.2.5), which differ in
    the width of addresses, in bytes. None if one doesn't fit."""
    found: list[Membership] = []
    count = int.from_bytes(data[6:8], "big")
    at = HEADER
    for _ in range(count):
        if len(data) < at + 4 + width:
            return None
        kind = data[at]
        sources = int.from_bytes(data[at + 2 : at + 4], "big")
        size = 4 + width + sources * width + data[at + 1] * 4
        if len(data) < at + size:
            return None
        if 1 <= kind <= LAST_RECORD_TYPE:
            # To include nobody is to leave.
            wanted = sources > 0 or kind not in (IS_INCLUDE, TO_INCLUDE)
            group = int.from_bytes(data[at + 4 : at + 4 + width], "big")
            found.append(Membership(group, wanted, protocol))
        at += size
    return found
