"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.place import Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Any) -> Iterator[Place]:
    require("root")
    for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    made = Place()
    made.run("up", "--switch-option=--enable-dummy=override")
    try:
        yield made
    finally:
        made.close()
