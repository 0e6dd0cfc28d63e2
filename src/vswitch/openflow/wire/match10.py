"""The fixed-size matches: ofp_match of OpenFlow 1.0 (40 bytes) and of OpenFlow 1.1 (88 bytes).

Both have a bit for each wildcarded field. 1.0 writes IP masks as a number of wildcarded bits, 1.1
has masks of its own, in which a 1 is a wildcarded bit. Neither checks prerequisites: 1.0 takes
what it is told, 1.1 ignores what the Ethernet type doesn't have. Compiled by mypyc.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.flow import layout as at
from vswitch.flow.field import Field
from vswitch.flow.fields import by_name
from vswitch.flow.flow import port_from_oxm, ports_to_oxm, signed64, unsigned64
from vswitch.flow.match import Match
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_RARP,
    IPPROTO_ICMP,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)

OFPMT_STANDARD: Final = 0
OFPMT11_STANDARD_LENGTH: Final = 88
VLAN_NONE: Final = 0xFFFF
VLAN11_ANY: Final = 0xFFFE
IP_DSCP_MASK: Final = 0xFC

# ofp_flow_wildcards of OpenFlow 1.0, 5.2.3.
FW10_IN_PORT: Final = 1 << 0
FW10_DL_VLAN: Final = 1 << 1
FW10_DL_SRC: Final = 1 << 2
FW10_DL_DST: Final = 1 << 3
FW10_DL_TYPE: Final = 1 << 4
FW10_NW_PROTO: Final = 1 << 5
FW10_TP_SRC: Final = 1 << 6
FW10_TP_DST: Final = 1 << 7
FW10_NW_SRC_SHIFT: Final = 8
FW10_NW_DST_SHIFT: Final = 14
FW10_DL_VLAN_PCP: Final = 1 << 20
FW10_NW_TOS: Final = 1 << 21
_FW10_ETHERNET: Final = FW10_DL_VLAN | FW10_DL_SRC | FW10_DL_DST | FW10_DL_TYPE | FW10_DL_VLAN_PCP
_FW10_UPPER: Final = FW10_NW_PROTO | FW10_TP_SRC | FW10_TP_DST | FW10_NW_TOS

# ofp_flow_wildcards of OpenFlow 1.1, A.2.3.
FW11_IN_PORT: Final = 1 << 0
FW11_DL_VLAN: Final = 1 << 1
FW11_DL_VLAN_PCP: Final = 1 << 2
FW11_DL_TYPE: Final = 1 << 3
FW11_NW_TOS: Final = 1 << 4
FW11_NW_PROTO: Final = 1 << 5
FW11_TP_SRC: Final = 1 << 6
FW11_TP_DST: Final = 1 << 7
FW11_MPLS_LABEL: Final = 1 << 8
FW11_MPLS_TC: Final = 1 << 9

ETH_ONES: Final = 0xFFFFFFFFFFFF
_ETH_SRC: Final = by_name("eth_src")
_ETH_DST: Final = by_name("eth_dst")
_NW_SRC: Final = by_name("ip_src")
_NW_DST: Final = by_name("ip_dst")
_MPLS_LABEL: Final = by_name("mpls_label")
_MPLS_TC: Final = by_name("mpls_tc")
_METADATA: Final = by_name("metadata")


def _put_mac(w: Writer, value: int) -> None:
    w.u16(value >> 32)
    w.u32(value & 0xFFFFFFFF)


def _get_mac(r: Reader) -> int:
    high: i64 = r.u16()
    return high << 32 | r.u32()


def _wild_bits(mask: i64) -> i64:
    """How many low bits of a 32-bit mask are 0: what 1.0 counts."""
    n: i64 = 0
    while n < 32 and not (mask >> n) & 1:
        n += 1
    return n


def put_match10(w: Writer, match: Match) -> None:
    """ofp_match of OpenFlow 1.0 (5.2.3). Masks that it lacks are taken as exact, other fields left out."""
    flow = match.flow
    wc = match.mask
    words = wc.words
    wild: i64 = 0
    if not words[at.W_IN_PORT] & 0xFFFF:
        wild |= FW10_IN_PORT
    if not wc.dl_src:
        wild |= FW10_DL_SRC
    if not wc.dl_dst:
        wild |= FW10_DL_DST
    if not wc.dl_type:
        wild |= FW10_DL_TYPE
    if not wc.nw_tos & IP_DSCP_MASK:
        wild |= FW10_NW_TOS
    if not wc.nw_proto:
        wild |= FW10_NW_PROTO
    if not wc.tp_src:
        wild |= FW10_TP_SRC
    if not wc.tp_dst:
        wild |= FW10_TP_DST
    wild |= _wild_bits(wc.nw_src) << FW10_NW_SRC_SHIFT
    wild |= _wild_bits(wc.nw_dst) << FW10_NW_DST_SHIFT
    vid: i64 = 0
    pcp: i64 = 0
    tci_mask: i64 = wc.vlan_tci
    tci: i64 = flow.vlan_tci
    if not tci_mask:
        wild |= FW10_DL_VLAN | FW10_DL_VLAN_PCP
    elif tci_mask & at.VLAN_CFI and not tci & at.VLAN_CFI:
        vid = VLAN_NONE
    else:
        if tci_mask & at.VLAN_VID_MASK:
            vid = tci & at.VLAN_VID_MASK
        else:
            wild |= FW10_DL_VLAN
        if tci_mask & at.VLAN_PCP_MASK:
            pcp = tci >> at.VLAN_PCP_SHIFT
        else:
            wild |= FW10_DL_VLAN_PCP
    w.u32(wild)
    w.u16(flow.in_port)
    _put_mac(w, flow.dl_src)
    _put_mac(w, flow.dl_dst)
    w.u16(vid)
    w.u8(pcp)
    w.pad(1)
    w.u16(flow.dl_type)
    w.u8(flow.nw_tos & IP_DSCP_MASK)
    w.u8(flow.nw_proto)
    w.pad(2)
    w.u32(flow.nw_src)
    w.u32(flow.nw_dst)
    w.u16(flow.tp_src)
    w.u16(flow.tp_dst)


def has_upper_layers10(wild: i64) -> bool:
    """Whether an ofp_match of 1.0 with these wildcards says something of IP, ARP or what they carry."""
    exact = wild & _FW10_UPPER != _FW10_UPPER
    return exact or (wild >> FW10_NW_SRC_SHIFT) & 63 < 32 or (wild >> FW10_NW_DST_SHIFT) & 63 < 32


def get_match10(r: Reader) -> Match:
    """ofp_match of OpenFlow 1.0. OfpError: there are fewer than 40 bytes."""
    body = r.sub(40)
    match = Match()
    flow = match.flow
    wc = match.mask
    wild: i64 = body.u32()
    in_port = body.u16()
    if not wild & FW10_IN_PORT:
        flow.in_port = in_port
        wc.in_port = 0xFFFF
    dl_src = _get_mac(body)
    if not wild & FW10_DL_SRC:
        flow.dl_src = dl_src
        wc.dl_src = ETH_ONES
    dl_dst = _get_mac(body)
    if not wild & FW10_DL_DST:
        flow.dl_dst = dl_dst
        wc.dl_dst = ETH_ONES
    vid: i64 = body.u16()
    pcp: i64 = body.u8()
    body.skip(1)
    if not wild & FW10_DL_VLAN and vid == VLAN_NONE:
        wc.vlan_tci = 0xFFFF
    else:
        tci: i64 = 0
        tci_mask: i64 = 0
        if not wild & FW10_DL_VLAN:
            tci = (vid & at.VLAN_VID_MASK) | at.VLAN_CFI
            tci_mask = at.VLAN_VID_MASK | at.VLAN_CFI
        if not wild & FW10_DL_VLAN_PCP:
            tci |= ((pcp & 7) << at.VLAN_PCP_SHIFT) | at.VLAN_CFI
            tci_mask |= at.VLAN_PCP_MASK | at.VLAN_CFI
        flow.vlan_tci = tci
        wc.vlan_tci = tci_mask
    dl_type = body.u16()
    if not wild & FW10_DL_TYPE:
        flow.dl_type = dl_type
        wc.dl_type = 0xFFFF
    tos = body.u8()
    if not wild & FW10_NW_TOS:
        flow.nw_tos = tos & IP_DSCP_MASK
        wc.nw_tos = IP_DSCP_MASK
    proto = body.u8()
    if not wild & FW10_NW_PROTO:
        flow.nw_proto = proto
        wc.nw_proto = 0xFF
    body.skip(2)
    _set_prefix(match, _NW_SRC, body.u32(), (wild >> FW10_NW_SRC_SHIFT) & 63)
    _set_prefix(match, _NW_DST, body.u32(), (wild >> FW10_NW_DST_SHIFT) & 63)
    tp_src = body.u16()
    tp_dst = body.u16()
    if not wild & FW10_TP_SRC:
        flow.tp_src = tp_src
        wc.tp_src = 0xFFFF
    if not wild & FW10_TP_DST:
        flow.tp_dst = tp_dst
        wc.tp_dst = 0xFFFF
    if wild & _FW10_ETHERNET != _FW10_ETHERNET or has_upper_layers10(wild):
        match.say_ethernet()
    return match


def _set_prefix(match: Match, field: Field, value: i64, wild_bits: i64) -> None:
    if wild_bits < 32:
        match.set(field, value, (i64(0xFFFFFFFF) << wild_bits) & 0xFFFFFFFF)


def put_match11(w: Writer, match: Match) -> None:
    """ofp_match of OpenFlow 1.1 (A.2.3). Masks that it lacks are taken as exact."""
    flow = match.flow
    wc = match.mask
    wild: i64 = 0
    if not wc.words[at.W_IN_PORT] & 0xFFFF:
        wild |= FW11_IN_PORT
    if not wc.dl_type:
        wild |= FW11_DL_TYPE
    if not wc.nw_tos & IP_DSCP_MASK:
        wild |= FW11_NW_TOS
    if not wc.nw_proto:
        wild |= FW11_NW_PROTO
    if not wc.tp_src:
        wild |= FW11_TP_SRC
    if not wc.tp_dst:
        wild |= FW11_TP_DST
    if not wc.bits(_MPLS_LABEL):
        wild |= FW11_MPLS_LABEL
    if not wc.bits(_MPLS_TC):
        wild |= FW11_MPLS_TC
    vid: i64 = 0
    pcp: i64 = 0
    tci_mask: i64 = wc.vlan_tci
    tci: i64 = flow.vlan_tci
    if not tci_mask:
        wild |= FW11_DL_VLAN | FW11_DL_VLAN_PCP
    elif tci_mask & at.VLAN_CFI and not tci & at.VLAN_CFI:
        vid = VLAN_NONE
        wild |= FW11_DL_VLAN_PCP
    else:
        vid = tci & at.VLAN_VID_MASK if tci_mask & at.VLAN_VID_MASK else VLAN11_ANY
        if tci_mask & at.VLAN_PCP_MASK:
            pcp = tci >> at.VLAN_PCP_SHIFT
        else:
            wild |= FW11_DL_VLAN_PCP
    w.u16(OFPMT_STANDARD)
    w.u16(OFPMT11_STANDARD_LENGTH)
    w.u32(0 if wild & FW11_IN_PORT else ports_to_oxm(flow.in_port))
    w.u32(wild)
    _put_mac(w, flow.dl_src)
    _put_mac(w, wc.dl_src ^ ETH_ONES)
    _put_mac(w, flow.dl_dst)
    _put_mac(w, wc.dl_dst ^ ETH_ONES)
    w.u16(vid)
    w.u8(pcp)
    w.pad(1)
    w.u16(flow.dl_type)
    w.u8(flow.nw_tos & IP_DSCP_MASK)
    w.u8(flow.nw_proto)
    w.u32(flow.nw_src)
    w.u32(wc.nw_src ^ 0xFFFFFFFF)
    w.u32(flow.nw_dst)
    w.u32(wc.nw_dst ^ 0xFFFFFFFF)
    w.u16(flow.tp_src)
    w.u16(flow.tp_dst)
    w.u32(flow.get(_MPLS_LABEL))
    w.u8(flow.get(_MPLS_TC))
    w.pad(3)
    w.u64(flow.metadata)
    w.u64(wc.metadata ^ 0xFFFFFFFFFFFFFFFF)


def get_match11(r: Reader) -> Match:
    """ofp_match of OpenFlow 1.1. OfpError: OFPBMC_BAD_LEN, OFPBMC_BAD_VALUE, OFPBMC_BAD_FIELD."""
    if r.end - r.pos < OFPMT11_STANDARD_LENGTH:
        raise OfpError("OFPBMC_BAD_LEN", "match")
    r.skip(2)
    length = r.u16()
    if length != OFPMT11_STANDARD_LENGTH:
        raise OfpError("OFPBMC_BAD_LEN", f"match of {length} bytes")
    body = r.sub(OFPMT11_STANDARD_LENGTH - 4)
    match = Match()
    flow = match.flow
    wc = match.mask
    port: i64 = body.u32()
    wild: i64 = body.u32()
    if not wild & FW11_IN_PORT:
        in_port = port_from_oxm(port)
        if in_port < 0:
            raise OfpError("OFPBMC_BAD_VALUE", f"in_port {port}")
        flow.in_port = in_port
        wc.in_port = 0xFFFF
    dl_src = _get_mac(body)
    match.set(_ETH_SRC, dl_src, _get_mac(body) ^ ETH_ONES)
    dl_dst = _get_mac(body)
    match.set(_ETH_DST, dl_dst, _get_mac(body) ^ ETH_ONES)
    vid: i64 = body.u16()
    pcp: i64 = body.u8()
    body.skip(1)
    if not wild & FW11_DL_VLAN:
        _set_vlan11(match, vid, pcp, not wild & FW11_DL_VLAN_PCP)
    dl_type = body.u16()
    if not wild & FW11_DL_TYPE:
        flow.dl_type = dl_type
        wc.dl_type = 0xFFFF
    _get_network11(body, match, wild)
    label = body.u32()
    tc = body.u8()
    body.skip(3)
    if flow.dl_type == ETH_TYPE_MPLS or flow.dl_type == ETH_TYPE_MPLS_MCAST:
        if not wild & FW11_MPLS_LABEL:
            match.set(_MPLS_LABEL, label)
        if not wild & FW11_MPLS_TC:
            match.set(_MPLS_TC, tc)
    metadata = body.u64()
    match.set(_METADATA, metadata, unsigned64(~signed64(body.u64())))
    words = wc.words
    if words[at.W_ETH_DST] | words[at.W_ETH_SRC]:  # the addresses, the type and the VLAN
        match.say_ethernet()
    return match


def _set_vlan11(match: Match, vid: i64, pcp: i64, with_pcp: bool) -> None:
    if vid == VLAN_NONE:
        match.mask.vlan_tci = 0xFFFF
        return
    tci: i64 = at.VLAN_CFI
    tci_mask: i64 = at.VLAN_CFI
    if vid != VLAN11_ANY:
        if vid > at.VLAN_VID_MASK:
            raise OfpError("OFPBMC_BAD_VALUE", f"dl_vlan {vid}")
        tci |= vid
        tci_mask |= at.VLAN_VID_MASK
    if with_pcp:
        if pcp > 7:
            raise OfpError("OFPBMC_BAD_VALUE", f"dl_vlan_pcp {pcp}")
        tci |= pcp << at.VLAN_PCP_SHIFT
        tci_mask |= at.VLAN_PCP_MASK
    match.flow.vlan_tci = tci
    match.mask.vlan_tci = tci_mask


def _get_network11(body: Reader, match: Match, wild: i64) -> None:
    """From nw_tos to tp_dst, as far as the Ethernet type has them."""
    flow = match.flow
    wc = match.mask
    dl_type: i64 = flow.dl_type
    ipv4 = dl_type == ETH_TYPE_IP
    tos = body.u8()
    if ipv4 and not wild & FW11_NW_TOS:
        if tos & ~IP_DSCP_MASK:
            raise OfpError("OFPBMC_BAD_VALUE", f"nw_tos {tos}")
        flow.nw_tos = tos
        wc.nw_tos = IP_DSCP_MASK
    proto = body.u8()
    nw_src = body.u32()
    nw_src_mask = body.u32() ^ 0xFFFFFFFF
    nw_dst = body.u32()
    nw_dst_mask = body.u32() ^ 0xFFFFFFFF
    if ipv4 or dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
        if not wild & FW11_NW_PROTO:
            flow.nw_proto = proto
            wc.nw_proto = 0xFF
        match.set(_NW_SRC, nw_src, nw_src_mask)
        match.set(_NW_DST, nw_dst, nw_dst_mask)
    tp_src = body.u16()
    tp_dst = body.u16()
    icmp = flow.nw_proto == IPPROTO_ICMP
    if not ipv4 or not (icmp or flow.nw_proto in (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP)):
        return
    if not wild & FW11_TP_SRC:
        if icmp and tp_src > 0xFF:
            raise OfpError("OFPBMC_BAD_FIELD", f"icmp_type {tp_src}")
        flow.tp_src = tp_src
        wc.tp_src = 0xFFFF
    if not wild & FW11_TP_DST:
        if icmp and tp_dst > 0xFF:
            raise OfpError("OFPBMC_BAD_FIELD", f"icmp_code {tp_dst}")
        flow.tp_dst = tp_dst
        wc.tp_dst = 0xFFFF
