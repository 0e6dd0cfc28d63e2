"""The MPLS label stack of a flow: entry 0 is the outermost (RFC 3032, 2.1)."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.base.signed import signed32
from vswitch.flow.flow import Flow
from vswitch.flow.layout import W_ETH_TYPE, W_MPLS_LSE
from vswitch.packet.numbers import (
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
)

MPLS_BOS: Final = 0x100
"""The bit of a label stack entry that says that it is the bottom one."""
MAX_MPLS_LABELS: Final = 3
"""How many label stack entries a flow holds."""


def is_mpls(dl_type: i64) -> bool:
    """Either MPLS Ethernet type."""
    return dl_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST)


def lse(flow: Flow, i: i64) -> i64:
    """Label stack entry `i`."""
    word = flow.words[W_MPLS_LSE + i // 2]
    return word & 0xFFFFFFFF if i & 1 else (word >> 32) & 0xFFFFFFFF


def set_lse(flow: Flow, i: i64, value: i64) -> None:
    """Set label stack entry `i`."""
    words = flow.words
    w = W_MPLS_LSE + i // 2
    bits = value & 0xFFFFFFFF
    if i & 1:
        words[w] = (words[w] & ~0xFFFFFFFF) | bits
    else:
        words[w] = (words[w] & 0xFFFFFFFF) | (signed32(bits) << 32)


def clear_lses(flow: Flow) -> None:
    """Leave no label stack."""
    i: i64 = 0
    while i < MAX_MPLS_LABELS:
        set_lse(flow, i, 0)
        i += 1


def or_lse(wc: Flow, i: i64, bits: i64) -> None:
    """In a mask, add `bits` of entry `i`."""
    set_lse(wc, i, lse(wc, i) | bits)


def n_mpls_labels(flow: Flow, wc: Flow | None) -> i64:
    """How many entries the stack has: up to and with the bottom one, at most MAX_MPLS_LABELS."""
    if not is_mpls(flow.words[W_ETH_TYPE] & 0xFFFF):
        return 0
    count: i64 = 0
    i: i64 = 0
    while i < MAX_MPLS_LABELS:
        if wc is not None:
            or_lse(wc, i, MPLS_BOS)
        entry = lse(flow, i)
        if entry & MPLS_BOS != 0:
            return i + 1
        if entry != 0:
            count += 1
        i += 1
    return count
