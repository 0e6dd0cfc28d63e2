"""What a benchmark returns, and how it is printed: ours, the peer's, and the ratio."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One measured quantity.

    `ours` and `peer` are in `unit`; `peer` is None where there is nothing to compare with.
    `goal` is the ratio that the design asks for, with `better` saying which way.
    """

    name: str
    unit: str
    ours: float
    peer: float | None = None
    better: str = "higher"
    goal: str = ""
    note: str = ""

    def ratio(self) -> float | None:
        """How many times better than the peer we are; above 1 is better than the peer."""
        if self.peer is None or not self.peer or not self.ours:
            return None
        return self.ours / self.peer if self.better == "higher" else self.peer / self.ours


def number(value: float | None) -> str:
    """A number with three significant digits or thousands separators."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def show(rows: Iterable[Row], as_json: bool = False) -> None:
    """Print the rows as a table, or as JSON lines."""
    rows = list(rows)
    if as_json:
        for row in rows:
            print(json.dumps({**asdict(row), "ratio": row.ratio()}))
        return
    table = Table(title="ours beside the peer, one run (ratio above 1: ours is better)")
    for column in ("what", "unit", "ours", "peer", "ratio", "goal", "note"):
        table.add_column(column, justify="right" if column in ("ours", "peer", "ratio") else "left")
    for row in rows:
        ratio = row.ratio()
        table.add_row(row.name, row.unit, number(row.ours), number(row.peer),
                      "-" if ratio is None else f"{ratio:.2f}", row.goal, row.note)
    Console(width=140).print(table)
