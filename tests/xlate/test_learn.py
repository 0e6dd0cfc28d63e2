"""Flows that packets teach, and flows that packets end: learn and fin_timeout on a switch that forwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vswitch import Switch

LEARN = "learn(table=10,{}NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])"
FLOWS = "table=0,actions={},resubmit(,10)\ntable=10,priority=0,actions=output:p3"


@pytest.fixture
def sw() -> Iterator[Switch]:
    with Switch("br0", ("p1", "p2", "p3")) as made:
        yield made


def setup(sw: Switch, arguments: str = "") -> None:
    sw.add_flows(FLOWS.format(LEARN.format(arguments)))


def sent(sw: Switch, port: str, src: int, dst: int, more: str = "") -> list[str]:
    """The ports that a packet between two addresses comes out of."""
    sw.received_all()
    sw.send(port, f"dl_src=50:54:00:00:00:{src:02x},dl_dst=50:54:00:00:00:{dst:02x}{more}")
    return sorted(sw.received_all())


def learned(sw: Switch, table: int = 10) -> list[str]:
    return [str(rule.match) for rule in sw.flows(f"table={table}") if rule.priority]


def test_the_answer_goes_where_the_question_came_from(sw: Switch) -> None:
    setup(sw)
    assert sent(sw, "p1", 1, 2) == ["p3"]
    assert learned(sw) == ["dl_dst=50:54:00:00:00:01"]
    assert sent(sw, "p2", 2, 1) == ["p1"]
    assert sent(sw, "p1", 1, 2) == ["p2"]


def test_a_host_that_moves_is_learned_anew(sw: Switch) -> None:
    setup(sw)
    sent(sw, "p1", 1, 9)
    assert sent(sw, "p3", 2, 1) == ["p1"]
    sent(sw, "p2", 1, 9)
    assert sent(sw, "p3", 2, 1) == ["p2"]
    assert learned(sw) == ["dl_dst=50:54:00:00:00:01", "dl_dst=50:54:00:00:00:02"]


def test_packets_that_the_datapath_forwards_keep_a_learned_flow_young(sw: Switch) -> None:
    setup(sw, "hard_timeout=10,")
    sent(sw, "p1", 1, 2)
    for _ in range(10):
        sw.advance(3)
        sent(sw, "p1", 1, 2)
    assert learned(sw) == ["dl_dst=50:54:00:00:00:01"]
    sw.advance(13)
    assert learned(sw) == []


def test_a_learned_flow_that_expired_comes_back_with_the_next_packet(sw: Switch) -> None:
    setup(sw, "idle_timeout=2,")
    sent(sw, "p1", 1, 2)
    sw.advance(4)
    assert learned(sw) == []
    sent(sw, "p1", 1, 2)
    sw.advance(1)
    assert learned(sw) == ["dl_dst=50:54:00:00:00:01"]


def test_a_deleted_learned_flow_comes_back_with_packets_that_only_the_datapath_saw(sw: Switch) -> None:
    setup(sw)
    for _ in range(3):
        sent(sw, "p1", 1, 2)
    sw.del_flows("table=10,dl_dst=50:54:00:00:00:01")
    sw.advance(2)
    sent(sw, "p1", 1, 2)
    sw.advance(2)
    assert learned(sw) == ["dl_dst=50:54:00:00:00:01"]


def test_no_more_flows_are_learned_than_the_limit_and_the_packet_knows(sw: Switch) -> None:
    sw.add_flows("""
        table=0,actions=learn(table=10,cookie=7,limit=2,result_dst=reg0[0],NXM_OF_ETH_SRC[]),resubmit(,1)
        table=1,reg0=1,actions=output:p2
        table=1,reg0=0,actions=output:p3
    """)
    assert [sent(sw, "p1", n, 9) for n in (1, 2, 3, 1)] == [["p2"], ["p2"], ["p3"], ["p2"]]
    assert len(learned(sw)) == 2
    sw.del_flows("table=10,dl_src=50:54:00:00:00:01")
    assert sent(sw, "p1", 3, 9) == ["p2"]


@pytest.mark.parametrize("how", ["delete", "replace", "modify", "expire"])
def test_learned_flows_go_with_the_last_flow_that_made_them(sw: Switch, how: str) -> None:
    maker = "learn(table=10,delete_learned,cookie=0x5,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"
    sw.add_flows(f"""
        table=0,in_port=p1,hard_timeout=20,actions={maker}
        table=0,in_port=p2,actions=clone({maker})
        table=10,cookie=6,dl_dst=50:54:00:00:00:77,actions=drop
    """)
    sent(sw, "p1", 1, 9)
    sent(sw, "p2", 2, 9)
    assert len(learned(sw)) == 3
    sw.del_flows("table=0,in_port=p2")
    assert len(learned(sw)) == 3
    if how == "delete":
        sw.del_flows("table=0,in_port=p1")
    elif how == "replace":
        sw.add_flow("table=0,in_port=p1,actions=drop")
    elif how == "modify":
        sw.mod_flows("table=0,in_port=p1,actions=drop")
    else:
        sw.advance(25)
    assert learned(sw) == ["dl_dst=50:54:00:00:00:77"]


def test_a_trace_without_a_packet_learns_nothing_and_one_with_a_packet_does(sw: Switch) -> None:
    setup(sw)
    flow = "in_port=p1,dl_src=50:54:00:00:00:01"
    assert "suppressing side effects, so learn action ignored" in sw.trace(flow)
    assert learned(sw) == []
    assert "-> table=10 dl_dst=50:54:00:00:00:01 priority=32768 actions=output:1" in sw.command(
        "ofproto/trace", "br0", flow, "-generate"
    )
    assert learned(sw) == ["dl_dst=50:54:00:00:00:01"]


TCP = ",tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tcp_src=1,tcp_dst=2,tcp_flags="


@pytest.mark.parametrize(("flags", "idle", "hard"), [("ack", 60, 90), ("fin|ack", 5, 90), ("rst", 5, 90)])
def test_the_end_of_a_connection_shortens_the_timeouts(sw: Switch, flags: str, idle: int, hard: int) -> None:
    sw.add_flow("tcp,idle_timeout=60,hard_timeout=90,actions=fin_timeout(idle_timeout=5,hard_timeout=200)")
    number = {"ack": "0x10", "fin|ack": "0x11", "rst": "4"}[flags]
    sent(sw, "p1", 1, 2, TCP + "0x10")
    sent(sw, "p1", 1, 2, TCP + number)
    sw.advance(2)
    (rule,) = sw.flows("tcp")
    assert (rule.idle_timeout, rule.hard_timeout) == (idle, hard)


def test_a_flow_without_timeouts_gets_them_from_a_fin(sw: Switch) -> None:
    sw.add_flow("tcp,actions=fin_timeout(idle_timeout=5)")
    sent(sw, "p1", 1, 2, TCP + "0x11")
    sw.advance(4)
    assert len(sw.flows("tcp")) == 1
    sw.advance(6)
    assert sw.flows("tcp") == []


def test_learned_flows_end_with_the_connection_that_taught_them(sw: Switch) -> None:
    sw.add_flows("""
        table=0,tcp,actions=learn(table=1,fin_idle_timeout=3,idle_timeout=50,eth_type=0x800,nw_proto=6,\
NXM_OF_IP_SRC[]),resubmit(,1)
    """)
    sent(sw, "p1", 1, 2, TCP + "2")
    sent(sw, "p1", 1, 2, TCP + "0x10")
    assert [rule.idle_timeout for rule in sw.flows("table=1")] == [50]
    sent(sw, "p1", 1, 2, TCP + "0x11")
    sw.advance(2)
    assert [rule.idle_timeout for rule in sw.flows("table=1")] == [3]
