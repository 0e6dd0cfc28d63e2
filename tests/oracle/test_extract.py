"""Any packet, sound or not, is the same flow to the real switch and to ours."""

from __future__ import annotations

import pytest

from tests.oracle.real import RealSwitch
from tests.oracle.setup import Bridge, Port, Query, Setup
from tests.packet.frames import FRAMES, mutations
from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.flow.text import format_flow
from vswitch.packet.parse import Parser

EMPTY = Setup("one port", [Bridge("br0", {}, [Port("p1")])])


@pytest.mark.parametrize("vlan_limit", [1, 2])
def test_extracted_flows_are_those_of_the_real_switch(real: RealSwitch, vlan_limit: int) -> None:
    real.run("ovs-vsctl", "set", "open", ".", f"other_config:vlan-limit={vlan_limit}")
    try:
        real.configure(EMPTY)
        parser = Parser(vlan_limit)
        for data in [*FRAMES.values(), *mutations(1500, seed=vlan_limit)]:
            if len(data) < 14:
                continue
            traced = real.trace(Query("br0", "in_port=1", data.hex()))
            flow = Flow()
            flow.in_port = 1
            extract(data, flow, parser)
            assert f"Flow: {format_flow(flow)}" == traced.splitlines()[0], data.hex()
    finally:
        real.run("ovs-vsctl", "remove", "open", ".", "other_config", "vlan-limit")
