"""`Scope`: the devices that are open, by name, and where in-process datapaths keep themselves."""

from __future__ import annotations

from typing import Any

from vswitch.netdev.provider import Netdev


class Scope:
    """A world of devices and in-process datapaths of its own, so that two switches in memory
    can each have a port "p1". `with scope:` makes it the current one; a process starts in one.
    """

    def __init__(self) -> None:
        self.open: dict[str, tuple[Netdev, int]] = {}
        """Device by name, and how often it is open."""
        self.dummy_instead: set[str] = set()
        """Port types that a dummy stands in for."""
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


def netdev_from_name(name: str) -> Netdev | None:
    """The open device `name`, not opened once more."""
    found = _scope.open.get(name)
    return found[0] if found else None


def opened() -> list[Netdev]:
    """All open devices, by name."""
    return [_scope.open[name][0] for name in sorted(_scope.open)]
