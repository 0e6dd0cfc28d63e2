"""Words in a writable frame, and walks along the chained headers of IPv6.

All offsets must be inside the buffer; the callers have checked.
"""

from __future__ import annotations

from librt.strings import BytesWriter
from mypy_extensions import i64, u8

from vswitch.base.signed import signed32
from vswitch.packet.numbers import (
    IPPROTO_AH,
    IPPROTO_DSTOPTS,
    IPPROTO_FRAGMENT,
    IPPROTO_HOPOPTS,
    IPPROTO_ROUTING,
)


def get16(w: BytesWriter, ofs: i64) -> i64:
    """The 16-bit word at `ofs`."""
    return i64(w[ofs]) << 8 | i64(w[ofs + 1])


def put16(w: BytesWriter, ofs: i64, value: i64) -> None:
    """Overwrite the 16-bit word at `ofs`."""
    w[ofs] = u8(value >> 8 & 0xFF)
    w[ofs + 1] = u8(value & 0xFF)


def get32(w: BytesWriter, ofs: i64) -> i64:
    """The 32-bit word at `ofs`."""
    return i64(w[ofs]) << 24 | i64(w[ofs + 1]) << 16 | i64(w[ofs + 2]) << 8 | i64(w[ofs + 3])


def put32(w: BytesWriter, ofs: i64, value: i64) -> None:
    """Overwrite the 32-bit word at `ofs`."""
    put16(w, ofs, value >> 16)
    put16(w, ofs + 2, value)


def get48(w: BytesWriter, ofs: i64) -> i64:
    """The Ethernet address at `ofs`."""
    return get16(w, ofs) << 32 | get32(w, ofs + 2)


def put48(w: BytesWriter, ofs: i64, value: i64) -> None:
    """Overwrite the Ethernet address at `ofs`."""
    put16(w, ofs, value >> 32)
    put32(w, ofs + 2, value)


def get64(w: BytesWriter, ofs: i64) -> i64:
    """The 64-bit word at `ofs`, signed."""
    hi: i64 = get32(w, ofs)
    return signed32(hi) << 32 | get32(w, ofs + 4)


def put64(w: BytesWriter, ofs: i64, value: i64) -> None:
    """Overwrite the 64-bit word at `ofs`."""
    put32(w, ofs, value >> 32)
    put32(w, ofs + 4, value)


def is_source_routed(w: BytesWriter, l3_ofs: i64) -> bool:
    """Whether an IPv6 packet has a routing header with segments left (RFC 8200, section 4.4)."""
    at = l3_ofs + 40
    end: i64 = len(w)
    proto: i64 = i64(w[l3_ofs + 6])
    while at + 8 <= end:
        if proto == IPPROTO_ROUTING:
            return i64(w[at + 3]) != 0
        length: i64
        if proto in (IPPROTO_HOPOPTS, IPPROTO_DSTOPTS):
            length = (i64(w[at + 1]) + 1) * 8
        elif proto == IPPROTO_AH:
            length = (i64(w[at + 1]) + 2) * 4
        elif proto == IPPROTO_FRAGMENT:
            length = 8
        else:
            return False
        proto = i64(w[at])
        at += length
    return False


def nd_option(w: BytesWriter, at: i64, end: i64, kind: i64) -> i64:
    """Where neighbor discovery's first link-layer option of type `kind` begins, -1 if nowhere.

    The options are between `at` and `end`; `kind` 0 stands for either of 1 and 2.
    """
    while at + 8 <= end:
        length: i64 = i64(w[at + 1]) * 8
        if length == 0 or at + length > end:
            break
        found: i64 = i64(w[at])
        if length == 8 and (found in (1, 2) if kind == 0 else found == kind):
            return at
        at += length
    return -1
