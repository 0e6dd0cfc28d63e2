"""Connection tracking: `ct` and its parts, `ct_clear`, and lookups by a connection's first packet.

`ct` sends a copy of the packet to the tracker. Only a packet that comes back from it, by a
recirculation, has a state to match on; the one that goes on here is as if it had never been
there. So `ct(table=N)` forks: the frozen translation goes on in table N, this one after the
action. ovs-actions(7), "The ct action".
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.base.signed import signed32
from vswitch.dpif.actions import Ct as OdpCt
from vswitch.dpif.actions import CtClear as OdpCtClear
from vswitch.dpif.actions import Nat as OdpNat
from vswitch.flow.field import Field
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    S_CT_MARK,
    S_CT_NW_PROTO,
    W_CT_IPV6_DST,
    W_CT_IPV6_SRC,
    W_CT_LABEL,
    W_CT_MARK,
    W_CT_NW_PROTO,
    W_CT_NW_SRC,
    W_ETH_TYPE,
    W_IPV6_DST,
    W_IPV6_SRC,
    W_METADATA,
    W_NW_PROTO,
    W_NW_SRC,
    W_TP_SRC,
)
from vswitch.ofproto_dpif.xlate import freeze as xlate_freeze
from vswitch.ofproto_dpif.xlate import output as xlate_output
from vswitch.ofproto_dpif.xlate.actions import dispatch as xlate_actions
from vswitch.ofproto_dpif.xlate.actions import fields
from vswitch.ofproto_dpif.xlate.commit import commit
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report
from vswitch.ofproto_dpif.xlate.trace import OFT_DETAIL, OFT_WARN
from vswitch.openflow import actions as of
from vswitch.packet.numbers import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
)

CT_LABEL: Final = by_name("ct_label")
MARK_BITS: Final = -1 << S_CT_MARK
EVENTS: Final = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 7 | 1 << 10
"""What the kernel tells the listeners of a committed connection (IPCT_* bits of <linux/netfilter/
nf_conntrack_common.h>): new, related, destroy, mark, label; not the rest, of which there is much."""
HELPERS: Final = {21: "ftp", 69: "tftp"}
"""The port of an `alg` -> what the datapath calls its helper."""


def ct(ctx: Ctx, a: of.Ct, last: bool) -> None:
    """The ct action."""
    commit(ctx)
    wc = ctx.wc.words
    old_mark = wc[W_CT_MARK] & MARK_BITS
    old_label = wc[W_CT_LABEL]
    old_label_low = wc[W_CT_LABEL + 1]
    wc[W_CT_MARK] &= ~MARK_BITS
    wc[W_CT_LABEL] = 0
    wc[W_CT_LABEL + 1] = 0
    # What exec() sets, and nothing else, is in the mask of mark and label now.
    ctx.ct_nat_action = None
    xlate_actions.run(ctx, a.actions, last)
    zone = _zone(ctx, a)
    helper = ""
    if a.alg:
        helper = HELPERS.get(a.alg, "")
        if not helper and ctx.trace is not None:
            report(ctx, OFT_WARN, f"cannot serialize ct_helper {a.alg}")
    nat: of.Nat | None = ctx.ct_nat_action
    ctx.ct_nat_action = None
    ctx.odp.append(
        OdpCt(
            commit=a.commit,
            force=a.force,
            zone=zone,
            mark=_mark(ctx),
            label=_label(ctx),
            helper=helper,
            nat=None if nat is None else datapath_nat(nat),
            timeout=_timeout(ctx, zone) if a.commit else "",
            eventmask=EVENTS if a.commit and ctx.support.ct_eventmask else None,
        )
    )
    wc[W_CT_MARK] = (wc[W_CT_MARK] & ~MARK_BITS) | old_mark
    wc[W_CT_LABEL] = old_label
    wc[W_CT_LABEL + 1] = old_label_low
    table = a.recirc_table
    if table is not None:
        ctx.conntracked = True
        recirc_id = xlate_freeze.fork(ctx, table)
        trace = ctx.trace
        if trace is not None:
            trace.add_conntrack(recirc_id, ctx.flow.copy(), zone, nat)
            report(ctx, OFT_DETAIL, "A clone of the packet is forked to recirculate. The forked pipeline "
                                    f"will be resumed at table {table}.")
    xlate_output.clear_conntrack(ctx, ctx.flow)
    if ctx.trace is not None:
        report(ctx, OFT_DETAIL,
               "Sets the packet to an untracked state, and clears all the conntrack fields.")


def nat(ctx: Ctx, a: of.Nat, last: bool) -> None:
    """The nat action, which has its effect in the `ct` that it is part of."""
    ctx.ct_nat_action = a


def ct_clear(ctx: Ctx, a: of.CtClear, last: bool) -> None:
    """The ct_clear action. A packet that was not tracked has nothing to clear."""
    if ctx.conntracked:
        xlate_output.clear_conntrack(ctx, ctx.flow)
        if ctx.support.ct_clear:
            ctx.odp.append(OdpCtClear())


def _is_frozen_metadata(field: Field) -> bool:
    """Whether a recirculation keeps `field`: then its value is no property of the packet."""
    return field.word <= W_METADATA or field.name in ("in_port", "in_port_oxm")


def _zone(ctx: Ctx, a: of.Ct) -> int:
    source = a.zone_src
    if source is None:
        return a.zone
    if ctx.xin.frozen is None or not _is_frozen_metadata(source.field):
        fields.mask_subfield(ctx.wc, source)
    return fields.read_subfield(ctx.flow, source)


def _timeout(ctx: Ctx, zone: int) -> str:
    """The datapath's name for the zone's timeout policy, which may depend on the packet's protocol."""
    names = ctx.xin.bridge.dp.ct_timeouts.get(zone)
    if names is None:
        return ""
    if names.any:
        return names.any
    words = ctx.flow.words
    ctx.wc.words[W_NW_PROTO] |= 0xFF
    return names.of.get((words[W_ETH_TYPE] & 0xFFFF, words[W_NW_PROTO] & 0xFF), "")


def _mark(ctx: Ctx) -> tuple[int, int] | None:
    mask: i64 = (ctx.wc.words[W_CT_MARK] >> S_CT_MARK) & 0xFFFFFFFF
    if mask == 0:
        return None
    return (ctx.flow.words[W_CT_MARK] >> S_CT_MARK) & mask, mask


def _label(ctx: Ctx) -> tuple[int, int] | None:
    mask = ctx.wc.get(CT_LABEL)
    return (ctx.flow.get(CT_LABEL) & mask, mask) if mask else None


def datapath_nat(a: of.Nat) -> OdpNat:
    """The datapath's form of nat action `a`: a range that is one address or port has no end."""
    if not a.kind:
        return OdpNat()
    size = 16 if a.family == 6 else 4
    # The address 0 says that the address stays, which the datapath takes from there being none.
    low = a.min_addr.to_bytes(size, "big") if a.min_addr else b""
    high = a.max_addr.to_bytes(size, "big") if a.max_addr else b""
    return OdpNat(
        kind=a.kind,
        min_addr=low,
        max_addr=high if low and high > low else b"",
        min_port=a.min_port,
        max_port=a.max_port if a.min_port and a.max_port > a.min_port else 0,
        persistent=a.persistent,
        hash=a.hash,
        random=a.random and not a.hash,
    )


def has_original_tuple(flow: Flow) -> bool:
    """Whether `flow` is IP and knows its connection's first packet."""
    words = flow.words
    return (words[W_CT_NW_PROTO] >> S_CT_NW_PROTO) & 0xFF != 0 and (
        words[W_ETH_TYPE] & 0xFFFF in (ETH_TYPE_IP, ETH_TYPE_IPV6)
    )


def swap_tuple(flow: Flow, of_type: Flow) -> None:
    """Exchange addresses, ports and protocol of `flow` with those of its connection's first packet.

    `of_type` is the packet whose Ethernet type counts: `flow` itself, or what `flow` is the mask of.
    """
    words = flow.words
    proto = words[W_NW_PROTO] & 0xFF
    orig = (words[W_CT_NW_PROTO] >> S_CT_NW_PROTO) & 0xFF
    words[W_NW_PROTO] = (words[W_NW_PROTO] & ~0xFF) | orig
    words[W_CT_NW_PROTO] = (words[W_CT_NW_PROTO] & ~(0xFF << S_CT_NW_PROTO)) | proto << S_CT_NW_PROTO
    # Both pairs of ports lie in one word: those of the packet high, those of the connection low.
    word = words[W_TP_SRC]
    low = signed32(word)
    words[W_TP_SRC] = low << 32 | (word >> 32) & 0xFFFFFFFF
    if of_type.words[W_ETH_TYPE] & 0xFFFF == ETH_TYPE_IP:
        _swap(flow, W_NW_SRC, W_CT_NW_SRC)
    else:
        _swap(flow, W_IPV6_SRC, W_CT_IPV6_SRC)
        _swap(flow, W_IPV6_SRC + 1, W_CT_IPV6_SRC + 1)
        _swap(flow, W_IPV6_DST, W_CT_IPV6_DST)
        _swap(flow, W_IPV6_DST + 1, W_CT_IPV6_DST + 1)


def _swap(flow: Flow, a: i64, b: i64) -> None:
    words = flow.words
    kept: i64 = words[a]
    words[a] = words[b]
    words[b] = kept
