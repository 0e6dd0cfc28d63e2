"""The actions that change flows: `learn` makes one out of the packet, `fin_timeout` shortens a life.

Translation changes nothing: it returns `LearnFlow` and `ReduceTimeouts`. A learned flow is therefore
not seen by what follows in the same translation, as in Open vSwitch.
"""

from __future__ import annotations

from typing import Final

from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.ofproto_dpif.xlate.actions import fields
from vswitch.ofproto_dpif.xlate.ctx import OFT_DETAIL, OFT_WARN, Ctx, report
from vswitch.ofproto_dpif.xlate.effects import LearnFlow, ReduceTimeouts
from vswitch.openflow import actions as of
from vswitch.openflow.action_text import format_actions
from vswitch.openflow.constants import (
    OFP_DEFAULT_PRIORITY,
    OFPFF_SEND_FLOW_REM,
    OFPP_ALL,
    OFPP_FLOOD,
    OFPP_IN_PORT,
    OFPP_LOCAL,
    OFPP_MAX,
)
from vswitch.openflow.flow_mod import COOKIE_NONE, FlowMod, FlowModCommand

OUTPUTS: Final = frozenset((OFPP_IN_PORT, OFPP_FLOOD, OFPP_ALL, OFPP_LOCAL))
"""Reserved ports that a learned flow may output to."""


def learn(ctx: Ctx, a: of.Learn, last: bool) -> bool:
    """The learn action, ovs-actions(7)."""
    for spec in a.specs:
        if spec.src is not None:
            ctx.wc.set_bits(spec.src.field, spec.src.mask)
    if not ctx.xin.side_effects:
        if ctx.trace is not None:
            report(ctx, OFT_WARN, "suppressing side effects, so learn action ignored")
        return False
    fm = learned_flow(a, ctx.flow)
    if ctx.trace is not None:
        report(ctx, OFT_DETAIL, describe(fm))
    learned = not a.limit or has_room(ctx, fm, a.limit)
    if a.result_dst is not None:
        fields.load(ctx, a.result_dst, 1 if learned else 0)
    if learned:
        ctx.effects.append(LearnFlow(ctx.ofproto, fm, a.limit))
    elif ctx.trace is not None:
        report(ctx, OFT_DETAIL, "Limit exceeded, learn failed")
    return False


def has_room(ctx: Ctx, fm: FlowMod, limit: int) -> bool:
    """Whether the flow is there already or there are fewer than `limit` with its cookie."""
    table = ctx.ofproto.tables[fm.table_id]
    # Flows that come and go there change the answer.
    ctx.out.tags |= ctx.ofproto.table_tag(fm.table_id, ctx.flow, Flow())
    if table.find_exactly(fm.match, fm.priority) is not None:
        return True
    return sum(rule.cookie == fm.new_cookie for rule in table.rules()) < limit


def learned_flow(a: of.Learn, flow: Flow) -> FlowMod:
    """The flow mod that `a` makes of a packet that looks like `flow`."""
    match = Match()
    actions: list[of.Action] = []
    if a.fin_idle_timeout or a.fin_hard_timeout:
        actions.append(of.FinTimeout(a.fin_idle_timeout, a.fin_hard_timeout))
    for spec in a.specs:
        value = spec.value if spec.src is None else fields.read_subfield(flow, spec.src)
        dst = spec.dst
        if dst is None:
            if value < OFPP_MAX or value in OUTPUTS:
                actions.append(of.Output(value))
        elif spec.kind == "load":
            actions.append(of.SetField(dst.field, value << dst.ofs, dst.mask, True))
        else:
            fields.write_subfield(match.mask, dst, dst.mask >> dst.ofs)
            fields.write_subfield(match.flow, dst, value)
    return FlowMod(
        match=match,
        priority=a.priority,
        command=FlowModCommand.MODIFY_STRICT,
        table_id=a.table_id,
        actions=tuple(actions),
        new_cookie=a.cookie,
        modify_cookie=a.cookie != COOKIE_NONE,
        idle_timeout=a.idle_timeout,
        hard_timeout=a.hard_timeout,
        flags=OFPFF_SEND_FLOW_REM if a.send_flow_rem else 0,
    )


def describe(fm: FlowMod) -> str:
    """A learned flow as traces show it."""
    words = [f"table={fm.table_id}", fm.match.format(OFP_DEFAULT_PRIORITY), f"priority={fm.priority}"]
    if fm.new_cookie:
        words.append(f"cookie={fm.new_cookie:#x}")
    if fm.idle_timeout:
        words.append(f"idle={fm.idle_timeout}")
    if fm.hard_timeout:
        words.append(f"hard={fm.hard_timeout}")
    if fm.flags & OFPFF_SEND_FLOW_REM:
        words.append("send_flow_rem")
    words.append(f"actions={format_actions(fm.actions)}")
    return " ".join(word for word in words if word)


def fin_timeout(ctx: Ctx, a: of.FinTimeout, last: bool) -> bool:
    """The fin_timeout action, ovs-actions(7): it acts when a packet ends a TCP connection."""
    ctx.wc.nw_proto = 0xFF
    rule = ctx.rule
    if rule is not None:
        ctx.effects.append(ReduceTimeouts(ctx.ofproto, rule, a.idle, a.hard))
    return False
