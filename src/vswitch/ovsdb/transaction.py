"""`Transaction`: changes on top of a database that happen all or not at all.

Operations (`operations.py`) read and write through it. `commit` then does what RFC 7047 section
3.2 and 4.1.3 promise, in Open vSwitch's order: referential integrity, garbage collection,
`maxRows`, weak references, unique indexes.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from ovs.db.data import Datum

from vswitch.ovsdb.condition import Condition
from vswitch.ovsdb.database import Changes, Database, Row, index_key
from vswitch.ovsdb.errors import OvsdbError


class Transaction:
    """One transaction in the making. Nothing reaches the database before `commit`."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.new: dict[str, dict[UUID, Row | None]] = {}
        """Table -> row -> its value in this transaction, None where it is deleted."""
        self.comments: list[str] = []
        self.durable = False

    # What operations use.

    def get(self, table: str, row: UUID) -> Row | None:
        """The row as this transaction sees it."""
        changed = self.new.get(table)
        if changed is not None and row in changed:
            return changed[row]
        return self.db.tables[table].get(row)

    def rows(self, table: str, condition: Condition) -> Iterator[Row]:
        """The rows of `table` that meet `condition`, as this transaction sees them."""
        if condition.uuid is not None:
            one = self.get(table, condition.uuid)
            if one is not None and condition.holds(one):
                yield one
            return
        changed = self.new.get(table, {})
        for row_uuid, row in list(self.db.tables[table].items()):
            if row_uuid not in changed and condition.holds(row):
                yield row
        for made in list(changed.values()):
            if made is not None and condition.holds(made):
                yield made

    def put(self, table: str, row: Row) -> None:
        """Insert or change a row."""
        self.new.setdefault(table, {})[row.uuid] = row

    def delete(self, table: str, row: UUID) -> None:
        """Delete a row."""
        self.new.setdefault(table, {})[row] = None

    # Commit.

    def commit(self) -> Changes:
        """Check, collect, apply; returns what changed. OvsdbError leaves the database as it was."""
        self._collect_garbage(self._strong_counts())
        self._check_max_rows()
        self._drop_weak_references()
        changes = self._changes()
        self._check_indexes(changes)
        if self.db.writer is not None and (changes or self.durable):
            try:
                self.db.writer(changes, self.comments, self.durable)
            except OSError as error:
                raise OvsdbError("I/O error", str(error)) from error
        if changes:
            self.db.apply(changes)
        return changes

    def _before(self, table: str, row: UUID) -> Row | None:
        return self.db.tables[table].get(row)

    def _changes(self) -> Changes:
        """The rows that really differ from before."""
        changes: Changes = {}
        for table, rows in self.new.items():
            for row_uuid, after in rows.items():
                before = self._before(table, row_uuid)
                if before is None and after is None:
                    continue
                if before is not None and after is not None and before.columns == after.columns:
                    continue
                if after is not None:
                    after = Row(row_uuid, after.columns)
                changes.setdefault(table, {})[row_uuid] = (before, after)
        return changes

    def _strong_counts(self) -> dict[UUID, int]:
        """Row -> by how much this transaction changes its number of strong references."""
        delta: dict[UUID, int] = {}
        targets: dict[UUID, str] = {}
        for table, rows in self.new.items():
            for row_uuid, after in rows.items():
                for row, step in ((self._before(table, row_uuid), -1), (after, 1)):
                    if row is None:
                        continue
                    for target_table, target in self.db.references(table, row, weak=False):
                        delta[target] = delta.get(target, 0) + step
                        if step > 0:
                            targets[target] = target_table
        for target, target_table in targets.items():
            if self.get(target_table, target) is None:
                raise OvsdbError(
                    "referential integrity violation",
                    f"table {target_table}: there is no row {target}, to which a row refers",
                )
        for table, rows in self.new.items():
            for row_uuid, after in rows.items():
                count = self.db.strong.get(row_uuid, 0) + delta.get(row_uuid, 0)
                if after is None and count > 0 and self._before(table, row_uuid) is not None:
                    raise OvsdbError(
                        "referential integrity violation",
                        f"cannot delete {table} row {row_uuid} because of {count} remaining reference(s)",
                    )
        return delta

    def _collect_garbage(self, delta: dict[UUID, int]) -> None:
        """Delete rows of tables that are no roots and to which nothing refers, and what that frees."""
        home: dict[UUID, str] = {}
        suspects: list[UUID] = []
        for table, rows in self.new.items():
            if not self.db.schema.tables[table].is_root:
                for row_uuid, after in rows.items():
                    if after is not None:
                        home[row_uuid] = table
                        suspects.append(row_uuid)
        for target, step in delta.items():
            if step < 0 and target not in home:
                found = self._home_of(target)
                if found is not None and not self.db.schema.tables[found].is_root:
                    home[target] = found
                    suspects.append(target)
        while suspects:
            row_uuid = suspects.pop()
            table = home[row_uuid]
            row = self.get(table, row_uuid)
            if row is None or self.db.strong.get(row_uuid, 0) + delta.get(row_uuid, 0) > 0:
                continue
            self.delete(table, row_uuid)
            for target_table, target in self.db.references(table, row, weak=False):
                delta[target] = delta.get(target, 0) - 1
                if not self.db.schema.tables[target_table].is_root:
                    home[target] = target_table
                    suspects.append(target)

    def _home_of(self, row: UUID) -> str | None:
        for table, rows in self.db.tables.items():
            if row in rows:
                return table
        return None

    def _check_max_rows(self) -> None:
        for table, rows in self.new.items():
            limit = self.db.schema.tables[table].max_rows
            have = self.db.tables[table]
            n = len(have) + sum((after is not None) - (row in have) for row, after in rows.items())
            if n > limit and n > len(have):
                raise OvsdbError(
                    "constraint violation",
                    f"transaction makes table {table} {n} rows, but at most {limit} are allowed",
                )

    def _drop_weak_references(self) -> None:
        """Take references to rows that are not there out of weakly referring columns."""
        suspects: set[tuple[str, UUID]] = set()
        for table, rows in self.new.items():
            for row_uuid, after in rows.items():
                if after is None:
                    suspects.update(self.db.weak.get(row_uuid, ()))
                else:
                    suspects.add((table, row_uuid))
        for table, row_uuid in suspects:
            row = self.get(table, row_uuid)
            if row is None:
                continue
            changed = self._without_dangling(table, row)
            if changed:
                self.put(table, row.with_columns(changed))

    def _without_dangling(self, table: str, row: Row) -> dict[str, Datum]:
        changed: dict[str, Datum] = {}
        for column in self.db.weak_columns[table]:
            name, datum = column.name, changed.get(column.name, row.columns[column.name])
            values = {
                key: value for key, value in datum.values.items()
                if self.get(column.target, (value if column.is_value else key).value) is not None
            }  # fmt: skip
            if len(values) == len(datum.values):
                continue
            if len(values) < datum.type.n_min:
                raise OvsdbError(
                    "constraint violation",
                    f'weak reference column "{name}" in "{table}" row {row.uuid} would keep {len(values)} '
                    f"values, but it needs {datum.type.n_min}",
                )
            changed[name] = Datum(datum.type, values)
        return changed

    def _check_indexes(self, changes: Changes) -> None:
        for table, rows in changes.items():
            for n, columns in enumerate(self.db.schema.tables[table].indexes):
                index = self.db.indexes[table, n]
                mine: dict[object, UUID] = {}
                for row_uuid, (_, after) in rows.items():
                    if after is None:
                        continue
                    key = index_key(columns, after)
                    other = mine.get(key)
                    if other is None:
                        other = index.get(key)
                        if other is not None and (other == row_uuid or other in rows):
                            other = None
                    if other is not None:
                        names = ", ".join(f'"{c.name}"' for c in columns)
                        values = ", ".join(after.columns[c.name].to_string() for c in columns)
                        raise OvsdbError(
                            "constraint violation",
                            f'transaction makes rows {other} and {row_uuid} of table "{table}" have the '
                            f"identical value ({values}) for index on {names}",
                        )
                    mine[key] = row_uuid
