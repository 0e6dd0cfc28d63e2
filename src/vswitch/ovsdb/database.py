"""`Database`: the tables of one schema in memory, changed by whole transactions only.

Rows are values: a change makes a new `Row`. For every row the database keeps how many strong
references point to it and who refers to it weakly, updated by the difference that each
transaction makes, so that garbage collection costs what changed and not what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, final
from uuid import UUID, uuid4

import ovs.db.types
from ovs.db.data import Atom, Datum
from ovs.db.schema import ColumnSchema, DbSchema, TableSchema

from vswitch.base.records import dataclass
from vswitch.ovsdb.errors import OvsdbError, library_errors, syntax_error

Json: TypeAlias = Any
Change: TypeAlias = "tuple[Row | None, Row | None]"
Changes: TypeAlias = dict[str, dict[UUID, Change]]
"""Table -> row -> (before, after); None where the row was not there, or is no more."""


@final
class Row:
    """A row: every column of its table has a value. Nobody changes it."""

    def __init__(self, uuid: UUID, columns: dict[str, Datum], version: UUID | None = None) -> None:
        self.uuid: UUID = uuid
        self.columns: dict[str, Datum] = columns
        self._version = version

    @property
    def version(self) -> UUID:
        """Another one after every transaction that changed the row; made when it is asked for."""
        version = self._version
        if version is None:
            version = self._version = uuid4()
        return version

    def with_columns(self, columns: dict[str, Datum]) -> Row:
        """The same row with some columns changed."""
        return Row(self.uuid, {**self.columns, **columns})


@dataclass(frozen=True)
class Referring:
    """A column of a table whose keys, or values, refer to rows of the table `target`."""

    name: str
    is_value: bool
    target: str


def referring(table: TableSchema, weak: bool) -> tuple[Referring, ...]:
    """The columns of a table that refer strongly, or weakly."""
    found = []
    for name, column in table.columns.items():
        for base, is_value in ((column.type.key, False), (column.type.value, True)):
            if base is not None and (base.is_weak_ref() if weak else base.is_strong_ref()):
                found.append(Referring(name, is_value, base.ref_table_name))
    return tuple(found)


def default_datum(type: ovs.db.types.Type) -> Datum:
    """The value of a column that nothing was said of: empty where that is allowed, else a zero.

    (`Datum.default` of the library nests an atom in an atom.)
    """
    if type.n_min == 0:
        return Datum(type, {})
    key = Atom(type.key.type, type.key.type.default)
    value = None if type.value is None else Atom(type.value.type, type.value.type.default)
    return Datum(type, {key: value})


def default_columns(table: TableSchema) -> dict[str, Datum]:
    """The value of each column in a row where nothing was said of it."""
    return {name: default_datum(column.type) for name, column in table.columns.items()}


def differ(one: Datum, other: Datum) -> bool:
    """Whether two values of a column differ. Most of a row is the very value that it was before."""
    return one is not other and one.values != other.values


def sound(value: Datum) -> bool:
    """Whether `value` is one that its type allows."""
    try:
        with library_errors():
            value.check_constraints()
    except OvsdbError:
        return False
    return True


class Database:
    """One database. `commit` is called by `Transaction` alone; `listeners` see every commit."""

    def __init__(self, schema: Json) -> None:
        try:
            with library_errors():
                self.schema: DbSchema = DbSchema.from_json(schema)
        except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
            # Of some wrong schemas the library has no error of its own.
            raise syntax_error(f"this is no schema ({error})", schema) from error
        self.schema_json: Json = schema
        """As it was given: it may say more than the library keeps (a checksum)."""
        self.name: str = self.schema.name
        self.tables: dict[str, dict[UUID, Row]] = {name: {} for name in self.schema.tables}
        self.defaults: dict[str, dict[str, Datum]] = {
            name: default_columns(table) for name, table in self.schema.tables.items()
        }
        """The columns of a row that nothing was said of. Rows share these values, which nobody changes."""
        self.unsound: dict[str, list[str]] = {
            name: [column for column, value in row.items() if not sound(value)]
            for name, row in self.defaults.items()
        }
        """The columns whose default is none of the values that they may have."""
        self.strong: dict[UUID, int] = {}
        """Row -> how many strong references point to it (absent: none)."""
        self.weak: dict[UUID, dict[tuple[str, UUID], int]] = {}
        """Row -> (table, row) of each weak referrer -> how often."""
        self.indexes: dict[tuple[str, int], dict[tuple[Any, ...], UUID]] = {
            (name, n): {} for name, table in self.schema.tables.items() for n in range(len(table.indexes))
        }
        tables = self.schema.tables
        self.strong_columns = {name: referring(table, weak=False) for name, table in tables.items()}
        self.weak_columns = {name: referring(table, weak=True) for name, table in tables.items()}
        self.writer: Callable[[Changes, list[str], bool], None] | None = None
        """Puts a checked transaction (changes, comments, durable) on disk before it is applied."""
        self.read_only = False
        """Whether transactions may only read: a database that the server itself writes."""
        self.listeners: list[Callable[[Changes], None]] = []

    def n_rows(self) -> int:
        """Rows in all tables."""
        return sum(len(rows) for rows in self.tables.values())

    def references(self, table: str, row: Row, weak: bool) -> Iterator[tuple[str, UUID]]:
        """(table, row) of each strong, or weak, reference in `row` of `table`, one for each time it occurs.

        A row's strong reference to itself does not count: it does not keep the row alive.
        """
        for column in (self.weak_columns if weak else self.strong_columns)[table]:
            values = row.columns[column.name].values
            for atom in values.values() if column.is_value else values:
                if weak or atom.value != row.uuid:
                    yield column.target, atom.value

    def apply(self, changes: Changes) -> None:
        """Carry out changes that were checked, and tell the listeners."""
        for name, rows in changes.items():
            for row_uuid, (before, after) in rows.items():
                self._count(name, before, -1)
                self._count(name, after, 1)
                if after is None:
                    self.tables[name].pop(row_uuid, None)
                else:
                    self.tables[name][row_uuid] = after
        for name, rows in changes.items():
            self._index(name, rows)
        for listener in list(self.listeners):
            listener(changes)

    def _count(self, table: str, row: Row | None, step: int) -> None:
        if row is None:
            return
        for _, target in self.references(table, row, weak=False):
            count = self.strong.get(target, 0) + step
            if count:
                self.strong[target] = count
            else:
                self.strong.pop(target, None)
        referrer = (table, row.uuid)
        for _, target in self.references(table, row, weak=True):
            referrers = self.weak.setdefault(target, {})
            count = referrers.get(referrer, 0) + step
            if count:
                referrers[referrer] = count
            else:
                referrers.pop(referrer, None)
                if not referrers:
                    del self.weak[target]

    def _index(self, name: str, rows: dict[UUID, Change]) -> None:
        for n, columns in enumerate(self.schema.tables[name].indexes):
            index = self.indexes[name, n]
            for row_uuid, (before, _) in rows.items():
                if before is not None:
                    key = index_key(columns, before)
                    if index.get(key) == row_uuid:
                        del index[key]
            for row_uuid, (_, after) in rows.items():
                if after is not None:
                    index[index_key(columns, after)] = row_uuid


def index_key(columns: Sequence[ColumnSchema], row: Row) -> tuple[Any, ...]:
    """The values of an index's columns in `row`, to be a dict's key."""
    return tuple(frozenset(row.columns[c.name].values.items()) for c in columns)
