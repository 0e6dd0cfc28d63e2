"""Differences that random sequences once found, each as the shortest sequence that shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.ofctl.scenario import prepare
from tests.ofctl.test_sequences import Controller, differences, empty
from tests.oracle.real import RealSwitch
from vswitch.flow.match_text import parse_match
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.constants import OFPP_ANY
from vswitch.openflow.flow_mod import FlowModCommand
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages.packet import PacketOut
from vswitch.openflow.messages.session import Error

pytestmark = pytest.mark.system

PACKET = bytes.fromhex("ffffffffffff5054000000018899" + "00" * 46)


def out(actions: str, in_port: int = 1) -> PacketOut:
    return PacketOut(PACKET, parse_actions(actions), parse_match(f"in_port={in_port}"))


def add(text: str) -> Any:
    return parse_flow(text, FlowModCommand.ADD)


CASES: dict[str, tuple[int, Callable[[], list[Any]]]] = {
    # A group that resubmits to the table which outputs to it: the packet-out is refused.
    "a packet-out whose translation fails is refused": (6, lambda: [
        g.GroupMod(g.OFPGC_ADD, g.OFPGT_INDIRECT, 1,
                   (g.Bucket(parse_actions("resubmit(,1)"), 0, OFPP_ANY, g.OFPG_ANY, 0),)),
        add("table=1,priority=5,actions=group:1"),
        add("table=0,priority=5,actions=group:1"),
        out("TABLE"),
    ]),
    # The client itself is below 1.3, though no controller is configured.
    "a miss is for controllers while a client of 1.0 is there": (1, lambda: [
        add("priority=5,arp,actions=drop"),
    ]),
    "a flow mod of Nicira's form names its table from 1.1 on": (2, lambda: [
        add("table=0,priority=5,tcp,tp_dst=80,actions=output:2"),
        add("table=1,priority=5,tcp,tp_dst=80,actions=output:2"),
        parse_flow("table=0,tcp,tp_dst=0x50/0xfff0", FlowModCommand.DELETE),
    ]),
    "a modification of 1.0 that finds nothing adds": (1, lambda: [
        parse_flow("priority=7,udp,actions=output:3", FlowModCommand.MODIFY),
    ]),
}  # fmt: skip


@pytest.fixture(scope="module")
def bridges(switches: tuple[RealSwitch, RealSwitch]) -> tuple[RealSwitch, RealSwitch]:
    for switch in switches:
        prepare(switch)
    return switches


@pytest.mark.parametrize("name", CASES)
def test_no_longer_a_difference(bridges: tuple[RealSwitch, RealSwitch], name: str) -> None:
    version, sequence = CASES[name]
    assert differences(bridges, version, [sequence()]) == []


def test_the_refused_packet_out_gets_its_error(bridges: tuple[RealSwitch, RealSwitch]) -> None:
    version, sequence = CASES["a packet-out whose translation fails is refused"]
    for switch in bridges:
        controller = Controller(f"{switch.directory}/br0.mgmt", version)
        try:
            controller.ask(empty(version))
            said = [body for _, body in controller.ask(sequence())]
            controller.ask(empty(version))
        finally:
            controller.close()
        assert [body.name for body in said if isinstance(body, Error)] == ["OFPFMFC_UNKNOWN"]
