"""Datums out of JSON are the library's, and so are the errors."""

from __future__ import annotations

import sys
from typing import Any
from uuid import UUID

import ovs.db.error
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ovs.db.types import ATOMIC_TYPES, BaseType, Type

from vswitch.ovsdb import datum
from vswitch.ovsdb.datum import datum_from_json
from vswitch.ovsdb.vswitch_schema import VSWITCH

A, B = "2f77b348-9768-4866-b761-89d5177ecda0", "2F77B348-9768-4866-B761-89D5177ECDA1"
ATOMS = st.sampled_from([
    "", "a", "b", "x" * 30, 0, 1, 2, -5, 2**40, 2**60, 0.0, 1.0, 1.5, True, False, None, ["uuid", A],
    ["uuid", B], ["uuid", A + "0"], ["uuid", A[:-1]], ["uuid", A + "\n"], ["uuid", 5], ["uuid"],
    ["named-uuid", "n"], ["uuid", A, B], [], {},
])  # fmt: skip
PAIRS = st.lists(ATOMS, min_size=0, max_size=3) | st.tuples(ATOMS, ATOMS).map(list)
VALUES = (
    ATOMS
    | st.tuples(st.sampled_from(["set", "map", "sets"]), st.lists(ATOMS | PAIRS, max_size=4)).map(list)
    | st.tuples(st.just("map"), st.lists(st.tuples(ATOMS, ATOMS).map(list), max_size=3)).map(list)
    | st.lists(ATOMS, max_size=3)
)
BASES = st.builds(
    dict,
    type=st.sampled_from(["integer", "real", "boolean", "string", "uuid"]),
    constrained=st.booleans(),
)
SIZES = st.sampled_from([(1, 1), (0, 1), (0, 2), (1, 2), (0, sys.maxsize), (2, 3)])


def _base(made: dict[str, Any]) -> BaseType:
    name = made["type"]
    base = BaseType(next(t for t in ATOMIC_TYPES if t.name == name))
    if made["constrained"]:
        if name in ("integer", "real"):
            base.min, base.max = 1, 100
        elif name == "string":
            base.min_length, base.max_length = 1, 5
    return base


def _outcome(parse: Any, type_: Type, json: Any) -> Any:
    symbols: dict[str, UUID] = {"n": UUID(int=7)}
    try:
        found = parse(type_, json, symbols)
    except ValueError as e:
        return str(e)
    except ovs.db.error.Error as e:
        return type(e), e.tag, e.msg, e.json
    return [(k.type.name, type(k.value), k.value, v and (v.type.name, type(v.value), v.value))
            for k, v in found.values.items()]  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(BASES, st.none() | BASES, SIZES, VALUES)
def test_it_is_what_the_library_makes_of_it(key: Any, value: Any, size: tuple[int, int], json: Any) -> None:
    type_ = Type(_base(key), None if value is None else _base(value), *size)
    assert _outcome(datum_from_json, type_, json) == _outcome(datum._parse, type_, json)


COLUMNS: list[Any] = [
    "up", 5, True, ["uuid", A], ["set", []], ["set", [["uuid", A], ["uuid", B]]], ["set", ["a", "b"]],
    ["set", [1, 2]], ["set", [1, 1]], ["map", []], ["map", [["a", "b"], ["c", "d"]]],
    ["map", [[1, ["uuid", A]]]], ["map", [["a", "b"], ["a", "c"]]],
]  # fmt: skip


@pytest.mark.parametrize("table", VSWITCH["tables"])
def test_every_column_of_a_switch(table: str) -> None:
    for column in VSWITCH["tables"][table]["columns"].values():
        type_ = Type.from_json(column["type"])
        for json in COLUMNS:
            assert _outcome(datum_from_json, type_, json) == _outcome(datum._parse, type_, json)
