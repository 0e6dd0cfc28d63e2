"""Table mods, packet-outs, bundles and whole messages, as an OpenFlow connection has them carried out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vswitch import Switch
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import table as t
from vswitch.openflow.messages.session import BarrierRequest, EchoReply, EchoRequest
from vswitch.openflow.wire.version import OFP14

Make = Callable[..., Switch]


def test_a_packet_out_takes_its_actions_or_meets_the_table(switch: Make) -> None:
    sw = switch("in_port=p1,tcp,actions=output:p3")
    sw.packet_out("tcp,tp_dst=80", "output:p2")
    assert {port: len(packets) for port, packets in sw.received_all().items()} == {"p2": 1}
    sw.packet_out("tcp,tp_dst=80", "output:TABLE", in_port="p1")
    assert list(sw.received_all()) == ["p3"]
    sw.packet_out("tcp,nw_ttl=9", "dec_ttl,output:p2")
    assert sw.received("p2")[0][22] == 8
    assert sw.n_packets("tcp") == 1


def test_a_packet_out_is_refused_as_on_a_connection(switch: Make) -> None:
    sw = switch()
    with pytest.raises(OfpError, match="OFPBAC_BAD_OUT_PORT"):
        sw.packet_out("tcp", "output:65300")
    with pytest.raises(OfpError, match="OFPBAC_BAD_OUT_GROUP"):
        sw.packet_out("tcp", "group:7")
    with pytest.raises(FlowSyntaxError, match="p9 is not a valid OpenFlow port"):
        sw.packet_out("tcp", "output:p2", in_port="p9")
    assert sw.received_all() == {}


def test_a_table_can_say_where_misses_go(switch: Make) -> None:
    sw = switch("table=1,priority=0,actions=output:p2")
    sw.send("p1", "tcp")
    assert sw.received_all() == {}
    sw.mod_table(None, "continue")
    sw.send("p1", "tcp")
    assert list(sw.received_all()) == ["p2"]
    sw.mod_table(3, "vacancy:20,80")
    (reply,) = sw.request(t.TableDescRequest(), OFP14)
    assert reply.tables[3].vacancy == t.Vacancy(20, 80, 100)
    with pytest.raises(FlowSyntaxError, match="invalid table_mod setting evicted"):
        sw.mod_table(0, "evicted")


def test_a_bundle_is_carried_out_in_its_order_and_as_a_whole(switch: Make) -> None:
    sw = switch()
    packet = "ff" * 12 + "1234" + "00" * 46
    sw.bundle(f"""
        flow add in_port=p1,actions=output:p2   # while it is there, the packet meets it
        packet-out in_port=p1,packet={packet},actions=output:TABLE
        flow delete in_port=p1
        group group_id=1,type=all,bucket=output:p2
        flow add actions=group:1
    """)
    assert list(sw.received_all()) == ["p2"]
    assert [str(rule.match) for rule in sw.flows()] == [""]
    with pytest.raises(OfpError, match="OFPBAC_BAD_OUT_GROUP"):
        sw.bundle("flow add tcp,actions=output:p3\nflow add udp,actions=group:9")
    assert len(sw.flows()) == 1
    with pytest.raises(FlowSyntaxError, match="Unsupported bundle message type: port"):
        sw.bundle("port p1 down")


def test_any_message_can_be_sent(switch: Make) -> None:
    sw = switch()
    assert sw.request(EchoRequest(b"hello")) == [EchoReply(b"hello")]
    assert len(sw.request(BarrierRequest())) == 1
