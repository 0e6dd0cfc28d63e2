"""`show`: the configuration at a glance (ovs-vsctl(8)), or (`--filter`) what of it one is looking for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from vswitch.base.records import dataclass, field
from vswitch.cli.vsctl.errors import VsctlError
from vswitch.cli.vsctl.line import Context
from vswitch.cli.vsctl.replica import Record
from vswitch.cli.vsctl.values import datum_text, empty

SHOWN: Final = {
    "Open_vSwitch": ("", ("manager_options", "bridges", "ovs_version")),
    "Bridge": ("name", ("controller", "fail_mode", "datapath_type", "ports")),
    "Port": ("name", ("tag", "trunks", "interfaces")),
    "Interface": ("name", ("type", "options", "error")),
    "Controller": ("target", ("is_connected",)),
    "Manager": ("target", ("is_connected",)),
}
"""Table -> (the column that names a record, the columns to show)."""
_CONDITION: Final = re.compile(r"(\w+)\(([^()]*)\)")

Filter = Sequence[tuple[str, str]]
"""Pairs (table in small letters, text): wanted is a record of the table with the text in what is shown."""


@dataclass
class _Shown:
    """A record: its own first line, then a column's line or another record each, in order."""

    table: str
    title: str
    below: list[str | _Shown] = field(default_factory=list)

    def lines(self, level: int = 0) -> Iterator[str]:
        indent = "    " * level
        yield indent + self.title
        for one in self.below:
            if isinstance(one, _Shown):
                yield from one.lines(level + 1)
            else:
                yield f"{indent}    {one}"

    def matches(self, wanted: Filter) -> bool:
        """Whether this very record is looked for."""
        text = "\n".join([self.title, *(one for one in self.below if isinstance(one, str))])
        return any(table == self.table.lower() and part in text for table, part in wanted)

    def only(self, wanted: Filter) -> _Shown | None:
        """This record if it is looked for, or with no more records than lead to those that are."""
        if self.matches(wanted):
            return self
        found = [one.only(wanted) for one in self.below if isinstance(one, _Shown)]
        kept = [one for one in found if one is not None]
        return _Shown(self.table, self.title, list(kept)) if kept else None


def show(context: Context) -> None:
    """`[--filter=TABLE(TEXT)[|TABLE(TEXT)]...] show`: with a filter, the records of such a table that have
    the text in what is shown of them, with all below, and the way to them."""
    root: _Shown | None = _of(context, context.edit.root)
    given = context.options.get("filter")
    if given is not None:
        wanted = parse_filter(given)
        root = root and root.only(wanted)
    for line in root.lines() if root is not None else ():
        context.say(line)


def parse_filter(text: str) -> Filter:
    """The conditions of "bridge(br-int)|interface(vxlan)". VsctlError names the one that means nothing."""
    tables = {name.lower() for name in SHOWN}
    wanted = []
    for condition in text.split("|"):
        parsed = _CONDITION.fullmatch(condition.strip())
        if parsed is None:
            raise VsctlError(f'filter "{condition}" is not of the form TABLE(TEXT)')
        table = parsed[1].lower()
        if table not in tables:
            shown = ", ".join(SHOWN)
            raise VsctlError(f'filter "{condition}": no table "{parsed[1]}" is shown, but {shown}')
        wanted.append((table, parsed[2]))
    return wanted


def _of(context: Context, record: Record) -> _Shown:
    name, columns = SHOWN[record.table.name]
    title = f"{record.table.name} {datum_text(record.get(name))}" if name else str(record.uuid)
    made = _Shown(record.table.name, title)
    for column in columns:
        type = record.table.columns[column].type
        if type.key.ref_table_name in SHOWN:
            made.below += [_of(context, child) for child in context.edit.referenced(record, column)]
            continue
        datum = record.get(column)
        if datum != empty(type):
            made.below.append(f"{column}: {datum_text(datum)}")
    return made
