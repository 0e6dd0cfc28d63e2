"""Learned flows that go with those that made them (`xlate/actions/learn.py` has their coming).

`LearnedCookies` counts the learn actions with `delete_learned` in a bridge's tables. With the last
one of a table and cookie the flows that it made go (ovs-actions(7), "The learn action").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, final

from vswitch.ofproto.rule import Rule
from vswitch.ofproto.tables import RuleListener
from vswitch.openflow.action_query import flattened
from vswitch.openflow.actions import Action, Actions, Clone, Ct, Learn, WriteActions
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand

if TYPE_CHECKING:
    from vswitch.base.clock import Clock
    from vswitch.ofproto.tables import Tables

COOKIE_ALL: Final = 0xFFFFFFFFFFFFFFFF


@final
class LearnedCookies(RuleListener):
    """Counts who makes flows that are to go with their maker."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self.tables: Tables = tables
        self.clock: Clock = clock
        self.makers: dict[tuple[int, int], int] = {}
        """(table, cookie) of learned flows -> how many learn actions make such."""
        self.orphaned: set[tuple[int, int]] = set()
        """Keys whose last maker went, since the last `flush`."""
        self._plain: Actions = ()
        """Some actions that make none: many rules share theirs."""

    def _count(self, actions: Actions, change: int) -> None:
        if actions is self._plain:
            return
        for action in actions:
            if isinstance(action, (Learn, WriteActions, Clone, Ct)):
                self._count_all(actions, change)
                return
        self._plain = actions

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
        self._count(rule.actions, 1)
        if replaced is not None:
            self._count(replaced.actions, -1)

    def rules_deleted(self, rules: list[Rule], reason: int) -> None:
        """`rules` went."""
        for rule in rules:
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
                self.tables.flow_mod(
                    FlowMod(command=FlowModCommand.DELETE, table_id=table_id, cookie=cookie,
                            cookie_mask=COOKIE_ALL),
                    self.clock.now(),
                )  # fmt: skip
