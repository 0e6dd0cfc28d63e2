"""`Table`: one flow table, a classifier with OpenFlow's bookkeeping."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast, final

from vswitch.classifier.classifier import Classifier
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.ofproto.rule import Rule


@final
class Table:
    """The flows of one table. A `hidden` table takes no part in wildcarded table requests
    and shows in no listing; a `readonly` one refuses flow mods."""

    def __init__(self, table_id: int, name: str = "") -> None:
        self.table_id: int = table_id
        self.name: str = name
        self.cls: Classifier = Classifier()
        self.hidden: bool = False
        self.readonly: bool = False
        self.max_flows: int | None = None
        """The most flows that the table takes; None: as many as memory holds."""
        self.evicts: bool = False
        """Whether a full table makes room by removing its least important flow."""
        self.n_lookup: int = 0
        self.n_matched: int = 0

    def lookup(self, flow: Flow, wc: Flow | None = None) -> Rule | None:
        """The rule that a packet matches; what decided goes into `wc`."""
        return cast("Rule | None", self.cls.lookup(flow, wc))

    def find_exactly(self, match: Match, priority: int) -> Rule | None:
        """The rule with just this match and priority."""
        return cast("Rule | None", self.cls.find_exactly(match, priority))

    def find_loosely(self, match: Match) -> list[Rule]:
        """The rules whose match is `match` or more specific."""
        return cast("list[Rule]", self.cls.find_loosely(match))

    def rules(self) -> list[Rule]:
        """All rules."""
        return cast("list[Rule]", self.cls.rules())

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules())

    def __len__(self) -> int:
        return len(self.cls)

    def __repr__(self) -> str:
        return f"Table({self.table_id}, {len(self)} rules)"
