"""Revalidation: what a change looks at again, why, and what becomes of the facets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.ofproto_dpif.counting import geneve_frame
from tests.ofproto_dpif.lab import Counted, Lab, from_host, tcp, udp
from vswitch.flow.match_text import parse_match
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.settings import BundleSettings, MirrorSettings

MakeLab = Callable[..., Lab]
LOOKED_AT = ("facet_revalidate", "rev_flow_table", "rev_reconfigure", "rev_port_toggled", "rev_mac_learning",
             "rev_tags", "subfacet_modify", "facet_destroy", "facet_create", "rev_inconsistency")


def flows_of(made: Lab, *hosts: int) -> None:
    """A facet for each host, where some rule matches on hosts."""
    for host in hosts:
        made.send("p1", from_host(host))


def test_a_rule_of_the_one_mask_revalidates_only_the_facets_with_its_value(lab: MakeLab) -> None:
    made = lab(3, "table=0,actions=resubmit(,1)", "table=1,priority=0,actions=output:2",
               "table=1,priority=5,dl_src=02:00:00:00:01:ff,actions=drop")
    flows_of(made, *range(1, 41))
    made.received()
    happened = Counted(*LOOKED_AT)
    made.flow("table=1,priority=5,dl_src=02:00:00:00:01:07,actions=output:3")
    made.run()
    assert happened["rev_tags"] == 1
    assert happened["rev_flow_table"] == 0
    assert 1 <= happened["facet_revalidate"] <= 10  # others may share the tags
    made.send("p1", from_host(7), from_host(8))
    assert made.received() == {"p3": 1, "p2": 1}


def test_a_rule_on_the_congestion_mark_concerns_what_has_it_of_its_outer_packet(lab: MakeLab) -> None:
    # A table of so many masks has no tags: what the rule asks for decides.
    made = lab(3, "priority=0,actions=output:2", "priority=9,udp,udp_dst=99,actions=drop",
               "priority=8,udp,udp_src=99,actions=drop")
    address = made.add_geneve(4)
    capable, marked = udp(tos=1), udp(tos=3)
    for _ in range(2):
        made.send("u1", geneve_frame(capable, address, tos=3), geneve_frame(capable, address, tos=0))
    assert made.packets("p2") == [marked, capable] * 2
    made.flow("priority=5,ip,nw_ecn=3,actions=output:3")
    made.run()
    made.send("u1", geneve_frame(capable, address, tos=3), geneve_frame(capable, address, tos=0))
    assert (made.packets("p2"), made.packets("p3")) == ([capable], [marked])
    made.del_flows("ip,nw_ecn=3")
    made.run()
    made.send("u1", geneve_frame(capable, address, tos=3))
    assert made.packets("p2") == [marked]
    # The mark that it came with is not what the tables are asked about.
    made.flow("priority=5,ip,nw_ecn=1,actions=output:3")
    made.run()
    made.send("u1", geneve_frame(capable, address, tos=3), geneve_frame(capable, address, tos=0))
    assert (made.packets("p2"), made.packets("p3")) == ([marked], [capable])


def test_removing_the_rule_gives_its_flows_back_to_the_catchall(lab: MakeLab) -> None:
    made = lab(3, "priority=0,actions=output:2", "priority=5,dl_src=02:00:00:00:01:07,actions=output:3")
    flows_of(made, 7, 8)
    made.received()
    made.del_flows("dl_src=02:00:00:00:01:07")
    made.run()
    made.send("p1", from_host(7))
    assert made.received() == {"p2": 1}


def test_a_second_mask_revalidates_everything_once_for_the_flow_table(lab: MakeLab) -> None:
    made = lab(3, "priority=0,actions=output:2", "priority=5,dl_src=02:00:00:00:01:ff,actions=drop")
    flows_of(made, *range(1, 11))
    happened = Counted(*LOOKED_AT)
    made.flow("priority=7,udp,udp_dst=99,actions=drop")
    assert made.bridge.need_revalidate == RevReason.FLOW_TABLE
    made.run()
    assert made.bridge.need_revalidate == 0
    assert happened["rev_flow_table"] == 1
    assert happened["facet_revalidate"] == 10
    assert happened["facet_destroy"] == 10, "the new rule makes the facets match on the port"


def test_a_changed_catchall_revalidates_everything(lab: MakeLab) -> None:
    made = lab(3, "priority=0,actions=output:2", "priority=5,dl_src=02:00:00:00:01:ff,actions=drop")
    flows_of(made, *range(1, 11))
    made.received()
    happened = Counted(*LOOKED_AT)
    made.flow("priority=0,actions=output:3")
    made.run()
    assert happened["facet_revalidate"] == 10
    assert happened["subfacet_modify"] == 10
    assert happened["facet_destroy"] == 0
    flows_of(made, *range(1, 11))
    assert made.received() == {"p3": 10}
    assert made.backer.dpif.stats().n_missed == 10


def test_a_facet_that_translates_to_the_same_stays_with_its_flow(lab: MakeLab) -> None:
    made = lab(3, "priority=1,actions=output:2")
    made.send("p1", udp())
    (facet,) = made.facets()
    happened = Counted(*LOOKED_AT)
    made.backer.need(RevReason.RECONFIGURE)
    made.run()
    assert happened["rev_reconfigure"] == 1
    assert happened["facet_revalidate"] == 1
    assert happened["subfacet_modify"] == 0
    assert made.facets() == [facet]


def test_deleting_the_rules_empties_the_datapath_of_what_they_forwarded(lab: MakeLab) -> None:
    made = lab(3, "in_port=1,actions=output:2", "in_port=2,actions=output:1")
    made.send("p1", udp())
    made.send("p2", udp())
    made.received()
    made.del_flows()
    made.run()
    made.send("p1", udp())
    made.send("p2", udp())
    assert made.received() == {}


def test_a_mac_that_moves_to_the_new_port_takes_its_traffic_along(lab: MakeLab) -> None:
    made = lab(4, "actions=normal")
    to_a = bytes.fromhex("02000000000a02000000000b") + udp()[12:]
    made.send("p1", udp())
    made.send("p2", to_a)
    assert made.received() == {"br0": 1, "p2": 1, "p3": 1, "p4": 1, "p1": 1}
    happened = Counted(*LOOKED_AT)
    made.send("p3", udp(sport=9))
    made.received()
    made.send("p2", to_a)
    assert made.received() == {"p3": 1}
    assert happened["rev_tags"] >= 1
    assert sum(happened[name] for name in ("rev_flow_table", "rev_reconfigure", "rev_mac_learning")) == 0


def test_a_learned_address_stops_the_flooding(lab: MakeLab) -> None:
    made = lab(4, "actions=normal")
    made.send("p1", udp())
    assert made.received() == {"br0": 1, "p2": 1, "p3": 1, "p4": 1}
    made.send("p2", bytes.fromhex("02000000000a02000000000b") + udp()[12:])
    made.received()
    made.send("p1", udp())
    assert made.received() == {"p2": 1}


def test_an_address_that_expires_floods_again(lab: MakeLab) -> None:
    made = lab(4, "actions=normal")
    made.bridge.mac_learning.set_idle_time(15_000)
    to_b = udp()
    made.send("p2", bytes.fromhex("02000000000a02000000000b") + to_b[12:])
    made.received()
    for _ in range(4):
        made.seconds(3)
        made.send("p1", to_b)
    assert made.received() == {"p2": 4}
    made.seconds(5)
    made.send("p1", to_b)
    assert made.received() == {"br0": 1, "p2": 1, "p3": 1, "p4": 1}


def test_traffic_that_the_datapath_forwards_keeps_its_address_known(lab: MakeLab) -> None:
    made = lab(2, "actions=normal")
    made.bridge.mac_learning.set_idle_time(15_000)
    made.send("p1", udp())
    for _ in range(20):
        made.seconds(2)
        made.send("p1", udp())
    assert made.backer.dpif.stats().n_missed == 1
    assert made.ask("fdb/show br0").splitlines()[1].split()[:3] == ["1", "0", "02:00:00:00:00:0a"]


@pytest.mark.parametrize(
    ("change", "counter"),
    [
        (lambda made: made.add_port(made.bridge, "p9", 9), "rev_reconfigure"),
        (lambda made: made.bridge.port_del("p3"), "rev_reconfigure"),
        (lambda made: made.bridge.bundle_set("p2", BundleSettings("p2", ("p2",), vlan=9)), "rev_reconfigure"),
        (lambda made: made.bridge.mirror_set("m", MirrorSettings("m", select_all=True, out="p3")),
         "rev_reconfigure"),
        (lambda made: made.bridge.port_set_config("p2", 1 << 4), "rev_reconfigure"),
        (lambda made: made.ask("fdb/flush br0"), "rev_mac_learning"),
    ],
    ids=["port added", "port deleted", "VLAN", "mirror", "no-flood", "fdb flush"],
)
def test_each_change_is_counted_under_its_reason(
    lab: MakeLab, change: Callable[[Lab], None], counter: str
) -> None:
    made = lab(3, "actions=normal")
    made.send("p1", udp())
    happened = Counted(*LOOKED_AT)
    change(made)
    made.run()
    assert happened[counter] == 1


def test_a_new_port_takes_part_in_the_flood_of_flows_that_exist(lab: MakeLab) -> None:
    made = lab(2, "actions=normal")
    made.send("p1", udp())
    made.received()
    made.add_port(made.bridge, "p3", 3)
    made.run()
    made.send("p1", udp())
    assert made.received() == {"br0": 1, "p2": 1, "p3": 1}
    made.bridge.port_del("p2")
    made.run()
    made.send("p1", udp())
    assert made.received() == {"br0": 1, "p3": 1}


def test_a_mirror_copies_what_flows_already_forward(lab: MakeLab) -> None:
    made = lab(3, "actions=output:2")
    made.send("p1", udp())
    made.received()
    made.bridge.mirror_set("m", MirrorSettings("m", srcs=("p1",), out="p3"))
    made.run()
    made.send("p1", udp(), udp())
    assert made.received() == {"p2": 2, "p3": 2}
    made.seconds(1)
    mirror = made.bridge.mirrors[0]
    assert mirror is not None
    assert (mirror.packets, mirror.bytes) == (2, 2 * len(udp()))
    made.bridge.mirror_set("m", None)
    made.run()
    made.send("p1", udp())
    assert made.received() == {"p2": 1}


def test_a_mirror_with_a_filter_copies_what_matches_it(lab: MakeLab) -> None:
    made = lab(3, "actions=output:2")
    chosen = MirrorSettings("m", srcs=("p1",), out="p3", filter=parse_match("udp,tp_dst=7"))
    made.bridge.mirror_set("m", chosen)
    made.run()
    made.send("p1", udp(dport=7), udp(dport=8), udp(dport=7))
    assert made.received() == {"p2": 3, "p3": 2}
    made.bridge.mirror_set("m", replace(chosen, filter=parse_match("in_port=2")))
    made.run()
    made.send("p1", udp(dport=7))
    assert made.received() == {"p2": 1}, "what was installed follows the filter"


def test_a_wider_mask_replaces_the_facet(lab: MakeLab) -> None:
    made = lab(3, "priority=1,actions=output:2")
    made.send("p1", udp())
    made.send("p1", tcp(2))
    assert len(made.facets()) == 1
    made.flow("priority=2,tcp,actions=output:3")
    made.run()
    made.received()
    made.send("p1", udp())
    made.send("p1", tcp(2))
    assert made.received() == {"p2": 1, "p3": 1}
    assert len(made.facets()) == 2


def tagged(frame: bytes, vid: int) -> bytes:
    """`frame` with a tag of VLAN `vid` in front of what it has."""
    return frame[:12] + b"\x81\0" + vid.to_bytes(2, "big") + frame[12:]


@pytest.mark.parametrize(("match", "gone", "new", "elsewhere"), [
    ("dl_vlan=7", 0, 0, 1),  # the number of the VLAN is in the masks of all three, its priority in one's
    ("vlan_tci=0x1000/0x1000", 0, 0, 2),
    ("dl_vlan_pcp=3", 2, 1, 0),
    ("vlan_tci=0", 2, 2, 2),
])
def test_where_tags_come_to_matter_flows_stay_whose_masks_tell_them(
    lab: MakeLab, match: str, gone: int, new: int, elsewhere: int
) -> None:
    made = lab(3, "priority=1,actions=output:2")
    packets = [tagged(udp(), 7), udp(), tagged(udp(), 9), udp()]
    made.send("p1", *packets)
    assert len(made.facets()) == 1
    made.received()
    happened = Counted("subfacet_create", "subfacet_destroy")
    made.flow(f"priority=2,{match},actions=output:3")
    made.run()
    assert happened["subfacet_destroy"] == gone
    assert len(made.dp_flows()) == 3 - gone
    made.send("p1", *packets)
    assert made.received() == {name: n for name, n in (("p2", 4 - elsewhere), ("p3", elsewhere)) if n}
    assert happened["subfacet_create"] == new
    made.del_flows(match)
    made.run()
    made.send("p1", *packets)
    assert made.received() == {"p2": 4}
    made.seconds(2)
    assert made.rule().n_packets == 12 - elsewhere
    made.del_flows()
    made.run()
    made.seconds(60)
    assert (made.facets(), made.dp_flows()) == ([], [])


def test_a_long_revalidation_leaves_time_for_other_work(lab: MakeLab) -> None:
    made = lab(3, "priority=1,actions=output:2")
    made.send("p1", udp())
    backer = made.backer
    operate = backer.dpif.operate

    def slow(ops: list[object]) -> None:
        made.clock.warp(20)
        operate(ops)  # type: ignore[arg-type]

    backer.dpif.operate = slow  # type: ignore
    made.flow("priority=1,actions=output:3")
    made.run()
    assert backer.next_revalidation == made.clock.now() + 80
    made.flow("priority=1,actions=output:2")
    made.run()
    assert not backer.is_settled()
    assert made.ofprotos.wakeup(made.clock.now()) == backer.next_revalidation
    made.clock.warp(80)
    made.run()
    assert backer.is_settled()


def test_fifty_flows_change_in_batches(lab: MakeLab) -> None:
    made = lab(3, "priority=0,actions=output:2", "priority=5,dl_src=02:00:00:00:01:ff,actions=drop")
    flows_of(made, *range(1, 131))
    made.received()
    batches: list[int] = []
    operate = made.backer.dpif.operate

    def count_batches(ops: list[object]) -> None:
        batches.append(len(ops))
        operate(ops)  # type: ignore[arg-type]

    made.backer.dpif.operate = count_batches  # type: ignore
    made.flow("priority=0,actions=output:3")
    made.run()
    assert batches == [50, 50, 30]
