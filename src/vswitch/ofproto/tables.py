"""`Tables`: all flow tables of a switch, and what flow mods do to them (OpenFlow 1.3, 6.4).

Whoever caches what lookups found registers a `RuleListener` and is notified of every change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol, cast, final

from mypy_extensions import i64, mypyc_attr

from vswitch.base.respite import Respite
from vswitch.classifier.classifier import NO_RESPITE
from vswitch.classifier.rule import ClsRule
from vswitch.flow.match import Match
from vswitch.ofproto.rule import Rule
from vswitch.ofproto.table import Table
from vswitch.openflow.action_query import outputs_to_port, uses_group
from vswitch.openflow.actions import Actions
from vswitch.openflow.constants import (
    OFPFF_CHECK_OVERLAP,
    OFPFF_NO_READONLY,
    OFPFF_RESET_COUNTS,
    OFPG_ANY,
    OFPP_ANY,
    OFPRR_DELETE,
    OFPRR_EVICTION,
    OFPRR_HARD_TIMEOUT,
    OFPRR_IDLE_TIMEOUT,
    OFPTT_ALL,
)
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import COOKIE_NONE, FlowMod, FlowModCommand

N_TABLES: Final = 255
"""Tables 0 to 253 belong to controllers, the last is the switch's own; 255 means "all"."""
TBL_INTERNAL: Final = N_TABLES - 1
"""The switch's own rules: hidden and read-only."""


A_FEW: Final = 64
"""Rules that go together: they are at hand for whoever hears of it."""
EVERY: Final = 0xFF
"""Rules are passed over so quickly that only every 256th is worth a look at the time."""

_NOTHING: Final[list[Rule]] = []
_ADD: Final = FlowModCommand.ADD
_ALL_BITS: Final = 0xFFFFFFFFFFFFFFFF

REPLACED: Final = 0
DELETED: Final = 1
MODIFIED: Final = 2


@mypyc_attr(allow_interpreted_subclasses=True)
class RuleListener:
    """Hears of changes after they are made."""

    def rule_inserted(self, rule: Rule, replaced: Rule | None) -> None:
        """`rule` is in its table, in the place of `replaced` if that is given."""

    def rules_deleted(self, rules: list[Rule], reason: int) -> None:
        """`rules`, one or more, have left the table that they were in; `reason` is an OFPRR_*."""

    def rule_modified(self, rule: Rule, old_actions: Actions) -> None:
        """`rule` has other actions, or another cookie, than it had."""


class ActionCheck(Protocol):
    """Whether what actions refer to is there."""

    def check_references(self, actions: Actions) -> None:
        """OfpError: `actions` use a group or a meter that there is not."""


@mypyc_attr(acyclic=True)
@final
class RuleChange:
    """What one flow mod did to one rule that was there, so that it can be undone.

    `other` is the rule that `rule` replaced; the rest is what a modified one was before.
    """

    def __init__(self, kind: int, rule: Rule, other: Rule | None) -> None:
        self.kind: int = kind
        self.rule: Rule = rule
        self.other: Rule | None = other
        self.actions: Actions = rule.actions
        self.cookie: int = rule.cookie
        self.modified: int = rule.modified
        self.n_packets: int = rule.n_packets
        self.n_bytes: int = rule.n_bytes


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class FlowModResult:
    """What a flow mod did. (A dataclass would be made by interpreted code.)

    Most lists stay empty, and are one then: whoever has something to put in makes another.
    """

    def __init__(self) -> None:
        self.added: list[Rule] = _NOTHING
        self.replaced: list[Rule] = _NOTHING
        self.modified: list[Rule] = _NOTHING
        self.evicted: list[Rule] = _NOTHING
        self.n_deleted: int = 0


@final
class Tables:
    """The tables 0 to `n` - 1; with `N_TABLES` of them the last is `TBL_INTERNAL`."""

    def __init__(self, n: int = N_TABLES) -> None:
        self.tables: list[Table] = [Table(i) for i in range(n)]
        if n == N_TABLES:
            self.tables[TBL_INTERNAL].hidden = True
            self.tables[TBL_INTERNAL].readonly = True
            self.tables[TBL_INTERNAL].name = "internal"
        self.listeners: list[RuleListener] = []
        self.check: ActionCheck | None = None
        """Asked about the actions that a flow mod brings into a table."""
        self.expirable: dict[int, Rule] = {}
        """By id(): the rules that have a timeout."""
        self.cookie_changed: bool = False
        """While listeners hear of a modified rule: whether it has another cookie."""
        self.journal: list[Rule | RuleChange] | None = None
        """While it is not None, what flow mods do is written down there, for `undo`: a rule that was added,
        or another change."""
        self._respite: Respite = NO_RESPITE

    @property
    def respite(self) -> Respite:
        """Taken in the midst of what concerns many rules; the switch's, once it has a datapath."""
        return self._respite

    @respite.setter
    def respite(self, respite: Respite) -> None:
        self._respite = respite
        for table in self.tables:
            table.cls.respite = respite

    def __getitem__(self, table_id: int) -> Table:
        return self.tables[table_id]

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def rules(self, hidden: bool = False) -> Iterator[Rule]:
        """All rules, table by table; the hidden ones too if asked."""
        for table in self.tables:
            if hidden or not table.hidden:
                for rule in table.rules():
                    if hidden or not rule.hidden:
                        yield rule

    # Flow mods.

    def flow_mod(self, fm: FlowMod, now: int) -> FlowModResult:
        """Carry out `fm` at clock ms `now`. OfpError: it is refused, and nothing changed."""
        result = FlowModResult()
        if fm.command is _ADD:
            self._add(fm, now, result)
            return result
        if fm.command in (FlowModCommand.MODIFY, FlowModCommand.MODIFY_STRICT):
            self.check_writable(fm)
        strict = fm.command in (FlowModCommand.MODIFY_STRICT, FlowModCommand.DELETE_STRICT)
        deletes = fm.command in (FlowModCommand.DELETE, FlowModCommand.DELETE_STRICT)
        rules = self.select(fm, strict)
        if deletes:
            result.n_deleted = len(rules)
            self.remove_all(rules, OFPRR_DELETE)
        elif rules:
            if self.check is not None and fm.actions:
                self.check.check_references(fm.actions)
            self._modify(fm, rules, now, result)
        elif fm.cookie_mask == 0 and fm.new_cookie != COOKIE_NONE:
            self._add(fm, now, result)
        return result

    def insert(self, rule: Rule) -> None:
        """Add one of the switch's own rules, whatever its table allows."""
        replaced = self[rule.table_id].cls.insert(rule)
        assert replaced is None, rule
        if rule.hidden:
            self[rule.table_id].n_hidden += 1
        self._told_inserted(rule, None)

    def remove(self, rule: Rule, reason: int = OFPRR_DELETE) -> None:
        """Remove a rule, whatever its table allows."""
        self._remove_some(self.tables[rule.table_id], [rule], reason)

    def remove_all(self, rules: list[Rule], reason: int) -> None:
        """Remove rules, whatever their tables allow. The list is empty then: whom nobody else knows ceases to
        be as soon as everybody has heard of it."""
        rules.reverse()
        end: i64 = len(rules)
        while end > 0:
            table_id = rules[end - 1].table_id
            table = self.tables[table_id]
            # Each rule's going may be the one that events of vacancy tell of.
            most: i64 = 1 if table.vacancy_event else A_FEW
            first: i64 = end - 1
            while first > 0 and end - first < most and rules[first - 1].table_id == table_id:
                first -= 1
            some = rules[first:]
            some.reverse()
            del rules[first:]
            self._remove_some(table, some, reason)
            end = first
            self._respite.give()

    def select(self, fm: FlowMod, strict: bool) -> list[Rule]:
        """The rules that `fm` is about: table, match, priority if `strict`, cookie, and for a deletion its
        outputs (OpenFlow 1.3, A.3.4.1: modifications ignore out_port and out_group).

        OfpError: OFPBRC_BAD_TABLE_ID; OFPBRC_EPERM if all of them are read-only.
        """
        found: list[Rule] = []
        protected = False
        respite = self.respite
        cookie = fm.cookie
        cookie_mask = fm.cookie_mask
        # Of a cookie of which all bits count, or none do, there is no need to look at the bits.
        whole = cookie_mask == _ALL_BITS
        some = not whole and cookie_mask != 0
        deletes = fm.command in (FlowModCommand.DELETE, FlowModCommand.DELETE_STRICT)
        anywhere = not deletes or (fm.out_port == OFPP_ANY and fm.out_group == OFPG_ANY)
        n: i64 = 0
        for table in self._tables_of(fm.table_id):
            if strict:
                candidates = [[table.find_exactly(fm.match, fm.priority)]]
            else:
                candidates = table.find_loosely(fm.match)
            hidden = table.hidden
            protects = table.readonly
            for part in candidates:
                for rule in part:
                    n += 1
                    if not n & EVERY:
                        respite.give()
                    if rule is None or (rule.hidden and not hidden):
                        continue
                    if whole and rule.cookie != cookie:
                        continue
                    if some and (rule.cookie ^ cookie) & cookie_mask:
                        continue
                    if not anywhere and not self._goes_there(rule, fm):
                        continue
                    if (protects or rule.readonly) and not fm.flags & OFPFF_NO_READONLY:
                        protected = True
                    else:
                        found.append(rule)
        if protected and not found:
            raise OfpError("OFPBRC_EPERM", "the flows are read-only")
        return found

    def collect(self, match: Match, table_id: int, cookie: int, cookie_mask: int,
                out_port: int, out_group: int) -> list[Rule]:
        """The rules to list: of one table, even a hidden one, or (OFPTT_ALL) of all that are not hidden.

        OfpError: OFPBRC_BAD_TABLE_ID.
        """
        plain = not cookie_mask and out_port == OFPP_ANY and out_group == OFPG_ANY
        found: list[Rule] = []
        respite = self.respite
        n: i64 = 0
        for table in self._tables_of(table_id):
            hidden = table.hidden
            for part in table.find_loosely(match):
                for rule in part:
                    n += 1
                    if not n & EVERY:
                        respite.give()
                    if rule is None or (rule.hidden and not hidden):
                        continue
                    if plain or (
                        (rule.cookie ^ cookie) & cookie_mask == 0
                        and (out_port == OFPP_ANY or outputs_to_port(rule.actions, out_port))
                        and (out_group == OFPG_ANY or uses_group(rule.actions, out_group))
                    ):
                        found.append(rule)
        return found

    def undo(self, changes: list[Rule | RuleChange]) -> None:
        """Put back what `changes` changed, the last one first. Listeners hear of the way back, too."""
        self.journal = None
        for change in reversed(changes):
            self.respite.give()
            if isinstance(change, Rule):
                self.remove(change)
                continue
            rule = change.rule
            other = change.other
            if change.kind == DELETED:
                rule.removed = False
                self.insert(rule)
            elif change.kind == MODIFIED:
                actions = rule.actions
                rule.actions = change.actions
                rule.cookie = change.cookie
                rule.modified = change.modified
                rule.n_packets = change.n_packets
                rule.n_bytes = change.n_bytes
                for listener in self.listeners:
                    listener.rule_modified(rule, actions)
            elif other is not None:
                other.successor = None
                other.removed = False
                self[rule.table_id].cls.insert(other)
                self._leave(rule)
                self._told_inserted(other, rule)

    def _tables_of(self, table_id: int) -> list[Table]:
        if table_id == OFPTT_ALL:
            return [t for t in self.tables if not t.hidden]
        if table_id >= len(self.tables):
            raise OfpError("OFPBRC_BAD_TABLE_ID", f"table {table_id}")
        return [self.tables[table_id]]

    def check_writable(self, fm: FlowMod) -> None:
        """OfpError OFPBRC_EPERM: `fm` is about one table, which is read-only."""
        if fm.table_id < len(self.tables) and self.tables[fm.table_id].readonly \
                and not fm.flags & OFPFF_NO_READONLY:
            raise OfpError("OFPBRC_EPERM", f"table {fm.table_id} is read-only")

    @staticmethod
    def _goes_there(rule: Rule, fm: FlowMod) -> bool:
        """Whether the rule outputs to where `fm` says."""
        return (
            (fm.out_port == OFPP_ANY or outputs_to_port(rule.actions, fm.out_port))
            and (fm.out_group == OFPG_ANY or uses_group(rule.actions, fm.out_group))
        )

    def _add(self, fm: FlowMod, now: int, result: FlowModResult) -> None:
        table_id = 0 if fm.table_id == OFPTT_ALL else fm.table_id
        if table_id >= len(self.tables):
            raise OfpError("OFPBRC_BAD_TABLE_ID", f"table {table_id}")
        self.check_writable(fm)
        if self.check is not None and fm.actions:
            self.check.check_references(fm.actions)
        table = self.tables[table_id]
        old = table.find_exactly(fm.match, fm.priority)
        if old is not None and old.readonly and not fm.flags & OFPFF_NO_READONLY:
            raise OfpError("OFPBRC_EPERM", "the flow is read-only")
        if old is None:
            if fm.flags & OFPFF_CHECK_OVERLAP and table.cls.find_overlap(fm.match, fm.priority):
                raise OfpError("OFPFMFC_OVERLAP")
            if table.max_flows is not None and len(table) >= table.max_flows:
                self._evict(table, result)
        rule = Rule(fm.match, fm.priority, table_id, fm.actions, fm.new_cookie, now)
        rule.idle_timeout = fm.idle_timeout
        rule.hard_timeout = fm.hard_timeout
        rule.importance = fm.importance
        rule.flags = fm.flags
        if old is not None:
            rule.used = old.used
            if not fm.flags & OFPFF_RESET_COUNTS:
                old.successor = rule
                rule.n_packets = old.n_packets
                rule.n_bytes = old.n_bytes
            self._leave(old)
            result.replaced = [old]
        table.cls.insert(rule)
        self._told_inserted(rule, old)
        if self.journal is not None:
            self.journal.append(rule if old is None else RuleChange(REPLACED, rule, old))
        result.added = [rule]

    def _evict(self, table: Table, result: FlowModResult) -> None:
        """Make room in a full table."""
        victim = table.evictor.choose() if table.evictor is not None else None
        if victim is None:
            raise OfpError("OFPFMFC_TABLE_FULL", f"table {table.table_id} has {len(table)} flows")
        self.remove(victim, OFPRR_EVICTION)
        result.evicted = [victim]

    def shrink(self, table: Table) -> None:
        """Evict what a table has too much since its limit was lowered, as far as it may evict."""
        while table.max_flows is not None and len(table) > table.max_flows and table.evictor is not None:
            victim = table.evictor.choose()
            if victim is None:
                break
            self.remove(victim, OFPRR_EVICTION)

    def _modify(self, fm: FlowMod, rules: list[Rule], now: int, result: FlowModResult) -> None:
        result.modified = rules
        for rule in rules:
            if self.journal is not None:
                self.journal.append(RuleChange(MODIFIED, rule, None))
            old_actions = rule.actions
            rule.actions = fm.actions
            self.cookie_changed = False
            if fm.modify_cookie and fm.new_cookie != COOKIE_NONE:
                self.cookie_changed = rule.cookie != fm.new_cookie
                rule.cookie = fm.new_cookie
            rule.modified = now
            self[rule.table_id].cls.move_last(rule)
            if fm.flags & OFPFF_RESET_COUNTS:
                rule.n_packets = 0
                rule.n_bytes = 0
            for listener in self.listeners:
                listener.rule_modified(rule, old_actions)
            self.respite.give()

    # Timeouts.

    def expire(self, now: int) -> list[Rule]:
        """Remove the rules whose hard or idle timeout has passed by clock ms `now`.

        `Rule.used` must be up to date: push the datapath's statistics first.
        """
        gone: list[Rule] = []
        for rule in list(self.expirable.values()):
            self.respite.give()
            if rule.hard_timeout and now > rule.modified + rule.hard_timeout * 1000:
                reason = OFPRR_HARD_TIMEOUT
            elif rule.idle_timeout and now > rule.used + rule.idle_timeout * 1000:
                reason = OFPRR_IDLE_TIMEOUT
            else:
                continue
            self.remove(rule, reason)
            gone.append(rule)
        return gone

    def set_timeouts(self, rule: Rule, idle: int, hard: int) -> None:
        """Give a rule in a table other timeouts (s, 0 for never)."""
        self._forget(rule)
        rule.idle_timeout = idle
        rule.hard_timeout = hard
        self._note(rule)

    # Within.

    def _remove_some(self, table: Table, rules: list[Rule], reason: int) -> None:
        """Remove rules of one table."""
        table.cls.remove_all(cast("list[ClsRule]", rules))
        for rule in rules:
            if rule.hidden:
                table.n_hidden -= 1
            self._leave(rule)
        if self.journal is not None:
            for rule in rules:
                self.journal.append(RuleChange(DELETED, rule, None))
        for listener in self.listeners:
            listener.rules_deleted(rules, reason)

    def _leave(self, rule: Rule) -> None:
        rule.removed = True
        self._forget(rule)

    def _forget(self, rule: Rule) -> None:
        """`rule`, mortal or not, expires no more."""
        if rule.idle_timeout or rule.hard_timeout:
            self.expirable.pop(id(rule), None)
            evictor = self.tables[rule.table_id].evictor
            if evictor is not None:
                evictor.remove(rule)

    def _note(self, rule: Rule) -> None:
        """`rule` expires and can be evicted if it is mortal."""
        if rule.idle_timeout or rule.hard_timeout:
            self.expirable[id(rule)] = rule
            evictor = self.tables[rule.table_id].evictor
            if evictor is not None:
                evictor.add(rule)

    def _told_inserted(self, rule: Rule, replaced: Rule | None) -> None:
        self._note(rule)
        for listener in self.listeners:
            listener.rule_inserted(rule, replaced)

