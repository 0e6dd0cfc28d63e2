"""Actions that change packet headers: VLAN tags, addresses, TTLs, ports, MPLS labels.

Each notes in `wc` the bits that it overwrites, whether or not that changes anything: the
megaflow's actions are right only for packets with the same bits there. What is in an IP
header is committed only for protocols other than 0, so that the protocol counts as looked at.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.flow.layout import (
    FRAG_LATER,
    S_NW_PROTO,
    S_NW_TOS,
    S_NW_TTL,
    S_TP_DST,
    S_TP_SRC,
    VLAN_CFI,
    W_ETH_DST,
    W_ETH_SRC,
    W_ETH_TYPE,
    W_NW_DST,
    W_NW_FRAG,
    W_NW_PROTO,
    W_NW_SRC,
    W_NW_TOS,
    W_NW_TTL,
    W_TP_SRC,
    W_VLAN_TCI,
    W_VLAN_TPID,
)
from vswitch.flow.mpls import MAX_MPLS_LABELS, is_mpls, lse, n_mpls_labels, or_lse, set_lse
from vswitch.flow.prereq import effective_dl_type, is_ip_any
from vswitch.flow.vlan import set_qtag
from vswitch.ofproto_dpif.xlate import commit as labels
from vswitch.ofproto_dpif.xlate import vlan as tags
from vswitch.ofproto_dpif.xlate.actions.controller import controller_action
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report, report_error
from vswitch.ofproto_dpif.xlate.trace import OFT_WARN
from vswitch.ofproto_dpif.xlate.types import XLATE_TOO_MANY_MPLS_LABELS
from vswitch.openflow import actions as of
from vswitch.openflow.constants import OFPR_INVALID_TTL
from vswitch.packet.numbers import (
    ETH_TYPE_IP,
    ETH_TYPE_VLAN_8021Q,
)

DSCP_BITS: Final = 0xFC << S_NW_TOS
ECN_BITS: Final = 0x03 << S_NW_TOS
TTL_BITS: Final = 0xFF << S_NW_TTL
PROTO_BITS: Final = 0xFF << S_NW_PROTO
HIGH32: Final = -1 << 32
LOW32: Final = 0xFFFFFFFF


# VLAN.


def set_vlan_vid(ctx: Ctx, a: of.SetVlanVid, last: bool) -> None:
    _set_tci(ctx, 0x0FFF, a.vid, a.push)


def set_vlan_pcp(ctx: Ctx, a: of.SetVlanPcp, last: bool) -> None:
    _set_tci(ctx, 0xE000, a.pcp << 13, a.push)


def _set_tci(ctx: Ctx, bits: i64, value: i64, push: bool) -> None:
    words = ctx.flow.words
    ctx.wc.words[W_VLAN_TCI] |= bits | VLAN_CFI
    tci = words[W_VLAN_TCI] & 0xFFFF
    if tci & VLAN_CFI != 0 or push:
        if (words[W_VLAN_TPID] >> 48) & 0xFFFF == 0:
            set_qtag(ctx.flow, 0, (ETH_TYPE_VLAN_8021Q << 16) | tci)
        words[W_VLAN_TCI] = (words[W_VLAN_TCI] & ~bits) | value | VLAN_CFI


def strip_vlan(ctx: Ctx, a: of.StripVlan, last: bool) -> None:
    tags.pop_vlan(ctx)


def push_vlan(ctx: Ctx, a: of.PushVlan, last: bool) -> None:
    tags.push_vlan(ctx, a.ethertype)


# Ethernet, IP, transport.


def set_eth_src(ctx: Ctx, a: of.SetEthSrc, last: bool) -> None:
    ctx.wc.words[W_ETH_SRC] |= -1 << 16
    ctx.flow.dl_src = a.mac


def set_eth_dst(ctx: Ctx, a: of.SetEthDst, last: bool) -> None:
    ctx.wc.words[W_ETH_DST] |= -1 << 16
    ctx.flow.dl_dst = a.mac


def _dl_type(ctx: Ctx) -> i64:
    return ctx.flow.words[W_ETH_TYPE] & 0xFFFF


def set_ipv4_src(ctx: Ctx, a: of.SetIpv4Src, last: bool) -> None:
    if _dl_type(ctx) == ETH_TYPE_IP:
        ctx.wc.words[W_NW_SRC] |= HIGH32
        ctx.wc.words[W_NW_PROTO] |= PROTO_BITS
        ctx.flow.nw_src = a.ipv4


def set_ipv4_dst(ctx: Ctx, a: of.SetIpv4Dst, last: bool) -> None:
    if _dl_type(ctx) == ETH_TYPE_IP:
        ctx.wc.words[W_NW_DST] |= LOW32
        ctx.wc.words[W_NW_PROTO] |= PROTO_BITS
        ctx.flow.nw_dst = a.ipv4


def set_ip_dscp(ctx: Ctx, a: of.SetIpDscp, last: bool) -> None:
    if is_ip_any(_dl_type(ctx)):
        words = ctx.flow.words
        dscp: i64 = a.tos & 0xFC
        ctx.wc.words[W_NW_TOS] |= DSCP_BITS | PROTO_BITS
        words[W_NW_TOS] = (words[W_NW_TOS] & ~DSCP_BITS) | (dscp << S_NW_TOS)


def set_ip_ecn(ctx: Ctx, a: of.SetIpEcn, last: bool) -> None:
    if is_ip_any(_dl_type(ctx)):
        words = ctx.flow.words
        ecn: i64 = a.ecn & 3
        ctx.wc.words[W_NW_TOS] |= ECN_BITS | PROTO_BITS
        words[W_NW_TOS] = (words[W_NW_TOS] & ~ECN_BITS) | (ecn << S_NW_TOS)


def set_ip_ttl(ctx: Ctx, a: of.SetIpTtl, last: bool) -> None:
    if is_ip_any(_dl_type(ctx)):
        ctx.wc.words[W_NW_TTL] |= TTL_BITS | PROTO_BITS
        ctx.flow.nw_ttl = a.ttl


def _has_ports(ctx: Ctx) -> bool:
    return is_ip_any(_dl_type(ctx)) and (ctx.flow.words[W_NW_FRAG] >> 24) & FRAG_LATER == 0


def set_l4_src_port(ctx: Ctx, a: of.SetL4SrcPort, last: bool) -> None:
    if _has_ports(ctx):
        wc = ctx.wc.words
        wc[W_NW_PROTO] |= PROTO_BITS
        wc[W_TP_SRC] |= -1 << S_TP_SRC
        ctx.flow.tp_src = a.port


def set_l4_dst_port(ctx: Ctx, a: of.SetL4DstPort, last: bool) -> None:
    if _has_ports(ctx):
        wc = ctx.wc.words
        wc[W_NW_PROTO] |= PROTO_BITS
        wc[W_TP_SRC] |= 0xFFFF << S_TP_DST
        ctx.flow.tp_dst = a.port


def dec_ttl(ctx: Ctx, a: of.DecTtl, last: bool) -> bool:
    ctx.wc.words[W_NW_TTL] |= TTL_BITS | PROTO_BITS
    if not is_ip_any(effective_dl_type(ctx.flow)):
        return False
    ttl = (ctx.flow.words[W_NW_TTL] >> S_NW_TTL) & 0xFF
    if ttl > 1:
        ctx.flow.words[W_NW_TTL] -= 1 << S_NW_TTL
        return False
    for controller_id in a.ids:
        controller_action(ctx, 0xFFFF, OFPR_INVALID_TTL, controller_id, b"")
    if ctx.trace is not None:
        version = 4 if _dl_type(ctx) == ETH_TYPE_IP else 6
        report(ctx, OFT_WARN, f"IPv{version} decrement TTL exception")
    return True


# MPLS.


def push_mpls(ctx: Ctx, a: of.PushMpls, last: bool) -> None:
    if not labels.push_mpls(ctx, a.ethertype):
        if ctx.xin.packet is not None:
            report_error(ctx, "dropping packet on which an MPLS push action can't be performed as it would "
                              f"have more MPLS LSEs than the {MAX_MPLS_LABELS} supported.")
        ctx.error = XLATE_TOO_MANY_MPLS_LABELS


def pop_mpls(ctx: Ctx, a: of.PopMpls, last: bool) -> None:
    if labels.pop_mpls(ctx, a.ethertype):
        if not is_mpls(a.ethertype) and ctx.support.recirc:
            ctx.was_mpls = True
    elif n_mpls_labels(ctx.flow, None) >= MAX_MPLS_LABELS:
        if ctx.xin.packet is not None:
            report_error(ctx, "dropping packet on which an MPLS pop action can't be performed as it has "
                              f"more MPLS LSEs than the {MAX_MPLS_LABELS} supported.")
        ctx.error = XLATE_TOO_MANY_MPLS_LABELS


def _change_lse(ctx: Ctx, bits: i64, value: i64) -> None:
    if is_mpls(_dl_type(ctx)):
        or_lse(ctx.wc, 0, bits)
        set_lse(ctx.flow, 0, (lse(ctx.flow, 0) & ~bits) | value)


def set_mpls_label(ctx: Ctx, a: of.SetMplsLabel, last: bool) -> None:
    _change_lse(ctx, 0xFFFFF000, a.label << 12)


def set_mpls_tc(ctx: Ctx, a: of.SetMplsTc, last: bool) -> None:
    _change_lse(ctx, 0xE00, a.tc << 9)


def set_mpls_ttl(ctx: Ctx, a: of.SetMplsTtl, last: bool) -> None:
    _change_lse(ctx, 0xFF, a.ttl)


def dec_mpls_ttl(ctx: Ctx, a: of.DecMplsTtl, last: bool) -> bool:
    if is_mpls(_dl_type(ctx)):
        ttl = lse(ctx.flow, 0) & 0xFF
        or_lse(ctx.wc, 0, 0xFF)
        if ttl > 1:
            set_lse(ctx.flow, 0, lse(ctx.flow, 0) - 1)
            return False
        controller_action(ctx, 0xFFFF, OFPR_INVALID_TTL, 0, b"")
    if ctx.trace is not None:
        report(ctx, OFT_WARN, "MPLS decrement TTL exception")
    return True


