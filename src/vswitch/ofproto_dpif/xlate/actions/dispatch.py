"""What each OpenFlow action does to a translation: one small function an action, and a table of them.

A handler gets the action and whether it is the last thing to happen to the packet. Those of `MAY_END`
return whether the present table's actions end with it; `check_pkt_larger` gets what follows it, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mypy_extensions import i64

from vswitch.dpif.actions import Clone as OdpClone
from vswitch.dpif.actions import Sample as OdpSample
from vswitch.dpif.types import ODPP_NONE
from vswitch.flow.layout import (
    W_IN_PORT,
    W_SKB_PRIORITY,
)
from vswitch.flow.values import c_hex, format_port
from vswitch.ofproto_dpif.xlate import freeze as xlate_freeze
from vswitch.ofproto_dpif.xlate import normal as xlate_normal
from vswitch.ofproto_dpif.xlate import output as xlate_output
from vswitch.ofproto_dpif.xlate import tables as xlate_tables
from vswitch.ofproto_dpif.xlate.actions import ct as xlate_ct
from vswitch.ofproto_dpif.xlate.actions import encap as xlate_encap
from vswitch.ofproto_dpif.xlate.actions import fields, headers
from vswitch.ofproto_dpif.xlate.actions import group as xlate_group
from vswitch.ofproto_dpif.xlate.actions.action_set import ordered_action_set
from vswitch.ofproto_dpif.xlate.actions.bundle_action import choose_member
from vswitch.ofproto_dpif.xlate.actions.check_pkt import check_pkt_larger
from vswitch.ofproto_dpif.xlate.actions.controller import controller, controller_action
from vswitch.ofproto_dpif.xlate.actions.learn import fin_timeout, learn
from vswitch.ofproto_dpif.xlate.actions.mpls import needs_recirculation
from vswitch.ofproto_dpif.xlate.actions.multipath import multipath
from vswitch.ofproto_dpif.xlate.actions.sample import sample
from vswitch.ofproto_dpif.xlate.commit import commit
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report, report_error, report_remark
from vswitch.ofproto_dpif.xlate.meter import meter
from vswitch.ofproto_dpif.xlate.trace import OFT_ACTION, OFT_DETAIL, OFT_THAW, OFT_WARN
from vswitch.ofproto_dpif.xlate.types import SLOW_ACTION
from vswitch.openflow import actions as of
from vswitch.openflow.action_text import format_actions
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
    OFPR_GROUP,
    OFPR_PACKET_OUT,
)

HIGH32: Final = -1 << 32


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
        if ctx.trace is not None:
            report(ctx, OFT_ACTION, xlate_freeze.format_frozen((action,), ctx.trace.ports))
        i += 1
        kind = type(action)
        at_end = last and i == n and not ctx.action_set
        handler = HANDLERS.get(kind)
        if handler is not None:
            handler(ctx, action, at_end)
            continue
        may_end = MAY_END.get(kind)
        if may_end is not None:
            if may_end(ctx, action, at_end):
                return
            if ctx.freezing and kind is of.Group:
                # The group waits for a hash: when the packet is back it is run again.
                xlate_freeze.unroll(ctx, steps[i - 1 :])
                return
        elif kind is not of.CheckPktLarger:
            report_error(ctx, f"action {format_actions((action,))} is not supported")
            return
        elif check_pkt_larger(ctx, action, steps[i:]):
            return


def run_clone(ctx: Ctx, actions: of.Actions, last: bool) -> None:
    """Execute `actions` on a copy: nothing that follows sees their changes.

    Mostly it suffices to put our own state back, for the next commit undoes the changes. What
    can't be undone runs in a datapath clone. An exit among the actions ends what follows, too.
    """
    if last or _is_reversible(actions):
        saved = ctx.saved()
        run(ctx, actions, last)
        xlate_output.end_pipeline(ctx)
    else:
        commit(ctx)
        saved = ctx.saved()
        old_base = ctx.base.copy()
        outside = ctx.odp
        if ctx.support.clone or ctx.support.sample_nesting > 3:
            ctx.odp = []
            run(ctx, actions, True)
            xlate_output.end_pipeline(ctx)
            inside = tuple(ctx.odp)
            ctx.odp = outside
            if inside:
                outside.append(OdpClone(inside) if ctx.support.clone else OdpSample(0xFFFFFFFF, inside))
        else:
            report_error(ctx, "Failed to compose clone action")
        saved.restore_knowledge(ctx)
        ctx.base.assign(old_base)
    saved.restore_flow(ctx)
    saved.restore_headers(ctx)
    saved.restore_pipeline(ctx)


_IRREVERSIBLE: Final = (
    of.Ct, of.Nat, of.Meter, of.OutputTrunc, of.Encap, of.Decap, of.DecNshTtl,
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
        else:
            report_remark(ctx, "skipping output to input port")
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
        elif ctx.bucket_at == ctx.resubmits:
            reason = OFPR_GROUP
        controller_action(ctx, max_len, reason, 0, b"")
    elif port == OFPP_TABLE:
        xlate_tables.table_action(ctx, came_in, 0, may_packet_in, last, False)
    elif port != OFPP_NONE:
        if port != came_in:
            xlate_output.output(ctx, port, 0, last)
        else:
            report_remark(ctx, "skipping output to input port")


def _output(ctx: Ctx, a: of.Output, last: bool) -> None:
    output_to(ctx, a.port, a.max_len, last, True)


def _output_reg(ctx: Ctx, a: of.OutputReg, last: bool) -> None:
    port = fields.read_subfield(ctx.flow, a.src)
    if port > 0xFFFF:
        if ctx.trace is not None:
            report(ctx, OFT_WARN, f"output port {port} is out of range")
        return
    if ctx.trace is not None:
        report(ctx, OFT_DETAIL, f"output port is {port}")
    fields.mask_subfield(ctx.wc, a.src)
    output_to(ctx, port, a.max_len, last)


def _bundle(ctx: Ctx, a: of.Bundle, last: bool) -> None:
    port = choose_member(ctx, a)
    if a.dst is None:
        output_to(ctx, port, 0, last)
    else:
        fields.load(ctx, a.dst, port)


def _output_trunc(ctx: Ctx, a: of.OutputTrunc, last: bool) -> None:
    came_in: int = ctx.flow.words[W_IN_PORT] & 0xFFFF
    port = a.port
    if port in (OFPP_TABLE, OFPP_NORMAL, OFPP_FLOOD, OFPP_ALL, OFPP_CONTROLLER, OFPP_NONE):
        if ctx.trace is not None:
            report(ctx, OFT_WARN, "output_trunc does not support port: ")
        return
    if port == came_in:
        report_remark(ctx, "skipping output to input port")
        return
    to = ctx.bridge.ports.get(port)
    if to is None or to.odp_port == ODPP_NONE:
        report_error(ctx, f"output_trunc does not support patch port {format_port(port)}")
        return
    xlate_output.output(ctx, port, a.max_len, last)


def _enqueue(ctx: Ctx, a: of.Enqueue, last: bool) -> None:
    ctx.wc.words[W_SKB_PRIORITY] |= HIGH32
    flow = ctx.flow
    came_in: int = flow.words[W_IN_PORT] & 0xFFFF
    port = a.port
    if port == OFPP_IN_PORT:
        port = came_in
    elif port == came_in:
        return
    old = flow.skb_priority
    flow.skb_priority = ctx.bridge.dp.dpif.queue_to_priority(a.queue)
    xlate_output.output(ctx, port, 0, last)
    flow.skb_priority = old


# Metadata.


def _set_tunnel(ctx: Ctx, a: of.SetTunnel, last: bool) -> None:
    ctx.flow.tun_id = a.tun_id


def _set_queue(ctx: Ctx, a: of.SetQueue, last: bool) -> None:
    ctx.wc.words[W_SKB_PRIORITY] |= HIGH32
    ctx.flow.skb_priority = ctx.bridge.dp.dpif.queue_to_priority(a.queue)


def _pop_queue(ctx: Ctx, a: of.PopQueue, last: bool) -> None:
    ctx.wc.words[W_SKB_PRIORITY] |= HIGH32
    if ctx.flow.skb_priority == ctx.orig_skb_priority:
        return
    ctx.flow.skb_priority = ctx.orig_skb_priority
    if ctx.trace is not None:
        report(ctx, OFT_DETAIL, f"queue = {c_hex(ctx.orig_skb_priority)}")


def _write_metadata(ctx: Ctx, a: of.WriteMetadata, last: bool) -> None:
    flow = ctx.flow
    flow.metadata = (flow.metadata & ~a.mask) | (a.metadata & a.mask)


# Flow of control.


def _resubmit(ctx: Ctx, a: of.Resubmit, last: bool) -> None:
    xlate_tables.resubmit(ctx, a.in_port, a.table_id, last, a.with_ct_orig)


def _goto_table(ctx: Ctx, a: of.GotoTable, last: bool) -> None:
    xlate_tables.table_action(ctx, ctx.flow.words[W_IN_PORT] & 0xFFFF, a.table_id, True, last, False)


def _clone(ctx: Ctx, a: of.Clone, last: bool) -> None:
    run_clone(ctx, a.actions, last)


def _group(ctx: Ctx, a: of.Group, last: bool) -> bool:
    return xlate_group.group(ctx, a.group_id, last)


def _exit(ctx: Ctx, a: of.Exit, last: bool) -> None:
    ctx.exit = True


def _nothing(ctx: Ctx, a: object, last: bool) -> None:
    """A note for whoever reads the flow."""


def _conjunction(ctx: Ctx, a: object, last: bool) -> None:
    """The classifier has seen to those of flows; nobody else's mean anything."""
    report_error(ctx, "executing no-op conjunction action")


def _debug_recirc(ctx: Ctx, a: of.DebugRecirc, last: bool) -> None:
    xlate_freeze.trigger(ctx)


def _debug_slow(ctx: Ctx, a: of.DebugSlow, last: bool) -> None:
    ctx.out.slow |= SLOW_ACTION


def _unroll(ctx: Ctx, a: xlate_freeze.Unroll, last: bool) -> None:
    ctx.table_id = a.table_id
    ctx.rule_cookie = a.cookie
    if ctx.trace is not None:
        report(ctx, OFT_THAW, a.restored())


# The action set.


def _write_actions(ctx: Ctx, a: of.WriteActions, last: bool) -> None:
    for action in a.actions:
        ctx.action_set.append(action)
        if isinstance(action, of.Output):
            if not any(isinstance(written, of.Group) for written in ctx.action_set):
                ctx.flow.actset_output = action.port
        elif isinstance(action, of.Group):
            ctx.flow.actset_output = OFPP_UNSET
    _report_action_set(ctx, "is")


def _report_action_set(ctx: Ctx, verb: str) -> None:
    if ctx.trace is not None:
        actions = ordered_action_set(ctx.action_set)
        text = f": {format_actions(actions, ctx.trace.ports)}" if actions else " empty"
        report(ctx, OFT_DETAIL, f"action set {verb}{text}")


def _clear_actions(ctx: Ctx, a: of.ClearActions, last: bool) -> None:
    _report_action_set(ctx, "was")
    ctx.action_set = []
    ctx.flow.actset_output = OFPP_UNSET


HANDLERS: Final[dict[type, Callable[[Ctx, Any, bool], None]]] = {
    of.Output: _output,
    of.OutputReg: _output_reg,
    of.OutputTrunc: _output_trunc,
    of.Bundle: _bundle,
    of.Multipath: multipath,
    of.Learn: learn,
    of.FinTimeout: fin_timeout,
    of.Sample: sample,
    of.Controller: controller,
    of.Enqueue: _enqueue,
    of.SetVlanVid: headers.set_vlan_vid,
    of.SetVlanPcp: headers.set_vlan_pcp,
    of.StripVlan: headers.strip_vlan,
    of.PushVlan: headers.push_vlan,
    of.SetEthSrc: headers.set_eth_src,
    of.SetEthDst: headers.set_eth_dst,
    of.SetIpv4Src: headers.set_ipv4_src,
    of.SetIpv4Dst: headers.set_ipv4_dst,
    of.SetIpDscp: headers.set_ip_dscp,
    of.SetIpEcn: headers.set_ip_ecn,
    of.SetIpTtl: headers.set_ip_ttl,
    of.SetL4SrcPort: headers.set_l4_src_port,
    of.SetL4DstPort: headers.set_l4_dst_port,
    of.SetField: fields.set_field,
    of.RegMove: fields.reg_move,
    of.DeleteField: fields.delete_field,
    of.StackPush: fields.stack_push,
    of.StackPop: fields.stack_pop,
    of.PushMpls: headers.push_mpls,
    of.PopMpls: headers.pop_mpls,
    of.SetMplsLabel: headers.set_mpls_label,
    of.SetMplsTc: headers.set_mpls_tc,
    of.SetMplsTtl: headers.set_mpls_ttl,
    of.SetTunnel: _set_tunnel,
    of.SetQueue: _set_queue,
    of.PopQueue: _pop_queue,
    of.Resubmit: _resubmit,
    of.GotoTable: _goto_table,
    of.Clone: _clone,
    of.Meter: meter,
    of.Exit: _exit,
    of.Note: _nothing,
    of.Conjunction: _conjunction,
    of.DebugRecirc: _debug_recirc,
    of.DebugSlow: _debug_slow,
    of.Encap: xlate_encap.encap,
    of.Decap: xlate_encap.decap,
    of.Ct: xlate_ct.ct,
    of.Nat: xlate_ct.nat,
    of.CtClear: xlate_ct.ct_clear,
    of.WriteActions: _write_actions,
    of.ClearActions: _clear_actions,
    of.WriteMetadata: _write_metadata,
    xlate_freeze.Unroll: _unroll,
}
"""Actions after which the present table's go on."""
MAY_END: Final[dict[type, Callable[[Ctx, Any, bool], bool]]] = {
    of.DecTtl: headers.dec_ttl,
    of.DecMplsTtl: headers.dec_mpls_ttl,
    of.DecNshTtl: xlate_encap.dec_nsh_ttl,
    of.Group: _group,
}
"""Actions that may be the end of the present table's: whether they were."""
SUPPORTED: Final = frozenset((*HANDLERS, *MAY_END, of.CheckPktLarger))
"""What translation can do. A flow with any other action is refused when it is added."""


def unsupported(actions: of.Actions) -> of.Action | None:
    """The first of `actions`, nested ones included, that translation can't execute."""
    for action in actions:
        if type(action) not in SUPPORTED:
            return action
        if isinstance(action, (of.Clone, of.WriteActions, of.Ct)):
            inner = unsupported(action.actions)
            if inner is not None:
                return inner
    return None
