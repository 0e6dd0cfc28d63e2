"""Meters at work in the userspace datapath, and their translations beside the real switch's."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from vswitch import Switch
from vswitch.openflow.errors import OfpError
from vswitch.openflow.group_text import parse_meter
from vswitch.openflow.messages import meter as m

UDP = "udp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_tos={},udp_src=5,udp_dst=6"


@pytest.fixture
def sw() -> Iterator[Switch]:
    with Switch(ports=["p1", "p2", "p3"]) as switch:
        yield switch


def meter(sw: Switch, text: str, command: int = m.OFPMC_ADD) -> None:
    if command == m.OFPMC_ADD:
        sw.add_meter(text)
        return
    sw.ofproto.meters.mod(parse_meter(text, command), sw.clock.now())
    sw.flows()  # what the meter changed is translated anew


def stats(sw: Switch, meter_id: int) -> m.MeterStats:
    (found,) = sw.ofproto.meters.stats(sw.clock.now(), meter_id)
    return found


def send(sw: Switch, n: int, tos: int = 0) -> int:
    """How many of `n` packets come out of p2."""
    for _ in range(n):
        sw.send("p1", UDP.format(tos))
    return len(sw.received("p2"))


def test_packets_above_the_rate_are_dropped_and_counted(sw: Switch) -> None:
    meter(sw, "meter=1,pktps,bands=type=drop,rate=10")
    sw.add_flow("in_port=p1,actions=meter:1,output:p2")
    assert send(sw, 25) == 10
    sw.advance(0.5)
    assert send(sw, 25) == 5
    found = stats(sw, 1)
    assert (found.flow_count, found.packet_in_count) == (1, 50)
    assert found.bands[0][0] == 50 - 15


def test_a_burst_passes_and_then_the_rate_holds(sw: Switch) -> None:
    meter(sw, "meter=1,pktps,burst,bands=type=drop,rate=10,burst_size=30")
    sw.add_flow("in_port=p1,actions=meter:1,output:p2")
    assert send(sw, 50) == 30
    sw.advance(1)
    assert send(sw, 50) == 10


def test_kilobits_are_bits_of_whole_frames(sw: Switch) -> None:
    meter(sw, "meter=1,kbps,burst,bands=type=drop,rate=8,burst_size=8")
    sw.add_flow("in_port=p1,actions=meter:1,output:p2")
    sw.send("p1", UDP.format(0))
    (frame,) = sw.received("p2")
    fit = 8000 // (len(frame) * 8)
    assert send(sw, 50) == fit - 1


def test_dscp_remark_raises_the_drop_precedence_of_what_is_above_the_rate(sw: Switch) -> None:
    meter(sw, "meter=1,pktps,bands=type=dscp_remark,rate=1,prec_level=1")
    sw.add_flow("in_port=p1,actions=meter:1,output:p2")
    af11 = 10 << 2
    for _ in range(3):
        sw.send("p1", UDP.format(af11))
    assert [frame[15] for frame in sw.received("p2")] == [10 << 2, 12 << 2, 12 << 2]


def test_a_modified_meter_has_another_rate_for_the_same_flows(sw: Switch) -> None:
    meter(sw, "meter=1,pktps,bands=type=drop,rate=10")
    sw.add_flow("in_port=p1,actions=meter:1,output:p2")
    send(sw, 50)
    meter(sw, "meter=1,pktps,bands=type=drop,rate=20", m.OFPMC_MODIFY)
    assert send(sw, 50) == 20


def test_the_flows_of_a_deleted_meter_go_with_it(sw: Switch) -> None:
    meter(sw, "meter=1,pktps,bands=type=drop,rate=10")
    meter(sw, "meter=2,pktps,bands=type=drop,rate=10")
    sw.add_flows("tcp,actions=meter:1,output:2\nudp,actions=meter:2,output:2\narp,actions=drop")
    assert [stats(sw, n).flow_count for n in (1, 2)] == [1, 1]
    meter(sw, "meter=1", m.OFPMC_DELETE)
    assert [str(rule.match) for rule in sw.flows()] == ["arp", "udp"]
    with pytest.raises(OfpError, match="OFPMMFC_UNKNOWN_METER"):
        stats(sw, 1)
    meter(sw, "meter=all", m.OFPMC_DELETE)
    assert [str(rule.match) for rule in sw.flows()] == ["arp"]


def test_bridges_have_meters_of_their_own_in_one_datapath(sw: Switch) -> None:
    sw.add_bridge("br1")
    other = sw._ofprotos.all_ofproto_dpifs["br1"]
    meter(sw, "meter=1,pktps,bands=type=drop,rate=10")
    other.meters.mod(parse_meter("meter=1,pktps,bands=type=drop,rate=77"), 0)
    numbers = [bridge.meters.number(1) for bridge in (sw.ofproto, other)]
    assert numbers == [0, 1]
    sw._ofprotos.destroy("br1")
    meter(sw, "meter=2,pktps,bands=type=drop,rate=5")
    assert sw.ofproto.meters.number(2) == 1, "what the other bridge gave back"


def test_the_controller_meter_limits_only_what_goes_to_controllers(sw: Switch) -> None:
    sw.add_flow("in_port=p1,actions=controller,output:p2")
    assert send(sw, 4) == 4
    assert len(sw.packet_ins()) == 4
    meter(sw, "meter=controller,pktps,bands=type=drop,rate=3")
    assert send(sw, 10) == 10
    assert len(sw.packet_ins()) == 3
    meter(sw, "meter=controller", m.OFPMC_DELETE)
    assert send(sw, 10) == 10
    assert len(sw.packet_ins()) == 10


def test_a_controller_action_can_have_a_meter_of_its_own(sw: Switch) -> None:
    meter(sw, "meter=5,pktps,bands=type=drop,rate=2")
    sw.add_flow("in_port=p1,actions=controller(meter_id=5),output:p2")
    assert send(sw, 10) == 10
    assert len(sw.packet_ins()) == 2
    assert stats(sw, 5).flow_count == 0, "as in Open vSwitch, which counts only the meter action"


def test_the_slow_path_has_a_meter(sw: Switch) -> None:
    sw.add_flow("in_port=p1,actions=debug_slow,output:p2")
    assert send(sw, 4) == 4
    meter(sw, "meter=slowpath,pktps,bands=type=drop,rate=3")
    assert send(sw, 20) < 20
    assert stats(sw, m.OFPM_SLOWPATH).packet_in_count >= 19


def test_a_datapath_flow_names_the_datapaths_meter(sw: Switch) -> None:
    meter(sw, "meter=9,pktps,bands=type=drop,rate=10")
    sw.add_flow("in_port=p1,actions=meter:9,output:p2")
    send(sw, 2)
    assert re.search(r"actions:meter\(0\),", sw.dump_dp_flows())
