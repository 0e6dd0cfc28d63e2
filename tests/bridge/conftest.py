"""Our switch and the real one, each with a database; started once a package, emptied for each test.

Tests that stop the clock (marker `stopped_clock`) have a pair of their own: nothing starts it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.bridge.pair import Ours, Real, Side

Sides = Callable[[type[Side], pytest.FixtureRequest], Side]


@pytest.fixture(scope="package")
def _sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    started: dict[tuple[type[Side], bool], Side] = {}

    def side(kind: type[Side], request: pytest.FixtureRequest) -> Side:
        """The switch of a kind for this test, without bridges."""
        stopped = request.node.get_closest_marker("stopped_clock") is not None
        found = started.get((kind, stopped))
        if found is None:
            found = started[kind, stopped] = kind(tmp_path_factory.mktemp(kind.__name__.lower()))
            found.own_clock = stopped
            found.start()
        _empty(found)
        return found

    yield side
    for found in started.values():
        found.close()


def _empty(side: Side) -> None:
    side.vsctl("emer-reset")
    names = side.run("ovs-vsctl", "list-br").split()
    if names:
        side.vsctl(" -- ".join(f"del-br {name}" for name in names))
    side.vsctl("clear Open_vSwitch . other_config -- clear Open_vSwitch . datapaths")


@pytest.fixture
def ours(require: Callable[..., None], _sides: Sides, request: pytest.FixtureRequest) -> Side:
    """Our switch without bridges."""
    require("command:ovsdb-server", "command:ovs-vsctl")
    return _sides(Ours, request)


@pytest.fixture
def real(require: Callable[..., None], _sides: Sides, request: pytest.FixtureRequest) -> Side:
    """The real switch without bridges."""
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-vsctl")
    return _sides(Real, request)
