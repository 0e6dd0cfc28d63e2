"""A bridge over a datapath that forwards between the kernel's devices, and what has to hold of it: rules,
facets and datapath flows count what was sent, and after a barrier no packet takes an action that is gone."""

from __future__ import annotations

import random
import re
import select
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from itertools import count

from tests.ofproto_dpif.counting import (
    TLVS,
    TUNNEL,
    geneve_frame,
    in_geneve,
    random_flows,
    random_packet,
    random_tunnel_flows,
)
from tests.uml.inside.lab import ip, packet_socket, receive
from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.dpif.actions import Output
from vswitch.flow.extract import Parser, extract
from vswitch.flow.flow import Flow
from vswitch.ofproto.handlers_flow import apply_flow_mod
from vswitch.ofproto.request import request
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.ofproto_dpif.settings import BundleSettings
from vswitch.ofproto_dpif.xlate.translate import xlate
from vswitch.ofproto_dpif.xlate.types import XlateIn
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10, OFP15


class World:
    """br0 on a datapath of type `kind` with ports c1, c2, c3, whose other ends we hold."""

    misses_are_its_own = True
    """Whether no other bridge of the datapath has packets."""

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
        far, address = self.tunnel_wire()

        def send(packets: list[bytes]) -> None:
            for packet in packets:
                far.send(in_geneve(r, packet, address))

        return send

    def tunnel_wire(self) -> tuple[socket.socket, bytes]:
        """Make port 4 a Geneve tunnel; where its packets are sent in, and to which Ethernet address."""
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

    def counted_below(self) -> tuple[int, int]:
        """What is counted by facets of br0 and by the datapath's flows."""
        self.bridge.backer.settle(self.clock.now())
        mine = self.bridge.xbridge
        facets = sum(facet.n_packets for facet in self.bridge.backer.facets() if facet.bridge is mine)
        return facets, sum(flow.stats.n_packets for flow in self.bridge.backer.dpif.flow_dump())

    def should_send(self, packets: list[bytes]) -> list[int]:
        """How many of `packets` ports 1, 2 and 3 are to send by what the tables say now."""
        sent = [0, 0, 0]
        places = {self.bridge.xbridge.ports[number].odp_port: number - 1 for number in (1, 2, 3)}
        now = self.clock.now()
        for packet in packets:
            flow = Flow()
            extract(packet, flow, Parser(self.bridge.vlan_limit))
            flow.in_port = 1
            out = xlate(XlateIn(self.bridge.xbridge, flow, now=now, side_effects=False))
            for action in out.actions:
                if isinstance(action, Output):
                    sent[places[action.port]] += 1
            self.bridge.backer.installer.drop_out(out, now)
        return sent

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
    sent = before = world.counted()
    facets_before, flows_before = world.counted_below()
    missed = since("upcall_miss")
    for _ in range(15):
        packets = [random_packet(r) for _ in range(r.randrange(1, 12))]
        sent += len(packets)
        send(packets)
        world.turn(r.choice((0, 0, 0.15)))
    counted = world.wait_for(sent)
    assert counted == sent, f"{counted} of {sent}: {[str(rule) for rule in world.bridge.tables[0]]}"
    by_facets, by_flows = world.counted_below()
    assert by_facets - facets_before == sent - before
    if world.misses_are_its_own:
        assert by_flows - flows_before + missed() == sent - before
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


def after_a_barrier_packets_take_what_the_tables_say(world: World, seed: int) -> None:
    r = random.Random(seed)
    world.bridge.backer.set_vlan_limit(r.choice((1, 2)))
    for text in random_flows(r):
        world.flow(text)
    packets = [random_packet(r) for _ in range(20)]
    priorities = count(100)
    for _ in range(8):
        world.send(*packets)
        world.turn(r.choice((0, 0.05)))
        world.turn(0.05)
        for _ in range(r.choice((1, 1, 3))):
            table = world.bridge.tables[r.randrange(2)]
            rules = [rule for rule in table if rule.priority]
            if rules and r.random() < 0.3:
                rule = r.choice(rules)
                world.bridge.flow_mod(FlowMod(
                    rule.match.copy(), priority=rule.priority, table_id=table.table_id,
                    command=FlowModCommand.DELETE_STRICT))
            else:
                # Of two that overlap and have one priority, either may be taken.
                text = re.sub(r"priority=[1-9]\d*", f"priority={next(priorities)}", r.choice(random_flows(r)))
                world.flow(text)
        world.bridge.complete(lambda: None)
        for port in (1, 2, 3):
            world.taken(port)
        world.send(*packets)
        world.turn(0.1)
        taken, due = [world.taken(port) for port in (1, 2, 3)], world.should_send(packets)
        rules = [str(rule) for number in (0, 1) for rule in world.bridge.tables[number]]
        assert taken == due, f"{taken}, not {due}: {rules}"


def after_a_barrier_no_action_is_taken_that_is_gone(world: World, seed: int) -> None:
    _no_action_that_is_gone(world, random.Random(seed), lambda packets: world.send(*packets))


def after_a_barrier_none_out_of_a_tunnel_takes_an_action_that_is_gone(world: World, seed: int) -> None:
    r = random.Random(seed)
    _no_action_that_is_gone(world, r, world.tunnel(r))


def _no_action_that_is_gone(world: World, r: random.Random, send: Send) -> None:
    world.flow("actions=output:2")
    packets = [random_packet(r) for _ in range(20)]
    send(packets)
    world.turn(0.1)
    world.taken(2)
    for port in (3, 2, 3):
        world.flow(f"actions=output:{port}")
        world.bridge.complete(lambda: None)
        send(packets)
        world.turn(0.1)
        assert (world.taken(port), world.taken(5 - port)) == (20, 0)


def packets_without_options_are_told_from_those_with_some(world: World) -> None:
    far, address = world.tunnel_wire()
    world.flow("priority=1,actions=output:2")
    world.flow("priority=2,tun_metadata0=0x7,actions=output:3")
    packet = random_packet(random.Random(1))
    without = geneve_frame(packet, address)
    one = geneve_frame(packet, address, options=struct.pack(">HBBI", 0x100, 1, 1, 7))
    unknown = geneve_frame(packet, address, options=struct.pack(">HBBI", 0x9, 1, 1, 7))
    both = geneve_frame(packet, address, options=struct.pack(">HBBIHBBI", 0x9, 1, 1, 7, 0x100, 1, 1, 7))
    for _ in range(3):
        for sent in (without, one, unknown, both):
            far.send(sent)
            world.turn(0.1)
        assert (world.taken(2), world.taken(3)) == (2, 2)
