"""Outer packets as they arrive, whole and broken: what is inside comes out, or a reason why not."""

from __future__ import annotations

import os
import random

import pytest

from vswitch.base import coverage
from vswitch.dpif.odp_execute import Packet
from vswitch.dpif.userspace import tunnel as tunnel_module
from vswitch.dpif.userspace.tunnel import Popper, TunnelEnd, l3_segments, pop_counter, push
from vswitch.flow.flow import Flow
from vswitch.netdev.frame import GSO_NONE, GSO_TCPV4, GSO_UDP_L4, VNET_DATA_VALID, VNET_NEEDS_CSUM, Frame
from vswitch.netdev.gso import segments
from vswitch.packet.parse import Parser
from vswitch.packet.tunnel import headers, kinds
from vswitch.packet.tunnel.outer import Encap

IPV4 = bytes.fromhex("45000020000040004011 0000 0a000001 0a000002 00010002000c0000 61626364")
FRAME = bytes.fromhex("020000000002 020000000001 0800") + IPV4
FUZZ = 200_000 if not tunnel_module.__file__.endswith(".py") or os.environ.get("VSWITCH_TEST_ALL") else 20_000
OPTION = bytes.fromhex("0102030111223344")
SEGMENTS = [(0xFD << 120 | n).to_bytes(16, "big") for n in (1, 2)]


def outer(kind: int, version: int, proto: int, header: bytes, inner: bytes) -> bytes:
    """A whole packet of a tunnel."""
    if version == 4:
        ip = headers.ethernet(2, 1, 0x800) + headers.ipv4(0x0A010101, 0x0A010102, proto, 0, 64, True)
    else:
        ip = headers.ethernet(2, 1, 0x86DD) + headers.ipv6(0xFD << 120 | 1, 0xFD << 120 | 2, proto, 0, 64)
    named = (kinds.OVER_IPV4 if version == 4 else kinds.OVER_IPV6).get(kind, kind)
    return Encap(ip + header, named).wrap(inner, 40000, 1)


WHOLE = {
    "vxlan": (kinds.VXLAN, 17, headers.udp(4789, True) + headers.vxlan(5), FRAME),
    "vxlan-gbp": (kinds.VXLAN, 17, headers.udp(4789, False) + headers.vxlan(5, (7, 8)), FRAME),
    "vxlan-gpe": (kinds.VXLAN, 17, headers.udp(4790, False) + headers.vxlan(5, None, 0x10800), IPV4),
    "geneve": (kinds.GENEVE, 17, headers.udp(6081, True) + headers.geneve(5, OPTION), FRAME),
    "gre": (kinds.GRE, 47, headers.gre(0, 5, True, True), FRAME),
    "gre-l3": (kinds.GRE, 47, headers.gre(0x10800), IPV4),
    "erspan1": (kinds.ERSPAN, 47, headers.erspan1(5, 6), FRAME),
    "erspan2": (kinds.ERSPAN, 47, headers.erspan2(5, 1, 6), FRAME),
    "gtpu": (kinds.GTPU, 17, headers.udp(2152, True) + headers.gtpu(5, 255), IPV4),
    "bareudp": (kinds.BAREUDP, 17, headers.udp(6635, True), IPV4),
    "srv6": (kinds.SRV6, 43, headers.segment_routing(SEGMENTS[:1], 4), IPV4),
}  # fmt: skip
PACKETS = [
    (name, version, kind, outer(kind, version, proto, header, inner))
    for name, (kind, proto, header, inner) in WHOLE.items()
    for version in ((6,) if name == "srv6" else (4, 6))
]


def pop(popper: Popper, kind: int, frame: Frame) -> list[Packet]:
    parser = Parser()
    parser.parse(frame.data)
    return popper.pop(TunnelEnd(kind, 0x800), 9, Packet(frame, Flow(), 9), parser)


def test_a_packet_on_its_way_through_segments_stays_closed() -> None:
    popper = Popper()
    header = headers.segment_routing(SEGMENTS, 4)
    assert not pop(popper, kinds.SRV6, Frame(outer(kinds.SRV6, 6, 43, header, IPV4)))
    assert popper.reason == "without a routing header at its end"


@pytest.mark.parametrize(("name", "version", "kind", "data"), PACKETS)
def test_what_is_inside_comes_out(name: str, version: int, kind: int, data: bytes) -> None:
    (packet,) = pop(Popper(), kind, Frame(data))
    assert packet.frame.data == WHOLE[name][3]
    assert packet.flow.in_port == 9


@pytest.mark.parametrize("name", [name for name in WHOLE if name != "srv6"])
def test_an_outer_fragment_is_refused(name: str) -> None:
    (data,) = [packet for made, version, _, packet in PACKETS if made == name and version == 4]
    popper = Popper()
    assert pop(popper, WHOLE[name][0], Frame(data[:20] + b"\x20" + data[21:])) == []
    assert popper.reason == "without a transport header"


def tcp_frame(packet_type: int, payload: int) -> Frame:
    """TCP over IPv4 as a host leaves it to a device to be cut up: segments of 1000 bytes."""
    ethernet = FRAME[:14] if packet_type == 0 else b""
    length = (40 + payload).to_bytes(2, "big")
    ip = bytes.fromhex("4500") + length + bytes.fromhex("12344000400600000a0000010a000002")
    tcp = bytes.fromhex("00010002fffffc00000000055019040000000000")
    start = len(ethernet) + 20
    data = ethernet + ip + tcp + bytes(n * 7 & 0xFF for n in range(payload))
    return Frame(data, VNET_NEEDS_CSUM, GSO_TCPV4, start + 20, 1000, start, 16)


@pytest.mark.parametrize("payload", [1001, 2000, 43_500, 62_000])
@pytest.mark.parametrize("name", ["vxlan", "geneve", "vxlan-gpe", "bareudp", "gre", "erspan1", "gtpu"])
def test_segments_travel_together_and_come_out_as_they_were(name: str, payload: int) -> None:
    kind, proto, header, inner = WHOLE[name]
    packet_type = 0x10800 if inner is IPV4 else 0
    ip = headers.ethernet(2, 1, 0x800) + headers.ipv4(0x0A010101, 0x0A010102, proto, 0, 64, True)
    whole = tcp_frame(packet_type, payload)
    wanted = segments(whole) if packet_type == 0 else l3_segments(whole, packet_type)
    frames = push(Encap(ip + header, kind), whole, 40000, TunnelEnd(kind), packet_type)
    together = proto == 17 and kind != kinds.GTPU
    assert len(frames) < 3 if together else len(frames) == len(wanted)
    got = []
    for on_the_wire in [Frame(data) for frame in frames for data in segments(frame)]:
        (packet,) = pop(Popper(), kind, on_the_wire)
        got.append(packet.frame.data)
    assert got == wanted
    # Taken apart without being cut: as frames of TCP again.
    again = [data for frame in frames for packet in pop(Popper(), kind, frame) for data in cut_up(packet)]
    assert again == wanted


def cut_up(packet: Packet) -> list[bytes]:
    """What a packet that came out of a tunnel is on the wire."""
    packet_type = packet.flow.packet_type
    return segments(packet.frame) if packet_type == 0 else l3_segments(packet.frame, packet_type)


def test_no_mutated_packet_does_harm() -> None:
    """Whatever comes out lies within what came in; what does not has a reason, which has a counter."""
    chance = random.Random(11)
    popper = Popper()
    sound = 0
    reasons: dict[str, int] = {}
    for _ in range(FUZZ):
        _, _, kind, packet = chance.choice(PACKETS)
        data = bytearray(packet)
        for _ in range(chance.randrange(4)):
            data[chance.randrange(14, min(len(data), 100))] = chance.randrange(256)
        whole = bytes(data[: chance.randrange(14, len(data) + 1)] if chance.random() < 0.2 else data)
        frame = Frame(whole)
        if chance.random() < 0.2:
            gso = chance.choice((GSO_NONE, GSO_TCPV4, GSO_UDP_L4))
            frame = Frame(
                whole, chance.choice((0, VNET_NEEDS_CSUM, VNET_DATA_VALID)), gso, chance.randrange(120),
                chance.randrange(80) if gso else 0, chance.randrange(120), chance.choice((6, 16)),
            )  # fmt: skip
        found = pop(popper, kind, frame)
        if found:
            sound += 1
            for inner in found:
                assert inner.frame.data
        else:
            reasons[popper.reason] = reasons.get(popper.reason, 0) + 1
    assert FUZZ // 10 < sound < FUZZ
    assert "" not in reasons
    for reason in reasons:
        counter = pop_counter(reason)
        before = counter.total
        counter.inc()
        assert coverage.counter(counter.name).total == before + 1
