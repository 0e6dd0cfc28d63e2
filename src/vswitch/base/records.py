"""`dataclass`, with methods that are made when one of them is first called.

The standard library writes the methods of a dataclass as text and has that compiled. For all of this
package's that is half of the time that the switch takes to import, and megabytes, while a process uses few of
the classes, and of most of these nothing but `__init__`. Here a class gets stand-ins at first; the first
call of one has the standard library make that method, in the way that it always does, and puts it in the
place of the stand-in. So an instance costs nothing more than one of `dataclasses.dataclass`, which is also
what type checkers and mypyc take this for.
"""

from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from vswitch.base.sparing import put_off

with put_off("inspect"):  # It writes the docstrings of dataclasses that have none.
    import dataclasses

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import replace as replace
else:
    field = dataclasses.field
    replace = dataclasses.replace

    def dataclass(cls=None, /, **options):
        """As `dataclasses.dataclass`."""
        if cls is None:
            return lambda decorated: dataclass(decorated, **options)
        if not _PUT_OFF.issuperset(options) or sys.version_info >= (3, 14):
            return dataclasses.dataclass(cls, **options)
        return _put_off(cls, options)


_PUT_OFF: Final = frozenset(("init", "repr", "eq", "unsafe_hash", "frozen"))
"""The options of classes whose methods can wait; `slots` makes another class at once. (From Python 3.14 on
annotations are no plain dictionary.)"""
_METHODS: Final = {"init": "__init__", "repr": "__repr__", "eq": "__eq__", "unsafe_hash": "__hash__"}
"""The options by which the standard library makes one method each."""
_plans: dict[type, tuple[dict[str, Any], dict[str, Any], set[str]]] = {}
"""Class with stand-ins -> its options, what its methods are to be made from, and the stand-ins' names."""
_lock: Final = threading.RLock()


def _put_off(cls: type, options: dict[str, Any]) -> type:
    """Give `cls` stand-ins."""
    own = cls.__dict__
    annotations = own.get("__annotations__", {})
    source = {name: own[name] for name in annotations if name in own}
    source["__annotations__"] = annotations
    for name, value in list(source.items()):
        if isinstance(value, dataclasses.Field):
            # What is left on the class is the plain default, if there is one.
            if value.default is dataclasses.MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, value.default)
    stand_ins: dict[str, Any] = {}
    if options.get("init", True):
        stand_ins["__init__"] = _init
    if options.get("repr", True):
        stand_ins["__repr__"] = _repr
    eq = options.get("eq", True)
    frozen = options.get("frozen", False)
    explicit_hash = own.get("__hash__") is not None or ("__hash__" in own and "__eq__" not in own)
    if options.get("unsafe_hash", False) or (eq and frozen and not explicit_hash):
        stand_ins["__hash__"] = _hash
    elif eq and not frozen and not explicit_hash:
        cls.__hash__ = None  # type: ignore[assignment]
    if eq:
        stand_ins["__eq__"] = _eq
    if frozen:
        for name, method in _frozen(cls).items():
            setattr(cls, name, method)
    stand_ins = {name: made for name, made in stand_ins.items() if name not in own or name == "__hash__"}
    stand_ins |= {"__dataclass_fields__": _FIELDS, "__dataclass_params__": _PARAMS}
    if "__match_args__" not in own:
        stand_ins["__match_args__"] = _MATCH_ARGS
    for name, stand_in in stand_ins.items():
        setattr(cls, name, stand_in)
    _plans[cls] = (options, source, set(stand_ins))
    return cls


def _make(cls: type, name: str) -> None:
    """Make `cls.name`, if it is a stand-in, and what comes for nothing with it."""
    with _lock:
        if cls not in _plans:
            return
        options, source, names = _plans[cls]
        if name not in names:
            return
        if name != "__dataclass_params__":
            options = {option: method == name for option, method in _METHODS.items()} | {
                "frozen": name == "__init__" and options.get("frozen", False)
            }
        frozen = SimpleNamespace(frozen=options.get("frozen", False))
        bases = []
        for base in cls.__mro__[1:]:
            _make(base, "__dataclass_fields__")
            if "__dataclass_fields__" in base.__dict__:
                fields = base.__dict__["__dataclass_fields__"]
                kept = {"__dataclass_fields__": fields, "__dataclass_params__": frozen}
                bases.append(type(base.__name__, (), kept))
        body = source | {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
        body["__doc__"] = "None is to be written."
        if hasattr(cls, "__post_init__"):
            body["__post_init__"] = None
        made: Any = dataclasses.dataclass(**options)(type(cls.__name__, tuple(bases), body))
        for ready in names & {name, "__dataclass_fields__", "__match_args__"}:
            setattr(cls, ready, made.__dict__[ready])
            names.remove(ready)
        if not names:
            del _plans[cls]


def _owner(instance: Any, name: str, stand_in: Any) -> Any:
    """The class whose `stand_in` was called for `instance`; it has the method when this returns."""
    for cls in type(instance).__mro__:
        if cls.__dict__.get(name) is stand_in:
            _make(cls, name)
            return cls
    raise AssertionError(f"{type(instance).__name__}.{name}")


def _init(self: Any, /, *args: Any, **kwargs: Any) -> None:
    _owner(self, "__init__", _init).__init__(self, *args, **kwargs)


def _repr(self: Any) -> Any:
    return _owner(self, "__repr__", _repr).__repr__(self)


def _eq(self: Any, other: object) -> Any:
    return _owner(self, "__eq__", _eq).__eq__(self, other)


def _hash(self: Any) -> Any:
    return _owner(self, "__hash__", _hash).__hash__(self)


def _frozen(cls: Any) -> dict[str, Any]:
    """The methods by which the fields of `cls` stay as they are, and all of its very instances."""

    def refuse(self: Any, name: str, what: str) -> None:
        if type(self) is cls or name in cls.__dataclass_fields__:
            raise dataclasses.FrozenInstanceError(f"cannot {what} field {name!r}")

    def setattribute(self: Any, name: str, value: object) -> None:
        refuse(self, name, "assign to")
        super(cls, self).__setattr__(name, value)

    def delattribute(self: Any, name: str) -> None:
        refuse(self, name, "delete")
        super(cls, self).__delattr__(name)

    return {"__setattr__": setattribute, "__delattr__": delattribute}


class _Later:
    """An attribute that is there once the methods have been made."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        for cls in owner.__mro__:
            _make(cls, self.name)
        return getattr(owner, self.name)


_FIELDS: Final = _Later("__dataclass_fields__")
_PARAMS: Final = _Later("__dataclass_params__")
_MATCH_ARGS: Final = _Later("__match_args__")
