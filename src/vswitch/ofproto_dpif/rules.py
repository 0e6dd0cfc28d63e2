"""The flow tables of a bridge: what is in them at first, and what their changes ask for.

Every rule that comes, changes or goes asks for the revalidation of the facets that it can
affect: those with its tag where its table has tags (`xlate/table_dpif.py`), else all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

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

RuleRemoved = Callable[[Rule, int], None]
"""Called with a rule that left its table and its OFPRR_* reason."""


@final
class RuleChanges(RuleListener):
    """Hears of every change to a bridge's tables, and marks the facets that it can affect."""

    def __init__(self, table_dpif: list[TableDpif], backer: DatapathRole) -> None:
        self.table_dpif: list[TableDpif] = table_dpif
        self.backer = backer
        self.on_removed: list[RuleRemoved] = []

    def rule_inserted(self, rule: Rule, replaced: Rule | None) -> None:
        """`rule` came, in the place of `replaced`, which had the same mask."""
        changed = replaced is None and self.table_dpif[rule.table_id].add(rule.mask)
        self._invalidate(rule, changed)

    def rule_deleted(self, rule: Rule, reason: int) -> None:
        """`rule` went."""
        if reason == OFPRR_IDLE_TIMEOUT:
            rule_idle_timeout.inc()
        elif reason == OFPRR_HARD_TIMEOUT:
            rule_hard_timeout.inc()
        # Before the table forgets the rule's mask, which its tag depends on.
        self._invalidate(rule, False)
        if self.table_dpif[rule.table_id].remove(rule.mask):
            self.backer.need(RevReason.FLOW_TABLE)
        for tell in self.on_removed:
            tell(rule, reason)

    def rule_modified(self, rule: Rule, old_actions: Actions) -> None:
        """`rule` has other actions or another cookie."""
        self._invalidate(rule, False)

    def _invalidate(self, rule: Rule, tags_changed: bool) -> None:
        """Have the facets that `rule` can affect revalidated; all of them if its table's tags
        are of no use for it."""
        rule_changed.inc()
        backer = self.backer
        if backer.need_revalidate or not backer.has_facets():
            return
        mask = rule.mask
        table = self.table_dpif[rule.table_id]
        other = table.other_table
        if tags_changed or other is None or other != mask:
            backer.need(RevReason.FLOW_TABLE)
        elif not backer.revalidate_set.is_full():
            backer.revalidate_set.add(table.tag(rule.match.flow, mask))
            backer.revalidate_set.add(table.partial_tag)


def carry_out(fm: FlowMod, tlv: TlvTable, tables: Tables, learned: LearnedCookies, now: int) -> FlowModResult:
    """Carry out a flow mod, and what its learned flows have to do with it. OfpError: it is refused."""
    bad = unsupported(fm.actions)
    if bad is not None:
        raise OfpError("OFPBAC_BAD_TYPE", f"action {format_action(bad)} is not supported")
    tlv.bind_flow_mod(fm)
    result = tables.flow_mod(fm, now)
    if learned.orphaned:
        learned.flush()
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
