"""What a group must be by itself: the checks of OpenFlow 1.5, 7.3.4.3, in Open vSwitch's order.

A decoder asks before it takes a group mod, and the group table asks of those that no wire brought.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from vswitch.openflow.constants import OFPG_ANY, OFPP_ANY
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import group as g

if TYPE_CHECKING:
    from vswitch.flow.field import Field

METHODS: Final = ("hash", "dp_hash")
"""The selection methods of ovs-ofctl(8), "Group Syntax"."""
_BY_BUCKET: Final = (g.OFPGC_DELETE, g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET)
"""Commands that have no say in how a group chooses."""
_ORDER: Final = (  # noqa: SIM905
    "dp_hash recirc_id packet_type conj_id tun_id tun_src tun_dst tun_ipv6_src tun_ipv6_dst tun_flags "
    "tun_ttl tun_tos tun_gbp_id tun_gbp_flags tun_erspan_idx tun_erspan_ver tun_erspan_dir "
    "tun_erspan_hwid tun_gtpu_flags tun_gtpu_msgtype tun_metadata metadata in_port in_port_oxm "
    "actset_output skb_priority pkt_mark ct_state ct_zone ct_mark ct_label ct_nw_proto ct_nw_src "
    "ct_nw_dst ct_ipv6_src ct_ipv6_dst ct_tp_src ct_tp_dst reg xreg xxreg eth_src eth_dst eth_type "
    "vlan_tci dl_vlan vlan_vid dl_vlan_pcp vlan_pcp mpls_label mpls_tc mpls_bos mpls_ttl ip_src ip_dst "
    "ipv6_src ipv6_dst ipv6_label nw_proto nw_tos ip_dscp nw_ecn nw_ttl ip_frag arp_op arp_spa arp_tpa "
    "arp_sha arp_tha tcp_src tcp_dst tcp_flags udp_src udp_dst sctp_src sctp_dst icmp_type icmp_code "
    "icmpv6_type icmpv6_code nd_target nd_sll nd_tll nd_reserved nd_options_type nsh_flags nsh_mdtype "
    "nsh_np nsh_spi nsh_si nsh_c1 nsh_c2 nsh_c3 nsh_c4 nsh_ttl "
).split()
"""Families of fields in the order in which their values are hashed and listed."""
_RANK: Final = {name: rank for rank, name in enumerate(_ORDER)}


def _rank(field: Field) -> tuple[int, int]:
    name = field.name
    if name in _RANK:
        return _RANK[name], 0
    family = name.rstrip("0123456789")
    return _RANK.get(family, len(_RANK)), int(name[len(family) :] or 0)


def in_order(selection: g.SelectionMethod | None) -> g.SelectionMethod | None:
    """`selection` with its fields in the order that their hash depends on."""
    if selection is None or len(selection.fields) < 2:
        return selection
    return replace(selection, fields=tuple(sorted(selection.fields, key=lambda pair: _rank(pair[0]))))


def check_selection(type: int, selection: g.SelectionMethod | None, command: int = g.OFPGC_ADD) -> None:
    """OfpError: OFPGMFC_BAD_TYPE, OFPBPC_BAD_VALUE."""
    if selection is None:
        return
    if type > g.OFPGT_FF:
        raise OfpError("OFPGMFC_BAD_TYPE", f"group type {type}")
    if type != g.OFPGT_SELECT or command in _BY_BUCKET or selection.method not in METHODS:
        raise OfpError("OFPBPC_BAD_VALUE", f"selection method {selection.method!r}")


def check_group(type: int, buckets: tuple[g.Bucket, ...], command: int = g.OFPGC_ADD) -> None:
    """OfpError: OFPGMFC_BAD_TYPE, OFPGMFC_INVALID_GROUP, OFPGMFC_WATCH_UNSUPPORTED."""
    if type > g.OFPGT_FF:
        raise OfpError("OFPGMFC_BAD_TYPE", f"group type {type}")
    if type == g.OFPGT_INDIRECT and command != g.OFPGC_DELETE and len(buckets) != 1:
        raise OfpError("OFPGMFC_INVALID_GROUP", "an indirect group has one bucket")
    for bucket in buckets:
        if bucket.weight and type != g.OFPGT_SELECT and command != g.OFPGC_INSERT_BUCKET:
            raise OfpError("OFPGMFC_INVALID_GROUP", "only buckets of a select group have weights")
        watches = bucket.watch_port != OFPP_ANY or bucket.watch_group != OFPG_ANY
        if type in (g.OFPGT_ALL, g.OFPGT_INDIRECT) and watches:
            raise OfpError("OFPGMFC_WATCH_UNSUPPORTED", "all and indirect groups run buckets dead or alive")
        if type == g.OFPGT_FF and not watches:
            raise OfpError("OFPGMFC_INVALID_GROUP", "a bucket of a fast failover group watches something")
