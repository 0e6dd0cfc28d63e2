"""The kernel's hash action makes the number that the userspace datapath makes."""

from __future__ import annotations

import random

import pytest

from tests.dpif.lab import key_of
from tests.dpif_ebpf.packets import arp, ipv4, ipv6, mutated, other
from tests.dpif_ebpf.pair import EXACT, REDIRECT, STOLEN, Pair
from vswitch.dpif.actions import Action, Hash, Output, PushVlan, Recirc, SetMasked
from vswitch.dpif.ebpf.key import Unfit, fit
from vswitch.dpif.odp_execute import Executor, Packet
from vswitch.flow import key_attr as attr
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.netdev.frame import Frame

pytestmark = pytest.mark.system


def userspace_hash(packet: bytes, algorithm: int, basis: int) -> int:
    executor, held = Executor(), Packet(Frame(packet), Flow(), 0)
    executor.hash(algorithm, basis, held)
    return int(held.flow.words[at.W_DP_HASH]) >> at.S_DP_HASH & 0xFFFFFFFF


def fits(packet: bytes) -> bool:
    """Whether the kernel can have a flow for exactly such packets."""
    try:
        fit(key_of(packet, 1), EXACT, 1)
    except Unfit:
        return False
    return True


@pytest.mark.parametrize("algorithm", [0, 1])
def test_random_packets_have_the_hash_of_userspace(pair: Pair, algorithm: int) -> None:
    r = random.Random(21)
    seen: set[int] = set()
    for _ in range(150):
        packet = r.randbytes(12) + r.choice((ipv4, ipv6))(r)
        if packet[12] == 8 and r.random() < 0.2:
            packet = packet[:20] + r.choice((b"\x20\0", b"\0\x10", b"\x20\x10")) + packet[22:]
        basis = r.choice((0, 1, 0xFFFFFFFF, r.getrandbits(32)))
        ran, counted = pair.ran(packet, (Hash(algorithm, basis), Output(pair.out)))
        assert (ran.result, counted) == (REDIRECT, 1)
        assert ran.field("cb4") == userspace_hash(packet, algorithm, basis), packet.hex()
        seen.add(ran.field("cb4"))
    assert len(seen) > 100


@pytest.mark.parametrize("algorithm", [0, 1])
def test_packets_without_ip_have_the_hash_of_userspace_too(pair: Pair, algorithm: int) -> None:
    """ARP, RARP, some of them for other hardware or short, and what nobody knows."""
    r = random.Random(31)
    seen: set[int] = set()
    for n in range(120):
        packet = r.randbytes(12) + r.choice((arp, arp, other))(r)
        if n % 8 == 0:
            packet = packet[:16] + r.randbytes(4) + packet[20:]
        if n % 8 == 1:
            packet = packet[:30]
        if packet[12:14] == b"\0\x26":
            continue
        basis = r.choice((0, 1, 0xFFFFFFFF, r.getrandbits(32)))
        if r.random() < 0.3:
            tag = PushVlan(0x8100, 0x1000 | r.randrange(4096))
            ran, counted = pair.ran(packet, (tag, Hash(algorithm, basis), Output(pair.out)))
            packet = packet[:12] + b"\x81\0" + tag.tci.to_bytes(2, "big") + packet[12:]
        else:
            ran, counted = pair.ran(packet, (Hash(algorithm, basis), Output(pair.out)))
        assert (ran.result, counted) == (REDIRECT, 1)
        assert ran.field("cb4") == userspace_hash(packet, algorithm, basis), packet.hex()
        seen.add(ran.field("cb4"))
    assert len(seen) > (80 if algorithm else 40)


def test_mutated_packets_hash_alike_too(pair: Pair) -> None:
    """Those that the kernel has a key of; the others it leaves to userspace."""
    r = random.Random(22)
    hashed = 0
    for _ in range(400):
        packet = mutated(r)
        if len(packet) < 54 or packet[12:14] not in (b"\x08\0", b"\x86\xdd") or not fits(packet):
            continue
        ran, counted = pair.ran(packet, (Hash(0, 7), Output(pair.out)))
        if counted:
            hashed += 1
            assert ran.field("cb4") == userspace_hash(packet, 0, 7), packet.hex()
        else:
            assert ran.result == STOLEN
    assert hashed > 150


def test_the_hash_can_be_set_and_is_looked_up_again(pair: Pair) -> None:
    packet = bytes(12) + ipv4(random.Random(23), 17)
    actions: tuple[Action, ...] = (
        Hash(0, 7), SetMasked(attr.DP_HASH, bytes.fromhex("05000000"), bytes.fromhex("0f000000")),
        Output(pair.out),
    )  # fmt: skip
    ran, _ = pair.ran(packet, actions)
    assert ran.field("cb4") == userspace_hash(packet, 0, 7) & ~0xF | 5
    ran, counted = pair.ran(packet, (Hash(0, 7), Recirc(9)))
    assert (ran.result, counted) == (STOLEN, 1), "nobody knows what comes of it, so it goes up"
    record, data = pair.ebpf.offload.up.take(10)[-1]
    assert (record.recirc_id, record.dp_hash, data) == (9, userspace_hash(packet, 0, 7), packet)
