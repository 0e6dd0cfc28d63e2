"""The real ovs-ofctl can't tell our switch from the real one: each command, in each version."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ofctl.scenario import VERSIONS, prepare, read_scenarios, run
from tests.oracle.real import RealSwitch

pytestmark = pytest.mark.system

SCENARIOS = read_scenarios(Path(__file__).with_name("scenarios.txt"))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_ovs_ofctl_sees_no_difference(
    switches: tuple[RealSwitch, RealSwitch], name: str, version: str
) -> None:
    for switch in switches:
        prepare(switch)
    differ: list[str] = []
    for command in SCENARIOS[name]:
        theirs, ours = (run(switch, version, command) for switch in switches)
        if theirs != ours:
            differ.append(f"ovs-ofctl -O {version} {command}\n--- theirs: {theirs}\n--- ours: {ours}")
    assert not differ, f"{len(differ)} of {len(SCENARIOS[name])} differ:\n" + "\n".join(differ)


def test_there_are_enough_of_them() -> None:
    assert sum(map(len, SCENARIOS.values())) * len(VERSIONS) >= 400
