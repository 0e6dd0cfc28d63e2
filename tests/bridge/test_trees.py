"""STP and RSTP with the real switch in the same network, and the same network of real ones beside it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.bridge.links import Links, ring
from tests.bridge.pair import Side
from tests.whole import ALL

pytestmark = [pytest.mark.system, pytest.mark.stopped_clock]

KINDS = {"stp": "stp_enable=true", "rstp": "rstp_enable=true"}


def run_ring(sides: list[Side], protocol: str) -> dict[str, list[str]]:
    """What every bridge shows when the ring has come to rest, without the cable 0-1, and with it again."""
    links = Links(sides, ring(len(sides)), KINDS[protocol])
    shown: dict[str, list[str]] = {}
    wait = 60_000 if protocol == "stp" else 15_000
    links.start()
    try:
        links.warp(wait, 1000)
        shown["ring"] = links.show(f"{protocol}/show")
        links.set_link("b0-1", "down")
        links.set_link("b1-2", "down")
        links.warp(wait, 1000)
        shown["cut"] = links.show(f"{protocol}/show")
        links.set_link("b0-1", "up")
        links.set_link("b1-2", "up")
        links.warp(wait, 1000)
        shown["healed"] = links.show(f"{protocol}/show")
    finally:
        links.close()
    return shown


@pytest.mark.parametrize("protocol", ["stp", "rstp"])
@pytest.mark.parametrize("who", ["rro", "oro", "oor", "oror"] if ALL else ["oor", "oror"])
def test_a_ring_of_ours_and_real_ones_shows_what_real_ones_show(
    ours: Side, real: Side, protocol: str, who: str, real_rings: Callable[[str, int], dict[str, list[str]]]
) -> None:
    sides = [ours if kind == "o" else real for kind in who]
    assert run_ring(sides, protocol) == real_rings(protocol, len(who))


@pytest.fixture(scope="module")
def _cache() -> dict[tuple[str, int], dict[str, list[str]]]:
    return {}


@pytest.fixture
def real_rings(
    real: Side, _cache: dict[tuple[str, int], dict[str, list[str]]]
) -> Callable[[str, int], dict[str, list[str]]]:
    """What a ring of real switches shows; it is run once."""

    def shown(protocol: str, n: int) -> dict[str, list[str]]:
        if (protocol, n) not in _cache:
            _cache[protocol, n] = run_ring([real] * n, protocol)
        return _cache[protocol, n]

    return shown


def moved(sides: list[Side]) -> list[list[str]]:
    """Where bridges of a ring of three know the root's host before and after the cable to the root fails, for
    the bridge that has another way and for the one between."""
    links = Links(sides, ring(3), KINDS["rstp"])
    links.start()
    try:
        side = sides[0]
        links.warp(15_000, 1000)
        for node, of in enumerate(sides):
            assert of.vsctl(f"set bridge b{node} other_config:rstp-priority={4096 * (node + 1)}") == ""
        links.warp(8_000, 1000)
        host = "aa5500000001"
        side.appctl("netdev-dummy/receive", "b0", "ffffffffffff" + host + "1234" + "00" * 46)
        links.pause()
        before = links.show("fdb/show")
        for port in ("b2-1", "b0-2"):
            links.set_link(port, "down")
        links.warp(2_000, 500)
        return [[" ".join(text.split()[4:7]) for text in shown] for shown in (before, links.show("fdb/show"))]
    finally:
        links.close()


def test_an_alternate_port_takes_over_what_the_root_port_has_learned(ours: Side, real: Side) -> None:
    mine = moved([ours] * 3)
    assert mine == moved([real] * 3)
    assert mine[0][2] != mine[1][2]
    assert mine[1][2] != ""
