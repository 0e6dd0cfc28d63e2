"""The operations of a "transact" request (RFC 7047 section 5.2), one function each.

`execute` runs a list of them in one `Transaction`. The result has an element for each operation,
null for those after one that failed, and one more if the commit itself fails.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import ovs.db.parser
import ovs.ovsuuid
from ovs.db.data import Datum
from ovs.db.schema import TableSchema

from vswitch.base.records import dataclass, field
from vswitch.ovsdb.condition import column_value, parse_condition
from vswitch.ovsdb.database import Changes, Database, Row
from vswitch.ovsdb.datum import datum_from_json
from vswitch.ovsdb.errors import Json, OvsdbError, library_errors, member, no_others, syntax_error
from vswitch.ovsdb.mutation import parse_mutation
from vswitch.ovsdb.transaction import Transaction


class NotYet(Exception):
    """A "wait" whose condition does not hold: try the whole transaction again after a commit.

    `timeout` is in ms from the request's arrival, None for ever.
    """

    def __init__(self, timeout: int | None) -> None:
        super().__init__(timeout)
        self.timeout = timeout


class Symbols(dict[str, UUID]):
    """Named UUIDs. True even when empty: the library takes a false one for "no names here"."""

    def __bool__(self) -> bool:
        return True


@dataclass
class Execution:
    """What the operations of one request share.

    `symbols`: the named UUIDs; `inserted`: those that an insert defined. `owns(lock)` tells
    whether the client has a lock. `patient`: whether "wait" may still ask for another try.
    """

    transaction: Transaction
    owns: Callable[[str], bool]
    patient: bool
    symbols: Symbols = field(default_factory=Symbols)
    inserted: set[str] = field(default_factory=set)

    def table(self, op: Json) -> TableSchema:
        """The table that `op` names."""
        name = member(op, "table", str)
        table = self.transaction.db.schema.tables.get(name)
        if table is None:
            raise syntax_error(f"no table named {name}", op)
        return table

    def columns(self, table: TableSchema, row: Json) -> dict[str, Datum]:
        """A <row> object: the columns that it sets."""
        values: dict[str, Datum] = {}
        with library_errors():
            for name, json in row.items():
                column = table.columns.get(name)
                if column is None:
                    raise OvsdbError("unknown column", f"no column {name} in table {table.name}", row)
                values[name] = datum_from_json(column.type, json, self.symbols)
        return values


def insert(run: Execution, op: Json) -> Json:
    """Section 5.2.1, and Open vSwitch's "uuid" member, which chooses the row's UUID."""
    no_others(op, "op", "table", "row", "uuid", "uuid-name")
    table = run.table(op)
    row_json = member(op, "row", dict)
    name = member(op, "uuid-name", str, default=None)
    chosen = member(op, "uuid", str, default=None)
    if name is not None and chosen is not None:
        raise syntax_error('an insert has "uuid" or "uuid-name", not both', op)
    row_uuid = uuid.uuid4()
    if chosen is not None:
        with library_errors():
            row_uuid = ovs.ovsuuid.from_string(chosen)
        if run.transaction.get(table.name, row_uuid) is not None:
            raise OvsdbError("duplicate uuid", f"this UUID is in use: {chosen}", op)
    if name is not None:
        if not ovs.db.parser.is_identifier(name):
            raise syntax_error(f"{name} is not a valid name for a row", op)
        if name in run.inserted:
            raise OvsdbError(
                "duplicate uuid-name", f'this "uuid-name" appeared on an earlier insert: {name}', op
            )
        run.inserted.add(name)
        row_uuid = run.symbols.setdefault(name, row_uuid)
    db = run.transaction.db
    values = {**db.defaults[table.name], **run.columns(table, row_json)}
    with library_errors():
        for column in db.unsound[table.name]:
            values[column].check_constraints()
    run.transaction.put(table.name, Row(row_uuid, values))
    return {"uuid": ["uuid", str(row_uuid)]}


def selected_columns(table: TableSchema, json: Json) -> list[str]:
    """A "columns" member: all of them where it is absent."""
    if json is None:
        return ["_uuid", "_version", *sorted(table.columns)]
    names: list[str] = []
    for name in json:
        if not isinstance(name, str) or (name not in table.columns and name not in ("_uuid", "_version")):
            raise syntax_error(f"{name} is not a column of table {table.name}", json)
        if name in names:
            raise syntax_error(f"column {name} is named twice", json)
        names.append(name)
    return names


def select(run: Execution, op: Json) -> Json:
    """Section 5.2.2."""
    no_others(op, "op", "table", "where", "columns")
    table = run.table(op)
    condition = parse_condition(table, member(op, "where", list), run.symbols)
    names = selected_columns(table, member(op, "columns", list, default=None))
    found: dict[tuple[Any, ...], Json] = {}
    for row in run.transaction.rows(table.name, condition):
        values = [column_value(row, name) for name in names]
        key = tuple(frozenset(v.values.items()) for v in values)
        if key not in found:
            found[key] = {name: value.to_json() for name, value in zip(names, values, strict=True)}
    return {"rows": list(found.values())}


def update(run: Execution, op: Json) -> Json:
    """Section 5.2.3."""
    no_others(op, "op", "table", "where", "row")
    table = run.table(op)
    values = run.columns(table, member(op, "row", dict))
    for name in values:
        if not table.columns[name].mutable:
            raise OvsdbError(
                "constraint violation", f"cannot update immutable column {name} in table {table.name}", op
            )
    condition = parse_condition(table, member(op, "where", list), run.symbols)
    rows = list(run.transaction.rows(table.name, condition))
    for row in rows:
        run.transaction.put(table.name, row.with_columns(values))
    return {"count": len(rows)}


def mutate(run: Execution, op: Json) -> Json:
    """Section 5.2.4."""
    no_others(op, "op", "table", "where", "mutations")
    table = run.table(op)
    mutations = [parse_mutation(table, m, run.symbols) for m in member(op, "mutations", list)]
    condition = parse_condition(table, member(op, "where", list), run.symbols)
    rows = list(run.transaction.rows(table.name, condition))
    for row in rows:
        columns = dict(row.columns)
        for mutation in mutations:
            name = mutation.column.name
            columns[name] = mutation.apply(columns[name])
        run.transaction.put(table.name, Row(row.uuid, columns))
    return {"count": len(rows)}


def delete(run: Execution, op: Json) -> Json:
    """Section 5.2.5."""
    no_others(op, "op", "table", "where")
    table = run.table(op)
    condition = parse_condition(table, member(op, "where", list), run.symbols)
    rows = list(run.transaction.rows(table.name, condition))
    for row in rows:
        run.transaction.delete(table.name, row.uuid)
    return {"count": len(rows)}


def wait(run: Execution, op: Json) -> Json:
    """Section 5.2.6: goes on when the rows are (not) as given, or "timed out"."""
    no_others(op, "op", "timeout", "table", "where", "columns", "until", "rows")
    table = run.table(op)
    timeout = member(op, "timeout", int, float, default=None)
    names = member(op, "columns", list, default=None)
    columns = [n for n in selected_columns(table, names) if names is not None or n[0] != "_"]
    until = member(op, "until", str)
    if until not in ("==", "!="):
        raise syntax_error('"until" is "==" or "!="', op)
    condition = parse_condition(table, member(op, "where", list), run.symbols)
    wanted: set[tuple[Any, ...]] = set()
    for json in member(op, "rows", list):
        if not isinstance(json, dict):
            raise syntax_error('"rows" is an array of objects', op)
        given = run.columns(table, json)
        defaults = run.transaction.db.defaults[table.name]
        wanted.add(tuple(
            frozenset(given.get(n, defaults[n]).values.items()) for n in columns if n in defaults
        ))
    have = {
        tuple(frozenset(column_value(row, n).values.items()) for n in columns)
        for row in run.transaction.rows(table.name, condition)
    }
    if (have == wanted) == (until == "=="):
        return {}
    if run.patient and (timeout is None or timeout > 0):
        raise NotYet(None if timeout is None else int(timeout))
    raise OvsdbError("timed out", f'"wait" timed out after {0 if timeout is None else int(timeout)} ms')


def commit(run: Execution, op: Json) -> Json:
    """Section 5.2.7."""
    no_others(op, "op", "durable")
    if member(op, "durable", bool):
        run.transaction.durable = True
    return {}


def abort(run: Execution, op: Json) -> Json:
    """Section 5.2.8."""
    no_others(op, "op")
    raise OvsdbError("aborted", "aborted by request")


def comment(run: Execution, op: Json) -> Json:
    """Section 5.2.9."""
    no_others(op, "op", "comment")
    run.transaction.comments.append(member(op, "comment", str))
    return {}


def assert_(run: Execution, op: Json) -> Json:
    """Section 5.2.10: goes on only if the client has the lock."""
    no_others(op, "op", "lock")
    lock = member(op, "lock", str)
    if not ovs.db.parser.is_identifier(lock):
        raise syntax_error(f"{lock} is not a valid lock name", op)
    if not run.owns(lock):
        raise OvsdbError("not owner", f"asserted lock {lock} not held")
    return {}


OPERATIONS: Final[dict[str, Callable[[Execution, Json], Json]]] = {
    "insert": insert, "select": select, "update": update, "mutate": mutate, "delete": delete,
    "wait": wait, "commit": commit, "abort": abort, "comment": comment, "assert": assert_,
}  # fmt: skip
WRITES: Final = {"insert", "update", "mutate", "delete"}


@dataclass
class Outcome:
    """The reply's "result", and what to write to disk: `changes` is empty for a failure."""

    results: list[Json]
    changes: Changes
    comments: list[str]
    durable: bool


def execute(
    db: Database, ops: list[Json], owns: Callable[[str], bool] = lambda lock: False, patient: bool = False
) -> Outcome:
    """Run `ops` in one transaction. Raises only `NotYet`, and that only if `patient`."""
    run = Execution(Transaction(db), owns, patient)
    results: list[Json] = []
    failed = False
    for op in ops:
        if failed:
            results.append(None)
            continue
        try:
            if not isinstance(op, dict):
                raise syntax_error("an operation is an object", op)
            name = member(op, "op", str)
            operation = OPERATIONS.get(name)
            if operation is None:
                raise syntax_error(f'no operation "{name}"', op)
            if db.read_only and name in WRITES:
                raise OvsdbError(
                    "not allowed", f"{name} operation not allowed on table in reserved database {db.name}"
                )
            results.append(operation(run, op))
        except OvsdbError as error:
            results.append(error.to_json())
            failed = True
    changes: Changes = {}
    if not failed:
        try:
            changes = run.transaction.commit()
        except OvsdbError as error:
            results.append(error.to_json())
    return Outcome(results, changes, run.transaction.comments, run.transaction.durable)
