"""ovsdbapp, the library by which OpenStack's agents and others configure a switch, on `vswitch up` and on the
real pair: the same answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.pair import Real
from tests.cli.place import Place

pytestmark = pytest.mark.system


@pytest.fixture
def real(require: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-vsctl")
    side = Real(tmp_path_factory.mktemp("real"))
    side.start()
    try:
        yield side
    finally:
        side.close()


def told(directory: Path) -> Any:
    program = Path(__file__).with_name("openstack.py")
    ran = subprocess.run(
        [sys.executable, str(program), str(directory / "db.sock")],
        capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_agents_see_no_difference(place: Place, tmp_path: Path, real: Real) -> None:
    seen = told(tmp_path)
    assert seen[2] == ["br-int", "br-tun"]
    assert seen == told(real.directory)
