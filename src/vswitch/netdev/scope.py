"""`Scope`: the devices that are open, by name, and where in-process datapaths keep themselves."""

from __future__ import annotations

from typing import Any, Final

from vswitch.netdev.provider import Netdev


class Scope:
    """A world of devices and in-process datapaths of its own, so that two switches in memory can each have a
    port "p1". It is handed in: whoever opens a device or a datapath says in which."""

    def __init__(self) -> None:
        self.open: dict[str, tuple[Netdev, int]] = {}
        """Device by name, and how often it is open."""
        self.dummy_instead: set[str] = set()
        """Port types that a dummy stands in for."""
        self.datapaths: dict[str, Any] = {}
        """The userspace datapaths, by name; theirs to keep."""
        self.validates_actions: bool = False
        """Whether these carry actions out in two ways and compare (`odp-execute/action-impl-set`)."""

    def find(self, name: str) -> Netdev | None:
        """The open device `name`, not opened once more."""
        found = self.open.get(name)
        return found[0] if found else None

    def devices(self) -> list[Netdev]:
        """All open devices, by name."""
        return [self.open[name][0] for name in sorted(self.open)]


PROCESS: Final = Scope()
"""The scope of a process that is one switch."""
