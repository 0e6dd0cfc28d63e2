"""What rules, facets and datapath flows count is what was sent, whatever headers the packets have; and
after a barrier no packet takes an action that is gone."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.ofproto_dpif.counting import (
    TLVS,
    TUNNEL,
    in_geneve,
    random_flows,
    random_packet,
    random_tunnel_flows,
)
from tests.ofproto_dpif.lab import Counted, Lab, udp
from tests.whole import sample
from vswitch.ofproto.request import request
from vswitch.openflow.wire.version import OFP15

MakeLab = Callable[..., Lab]


def tagged(vid: int, tpid: int = 0x8100) -> bytes:
    packet = udp()
    return packet[:12] + tpid.to_bytes(2, "big") + vid.to_bytes(2, "big") + packet[12:]


def in_table(made: Lab, table_id: int = 0) -> int:
    return sum(rule.n_packets for rule in made.bridge.tables[table_id])


@pytest.mark.parametrize("vlans", [1, 2, 4, 10])
def test_one_rule_counts_all_packets_of_all_vlans(lab: MakeLab, vlans: int) -> None:
    made = lab(2, "ip,actions=output:2")
    events = Counted("upcall_miss", "subfacet_reinstall", "facet_unexpected")
    for n in range(100):
        made.send("p1", *[tagged(1 + (10 * n + k) % vlans) for k in range(10)])
        made.clock.warp(30)
    made.seconds(2)
    assert made.rule("ip").n_packets == 1000
    assert made.received() == {"p2": 1000}
    assert events["upcall_miss"] <= max(vlans, 10)
    assert events["subfacet_reinstall"] == events["facet_unexpected"] == 0
    (facet,) = made.facets()
    assert len(facet.subfacets) == vlans
    made.seconds(12)
    assert made.facets() == []
    assert made.rule("ip").n_packets == 1000


def test_types_and_numbers_of_tags_are_flows_of_their_own_to_the_datapath(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    kinds = [udp(), tagged(5), tagged(5, 0x88A8), tagged(5)[:12] + b"\x88\xa8\0\7" + tagged(5)[12:]]
    for _ in range(3):
        for packet in kinds:
            made.send("p1", packet)
            made.clock.warp(150)
    made.seconds(2)
    assert made.rule().n_packets == 12
    assert sum(facet.n_packets for facet in made.facets()) == 12
    flows = list(made.backer.dpif.flow_dump())
    assert [flow.stats.n_packets for flow in flows] == [2] * len(kinds)


@pytest.mark.parametrize("seed", sample(range(400), 25))
def test_whatever_is_sent_is_counted_once(lab: MakeLab, seed: int) -> None:
    r = random.Random(seed)
    made = lab(3, *random_flows(r))
    sent = 0
    for _ in range(30):
        packets = [random_packet(r) for _ in range(r.randrange(1, 12))]
        sent += len(packets)
        made.send("p1", *packets)
        made.clock.warp(r.choice((1, 40, 120)))
    made.seconds(1)
    assert in_table(made) == sent
    assert sum(facet.n_packets for facet in made.facets()) == sent
    for _ in range(4):
        made.flow(r.choice(random_flows(r)))
        packets = [random_packet(r) for _ in range(r.randrange(1, 12))]
        sent += len(packets)
        made.send("p1", *packets)
        made.clock.warp(r.choice((1, 600)))
    made.seconds(r.choice((1, 12)))
    # A flow that replaced another one counts on from where that one was.
    assert in_table(made) == sent


@pytest.mark.parametrize("seed", sample(range(400), 15))
def test_what_comes_in_tunnels_is_counted_once_whatever_its_options(lab: MakeLab, seed: int) -> None:
    r = random.Random(seed)
    made = lab(3)
    request(made.bridge, [TLVS], OFP15, made.clock.now())
    address = made.add_geneve(TUNNEL)
    for flow in random_tunnel_flows(r):
        made.flow(flow)
    sent = 0
    for _ in range(25):
        packets = [random_packet(r) for _ in range(r.randrange(1, 9))]
        sent += len(packets)
        made.send("u1", *(in_geneve(r, packet, address) for packet in packets))
        made.clock.warp(r.choice((1, 40, 120)))
    made.seconds(1)
    assert in_table(made) == sent
    # Each packet as it came in, and what was in it.
    assert sum(facet.n_packets for facet in made.facets()) == 2 * sent
    for _ in range(3):
        made.flow(r.choice(random_tunnel_flows(r)))
        packets = [random_packet(r) for _ in range(r.randrange(1, 9))]
        sent += len(packets)
        made.send("u1", *(in_geneve(r, packet, address) for packet in packets))
        made.clock.warp(r.choice((1, 600)))
    made.seconds(r.choice((1, 12)))
    assert in_table(made) == sent


@pytest.mark.parametrize("seed", range(5))
def test_after_a_barrier_no_packet_takes_an_action_that_is_gone(lab: MakeLab, seed: int) -> None:
    r = random.Random(seed)
    made = lab(3, "priority=7,actions=output:2", "priority=8,udp,actions=output:2")
    packets = [random_packet(r) for _ in range(20)]
    made.send("p1", *packets)
    made.received()
    done: list[bool] = []
    for port in (3, 2, 3):
        made.flow(f"priority=7,actions=output:{port}")
        made.flow(f"priority=8,udp,actions=output:{port}")
        made.bridge.complete(lambda: done.append(True))
        made.send("p1", *packets)
        assert made.received() == {f"p{port}": 20}
    assert done == [True] * 3
