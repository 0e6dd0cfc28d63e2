"""RSTP: rapid transitions, failover, migration, and topology changes (IEEE 802.1D-2004, clause 17)."""

from __future__ import annotations

import random

from tests.l2.trees import RING3, RING4, Network
from vswitch.l2.bpdu import CONFIG, RST, TCN, Bpdu
from vswitch.l2.rstp import Rstp, path_cost
from vswitch.l2.rstp_port import Times


def test_two_bridges_agree_at_once() -> None:
    net = Network("rr", [((0, 1), (1, 1))])
    net.run(1_000)
    assert net.role(0, 1) == "designated"
    assert net.role(1, 1) == "root"
    assert net.is_tree()


def test_an_edge_port_forwards_after_the_migration_time() -> None:
    rstp = Rstp(1, 0)
    port = rstp.add_port(1, 0)
    rstp.set_enabled(port, True)
    assert not port.forwards
    for now in range(0, 3_001, 500):
        rstp.run(now)
    assert port.forwards
    assert port.oper_edge


def test_without_auto_edge_a_port_waits_for_its_timers() -> None:
    rstp = Rstp(1, 0)
    port = rstp.add_port(1, 0)
    rstp.set_port(port, 128, 200_000, False, False, True)
    rstp.set_enabled(port, True)
    rstp.run(5_000)
    assert port.state in ("Discarding", "Learning")
    rstp.run(40_000)
    assert port.state == "Forwarding"


def test_a_ring_becomes_a_tree() -> None:
    net = Network("rrr", RING3)
    net.run(2_000)
    assert net.is_tree()
    assert sorted(net.role(2, p) for p in (1, 2)) == ["alternate", "root"]


def test_no_loop_forwards_at_any_time() -> None:
    net = Network("rrrr", RING4)
    for _ in range(200):
        assert len(net.forwarding_links()) < 4
        net.run(100)
    assert net.is_tree()


def test_a_ring_heals_within_two_hellos_after_a_link_fails() -> None:
    for link in ((0, 1), (1, 1), (2, 1), (3, 1)):
        net = Network("rrrr", RING4)
        net.run(30_000)
        net.flushes = [0] * 4
        net.cut(*link)
        net.run(3_000)
        assert net.is_tree(), link


def test_a_silent_neighbour_is_given_up_after_three_hellos() -> None:
    net = Network("rr", [((0, 1), (1, 1))])
    net.run(5_000)
    net.peer.clear()
    net.run(4_000)
    assert not net.nodes[1].is_root
    net.run(3_000)
    assert net.nodes[1].is_root


def test_two_ports_of_one_bridge_on_one_link_are_designated_and_backup() -> None:
    net = Network("r", [((0, 1), (0, 2))])
    net.run(5_000)
    assert [net.role(0, 1), net.role(0, 2)] == ["designated", "backup"]


def test_a_neighbour_with_the_old_protocol_is_spoken_to_in_it() -> None:
    net = Network("rs", [((0, 1), (1, 1))])
    net.run(10_000)
    port = net.nodes[0].ports[1]
    assert not port.send_rstp
    assert not net.nodes[1].is_root
    net.run(40_000)
    assert net.is_tree()


def test_mixed_rings_become_trees() -> None:
    for kinds in ("rsrs", "ssrr", "rrrs", "srrr"):
        net = Network(kinds, RING4)
        net.run(80_000)
        assert net.is_tree(), kinds


def test_a_lower_priority_makes_another_root() -> None:
    net = Network("rrr", RING3)
    net.run(5_000)
    other = net.nodes[2]
    assert isinstance(other, Rstp)
    other.set_bridge(0x1000 << 48 | 3, Times(0, 20, 2, 15), 6, True)
    net.run(10_000)
    assert other.is_root
    assert net.is_tree()


def test_a_topology_change_flushes_the_others() -> None:
    net = Network("rrrr", RING4)
    net.run(30_000)
    net.flushes = [0] * 4
    net.cut(1, 1)
    net.run(4_000)
    assert all(net.flushes[i] for i in (0, 1, 2, 3))


def test_a_quiet_network_flushes_nothing() -> None:
    net = Network("rrrr", RING4)
    net.run(30_000)
    net.flushes = [0] * 4
    net.run(30_000)
    assert net.flushes == [0] * 4


def test_no_port_sends_more_than_the_hold_count_a_second() -> None:
    net = Network("rr", [((0, 1), (1, 1))])
    net.run(5_000)
    other = net.nodes[1]
    assert isinstance(other, Rstp)
    port = other.ports[1]
    before = port.tx_count
    for i in range(50):
        other.set_bridge((0x8000 - i) << 48 | 1, other.times, 6, True)
    assert port.tx_count - before <= 7


def test_costs_are_the_standards() -> None:
    assert [path_cost(m) for m in (10, 100, 1_000, 10_000, 0)] == [2_000_000, 200_000, 20_000, 2_000, 200_000]


def test_any_messages_in_any_order_come_to_rest() -> None:
    rng = random.Random(2)
    rstp = Rstp(5, 0)
    ports = [rstp.add_port(n, 0) for n in (1, 2, 3)]
    for port in ports:
        rstp.set_enabled(port, True)
    now = 0
    for _ in range(20_000):
        now += rng.randrange(1500)
        port = rng.choice(ports)
        rstp.received(
            port,
            Bpdu(
                rng.choice((CONFIG, RST, RST, TCN)),
                2,
                rng.randrange(256),
                rng.randrange(10),
                rng.randrange(50),
                rng.randrange(10),
                rng.randrange(5),
                rng.randrange(19_000),
                20_000,
                2_000,
                15_000,
            ),
        )
        if rng.random() < 0.05:
            rstp.set_enabled(port, rng.random() < 0.5)
        rstp.run(now)
        rstp.take_sent()
        for p in ports:
            assert p.learning or not p.forwarding
            assert p.port_enabled or not p.forwarding
