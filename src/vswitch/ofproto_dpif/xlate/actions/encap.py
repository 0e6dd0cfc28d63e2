"""Headers put around a packet and taken off it: `encap`, `decap` and `dec_nsh_ttl`.

A packet has a packet type (ovs-fields(7), "packet_type"): it begins with an Ethernet header, or with
what an Ethernet type names. `encap` makes the flow that of the new outer header; the datapath
action follows at the next commit (`xlate/commit.py`), so that the new header's fields can be
set first. What lies under an NSH header or a label only a recirculation can tell.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.flow.layout import (
    N_WORDS,
    S_NSH_NP,
    S_NSH_TTL,
    VLAN_CFI,
    W_ETH_DST,
    W_ETH_SRC,
    W_ETH_TYPE,
    W_NSH_BASE,
    W_PACKET_TYPE,
    W_VLAN_TCI,
)
from vswitch.flow.mpls import MAX_MPLS_LABELS, n_mpls_labels
from vswitch.ofproto_dpif.xlate import commit as labels
from vswitch.ofproto_dpif.xlate import freeze as xlate_freeze
from vswitch.ofproto_dpif.xlate.actions.controller import controller_action
from vswitch.ofproto_dpif.xlate.commit import commit
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report, report_error
from vswitch.ofproto_dpif.xlate.trace import OFT_ACTION, OFT_WARN
from vswitch.ofproto_dpif.xlate.types import (
    SLOW_ACTION,
    XLATE_TOO_MANY_MPLS_LABELS,
    XLATE_UNSUPPORTED_PACKET_TYPE,
)
from vswitch.openflow import actions as of
from vswitch.openflow.constants import OFPR_INVALID_TTL
from vswitch.packet.numbers import (
    ETH_TYPE_NSH,
    ETH_TYPE_TEB,
)

PT_ETH: Final = 0
PT_NSH: Final = 0x1894F
PT_MPLS: Final = 0x18847
PT_MPLS_MC: Final = 0x18848
NEXT_PROTOCOLS: Final = {1: 0x10800, 2: 0x186DD, 3: PT_ETH, 4: PT_NSH}
"""NSH's next protocol (RFC 8300 section 2.2) -> packet type."""
NEXT_PROTOCOL_OF: Final = {packet_type: np for np, packet_type in NEXT_PROTOCOLS.items()}
NSH_TTL: Final = 63
NSH_TTL_BITS: Final = NSH_TTL << S_NSH_TTL
NSH_SI: Final = 255
NSH_TLVS_MAX: Final = 248
"""The most context that an NSH header has room for."""


def packet_type(ctx: Ctx) -> int:
    """The packet's type now: namespace << 16 | type."""
    return ctx.flow.words[W_PACKET_TYPE] & 0xFFFFFFFF


def _set_packet_type(ctx: Ctx, value: i64) -> None:
    words = ctx.flow.words
    words[W_PACKET_TYPE] = (words[W_PACKET_TYPE] & ~0xFFFFFFFF) | value


def _refuse(ctx: Ctx, why: str) -> None:
    """Drop the packet."""
    if ctx.trace is not None:
        report(ctx, OFT_ACTION, f"Dropping packet{why}")
    ctx.error = XLATE_UNSUPPORTED_PACKET_TYPE


def _name(value: int) -> str:
    return f"({value >> 16},{value & 0xFFFF:#x})"


def encap(ctx: Ctx, a: of.Encap, last: bool) -> None:
    """The encap action."""
    commit(ctx)
    data = b""
    if a.packet_type == PT_ETH:
        _encap_ethernet(ctx)
    elif a.packet_type == PT_NSH:
        data = _encap_nsh(ctx, a)
    elif a.packet_type in (PT_MPLS, PT_MPLS_MC):
        if not labels.push_mpls(ctx, a.packet_type & 0xFFFF, True):
            if ctx.xin.packet is not None:
                report_error(ctx, "dropping packet on which an encap MPLS action can't be performed as it "
                                  f"would have more MPLS LSEs than the {MAX_MPLS_LABELS} supported.")
            ctx.error = XLATE_TOO_MANY_MPLS_LABELS
        _set_packet_type(ctx, a.packet_type)
        if not ctx.support.add_mpls:
            ctx.out.slow |= SLOW_ACTION
    if ctx.error == 0:
        ctx.pending_encap = True
        ctx.n_headers += 1
        ctx.encap_data = data


def _encap_ethernet(ctx: Ctx) -> None:
    words = ctx.flow.words
    ctx.wc.words[W_PACKET_TYPE] |= 0xFFFFFFFF
    inner = packet_type(ctx)
    if inner >> 16 != 1:
        _refuse(ctx, " as encap(ethernet) is not supported for packet type ethernet.")
        return
    ethertype: i64 = inner & 0xFFFF
    _set_packet_type(ctx, PT_ETH)
    words[W_ETH_DST] = ethertype
    words[W_ETH_SRC] &= 0xFFFF


def _encap_nsh(ctx: Ctx, a: of.Encap) -> bytes:
    """Make the flow an NSH header's; the header's TLVs, if it has any."""
    mdtype: i64 = 1
    tlvs = b""
    for prop in a.properties:
        if prop.type == "md_type":
            mdtype = prop.value
        elif prop.type == "tlv":
            padded = prop.data + bytes(-len(prop.data) % 4)
            head = prop.tlv_class << 16 | prop.tlv_type << 8 | len(prop.data)
            tlvs += head.to_bytes(4, "big") + padded
    inner = packet_type(ctx)
    np = NEXT_PROTOCOL_OF.get(inner)
    if np is None:
        _refuse(ctx, f" as encap(nsh) is not supported for packet type {_name(inner)}")
        return b""
    ctx.wc.words[W_PACKET_TYPE] |= 0xFFFFFFFF
    words = ctx.flow.words
    i: i64 = W_ETH_DST
    while i < N_WORDS:
        words[i] = 0
        i += 1
    _set_packet_type(ctx, PT_NSH)
    words[W_ETH_TYPE] = ETH_TYPE_NSH
    next_protocol: i64 = np
    words[W_NSH_BASE] = NSH_TTL_BITS | mdtype << 40 | next_protocol << S_NSH_NP | NSH_SI
    return tlvs if mdtype == 2 and len(tlvs) <= NSH_TLVS_MAX else b""


def decap(ctx: Ctx, a: of.Decap, last: bool) -> None:
    """The decap action."""
    commit(ctx)
    words = ctx.flow.words
    wc = ctx.wc.words
    outer = packet_type(ctx)
    if outer == PT_ETH:
        if words[W_VLAN_TCI] & VLAN_CFI != 0:
            _refuse(ctx, ", cannot decap Ethernet if VLAN is present.")
            return
        ethertype: i64 = words[W_ETH_TYPE] & 0xFFFF
        _set_packet_type(ctx, 0x10000 | ethertype)
        words[W_ETH_DST] &= 0xFFFF
        words[W_ETH_SRC] &= 0xFFFF
        wc[W_ETH_TYPE] |= 0xFFFF
        return
    if outer == PT_NSH:
        np: int = (words[W_NSH_BASE] >> S_NSH_NP) & 0xFF
        inner = NEXT_PROTOCOLS.get(np)
        if inner is None:
            _refuse(ctx, f" as NSH next protocol {np} is not supported")
            return
        _set_packet_type(ctx, inner)
        wc[W_NSH_BASE] |= 0xFF << S_NSH_NP
        ctx.pending_decap = True
        ctx.n_headers += 1
        xlate_freeze.trigger(ctx)
    elif outer in (PT_MPLS, PT_MPLS_MC):
        new = of.USE_NEXT_PROTO if a.packet_type is None else a.packet_type
        _set_packet_type(ctx, new)
        below: i64 = new & 0xFFFF if new & 0xFFFF else ETH_TYPE_TEB
        n_labels = n_mpls_labels(ctx.flow, ctx.wc)
        if not labels.pop_mpls(ctx, below):
            if ctx.xin.packet is not None:
                report_error(ctx, "dropping packet on which an MPLS decap can't be performed as it has more "
                                  f"MPLS LSEs than the {MAX_MPLS_LABELS} supported.")
                ctx.error = XLATE_TOO_MANY_MPLS_LABELS
            return
        if not ctx.support.add_mpls:
            ctx.out.slow |= SLOW_ACTION
        ctx.pending_decap = True
        ctx.n_headers += 1
        if n_labels == 1:
            # What is below has to be looked at.
            xlate_freeze.trigger(ctx)
    else:
        _refuse(ctx, f" as the decap() does not support packet type {_name(outer)}")


def dec_nsh_ttl(ctx: Ctx, a: of.DecNshTtl, last: bool) -> bool:
    """The dec_nsh_ttl action. A packet without NSH goes no further in the table, as one whose TTL is 0."""
    words = ctx.flow.words
    if packet_type(ctx) == PT_NSH or words[W_ETH_TYPE] & 0xFFFF == ETH_TYPE_NSH:
        ctx.wc.words[W_NSH_BASE] |= 0xFF << S_NSH_TTL
        if (words[W_NSH_BASE] >> S_NSH_TTL) & 0xFF > 1:
            words[W_NSH_BASE] -= 1 << S_NSH_TTL
            return False
        controller_action(ctx, 0xFFFF, OFPR_INVALID_TTL, 0, b"")
    if ctx.trace is not None:
        report(ctx, OFT_WARN, "NSH decrement TTL exception")
    return True
