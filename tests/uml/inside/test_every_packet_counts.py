"""What the rules count over the kernel's datapath is what was sent, whatever headers the packets have."""

from __future__ import annotations

import random
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.ofproto_dpif import counting_world
from tests.ofproto_dpif.counting import random_packet
from tests.ofproto_dpif.counting_world import World, since
from tests.uml.inside.lab import ip, packet_socket
from tests.whole import sample


class KernelWorld(World):
    """Packets out of the kernel's own tunnels come from a wire whose other end we hold."""

    def __init__(self) -> None:
        # Geneve loads IPv6, whose neighbour discovery would be counted: it is there before the ports are, so
        # that they can be told to stay silent.
        subprocess.run(["modprobe", "-a", "ipv6", "vport-geneve"], check=True)
        super().__init__("system")

    def tunnel_wire(self) -> tuple[socket.socket, bytes]:
        ip("link add near0 address 02:00:00:00:00:5e type veth peer name far0")
        ip("addr add 10.95.0.1/24 dev near0")
        ip("link set near0 up")
        ip("link set far0 up")
        self.add_tunnel()
        far = packet_socket("far0")
        self.ends.append(far)
        self.more_devices.append("near0")
        return far, bytes.fromhex("02000000005e")


@pytest.fixture
def world() -> Iterator[World]:
    made = KernelWorld()
    yield made
    made.close()


@pytest.mark.parametrize("seed", sample(range(40), 4))
def test_whatever_is_sent_is_counted_once(world: World, seed: int) -> None:
    counting_world.whatever_is_sent_is_counted_once(world, seed)


@pytest.mark.parametrize("seed", sample(range(40), 4))
def test_what_comes_in_tunnels_is_counted_once(world: World, seed: int) -> None:
    counting_world.what_comes_in_tunnels_is_counted_once(world, seed)


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
    counting_world.after_a_barrier_no_action_is_taken_that_is_gone(world, seed)


@pytest.mark.parametrize("seed", sample(range(40), 4))
def test_after_a_barrier_packets_take_what_the_tables_say(world: World, seed: int) -> None:
    counting_world.after_a_barrier_packets_take_what_the_tables_say(world, seed)


@pytest.mark.parametrize("seed", range(1))
def test_after_a_barrier_none_out_of_a_tunnel_takes_an_action_that_is_gone(world: World, seed: int) -> None:
    counting_world.after_a_barrier_none_out_of_a_tunnel_takes_an_action_that_is_gone(world, seed)


def test_packets_without_options_are_told_from_those_with_some(world: World) -> None:
    counting_world.packets_without_options_are_told_from_those_with_some(world)
