"""Both trackers, started once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conntrack.pair import OurTracker, RealTracker
from tests.oracle.real import RealSwitch


@pytest.fixture(scope="session")
def real_tracker(
    require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealTracker]:
    """The real ovs-vswitchd with an empty database."""
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-ofctl")
    switch = RealSwitch(tmp_path_factory.mktemp("ct"))
    try:
        switch.start()
        yield RealTracker(switch)
    finally:
        switch.close()


@pytest.fixture
def our_tracker() -> Iterator[OurTracker]:
    """Ours, new for each test."""
    tracker = OurTracker()
    try:
        yield tracker
    finally:
        tracker.close()
