"""Which rules use which groups and meters: kept as rules come and go, so that nobody searches the tables.

Reference counts of groups, flow counts of meters, and the rules that go with a deleted group
or meter come from here.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Final, TypeAlias, final

from vswitch.ofproto.tables import RuleListener
from vswitch.openflow.action_query import flattened
from vswitch.openflow.actions import Clone, Ct, Group, Meter, WriteActions
from vswitch.openflow.errors import OfpError

if TYPE_CHECKING:
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto.tables import Tables
    from vswitch.openflow.actions import Actions

Undo: TypeAlias = Callable[[], None]
"""Puts back what a change changed. It is called at most once, and only while nothing later stands."""

_NESTING: Final = frozenset((Group, Meter, WriteActions, Clone, Ct))


def used_groups(actions: Actions) -> tuple[int, ...]:
    """The groups that `actions` run, nested ones included, as often as they do."""
    for action in actions:
        if type(action) in _NESTING:
            return tuple(a.group_id for a in flattened(actions) if isinstance(a, Group))
    return ()


def used_meters(actions: Actions) -> tuple[int, ...]:
    """The meters that `actions` run, each once. A controller action's meter is no use of it:
    neither flow counts nor deletion know it, as in Open vSwitch."""
    for action in actions:
        if type(action) in _NESTING:
            return tuple(dict.fromkeys(a.meter_id for a in flattened(actions) if isinstance(a, Meter)))
    return ()


@final
class ActionRefs(RuleListener):
    """The rules of `Tables` by the groups and meters that they use."""

    def __init__(self) -> None:
        self.by_group: dict[int, dict[Rule, int]] = {}
        """Each rule with the number of times that its actions run the group."""
        self.by_meter: dict[int, dict[Rule, None]] = {}
        self.groups: Container[int] = ()
        self.meters: Container[int] = ()
        """Those that there are."""
        self._plain: Actions = ()
        """Some actions that use neither: many rules share theirs."""

    def group_users(self, group_id: int) -> list[Rule]:
        """The rules that run a group, oldest use first."""
        return list(self.by_group.get(group_id, ()))

    def meter_users(self, meter_id: int) -> list[Rule]:
        """The rules that run a meter, oldest use first."""
        return list(self.by_meter.get(meter_id, ()))

    def check_references(self, actions: Actions) -> None:
        """OfpError if `actions`, of a flow or a packet-out, run a group (OFPBAC_BAD_OUT_GROUP) or a meter
        (OFPMMFC_INVALID_METER) that is not there: whichever comes first."""
        if self._is_plain(actions):
            return
        for each in flattened(actions):
            if isinstance(each, Group) and each.group_id not in self.groups:
                raise OfpError("OFPBAC_BAD_OUT_GROUP", f"group {each.group_id}")
            if isinstance(each, Meter) and each.meter_id not in self.meters:
                raise OfpError("OFPMMFC_INVALID_METER", f"meter {each.meter_id}")

    def rule_inserted(self, rule: Rule, replaced: Rule | None) -> None:
        """`rule` is in its table, in the place of `replaced`."""
        if replaced is not None:
            self._forget(replaced, replaced.actions)
        self._note(rule)

    def rules_deleted(self, rules: list[Rule], reason: int) -> None:
        """`rules` have left their table."""
        for rule in rules:
            actions = rule.actions
            if actions is not self._plain:
                self._forget(rule, actions)

    def rule_modified(self, rule: Rule, old_actions: Actions) -> None:
        """`rule` has other actions."""
        self._forget(rule, old_actions)
        self._note(rule)

    def _is_plain(self, actions: Actions) -> bool:
        """Whether no group or meter can be in them."""
        if actions is self._plain:
            return True
        for action in actions:
            if type(action) in _NESTING:
                return False
        self._plain = actions
        return True

    def _note(self, rule: Rule) -> None:
        if self._is_plain(rule.actions):
            return
        for group_id in used_groups(rule.actions):
            users = self.by_group.setdefault(group_id, {})
            users[rule] = users.get(rule, 0) + 1
        for meter_id in used_meters(rule.actions):
            self.by_meter.setdefault(meter_id, {})[rule] = None

    def _forget(self, rule: Rule, actions: Actions) -> None:
        if self._is_plain(actions):
            return
        for group_id in used_groups(actions):
            users = self.by_group.get(group_id)
            if users is not None and users.pop(rule, 0) and not users:
                del self.by_group[group_id]
        for meter_id in used_meters(actions):
            flows = self.by_meter.get(meter_id)
            if flows is not None:
                flows.pop(rule, None)
                if not flows:
                    del self.by_meter[meter_id]


def remove_rules(tables: Tables, rules: list[Rule], reason: int) -> Undo:
    """Remove `rules` for `reason` (OFPRR_*); the result puts them back with their counters."""
    tables.remove_all(list(rules), reason)

    def undo() -> None:
        for rule in rules:
            rule.removed = False
            tables.insert(rule)

    return undo
