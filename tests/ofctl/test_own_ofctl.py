"""`vswitch ofctl` on our switch says and does what ovs-ofctl does on the real one, and sends
the same messages, byte for byte apart from xids: the same scenarios."""

from __future__ import annotations

import dataclasses
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ofctl.recorder import Recorder
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
SENDS = re.compile(
    r"OpenFlow1[45] mod-table \S+ \S+ name:.*|OpenFlow10 (queue-get-config br0|del-flows br0 cookie=.*"
    r"|replace-flows br0 -|packet-out br0 .*tun_metadata.*)"
)
"""The commands that send something else: with a table's name ovs-ofctl sends the properties that the switch
told back for 1.4, ours for 1.5; in 1.0 it asks for queues in the order of a hash table, names no table
when it replaces flows of several (so that those of others stay), sends the new cookie 0 with deletions, which
have none, and chooses Nicira's flow format before a packet-out."""


def told(result: Result) -> Result:
    out, err = (NAME.sub("ofctl", LOGGED.sub("", text)) for text in (result.out, result.err))
    return dataclasses.replace(result, out=out, err=err)


@pytest.mark.parametrize(("name", "version"), CASES)
def test_our_own_tool_sees_no_difference(
    switches: tuple[RealSwitch, RealSwitch], monkeypatch: pytest.MonkeyPatch, name: str, version: str
) -> None:
    theirs, ours = switches
    with ThreadPoolExecutor(2) as both, Recorder(theirs.directory) as real, Recorder(ours.directory) as own:
        list(both.map(prepare, switches))

        def run_real() -> list[tuple[Result, list[bytes]]]:
            return [
                (told(run(theirs, version, command, real.directory)), real.take())
                for command in SCENARIOS[name]
            ]

        wanted = both.submit(run_real)
        mine = [
            (told(run_own(ours, version, command, monkeypatch, own.directory)), own.take())
            for command in SCENARIOS[name]
        ]
        compared = list(zip(SCENARIOS[name], wanted.result(), mine, strict=True))
    differ = [
        f"-O {version} {command}\n--- theirs: {one}\n--- ours: {other}"
        for command, (one, _), (other, _) in compared
        if one != other and not any(word in REASONS for word in (str(command), command.words[0]))
    ]
    differ += [
        f"-O {version} {command} sends\n--- theirs: {shown(one)}\n--- ours: {shown(other)}"
        for command, (_, one), (_, other) in compared
        if one != other and not SENDS.fullmatch(f"{version} {command}")
    ]
    assert not differ, f"{len(differ)} of {len(SCENARIOS[name])} differ:\n" + "\n".join(differ)


def shown(sent: list[bytes]) -> str:
    return " ".join(message.hex() for message in sent)
