"""Flow tables by their effect on packets: actions, tables, registers, counters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scapy.layers.l2 import Ether

from tests.switch.packets import A, B, frame, text_of, vlan_of
from vswitch import Switch
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.errors import OfpError

Make = Callable[..., Switch]


def outputs(sw: Switch, port: str, packet: str) -> list[str]:
    """The ports that a packet comes out of."""
    sw.received_all()
    sw.send(port, packet)
    return sorted(sw.received_all())


def test_an_empty_table_drops_everything(switch: Make) -> None:
    assert outputs(switch(), "p1", "tcp") == []


def test_a_flow_forwards_what_it_matches_and_nothing_else(switch: Make) -> None:
    sw = switch("in_port=p1,tcp,tp_dst=80,actions=output:p2")
    assert outputs(sw, "p1", "tcp,tp_dst=80") == ["p2"]
    assert outputs(sw, "p1", "tcp,tp_dst=81") == []
    assert outputs(sw, "p3", "tcp,tp_dst=80") == []


def test_the_highest_priority_wins(switch: Make) -> None:
    sw = switch("""
        priority=1,actions=output:p2
        priority=2,ip,actions=output:p3
        priority=3,ip,nw_dst=10.0.0.0/8,actions=drop
    """)
    assert outputs(sw, "p1", "arp") == ["p2"]
    assert outputs(sw, "p1", "ip,nw_dst=11.0.0.1") == ["p3"]
    assert outputs(sw, "p1", "ip,nw_dst=10.0.0.1") == []


def test_the_packet_arrives_as_it_was_sent(switch: Make) -> None:
    sw = switch("actions=output:p2")
    packet = bytes.fromhex("00000000000b00000000000a1234") + bytes(range(100))
    sw.send("p1", packet)
    assert sw.received("p2") == [packet]
    assert sw.received("p2") == []


def test_encap_mpls_puts_a_stack_of_its_own_around_a_frame_with_labels(switch: Make) -> None:
    sw = switch("""
        in_port=p1,actions=encap(mpls),set_mpls_label:77,encap(ethernet),output:p2
        in_port=p3,mpls,actions=decap(),decap(packet_type(ns=0,type=0)),output:p2
    """)
    frame = bytes.fromhex("0200000000020200000000018847" "00005140") + bytes(50)
    sw.send("p1", frame)
    (around,) = sw.received("p2")
    assert around == bytes(12) + bytes.fromhex("8847" "0004d140") + frame
    sw.send("p3", around)
    assert sw.received("p2") == [frame]


@pytest.mark.parametrize("inside", ["encap(nsh),encap(ethernet)", "decap(),encap(nsh)", "encap(mpls)"])
def test_a_header_in_a_clone_that_never_goes_out_leaves_the_packet_alone(switch: Make, inside: str) -> None:
    sw = switch(f"in_port=p1,ip,actions=clone({inside}),dec_ttl,output:p2")
    sw.send("p1", "udp,nw_ttl=64")
    (packet,) = sw.received("p2")
    assert text_of(packet).startswith("udp,")
    assert packet[22] == 63
    sw = switch(ports=("q1", "q2"))
    sw.add_group(f"group_id=1,type=all,bucket={inside},bucket=output:q2")
    sw.add_flow("ip,actions=group:1,dec_ttl,output:q2")
    sw.send("q1", "udp,nw_ttl=64")
    assert [packet[22] for packet in sw.received("q2")] == [64, 63]


@pytest.mark.parametrize("vlan", ["", "dl_vlan=5,"])
def test_a_learned_vlan_is_matched_whatever_the_type_of_the_tag(switch: Make, vlan: str) -> None:
    sw = switch("""
        in_port=p2,actions=learn(table=1,NXM_OF_VLAN_TCI[0..11],output:NXM_OF_IN_PORT[])
        in_port=p1,actions=resubmit(,1)
    """)
    sw.send("p2", f"{vlan}dl_type=0x1234")
    for tpid in ("8100", "88a8"):
        tag = tpid + ("0005" if vlan else "0000")
        sw.send("p1", bytes.fromhex(f"020000000002020000000001{tag}1234") + bytes(50))
        assert len(sw.received("p2")) == 1
    sw.mod_flows(f"table=1,vlan_tci={5 if vlan else 0}/0x0fff,actions=drop", strict=True)
    assert len(sw.flows("table=1")) == 1


def test_dec_mpls_ttl_ends_the_table_for_what_is_not_mpls(switch: Make) -> None:
    assert outputs(switch("actions=dec_mpls_ttl,output:p2"), "p1", "tcp") == []
    assert outputs(switch("actions=dec_mpls_ttl,output:p2"), "p1", "mpls,mpls_label=5,mpls_ttl=9") == ["p2"]


def test_a_scapy_packet_will_do(switch: Make) -> None:
    sw = switch("actions=output:p2")
    packet = Ether(src=A, dst=B) / b"hello"
    sw.send("p1", packet)
    assert sw.received("p2") == [bytes(packet)]


@pytest.mark.parametrize(("actions", "out"), [
    ("output:p2,output:p3", ["p2", "p3"]),
    ("ALL", ["br0", "p2", "p3"]),
    ("FLOOD", ["br0", "p2", "p3"]),
    ("IN_PORT", ["p1"]),
    ("output:1", []),
    ("LOCAL", ["br0"]),
    ("load:3->reg0[],output:reg0[]", ["p3"]),
    ("clone(output:p2),exit,output:p3", ["p2"]),
    ("resubmit(,1)", ["p3"]),
    ("resubmit(p2,2)", ["p3"]),
    ("goto_table:1", ["p3"]),
    ("write_actions(output:p2),goto_table:1", ["p2", "p3"]),
    ("write_actions(output:p2),goto_table:3", []),
    ("drop", []),
])  # fmt: skip
def test_where_actions_send_a_packet(switch: Make, actions: str, out: list[str]) -> None:
    sw = switch("""
        table=1,actions=output:p3
        table=2,in_port=p2,actions=output:p3
        table=3,actions=clear_actions
    """)
    sw.add_flow(f"in_port=p1,actions={actions}")
    assert outputs(sw, "p1", "tcp") == out


@pytest.mark.parametrize(("actions", "before", "after"), [
    ("mod_vlan_vid:5", "arp", "arp,dl_vlan=5"),
    ("strip_vlan", "dl_vlan=7,arp", "arp,vlan_tci=0x0000"),
    ("push_vlan:0x8100,set_field:4105->vlan_vid", "ip", "ip,dl_vlan=9"),
    ("mod_nw_dst:10.0.0.9,mod_tp_dst:99", "tcp,nw_dst=1.2.3.4,tp_dst=80", "nw_dst=10.0.0.9,tp_dst=99"),
    ("dec_ttl", "tcp,nw_ttl=64", "nw_ttl=63"),
    ("set_field:00:00:00:00:00:0b->eth_dst", "arp", "dl_dst=00:00:00:00:00:0b"),
    ("move:eth_src[]->eth_dst[]", "arp,dl_src=00:00:00:00:00:0a", "dl_dst=00:00:00:00:00:0a"),
    ("push:eth_src[],pop:eth_dst[]", "arp,dl_src=00:00:00:00:00:0a", "dl_dst=00:00:00:00:00:0a"),
    ("push_mpls:0x8847,set_field:77->mpls_label", "ip", "mpls,mpls_label=77"),
    ("mod_nw_tos:32", "udp", "nw_tos=32"),
])  # fmt: skip
def test_what_actions_change_in_a_packet(switch: Make, actions: str, before: str, after: str) -> None:
    sw = switch(f"{'ip' if 'nw_' in actions or 'ttl' in actions or 'mpls' in actions else ''}"
                f"{',tcp' if 'tp_' in actions else ''},actions={actions},output:p2")
    sw.send("p1", before)
    (packet,) = sw.received("p2")
    shown = text_of(packet)
    assert all(word in shown.split(",") for word in after.split(",")), shown


def test_changes_after_an_output_do_not_touch_what_went_out(switch: Make) -> None:
    sw = switch("actions=output:p2,mod_vlan_vid:5,output:p3")
    sw.send("p1", "arp")
    assert vlan_of(sw.received("p2")[0]) is None
    assert vlan_of(sw.received("p3")[0]) == 5


def test_a_packet_goes_through_a_pipeline_of_tables(switch: Make) -> None:
    sw = switch("""
        table=0,in_port=p1,actions=load:1->reg0[0..3],write_metadata:0x7,goto_table:1
        table=0,in_port=p2,actions=load:2->reg0[0..3],goto_table:1
        table=1,reg0=1,metadata=7,actions=output:p3
        table=1,reg0=2,actions=output:p1
    """)
    assert outputs(sw, "p1", "tcp") == ["p3"]
    assert outputs(sw, "p2", "tcp") == ["p1"]
    assert (sw.n_packets("table=0"), sw.n_packets("table=1")) == (2, 2)


def test_a_packet_for_the_controller_comes_with_its_reason(switch: Make) -> None:
    sw = switch("arp,actions=CONTROLLER:20\nip,actions=dec_ttl,output:p2")
    sw.send("p1", "arp", "tcp,nw_ttl=1")
    packet_ins = sw.packet_ins()
    assert [(p.reason, p.flow.in_port) for p in packet_ins] == [(1, 1), (2, 1)]
    assert sw.packet_ins() == []


# Counters.


def test_every_packet_is_counted_once(switch: Make) -> None:
    sw = switch("in_port=p1,ip,actions=resubmit(,1)\ntable=1,tcp,actions=output:p2\ntable=1,udp,actions=drop")
    size = 118
    for _ in range(5):
        sw.send("p1", "tcp", "tcp", "udp")
    assert sw.n_packets("table=0") == 15
    assert sw.n_packets("table=1,tcp") == 10
    assert sw.n_packets("table=1,udp") == 5
    assert len(sw.received("p2")) == 10
    assert sw.stats("p2")["tx_packets"] == 10
    assert sw.stats("p2")["tx_bytes"] == 10 * size
    assert sw.stats("p1")["rx_packets"] == 15


def test_counters_outlive_datapath_flows(switch: Make) -> None:
    sw = switch("ip,actions=output:p2")
    for _ in range(3):
        sw.send("p1", "tcp", "tcp")
        sw.advance(30)
        assert sw.dump_dp_flows() == ""
    sw.add_flow("priority=1,arp,actions=drop")
    sw.send("p1", "tcp")
    sw.del_flows("arp")
    assert sw.n_packets("ip") == 7


def test_a_changed_flow_keeps_its_counters_and_a_replaced_one_does_not(switch: Make) -> None:
    sw = switch("ip,actions=output:p2")
    sw.send("p1", "tcp")
    sw.mod_flows("ip,actions=output:p3")
    sw.send("p1", "tcp")
    assert (len(sw.received("p2")), len(sw.received("p3"))) == (1, 1)
    assert sw.n_packets() == 2
    sw.add_flow("ip,actions=output:p2")
    assert sw.n_packets() == 0


def test_dump_flows_prints_as_ovs_ofctl(switch: Make) -> None:
    sw = switch("priority=5,cookie=0x12,idle_timeout=60,tcp,tp_dst=80,actions=output:p2")
    sw.add_flow("priority=0,actions=NORMAL")
    sw.send("p1", "tcp,tp_dst=80")
    sw.advance(2)
    assert sw.dump_flows() == (
        " cookie=0x12, duration=2s, table=0, n_packets=1, n_bytes=118, idle_timeout=60, idle_age=2, "
        "priority=5,tcp,tp_dst=80 actions=output:2\n"
        " cookie=0x0, duration=2s, table=0, n_packets=0, n_bytes=0, idle_age=2, priority=0 actions=NORMAL\n"
    )
    assert sw.dump_flows("tcp", stats=False, names=True) == (
        " cookie=0x12, idle_timeout=60, priority=5,tcp,tp_dst=80 actions=output:p2\n"
    )


# Changes under way.


def test_a_new_flow_takes_effect_on_cached_traffic_at_once(switch: Make) -> None:
    sw = switch("priority=1,actions=output:p2")
    assert outputs(sw, "p1", "tcp,tp_dst=80") == ["p2"]
    sw.add_flow("priority=2,tcp,tp_dst=80,actions=output:p3")
    assert outputs(sw, "p1", "tcp,tp_dst=80") == ["p3"]
    assert outputs(sw, "p1", "tcp,tp_dst=81") == ["p2"]
    sw.del_flows("tcp")
    assert outputs(sw, "p1", "tcp,tp_dst=80") == ["p2"]


def test_idle_flows_go_and_busy_flows_stay(switch: Make) -> None:
    sw = switch("idle_timeout=10,arp,actions=output:p2\nidle_timeout=10,ip,actions=output:p2")
    for _ in range(5):
        sw.send("p1", "tcp")
        sw.advance(5)
    assert [str(f.match) for f in sw.flows()] == ["ip"]
    assert sw.n_packets() == 5
    sw.advance(15)
    assert sw.flows() == []


def test_a_hard_timeout_ends_even_a_busy_flow(switch: Make) -> None:
    sw = switch("hard_timeout=10,ip,actions=output:p2")
    for _ in range(9):
        sw.advance(1)
        assert outputs(sw, "p1", "tcp") == ["p2"]
    sw.advance(3)
    assert outputs(sw, "p1", "tcp") == []


def test_a_bad_flow_points_at_the_bad_word(switch: Make) -> None:
    sw = switch()
    with pytest.raises(FlowSyntaxError) as caught:
        sw.add_flow("in_port=p1,tcp,actions=ouptut:p2")
    assert caught.value.pointed().splitlines() == [
        "unknown action ouptut",
        "  in_port=p1,tcp,actions=ouptut:p2",
        "                         ^^^^^^",
    ]
    with pytest.raises(OfpError, match="OFPBRC_EPERM"):
        sw.add_flow("table=254,actions=drop")


def test_two_switches_have_nothing_to_do_with_each_other(switch: Make) -> None:
    one = switch("actions=output:p2")
    two = switch("actions=output:p3")
    one.send("p1", frame(A, B))
    two.send("p1", frame(A, B))
    assert sorted(one.received_all()) == ["p2"]
    assert sorted(two.received_all()) == ["p3"]


def test_trace_tells_why_and_changes_nothing(switch: Make) -> None:
    sw = switch("in_port=p1,tcp,tp_dst=80,actions=output:p2")
    text = sw.trace("in_port=p1,tcp,tp_dst=80")
    assert " 0. tcp,in_port=1,tp_dst=80, priority 32768\n    output:2\n" in text
    assert "Megaflow: recirc_id=0,eth,tcp,in_port=1,nw_frag=no,tp_dst=80\n" in text
    assert sw.n_packets() == 0
    assert sw.dump_dp_flows() == ""


@pytest.mark.parametrize("words", ["priority=10", "check_overlap", "idle_timeout=5", "importance=1",
                                   "actions=drop", "send_flow_rem"])  # fmt: skip
def test_a_selection_refuses_words_that_it_cannot_heed(switch: Make, words: str) -> None:
    """Otherwise `n_packets("priority=10")` would count, and `del_flows("priority=10")` delete, all flows."""
    sw = switch("priority=10,tcp,actions=drop\npriority=20,udp,actions=drop")
    for ask in (sw.n_packets, sw.flows, sw.dump_flows, sw.del_flows):
        with pytest.raises(FlowSyntaxError, match=f"{words.partition('=')[0]}"):
            ask(words)
    with pytest.raises(FlowSyntaxError, match="line 1"):
        sw.add_flows(f"delete {words}")
    assert len(sw.flows()) == 2


def test_a_strict_deletion_takes_a_priority(switch: Make) -> None:
    sw = switch("priority=10,tcp,actions=drop\npriority=20,tcp,actions=drop")
    sw.del_flows("priority=10,tcp", strict=True)
    assert [rule.priority for rule in sw.flows()] == [20]
