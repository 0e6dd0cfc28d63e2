"""`Table`: one flow table, a classifier with OpenFlow's bookkeeping."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast, final

from vswitch.classifier.classifier import Classifier
from vswitch.flow.field import Field
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.ofproto.eviction import EvictionGroups
from vswitch.ofproto.rule import Rule

EVICTION_CLIENT: Final = 1
"""The database wants eviction (`Flow_Table:overflow_policy`)."""
EVICTION_OPENFLOW: Final = 2
"""A controller wants it (OpenFlow 1.4's OFPTC_EVICTION)."""

NAMED_BY_CONTROLLER: Final = 1
"""A controller named the table."""
NAMED_BY_CLIENT: Final = 2
"""The database names it, and no controller may give it another name."""

MISS_DEFAULT: Final = -1
"""What happens to a packet that matches no flow depends on the controllers' versions."""
UNLIMITED: Final = 0xFFFFFFFF


@final
class Table:
    """The flows of one table. A `hidden` table takes no part in wildcarded table requests
    and shows in no listing; a `readonly` one refuses flow mods."""

    def __init__(self, table_id: int, name: str = "") -> None:
        self.table_id: int = table_id
        self.name: str = name
        self._named_by: int = 0
        self.cls: Classifier = Classifier()
        self.hidden: bool = False
        self.readonly: bool = False
        self.max_flows: int | None = None
        """The most flows that the table takes; None: as many as memory holds."""
        self.eviction: int = 0
        """EVICTION_* bits: who wants that a full table makes room for a new flow."""
        self.eviction_fields: tuple[Field, ...] = ()
        self.evictor: EvictionGroups | None = None
        """There while `eviction` is not 0."""
        self.miss_config: int = MISS_DEFAULT
        """OFPTC_TABLE_MISS_*, or MISS_DEFAULT."""
        self.vacancy_down: int = 0
        """Vacancy events: thresholds in %."""
        self.vacancy_up: int = 0
        self.vacancy_event: int = 0
        """OFPTR_VACANCY_DOWN or OFPTR_VACANCY_UP, whichever can happen next; 0: events are off."""
        self.n_hidden: int = 0
        """How many of the rules are the switch's own, which statistics leave out."""
        self.n_lookup: int = 0
        self.n_matched: int = 0

    def may_set_name(self, name: str, by: int) -> bool:
        """Whether `by` (NAMED_BY_*) may give the table this name."""
        return by >= self._named_by or name == self.name

    def set_name(self, name: str, by: int) -> None:
        """Name the table, or ("") take its name away, unless somebody who is more (NAMED_BY_*) named it."""
        if by >= self._named_by:
            self.name = name
            self._named_by = by if name else 0

    def configure_eviction(self, eviction: int, fields: tuple[Field, ...]) -> None:
        """Evict for whoever of EVICTION_* wants it, by groups of flows that agree in `fields`."""
        self.eviction = eviction
        if not eviction:
            self.evictor = None
        elif self.evictor is None or fields != self.eviction_fields:
            self.evictor = EvictionGroups(fields, [r for r in self.rules() if not r.hidden])
        self.eviction_fields = fields

    def vacancy(self) -> int:
        """How much of the table is free, in %."""
        limit = UNLIMITED if self.max_flows is None else self.max_flows
        n = len(self.cls)
        return (limit - n) * 100 // limit if n < limit else 0

    def lookup(self, flow: Flow, wc: Flow | None = None) -> Rule | None:
        """The rule that a packet matches; what decided goes into `wc`."""
        return cast("Rule | None", self.cls.lookup(flow, wc))

    def find_exactly(self, match: Match, priority: int) -> Rule | None:
        """The rule with just this match and priority."""
        return cast("Rule | None", self.cls.find_exactly(match, priority))

    def find_loosely(self, match: Match) -> list[list[Rule | None]]:
        """The rules whose match is `match` or more specific, as the classifier has them."""
        return cast("list[list[Rule | None]]", self.cls.find_loosely(match))

    def rules(self) -> list[Rule]:
        """All rules."""
        return cast("list[Rule]", self.cls.rules())

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules())

    def __len__(self) -> int:
        return len(self.cls)

    @property
    def n_active(self) -> int:
        """How many rules controllers see."""
        return len(self.cls) - self.n_hidden

    def __repr__(self) -> str:
        return f"Table({self.table_id}, {len(self)} rules)"
