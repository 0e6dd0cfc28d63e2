"""A bridge over a datapath that forwards between the kernel's devices, and what has to hold of it: rules,
facets and datapath flows count what was sent, and after a barrier no packet takes an action that is gone."""

from __future__ import annotations

import random
import select
import subprocess
import time
from collections.abc import Callable

from tests.ofproto_dpif.counting import (
    TLVS,
    TUNNEL,
    random_flows,
    random_packet,
    random_tunnel_flows,
)
from tests.uml.inside.lab import ip, packet_socket, receive
from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.ofproto.handlers_flow import apply_flow_mod
from vswitch.ofproto.request import request
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.ofproto_dpif.settings import BundleSettings
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10, OFP15


class World:
    """br0 on a datapath of type `kind` with ports c1, c2, c3, whose other ends we hold."""

    def __init__(self, kind: str) -> None:
        self.clock = Clock()
        self.ofprotos = Ofprotos(self.clock)
        self.bridge = self.ofprotos.create("br0", kind)
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
        self.more_devices: list[str] = []

    def tunnel(self, r: random.Random) -> Callable[[list[bytes]], None]:
        """Make port 4 a Geneve tunnel; what sends packets that arrive there, with random options."""
        raise NotImplementedError

    def add_tunnel(self) -> None:
        request(self.bridge, [TLVS], OFP15, self.clock.now())
        self.bridge.port_add("t0", "geneve", TUNNEL, {"remote_ip": "flow", "key": "flow"})
        self.bridge.bundle_set("t0", BundleSettings("t0", ("t0",)))

    def flow(self, text: str, bridge: OfprotoDpif | None = None) -> None:
        apply_flow_mod(bridge or self.bridge, parse_flow(text), OFP10, Form.EXTENSION)

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
        for end in self.ends:
            end.close()
        for device in ("c1", "c2", "c3", *self.more_devices):
            ip(f"link del {device}")


def since(name: str) -> Callable[[], int]:
    counter = coverage.counter(name)
    before = counter.total
    return lambda: counter.total - before


Send = Callable[[list[bytes]], None]


def counts_what_is_sent(
    world: World, r: random.Random, flows: Callable[[random.Random], list[str]], send: Send
) -> None:
    """While packets come and the flows change."""
    for text in flows(r):
        world.flow(text)
    failed, unexpected = since("subfacet_install_fail"), since("facet_unexpected")
    world.turn(0.05)
    sent = world.counted()
    for _ in range(15):
        packets = [random_packet(r) for _ in range(r.randrange(1, 12))]
        sent += len(packets)
        send(packets)
        world.turn(r.choice((0, 0, 0.15)))
    counted = world.wait_for(sent)
    assert counted == sent, f"{counted} of {sent}: {[str(rule) for rule in world.bridge.tables[0]]}"
    for _ in range(3):
        world.flow(r.choice(flows(r)))
        packets = [random_packet(r) for _ in range(r.randrange(1, 12))]
        sent += len(packets)
        send(packets)
        world.turn()
    counted = world.wait_for(sent)
    assert counted == sent, f"{counted} of {sent}: {[str(rule) for rule in world.bridge.tables[0]]}"
    assert (failed(), unexpected()) == (0, 0)


def whatever_is_sent_is_counted_once(world: World, seed: int) -> None:
    counts_what_is_sent(world, random.Random(seed), random_flows, lambda packets: world.send(*packets))


def what_comes_in_tunnels_is_counted_once(world: World, seed: int) -> None:
    """With options, in an order of each packet's own, which the datapath's flows have to have."""
    r = random.Random(seed)
    send = world.tunnel(r)
    counts_what_is_sent(world, r, random_tunnel_flows, send)


def after_a_barrier_no_action_is_taken_that_is_gone(world: World, seed: int) -> None:
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
