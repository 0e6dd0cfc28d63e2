"""Our switch and the real one, each with a database; started once a module, emptied for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.bridge.pair import Ours, Real, Side


def _served(side: Side) -> Iterator[Side]:
    try:
        side.start()
        yield side
    finally:
        side.close()


@pytest.fixture(scope="package")
def _real(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-vsctl")
    yield from _served(Real(tmp_path_factory.mktemp("real")))


@pytest.fixture(scope="package")
def _ours(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    require("command:ovsdb-server", "command:ovs-vsctl")
    yield from _served(Ours(tmp_path_factory.mktemp("ours")))


def _empty(side: Side) -> None:
    side.vsctl("emer-reset")
    names = side.run("ovs-vsctl", "list-br").split()
    if names:
        side.vsctl(" -- ".join(f"del-br {name}" for name in names))
    side.vsctl("clear Open_vSwitch . other_config -- clear Open_vSwitch . datapaths")


@pytest.fixture
def ours(_ours: Side) -> Side:
    """Our switch without bridges."""
    _empty(_ours)
    return _ours


@pytest.fixture
def real(_real: Side) -> Side:
    """The real switch without bridges."""
    _empty(_real)
    return _real
