"""What the rules count over the kernel's datapath is what was sent, whatever headers the packets have."""

from __future__ import annotations

import random
import select
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.ofproto_dpif.counting import random_flows, random_packet
from tests.uml.inside.lab import ip, packet_socket, receive
from tests.whole import sample
from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.ofproto_dpif.settings import BundleSettings
from vswitch.openflow.flow_text import parse_flow


class World:
    """br0 with ports c1, c2, c3, whose other ends we hold."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ofprotos = Ofprotos(self.clock)
        self.bridge = self.ofprotos.create("br0", "system")
        self.ends = []
        for number in (1, 2, 3):
            name = f"c{number}"
            ip(f"link add {name} type veth peer name {name}p")
            for end in (name, f"{name}p"):
                subprocess.run(["sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1"], check=False)
                ip(f"link set {end} up")
            self.ends.append(packet_socket(f"{name}p"))
            self.bridge.port_add(name, "system", number)
            self.bridge.bundle_set(name, BundleSettings(name, (name,)))

    def flow(self, text: str) -> None:
        self.bridge.flow_mod(parse_flow(text))

    def send(self, *packets: bytes) -> None:
        for packet in packets:
            self.ends[0].send(packet)

    def counted(self) -> int:
        self.bridge.backer.settle(self.clock.now())
        return sum(rule.n_packets for rule in self.bridge.tables[0])

    def turn(self, seconds: float = 0.0) -> None:
        """Serve the datapath until it is quiet, `seconds` at least."""
        end = time.monotonic() + seconds
        while True:
            if self.ofprotos.run(self.clock.now()):
                continue
            waits = select.select(self.ofprotos.fds(), [], [], 0.005)[0]
            if not waits and time.monotonic() >= end:
                return

    def wait_for(self, n: int) -> int:
        """What is counted, once it is `n` or two seconds have passed."""
        end = time.monotonic() + 2
        while self.counted() != n and time.monotonic() < end:
            self.turn()
        return self.counted()

    def taken(self, port: int) -> int:
        n = 0
        while receive(self.ends[port - 1]) is not None:
            n += 1
        return n

    def close(self) -> None:
        self.ofprotos.close()
        for number, end in enumerate(self.ends, 1):
            end.close()
            ip(f"link del c{number}")


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def since(name: str) -> Callable[[], int]:
    counter = coverage.counter(name)
    before = counter.total
    return lambda: counter.total - before


@pytest.mark.parametrize("seed", sample(range(40), 4))
def test_whatever_is_sent_is_counted_once(world: World, seed: int) -> None:
    r = random.Random(seed)
    for text in random_flows(r):
        world.flow(text)
    failed, unexpected = since("subfacet_install_fail"), since("facet_unexpected")
    world.turn(0.05)
    sent = world.counted()
    for _ in range(15):
        packets = [random_packet(r) for _ in range(r.randrange(1, 12))]
        sent += len(packets)
        world.send(*packets)
        world.turn(r.choice((0, 0, 0.15)))
    assert world.wait_for(sent) == sent
    for _ in range(3):
        world.flow(r.choice(random_flows(r)))
        packets = [random_packet(r) for _ in range(r.randrange(1, 12))]
        sent += len(packets)
        world.send(*packets)
        world.turn()
    assert world.wait_for(sent) == sent
    assert (failed(), unexpected()) == (0, 0)


def test_one_rule_and_many_vlans_miss_once_a_vlan(world: World) -> None:
    world.flow("ip,actions=output:2")
    world.flow("priority=0,actions=drop")
    r = random.Random(1)
    packet = next(p for p in iter(lambda: random_packet(r), b"") if p[12:14] == b"\x08\x00")
    world.turn(0.05)
    missed = since("upcall_miss")
    for _ in range(20):
        for vid in range(10):
            world.send(packet[:12] + b"\x81\0" + vid.to_bytes(2, "big") + packet[12:])
        world.turn(0.02)
    world.turn(0.1)
    rules = {rule.priority: rule for rule in world.bridge.tables[0]}
    world.counted()
    assert rules[0x8000].n_packets == 200
    assert missed() <= 12


@pytest.mark.parametrize("seed", range(1))
def test_after_a_barrier_no_packet_takes_an_action_that_is_gone(world: World, seed: int) -> None:
    r = random.Random(seed)
    world.flow("actions=output:2")
    packets = [random_packet(r) for _ in range(20)]
    world.send(*packets)
    world.turn(0.1)
    world.taken(2)
    for port in (3, 2, 3):
        world.flow(f"actions=output:{port}")
        world.bridge.complete(lambda: None)
        world.send(*packets)
        world.turn(0.1)
        assert (world.taken(port), world.taken(5 - port)) == (20, 0)
