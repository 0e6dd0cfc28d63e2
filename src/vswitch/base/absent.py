"""Importing a library as if modules were absent that it takes in where it finds them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def absent(*names: str) -> Iterator[None]:
    """Within, those of the modules can't be imported that are not loaded yet."""
    spared = [name for name in names if name not in sys.modules]
    for name in spared:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in spared:
            del sys.modules[name]
