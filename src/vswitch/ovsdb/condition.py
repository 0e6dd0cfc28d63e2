"""Conditions (RFC 7047 section 5.1): which rows an operation, or a monitor, is about.

Besides the RFC's three-element clauses, a clause may be `true` or `false` as in Open vSwitch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any
from uuid import UUID

import ovs.db.types
from ovs.db.data import Datum
from ovs.db.schema import TableSchema

from vswitch.base.records import dataclass
from vswitch.ovsdb.database import Row
from vswitch.ovsdb.datum import datum_from_json
from vswitch.ovsdb.errors import Json, library_errors, syntax_error

UUID_TYPE = ovs.db.types.Type(ovs.db.types.BaseType(ovs.db.types.UuidType))

UNLIMITED = 2**31
ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">=": operator.ge, ">": operator.gt,
}  # fmt: skip
FUNCTIONS = {*ORDERINGS, "==", "!=", "includes", "excludes"}


def includes(have: Datum, wanted: Datum) -> bool:
    """Whether every element of `wanted` is in `have`; in maps keys and values."""
    values = have.values
    return all(k in values and values[k] == v for k, v in wanted.values.items())


def excludes(have: Datum, unwanted: Datum) -> bool:
    """Whether no element of `unwanted` is in `have`."""
    values = have.values
    return not any(k in values and values[k] == v for k, v in unwanted.values.items())


def column_value(row: Row, name: str) -> Datum:
    """A column's value in `row`, `_uuid` and `_version` included."""
    if name == "_uuid":
        return uuid_datum(row.uuid)
    if name == "_version":
        return uuid_datum(row.version)
    return row.columns[name]


def uuid_datum(value: UUID) -> Datum:
    """A UUID as a column's value."""
    return Datum(UUID_TYPE, {ovs.db.data.Atom(ovs.db.types.UuidType, value): None})


def column_type(table: TableSchema, name: str, json: Json) -> ovs.db.types.Type:
    """The type of column `name`; a syntax error if the table has none."""
    if name in ("_uuid", "_version"):
        return UUID_TYPE
    column = table.columns.get(name)
    if column is None:
        raise syntax_error(f"no column {name} in table {table.name}", json)
    return column.type


@dataclass(frozen=True)
class Clause:
    """One comparison of a column with a value."""

    column: str
    function: str
    value: Datum

    def holds(self, row: Row) -> bool:
        """Whether `row` meets the clause."""
        have = column_value(row, self.column)
        function = self.function
        if function == "==":
            return bool(have.values == self.value.values)
        if function == "!=":
            return bool(have.values != self.value.values)
        if function == "includes":
            return includes(have, self.value)
        if function == "excludes":
            return excludes(have, self.value)
        if not have.values:
            return False
        return ORDERINGS[function](next(iter(have.values)).value, next(iter(self.value.values)).value)


@dataclass(frozen=True)
class Condition:
    """A conjunction of clauses; `uuid` is set where `_uuid == X` decides (the common case)."""

    clauses: tuple[Clause | bool, ...]
    uuid: UUID | None = None

    def holds(self, row: Row) -> bool:
        """Whether `row` meets all clauses."""
        return all(c if isinstance(c, bool) else c.holds(row) for c in self.clauses)

    def holds_any(self, row: Row) -> bool:
        """Whether `row` meets one of the clauses, or there are none: a monitor's condition."""
        if not self.clauses:
            return True
        return any(c if isinstance(c, bool) else c.holds(row) for c in self.clauses)


def of_size(type: ovs.db.types.Type, n_min: int, n_max: int) -> ovs.db.types.Type:
    """`type` with `n_min` to `n_max` elements. (`Type.copy` of the library fails without an enum.)"""
    return ovs.db.types.Type(type.key, type.value, n_min, n_max)


def parse_clause(table: TableSchema, json: Json, symbols: dict[str, UUID] | None) -> Clause | bool:
    """One clause."""
    if isinstance(json, bool):
        return json
    if not isinstance(json, list) or len(json) != 3 or not all(isinstance(x, str) for x in json[:2]):
        raise syntax_error("a condition is [column, function, value]", json)
    name, function, value = json
    type = column_type(table, name, json)
    if function not in FUNCTIONS:
        raise syntax_error(f"no function named {function}", json)
    if function in ORDERINGS:
        numeric = type.key.type in (ovs.db.types.IntegerType, ovs.db.types.RealType)
        if not numeric or type.value is not None or type.n_max > 1:
            raise syntax_error(f'type mismatch: "{function}" cannot compare column {name}', json)
        type = of_size(type, 1, 1)
    elif function in ("includes", "excludes"):
        type = of_size(type, 0, type.n_max if function == "includes" else UNLIMITED)
    with library_errors():
        datum = datum_from_json(type, value, symbols)
    return Clause(name, function, datum)


def parse_condition(table: TableSchema, json: Json, symbols: dict[str, UUID] | None = None) -> Condition:
    """A "where" array; OvsdbError if it is not one."""
    if not isinstance(json, list):
        raise syntax_error("a condition is an array of clauses", json)
    clauses = tuple(parse_clause(table, clause, symbols) for clause in json)
    for clause in clauses:
        if isinstance(clause, Clause) and clause.column == "_uuid" and clause.function == "==":
            return Condition(clauses, next(iter(clause.value.values)).value)
    return Condition(clauses)
