"""What each OpenFlow action does to a translation: one small function an action, and a table of them.

A handler gets the action and whether it is the last thing to happen to the packet; it returns
True to end the present table's actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mypy_extensions import i64

from vswitch.dpif.actions import Clone as OdpClone
from vswitch.dpif.actions import CtClear as OdpCtClear
from vswitch.dpif.actions import Sample as OdpSample
from vswitch.flow.field import Prereq
from vswitch.flow.fields import FIELDS
from vswitch.flow.flow import Flow
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
    W_IN_PORT,
    W_NW_DST,
    W_NW_FRAG,
    W_NW_PROTO,
    W_NW_SRC,
    W_NW_TOS,
    W_NW_TTL,
    W_SKB_PRIORITY,
    W_TP_SRC,
    W_VLAN_TCI,
    W_VLAN_TPID,
)
from vswitch.flow.prereq import prereqs_ok
from vswitch.flow.values import c_hex, format_value
from vswitch.ofproto_dpif import xlate_freeze, xlate_normal, xlate_output, xlate_tables
from vswitch.ofproto_dpif.xlate_action_set import ordered_action_set
from vswitch.ofproto_dpif.xlate_commit import commit, pop_mpls, push_mpls
from vswitch.ofproto_dpif.xlate_ctx import (
    ETH_TYPE_IP,
    ETH_TYPE_VLAN,
    MAX_MPLS_LABELS,
    OFT_ACTION,
    OFT_DETAIL,
    OFT_WARN,
    Ctx,
    is_ip_any,
    is_mpls,
    lse,
    n_mpls_labels,
    or_lse,
    pop_vlan,
    push_vlan,
    report,
    report_error,
    set_lse,
    set_qtag,
)
from vswitch.ofproto_dpif.xlate_mpls import needs_recirculation
from vswitch.ofproto_dpif.xlate_types import SLOW_ACTION, XLATE_TOO_MANY_MPLS_LABELS
from vswitch.openflow import actions as of
from vswitch.openflow.action_text import format_actions, format_subfield
from vswitch.openflow.constants import (
    OFPP_ALL,
    OFPP_CONTROLLER,
    OFPP_FLOOD,
    OFPP_IN_PORT,
    OFPP_NONE,
    OFPP_NORMAL,
    OFPP_TABLE,
    OFPP_UNSET,
    OFPR_ACTION,
    OFPR_ACTION_SET,
    OFPR_INVALID_TTL,
    OFPR_PACKET_OUT,
)

DSCP_BITS: Final = 0xFC << S_NW_TOS
ECN_BITS: Final = 0x03 << S_NW_TOS
TTL_BITS: Final = 0xFF << S_NW_TTL
PROTO_BITS: Final = 0xFF << S_NW_PROTO
HIGH32: Final = -1 << 32
LOW32: Final = 0xFFFFFFFF


def run(ctx: Ctx, actions: of.Actions, last: bool) -> None:
    """Execute `actions`. `last`: no one sees the packet after them."""
    if not actions:
        if ctx.trace is not None:
            report(ctx, OFT_ACTION, "drop")
        return
    # What a recirculation resumes may hold `Unroll`, which is no OpenFlow action.
    steps: tuple[Any, ...] = actions
    n: i64 = len(steps)
    i: i64 = 0
    while i < n:
        if ctx.error != 0:
            return
        action: Any = steps[i]
        if ctx.was_mpls and not ctx.exit and needs_recirculation(action):
            xlate_freeze.trigger(ctx)
        if ctx.exit:
            if ctx.freezing:
                xlate_freeze.unroll(ctx, steps[i:])
            return
        if ctx.trace is not None and type(action) is not xlate_freeze.Unroll:
            report(ctx, OFT_ACTION, format_actions((action,)))
        i += 1
        handler = HANDLERS.get(type(action))
        if handler is None:
            report_error(ctx, f"action {format_actions((action,))} is not supported")
            return
        if handler(ctx, action, last and i == n and not ctx.action_set):
            return


def run_clone(ctx: Ctx, actions: of.Actions, last: bool) -> None:
    """Execute `actions` on a copy: nothing that follows sees their changes.

    Mostly it suffices to put our own state back, for the next commit undoes the changes. What
    can't be undone runs in a datapath clone. An exit among the actions ends what follows, too.
    """
    old_stack = list(ctx.stack)
    old_action_set = list(ctx.action_set)
    if last or _is_reversible(actions):
        old_flow = ctx.flow.copy()
        _run_to_end(ctx, actions, last)
    else:
        commit(ctx)
        old_flow = ctx.flow.copy()
        old_base = ctx.base.copy()
        old_was_mpls = ctx.was_mpls
        old_conntracked = ctx.conntracked
        outside = ctx.odp
        if ctx.support.clone or ctx.support.sample_nesting > 3:
            ctx.odp = []
            _run_to_end(ctx, actions, True)
            inside = tuple(ctx.odp)
            ctx.odp = outside
            if inside:
                outside.append(OdpClone(inside) if ctx.support.clone else OdpSample(0xFFFFFFFF, inside))
        else:
            report_error(ctx, "Failed to compose clone action")
        ctx.conntracked = old_conntracked
        ctx.was_mpls = old_was_mpls
        ctx.base.assign(old_base)
    ctx.flow.assign(old_flow)
    ctx.stack = old_stack
    ctx.action_set = old_action_set


def _run_to_end(ctx: Ctx, actions: of.Actions, last: bool) -> None:
    run(ctx, actions, last)
    if not ctx.freezing:
        xlate_output.run_action_set(ctx)
    if ctx.freezing:
        xlate_freeze.finish(ctx)


_IRREVERSIBLE: Final = (
    of.Ct, of.Nat, of.Meter, of.OutputTrunc, of.Encap, of.Decap, of.DecNshTtl, of.CheckPktLarger,
)  # fmt: skip


def _is_reversible(actions: of.Actions) -> bool:
    return all(type(a) not in _IRREVERSIBLE for a in actions) or any(type(a) is of.Exit for a in actions)


# Output.


def output_to(ctx: Ctx, port: int, max_len: int, last: bool, may_packet_in: bool = False) -> None:
    """Output to `port`, ordinary or reserved."""
    came_in: int = ctx.flow.words[W_IN_PORT] & 0xFFFF
    if port < OFPP_UNSET:
        if port != came_in:
            xlate_output.output(ctx, port, 0, last)
        elif ctx.trace is not None:
            report(ctx, OFT_WARN, "skipping output to input port")
    elif port == OFPP_NORMAL:
        xlate_normal.normal(ctx)
    elif port == OFPP_IN_PORT:
        xlate_output.output(ctx, came_in, 0, last)
    elif port == OFPP_FLOOD:
        xlate_output.flood(ctx, False)
    elif port == OFPP_ALL:
        xlate_output.flood(ctx, True)
    elif port == OFPP_CONTROLLER:
        reason = OFPR_ACTION_SET if ctx.in_action_set else OFPR_ACTION
        if ctx.in_packet_out:
            reason = OFPR_PACKET_OUT
        xlate_freeze.controller_action(ctx, max_len, reason, 0, b"")
    elif port == OFPP_TABLE:
        xlate_tables.table_action(ctx, came_in, 0, may_packet_in, last, False)
    elif port != OFPP_NONE:
        if port != came_in:
            xlate_output.output(ctx, port, 0, last)
        elif ctx.trace is not None:
            report(ctx, OFT_WARN, "skipping output to input port")


def _output(ctx: Ctx, a: of.Output, last: bool) -> bool:
    output_to(ctx, a.port, a.max_len, last, True)
    return False


def _output_reg(ctx: Ctx, a: of.OutputReg, last: bool) -> bool:
    port = read_subfield(ctx.flow, a.src)
    if port > 0xFFFF:
        if ctx.trace is not None:
            report(ctx, OFT_WARN, f"output port {port} is out of range")
        return False
    if ctx.trace is not None:
        report(ctx, OFT_DETAIL, f"output port is {port}")
    mask_subfield(ctx.wc, a.src)
    output_to(ctx, port, a.max_len, last)
    return False


def _output_trunc(ctx: Ctx, a: of.OutputTrunc, last: bool) -> bool:
    came_in: int = ctx.flow.words[W_IN_PORT] & 0xFFFF
    port = a.port
    if port in (OFPP_TABLE, OFPP_NORMAL, OFPP_FLOOD, OFPP_ALL, OFPP_CONTROLLER, OFPP_NONE):
        if ctx.trace is not None:
            report(ctx, OFT_WARN, "output_trunc does not support port: ")
        return False
    if port == came_in:
        if ctx.trace is not None:
            report(ctx, OFT_WARN, "skipping output to input port")
        return False
    if port == OFPP_IN_PORT:
        port = came_in
    to = ctx.ofproto.ports.get(port)
    if to is None or to.odp_port == 0xFFFFFFFF:
        report_error(ctx, "output_trunc does not support patch port")
        return False
    xlate_output.output(ctx, port, a.max_len, last)
    return False


def _controller(ctx: Ctx, a: of.Controller, last: bool) -> bool:
    xlate_freeze.controller_action(ctx, a.max_len, a.reason, a.controller_id, a.userdata)
    return False


def _enqueue(ctx: Ctx, a: of.Enqueue, last: bool) -> bool:
    ctx.wc.words[W_SKB_PRIORITY] |= HIGH32
    flow = ctx.flow
    came_in: int = flow.words[W_IN_PORT] & 0xFFFF
    port = a.port
    if port == OFPP_IN_PORT:
        port = came_in
    elif port == came_in:
        return False
    old = flow.skb_priority
    flow.skb_priority = ctx.ofproto.backer.dpif.queue_to_priority(a.queue)
    xlate_output.output(ctx, port, 0, last)
    flow.skb_priority = old
    return False


# VLAN.


def _set_vlan_vid(ctx: Ctx, a: of.SetVlanVid, last: bool) -> bool:
    _set_tci(ctx, 0x0FFF, a.vid, a.push)
    return False


def _set_vlan_pcp(ctx: Ctx, a: of.SetVlanPcp, last: bool) -> bool:
    _set_tci(ctx, 0xE000, a.pcp << 13, a.push)
    return False


def _set_tci(ctx: Ctx, bits: i64, value: i64, push: bool) -> None:
    words = ctx.flow.words
    ctx.wc.words[W_VLAN_TCI] |= bits | VLAN_CFI
    tci = words[W_VLAN_TCI] & 0xFFFF
    if tci & VLAN_CFI != 0 or push:
        if (words[W_VLAN_TPID] >> 48) & 0xFFFF == 0:
            set_qtag(ctx.flow, 0, (ETH_TYPE_VLAN << 16) | tci)
        words[W_VLAN_TCI] = (words[W_VLAN_TCI] & ~bits) | value | VLAN_CFI


def _strip_vlan(ctx: Ctx, a: of.StripVlan, last: bool) -> bool:
    pop_vlan(ctx)
    return False


def _push_vlan(ctx: Ctx, a: of.PushVlan, last: bool) -> bool:
    push_vlan(ctx, a.ethertype)
    return False


# Ethernet, IP, transport.


def _set_eth_src(ctx: Ctx, a: of.SetEthSrc, last: bool) -> bool:
    ctx.wc.words[W_ETH_SRC] |= -1 << 16
    ctx.flow.dl_src = a.mac
    return False


def _set_eth_dst(ctx: Ctx, a: of.SetEthDst, last: bool) -> bool:
    ctx.wc.words[W_ETH_DST] |= -1 << 16
    ctx.flow.dl_dst = a.mac
    return False


def _dl_type(ctx: Ctx) -> i64:
    return ctx.flow.words[W_ETH_TYPE] & 0xFFFF


def _set_ipv4_src(ctx: Ctx, a: of.SetIpv4Src, last: bool) -> bool:
    if _dl_type(ctx) == ETH_TYPE_IP:
        ctx.wc.words[W_NW_SRC] |= HIGH32
        ctx.wc.words[W_NW_PROTO] |= PROTO_BITS
        ctx.flow.nw_src = a.ipv4
    return False


def _set_ipv4_dst(ctx: Ctx, a: of.SetIpv4Dst, last: bool) -> bool:
    if _dl_type(ctx) == ETH_TYPE_IP:
        ctx.wc.words[W_NW_DST] |= LOW32
        ctx.wc.words[W_NW_PROTO] |= PROTO_BITS
        ctx.flow.nw_dst = a.ipv4
    return False


def _set_ip_dscp(ctx: Ctx, a: of.SetIpDscp, last: bool) -> bool:
    if is_ip_any(_dl_type(ctx)):
        words = ctx.flow.words
        dscp: i64 = a.tos & 0xFC
        ctx.wc.words[W_NW_TOS] |= DSCP_BITS | PROTO_BITS
        words[W_NW_TOS] = (words[W_NW_TOS] & ~DSCP_BITS) | (dscp << S_NW_TOS)
    return False


def _set_ip_ecn(ctx: Ctx, a: of.SetIpEcn, last: bool) -> bool:
    if is_ip_any(_dl_type(ctx)):
        words = ctx.flow.words
        ecn: i64 = a.ecn & 3
        ctx.wc.words[W_NW_TOS] |= ECN_BITS | PROTO_BITS
        words[W_NW_TOS] = (words[W_NW_TOS] & ~ECN_BITS) | (ecn << S_NW_TOS)
    return False


def _set_ip_ttl(ctx: Ctx, a: of.SetIpTtl, last: bool) -> bool:
    if is_ip_any(_dl_type(ctx)):
        ctx.wc.words[W_NW_TTL] |= TTL_BITS | PROTO_BITS
        ctx.flow.nw_ttl = a.ttl
    return False


def _has_ports(ctx: Ctx) -> bool:
    return is_ip_any(_dl_type(ctx)) and (ctx.flow.words[W_NW_FRAG] >> 24) & FRAG_LATER == 0


def _set_l4_src_port(ctx: Ctx, a: of.SetL4SrcPort, last: bool) -> bool:
    if _has_ports(ctx):
        wc = ctx.wc.words
        wc[W_NW_PROTO] |= PROTO_BITS
        wc[W_TP_SRC] |= -1 << S_TP_SRC
        ctx.flow.tp_src = a.port
    return False


def _set_l4_dst_port(ctx: Ctx, a: of.SetL4DstPort, last: bool) -> bool:
    if _has_ports(ctx):
        wc = ctx.wc.words
        wc[W_NW_PROTO] |= PROTO_BITS
        wc[W_TP_SRC] |= 0xFFFF << S_TP_DST
        ctx.flow.tp_dst = a.port
    return False


def _dec_ttl(ctx: Ctx, a: of.DecTtl, last: bool) -> bool:
    dl_type = _dl_type(ctx)
    ctx.wc.words[W_NW_TTL] |= TTL_BITS | PROTO_BITS
    if not is_ip_any(dl_type):
        return False
    ttl = (ctx.flow.words[W_NW_TTL] >> S_NW_TTL) & 0xFF
    if ttl > 1:
        ctx.flow.words[W_NW_TTL] -= 1 << S_NW_TTL
        return False
    for controller_id in a.ids:
        xlate_freeze.controller_action(ctx, 0xFFFF, OFPR_INVALID_TTL, controller_id, b"")
    if ctx.trace is not None:
        version = 4 if dl_type == ETH_TYPE_IP else 6
        report(ctx, OFT_WARN, f"IPv{version} decrement TTL exception")
    return True


# MPLS.


def _push_mpls(ctx: Ctx, a: of.PushMpls, last: bool) -> bool:
    if not push_mpls(ctx, a.ethertype):
        report_error(ctx, "dropping packet on which an MPLS push action can't be performed as it would "
                          f"have more MPLS LSEs than the {MAX_MPLS_LABELS} supported.")
        ctx.error = XLATE_TOO_MANY_MPLS_LABELS
    return False


def _pop_mpls(ctx: Ctx, a: of.PopMpls, last: bool) -> bool:
    if pop_mpls(ctx, a.ethertype):
        if not is_mpls(a.ethertype) and ctx.support.recirc:
            ctx.was_mpls = True
    elif n_mpls_labels(ctx.flow, None) >= MAX_MPLS_LABELS:
        report_error(ctx, "dropping packet on which an MPLS pop action can't be performed as it has "
                          f"more MPLS LSEs than the {MAX_MPLS_LABELS} supported.")
        ctx.error = XLATE_TOO_MANY_MPLS_LABELS
    return False


def _change_lse(ctx: Ctx, bits: i64, value: i64) -> None:
    if is_mpls(_dl_type(ctx)):
        or_lse(ctx.wc, 0, bits)
        set_lse(ctx.flow, 0, (lse(ctx.flow, 0) & ~bits) | value)


def _set_mpls_label(ctx: Ctx, a: of.SetMplsLabel, last: bool) -> bool:
    _change_lse(ctx, 0xFFFFF000, a.label << 12)
    return False


def _set_mpls_tc(ctx: Ctx, a: of.SetMplsTc, last: bool) -> bool:
    _change_lse(ctx, 0xE00, a.tc << 9)
    return False


def _set_mpls_ttl(ctx: Ctx, a: of.SetMplsTtl, last: bool) -> bool:
    _change_lse(ctx, 0xFF, a.ttl)
    return False


def _dec_mpls_ttl(ctx: Ctx, a: of.DecMplsTtl, last: bool) -> bool:
    if not is_mpls(_dl_type(ctx)):
        return False
    ttl = lse(ctx.flow, 0) & 0xFF
    or_lse(ctx.wc, 0, 0xFF)
    if ttl > 1:
        set_lse(ctx.flow, 0, lse(ctx.flow, 0) - 1)
        return False
    xlate_freeze.controller_action(ctx, 0xFFFF, OFPR_INVALID_TTL, 0, b"")
    if ctx.trace is not None:
        report(ctx, OFT_WARN, "MPLS decrement TTL exception")
    return True


# Fields.


def read_subfield(flow: Flow, sf: of.MfSubfield) -> int:
    """The subfield's value, unsigned."""
    return (flow.get(sf.field) >> sf.ofs) & ((1 << sf.n_bits) - 1)


def write_subfield(flow: Flow, sf: of.MfSubfield, value: int) -> None:
    """Set the subfield to `value`."""
    mask = sf.mask
    flow.set(sf.field, (flow.get(sf.field) & ~mask) | ((value << sf.ofs) & mask))


def mask_subfield(wc: Flow, sf: of.MfSubfield) -> None:
    """Look at the subfield."""
    mask_field(wc, sf.field, sf.mask)


def mask_field(wc: Flow, field: Any, bits: int) -> None:
    """Look at `bits` of `field`; of a VLAN field, also at whether there is a tag."""
    wc.set_bits(field, bits)
    if field.special >= 2:
        wc.words[W_VLAN_TCI] |= VLAN_CFI


def _report_subfield(ctx: Ctx, sf: of.MfSubfield) -> None:
    if ctx.trace is not None:
        value = read_subfield(ctx.flow, sf)
        text = format_value(sf.field, value) if sf.whole else c_hex(value)
        report(ctx, OFT_DETAIL, f"{format_subfield(sf)} is now {text}")


_IN_IP_HEADER: Final = frozenset(
    field.index
    for field in FIELDS
    if field.prereq in (Prereq.ARP, Prereq.IPV4, Prereq.IPV6, Prereq.IP_ANY) and field.name != "ip_dscp"
)
"""Fields that are committed only where the protocol is not 0, so that the protocol matters."""


def _set_field(ctx: Ctx, a: of.SetField, last: bool) -> bool:
    field = a.field
    flow = ctx.flow
    if not prereqs_ok(field, flow, None, ctx.wc):
        if ctx.trace is not None:
            report(ctx, OFT_WARN, f"unmet prerequisites for {field.name}, set_field ignored")
        return False
    if field.index in _IN_IP_HEADER:
        ctx.wc.words[W_NW_PROTO] |= PROTO_BITS
    mask = a.mask
    mask_field(ctx.wc, field, mask)
    if mask == field.ones:
        flow.set(field, a.value)
    else:
        flow.set(field, (flow.get(field) & ~mask) | (a.value & mask))
    return False


def _reg_move(ctx: Ctx, a: of.RegMove, last: bool) -> bool:
    flow = ctx.flow
    wc = ctx.wc
    src = a.src
    dst = a.dst
    mask_subfield(wc, src)
    mask_subfield(wc, dst)
    src_ok = prereqs_ok(src.field, flow, None, wc)
    dst_ok = prereqs_ok(dst.field, flow, None, wc)
    if src_ok and dst_ok:
        write_subfield(flow, dst, read_subfield(flow, src))
        _report_subfield(ctx, dst)
    return False


def _stack_push(ctx: Ctx, a: of.StackPush, last: bool) -> bool:
    sf = a.src
    mask_subfield(ctx.wc, sf)
    ctx.stack.append((read_subfield(ctx.flow, sf), sf.n_bits))
    return False


def _stack_pop(ctx: Ctx, a: of.StackPop, last: bool) -> bool:
    stack = ctx.stack
    if not stack:
        report_error(ctx, "stack underflow")
        return False
    value, _ = stack.pop()
    mask_subfield(ctx.wc, a.dst)
    write_subfield(ctx.flow, a.dst, value)
    _report_subfield(ctx, a.dst)
    return False


# Metadata.


def _set_tunnel(ctx: Ctx, a: of.SetTunnel, last: bool) -> bool:
    ctx.flow.tun_id = a.tun_id
    return False


def _set_queue(ctx: Ctx, a: of.SetQueue, last: bool) -> bool:
    ctx.wc.words[W_SKB_PRIORITY] |= HIGH32
    ctx.flow.skb_priority = ctx.ofproto.backer.dpif.queue_to_priority(a.queue)
    return False


def _pop_queue(ctx: Ctx, a: of.PopQueue, last: bool) -> bool:
    ctx.wc.words[W_SKB_PRIORITY] |= HIGH32
    if ctx.flow.skb_priority == ctx.orig_skb_priority:
        return False
    ctx.flow.skb_priority = ctx.orig_skb_priority
    if ctx.trace is not None:
        report(ctx, OFT_DETAIL, f"queue = {c_hex(ctx.orig_skb_priority)}")
    return False


def _write_metadata(ctx: Ctx, a: of.WriteMetadata, last: bool) -> bool:
    flow = ctx.flow
    flow.metadata = (flow.metadata & ~a.mask) | (a.metadata & a.mask)
    return False


# Flow of control.


def _resubmit(ctx: Ctx, a: of.Resubmit, last: bool) -> bool:
    xlate_tables.resubmit(ctx, a.in_port, a.table_id, last)
    return False


def _goto_table(ctx: Ctx, a: of.GotoTable, last: bool) -> bool:
    xlate_tables.table_action(ctx, ctx.flow.words[W_IN_PORT] & 0xFFFF, a.table_id, True, last, False)
    return False


def _clone(ctx: Ctx, a: of.Clone, last: bool) -> bool:
    run_clone(ctx, a.actions, last)
    return False


def _exit(ctx: Ctx, a: of.Exit, last: bool) -> bool:
    ctx.exit = True
    return False


def _nothing(ctx: Ctx, a: object, last: bool) -> bool:
    return False


def _debug_recirc(ctx: Ctx, a: of.DebugRecirc, last: bool) -> bool:
    xlate_freeze.trigger(ctx)
    return False


def _debug_slow(ctx: Ctx, a: of.DebugSlow, last: bool) -> bool:
    ctx.out.slow |= SLOW_ACTION
    return False


def _ct_clear(ctx: Ctx, a: of.CtClear, last: bool) -> bool:
    tracked = ctx.conntracked
    xlate_output.clear_conntrack(ctx, ctx.flow)
    if tracked and ctx.support.ct_clear:
        ctx.odp.append(OdpCtClear())
    return False


def _unroll(ctx: Ctx, a: xlate_freeze.Unroll, last: bool) -> bool:
    ctx.table_id = a.table_id
    ctx.rule_cookie = a.cookie
    return False


# The action set.


def _write_actions(ctx: Ctx, a: of.WriteActions, last: bool) -> bool:
    for action in a.actions:
        ctx.action_set.append(action)
        if isinstance(action, of.Output):
            ctx.flow.actset_output = action.port
        elif isinstance(action, of.Group):
            ctx.flow.actset_output = OFPP_UNSET
    _report_action_set(ctx, "is")
    return False


def _report_action_set(ctx: Ctx, verb: str) -> None:
    if ctx.trace is not None:
        actions = ordered_action_set(ctx.action_set)
        report(ctx, OFT_DETAIL, f"action set {verb}{': ' + format_actions(actions) if actions else ' empty'}")


def _clear_actions(ctx: Ctx, a: of.ClearActions, last: bool) -> bool:
    _report_action_set(ctx, "was")
    ctx.action_set = []
    ctx.flow.actset_output = OFPP_UNSET
    return False


HANDLERS: Final[dict[type, Callable[[Ctx, Any, bool], bool]]] = {
    of.Output: _output,
    of.OutputReg: _output_reg,
    of.OutputTrunc: _output_trunc,
    of.Controller: _controller,
    of.Enqueue: _enqueue,
    of.SetVlanVid: _set_vlan_vid,
    of.SetVlanPcp: _set_vlan_pcp,
    of.StripVlan: _strip_vlan,
    of.PushVlan: _push_vlan,
    of.SetEthSrc: _set_eth_src,
    of.SetEthDst: _set_eth_dst,
    of.SetIpv4Src: _set_ipv4_src,
    of.SetIpv4Dst: _set_ipv4_dst,
    of.SetIpDscp: _set_ip_dscp,
    of.SetIpEcn: _set_ip_ecn,
    of.SetIpTtl: _set_ip_ttl,
    of.SetL4SrcPort: _set_l4_src_port,
    of.SetL4DstPort: _set_l4_dst_port,
    of.SetField: _set_field,
    of.RegMove: _reg_move,
    of.StackPush: _stack_push,
    of.StackPop: _stack_pop,
    of.DecTtl: _dec_ttl,
    of.PushMpls: _push_mpls,
    of.PopMpls: _pop_mpls,
    of.SetMplsLabel: _set_mpls_label,
    of.SetMplsTc: _set_mpls_tc,
    of.SetMplsTtl: _set_mpls_ttl,
    of.DecMplsTtl: _dec_mpls_ttl,
    of.SetTunnel: _set_tunnel,
    of.SetQueue: _set_queue,
    of.PopQueue: _pop_queue,
    of.Resubmit: _resubmit,
    of.GotoTable: _goto_table,
    of.Clone: _clone,
    of.Exit: _exit,
    of.Note: _nothing,
    of.Conjunction: _nothing,
    of.DebugRecirc: _debug_recirc,
    of.DebugSlow: _debug_slow,
    of.CtClear: _ct_clear,
    of.WriteActions: _write_actions,
    of.ClearActions: _clear_actions,
    of.WriteMetadata: _write_metadata,
    xlate_freeze.Unroll: _unroll,
}
"""What translation can do. A flow with any other action is refused when it is added."""


def unsupported(actions: of.Actions) -> of.Action | None:
    """The first of `actions`, nested ones included, that translation can't execute."""
    for action in actions:
        if type(action) not in HANDLERS or (isinstance(action, of.Controller) and action.pause):
            return action
        if isinstance(action, of.Clone | of.WriteActions):
            inner = unsupported(action.actions)
            if inner is not None:
                return inner
    return None
