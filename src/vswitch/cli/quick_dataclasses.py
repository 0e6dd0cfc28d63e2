"""Dataclasses that are made quickly: a process of ours has 300 of them.

The standard library writes the text of each method and compiles it, which was a seventh of a start. Here
`__eq__`, `__hash__`, `__repr__` and the two that keep a frozen one from changing are closures over fields'
names, and do the same; only `__init__` is still compiled. Python 3.13 makes them otherwise, and is
left alone; so is a process that is not ours.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any, Final

_Fields = Sequence[Any]
_library: Final[Any] = dataclasses


def _values(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """What gives the tuple of these attributes of an object."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda self: tuple([getattr(self, name) for name in names])


def _comparison(name: str, op: str, ours: str, theirs: str, globals: Any) -> Any:
    """`__eq__` by the tuple that `ours` writes out: "(self.x,self.y,)". Other comparisons are compiled."""
    if name != "__eq__":
        return _compiled_comparison(name, op, ours, theirs, globals)
    values = _values([word.removeprefix("self.") for word in ours.strip("(),").split(",") if word])

    def __eq__(self: Any, other: Any) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _hash(fields: _Fields, globals: Any) -> Any:
    values = _values([field.name for field in fields])

    def __hash__(self: Any) -> int:
        return hash(values(self))

    return __hash__


def _repr(fields: _Fields, globals: Any) -> Any:
    names = [field.name for field in fields]

    @recursive_repr()
    def __repr__(self: Any) -> str:
        told = ", ".join([f"{name}={getattr(self, name)!r}" for name in names])
        return f"{self.__class__.__qualname__}({told})"

    return __repr__


def _frozen(cls: Any, fields: _Fields, globals: Any) -> tuple[Any, Any]:
    names = frozenset(field.name for field in fields)

    def __setattr__(self: Any, name: str, value: Any) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return __setattr__, __delattr__


_compiled_comparison: Any = getattr(dataclasses, "_cmp_fn", None)


def install() -> None:
    """Have those that are made from now on, of the whole process, made so."""
    if sys.version_info < (3, 13):
        _library._cmp_fn = _comparison
        _library._hash_fn = _hash
        _library._repr_fn = _repr
        _library._frozen_get_del_attr = _frozen
