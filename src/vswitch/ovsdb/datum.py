"""Datums out of JSON, as the `ovs` library's `Datum.from_json` makes them, but quickly where that is easy.

Strings, integers, booleans and references that no constraint concerns, alone, in sets and in maps, are most
of what a database is told. All else, and all that is wrong, goes to the library, which has the words for it.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Final
from uuid import UUID

import ovs.db.types
from ovs.db.data import Atom, Datum

Json = Any

_parse: Final = Datum.from_json
"""The library's own; `bridge/idl.py` has it use ours."""
_UUID: Final = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_STRING: Final = ovs.db.types.StringType
_INTEGER: Final = ovs.db.types.IntegerType
_BOOLEAN: Final = ovs.db.types.BooleanType
_REFERENCE: Final = ovs.db.types.UuidType


def datum_from_json(type_: Any, json: Json, symbols: dict[str, UUID] | None = None) -> Any:
    """The `Datum` of the library's `type_` that `json` tells (RFC 7047, 5.1). ovs.db.error.Error."""
    values = _values(type_, json)
    return _parse(type_, json, symbols) if values is None else Datum(type_, values)


def _values(type_: Any, json: Json) -> dict[Any, Any] | None:
    """What such a datum holds; None: that is for the library to find out."""
    key = type_.key
    kind = _plain(key)
    if kind is None:
        return None
    value = type_.value
    if value is None:
        if not isinstance(json, list):
            return {Atom(key.type, json): None} if json.__class__ is kind else None
        if len(json) != 2:
            return None
        if json[0] != "set":
            found = _atom(key.type, kind, json)
            return None if found is None else {found: None}
    of_value = None if value is None else _plain(value)
    if not isinstance(json, list) or len(json) != 2 or not isinstance(json[1], list):
        return None
    inner: list[Any] = json[1]
    if not type_.n_min <= len(inner) <= type_.n_max:
        return None
    values: dict[Any, Any] = {}
    if value is None:
        for element in inner:
            atom = _atom(key.type, kind, element)
            if atom is None:
                return None
            values[atom] = None
    else:
        if of_value is None or json[0] != "map":
            return None
        for pair in inner:
            if not isinstance(pair, list) or len(pair) != 2:
                return None
            atom = _atom(key.type, kind, pair[0])
            other = _atom(value.type, of_value, pair[1])
            if atom is None or other is None:
                return None
            values[atom] = other
    # Of what is there twice the library has something to say.
    return values if len(values) == len(inner) else None


def _plain(base: Any) -> type | None:
    """The Python type in whose form JSON has atoms of `base`; None: they are real numbers, or have
    constraints."""
    if base.enum is not None:
        return None
    atomic = base.type
    if atomic is _STRING:
        return str if base.min_length == 0 and base.max_length == sys.maxsize else None
    if atomic is _REFERENCE:
        return list
    if atomic is _INTEGER:
        return int if base.min is None and base.max is None else None
    return bool if atomic is _BOOLEAN else None


def _atom(atomic: Any, kind: type, json: Json) -> Any:
    """The atom, or None."""
    if kind is not list:
        return Atom(atomic, json) if json.__class__ is kind else None
    if not isinstance(json, list) or len(json) != 2 or json[0] != "uuid":
        return None
    text = json[1]
    return Atom(atomic, UUID(text)) if isinstance(text, str) and _UUID.fullmatch(text) else None
