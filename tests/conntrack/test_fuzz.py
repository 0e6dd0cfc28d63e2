"""Mutated packets into tracker, helpers and reassembly: nothing raises, nothing is kept that has no end.

A fixed sample here; 200,000 packets with VSWITCH_TEST_ALL=1.
"""

from __future__ import annotations

import os
import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tests.conntrack.packets import Walk
from vswitch.dpif.actions import Ct, Nat
from vswitch.dpif.odp_compile import compile_actions
from vswitch.dpif.odp_execute import Executor, Packet
from vswitch.dpif.userspace.conntrack.tracker import Tracker
from vswitch.flow.flow import Flow
from vswitch.netdev.frame import GSO_TCPV4, VNET_NEEDS_CSUM, Frame

N_PACKETS = 200_000 if os.environ.get("VSWITCH_TEST_ALL") else 2_000
ACTIONS = (
    Ct(commit=True, zone=1),
    Ct(zone=1, nat=Nat()),
    Ct(commit=True, force=True, zone=2, mark=(5, 0xFF), label=(1 << 100, 1 << 100)),
    Ct(commit=True, zone=3, helper="ftp", nat=Nat("src", bytes((10, 0, 0, 9)))),
    Ct(commit=True, zone=3, helper="tftp", nat=Nat("dst", bytes((10, 0, 0, 8)), min_port=80, max_port=90)),
    Ct(commit=True, zone=4, nat=Nat("src", bytes(15) + b"\x09", bytes(15) + b"\x0f", random=True)),
    Ct(zone=4, nat=Nat()),
)
MAX_CONNECTIONS = 2000


class Bench:
    """A tracker and the tools of a datapath around it."""

    def __init__(self) -> None:
        self.tracker = Tracker(12345)
        self.tracker.limits.maximum = MAX_CONNECTIONS
        self.executor = Executor()
        self.steps = [compile_actions((action,))[0] for action in ACTIONS]
        self.now = 0

    def take(self, frame: Frame, which: int) -> list[Packet]:
        """What comes of one packet."""
        packet = Packet(frame, Flow(), 1)
        step = self.steps[which]
        parts = self.tracker.gather(step, self.executor, packet, self.now)
        if parts is not None:
            return parts
        if not self.tracker.execute(step, self.executor, packet, self.now):
            return []
        self.executor.extract(packet)
        return [packet]


def seeds() -> list[bytes]:
    """Packets to mutate: all kinds that the tracker looks into."""
    out = [data for walk in (Walk(1), Walk(2, six=True), Walk(3, nat=True)) for data in
           (walk.packet()[1] for _ in range(150))]
    control = [b"PORT 10,0,0,1,8,9\r\n", b"EPRT |1|10.0.0.1|2000|\r\n", b"EPRT |2|fd00::1|2000|\r\n"]
    ip = IP(src="10.0.0.1", dst="10.0.0.2")
    to_server = TCP(sport=9, dport=21, flags="PA", seq=1, ack=1)
    out += [bytes(Ether() / ip / to_server / Raw(line)) for line in control]
    replies = [b"227 Entering (10,0,0,2,8,9)\r\n", b"229 Entering (|||2000|)\r\n"]
    back = IP(src="10.0.0.2", dst="10.0.0.1")
    to_client = TCP(sport=21, dport=9, flags="PA", seq=1, ack=1)
    out += [bytes(Ether() / back / to_client / Raw(line)) for line in replies]
    out.append(bytes(Ether() / ip / UDP(sport=9, dport=69) / Raw(b"\0\1file\0octet\0")))
    large = ip / UDP(sport=9, dport=10) / Raw(bytes(4000))
    out += [bytes(Ether() / piece) for piece in fragment(large, 1400)]
    six = IPv6(src="fd00::1", dst="fd00::2")
    whole = six / IPv6ExtHdrFragment(id=7) / UDP(sport=9, dport=10) / Raw(bytes(4000))
    out += [bytes(Ether() / piece) for piece in fragment6(whole, 1400)]
    out.append(bytes(Ether() / back / ICMP(type=3) / ip / UDP(sport=9, dport=10)))
    error = IPv6(src="fd00::2", dst="fd00::1") / ICMPv6DestUnreach()
    out.append(bytes(Ether() / error / six / UDP(sport=9, dport=10)))
    return out


def mutated(roll: random.Random, data: bytes) -> bytes:
    """`data` with bytes changed, cut off, doubled or put in; often with nothing done to it."""
    changed = bytearray(data)
    for _ in range(roll.choice((0, 0, 1, 1, 2, 8))):
        at = roll.randrange(14, max(len(changed), 15)) if roll.random() < 0.95 else roll.randrange(14)
        kind = roll.randrange(4)
        if kind == 0 and at < len(changed):
            changed[at] = roll.choice((0, 1, 0x7F, 0x80, 0xFF, roll.randrange(256)))
        elif kind == 1:
            del changed[at:]
        elif kind == 2:
            changed[at:at] = bytes(roll.randrange(1, 9))
        elif at < len(changed):
            changed[at] ^= 1 << roll.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_packets(seed: int) -> None:
    roll = random.Random(seed)
    bench = Bench()
    tracker = bench.tracker
    originals = seeds()
    for n in range(N_PACKETS // 4):
        data = mutated(roll, roll.choice(originals))
        frame = Frame(data)
        if roll.random() < 0.2:
            # Nobody looks at the checksum of such a packet, so that more of them come further.
            kind = GSO_TCPV4 if roll.random() < 0.1 else 0
            frame = Frame(data, VNET_NEEDS_CSUM, kind, 54, 1448, 34, 16)
        for packet in bench.take(frame, roll.randrange(len(ACTIONS))):
            assert len(packet.frame.data) <= 65535 + 100
        if n % 50 == 0:
            bench.now += roll.choice((1, 1000, 20_000))
            tracker.run(bench.now)
        assert tracker.table.count <= MAX_CONNECTIONS
        assert tracker.fragments.held <= tracker.fragments.max_held
    bench.now += 90_000_000
    while tracker.run(bench.now):
        pass
    assert tracker.table.count == 0
    assert tracker.fragments.held == 0
    assert not tracker.helpers.expected
    assert not tracker.helpers.parents
    assert not tracker.helpers.adjustments
    assert not tracker.limits.zones
