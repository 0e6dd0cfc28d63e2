"""Which facets a change to one rule can affect: the tags of a flow table.

In a table whose rules all share one mask (beside rules that match everything), a lookup's
result depends on the rule with the packet's value under that mask, if there is one, and on the
catch-all rules. Each value gets a tag, which goes to every facet that looked up a packet of
that value, whether a rule was there or not: adding, changing or removing a rule then concerns
the facets with its tag. A change to a catch-all rule, or a table with more masks, concerns all.

A lookup often decides before it has looked at all bits of the mask (prefix tries, stages, a
catch-all of higher priority). Its megaflow then covers packets of several values, so it gets
the table's own tag, `partial_tag`, which every change to a rule of the mask touches too.
"""

from __future__ import annotations

from typing import final

from vswitch.base.tags import tag_deterministic
from vswitch.flow.flow import Flow


@final
class MaskUse:
    """How many rules of a table have `mask`."""

    def __init__(self, mask: Flow) -> None:
        self.mask: Flow = mask
        self.n_rules: int = 1


@final
class TableDpif:
    """What is kept of one table. `basis` sets its tags apart from other tables'.

    `catchall_table` is the empty mask if a rule matches everything; `other_table` the mask of
    the other rules. Both are None while tags don't work for the table.
    """

    def __init__(self, basis: int) -> None:
        self.basis: int = basis
        self.partial_tag: int = tag_deterministic(basis)
        self.catchall_table: Flow | None = None
        self.other_table: Flow | None = None
        self._masks: dict[bytes, MaskUse] = {}
        self._recent: MaskUse | None = None
        """The one that was last asked for: most changes come many to a mask."""

    def tag(self, flow: Flow, wc: Flow) -> int:
        """The tag of a lookup of `flow` that looked at the bits `wc`: of the value under the mask
        of `other_table`, or `partial_tag` if `wc` lacks bits of it. 0 while tags don't work."""
        other = self.other_table
        if other is None:
            return 0
        if not wc.covers(other):
            return self.partial_tag
        return tag_deterministic(flow.masked(other).hash() ^ self.basis)

    def add(self, mask: Flow) -> bool:
        """A rule with `mask`, which nobody changes, came. Whether the table's tags mean something else from
        now on."""
        found = self._use(mask)
        if found is not None:
            found.n_rules += 1
            return False
        self._masks[mask.key()] = MaskUse(mask)
        return self._update_taggable()

    def remove(self, mask: Flow, n_rules: int = 1) -> bool:
        """Rules with `mask` went. Whether the table's tags mean something else from now on."""
        found = self._use(mask)
        if found is None:
            raise KeyError("no rule of this mask")
        found.n_rules -= n_rules
        if found.n_rules:
            return False
        del self._masks[mask.key()]
        self._recent = None
        return self._update_taggable()

    def _use(self, mask: Flow) -> MaskUse | None:
        recent = self._recent
        if recent is not None and (recent.mask is mask or recent.mask == mask):
            return recent
        found = self._masks.get(mask.key())
        if found is not None:
            self._recent = found
        return found

    def _update_taggable(self) -> bool:
        catchall: Flow | None = None
        other: Flow | None = None
        if len(self._masks) <= 2:
            for use in self._masks.values():
                mask = use.mask
                if mask.is_zero():
                    catchall = mask
                elif other is None:
                    other = mask
                else:
                    catchall = other = None
                    break
        changed = catchall != self.catchall_table or other != self.other_table
        self.catchall_table = catchall
        self.other_table = other
        return changed
