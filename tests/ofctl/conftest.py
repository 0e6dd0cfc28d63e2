"""The real daemons, and the real database with our daemon, once a session."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest

from tests.oracle.real import RealSwitch

VSWITCHD = (sys.executable, "-c", "from vswitch.cli.entry import vswitchd; vswitchd()")


@pytest.fixture(scope="session")
def switches(
    require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RealSwitch, RealSwitch]]:
    """(the real switch, ours)."""
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-ofctl")
    theirs = RealSwitch(tmp_path_factory.mktemp("theirs"))
    ours = RealSwitch(tmp_path_factory.mktemp("ours"), VSWITCHD)
    try:
        theirs.start()
        ours.start()
        yield theirs, ours
    finally:
        ours.close()
        theirs.close()
