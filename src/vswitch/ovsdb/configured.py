"""What the server is told by a column of its own databases: `db:DATABASE,TABLE,COLUMN`.

As a remote the column holds targets, or references to rows with a "target" (the Manager table):
then such a row's inactivity_probe and max_backoff count, and its is_connected and status are
written. As a key or certificate it holds a file's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import final
from uuid import UUID

from vswitch.base.records import dataclass
from vswitch.ovsdb.database import Database, Row
from vswitch.ovsdb.operations import execute
from vswitch.ovsdb.server import Server


@dataclass(frozen=True)
class Target:
    """Where to listen or connect; `record`: the row that says so, None if no database does."""

    name: str
    probe_ms: int | None = None
    max_backoff: int | None = None
    record: UUID | None = None


@final
class Configured:
    """A column that names targets."""

    def __init__(self, server: Server, database: str, table: str, column: str) -> None:
        self._server = server
        self._database = database
        self._table = table
        self._column = column
        self._seen: list[Target] | None = None
        self._told: dict[UUID, tuple[bool, dict[str, str]]] = {}

    @property
    def _db(self) -> Database | None:
        return self._server.databases.get(self._database)

    def _values(self) -> Iterator[tuple[Row, object]]:
        db = self._db
        rows = {} if db is None else db.tables.get(self._table, {})
        for row in rows.values():
            for atom in row.columns[self._column].values:
                yield row, atom.value

    def targets(self) -> list[Target]:
        """The targets that the column has now."""
        db = self._db
        found: list[Target] = []
        if db is not None:
            type = db.schema.tables[self._table].columns[self._column].type
            other = type.key.ref_table_name
            for row, value in self._values():
                if other is None:
                    found.append(Target(str(value), record=row.uuid))
                    continue
                assert isinstance(value, UUID)
                manager = db.tables[other].get(value)
                if manager is not None and "target" in manager.columns:
                    found.append(
                        Target(
                            str(manager.columns["target"].as_scalar()),
                            _number(manager, "inactivity_probe"),
                            _number(manager, "max_backoff"),
                            manager.uuid,
                        )
                    )
        self._seen = found
        return found

    def changed(self) -> bool:
        """Whether the targets are others than when they were last asked for."""
        before = self._seen
        return self.targets() != before

    def text(self) -> str:
        """The first string in the column."""
        return next((str(value) for _, value in self._values()), "")

    def report(self, known: Mapping[str, tuple[bool, dict[str, str]]]) -> None:
        """Write to the targets' rows whether they are connected, and their status."""
        db = self._db
        if db is None:
            return
        other = db.schema.tables[self._table].columns[self._column].type.key.ref_table_name
        columns = db.schema.tables[other].columns if other is not None else {}
        if "is_connected" not in columns or "status" not in columns:
            return
        for target in self._seen or []:
            if target.record is None or target.name not in known:
                continue
            connected, status = known[target.name]
            if self._told.get(target.record) == (connected, status):
                continue
            self._told[target.record] = (connected, status)
            row = {"is_connected": connected, "status": ["map", [list(p) for p in sorted(status.items())]]}
            where = [["_uuid", "==", ["uuid", str(target.record)]]]
            execute(db, [{"op": "update", "table": other, "where": where, "row": row}])


def _number(row: Row, column: str) -> int | None:
    datum = row.columns.get(column)
    value = None if datum is None else datum.as_scalar()
    return value if isinstance(value, int) else None


def parse_column(server: Server, name: str) -> Configured:
    """`db:DATABASE,TABLE,COLUMN`. ValueError in ovsdb-server's words."""
    parts = name.removeprefix("db:").split(",")
    if len(parts) != 3 or not all(parts):
        raise ValueError(f'"{name}": invalid syntax')
    database, table, column = parts
    db = server.databases.get(database)
    if db is None:
        raise ValueError(f'"{name}": no database named {database}')
    if table not in db.schema.tables:
        raise ValueError(f'"{name}": no table named {table}')
    if column not in db.schema.tables[table].columns:
        raise ValueError(f'"{name}": table "{table}" has no column "{column}"')
    return Configured(server, database, table, column)
