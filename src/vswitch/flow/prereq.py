"""Whether a field is in a packet: the prerequisites of ovs-fields(7).

One test serves a flow (is the field there?), a match (does it say that the field is there?) and
translation, which passes `wc` and gets the bits that were looked at added to it.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.flow import layout as at
from vswitch.flow.field import Field, Prereq
from vswitch.flow.flow import Flow
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
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    ND_NEIGHBOR_ADVERT,
    ND_NEIGHBOR_SOLICIT,
)

# To look a member up in its enumeration costs more than all else that is done here.
_NONE: Final = Prereq.NONE
_ETHERNET: Final = Prereq.ETHERNET
_VLAN_VID: Final = Prereq.VLAN_VID
_CT: Final = Prereq.CT
_ARP: Final = Prereq.ARP
_IPV4: Final = Prereq.IPV4
_IPV6: Final = Prereq.IPV6
_IP_ANY: Final = Prereq.IP_ANY
_MPLS: Final = Prereq.MPLS
_NSH: Final = Prereq.NSH
_ND_SOLICIT: Final = Prereq.ND_SOLICIT
_ND_ADVERT: Final = Prereq.ND_ADVERT
_PROTOCOLS: Final = (
    (Prereq.TCP, 0, IPPROTO_TCP),
    (Prereq.UDP, 0, IPPROTO_UDP),
    (Prereq.SCTP, 0, IPPROTO_SCTP),
    (Prereq.ICMPV4, ETH_TYPE_IP, IPPROTO_ICMP),
    (Prereq.ICMPV6, ETH_TYPE_IPV6, IPPROTO_ICMPV6),
)
"""(what is wanted, the Ethernet type or 0 for either IP, the protocol)."""


def is_ip_any(dl_type: i64) -> bool:
    """IPv4 or IPv6."""
    return dl_type in (ETH_TYPE_IP, ETH_TYPE_IPV6)


def effective_dl_type(flow: Flow) -> int:
    """The Ethernet type, or for a packet without Ethernet header the type in `packet_type`."""
    packet_type = flow.packet_type
    return packet_type & 0xFFFF if packet_type >> 16 == 1 else flow.dl_type


def is_nd(flow: Flow) -> bool:
    """A neighbour solicitation or advertisement (RFC 4861)."""
    return (
        effective_dl_type(flow) == ETH_TYPE_IPV6
        and flow.nw_proto == IPPROTO_ICMPV6
        and flow.tp_src in (ND_NEIGHBOR_SOLICIT, ND_NEIGHBOR_ADVERT)
        and flow.tp_dst == 0
    )


def _ct_valid(flow: Flow, mask: Flow | None, wc: Flow | None) -> bool:
    state = flow.ct_state
    established = at.CS_NEW | at.CS_ESTABLISHED | at.CS_RELATED | at.CS_REPLY_DIR
    if mask is not None:
        known = mask.ct_state
        said_valid = bool(state & at.CS_TRACKED and known & at.CS_INVALID and not state & at.CS_INVALID)
        return bool(state & known & established) or said_valid
    if wc is not None:
        wc.ct_state |= established | at.CS_TRACKED | at.CS_INVALID
    return bool(state & established) or bool(state & at.CS_TRACKED and not state & at.CS_INVALID)


def prereqs_ok(field: Field, flow: Flow, mask: Flow | None = None, wc: Flow | None = None) -> bool:
    """Whether `field` is in `flow`; `mask` makes (flow, mask) a match. `wc` collects bits looked at.

    `wc` gets no bits of packet type and Ethernet type, which every megaflow has anyway.
    """
    prereq = field.prereq
    if prereq is _NONE:
        return True
    if prereq is _ETHERNET:
        return flow.packet_type == 0
    if prereq is _VLAN_VID:
        if wc is not None:
            wc.vlan_tci |= at.VLAN_CFI
        return bool(flow.vlan_tci & at.VLAN_CFI)
    if prereq is _CT:
        return _ct_valid(flow, mask, wc)
    dl_type = effective_dl_type(flow)
    if prereq is _ARP:
        return dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP)
    if prereq is _IPV4:
        return dl_type == ETH_TYPE_IP
    if prereq is _IPV6:
        return dl_type == ETH_TYPE_IPV6
    if prereq is _IP_ANY:
        return dl_type in (ETH_TYPE_IP, ETH_TYPE_IPV6)
    if prereq is _MPLS:
        return dl_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST)
    if prereq is _NSH:
        return dl_type == ETH_TYPE_NSH
    return _transport_ok(prereq, dl_type, flow, wc)


WITH_PORTS: Final = (6, 17, 132)
"""TCP, UDP, SCTP: later fragments lack their ports."""


def _transport_ok(prereq: Prereq, dl_type: int, flow: Flow, wc: Flow | None) -> bool:
    wanted_type, proto = ETH_TYPE_IPV6, IPPROTO_ICMPV6
    discovery = True
    for known, known_type, known_proto in _PROTOCOLS:
        if prereq is known:
            wanted_type, proto = known_type, known_proto
            discovery = False
            break
    if dl_type not in (ETH_TYPE_IP, ETH_TYPE_IPV6) or (wanted_type and dl_type != wanted_type):
        return False
    if wc is not None:
        wc.nw_proto = 0xFF
    if flow.nw_proto != proto:
        return False
    if proto in WITH_PORTS:  # of ICMP it doesn't matter, as in Open vSwitch
        if wc is not None:
            wc.nw_frag |= at.FRAG_LATER
        if flow.nw_frag & at.FRAG_LATER:
            return False
    if not discovery:
        return True
    if wc is not None:
        wc.tp_src = 0xFFFF
        wc.tp_dst = 0xFFFF
    if flow.tp_dst != 0:
        return False
    if prereq is _ND_SOLICIT:
        return flow.tp_src == ND_NEIGHBOR_SOLICIT
    if prereq is _ND_ADVERT:
        return flow.tp_src == ND_NEIGHBOR_ADVERT
    return flow.tp_src in (ND_NEIGHBOR_SOLICIT, ND_NEIGHBOR_ADVERT)
