"""A switch for each test of flow export: the real one, and ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.oracle.real import RealSwitch
from tests.stack import OURS


@pytest.fixture(params=["real", "ours"])
def switch(
    request: pytest.FixtureRequest, tmp_path: Path, require: Callable[..., None]
) -> Iterator[RealSwitch]:
    require("command:ovs-vswitchd", "command:ovsdb-server")
    started = RealSwitch(tmp_path, OURS if request.param == "ours" else ("ovs-vswitchd",))
    try:
        started.start()
        yield started
    finally:
        started.close()
