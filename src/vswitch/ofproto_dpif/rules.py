"""The flow tables of a bridge: what is in them at first, and what their changes ask for.

Every rule that comes, changes or goes asks for the revalidation of the facets that it can
affect: those with its tag where its table has tags (`xlate/table_dpif.py`), else those whose packets it can
match (`facets/changed.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64

from vswitch.base import coverage
from vswitch.flow.fields import by_name
from vswitch.flow.match import Match
from vswitch.ofproto.rule import Rule
from vswitch.ofproto.tables import RuleListener
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.xlate.actions.dispatch import unsupported
from vswitch.openflow.action_text import format_action
from vswitch.openflow.actions import Actions, Controller
from vswitch.openflow.constants import OFPR_IMPLICIT_MISS, OFPRR_HARD_TIMEOUT, OFPRR_IDLE_TIMEOUT
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowModCommand

if TYPE_CHECKING:
    from vswitch.base.clock import Clock
    from vswitch.ofproto.ofproto import Ofproto
    from vswitch.ofproto.tables import FlowModResult, Tables
    from vswitch.ofproto.tlv import TlvTable
    from vswitch.ofproto_dpif.learned import LearnedCookies
    from vswitch.ofproto_dpif.roles import DatapathRole
    from vswitch.ofproto_dpif.xlate.table_dpif import TableDpif
    from vswitch.openflow.flow_mod import FlowMod

_RECIRC_ID: Final = by_name("recirc_id")
DELETES: Final = (FlowModCommand.DELETE, FlowModCommand.DELETE_STRICT)

rule_idle_timeout: Final = coverage.counter("rule_idle_timeout")
rule_hard_timeout: Final = coverage.counter("rule_hard_timeout")
rule_changed: Final = coverage.counter("rule_changed")


@final
class RuleChanges(RuleListener):
    """Hears of every change to a bridge's tables, and marks the facets that it can affect."""

    def __init__(self, table_dpif: list[TableDpif], backer: DatapathRole) -> None:
        self.table_dpif: list[TableDpif] = table_dpif
        self.backer = backer

    def rule_inserted(self, rule: Rule, replaced: Rule | None) -> None:
        """`rule` came, in the place of `replaced`, which had the same mask."""
        changed = replaced is None and self.table_dpif[rule.table_id].add(rule.mask)
        self._invalidate([rule], changed)

    def rules_deleted(self, rules: list[Rule], reason: int) -> None:
        """`rules`, of one table, went."""
        if reason == OFPRR_IDLE_TIMEOUT:
            rule_idle_timeout.inc(len(rules))
        elif reason == OFPRR_HARD_TIMEOUT:
            rule_hard_timeout.inc(len(rules))
        # Before the table forgets the rules' masks, which their tags depend on.
        self._invalidate(rules, False)
        table = self.table_dpif[rules[0].table_id]
        n: i64 = len(rules)
        first: i64 = 0
        while first < n:
            mask = rules[first].mask
            end: i64 = first + 1
            while end < n and rules[end].mask is mask:
                end += 1
            if table.remove(mask, end - first):
                self.backer.need(RevReason.FLOW_TABLE)
            first = end

    def rule_modified(self, rule: Rule, old_actions: Actions) -> None:
        """`rule` has other actions or another cookie."""
        self._invalidate([rule], False)

    def _invalidate(self, rules: list[Rule], tags_changed: bool) -> None:
        """Have the facets that `rules`, of one table, can affect revalidated; all of them if its tags mean
        something else now, or the rules are too many."""
        rule_changed.inc(len(rules))
        backer = self.backer
        if backer.need_revalidate or not backer.has_facets():
            return
        if tags_changed:
            backer.need(RevReason.FLOW_TABLE)
            return
        table = self.table_dpif[rules[0].table_id]
        other = table.other_table
        changed = backer.changed_rules
        tags = backer.revalidate_set
        full = tags.is_full()
        for rule in rules:
            mask = rule.mask
            if other is None or (other is not mask and other != mask):
                if not changed.add(rule):
                    backer.need(RevReason.FLOW_TABLE)
                    return
            elif not full:
                tags.add(table.tag(rule.match.flow, mask))
                tags.add(table.partial_tag)
                full = tags.is_full()


@final
class FlowMods:
    """Carries out the flow mods of a bridge."""

    def __init__(self, tlv: TlvTable, tables: Tables, learned: LearnedCookies, clock: Clock) -> None:
        self.tlv: TlvTable = tlv
        self.tables: Tables = tables
        self.learned: LearnedCookies = learned
        self.clock: Clock = clock

    def carry_out(self, fm: FlowMod) -> FlowModResult:
        """Carry out a flow mod, and what learned flows have to do with it. OfpError: it is refused."""
        bad = unsupported(fm.actions)
        if bad is not None:
            raise OfpError("OFPBAC_BAD_TYPE", f"action {format_action(bad)} is not supported")
        self.tlv.bind_flow_mod(fm)
        result = self.tables.flow_mod(fm, self.clock.now())
        if self.learned.orphaned:
            self.learned.flush()
        return result


def add_internal_flows(ofproto: Ofproto, now: int) -> tuple[Rule, Rule, Rule]:
    """The switch's own rules in TBL_INTERNAL: (miss, no packet-in, drop fragments).

    Beside them one that drops what a controller's flow sends there and none of them matches.
    """
    to_controller: Actions = (Controller(max_len=0xFFFF, reason=OFPR_IMPLICIT_MISS),)
    miss = ofproto.add_internal_flow(1, to_controller, now)
    no_packet_in = ofproto.add_internal_flow(2, (), now)
    drop_frags = ofproto.add_internal_flow(3, (), now)
    not_recirculated = Match()
    not_recirculated.set(_RECIRC_ID, 0)
    ofproto.add_internal_rule(not_recirculated, 2, (), now)
    return miss, no_packet_in, drop_frags
