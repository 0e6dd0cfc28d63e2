"""What groups do in a switch with packets: counters, liveness, what goes when a group goes, undoing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vswitch import Switch
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.errors import OfpError
from vswitch.openflow.group_text import COMMANDS, parse_group
from vswitch.openflow.print_group import format_group
from vswitch.openflow.wire.version import OFP15

PORTS = ["p1", "p2", "p3", "p4"]


@pytest.fixture
def sw() -> Iterator[Switch]:
    with Switch(ports=PORTS) as switch:
        yield switch


def mod(sw: Switch, text: str, command: str = "add") -> None:
    sw.add_group(f"{command} {text}")


def counted(sw: Switch, group_id: int) -> tuple[int, list[int]]:
    """Packets of the group, and of each of its buckets."""
    sw.flows()  # brings the datapath's counters up to date
    (stats,) = sw.ofproto.groups.stats(sw.clock.now(), group_id)
    return stats.packet_count, [packets for packets, _ in stats.buckets]


def dump(sw: Switch) -> list[str]:
    return [format_group(desc, OFP15, None) for desc in sw.ofproto.groups.desc()]


def send(sw: Switch, n: int, text: str = "tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=5") -> None:
    for _ in range(n):
        sw.send("p1", text)


def test_all_buckets_get_each_packet_once_and_count_it_once(sw: Switch) -> None:
    mod(sw, "group_id=1,type=all,bucket=output:p2,bucket=set_field:00:00:00:00:00:09->eth_dst,output:p3")
    sw.add_flow("in_port=p1,actions=group:1,output:p4")
    send(sw, 7)
    assert [len(sw.received(port)) for port in PORTS] == [0, 7, 7, 7]
    assert counted(sw, 1) == (7, [7, 7])
    sw.advance(20)
    assert counted(sw, 1) == (7, [7, 7])


def test_a_bucket_counts_across_facets_and_their_removal(sw: Switch) -> None:
    mod(sw, "group_id=1,type=indirect,bucket=output:p2")
    mod(sw, "group_id=2,type=all,bucket=group:1,bucket=output:p3")
    sw.add_flow("tcp,actions=group:1")
    sw.add_flow("udp,actions=group:2")
    send(sw, 3)
    send(sw, 4, "udp")
    sw.advance(30)  # the datapath's flows are gone, their counts are not
    send(sw, 5, "udp")
    assert counted(sw, 1) == (12, [12])
    assert counted(sw, 2) == (9, [9, 9])
    (stats,) = sw.ofproto.groups.stats(sw.clock.now(), 1)
    assert (stats.byte_count, stats.duration_sec) == (stats.buckets[0][1], 30)


def test_a_modified_group_sends_elsewhere_at_once_and_counts_anew(sw: Switch) -> None:
    mod(sw, "group_id=1,type=all,bucket=output:p2")
    sw.add_flow("actions=group:1")
    send(sw, 3)
    mod(sw, "group_id=1,type=all,bucket=output:p3", "modify")
    send(sw, 2)
    assert [len(sw.received(port)) for port in PORTS] == [0, 3, 2, 0]
    assert counted(sw, 1) == (2, [2])


def test_only_the_flows_of_a_changed_group_are_translated_anew(sw: Switch) -> None:
    mod(sw, "group_id=1,type=all,bucket=output:p2")
    sw.add_flow("actions=group:1")
    send(sw, 1)
    assert not sw.ofproto.need_revalidate
    sw.ofproto.groups.mod(parse_group("group_id=1,type=all,bucket=output:4", COMMANDS["modify"]), 0)
    (facet,) = sw.ofproto.facets
    assert not sw.ofproto.need_revalidate
    assert sw.ofproto.revalidate_set.intersects(facet.tags)


def test_failover_follows_the_ports_as_they_die_and_revive(sw: Switch) -> None:
    mod(sw, "group_id=1,type=ff,bucket=watch_port:p2,output:p2,bucket=watch_port:p3,output:p3")
    sw.add_flow("in_port=p1,actions=group:1")
    send(sw, 1)
    sw.set_port("p2", carrier=False)
    send(sw, 2)
    sw.set_port("p3", up=False)
    send(sw, 4)
    sw.set_port("p2", carrier=True)
    send(sw, 8)
    assert [len(sw.received(port)) for port in PORTS] == [0, 9, 2, 0]
    assert counted(sw, 1) == (11, [9, 2])


def test_a_watched_group_is_as_alive_as_its_buckets(sw: Switch) -> None:
    mod(sw, "group_id=1,type=ff,bucket=watch_port:p2,output:p2")
    mod(sw, "group_id=2,type=ff,bucket=watch_group:1,group:1,bucket=watch_port:p3,output:p3")
    sw.add_flow("in_port=p1,actions=group:2")
    send(sw, 1)
    sw.set_port("p2", carrier=False)
    send(sw, 2)
    mod(sw, "group_id=1,type=ff,bucket=watch_port:p4,output:p4", "modify")
    send(sw, 4)
    assert [len(sw.received(port)) for port in PORTS] == [0, 1, 2, 4]


def test_a_deleted_port_is_dead(sw: Switch) -> None:
    mod(sw, "group_id=1,type=ff,bucket=watch_port:p2,output:p2,bucket=watch_port:p3,output:p3")
    sw.add_flow("in_port=p1,actions=group:1")
    send(sw, 1)
    sw.del_port("p2")
    send(sw, 2)
    assert len(sw.received("p3")) == 2


def test_a_dp_hash_group_spreads_connections_and_keeps_each_together(sw: Switch) -> None:
    mod(sw, "group_id=1,type=select,bucket=weight:1,output:p2,bucket=weight:3,output:p3")
    sw.add_flow("in_port=p1,actions=group:1")
    for port in range(64):
        send(sw, 2, f"tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src={1000 + port},tp_dst=80")
    total, (light, heavy) = counted(sw, 1)
    assert total == light + heavy == 128
    assert light % 2 == heavy % 2 == 0, "both packets of a connection take one bucket"
    assert 0 < light < heavy
    assert (len(sw.received("p2")), len(sw.received("p3"))) == (light, heavy)


def test_select_moves_only_the_packets_of_a_bucket_that_died(sw: Switch) -> None:
    buckets = "".join(f",bucket=watch_port:{port},output:{port}" for port in ("p2", "p3", "p4"))
    mod(sw, f"group_id=1,type=select,selection_method=hash,fields(tcp_src){buckets}")
    sw.add_flow("in_port=p1,tcp,actions=group:1")

    def taken() -> list[str]:
        ways = []
        for port in range(40):
            send(sw, 1, f"tcp,tp_src={port}")
            ways.append(next(name for name in PORTS if sw.received(name)))
        return ways

    before = taken()
    sw.set_port("p3", carrier=False)
    after = taken()
    assert set(before) == {"p2", "p3", "p4"}
    assert "p3" not in after
    assert all(new == old for old, new in zip(before, after, strict=True) if old != "p3")


def test_the_rules_of_a_deleted_group_go_with_it(sw: Switch) -> None:
    mod(sw, "group_id=1,type=all,bucket=output:p2")
    mod(sw, "group_id=2,type=all,bucket=group:1")
    sw.add_flows("tcp,actions=group:1\nudp,actions=write_actions(group:1)\narp,actions=group:2\nip,actions=drop")
    assert [stats.ref_count for stats in sw.ofproto.groups.stats(0)] == [2, 1]
    mod(sw, "group_id=1", "delete")
    assert [str(rule.match) for rule in sw.flows()] == ["arp", "ip"]
    assert dump(sw) == ["group_id=2,type=all,bucket=bucket_id:0,actions=group:1"]
    mod(sw, "", "delete")
    assert [str(rule.match) for rule in sw.flows()] == ["ip"]


def test_every_change_can_be_undone(sw: Switch) -> None:
    groups = sw.ofproto.groups
    mod(sw, "group_id=1,type=all,bucket=output:1,bucket=output:2")
    sw.add_flow("actions=group:1")
    send(sw, 3)
    before = dump(sw), counted(sw, 1), sw.dump_flows()
    undos = [
        groups.mod(parse_group(text, COMMANDS[command]), 5)
        for command, text in (
            ("add", "group_id=2,type=indirect,bucket=output:1"),
            ("modify", "group_id=1,type=ff,bucket=watch_port:1,output:1"),
            ("insert_bucket", "group_id=1,command_bucket_id=last,bucket=bucket_id:5,watch_port:2,output:2"),
            ("remove_bucket", "group_id=1,command_bucket_id=0"),
            ("delete", "group_id=1"),
            ("add_or_mod", "group_id=1,type=all"),
            ("delete", "group_id=all"),
        )
    ]
    assert (dump(sw), sw.dump_flows()) == ([], "")
    for undo in reversed(undos):
        undo()
    assert (dump(sw), counted(sw, 1), sw.dump_flows()) == before
    send(sw, 1)
    assert counted(sw, 1)[0] == before[1][0] + 1


@pytest.mark.parametrize(
    ("command", "text", "error"),
    [
        ("add", "group_id=1,type=all", "OFPGMFC_GROUP_EXISTS"),
        ("modify", "group_id=2,type=all", "OFPGMFC_UNKNOWN_GROUP"),
        ("insert_bucket", "group_id=1,command_bucket_id=9,bucket=bucket_id:3,drop", "OFPGMFC_UNKNOWN_BUCKET"),
        ("insert_bucket", "group_id=1,command_bucket_id=last,bucket=bucket_id:0", "OFPGMFC_BUCKET_EXISTS"),
        ("remove_bucket", "group_id=1,command_bucket_id=9", "OFPGMFC_UNKNOWN_BUCKET"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_changes_nothing(sw: Switch, command: str, text: str, error: str) -> None:
    mod(sw, "group_id=1,type=all,bucket=output:1")
    before = dump(sw)
    with pytest.raises(OfpError) as caught:
        mod(sw, text, command)
    assert caught.value.name == error
    assert dump(sw) == before


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("group_id=1,type=odd", "odd"),
        ("group_id=1,type=select,selection_method=hash,fields(nonsense),bucket=output:1", "nonsense"),
        ("group_id=1,type=all,bucket=output:1,bucket=frobnicate", "frobnicate"),
        ("group_id=1,type=ff,bucket=watch_port:nowhere,output:1", "nowhere"),
        ("group_id=1,kind=all", "kind"),
    ],
)  # fmt: skip
def test_bad_text_is_pointed_at(text: str, word: str) -> None:
    with pytest.raises(FlowSyntaxError) as caught:
        parse_group(text)
    assert caught.value.text[caught.value.position :].startswith(word)
