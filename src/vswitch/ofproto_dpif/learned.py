"""Flows that packets teach: adding them, refreshing them, and taking them away again.

`LearnedCookies` counts the learn actions with `delete_learned` in a bridge's tables. With the last
one of a table and cookie the flows that it made go (ovs-actions(7), "The learn action").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

from vswitch.base import coverage
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.ofproto.rule import Rule
from vswitch.openflow.action_query import flattened
from vswitch.openflow.actions import Action, Actions, Clone, Ct, Learn, WriteActions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
    from vswitch.ofproto_dpif.xlate.effects import LearnFlow, ReduceTimeouts

log = Vlog("ofproto_dpif")
_refused_rl = RateLimit(60, 5)

learn_added = coverage.counter("learn_added")
learn_refreshed = coverage.counter("learn_refreshed")
learn_limited = coverage.counter("learn_limit_exceeded")
learn_refused = coverage.counter("learn_refused")

COOKIE_ALL = 0xFFFFFFFFFFFFFFFF


def learn_flow(effect: LearnFlow, now: int) -> None:
    """Add the flow of `effect`, change it, or, if it is there as it should be, let its hard timeout
    begin anew at clock ms `now`. A full table or a refusal is counted and logged."""
    ofproto = effect.ofproto
    fm = effect.flow_mod
    table = ofproto.tables[fm.table_id]
    rule = table.find_exactly(fm.match, fm.priority)
    if rule is None:
        if effect.limit and sum(r.cookie == fm.new_cookie for r in table.rules()) >= effect.limit:
            learn_limited.inc()
            return
    elif rule.cookie == fm.new_cookie and rule.actions == fm.actions:
        rule.modified = max(rule.modified, now)
        learn_refreshed.inc()
        return
    try:
        ofproto.flow_mod(fm)
    except OfpError as error:
        learn_refused.inc()
        log.warn_rl(_refused_rl, now, "%s: LEARN action execution failed (%s)", ofproto.name, error)
    else:
        learn_added.inc()


def reduce_timeouts(effect: ReduceTimeouts) -> None:
    """A packet ended the connection: what is left of its flow's life is at most that of `effect`."""
    rule = effect.rule
    while rule.successor is not None:
        rule = rule.successor
    if rule.removed or rule.hidden:
        return
    idle = shorter(rule.idle_timeout, effect.idle)
    hard = shorter(rule.hard_timeout, effect.hard)
    effect.ofproto.tables.set_timeouts(rule, idle, hard)


def shorter(timeout: int, limit: int) -> int:
    """`timeout` (s, 0 for never) or `limit` (0 for none) if that comes first."""
    return limit if limit and (not timeout or timeout > limit) else timeout


@final
class LearnedCookies:
    """A `RuleListener` that counts who makes flows that are to go with their maker."""

    def __init__(self, ofproto: OfprotoDpif) -> None:
        self.ofproto = ofproto
        self.makers: dict[tuple[int, int], int] = {}
        """(table, cookie) of learned flows -> how many learn actions make such."""
        self.orphaned: set[tuple[int, int]] = set()
        """Keys whose last maker went, since the last `flush`."""

    def _count(self, actions: Iterable[Action], change: int) -> None:
        for action in actions:
            if isinstance(action, Learn | WriteActions | Clone | Ct):
                self._count_all(actions, change)
                return

    def _count_all(self, actions: Iterable[Action], change: int) -> None:
        for action in flattened(actions):
            if isinstance(action, Learn) and action.delete_learned:
                key = (action.table_id, action.cookie)
                left = self.makers.get(key, 0) + change
                if left:
                    self.makers[key] = left
                else:
                    self.makers.pop(key, None)
                    self.orphaned.add(key)

    def rule_inserted(self, rule: Rule, replaced: Rule | None) -> None:
        """`rule` came, in the place of `replaced`."""
        if rule.actions:
            self._count(rule.actions, 1)
        if replaced is not None:
            self._count(replaced.actions, -1)

    def rule_deleted(self, rule: Rule, reason: int) -> None:
        """`rule` went."""
        if rule.actions:
            self._count(rule.actions, -1)

    def rule_modified(self, rule: Rule, old_actions: Actions) -> None:
        """`rule` has other actions."""
        self._count(rule.actions, 1)
        self._count(old_actions, -1)

    def flush(self) -> None:
        """Delete the flows whose makers are gone. Not to be called while a flow mod is under way."""
        while self.orphaned:
            table_id, cookie = self.orphaned.pop()
            if (table_id, cookie) not in self.makers:
                self.ofproto.tables.flow_mod(
                    FlowMod(command=FlowModCommand.DELETE, table_id=table_id, cookie=cookie,
                            cookie_mask=COOKIE_ALL),
                    self.ofproto.clock.now(),
                )  # fmt: skip
