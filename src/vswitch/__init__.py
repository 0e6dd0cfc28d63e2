"""vswitch: a complete virtual switch in Python.

Importing this package costs nothing: `Switch`, the whole switch as an object in memory, is
loaded when it is first asked for. Start reading at ARCHITECTURE.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vswitch.switch import Switch

    __version__: str

__all__ = ["Switch", "__version__"]


def __getattr__(name: str) -> object:
    if name == "Switch":
        return import_module("vswitch.switch").Switch
    if name == "__version__":
        return import_module("vswitch.base.version").VERSION
    raise AttributeError(f"module 'vswitch' has no attribute {name!r}")
