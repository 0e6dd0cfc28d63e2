"""Which flows a request is about, told as controllers tell it: matches of 1.0 without their prerequisites,
out_port and out_group in modifications. The real switch's answers and tables, and ours."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.ofproto.test_real_replies import Step, compare
from tests.oracle.real import RealSwitch
from vswitch import Switch
from vswitch.flow.fields import by_name
from vswitch.flow.match import Match
from vswitch.flow.match_text import parse_match
from vswitch.openflow import constants as c
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand
from vswitch.openflow.messages import flow as f
from vswitch.openflow.wire.codec import encode
from vswitch.openflow.wire.version import OFP10, OFP11, VERSIONS

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def ours() -> Iterator[Switch]:
    with Switch(ports=["p1", "p2", "p3"]) as switch:
        yield switch


def said(**fields: int) -> Match:
    """A match that says just this, prerequisites or not."""
    match = Match()
    for name, value in fields.items():
        match.set(by_name(name), value)
    return match


UNPREPARED = [
    said(nw_src=0x0A000001), said(nw_dst=0x0A000001), said(nw_proto=6), said(tp_src=80), said(tp_dst=80),
    said(nw_proto=6, tp_src=5), said(nw_tos=4), said(eth_type=0x800, tp_src=5),
    said(eth_type=0x800, nw_proto=47, tp_dst=1), said(eth_type=0x806, nw_tos=4, nw_proto=2),
    said(eth_type=0x806, nw_proto=1, nw_src=7, tp_dst=80), said(eth_type=0x86DD, nw_dst=4, nw_proto=6),
    said(eth_type=0x88CC, nw_src=1, nw_proto=3), said(vlan_pcp=3), said(dl_vlan=5, nw_src=1),
    said(eth_type=0x800, nw_proto=1, tp_src=8, tp_dst=0), said(in_port=1, nw_src=9),
]  # fmt: skip


def mod(command: FlowModCommand, match: Match, actions: str = "", **more: int) -> FlowMod:
    return FlowMod(match, 7, command, 0, parse_actions(actions), **more)


@pytest.mark.parametrize("match", UNPREPARED, ids=str)
def test_flow_mods_of_1_0_lose_what_lacks_its_prerequisites(
    real: RealSwitch, ours: Switch, match: Match
) -> None:
    listing: list[Step] = [f.FlowStatsRequest(), f.FlowStatsRequest(match), f.AggregateStatsRequest(match)]
    steps: list[Step] = [mod(FlowModCommand.ADD, match, "output:2"), *listing]
    for command, actions in (
        (FlowModCommand.MODIFY_STRICT, "output:3"), (FlowModCommand.MODIFY, "output:1"),
        (FlowModCommand.DELETE_STRICT, ""), (FlowModCommand.ADD, "output:3"), (FlowModCommand.DELETE, ""),
    ):  # fmt: skip
        steps += [mod(command, match, actions), *listing]
    assert compare(real, ours, OFP10, steps) == len(steps)


def test_an_arp_packet_meets_a_flow_of_1_0_that_names_an_address(ours: Switch) -> None:
    """What keeps the hosts of such a controller's network in touch."""
    from tests.ofproto.ends import OurEnd

    end = OurEnd(ours, OFP10)
    try:
        end.ask(mod(FlowModCommand.DELETE, Match()))
        end.ask(encode(mod(FlowModCommand.ADD, said(nw_src=0x0A000001), "output:2"), OFP10, 1))
    finally:
        end.close()
    ours.received_all()
    ours.send("p1", "arp,arp_op=1,arp_spa=10.0.0.1,arp_tpa=10.0.0.2")
    assert list(ours.received_all()) == ["p2"]


OUTPUTS = [(0, 0), (1, c.OFPG_ANY), (3, c.OFPG_ANY), (c.OFPP_ANY, 0), (c.OFPP_ANY, 7), (2, 7)]
CHANGES = [FlowModCommand.MODIFY, FlowModCommand.MODIFY_STRICT, FlowModCommand.DELETE,
           FlowModCommand.DELETE_STRICT]  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_modifications_ignore_where_flows_output(real: RealSwitch, ours: Switch, version: int) -> None:
    steps: list[Step] = []
    for command, (port, group) in itertools.product(CHANGES, OUTPUTS):
        match = parse_match("in_port=1")
        steps += [
            mod(FlowModCommand.ADD, match, "output:2"),
            mod(command, match, "" if "DELETE" in command.name else "output:3",
                out_port=port, out_group=group if version >= OFP11 else c.OFPG_ANY),
            f.FlowStatsRequest(),
        ]  # fmt: skip
    assert compare(real, ours, version, steps) == len(steps)
