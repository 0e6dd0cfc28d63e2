"""Meters with several bands, and bands that remark, do in the kernel what they do in userspace."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.dpif.lab import put, udp
from tests.dpif_ebpf.packets import arp, ipv4, ipv6
from tests.dpif_ebpf.pair import CHECKSUM_COMPLETE, REDIRECT, STOLEN, Pair
from vswitch.dpif.actions import Meter, Output
from vswitch.dpif.types import DpifError, MeterBand, MeterConfig
from vswitch.ebpf.program import skb

pytestmark = pytest.mark.system
BANDS = (MeterBand("dscp_remark", 1, 10, 1), MeterBand("drop", 3, 30), MeterBand("dscp_remark", 2, 20, 2))


def with_tos(packet: bytes, tos: int) -> bytes:
    if packet[12:14] == b"\x08\0":
        return packet[:15] + bytes((tos,)) + packet[16:]
    if packet[12:14] == b"\x86\xdd":
        return packet[:14] + bytes((0x60 | tos >> 4, tos << 4 & 0xF0 | packet[15] & 0xF)) + packet[16:]
    return packet


@pytest.mark.parametrize("make", [ipv4, ipv6, arp], ids=lambda make: make.__name__)
def test_the_band_with_the_highest_rate_counts(pair: Pair, make: Callable[[random.Random], bytes]) -> None:
    r = random.Random(41)
    # AF classes of all precedences, others, and ECN bits.
    classes = (0x28, 0x30, 0x38, 0x48, 0x8A, 0x98, 0, 0xB8, 0x20, 0x2C, 0xFF)
    bodies = [body for body in (make(r) for _ in range(80)) if body[:2] != b"\x80\x35"][:40]
    packets = [with_tos(bytes(12) + body, r.choice(classes)) for body in bodies]
    actions = (Meter(5), Output(pair.out))
    for dpif in (pair.ebpf, pair.userspace):
        dpif.meter_set(5, MeterConfig("pktps", BANDS, True))
    put(pair.ebpf, packets[0], pair.port, actions, fields=())
    program, context = pair.ebpf.offload.programs.classify, skb(ifindex=pair.ifindex)
    # Quickly one after the other: no token comes meanwhile.
    ran = [program.run(packet, context) for packet in packets]
    wanted = [pair.in_userspace(packet, actions) for packet in packets]
    assert [[one.packet] if one.result == REDIRECT else [] for one in ran] == wanted
    dropped = sum(one.result == STOLEN for one in ran)
    changed = sum(one.packet != packet for one, packet in zip(ran, packets, strict=True))
    assert dropped == 10
    assert changed > 5 or make is arp
    kernel, userspace = (dpif.meter_get(5) for dpif in (pair.ebpf, pair.userspace))
    assert kernel.packets_in == 40
    assert kernel == userspace
    assert [packets for packets, _ in kernel.bands] == [10, 10, 10]


def test_a_remarked_packet_keeps_its_sums(pair: Pair) -> None:
    flags = CHECKSUM_COMPLETE if pair.sums_are_checked() else 0
    pair.ebpf.meter_set(5, MeterConfig("pktps", (MeterBand("dscp_remark", 1, 1, 1),), True))
    r = random.Random(42)
    changed = 0
    for _ in range(20):
        packet = bytes(12) + r.choice((ipv4, ipv6))(r)
        verdict, got, _ = pair.in_kernel(packet, (Meter(5), Output(pair.out)), flags)
        assert verdict == REDIRECT
        changed += got != packet
    assert changed > 5


def test_a_meter_without_bands_counts_and_one_of_bits_takes_sizes(pair: Pair) -> None:
    pair.ebpf.meter_set(6, MeterConfig("kbps", ()))
    pair.ebpf.meter_set(7, MeterConfig("kbps", (MeterBand("drop", 1, 1),), True))
    # 1000 bits: two packets of 60 bytes.
    packet = bytes(12) + ipv4(random.Random(43), 17)[:2] + udp()[14:]
    packet = packet[:60].ljust(60, b"\0")
    verdicts = [pair.in_kernel(packet, (Meter(6), Meter(7), Output(pair.out)))[0] for _ in range(4)]
    assert verdicts == [REDIRECT, REDIRECT, STOLEN, STOLEN]
    assert (pair.ebpf.meter_get(6).packets_in, pair.ebpf.meter_get(6).bytes_in) == (4, 240)
    assert pair.ebpf.meter_get(7).bands == [(2, 120)]


def test_flows_follow_their_meter_out_of_the_kernel_and_back(pair: Pair) -> None:
    config = MeterConfig("pktps", (MeterBand("drop", 1000, 1000),), True)
    pair.ebpf.meter_set(8, config)
    put(pair.ebpf, udp(), pair.port, (Meter(8), Output(pair.out)))
    (flow,) = pair.ebpf.flow_dump()
    assert flow.offloaded == "yes"
    pair.ebpf.meter_del(8)
    (flow,) = pair.ebpf.flow_dump()
    assert flow.offloaded == "no (meter 8 is in userspace)"
    with pytest.raises(DpifError):
        pair.ebpf.meter_get(8)
    pair.ebpf.meter_set(8, config)
    (flow,) = pair.ebpf.flow_dump()
    assert flow.offloaded == "yes"
