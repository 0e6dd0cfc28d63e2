"""UDP, ICMP and everything else without states of its own: who has been heard, and how often.

The one state word of such a connection is FIRST after its first packet, MULTIPLE after another one
from the same side, BIDIR once the other side has answered.
"""

from __future__ import annotations

from typing import Final

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.dpif.userspace.conntrack import timeouts
from vswitch.dpif.userspace.conntrack.key import ECHO6, ICMP, ICMPV6
from vswitch.dpif.userspace.conntrack.table import STATE_AT
from vswitch.dpif.userspace.conntrack.tcp import KIND_SHIFT, VALID, VALID_NEW

FIRST: Final = 0
MULTIPLE: Final = 1
BIDIR: Final = 2


def first_kind(proto: i64) -> i64:
    """The kind of timeout that a new connection has."""
    return timeouts.ICMP_FIRST if proto in (ICMP, ICMPV6) else timeouts.OTHER_FIRST


def is_request(proto: i64, kind: i64) -> bool:
    """Whether an ICMP or ICMPv6 message asks: echo, timestamp and information requests."""
    return kind in (8, 13, 15) if proto == ICMP else kind == ECHO6


def update(rec: vec[i64], base: i64, reply: i64, proto: i64) -> i64:
    """Take a packet of direction `reply` into account: a verdict with its timeout (`tcp.update`)."""
    state = rec[base + STATE_AT]
    verdict: i64 = VALID
    if reply:
        state = BIDIR
    elif state != BIDIR:
        state = MULTIPLE
        verdict = VALID_NEW
    rec[base + STATE_AT] = state
    if proto in (ICMP, ICMPV6):
        return verdict | (timeouts.ICMP_REPLY if state == BIDIR else timeouts.ICMP_FIRST) << KIND_SHIFT
    kind: i64 = timeouts.OTHER_BIDIR if state == BIDIR else timeouts.OTHER_MULTIPLE
    return verdict | kind << KIND_SHIFT
