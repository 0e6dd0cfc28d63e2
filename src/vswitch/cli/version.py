"""Which vswitch this is: version number, and whether its hot modules are compiled."""

from __future__ import annotations

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES

import vswitch


def compiled_modules() -> list[str]:
    """Dotted names of the modules that Python loads as machine code."""
    top = os.path.dirname(vswitch.__file__ or "")
    suffix = EXTENSION_SUFFIXES[0]
    found = []
    for directory, _, names in os.walk(top):
        package = os.path.relpath(directory, os.path.dirname(top)).replace(os.sep, ".")
        found += [f"{package}.{name.removesuffix(suffix)}" for name in names if name.endswith(suffix)]
    return sorted(found)


def python_version() -> str:
    """The version of the Python that runs this."""
    return sys.version.split()[0]


def version_text() -> str:
    """One line: name, version, how it was built, the Python that runs it."""
    n = len(compiled_modules())
    how = f"compiled, {n} modules" if n else "interpreted"
    return f"vswitch {vswitch.__version__} ({how}; Python {python_version()})"
