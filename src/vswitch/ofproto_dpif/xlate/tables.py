"""Walking the OpenFlow tables: lookups, resubmits, and their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.dpif.actions_nl import encode_actions
from vswitch.flow.layout import (
    N_WORDS,
    W_ACTSET_OUTPUT,
    W_ETH_DST,
    W_ETH_SRC,
    W_IN_PORT,
    W_NW_FRAG,
    W_PACKET_TYPE,
    W_TP_SRC,
    W_VLAN_TPID,
)
from vswitch.ofproto.table import MISS_DEFAULT
from vswitch.ofproto_dpif.xlate import freeze as xlate_freeze
from vswitch.ofproto_dpif.xlate.actions import ct as xlate_ct
from vswitch.ofproto_dpif.xlate.actions import dispatch as xlate_actions
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report_error
from vswitch.ofproto_dpif.xlate.effects import CreditRule, CreditTable
from vswitch.ofproto_dpif.xlate.trace import OFT_TABLE
from vswitch.ofproto_dpif.xlate.types import (
    MAX_DEPTH,
    MAX_RESUBMITS,
    SLOW_ACTION,
    XLATE_RECURSION_TOO_DEEP,
    XLATE_STACK_TOO_DEEP,
    XLATE_TOO_MANY_RESUBMITS,
)
from vswitch.openflow.constants import OFPP_IN_PORT, OFPPC_NO_PACKET_IN
from vswitch.openflow.messages.table import OFPTC_TABLE_MISS_CONTINUE, OFPTC_TABLE_MISS_CONTROLLER

if TYPE_CHECKING:
    from vswitch.ofproto.rule import Rule

TBL_LAST: Final = 253
"""The last table that belongs to controllers."""
MAX_ODP_SIZE: Final = 0xFFFF
"""Bytes of datapath actions that one Netlink attribute can hold."""
FEW_ACTIONS: Final = 256
"""So many actions are certainly not too many."""
MAX_STACK: Final = 65536 // 8
"""How many values the stack may hold."""


def lookup(ctx: Ctx, table_id: i64, in_port: i64, may_packet_in: bool, honor_miss: bool = True) -> Rule:
    """The rule of `table_id` that the packet matches as if it had come in at `in_port`.

    A table whose misses "continue" hands the packet to the next one, if `honor_miss`; `ctx.table_id`
    says afterwards which table was the last. No match: one of the switch's own rules, which sends
    to the controller if `may_packet_in` and somebody wants that, else drops.
    """
    ctx.table_id = table_id
    bridge = ctx.bridge
    flow = ctx.flow
    words = flow.words
    if (words[W_NW_FRAG] >> 24) & 1 != 0 and bridge.frag_handling != "nx-match":
        if bridge.frag_handling == "drop":
            ctx.effects.append(CreditTable(bridge, int(table_id), True))
            return bridge.drop_frags_rule
        # The transport ports of a fragment are no field to match on.
        ctx.out.as_came = False
        flow = flow.copy()
        flow.words[W_TP_SRC] &= 0xFFFFFFFF
        words = flow.words
    without_ethernet = words[W_PACKET_TYPE] & 0xFFFFFFFF != 0
    wc = ctx.wc.words
    eth_dst: i64 = wc[W_ETH_DST]
    eth_src: i64 = wc[W_ETH_SRC]
    vlan: i64 = wc[W_VLAN_TPID]
    if without_ethernet:
        # No packet without an Ethernet header matches on one: its type says so, whatever its bits.
        ctx.out.as_came = False
        flow = flow.copy()
        words = flow.words
        words[W_ETH_DST] = 0
        words[W_ETH_SRC] = 0
        words[W_VLAN_TPID] = 0
    came_in: i64 = words[W_IN_PORT] & 0xFFFF
    words[W_IN_PORT] = (words[W_IN_PORT] & ~0xFFFF) | in_port
    rule = bridge.tables[int(table_id)].lookup(flow, ctx.wc)
    ctx.out.tags |= bridge.table_tag(int(table_id), flow, ctx.wc)
    words[W_IN_PORT] = (words[W_IN_PORT] & ~0xFFFF) | came_in
    if without_ethernet:
        wc[W_ETH_DST] = eth_dst
        wc[W_ETH_SRC] = eth_src
        wc[W_VLAN_TPID] = vlan
    ctx.effects.append(CreditTable(bridge, int(table_id), rule is not None))
    if rule is not None:
        return rule
    miss = bridge.tables[int(table_id)].miss_config if honor_miss else OFPTC_TABLE_MISS_CONTINUE
    if miss == OFPTC_TABLE_MISS_CONTINUE and honor_miss and table_id < TBL_LAST:
        return lookup(ctx, table_id + 1, in_port, may_packet_in)
    if miss == MISS_DEFAULT:
        ctx.out.tags |= bridge.miss_tag
        wanted = bridge.wants_packet_in_on_miss
    else:
        # When no table is left to continue with, the packet is for controllers.
        port = bridge.ports.get(int(in_port))
        wanted = (
            miss in (OFPTC_TABLE_MISS_CONTROLLER, OFPTC_TABLE_MISS_CONTINUE)
            and port is not None
            and port.config & OFPPC_NO_PACKET_IN == 0
        )
    return bridge.miss_rule if may_packet_in and wanted else bridge.no_packet_in_rule


def is_as_came(now: vec[i64], came: vec[i64], in_port: i64) -> bool:
    """Whether a packet is as it `came`, and looked up as if from the port where it came in."""
    if came[W_IN_PORT] & 0xFFFF != in_port:
        return False
    i: i64 = 0
    while i < N_WORDS:
        if now[i] != came[i] and i != W_ACTSET_OUTPUT:  # which no megaflow matches on
            return False
        i += 1
    return True


def report_table(ctx: Ctx, rule: Rule, table_id: i64) -> None:
    """Open the trace's lines of what follows from `rule`."""
    trace = ctx.trace
    if trace is None:
        return
    bridge = ctx.bridge
    if rule is bridge.no_packet_in_rule:
        text = "No match."
    elif rule is bridge.miss_rule:
        text = 'No match, and a "packet-in" is called for.'
    elif rule is bridge.drop_frags_rule:
        text = 'Packets are IP fragments and the fragment handling mode is "drop".'
    else:
        match = rule.match.format(None, trace.ports)
        text = f"{match}, priority {rule.priority}" if match else f"priority {rule.priority}"
        if rule.cookie:
            text += f", cookie {rule.cookie:#x}"
    trace.enter(OFT_TABLE, f"{table_id:2d}. {text}")


def odp_size(ctx: Ctx) -> int:
    """The datapath actions composed so far, in bytes of Netlink attributes."""
    n: i64 = len(ctx.odp)
    if n < ctx.n_sized:
        ctx.n_sized = 0
        ctx.odp_size = 0
    ctx.odp_size += len(encode_actions(tuple(ctx.odp[ctx.n_sized :])))
    ctx.n_sized = n
    return int(ctx.odp_size)


def check_limits(ctx: Ctx) -> bool:
    """Whether one more lookup is allowed; if not, `ctx.error` or `ctx.exit` says how it ends."""
    if ctx.depth >= MAX_DEPTH:
        report_error(ctx, f"over max translation depth {MAX_DEPTH}")
        ctx.error = XLATE_RECURSION_TOO_DEEP
    elif ctx.resubmits >= MAX_RESUBMITS:
        report_error(ctx, f"over {MAX_RESUBMITS} resubmit actions")
        ctx.error = XLATE_TOO_MANY_RESUBMITS
    elif len(ctx.odp) > FEW_ACTIONS and odp_size(ctx) > MAX_ODP_SIZE:
        # No error: what is there by now is carried out, an action at a time.
        report_error(ctx, "resubmits yielded over 64 kB of actions")
        ctx.exit = True
        ctx.out.slow |= SLOW_ACTION
    elif len(ctx.stack) >= MAX_STACK:
        report_error(ctx, "resubmits yielded over 64 kB of stack")
        ctx.error = XLATE_STACK_TOO_DEEP
    else:
        return True
    return False


def table_action(ctx: Ctx, in_port: i64, table_id: i64, may_packet_in: bool, last: bool, clone: bool,
                 with_ct_orig: bool = False, honor_miss: bool = True) -> None:
    """Look the packet up in `table_id` as if from `in_port` and run what is found.

    `last`: nothing follows that could see the changes; `clone`: they must not be seen.
    `with_ct_orig`: look up with the addresses of the first packet of its connection.
    """
    if ctx.was_mpls:
        # The table is the peer's, behind a patch port: other lookups are put off by `mpls.py`.
        ctx.table_id = table_id
        xlate_freeze.trigger(ctx)
        return
    if not check_limits(ctx):
        return
    old_table = ctx.table_id
    out = ctx.out
    if out.as_came and (with_ct_orig or not is_as_came(ctx.flow.words, ctx.xin.flow.words, in_port)):
        out.as_came = False
    if with_ct_orig:
        if not xlate_ct.has_original_tuple(ctx.flow):
            report_error(ctx, "resubmit(ct) with non-tracked or non-IP packet!")
            return
        xlate_ct.swap_tuple(ctx.flow, ctx.flow)
        xlate_ct.swap_tuple(ctx.wc, ctx.flow)
    rule = lookup(ctx, table_id, in_port, may_packet_in, honor_miss)
    if with_ct_orig:
        xlate_ct.swap_tuple(ctx.wc, ctx.flow)
        xlate_ct.swap_tuple(ctx.flow, ctx.flow)
    ctx.effects.append(CreditRule(rule))
    trace = ctx.trace
    outer = trace.here if trace is not None else None
    report_table(ctx, rule, table_id)
    _run(ctx, rule, table_id <= old_table, last, clone)
    if trace is not None and outer is not None:
        trace.leave(outer)
    ctx.table_id = old_table


def _run(ctx: Ctx, rule: Rule, deepens: bool, last: bool, clone: bool) -> None:
    """Execute a rule's actions. Only the way to an earlier table, or to the same one, `deepens` the
    nesting: the ways that lead on through the tables end by themselves, after 254 steps at most, and
    long pipelines are what tables are for; a circle has to go back at some point."""
    old_rule = ctx.rule
    old_cookie = ctx.rule_cookie
    if deepens:
        ctx.depth += 1
    ctx.resubmits += 1
    ctx.rule = rule
    ctx.rule_cookie = rule.cookie
    if clone:
        xlate_actions.run_clone(ctx, rule.actions, last)
    else:
        xlate_actions.run(ctx, rule.actions, last)
    ctx.rule = old_rule
    ctx.rule_cookie = old_cookie
    if deepens:
        ctx.depth -= 1


def resubmit(ctx: Ctx, in_port: i64, table_id: i64, last: bool, with_ct_orig: bool) -> None:
    """The resubmit action, with the reserved values of its arguments."""
    if in_port == OFPP_IN_PORT:
        in_port = ctx.flow.words[W_IN_PORT] & 0xFFFF
    if table_id == 0xFF:
        table_id = ctx.table_id
    rule = ctx.rule
    internal = rule is not None and rule.hidden
    table_action(ctx, in_port, table_id, internal, last, False, with_ct_orig, internal)


