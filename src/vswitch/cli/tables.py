"""Tables as the database tools print them (ovs-vsctl(8), "Table Formatting Options").

A cell is given in three forms, of which the data format picks one: as it would be typed, bare
words, and JSON.
"""

from __future__ import annotations

import csv
import html
import io
import json
from typing import Any, Final

from vswitch.base.records import dataclass, field

FORMATS: Final = ("table", "list", "html", "csv", "json")
DATA: Final = ("string", "bare", "json")


def compact(value: Any) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def pretty(value: Any, level: int = 0) -> str:
    """JSON with a line for each element, as the database tools lay it out."""
    indent = "\n" + "  " * (level + 1)
    if isinstance(value, dict) and value:
        pairs = (f"{indent}{compact(k)}: {pretty(v, level + 1)}" for k, v in sorted(value.items()))
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list) and value:
        return "[" + ",".join(indent + pretty(v, level + 1) for v in value) + "]"
    return compact(value)


@dataclass(frozen=True)
class Cell:
    """A value as text that could be typed, as bare words, and as JSON."""

    string: str
    bare: str
    json: Any

    def shown(self, data: str) -> str:
        """The form that `--data` asks for."""
        if data == "json":
            return compact(self.json)
        return self.bare if data == "bare" else self.string


@dataclass
class Style:
    """How tables are printed."""

    format: str = "list"
    data: str = "string"
    headings: bool = True
    pretty: bool = False
    max_width: int = 0
    """Characters of a cell in "table" format; 0: all."""


@dataclass
class Table:
    """Headings and rows."""

    headings: list[str]
    rows: list[list[Cell]] = field(default_factory=list)

    def text(self, style: Style) -> str:
        """The table in `style`."""
        if style.format == "json":
            value = {"data": [[c.json for c in row] for row in self.rows], "headings": self.headings}
            return (pretty(value) if style.pretty else compact(value)) + "\n"
        cells = [[cell.shown(style.data) for cell in row] for row in self.rows]
        if style.format == "csv":
            return self._csv(cells, style)
        if style.format == "html":
            return self._html(cells, style)
        if style.format == "list":
            return self._list(cells, style)
        return self._table(cells, style)

    def _csv(self, cells: list[list[str]], style: Style) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        if style.headings:
            writer.writerow(self.headings)
        writer.writerows(cells)
        return out.getvalue()

    def _html(self, cells: list[list[str]], style: Style) -> str:
        lines = ["<table border=1>"]
        heads = [(self.headings, "th")] if style.headings else []
        for row, tag in [*heads, *((row, "td") for row in cells)]:
            lines.append("  <tr>")
            lines += [f"    <{tag}>{html.escape(cell, quote=True)}</{tag}>" for cell in row]
            lines.append("  </tr>")
        return "\n".join([*lines, "</table>"]) + "\n"

    def _list(self, cells: list[list[str]], style: Style) -> str:
        blocks = []
        for row in cells:
            pairs = zip(self.headings, row, strict=True)
            blocks.append("".join(f"{h:<20}: {c}\n" if style.headings else f"{c}\n" for h, c in pairs))
        return "\n".join(blocks)

    def _table(self, cells: list[list[str]], style: Style) -> str:
        widths = [max(len(row[n]) for row in [self.headings, *cells]) for n in range(len(self.headings))]
        if style.max_width:
            # A heading is never cut.
            widths = [
                max(len(h), min(w, style.max_width)) for h, w in zip(self.headings, widths, strict=True)
            ]
            cells = [[cell[:w] for cell, w in zip(row, widths, strict=True)] for row in cells]
        if not style.headings:
            widths = [max((len(row[n]) for row in cells), default=0) for n in range(len(self.headings))]
        lines = []
        if style.headings:
            lines += [self.headings, ["-" * w for w in widths]]
        lines += cells
        return "".join(
            " ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() + "\n"
            for row in lines
        )
