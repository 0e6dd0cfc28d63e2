"""Statistics flow subfacet -> facet -> rule, and every packet counts once, whatever happens meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.ofproto_dpif.lab import Counted, Lab, tcp, udp
from vswitch.dpif.ops import FlowDel, FlowStats
from vswitch.openflow.actions import DebugSlow, Output
from vswitch.openflow.flow_mod import FlowMod

MakeLab = Callable[..., Lab]
SIZE = len(udp())


def counts(made: Lab, match: str = "", table_id: int = 0) -> tuple[int, int]:
    rule = made.rule(match, table_id)
    return rule.n_packets, rule.n_bytes


def test_the_packet_that_missed_counts_at_once_and_those_after_it_with_the_next_dump(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    made.send("p1", udp())
    assert counts(made) == (1, SIZE)
    made.send("p1", udp(), udp())
    assert counts(made) == (1, SIZE)
    made.seconds(1)
    assert counts(made) == (3, 3 * SIZE)
    made.seconds(3)
    assert counts(made) == (3, 3 * SIZE)
    (facet,) = made.facets()
    assert (facet.n_packets, facet.n_bytes) == (3, 3 * SIZE)


def test_packets_that_missed_together_share_a_translation_and_all_count(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    translations = Counted("ofproto_dpif_xlate")
    made.arrive("p1", *[udp(sport=7)] * 7)
    made.run()
    assert translations["ofproto_dpif_xlate"] == 1
    assert counts(made) == (7, 7 * SIZE)
    made.seconds(1)
    assert counts(made) == (7, 7 * SIZE)
    assert made.received() == {"p2": 7}


def test_the_last_packets_of_a_dying_facet_are_counted(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    made.send("p1", udp())
    made.send("p1", udp(), udp())
    rule = made.rule()
    made.backer.installer.remove_facets(made.facets(), made.clock.now())
    assert rule.n_packets == 3
    assert made.facets() == []
    assert made.dp_flows() == []


def test_packets_before_a_rule_changed_count_on_what_it_did_before(lab: MakeLab) -> None:
    made = lab(3, "priority=1,actions=output:2")
    made.send("p1", udp())
    made.send("p1", udp(), udp())
    old = made.rule()
    made.flow("priority=2,in_port=1,actions=output:3")
    made.run()
    made.send("p1", udp())
    made.seconds(1)
    assert old.n_packets == 3
    assert made.rule("in_port=1").n_packets == 1


def test_a_rule_that_replaces_another_takes_over_its_packets_those_on_their_way_too(lab: MakeLab) -> None:
    made = lab(3, "priority=1,in_port=1,actions=output:2")
    made.send("p1", udp())
    made.send("p1", udp(), udp())
    old = made.rule("in_port=1")
    made.flow("priority=1,in_port=1,actions=output:3")
    made.run()
    new = made.rule("in_port=1")
    assert new is not old
    made.send("p1", udp())
    made.seconds(1)
    assert new.n_packets == 4


def test_a_rule_that_takes_over_with_the_same_actions_gets_only_later_packets(lab: MakeLab) -> None:
    made = lab(2, "priority=1,in_port=1,actions=output:2")
    made.send("p1", udp())
    made.send("p1", udp(), udp())
    old = made.rule("in_port=1")
    made.flow("priority=2,in_port=1,actions=output:2")
    made.run()
    new = made.bridge.tables[0].find_exactly(old.match, 2)
    assert new is not None
    made.send("p1", udp())
    made.seconds(1)
    assert (old.n_packets, new.n_packets) == (3, 1)


def test_every_table_on_the_way_counts_its_lookups(lab: MakeLab) -> None:
    made = lab(2, "table=0,actions=resubmit(,1)", "table=1,udp,actions=output:2")
    made.send("p1", udp(), udp())
    made.send("p1", tcp(2))
    made.seconds(1)
    tables = made.bridge.tables
    assert (tables[0].n_lookup, tables[0].n_matched) == (3, 3)
    assert (tables[1].n_lookup, tables[1].n_matched) == (3, 2)
    assert counts(made, "udp", 1) == (2, 2 * SIZE)


def test_a_patch_port_counts_what_passes_it(lab: MakeLab) -> None:
    made = lab(1, "actions=normal")
    other = made.add_bridge("br1")
    made.add_port(made.bridge, "to1", 10, "patch", peer="to0")
    made.add_port(other, "to0", 10, "patch", peer="to1")
    made.add_port(other, "q1", 1)
    made.flow("actions=normal", other)
    made.send("p1", udp())
    made.send("p1", udp(), udp())
    made.seconds(1)
    out, into = made.bridge.ports[10], other.ports[10]
    assert (out.tx_packets, out.tx_bytes) == (3, 3 * SIZE)
    assert (into.rx_packets, into.rx_bytes) == (3, 3 * SIZE)
    assert made.bridge.port_stats(out) == {
        "rx_packets": 0, "tx_packets": 3, "rx_bytes": 0, "tx_bytes": 3 * SIZE,
    }  # fmt: skip
    assert made.received() == {"br0": 3, "br1": 3, "q1": 3}


def test_a_dump_that_shows_a_flow_twice_counts_its_packets_once(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    made.send("p1", udp())
    made.send("p1", udp(), udp())
    dpif = made.backer.dpif
    flows = list(dpif.flow_dump())
    dpif.flow_dump = lambda terse=False: iter(flows + flows)  # type: ignore[method-assign]
    made.seconds(1)
    assert counts(made)[0] == 3


def test_a_flow_that_the_dump_lacks_is_asked_for_and_kept(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    made.send("p1", udp())
    made.send("p1", udp(), udp())
    made.backer.dpif.flow_dump = lambda terse=False: iter(())  # type: ignore[method-assign]
    made.seconds(1)
    assert counts(made)[0] == 3
    assert len(made.facets()) == 1


def test_a_flow_that_somebody_deleted_is_made_again_and_nothing_counts_twice(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    made.send("p1", udp())
    made.send("p1", udp(), udp())
    made.seconds(1)
    made.backer.dpif.flow_flush()
    made.seconds(1)
    assert made.facets() == []
    made.send("p1", udp())
    made.send("p1", udp())
    made.seconds(1)
    assert counts(made) == (5, 5 * SIZE)


def test_a_flow_deleted_behind_our_back_is_put_again_by_the_next_miss(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    made.send("p1", udp())
    made.clock.warp(500)
    made.backer.dpif.flow_flush()
    made.send("p1", udp())
    assert len(made.dp_flows()) == 1
    made.send("p1", udp())
    made.seconds(1)
    assert counts(made) == (3, 3 * SIZE)


def test_a_datapath_flow_that_nobody_here_made_is_deleted_and_counted(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    made.send("p1", udp())
    (subfacet,) = made.backer.subfacets.values()
    made.backer.subfacets.clear()
    subfacet.facet.subfacets.clear()
    made.bridge.facets.remove(subfacet.facet)
    made.seconds(1)
    assert made.dp_flows() == []


def test_counts_survive_the_race_of_deletion_and_traffic(lab: MakeLab) -> None:
    """Packets that pass between the dump and the deletion come home with the deletion."""
    made = lab(2, "actions=output:2")
    made.send("p1", udp())
    operate = made.backer.dpif.operate
    late = 0

    def operate_after_traffic(ops: list[FlowDel]) -> None:
        nonlocal late
        if any(isinstance(op, FlowDel) for op in ops):
            made.arrive("p1", udp())
            made.backer.dpif.run()
            late += 1
        operate(ops)

    made.backer.dpif.operate = operate_after_traffic  # type: ignore
    made.seconds(7)
    assert late == 1
    assert made.facets() == []
    assert counts(made) == (2, 2 * SIZE)


def test_packets_for_a_controller_count_once(lab: MakeLab) -> None:
    made = lab(2, "actions=controller")
    for _ in range(4):
        made.send("p1", udp())
    made.seconds(1)
    assert counts(made)[0] == 4
    assert len(made.bridge.packet_ins) == 4


def test_a_slow_path_packet_is_counted_by_its_datapath_flow_alone(lab: MakeLab) -> None:
    made = lab(2)
    made.bridge.flow_mod(FlowMod(actions=(DebugSlow(), Output(2))))
    for _ in range(4):
        made.send("p1", udp())
    assert made.received() == {"p2": 4}
    assert counts(made)[0] == 1
    made.seconds(1)
    assert counts(made) == (4, 4 * SIZE)
    made.seconds(1)
    assert counts(made) == (4, 4 * SIZE)


def test_random_traffic_over_changing_tables_adds_up(lab: MakeLab) -> None:
    """Whatever changes meanwhile, packets sent = packets on the rules that were there + dropped."""
    made = lab(3, "priority=1,actions=output:2")
    chance = random.Random(1)
    rules = {id(made.rule()): made.rule()}
    sent = 0
    for _ in range(300):
        what = chance.randrange(6)
        if what <= 2:
            sent += 1
            made.send("p1", udp(sport=chance.randrange(4)))
        elif what == 3:
            made.flow(f"priority={chance.randrange(2, 5)},udp,udp_src={chance.randrange(4)},"
                      f"actions=output:{chance.randrange(2, 4)}")
        elif what == 4:
            made.clock.warp(chance.randrange(3000))
            made.run()
        else:
            made.del_flows(f"udp,udp_src={chance.randrange(4)}")
        rules.update({id(rule): rule for rule in made.bridge.tables[0]})
    made.seconds(2)
    assert sum(rule.n_packets for rule in rules.values() if rule.successor is None) == sent
    assert sum(made.received().values()) == sent


def test_counters_start_again_when_a_flow_is_replaced(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    made.send("p1", udp())
    (subfacet,) = made.backer.subfacets.values()
    subfacet.update_stats(FlowStats(5, 500, 1), made.clock.now())
    subfacet.update_stats(FlowStats(2, 200, 1), made.clock.now())
    assert counts(made)[0] == 1 + 5 + 2
