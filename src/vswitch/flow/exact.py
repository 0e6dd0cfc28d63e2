"""The mask of a microflow: every bit of every field that a packet has."""

from __future__ import annotations

from typing import Final

from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.flow.prereq import effective_dl_type
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_NSH,
    ETH_TYPE_RARP,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IGMP,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)

_MAC: Final = -1 << 16
_BOS: Final = 0x100
"""Bottom of stack, in a label stack entry."""
_WITH_PORTS: Final = (
    IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_IGMP,
)  # fmt: skip
_HIGH: Final = -1 << 32
_ALWAYS: Final = (
    at.W_SKB_PRIORITY, at.W_DP_HASH, at.W_RECIRC_ID, at.W_CT_LABEL, at.W_CT_LABEL + 1,
)  # fmt: skip
_CT_STATE: Final = -1 << 16 | 0xFF
_CT_PROTO: Final = 0xFF << at.S_CT_NW_PROTO


def exact_mask(flow: Flow) -> Flow:
    """The mask that only packets like `flow` fit. It has no registers and the like, which no packet has, and
    of a tunnel what is not 0; and no neighbour discovery, which only a translation that looks at it adds. It
    is Open vSwitch's (flow_wildcards_init_for_packet of lib/flow.c)."""
    mask = Flow()
    words = flow.words
    bits: dict[int, int] = dict.fromkeys(_ALWAYS, -1)
    bits[at.W_CT_MARK] = _CT_STATE
    bits.update((i, -1) for i in range(at.W_TUN_METADATA, at.W_TUN_METADATA_PRESENT + 1) if words[i] != 0)
    bits.update((i, -1) for i in range(at.W_TUNNEL, at.W_TUNNEL_END) if words[i] != 0)
    if flow.packet_type == 0:
        bits[at.W_ETH_DST] = -1
        bits[at.W_ETH_SRC] = -1
        bits[at.W_VLAN_TPID] = -1 << (at.S_VLAN_TPID1 if flow.vlan_tci & at.VLAN_CFI else at.S_VLAN_TPID)
    else:
        bits[at.W_ETH_TYPE] = 0xFFFF
    changed = mask.words
    for word, value in (*bits.items(), *_of_type(flow).items()):
        changed[word] |= value
    mask.words = changed
    return mask


def _of_type(flow: Flow) -> dict[int, int]:
    """What a packet of its Ethernet type has beyond."""
    dl_type = effective_dl_type(flow)
    if dl_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
        return _labels(flow)
    if dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
        return {at.W_NW_SRC: -1, at.W_NW_PROTO: 0xFF, at.W_ARP_SHA: _MAC, at.W_ARP_THA: _MAC}
    if dl_type == ETH_TYPE_NSH:
        return dict.fromkeys(range(at.W_NSH, at.W_NSH_END), -1)
    if dl_type not in (ETH_TYPE_IP, ETH_TYPE_IPV6):
        return {}
    bits = {at.W_IPV6_LABEL: 0x3FFFFFF | (_HIGH if dl_type == ETH_TYPE_IPV6 else 0)}
    addresses = (at.W_NW_SRC,) if dl_type == ETH_TYPE_IP else range(at.W_IPV6_SRC, at.W_IPV6_DST + 2)
    bits.update(dict.fromkeys(addresses, -1))
    first = (at.W_CT_NW_SRC,) if dl_type == ETH_TYPE_IP else range(at.W_CT_IPV6_SRC, at.W_CT_ADDRESSES_END)
    bits.update(dict.fromkeys(first, -1))
    bits[at.W_CT_NW_PROTO] = _CT_PROTO
    bits[at.W_CT_TP_SRC] = at.CT_PORTS
    proto = flow.nw_proto
    if proto in _WITH_PORTS and not flow.nw_frag & at.FRAG_LATER:
        bits[at.W_TP_SRC] = -1
        if proto == IPPROTO_TCP:
            bits[at.W_TCP_FLAGS] = 0xFFFF
        elif proto == IPPROTO_IGMP:
            bits[at.W_IGMP_GROUP] = _HIGH
    return bits


def _labels(flow: Flow) -> dict[int, int]:
    """The MPLS labels that there are."""
    first, second = flow.words[at.W_MPLS_LSE], flow.words[at.W_MPLS_LSE + 1]
    bits = {at.W_MPLS_LSE: _HIGH}
    if not first >> 32 & _BOS:
        bits[at.W_MPLS_LSE] = -1
        if not first & _BOS and second:
            bits[at.W_MPLS_LSE + 1] = _HIGH
    return bits
