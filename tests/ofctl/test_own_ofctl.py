"""`vswitch ofctl` on our switch says and does what ovs-ofctl does on the real one: the same scenarios."""

from __future__ import annotations

import dataclasses
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ofctl.scenario import VERSIONS, Result, prepare, read_scenarios, run, run_own
from tests.oracle.real import RealSwitch
from tests.whole import sample

pytestmark = pytest.mark.system

SCENARIOS = read_scenarios(Path(__file__).with_name("scenarios.txt"))
CASES = sample([(name, version) for name in SCENARIOS for version in VERSIONS], 2 * len(SCENARIOS))
NAME = re.compile(r"(ovs-|vswitch )ofctl")
LOGGED = re.compile(
    r"LOG\|\S+\|INFO\|.*\n|^LOG\|\S+\|WARN\|.*\n(?:\d{8}  (?!0[1-6] ).*\n)*", re.MULTILINE
)
"""What ovs-ofctl logs beside its output and its error; ours says it once."""

REASONS = {
    "add-flow br0 actions=goto_table:0": "of what is refused ovs-ofctl prints the bytes, ours what they say",
    "--sort": "flows of the same rank come in the order of a hash table",
    "--rsort=priority": "the same",
    "--sort=tp_dst": "the same",
}
"""The commands that may say something else, and why."""


def told(result: Result) -> Result:
    out, err = (NAME.sub("ofctl", LOGGED.sub("", text)) for text in (result.out, result.err))
    return dataclasses.replace(result, out=out, err=err)


@pytest.mark.parametrize(("name", "version"), CASES)
def test_our_own_tool_sees_no_difference(
    switches: tuple[RealSwitch, RealSwitch], monkeypatch: pytest.MonkeyPatch, name: str, version: str
) -> None:
    theirs, ours = switches
    with ThreadPoolExecutor(2) as both:
        list(both.map(prepare, switches))
        real = both.submit(lambda: [told(run(theirs, version, command)) for command in SCENARIOS[name]])
        mine = [told(run_own(ours, version, command, monkeypatch)) for command in SCENARIOS[name]]
        wanted = real.result()
    for command, one in zip(SCENARIOS[name], wanted, strict=True):
        if any(word in REASONS for word in (str(command), command.words[0])):
            mine[SCENARIOS[name].index(command)] = one
    differ = [
        f"-O {version} {command}\n--- theirs: {one}\n--- ours: {other}"
        for command, one, other in zip(SCENARIOS[name], wanted, mine, strict=True)
        if one != other
    ]
    assert not differ, f"{len(differ)} of {len(SCENARIOS[name])} differ:\n" + "\n".join(differ)
