"""`OvsdbError`: what goes into a reply's "error", and where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ovs.db.error
import ovs.json

Json = Any


class OvsdbError(Exception):
    """`tag` is one of RFC 7047's error strings ("constraint violation"), `details` for people.

    `syntax` is the piece of JSON that is wrong; `...` where it is about none.
    """

    def __init__(self, tag: str, details: str = "", syntax: Json = ...) -> None:
        super().__init__(f"{tag}: {details}" if details else tag)
        self.tag = tag
        self.details = details
        self.syntax = syntax

    def to_json(self) -> dict[str, Json]:
        """The <error> object of RFC 7047 section 3.1."""
        made: dict[str, Json] = {"error": self.tag}
        if self.details:
            made["details"] = self.details
        if self.syntax is not ...:
            made["syntax"] = ovs.json.to_string(self.syntax)
        return made


def syntax_error(details: str, json: Json = ...) -> OvsdbError:
    """What a request that does not parse costs."""
    return OvsdbError("syntax error", details, json)


@contextmanager
def library_errors() -> Iterator[None]:
    """Turns the `ovs` library's errors into ours."""
    try:
        yield
    except ovs.db.error.Error as error:
        raise OvsdbError(error.tag, error.msg, ... if error.json is None else error.json) from error


def member(json: dict[str, Json], name: str, *types: type, default: Json = ...) -> Json:
    """`json[name]`, which must be of one of `types` (a boolean is no integer)."""
    found = json.get(name) if json.__class__ is dict else None
    if found.__class__ in types:  # as nearly always
        return found
    if name not in json:
        if default is ...:
            raise syntax_error(f"required member '{name}' is missing", json)
        return default
    value = json[name]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        wanted = " or ".join(t.__name__ for t in types)
        raise syntax_error(f"member '{name}' is not of type {wanted}", json)
    return value


def no_others(json: dict[str, Json], *names: str) -> None:
    """An error if `json` has a member that is not one of `names`."""
    for name in json:
        if name not in names:
            raise syntax_error(f"member '{name}' is not allowed here", json)
