"""STP: roles, states and their timing, failover, and topology changes (IEEE 802.1D-1998)."""

from __future__ import annotations

import random

from tests.l2.trees import RING3, RING4, Network
from vswitch.l2.bpdu import CONFIG, Bpdu
from vswitch.l2.stp import BLOCKING, FORWARDING, LEARNING, LISTENING, Stp, StpPort, path_cost


def test_a_port_listens_then_learns_then_forwards() -> None:
    stp = Stp(1, 0)
    port = stp.port(1)
    stp.enable(port, 0)
    states = []
    for now in range(0, 31_000, 500):
        stp.run(now)
        if not states or states[-1][1] != port.state:
            states.append((now, port.state))
    assert states == [(0, LISTENING), (15_000, LEARNING), (30_000, FORWARDING)]


def test_the_root_says_hello_every_two_seconds() -> None:
    stp = Stp(1, 0)
    stp.enable(stp.port(1), 0)
    sent = []
    for now in range(0, 10_001, 100):
        stp.run(now)
        sent += [now] * len(stp.take_sent())
    assert sent == [2000, 4000, 6000, 8000, 10_000]


def test_a_ring_becomes_a_tree_with_the_lowest_bridge_as_root() -> None:
    net = Network("sss", RING3)
    net.run(40_000)
    assert net.is_tree()
    assert net.nodes[0].is_root
    assert [net.role(1, 2), net.role(2, 1)] == ["root", "root"]
    assert [net.role(1, 1), net.role(2, 2)] == ["designated", "alternate"]
    assert net.nodes[2].ports[2].state == BLOCKING
    assert net.nodes[2].root_path_cost == 19


def test_no_loop_forwards_at_any_time() -> None:
    net = Network("ssss", RING4)
    for _ in range(600):
        net.run(100)
        assert len(net.forwarding_links()) < 4
    assert net.is_tree()


def test_a_ring_heals_within_forward_delays_after_a_link_fails() -> None:
    net = Network("ssss", RING4)
    net.run(40_000)
    before = sum(net.flushes)
    net.cut(0, 1)
    net.run(20_000 + 30_000 + 1_000)
    assert net.is_tree()
    assert sum(net.flushes) > before


def test_a_silent_root_is_given_up_after_max_age() -> None:
    net = Network("ss", [((0, 1), (1, 1))])
    net.run(40_000)
    assert not net.nodes[1].is_root
    net.peer.clear()
    net.run(18_000)
    assert not net.nodes[1].is_root
    net.run(5_000)
    assert net.nodes[1].is_root


def test_a_lower_priority_makes_another_root() -> None:
    net = Network("sss", RING3)
    net.run(40_000)
    other = net.nodes[2]
    assert isinstance(other, Stp)
    other.set_bridge_id(0x1000 << 48 | 3, net.now)
    net.run(60_000)
    assert other.is_root
    assert not net.nodes[0].is_root
    assert net.is_tree()


def test_path_cost_decides_over_which_port_the_root_is_reached() -> None:
    net = Network("sss", RING3)
    bridge = net.nodes[2]
    assert isinstance(bridge, Stp)
    bridge.set_path_cost(bridge.ports[1], 100, net.now)
    net.run(60_000)
    assert net.role(2, 2) == "root"
    assert bridge.root_path_cost == 38
    assert net.is_tree()


def test_a_topology_change_reaches_the_root_and_is_acknowledged() -> None:
    net = Network("ssss", RING4)
    net.run(120_000)
    net.flushes = [0, 0, 0, 0]
    net.cut(0, 1)
    net.run(60_000)
    assert net.flushes[0] > 0
    for bridge in net.nodes:
        assert isinstance(bridge, Stp)
        assert bridge.tcn_timer is None


def test_what_is_older_than_max_age_is_an_error() -> None:
    stp = Stp(2, 0)
    port: StpPort = stp.port(1)
    stp.enable(port, 0)
    stp.received(port, Bpdu(CONFIG, 0, 0, 1, 0, 1, 1, 20_000, 20_000, 2_000, 15_000), 0)
    assert stp.is_root
    assert port.error_count == 1


def test_times_stay_within_what_the_standard_allows() -> None:
    stp = Stp(1, 0)
    for _ in range(1000):
        stp.set_times(*(random.randrange(0, 100_000) for _ in range(3)))
        assert (
            2 * (stp.bridge_forward_delay - 1000) >= stp.bridge_max_age >= 2 * (stp.bridge_hello_time + 1000)
        )


def test_costs_are_the_standards() -> None:
    assert [path_cost(m) for m in (10, 100, 1_000, 10_000)] == [100, 19, 4, 2]


def test_any_messages_in_any_order_leave_the_machine_sound() -> None:
    rng = random.Random(1)
    stp = Stp(5, 0)
    ports = [stp.port(n) for n in (1, 2, 3)]
    for port in ports:
        stp.enable(port, 0)
    now = 0
    for _ in range(20_000):
        now += rng.randrange(3000)
        port = rng.choice(ports)
        age = rng.randrange(25_000)
        stp.received(
            port,
            Bpdu(
                rng.choice((0, 0x80)),
                0,
                rng.randrange(256),
                rng.randrange(10),
                rng.randrange(50),
                rng.randrange(10),
                rng.randrange(5),
                age,
                20_000,
                2_000,
                15_000,
            ),
            now,
        )
        rng.choice((stp.enable, stp.disable))(rng.choice(ports), now) if rng.random() < 0.05 else stp.run(now)
        assert stp.is_root == (stp.root_port is None)
        stp.take_sent()
