"""Modules that can't be imported for a while, and modules that are loaded late."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from vswitch.base.sparing import absent


def test_what_is_not_loaded_is_absent_within_only() -> None:
    sys.modules.pop("wave", None)
    with absent("wave", "sys"):
        assert importlib.import_module("sys") is sys
        with pytest.raises(ImportError):
            importlib.import_module("wave")
    importlib.import_module("wave")


def test_it_is_back_after_an_error() -> None:
    sys.modules.pop("wave", None)
    with pytest.raises(KeyError), absent("wave"):
        raise KeyError
    importlib.import_module("wave")


LATE = """
import sys
from vswitch.base.sparing import put_off
with put_off("colorsys", "sys", "nosuchmodule"):
    import colorsys
    import sys as again
    try:
        import nosuchmodule
    except ImportError as e:
        assert e.name == "nosuchmodule"
assert "ONE_THIRD" not in object.__getattribute__(colorsys, "__dict__")
assert colorsys.rgb_to_hsv(1, 0, 0) == (0.0, 1.0, 1.0)
assert "ONE_THIRD" in object.__getattribute__(colorsys, "__dict__")
assert again is sys and sys.maxsize
import wave
assert "open" in object.__getattribute__(wave, "__dict__")
"""


def test_what_is_put_off_is_loaded_when_it_is_used() -> None:
    subprocess.run([sys.executable, "-c", LATE], check=True)


UNUSED = """
import sys
import vswitch.cli.vswitchd, vswitch.daemon.serve, vswitch.daemon.vswitchd
loaded = {name for name, module in sys.modules.items()
          if type(module).__name__ != "_LazyModule" and name.partition(".")[0] in sys.argv[1:]}
print(" ".join(sorted(loaded)))
"""
SPARED = (
    "asyncio", "uvloop", "ssl", "_ssl", "_hashlib", "hashlib", "inspect", "ast", "dis", "pickle",
    "concurrent", "sortedcontainers", "eventlet", "subprocess", "typer", "rich", "click", "starlette",
    "uvicorn", "xml", "email", "http", "multiprocessing", "prometheus_client",
)  # fmt: skip


def test_the_switch_does_not_load_what_it_does_not_need() -> None:
    ran = subprocess.run([sys.executable, "-c", UNUSED, *SPARED], check=True, capture_output=True, text=True)
    assert ran.stdout.split() == []
