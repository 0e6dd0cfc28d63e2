"""Both switches with the tunnels of `underlay.py`, made once for all tests that only ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.bridge.pair import Ours, Real, Side
from tests.tunnels.underlay import configure


def _two(
    require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Side, Side]]:
    require("command:ovs-vswitchd", "command:ovsdb-server", "command:ovs-vsctl", "command:ovs-ofctl")
    real, ours = Real(tmp_path_factory.mktemp("real")), Ours(tmp_path_factory.mktemp("ours"))
    real.options = ("--enable-dummy=system", "--disable-system", "--disable-system-route")
    ours.options = ("--dummy=system",)
    try:
        for side in (real, ours):
            side.start()
            configure(side)
        yield real, ours
    finally:
        real.close()
        ours.close()


@pytest.fixture(scope="package")
def pair(
    require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Side, Side]]:
    """The real switch and ours, on dummy devices; neither looks at the host's routes."""
    yield from _two(require, tmp_path_factory)


@pytest.fixture(scope="module")
def own_pair(
    require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Side, Side]]:
    """Likewise, for tests that other tests' routes and neighbours would disturb."""
    yield from _two(require, tmp_path_factory)
