"""`ofproto/trace --ct-next`: what connection tracking is supposed to answer, or why it can't have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.oracle.compare import normalized
from tests.oracle.ours import OurSwitch
from tests.oracle.real import OracleError, RealSwitch
from tests.oracle.setup import Bridge, Port, Setup

pytestmark = pytest.mark.system

FLOWS = [
    "table=0,ip,actions=ct(table=1),ct(table=1,zone=2)",
    "table=1,ip,ct_state=+new,actions=ct(commit,table=2),output:1",
    "table=1,ip,ct_state=+est,actions=output:2",
    "table=1,ip,ct_state=+inv,actions=output:3",
    "table=2,actions=output:3",
]
SETUP = Setup("ct-next", [Bridge("br0", {}, [Port("p1"), Port("p2"), Port("p3")], FLOWS)])


@pytest.fixture(scope="module")
def switches(real: RealSwitch) -> Iterator[tuple[RealSwitch, OurSwitch]]:
    ours = OurSwitch()
    real.configure(SETUP)
    ours.configure(SETUP)
    yield real, ours
    ours.close()


def answer(switch: RealSwitch | OurSwitch, states: tuple[str, ...]) -> str:
    options = [word for state in states for word in ("--ct-next", state)]
    try:
        text = switch.appctl("ofproto/trace", "br0", "in_port=LOCAL,tcp", *options)
    except OracleError as error:
        return f"error: {error}"
    return normalized(text, switch.port_names())


@pytest.mark.parametrize(
    "states",
    [
        (), ("trk,est",), ("trk,est", "trk,inv"), ("trk,new", "trk,est", "trk,rel,est"), ("",), ("trk new",),
        ("est",), ("foo",), ("trk,foo",), ("new|trk",), ("inv,trk,est",), ("new,est,trk",), ("rpl,trk,new",),
    ],
)  # fmt: skip
def test_states_that_follow(switches: tuple[RealSwitch, OurSwitch], states: tuple[str, ...]) -> None:
    real, ours = switches
    assert answer(ours, states) == answer(real, states)
