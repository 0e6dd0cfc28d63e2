"""The database's content on this side, and `Edit`, the transaction that a command line makes.

A `Replica` follows the server through one monitor. Columns stay JSON until somebody looks at
them: most are never looked at. An `Edit` keeps what was changed over it, so that later commands
of the line see what earlier ones did; `operations` is all of it as one transaction, which goes
through only if every column that it changes still has the value that the commands saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, final
from uuid import UUID, uuid4

from ovs.db.data import Datum
from ovs.db.schema import DbSchema, TableSchema

from vswitch.cli.vsctl.errors import VsctlError
from vswitch.ovsdb.client import Client
from vswitch.ovsdb.database import default_datum
from vswitch.ovsdb.errors import Json, library_errors

DATABASE: Final = "Open_vSwitch"
ROOT: Final = "Open_vSwitch"


@final
class Record:
    """A row: `told` is what the server said of it (None: made here), `changes` what commands did."""

    __slots__ = ("_seen", "changes", "chosen", "deleted", "table", "told", "uuid")

    def __init__(self, table: TableSchema, uuid: UUID, told: dict[str, Json] | None) -> None:
        self.table = table
        self.uuid = uuid
        self.told = told
        self.changes: dict[str, Datum] = {}
        self.chosen = False
        """Whether the user chose the UUID of this new row."""
        self.deleted = False
        self._seen: dict[str, Datum] = {}

    def original(self, column: str) -> Datum:
        """The column's value in the database."""
        datum = self._seen.get(column)
        if datum is None:
            type = self.table.columns[column].type
            if self.told is None or column not in self.told:
                datum = default_datum(type)
            else:
                with library_errors():
                    datum = Datum.from_json(type, self.told[column])
            self._seen[column] = datum
        return datum

    def get(self, column: str) -> Datum:
        """The column's value as it will be."""
        datum = self.changes.get(column)
        return self.original(column) if datum is None else datum

    def text(self, column: str) -> str:
        """A string column's value, "" if it is empty."""
        values = self.get(column).values
        return str(next(iter(values)).value) if values else ""

    def number(self, column: str) -> int | None:
        """An integer column's value, None if it is empty."""
        values = self.get(column).values
        return int(next(iter(values)).value) if values else None

    def flag(self, column: str) -> bool:
        """A boolean column's value."""
        values = self.get(column).values
        return bool(values) and bool(next(iter(values)).value)

    def uuids(self, column: str) -> list[UUID]:
        """The rows that a column of references points to, in order."""
        return sorted(atom.value for atom in self.get(column).values if atom.value.int)

    def smap(self, column: str) -> dict[str, str]:
        """A map of strings."""
        return {k.value: v.value for k, v in self.get(column).values.items()}

    def set(self, column: str, value: Datum) -> None:
        """Change a column."""
        self.changes[column] = value

    def put(self, column: str, value: object) -> None:
        """Change a column to a Python value: a scalar, a list or a dict, a reference as its UUID."""
        type = self.table.columns[column].type
        with library_errors():
            self.set(column, Datum.from_python(type, value, lambda v: v))


@final
class Replica:
    """What the server has, kept up to date by `update`."""

    def __init__(
        self, client: Client, wanted: Callable[[DbSchema], Mapping[str, Iterable[str]]] | None = None
    ):
        """Fetch schema and content; of the tables and columns that `wanted` names, if it is given.
        OvsdbError, OSError."""
        with library_errors():
            self.schema: DbSchema = DbSchema.from_json(client.call("get_schema", DATABASE))
        self.rows: dict[str, dict[UUID, Record]] = {name: {} for name in self.schema.tables}
        chosen = self.schema.tables if wanted is None else wanted(self.schema)
        requests = {
            name: {"columns": sorted(table.columns if wanted is None else chosen[name])}
            for name, table in self.schema.tables.items()
            if name in chosen
        }
        self.update(client.call("monitor", DATABASE, "vsctl", requests))

    def update(self, updates: Json) -> None:
        """Take the <table-updates> of a monitor (RFC 7047 section 4.1.6)."""
        for name, rows in updates.items():
            table, known = self.schema.tables[name], self.rows[name]
            for text, change in rows.items():
                uuid = UUID(text)
                new = change.get("new")
                if new is None:
                    known.pop(uuid, None)
                else:
                    known[uuid] = Record(table, uuid, new)

    def follow(self, notifications: list[Json]) -> None:
        """Take what a client's `notifications` brought."""
        for message in notifications:
            if message["method"] == "update":
                self.update(message["params"][1])


@final
class Edit:
    """One try at a command line's transaction."""

    def __init__(self, replica: Replica) -> None:
        self.schema = replica.schema
        self._replica = replica
        self._rows: dict[tuple[str, UUID], Record] = {}
        self.root = self._only_root()

    def _only_root(self) -> Record:
        for record in self.rows(ROOT):
            return record
        return self.insert(ROOT)

    def rows(self, table: str) -> Iterator[Record]:
        """The table's rows, those made here last."""
        for uuid in list(self._replica.rows[table]):
            record = self.find(table, uuid)
            if record is not None:
                yield record
        for (name, _), record in list(self._rows.items()):
            if name == table and record.told is None and not record.deleted:
                yield record

    def find(self, table: str, uuid: UUID) -> Record | None:
        """A row by its UUID."""
        mine = self._rows.get((table, uuid))
        if mine is None:
            theirs = self._replica.rows[table].get(uuid)
            if theirs is None:
                return None
            mine = self._rows[table, uuid] = Record(theirs.table, uuid, theirs.told)
        return None if mine.deleted else mine

    def referenced(self, record: Record, column: str) -> list[Record]:
        """The rows that a column of references points to."""
        type = record.table.columns[column].type
        base = type.key if type.key.ref_table_name else type.value
        values = record.get(column).values
        atoms = sorted(values) if base is type.key else [values[k] for k in sorted(values)]
        found = (self.find(base.ref_table_name, atom.value) for atom in atoms)
        return [r for r in found if r is not None]

    def insert(self, table: str, uuid: UUID | None = None) -> Record:
        """A new row; `uuid` if the user chose one."""
        record = Record(self.schema.tables[table], uuid or uuid4(), None)
        record.chosen = uuid is not None
        self._rows[table, record.uuid] = record
        return record

    def delete(self, record: Record) -> None:
        """Delete a row."""
        record.deleted = True
        if record.told is None:
            del self._rows[record.table.name, record.uuid]

    def link(self, record: Record, column: str, target: Record) -> None:
        """Add a reference to `target`."""
        record.put(column, [*record.uuids(column), target.uuid])

    def unlink(self, record: Record, column: str, target: Record) -> None:
        """Remove the reference to `target`."""
        record.put(column, [u for u in record.uuids(column) if u != target.uuid])

    # As a transaction.

    def operations(self) -> list[Json]:
        """The changes as RFC 7047 operations, behind the "wait"s that they rest on; [] if none."""
        new = {
            u: f"row{str(u).replace('-', '_')}"
            for (_, u), r in self._rows.items()
            if r.told is None and not r.chosen
        }
        waits: list[Json] = []
        made: list[Json] = []
        for (table, uuid), record in self._rows.items():
            where = [["_uuid", "==", ["uuid", str(uuid)]]]
            if record.deleted:
                # Other tables' rows go when nothing refers to them any more.
                if record.table.is_root:
                    made.append({"op": "delete", "table": table, "where": where})
                continue
            if record.told is None:
                columns = {n: d for n, d in record.changes.items() if d != default_datum(d.type)}
                insert = {"op": "insert", "table": table, "row": _row(columns, new)}
                insert |= {"uuid": str(uuid)} if record.chosen else {"uuid-name": new[uuid]}
                made.append(insert)
                continue
            columns = {n: d for n, d in record.changes.items() if d != record.original(n)}
            if columns:
                before = {name: record.original(name) for name in columns}
                waits.append({
                    "op": "wait", "timeout": 0, "table": table, "where": where, "columns": sorted(columns),
                    "until": "==", "rows": [_row(before, {})],
                })  # fmt: skip
                made.append({"op": "update", "table": table, "where": where, "row": _row(columns, new)})
        return [*waits, *made] if made else []


def _row(columns: dict[str, Datum], new: dict[UUID, str]) -> dict[str, Json]:
    return {name: _named(datum.to_json(), new) for name, datum in columns.items()}


def _named(json: Json, new: dict[UUID, str]) -> Json:
    """`json` with the UUIDs of new rows given by name."""
    if not isinstance(json, list):
        return json
    if len(json) == 2 and json[0] == "uuid" and isinstance(json[1], str):
        name = new.get(UUID(json[1]))
        return json if name is None else ["named-uuid", name]
    return [_named(part, new) for part in json]


def table_named(schema: DbSchema, text: str) -> TableSchema:
    """The table whose name is, or alone begins with, `text`; case and - or _ don't matter."""
    found = matching(schema.tables, text)
    if not found:
        raise VsctlError(f'unknown table "{text}"')
    if len(found) > 1:
        raise VsctlError(f'"{text}" matches multiple table names: {", ".join(found)}')
    table: TableSchema = schema.tables[found[0]]
    return table


def column_named(table: TableSchema, text: str, uuid: bool = False) -> str:
    """The column whose name is, or alone begins with, `text`; `uuid`: "_uuid" counts too."""
    names = [*table.columns, "_uuid"] if uuid else [*table.columns]
    found = matching(names, text)
    if not found:
        raise VsctlError(f'{table.name} does not contain a column whose name matches "{text}"')
    if len(found) > 1:
        raise VsctlError(
            f'{table.name} contains more than one column whose name matches "{text}": {", ".join(found)}'
        )
    return found[0]


def matching(names: object, text: str) -> list[str]:
    """The names that `text` may stand for: one that it is, else all that begin with it."""
    assert hasattr(names, "__iter__")
    wanted = text.lower().replace("-", "_")
    by_name = {str(name).lower().replace("-", "_"): str(name) for name in names}
    if wanted in by_name:
        return [by_name[wanted]]
    return sorted(name for plain, name in by_name.items() if wanted and plain.startswith(wanted))
