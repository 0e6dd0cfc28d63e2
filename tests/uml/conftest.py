"""The `uml` fixture: user-mode Linux for one test, with its own exchange directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.uml import harness

collect_ignore = [] if os.environ.get("VSWITCH_UML") else ["inside"]


class Uml:
    """Runs scripts, or pytest files, inside; `exchange` is where files pass through."""

    def __init__(self, exchange: Path) -> None:
        self.exchange = exchange

    def run(self, script: str, **options: Any) -> harness.Result:
        """`harness.run` in this test's exchange directory."""
        return harness.run(script, self.exchange, **options)

    def pytest(self, *args: str, timeout: float = 300.0, **options: Any) -> str:
        """Run pytest inside on `args`; its output, AssertionError with it unless all passed."""
        command = f"{sys.executable} -m pytest -q -p no:cacheprovider --tb=short --color=no {' '.join(args)}"
        return self.run(command + "\n", timeout=timeout, **options).check()


@pytest.fixture
def uml(require: Callable[..., None], tmp_path: Path) -> Uml:
    require("uml")
    return Uml(tmp_path)
