"""The real ovs-ofctl can't tell our switch from the real one: each command, in each version."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ofctl.scenario import VERSIONS, Result, prepare, read_scenarios, run
from tests.oracle.real import RealSwitch

pytestmark = pytest.mark.system

SCENARIOS = read_scenarios(Path(__file__).with_name("scenarios.txt"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_ovs_ofctl_sees_no_difference(
    switches: tuple[RealSwitch, RealSwitch], name: str, version: str
) -> None:
    def results(switch: RealSwitch) -> list[Result]:
        prepare(switch)
        return [run(switch, version, command) for command in SCENARIOS[name]]

    # Both at once: most of the time goes into starting ovs-ofctl.
    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(results, switches)
    differ = [
        f"ovs-ofctl -O {version} {command}\n--- theirs: {real}\n--- ours: {mine}"
        for command, real, mine in zip(SCENARIOS[name], theirs, ours, strict=True)
        if real != mine
    ]
    assert not differ, f"{len(differ)} of {len(SCENARIOS[name])} differ:\n" + "\n".join(differ)


def test_there_are_enough_of_them() -> None:
    assert sum(map(len, SCENARIOS.values())) * len(VERSIONS) >= 400
