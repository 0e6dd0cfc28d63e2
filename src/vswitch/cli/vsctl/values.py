"""Values of columns as text: `{a=b, c="d e"}`, `[1, 2]` (ovs-vsctl(8), "Database Values").

The `ovs` library has types and JSON; the text form here is the one of the C tools, which quote
a string only where it would be read as something else.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import Final
from uuid import UUID

import ovs.db.types
from ovs.db.data import Atom, Datum
from ovs.db.schema import TableSchema
from ovs.db.types import BaseType, Type

from vswitch.base.records import dataclass
from vswitch.cli.vsctl.errors import VsctlError
from vswitch.cli.vsctl.replica import column_named
from vswitch.ovsdb.database import default_datum
from vswitch.ovsdb.errors import Json, OvsdbError, library_errors

Symbols = Callable[[str], UUID]
"""Gives the UUID that a name with @ stands for."""

DELIMITERS: Final = frozenset(":=, []{}!<>")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_INTEGER: Final = re.compile(r"[-+]?\d+\Z")
_RANGE: Final = re.compile(r"(-?\d+)-(-?\d+)\Z")
_TRUE: Final = ("true", "yes", "on", "1")
_FALSE: Final = ("false", "no", "off", "0")


# Values to text.


def atom_text(atom: Atom) -> str:
    """An atom as it would be typed."""
    value = atom.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, str) and (
        not _WORD.match(value) or value in ("true", "false") or _UUID.match(value)
    ):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def atom_bare(atom: Atom) -> str:
    """An atom without quotes."""
    return str(atom.value) if isinstance(atom.value, str) else atom_text(atom)


def datum_text(datum: Datum) -> str:
    """A value as it would be typed."""
    type = datum.type
    if type.is_map():
        return (
            "{" + ", ".join(f"{atom_text(k)}={atom_text(v)}" for k, v in sorted(datum.values.items())) + "}"
        )
    text = ", ".join(atom_text(k) for k in sorted(datum.values))
    return text if type.n_max == 1 and datum.values else f"[{text}]"


def datum_bare(datum: Datum) -> str:
    """A value as words without quotes."""
    if datum.type.is_map():
        return " ".join(f"{atom_bare(k)}={atom_bare(v)}" for k, v in sorted(datum.values.items()))
    return " ".join(atom_bare(k) for k in sorted(datum.values))


# Text to values.


def base_english(base: BaseType, plural: bool = False) -> str:
    """An atom's type in words."""
    name: str = "UUID" if base.type == ovs.db.types.UuidType else base.type.to_string()
    return name + "s" if plural else name


def type_english(type: Type) -> str:
    """A type in words."""
    if type.is_map():
        what = f"({base_english(type.key)}, {base_english(type.value)}) pairs"
        kind = "map"
    elif type.n_max == 1:
        return base_english(type.key)
    else:
        what, kind = base_english(type.key, plural=True), "set"
    if type.n_max == sys.maxsize:
        return f"{kind} of {what}"
    return f"{kind} of up to {type.n_max} {what}"


def atom_from(base: BaseType, text: str, symbols: Symbols | None) -> Atom:
    """An atom from all of `text`. VsctlError."""
    type = base.type
    if text == "":
        raise VsctlError('An empty string is not valid as input; use "" to represent the empty string')
    value: object
    if type == ovs.db.types.IntegerType:
        if not _INTEGER.match(text):
            raise VsctlError(f'"{text}" is not a valid integer or range')
        value = int(text)
    elif type == ovs.db.types.RealType:
        try:
            value = float(text)
        except ValueError:
            raise VsctlError(f'"{text}" is not a valid real number') from None
    elif type == ovs.db.types.BooleanType:
        if text not in _TRUE + _FALSE:
            raise VsctlError(f'"{text}" is not a valid boolean (use "true" or "false")')
        value = text in _TRUE
    elif type == ovs.db.types.UuidType:
        if text.startswith("@") and symbols is not None:
            value = symbols(text)
        elif _UUID.match(text):
            value = UUID(text)
        else:
            raise VsctlError(f'"{text}" is not a valid UUID')
    elif text.startswith('"'):
        value = _quoted(text)
    else:
        value = text
    atom = Atom(type, value)
    try:
        with library_errors():
            atom.check_constraints(base)
    except OvsdbError as error:
        raise VsctlError(_constraint(error, atom, base)) from None
    return atom


def _constraint(error: OvsdbError, atom: Atom, base: BaseType) -> str:
    """What a value breaks, its words quoted only where the C tools do."""
    if base.enum is not None:
        allowed = datum_text(base.enum)
        return f"constraint violation: {atom_text(atom)} is not one of the allowed values ({allowed})"
    return f"{error.tag}: {error.details}"


def _quoted(text: str) -> str:
    """A JSON string."""
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        value = None
    if not isinstance(value, str):
        raise VsctlError(f"{text}: is not a valid quoted string")
    return value


@dataclass
class Scanner:
    """Cuts `text` into tokens at delimiters; quoted strings are whole."""

    text: str
    at: int = 0

    def peek(self) -> str:
        """The next character, "" at the end."""
        return self.text[self.at : self.at + 1]

    def skip(self, characters: str = " ") -> None:
        """Skip any of `characters`."""
        while self.at < len(self.text) and self.text[self.at] in characters:
            self.at += 1

    def token(self) -> str:
        """The next token, "" if a delimiter or the end is next; a quoted one with its quotes."""
        start = self.at
        if self.peek() == '"':
            self.at += 1
            while self.at < len(self.text) and self.text[self.at] != '"':
                self.at += 2 if self.text[self.at] == "\\" else 1
            if self.at >= len(self.text):
                raise VsctlError(f"{self.text}: quoted string extends past end of argument")
            self.at += 1
        else:
            while self.at < len(self.text) and self.text[self.at] not in DELIMITERS:
                self.at += 1
        return self.text[start : self.at]


def datum_from(type: Type, text: str, symbols: Symbols | None = None) -> Datum:
    """A column's value from `text`. VsctlError names what is wrong."""
    scanner = Scanner(text)
    scanner.skip()
    close = ""
    opening = {"{": "}"} if type.is_map() else {"[": "]"}
    if scanner.peek() in opening and scanner.peek():
        close = opening[scanner.peek()]
        scanner.at += 1
        scanner.skip()
    values: dict[Atom, Atom | None] = {}
    while scanner.peek() and scanner.peek() != close:
        if values and scanner.peek() in ("]", "}"):
            raise VsctlError(f'{text}: unexpected "{scanner.peek()}" parsing {type_english(type)}')
        _element(type, scanner, symbols, values)
        scanner.skip()
        if scanner.peek() == ",":
            scanner.at += 1
            scanner.skip()
    if close:
        if scanner.peek() != close:
            raise VsctlError(f'{text}: missing "{close}" at end of data')
        scanner.at += 1
        scanner.skip()
        if scanner.peek():
            raise VsctlError(f'{text}: trailing garbage after "{close}"')
    if len(values) > type.n_max:
        raise VsctlError(f"{text}: {len(values)} value(s) specified but the maximum number is {type.n_max}")
    if len(values) < type.n_min:
        raise VsctlError(f"{text}: {len(values)} value(s) specified but the minimum number is {type.n_min}")
    return Datum(type, values)


def _element(type: Type, scanner: Scanner, symbols: Symbols | None, values: dict[Atom, Atom | None]) -> None:
    """Read one element into `values`: an atom, a pair, or a range of integers."""
    text = scanner.text

    def token() -> str:
        scanner.skip()
        found = scanner.token()
        if not found and scanner.peek():
            raise VsctlError(f'{text}: unexpected "{scanner.peek()}" parsing {type_english(type)}')
        return found

    word = token()
    span = _RANGE.match(word) if type.key.type == ovs.db.types.IntegerType and not type.is_map() else None
    if span:
        first, last = int(span[1]), int(span[2])
        if last < first:
            raise VsctlError(f'"{word}" is not a valid range. Range end cannot be before start.')
        keys = [atom_from(type.key, str(n), symbols) for n in (first, last)]
        keys += [Atom(type.key.type, n) for n in range(first + 1, last)]
        keys.sort()
    else:
        keys = [atom_from(type.key, word, symbols)]
    value: Atom | None = None
    if type.is_map():
        scanner.skip()
        if scanner.peek() != "=":
            where = f'{scanner.peek()}" expecting "="' if scanner.peek() else ""
            raise VsctlError(f'{text}: syntax error at "{where}')
        scanner.at += 1
        value = atom_from(type.value, token(), symbols)
    for key in keys:
        if key in values:
            what = "map contains duplicate key" if type.is_map() else "set contains duplicate value"
            raise VsctlError(f"{text}: {what}")
        values[key] = value


@dataclass(frozen=True)
class Argument:
    """COLUMN[:KEY]OPERATOR VALUE, cut up: `operator` and `value` are None where they may be absent."""

    column: str
    key: str | None
    operator: str | None
    value: str | None


RELATIONS: Final = (
    "=", "!=", "<", ">", "<=", ">=", "{=}", "{!=}", "{<}", "{>}", "{<=}", "{>=}", "{in}", "{not-in}",
)  # fmt: skip


def split_argument(table: TableSchema, text: str, operators: tuple[str, ...], uuid: bool = False) -> Argument:
    """Cut up an argument; without `operators` it must end behind the key. VsctlError."""
    scanner = Scanner(text)
    name = scanner.token()
    if not name:
        raise VsctlError(f"{text}: missing column name")
    column = column_named(table, _plain(name), uuid)
    key: str | None = None
    if scanner.peek() == ":":
        scanner.at += 1
        key = scanner.token()
    rest = text[scanner.at :]
    if not operators:
        if rest:
            raise VsctlError(f'{text}: trailing garbage "{rest}" in argument')
        return Argument(column, key, None, None)
    best = max((o for o in operators if rest.startswith(o)), key=len, default="")
    if not best or len(rest) == len(best):
        quoted = [f'"{o}"' for o in operators]
        listed = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])}, or {quoted[-1]}"
        raise VsctlError(f"{text}: argument does not end in {listed} followed by a value.")
    return Argument(column, key, best, rest[len(best) :])


def _plain(token: str) -> str:
    return _quoted(token) if token.startswith('"') else token


# Conditions.


def _order(datum: Datum) -> tuple[int, list[Json], list[Json]]:
    """What < compares: the number of elements, then keys, then values."""
    keys = sorted(datum.values)
    return (
        len(keys),
        [k.value for k in keys],
        [v.value for k in keys if (v := datum.values[k]) is not None],
    )


def _has_all(whole: Datum, part: Datum) -> bool:
    return all(k in whole.values and whole.values[k] == v for k, v in part.values.items())


def _has_none(whole: Datum, part: Datum) -> bool:
    return not any(k in whole.values and whole.values[k] == v for k, v in part.values.items())


def holds(a: Datum, operator: str, b: Datum) -> bool:
    """Whether `a OPERATOR b` (ovs-vsctl(8), "find")."""
    if operator in ("=", "{=}"):
        return bool(a == b)
    if operator in ("!=", "{!=}"):
        return bool(a != b)
    if operator == "<":
        return _order(a) < _order(b)
    if operator == ">":
        return _order(a) > _order(b)
    if operator == "<=":
        return _order(a) <= _order(b)
    if operator == ">=":
        return _order(a) >= _order(b)
    if operator in ("{<=}", "{in}"):
        return _has_all(b, a)
    if operator == "{<}":
        return _has_all(b, a) and len(a.values) < len(b.values)
    if operator == "{>=}":
        return _has_all(a, b)
    if operator == "{>}":
        return _has_all(a, b) and len(a.values) > len(b.values)
    return _has_none(a, b)


def values_type(type: Type) -> Type:
    """The type of what a condition with a key compares: the values of a map, as a set."""
    return Type(type.value, None, 0, sys.maxsize)


def matches(get: Callable[[str], Datum], table: TableSchema, text: str, symbols: Symbols | None) -> bool:
    """Whether a row, whose columns `get` gives, satisfies the condition `text`."""
    argument = split_argument(table, text, RELATIONS)
    type = table.columns[argument.column].type
    operator, value = argument.operator or "", argument.value or ""
    have = get(argument.column)
    if argument.key is None:
        return holds(have, operator, datum_from(type, value, symbols))
    if not type.is_map():
        raise VsctlError(f"cannot specify key to check for non-map column {argument.column}")
    key = atom_from(type.key, argument.key, symbols)
    wanted = datum_from(values_type(type), value, symbols)
    found = have.values.get(key)
    if found is None and not operator.startswith("{"):
        return False
    return holds(Datum(wanted.type, {} if found is None else {found: None}), operator, wanted)


def empty(type: Type) -> Datum:
    """The value that a column has when nothing is said of it."""
    return default_datum(type)
