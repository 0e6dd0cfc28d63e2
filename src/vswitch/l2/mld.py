"""MLD as a snooping switch reads it: who joins and leaves IPv6 groups.

Versions 1 (RFC 2710) and 2 (RFC 3810).
"""

from __future__ import annotations

from typing import Final

from vswitch.l2.igmp import Membership, records

QUERY: Final = 130
V1_REPORT: Final = 131
V1_DONE: Final = 132
V2_REPORT: Final = 143

REPORTS: Final = frozenset((V1_REPORT, V1_DONE, V2_REPORT))
MESSAGES: Final = REPORTS | {QUERY}
"""The ICMPv6 types that are MLD's."""

_V1: Final = 24


def decode(data: bytes) -> list[Membership] | None:
    """What an MLD message of hosts says; [] for a query and for what is unknown; None if it is malformed. The
    checksum is the caller's to check: it covers a pseudo-header."""
    if len(data) < 8:
        return None
    kind = data[0]
    if kind in (V1_REPORT, V1_DONE):
        if len(data) < _V1:
            return None
        return [Membership(int.from_bytes(data[8:24], "big"), kind == V1_REPORT, "MLDv1")]
    if kind == V2_REPORT:
        return records(data, 16, "MLDv2")
    return []
