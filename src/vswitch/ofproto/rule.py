"""`Rule`: one flow of a table, with its actions, timeouts and statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from vswitch.classifier.conjunction import Conjunctions
from vswitch.classifier.rule import ClsRule
from vswitch.flow.match import Match
from vswitch.openflow.actions import Conjunction, Note

if TYPE_CHECKING:
    from vswitch.openflow.actions import Actions



def conjunctions(actions: Actions) -> Conjunctions | None:
    """What a rule with `actions` contributes to conjunctive matches; None if it is an ordinary one.

    Beside `conjunction` there can only be `note`.
    """
    first = actions[0] if actions else None
    if not isinstance(first, (Conjunction, Note)):
        return None
    found = [(a.id, a.clause, a.n_clauses) for a in actions if isinstance(a, Conjunction)]
    return Conjunctions(tuple(found)) if found else None


@final
class Rule(ClsRule):
    """A flow in table `table_id`.

    `idle_timeout` and `hard_timeout` are in seconds, 0 for never; `created`, `modified` and
    `used` in clock ms (`used` starts as `created`). `flags` are OFPFF_*. A `hidden` rule is
    the switch's own: controllers neither see nor change it; `readonly` ones they can see.
    """

    def __init__(self, match: Match, priority: int, table_id: int = 0, actions: Actions = (),
                 cookie: int = 0, now: int = 0) -> None:
        super().__init__(match, priority)
        self.table_id: int = table_id
        self._actions: Actions = actions
        if actions:
            self.conj = conjunctions(actions)
        self.cookie: int = cookie
        self.idle_timeout: int = 0
        self.hard_timeout: int = 0
        self.importance: int = 0
        self.flags: int = 0
        self.hidden: bool = False
        self.readonly: bool = False
        self.created: int = now
        self.modified: int = now
        self.used: int = now
        self.n_packets: int = 0
        self.n_bytes: int = 0
        self.add_seqno: int = 0
        """The numbers of the changes that made it and that changed it last (`ConnMgr.next_seqno`)."""
        self.modify_seqno: int = 0
        self.successor: Rule | None = None
        """The rule that replaced this one and took over its counters."""
        self.removed: bool = False
        """Whether the rule has left its table; facets may still hold it for a moment."""

    @property
    def actions(self) -> Actions:
        """What happens to the packets."""
        return self._actions

    @actions.setter
    def actions(self, actions: Actions) -> None:
        self._actions = actions
        self.conj = conjunctions(actions)

    def credit(self, n_packets: int, n_bytes: int, used: int) -> None:
        """Count packets, the last of them at clock ms `used`; those of a rule that was replaced
        by one that took over its counters count there."""
        rule = self
        while rule.successor is not None:
            rule = rule.successor
        rule.n_packets += n_packets
        rule.n_bytes += n_bytes
        if used > rule.used:
            rule.used = used

    def is_table_miss(self) -> bool:
        """Whether this is the table-miss flow of OpenFlow 1.3: priority 0, matching everything."""
        return self.priority == 0 and self.match.is_catchall()

    def __repr__(self) -> str:
        return f"Rule(table={self.table_id},priority={self.priority},{self.match})"
