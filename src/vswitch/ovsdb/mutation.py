"""Mutations (RFC 7047 section 5.1): arithmetic on numbers, insert and delete on sets and maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import ovs.db.types
from ovs.db.data import Atom, Datum
from ovs.db.schema import ColumnSchema, TableSchema

from vswitch.base.records import dataclass
from vswitch.ovsdb.condition import UNLIMITED, of_size
from vswitch.ovsdb.datum import datum_from_json
from vswitch.ovsdb.errors import Json, OvsdbError, library_errors, syntax_error

INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1


def quotient(a: int, b: int) -> int:
    """Integer division that rounds towards zero, as in C."""
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q


ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+=": lambda a, b: a + b,
    "-=": lambda a, b: a - b,
    "*=": lambda a, b: a * b,
    "/=": lambda a, b: quotient(a, b) if isinstance(a, int) else a / b,
    "%=": lambda a, b: a - quotient(a, b) * b,
}


@dataclass(frozen=True)
class Mutation:
    """One change of one column."""

    column: ColumnSchema
    mutator: str
    value: Datum

    def apply(self, have: Datum) -> Datum:
        """The column's new value; OvsdbError "domain error", "range error" or "constraint violation"."""
        if self.mutator == "insert":
            return self._checked_size(Datum(have.type, {**self.value.values, **have.values}))
        if self.mutator == "delete":
            return self._checked_size(Datum(have.type, self._without(have)))
        operand = next(iter(self.value.values)).value
        base = self.column.type.key
        values: dict[Atom, None] = {}
        for atom in have.values:
            result = Atom(atom.type, self._compute(atom.value, operand))
            with library_errors():
                result.check_constraints(base)
            values[result] = None
        if len(values) != len(have.values):
            raise OvsdbError(
                "constraint violation",
                f'result of "{self.mutator}" operation on column "{self.column.name}" contains duplicates',
            )
        return Datum(have.type, values)

    def _compute(self, have: Any, operand: Any) -> Any:
        integer = self.column.type.key.type == ovs.db.types.IntegerType
        if operand == 0 and self.mutator in ("/=", "%="):
            raise OvsdbError("domain error", f'division by zero in column "{self.column.name}"')
        result = ARITHMETIC[self.mutator](have, operand)
        if integer and not INT64_MIN <= result <= INT64_MAX:
            raise OvsdbError("range error", f'column "{self.column.name}": result overflows 64 bits')
        if not integer and not math.isfinite(result):
            raise OvsdbError("range error", f'column "{self.column.name}": result is out of range')
        return result

    def _without(self, have: Datum) -> dict[Atom, Atom | None]:
        unwanted = self.value.values
        if have.type.is_map() and self.value.type.is_map():
            return {k: v for k, v in have.values.items() if k not in unwanted or unwanted[k] != v}
        return {k: v for k, v in have.values.items() if k not in unwanted}

    def _checked_size(self, datum: Datum) -> Datum:
        type = self.column.type
        n = len(datum.values)
        if not type.n_min <= n <= type.n_max:
            raise OvsdbError(
                "constraint violation",
                f'"{self.mutator}" gives column "{self.column.name}" {n} elements, '
                f"but {type.n_min} to {type.n_max} are allowed",
            )
        return datum


def any_number(type: ovs.db.types.Type, keys_only: bool = False) -> ovs.db.types.Type:
    """`type` with any number of elements; of a map only the keys if `keys_only`."""
    return ovs.db.types.Type(type.key, None if keys_only else type.value, 0, UNLIMITED)


def parse_mutation(table: TableSchema, json: Json, symbols: dict[str, UUID] | None) -> Mutation:
    """A [column, mutator, value] triple; OvsdbError if it is wrong for the table."""
    if not isinstance(json, list) or len(json) != 3 or not all(isinstance(x, str) for x in json[:2]):
        raise syntax_error("a mutation is [column, mutator, value]", json)
    name, mutator, value = json
    column = table.columns.get(name)
    if column is None:
        raise syntax_error(f"no column {name} in table {table.name}", json)
    if not column.mutable:
        raise OvsdbError(
            "constraint violation", f"cannot mutate immutable column {name} in table {table.name}", json
        )
    type = column.type
    if mutator in ARITHMETIC:
        integer = type.key.type == ovs.db.types.IntegerType
        real = type.key.type == ovs.db.types.RealType
        if type.value is not None or not (integer or (real and mutator != "%=")):
            raise syntax_error(f'type mismatch: "{mutator}" cannot change column {name}', json)
        operand = ovs.db.types.Type(ovs.db.types.BaseType(type.key.type))
        with library_errors():
            return Mutation(column, mutator, datum_from_json(operand, value, symbols))
    if mutator not in ("insert", "delete"):
        raise syntax_error(f"no mutator named {mutator}", json)
    if type.n_max < 2 and type.value is None and type.n_min == type.n_max:
        raise syntax_error(f'type mismatch: "{mutator}" cannot change column {name}', json)
    keys_only = (
        mutator == "delete" and type.is_map() and not (isinstance(value, list) and value[:1] == ["map"])
    )
    with library_errors():
        if mutator == "insert":
            return Mutation(column, mutator, datum_from_json(of_size(type, 0, type.n_max), value, symbols))
        return Mutation(column, mutator, datum_from_json(any_number(type, keys_only), value, symbols))
