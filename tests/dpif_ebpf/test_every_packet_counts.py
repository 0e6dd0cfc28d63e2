"""What the rules count over the eBPF datapath is what was sent, whatever headers the packets have."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.dpif_ebpf.lab import own_namespace
from tests.ofproto_dpif import counting_world
from tests.ofproto_dpif.counting_world import World
from tests.uml.inside.lab import ip, packet_socket
from tests.whole import sample
from vswitch.ofproto_dpif.settings import BundleSettings
from vswitch.openflow.constants import OFPP_LOCAL

pytestmark = pytest.mark.system


class EbpfWorld(World):
    """Packets out of tunnels come in by a bridge whose local port has the address."""

    def tunnel_wire(self) -> tuple[socket.socket, bytes]:
        self.add_tunnel()
        self.misses_are_its_own = False
        under = self.ofprotos.create("under", "ebpf")
        ip("link add near0 type veth peer name far0")
        ip("link set near0 up")
        ip("link set far0 up")
        under.port_add("near0", "system", 1)
        under.bundle_set("near0", BundleSettings("near0", ("near0",)))
        self.flow("actions=LOCAL", under)
        ip("addr add 10.95.0.1/24 dev under")
        ip("link set under up")
        far = packet_socket("far0")
        self.ends.append(far)
        self.more_devices.append("near0")
        self.turn(0.3)
        local = under.ofp_port(OFPP_LOCAL)
        assert local is not None
        return far, local.hw_addr.to_bytes(6, "big")


@pytest.fixture
def world(require: Callable[..., None]) -> Iterator[World]:
    require("root", "netns", "tun", "ebpf")
    with own_namespace():
        made = EbpfWorld("ebpf")
        try:
            yield made
        finally:
            made.close()


@pytest.mark.parametrize("seed", sample(range(100), 2))
def test_whatever_is_sent_is_counted_once(world: World, seed: int) -> None:
    counting_world.whatever_is_sent_is_counted_once(world, seed)


@pytest.mark.parametrize("seed", sample(range(100), 2))
def test_what_comes_in_tunnels_is_counted_once(world: World, seed: int) -> None:
    counting_world.what_comes_in_tunnels_is_counted_once(world, seed)


@pytest.mark.parametrize("seed", range(1))
def test_after_a_barrier_no_packet_takes_an_action_that_is_gone(world: World, seed: int) -> None:
    counting_world.after_a_barrier_no_action_is_taken_that_is_gone(world, seed)


@pytest.mark.parametrize("seed", sample(range(100), 2))
def test_after_a_barrier_packets_take_what_the_tables_say(world: World, seed: int) -> None:
    counting_world.after_a_barrier_packets_take_what_the_tables_say(world, seed)


@pytest.mark.parametrize("seed", range(1))
def test_after_a_barrier_none_out_of_a_tunnel_takes_an_action_that_is_gone(world: World, seed: int) -> None:
    counting_world.after_a_barrier_none_out_of_a_tunnel_takes_an_action_that_is_gone(world, seed)


def test_packets_without_options_are_told_from_those_with_some(world: World) -> None:
    counting_world.packets_without_options_are_told_from_those_with_some(world)
