"""A bar on the terminal while a command that takes many flows is at work."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

MANY: Final = 5000
"""From so many flows on, progress is shown."""


def shown(items: Sequence[T], what: str) -> Iterable[T]:
    """`items`, with a bar on the terminal if there are many. `what`: "sending flows"."""
    if len(items) < MANY or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, description=what, console=Console(stderr=True), transient=True)
