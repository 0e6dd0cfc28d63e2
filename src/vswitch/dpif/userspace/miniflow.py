"""How much a datapath flow's mask makes lookups look at, counted as Open vSwitch's own datapath counts it.

Its `struct flow` (include/openvswitch/flow.h of 3.1) is read in 64-bit words, in two units of 64: tunnel,
metadata, Ethernet, VLAN and MPLS are the first, IP and what it carries the second. `dpctl/dump-flows -m`
shows how many words of each the mask has bits in; `in_port` does not count: each port has a table of its own.
"""

from __future__ import annotations

from typing import Final

from vswitch.flow import layout as at
from vswitch.flow.flow import Flow

_ALL: Final = (1 << 64) - 1
_HIGH: Final = _ALL & ~0xFFFFFFFF
_LOW: Final = 0xFFFFFFFF
_TOP: Final = 0xFFFF << 48
_MIDDLE: Final = 0xFFFFFFFF << 16

Word = tuple[tuple[int, int], ...]
"""One of their words: (word of ours, its bits that lie there)."""


def _whole(first: int, n: int = 1) -> tuple[Word, ...]:
    """`n` words that are as ours."""
    return tuple(((first + i, _ALL),) for i in range(n))


UNITS: Final[tuple[tuple[Word, ...], ...]] = (
    (
        ((at.W_TUN_DST, _LOW), (at.W_TUN_IPV6_DST, _HIGH)),
        ((at.W_TUN_IPV6_DST, _LOW), (at.W_TUN_IPV6_DST + 1, _HIGH)),
        ((at.W_TUN_IPV6_DST + 1, _LOW), (at.W_TUN_SRC, _HIGH)),
        *_whole(at.W_TUN_IPV6_SRC, 2),
        *_whole(at.W_TUN_ID),
        *_whole(at.W_TUN_FLAGS),
        ((at.W_TUN_EXT, 0xFFFFFF << 40 | 0xFF << 16), (at.W_TUN_ERSPAN_IDX, _ALL)),
        ((at.W_TUN_EXT, 0xFFFF << 24 | 0xFFFF),),
        *_whole(at.W_TUN_METADATA, at.N_TUN_METADATA_WORDS + 1),
        *_whole(at.W_METADATA),
        *_whole(at.W_SKB_PRIORITY),
        ((at.W_DP_HASH, _HIGH),),
        ((at.W_RECIRC_ID, _HIGH), (at.W_CT_STATE, _LOW)),
        ((at.W_CT_MARK, _HIGH), (at.W_PACKET_TYPE, _LOW)),
        *_whole(at.W_CT_LABEL, 2),
        ((at.W_ETH_DST, _ALL & ~0xFFFF), (at.W_ETH_SRC, _TOP)),
        ((at.W_ETH_SRC, _MIDDLE), (at.W_ETH_TYPE, 0xFFFF)),
        ((at.W_VLAN_TCI, 0xFFFF), (at.W_VLAN_TPID, _ALL)),
        *_whole(at.W_MPLS_LSE, 2),
    ),
    (
        *_whole(at.W_NW_SRC),
        *_whole(at.W_CT_NW_SRC),
        *_whole(at.W_IPV6_SRC, 4),
        *_whole(at.W_CT_IPV6_SRC, 4),
        *_whole(at.W_IPV6_LABEL),
        *_whole(at.W_ND_TARGET, 2),
        ((at.W_ARP_SHA, _ALL & ~0xFFFF), (at.W_ARP_THA, _TOP)),
        ((at.W_ARP_THA, _MIDDLE), (at.W_TCP_FLAGS, 0xFFFF)),
        *_whole(at.W_NSH_BASE, 3),
        *_whole(at.W_TP_SRC),
        *_whole(at.W_IGMP_GROUP),
    ),
)
"""Their words, unit by unit."""


def miniflow_bits(mask: Flow) -> str:
    """ "miniflow_bits(4,1)": in how many words of each unit `mask` has bits."""
    words = [int(word) for word in mask.words]
    counts = [sum(any(words[w] & bits for w, bits in word) for word in unit) for unit in UNITS]
    return f"miniflow_bits({','.join(map(str, counts))})"
