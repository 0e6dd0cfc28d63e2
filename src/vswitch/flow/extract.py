"""From a packet's bytes to the packet part of a flow.

The words below `layout.W_PACKET` (registers, tunnel, ports, conntrack state...) and the
connection-tracking tuple among the L3 and L4 words are metadata: they stay as they are.
"""

from __future__ import annotations

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.base.signed import high32
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.packet.parse import Parser


def high48(value: i64, low: i64) -> i64:
    """The word with `value` in its high 48 and `low` in its low 16 bits."""
    return ((value ^ 0x800000000000) - 0x800000000000) << 16 | low


def extract(data: bytes, flow: Flow, parser: Parser) -> None:
    """Parse `data` with `parser` and put every header field into `flow`.

    The flow's `packet_type` says how the packet begins: 0 with an Ethernet header, (1, type)
    with the L3 header named by that Ethernet type. Never raises; what a malformed packet
    lacks is 0 (see `packet.parse`).
    """
    words = flow.words
    packet_type: i64 = words[at.W_PACKET_TYPE] & 0xFFFFFFFF
    if packet_type == 0:
        parser.parse(data)
    else:
        parser.parse_l3(data, packet_type & 0xFFFF)
    from_parser(parser, words)


def limit_vlans(flow: Flow, limit: i64) -> bool:
    """Take no more than `limit` (1 or 2) VLAN tags of a packet's `flow` as such: to a flow table a
    further one is the Ethernet type, and what follows it unknown. Whether anything changed."""
    words = flow.words
    if limit > 1 or words[at.W_VLAN_TCI1] >> at.S_VLAN_TCI1 & at.VLAN_CFI == 0:
        return False
    tpid = words[at.W_VLAN_TPID1] >> at.S_VLAN_TPID1 & 0xFFFF
    words[at.W_ETH_TYPE] = words[at.W_ETH_TYPE] & ~0xFFFF | tpid
    words[at.W_VLAN_TPID] &= ~0xFFFFFFFF << 16
    i: i64 = at.W_MPLS_LSE
    while i < at.N_WORDS:
        if not at.W_CT_NW_SRC <= i < at.W_ND_TARGET and i != at.W_CT_TP_SRC:
            words[i] = 0
        i += 1
    words[at.W_CT_TP_SRC] &= 0xFFFFFFFF
    flow.words = words
    return True


def from_parser(p: Parser, words: vec[i64]) -> None:
    """Put what `p` parsed last into the packet words of a flow."""
    words[at.W_ETH_DST] = high48(p.dl_dst, p.dl_type)
    words[at.W_ETH_SRC] = high48(p.dl_src, p.vlan_tci)
    if p.n_vlans:
        words[at.W_VLAN_TPID] = high32(p.vlan_tpid << 16 | p.vlan_tci2, p.vlan_tpid2 << 16)
    else:
        words[at.W_VLAN_TPID] = 0
    if p.n_mpls:
        words[at.W_MPLS_LSE] = high32(p.mpls_lse0, p.mpls_lse1)
        words[at.W_MPLS_LSE + 1] = high32(p.mpls_lse2, 0)
    else:
        words[at.W_MPLS_LSE] = 0
        words[at.W_MPLS_LSE + 1] = 0
    words[at.W_NW_SRC] = high32(p.nw_src, p.nw_dst)
    words[at.W_IPV6_LABEL] = (
        p.ipv6_label << at.S_IPV6_LABEL
        | p.nw_frag << at.S_NW_FRAG
        | p.nw_tos << at.S_NW_TOS
        | p.nw_ttl << at.S_NW_TTL
        | p.nw_proto
    )
    words[at.W_IPV6_SRC] = p.ipv6_src_hi
    words[at.W_IPV6_SRC + 1] = p.ipv6_src_lo
    words[at.W_IPV6_DST] = p.ipv6_dst_hi
    words[at.W_IPV6_DST + 1] = p.ipv6_dst_lo
    words[at.W_ND_TARGET] = p.nd_target_hi
    words[at.W_ND_TARGET + 1] = p.nd_target_lo
    words[at.W_ARP_SHA] = high48(p.arp_sha, p.tcp_flags | p.nd_options_type)
    words[at.W_ARP_THA] = high48(p.arp_tha, 0)
    if p.nsh_mdtype or p.nsh_path_hdr or p.nsh_np or p.nsh_ttl or p.nsh_flags:
        words[at.W_NSH_BASE] = (
            p.nsh_flags << at.S_NSH_FLAGS
            | p.nsh_ttl << at.S_NSH_TTL
            | p.nsh_mdtype << at.S_NSH_MDTYPE
            | p.nsh_np << at.S_NSH_NP
            | p.nsh_path_hdr
        )
        words[at.W_NSH_CONTEXT] = high32(p.nsh_c1, p.nsh_c2)
        words[at.W_NSH_CONTEXT + 1] = high32(p.nsh_c3, p.nsh_c4)
    else:
        words[at.W_NSH_BASE] = 0
        words[at.W_NSH_CONTEXT] = 0
        words[at.W_NSH_CONTEXT + 1] = 0
    words[at.W_TP_SRC] = high32(p.tp_src << 16 | p.tp_dst, words[at.W_TP_SRC] & 0xFFFFFFFF)
    words[at.W_IGMP_GROUP] = high32(p.igmp_group | p.nd_reserved, 0)
