"""What takes memory, as numbers: `memory/show`.

Each subsystem registers a function that counts its objects ("rules", "facets", "ports");
numbers of the same name add up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import final


@final
class MemoryReport:
    """The counting functions of one process."""

    def __init__(self) -> None:
        self._reporters: list[Callable[[], Mapping[str, int]]] = []

    def register(self, fn: Callable[[], Mapping[str, int]]) -> None:
        """Let `fn` contribute name -> number of objects."""
        self._reporters.append(fn)

    def usage(self) -> dict[str, int]:
        """The sums by name."""
        total: dict[str, int] = {}
        for fn in self._reporters:
            for name, n in fn().items():
                total[name] = total.get(name, 0) + n
        return total

    def show(self) -> str:
        """One line, as `ovs-appctl memory/show` prints it."""
        return " ".join(f"{name}:{n}" for name, n in sorted(self.usage().items()))
