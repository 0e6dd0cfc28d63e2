"""Words to declare a database schema in: `table("Port", tag=optional(integer(0, 4095)))`.

Each word builds the JSON of RFC 7047 section 3.2; the `ovs` library parses and checks it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Json: TypeAlias = Any

INTEGER: Json = "integer"
REAL: Json = "real"
BOOLEAN: Json = "boolean"
STRING: Json = "string"
UUID: Json = "uuid"


def integer(low: int, high: int | None = None) -> Json:
    """An integer in [low, high]."""
    base = {"type": "integer", "minInteger": low}
    return base if high is None else {**base, "maxInteger": high}


def one_of(*names: str) -> Json:
    """One of these strings."""
    return {"type": "string", "enum": ["set", list(names)]}


def ref(table: str) -> Json:
    """A strong reference: the row lives as long as somebody refers to it."""
    return {"type": "uuid", "refTable": table}


def weak(table: str) -> Json:
    """A weak reference: it goes when the row goes."""
    return {"type": "uuid", "refTable": table, "refType": "weak"}


def optional(key: Json) -> Json:
    """None or one value."""
    return {"key": key, "min": 0, "max": 1}


def set_of(key: Json, low: int = 0, high: int | None = None) -> Json:
    """A set of `low` to `high` values."""
    return {"key": key, "min": low, "max": "unlimited" if high is None else high}


def map_of(key: Json, value: Json) -> Json:
    """A map of any size."""
    return {"key": key, "value": value, "min": 0, "max": "unlimited"}


SMAP: Json = map_of(STRING, STRING)


class Column(dict[str, Json]):
    """A column's JSON, as opposed to a type's."""


def column(type: Json, ephemeral: bool = False, mutable: bool = True) -> Column:
    """A column; `ephemeral` ones are not kept on disk, others than `mutable` only set at insertion."""
    made = Column(type={"key": type} if isinstance(type, dict) and "key" not in type else type)
    if ephemeral:
        made["ephemeral"] = True
    if not mutable:
        made["mutable"] = False
    return made


def table(
    name: str,
    /,
    *,
    root: bool = False,
    max_rows: int | None = None,
    indexes: tuple[tuple[str, ...], ...] = (),
    **columns: Json,
) -> tuple[str, Json]:
    """A table; rows of one that is not `root` are deleted when nothing refers to them."""
    wrapped = {n: c if isinstance(c, Column) else column(c) for n, c in columns.items()}
    made: dict[str, Json] = {"columns": wrapped}
    if root:
        made["isRoot"] = True
    if max_rows is not None:
        made["maxRows"] = max_rows
    if indexes:
        made["indexes"] = [list(index) for index in indexes]
    return name, made


def schema(name: str, version: str, *tables: tuple[str, Json], cksum: str = "") -> Json:
    """The schema as JSON. `cksum` is that of the text which tools compare by (ovsdb-tool(1), "db-cksum")."""
    told = {"cksum": cksum} if cksum else {}
    return {"name": name, "version": version, **told, "tables": dict(tables)}
