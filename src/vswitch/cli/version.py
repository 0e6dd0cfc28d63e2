"""Which vswitch this is: version number, and whether its hot modules are compiled."""

from __future__ import annotations

import platform
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import vswitch


def compiled_modules() -> list[str]:
    """Dotted names of the modules that Python loads as machine code."""
    top = Path(vswitch.__file__ or "").parent
    suffix = EXTENSION_SUFFIXES[0]
    found = []
    for p in top.rglob("*" + suffix):
        parts = p.relative_to(top.parent).parts
        found.append(".".join(parts).removesuffix(suffix))
    return sorted(found)


def version_text() -> str:
    """One line: name, version, how it was built, the Python that runs it."""
    n = len(compiled_modules())
    how = f"compiled, {n} modules" if n else "interpreted"
    return f"vswitch {vswitch.__version__} ({how}; Python {platform.python_version()})"
