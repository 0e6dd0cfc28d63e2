"""The actions that change flows: `learn` makes one out of the packet, `fin_timeout` shortens a life.

Translation changes nothing: it returns `LearnFlow` and `ReduceTimeouts`. A learned flow is therefore
not seen by what follows in the same translation, as in Open vSwitch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from vswitch.base import coverage
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.ofproto_dpif.xlate.actions import fields
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report
from vswitch.ofproto_dpif.xlate.effects import CreditedEffect
from vswitch.ofproto_dpif.xlate.trace import OFT_DETAIL, OFT_WARN
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
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import COOKIE_NONE, FlowMod, FlowModCommand

if TYPE_CHECKING:
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto_dpif.xlate.bridge import XBridge

log: Final = Vlog("ofproto_dpif")
ofproto_log: Final = Vlog("ofproto")
_refused_rl: Final = RateLimit(60, 5)
_limited_rl: Final = RateLimit(60, 5)

learn_added: Final = coverage.counter("learn_added")
learn_refreshed: Final = coverage.counter("learn_refreshed")
learn_limited: Final = coverage.counter("learn_limit_exceeded")
learn_refused: Final = coverage.counter("learn_refused")

FIN_OR_RST: Final = 0x005
"""The TCP flags that end a connection."""
OUTPUTS: Final = frozenset((OFPP_IN_PORT, OFPP_FLOOD, OFPP_ALL, OFPP_LOCAL))
"""Reserved ports that a learned flow may output to."""


@final
class LearnFlow(CreditedEffect):
    """The packet taught a flow: carry out `flow_mod`, or, if the flow is there as it should be, let its
    hard timeout begin anew. A new one, and a change of one, only while fewer than `limit` flows of its table
    have its cookie (0: no limit). A full table or a refusal is counted and logged."""

    def __init__(self, bridge: XBridge, flow_mod: FlowMod, limit: int) -> None:
        self.bridge: XBridge = bridge
        self.flow_mod: FlowMod = flow_mod
        self.limit: int = limit

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        bridge = self.bridge
        fm = self.flow_mod
        table = bridge.tables[fm.table_id]
        rule = table.find_exactly(fm.match, fm.priority)
        if self.limit and not (rule is not None and _is_as_learned(rule, fm)):
            if sum(r.cookie == fm.new_cookie for r in table.rules()) >= self.limit:
                LearnLimitReached(fm.new_cookie).apply(max(n_packets, 1), n_bytes, now, tcp_flags)
                return
        if rule is not None and rule.cookie == fm.new_cookie and rule.actions == fm.actions:
            rule.modified = max(rule.modified, now)
            learn_refreshed.inc()
            return
        try:
            bridge.learner.flow_mod(fm)
        except OfpError as error:
            learn_refused.inc()
            log.warn_rl(_refused_rl, now, "%s: LEARN action execution failed (%s)", bridge.name, error)
        else:
            learn_added.inc()

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, LearnFlow) and self.bridge is other.bridge
            and self.limit == other.limit and self.flow_mod == other.flow_mod
        )

    def __repr__(self) -> str:
        return f"LearnFlow(table={self.flow_mod.table_id}, {self.flow_mod.match})"


@final
class LearnLimitReached(CreditedEffect):
    """The packet would have taught a flow with `cookie`, if there weren't enough of them: logged."""

    def __init__(self, cookie: int) -> None:
        self.cookie: int = cookie

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        if n_packets:
            learn_limited.inc(n_packets)
            ofproto_log.info_rl(_limited_rl, now, "Learn limit for flow %d reached.", self.cookie)

    def same(self, other: CreditedEffect) -> bool:
        return isinstance(other, LearnLimitReached) and self.cookie == other.cookie

    def __repr__(self) -> str:
        return f"LearnLimitReached(0x{self.cookie:x})"


@final
class ReduceTimeouts(CreditedEffect):
    """If the packet has a TCP FIN or RST, let `rule` live no longer than `idle` and `hard` seconds
    (0: leave that timeout alone)."""

    def __init__(self, bridge: XBridge, rule: Rule, idle: int, hard: int) -> None:
        self.bridge: XBridge = bridge
        self.rule: Rule = rule
        self.idle: int = idle
        self.hard: int = hard

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        if tcp_flags & FIN_OR_RST:
            rule = self.rule
            while rule.successor is not None:
                rule = rule.successor
            if not rule.removed and not rule.hidden:
                idle = shorter(rule.idle_timeout, self.idle)
                hard = shorter(rule.hard_timeout, self.hard)
                self.bridge.tables.set_timeouts(rule, idle, hard)

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, ReduceTimeouts) and self.rule is other.rule and self.idle == other.idle
            and self.hard == other.hard
        )

    def __repr__(self) -> str:
        return f"ReduceTimeouts({self.rule}, idle={self.idle}, hard={self.hard})"


def shorter(timeout: int, limit: int) -> int:
    """`timeout` (s, 0 for never) or `limit` (0 for none) if that comes first."""
    return limit if limit and (not timeout or timeout > limit) else timeout


def learn(ctx: Ctx, a: of.Learn, last: bool) -> None:
    """The learn action, ovs-actions(7)."""
    for spec in a.specs:
        if spec.src is not None:
            ctx.wc.set_bits(spec.src.field, spec.src.mask)
    if not ctx.xin.side_effects:
        if ctx.trace is not None:
            report(ctx, OFT_WARN, "suppressing side effects, so learn action ignored")
        return
    fm = learned_flow(a, ctx.flow)
    if ctx.trace is not None:
        report(ctx, OFT_DETAIL, describe(fm))
    learned = not a.limit or has_room(ctx, fm, a.limit)
    if a.result_dst is not None:
        fields.load(ctx, a.result_dst, 1 if learned else 0)
    if learned:
        ctx.effects.append(LearnFlow(ctx.bridge, fm, a.limit))
    else:
        ctx.effects.append(LearnLimitReached(fm.new_cookie))
        if ctx.trace is not None:
            report(ctx, OFT_DETAIL, "Limit exceeded, learn failed")


def has_room(ctx: Ctx, fm: FlowMod, limit: int) -> bool:
    """Whether the flow is there as it should be or there are fewer than `limit` with its cookie."""
    table = ctx.bridge.tables[fm.table_id]
    # Flows that come and go there change the answer.
    ctx.out.tags |= ctx.bridge.table_tag(fm.table_id, ctx.flow, Flow())
    rule = table.find_exactly(fm.match, fm.priority)
    if rule is not None and _is_as_learned(rule, fm):
        return True
    ctx.out.for_packets = True
    return sum(rule.cookie == fm.new_cookie for rule in table.rules()) < limit


def _is_as_learned(rule: Rule, fm: FlowMod) -> bool:
    """Whether `rule`, which has the match of `fm`, is all that it says: then nothing is to be done."""
    return (
        rule.cookie == fm.new_cookie
        and rule.idle_timeout == fm.idle_timeout
        and rule.hard_timeout == fm.hard_timeout
        and rule.importance == fm.importance
        and rule.flags == fm.flags
        and rule.actions == fm.actions
    )


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
            match.imply_ethernet(dst.field)
    # Matches are on a tag's VLAN and priority, whatever its type.
    match.flow.vlan_tpid = match.mask.vlan_tpid = 0
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


def fin_timeout(ctx: Ctx, a: of.FinTimeout, last: bool) -> None:
    """The fin_timeout action, ovs-actions(7): it acts when a packet ends a TCP connection."""
    ctx.wc.nw_proto = 0xFF
    rule = ctx.rule
    if rule is not None:
        ctx.effects.append(ReduceTimeouts(ctx.bridge, rule, a.idle, a.hard))
