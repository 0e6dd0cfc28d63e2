"""Opening devices by name and type; one open device a name, shared by all who opened it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from vswitch.netdev.provider import Netdev, NetdevError

Opener = Callable[[str], Netdev]

_providers: dict[str, Opener] = {}


class Scope:
    """A world of devices and in-process datapaths of its own, so that two switches in memory
    can each have a port "p1". `with scope:` makes it the current one; a process starts in one.
    """

    def __init__(self) -> None:
        self.open: dict[str, tuple[Netdev, int]] = {}
        self.dummy_instead: set[str] = set()
        self.datapaths: dict[str, Any] = {}
        """The userspace datapaths, by name; theirs to keep."""
        self._outer: list[Scope] = []

    def __enter__(self) -> Scope:
        global _scope
        self._outer.append(_scope)
        _scope = self
        return self

    def __exit__(self, *_: object) -> None:
        global _scope
        _scope = self._outer.pop()


_scope = Scope()


def scope() -> Scope:
    """The current scope."""
    return _scope


def register(type: str, opener: Opener) -> None:
    """Make `type` known; `opener` opens a device of it by name or raises NetdevError."""
    _providers[type] = opener


def types() -> list[str]:
    """The types that `netdev_open` knows."""
    return sorted(_providers)


def enable_dummy(override: str = "") -> None:
    """Have dummies stand in: "" for no type, "system" for existing interfaces, "override" for all.

    As `ovs-vswitchd --enable-dummy[=system|override]`.
    """
    _scope.dummy_instead.clear()
    if override == "system":
        _scope.dummy_instead.update(("system",))
    elif override == "override":
        _scope.dummy_instead.update(t for t in _providers if t not in ("dummy", "dummy-internal", "patch"))


def open_type(type: str) -> str:
    """The registered type that opens what the database calls `type`."""
    type = type or "system"
    return "dummy" if type in _scope.dummy_instead else type


def netdev_open(name: str, type: str = "system") -> Netdev:
    """Open device `name`, or share it if it is open already.

    NetdevError: EAFNOSUPPORT for an unknown type, EEXIST if it is open as another type, else
    what the provider says (ENODEV, EPERM...). Every success wants one `netdev_close`.
    """
    type = open_type(type)
    found = _scope.open.get(name)
    if found is not None and not found[0].gone:
        netdev, refs = found
        if netdev.type != type:
            raise NetdevError(errno.EEXIST, f"{name}: is open as type {netdev.type}, not {type}")
        _scope.open[name] = (netdev, refs + 1)
        return netdev
    opener = _providers.get(type)
    if opener is None:
        raise NetdevError(errno.EAFNOSUPPORT, f"{name}: could not create netdev of unknown type {type}")
    netdev = opener(name)
    _scope.open[name] = (netdev, 1)
    return netdev


def netdev_close(netdev: Netdev) -> None:
    """Give back one opening; the last one closes the device."""
    found = _scope.open.get(netdev.name)
    if found is None or found[0] is not netdev:
        netdev.close()
    elif found[1] > 1:
        _scope.open[netdev.name] = (netdev, found[1] - 1)
    else:
        del _scope.open[netdev.name]
        netdev.close()


def netdev_from_name(name: str) -> Netdev | None:
    """The open device `name`, not opened once more."""
    found = _scope.open.get(name)
    return found[0] if found else None


def opened() -> list[Netdev]:
    """All open devices, by name."""
    return [_scope.open[name][0] for name in sorted(_scope.open)]
