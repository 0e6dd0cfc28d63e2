"""Revalidation: translating facets anew after something changed, and telling the datapath.

A full revalidation has one reason (`RevReason`) and looks at every facet; `revalidate_set`
picks by tags those that a learned MAC address or a changed rule can affect; where a table has no tags,
what its rules ask for picks them (`changed.py`). A facet whose new
translation is the same stays as it is, one with other actions has its datapath flow modified in
place, packets and all. One whose new mask has bits that the old one lacks is removed, and its
next packet makes a new one; of several datapath flows each is looked at by itself then (those without
tags match all bits of both tags). What the new mask lacks makes the facet narrower than it need be, no more.
One that would learn a flow within a limit is removed too: which packet learns it is for packets to say.
So is one whose translation fails, after any change: it has all tags (`install.ALL_TAGS`).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, final

from vswitch.base import coverage
from vswitch.base.coverage import Counter
from vswitch.dpif.ops import FlowGet, FlowPut, Op
from vswitch.ofproto_dpif.facets.facet import Facet, Subfacet
from vswitch.ofproto_dpif.facets.install import datapath_mask
from vswitch.ofproto_dpif.xlate.effects import same_effects
from vswitch.ofproto_dpif.xlate.translate import xlate
from vswitch.ofproto_dpif.xlate.types import SLOW_MATCH, XlateIn, XlateOut

if TYPE_CHECKING:
    from vswitch.base.tags import TagSet
    from vswitch.flow.flow import Flow
    from vswitch.ofproto_dpif.facets.changed import ChangedRules
    from vswitch.ofproto_dpif.facets.install import Installer


class RevReason(enum.IntEnum):
    """Why all facets need another look."""

    RECONFIGURE = 1
    """Ports, bundles, mirrors or switch-wide settings changed."""
    STP = 2
    """A spanning tree moved a port to another state."""
    PORT_TOGGLED = 3
    """A port's link went up or down."""
    FLOW_TABLE = 4
    """A flow table changed in a way that tags cannot narrow down."""
    INCONSISTENCY = 5
    """A facet was found that translates to something else."""
    BOND = 6
    """A bond rebalanced or a member was enabled or disabled."""
    MAC_LEARNING = 7
    """The MAC table was flushed, or changed in a way that tags cannot narrow down."""
    TUNNELS = 8
    """Routes, neighbours or addresses changed, by which outer packets go."""


rev_counters: Final[dict[int, Counter]] = {
    RevReason.RECONFIGURE: coverage.counter("rev_reconfigure"),
    RevReason.STP: coverage.counter("rev_stp"),
    RevReason.PORT_TOGGLED: coverage.counter("rev_port_toggled"),
    RevReason.FLOW_TABLE: coverage.counter("rev_flow_table"),
    RevReason.INCONSISTENCY: coverage.counter("rev_inconsistency"),
    RevReason.BOND: coverage.counter("rev_bond"),
    RevReason.MAC_LEARNING: coverage.counter("rev_mac_learning"),
    RevReason.TUNNELS: coverage.counter("rev_tunnels"),
}
rev_tags = coverage.counter("rev_tags")
facet_revalidate = coverage.counter("facet_revalidate")
facet_changed_rule = coverage.counter("facet_changed_rule")
subfacet_modify = coverage.counter("subfacet_modify")

BATCH: Final = 50


def revalidate(installer: Installer, facets: list[Facet], reason: int, tags: TagSet, changed: ChangedRules,
               now: int) -> None:
    """Bring `facets` up to date: all for `reason` (`RevReason`), or, for 0, those that `tags` touch or the
    rules that `changed` concern."""
    some_rules = not changed.is_empty()
    if reason or some_rules:
        rev_counters[reason or RevReason.FLOW_TABLE].inc()
    else:
        rev_tags.inc()
    if not facets:
        return
    run = _Revalidation(installer, now)
    respite = installer.respite
    for facet in facets:
        if reason or tags.intersects(facet.tags) or (some_rules and changed.concern(facet)):
            run.look_at(facet)
        respite.give()
    run.finish()


@final
class _Revalidation:
    """One pass: operations collect into batches."""

    def __init__(self, installer: Installer, now: int) -> None:
        self.installer: Installer = installer
        self.now: int = now
        self.ops: list[Op] = []
        self.changed: list[tuple[Facet, XlateOut]] = []
        self.op_of: dict[Subfacet, Op] = {}
        self.dead: list[Facet] = []

    def look_at(self, facet: Facet) -> None:
        """Translate `facet` anew and note what is to be done."""
        facet_revalidate.inc()
        installer = self.installer
        flow = facet.flow()
        frozen = None
        if flow.recirc_id:
            frozen = installer.dp.recirc_ids.lookup(flow.recirc_id)
            if frozen is None:
                self.dead.append(facet)
                return
        if self._elsewhere(facet, flow):
            self.dead.append(facet)
            return
        out = xlate(XlateIn(facet.bridge, flow, frozen=frozen, now=self.now))
        out.slow |= facet.slow & SLOW_MATCH
        wanting = not facet.group.mask.covers(out.wc)
        if wanting and len(facet.subfacets) > 1:
            installer.drop_out(out, self.now)
            self._part(facet, flow.in_port)
            return
        if (wanting and not self._moved(facet, out.wc)) or out.error or out.for_packets:
            installer.drop_out(out, self.now)
            self.dead.append(facet)
            return
        if out.actions == facet.actions and out.slow == facet.slow:
            if same_effects(out.effects, facet.effects):
                installer.fill(facet, out, self.now)
                return
            facet_changed_rule.inc()
            for subfacet in facet.subfacets:
                self._add(subfacet, FlowGet(subfacet.key(), subfacet.ufid))
        else:
            for subfacet in facet.subfacets:
                subfacet_modify.inc()
                self._add(subfacet, installer.modify(subfacet, out))
        self.changed.append((facet, out))
        if len(self.ops) >= BATCH:
            self._flush()

    def _elsewhere(self, facet: Facet, flow: Flow) -> bool:
        """Whether packets of `facet` come in by another port than they did: theirs went, and its number
        in the datapath is another's now."""
        installer = self.installer
        for subfacet in facet.subfacets:
            if subfacet.prefix:  # a VLAN splinter's device stands for the port
                continue
            port = installer.odp_to_ofport.get(subfacet.odp_port)
            if port is None:
                port = installer.dp.tunnels.find(flow, subfacet.odp_port)
            if port is None or port.ofp_port != flow.in_port:
                return True
        return False

    def _part(self, facet: Facet, in_port: int) -> None:
        """Look at each datapath flow of `facet` by itself, as a facet of its own: their masks differ, and may
        have the bits that the facet's lacks."""
        for subfacet in list(facet.subfacets):
            alone = self.installer.part(facet, subfacet, in_port, self.now)
            if alone is not None:
                self.look_at(alone)
        self.dead.append(facet)

    def _moved(self, facet: Facet, wc: Flow) -> bool:
        """Give `facet` the mask of its one datapath flow, which tells tags apart where the translation did
        not, if that has the bits of `wc`; False if it hasn't."""
        if not facet.subfacets:
            return False
        subfacet = facet.subfacets[0]
        if subfacet.own_key:  # what the datapath sees isn't what the facet is about
            return False
        mask = datapath_mask(facet, subfacet.key())
        if not mask.covers(wc):
            return False
        return facet.group.table.move(facet, mask)

    def _add(self, subfacet: Subfacet, op: Op) -> None:
        self.ops.append(op)
        self.op_of[subfacet] = op

    def _flush(self) -> None:
        installer = self.installer
        now = self.now
        if self.ops:
            installer.dpif.operate(self.ops)
        for facet, out in self.changed:
            for subfacet in list(facet.subfacets):
                op = self.op_of[subfacet]
                if isinstance(op, FlowPut):
                    installer.modify_done(subfacet, op, out.slow, now)
                elif isinstance(op, FlowGet):
                    if op.flow is not None:
                        subfacet.update_stats(op.flow.stats, now)
                    elif op.error:
                        installer.lost(subfacet, now)
            if facet.subfacets:
                installer.fill(facet, out, now)
            else:
                installer.drop_out(out, now)
        self.ops = []
        self.changed = []
        self.op_of = {}

    def finish(self) -> None:
        """Carry out what is left, and remove the facets that fit nothing any more."""
        self._flush()
        self.installer.remove_facets(self.dead, self.now)
