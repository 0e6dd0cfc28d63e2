"""The exact-match cache's key: two packets with one key have one flow, whatever their bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from librt.vecs import vec
from mypy_extensions import i64

from tests.dpif.lab import tcp, udp
from vswitch.dpif.userspace.emc import EMC_SLOTS, KEY_WORDS, ExactMatchCache, packet_key
from vswitch.dpif.userspace.flow_entry import FlowEntry
from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.packet.parse import Parser


def key_and_hash(packet: bytes, in_port: int = 1) -> tuple[tuple[int, ...], int]:
    key = vec[i64]([0] * KEY_WORDS)
    h = packet_key(packet, in_port, key)
    return tuple(key), h


def flow_of(packet: bytes, in_port: int = 1) -> Flow:
    flow = Flow()
    flow.in_port = in_port
    extract(packet, flow, Parser())
    return flow


def tagged(packet: bytes, tci: int = 0x2007) -> bytes:
    return packet[:12] + b"\x81\x00" + tci.to_bytes(2, "big") + packet[12:]


def ipv6(next_header: int, l4: bytes, first: int = 0x60012345, hop_limit: int = 64) -> bytes:
    head = first.to_bytes(4, "big") + len(l4).to_bytes(2, "big") + bytes((next_header, hop_limit))
    return udp()[:12] + b"\x86\xdd" + head + bytes(range(32)) + l4


UDP4, TCP4 = udp(), tcp(0x12)
UDP6 = ipv6(17, UDP4[34:])
TCP6 = ipv6(6, TCP4[34:])
SEEDS = [UDP4, TCP4, UDP6, TCP6, *map(tagged, (UDP4, TCP4, UDP6, TCP6))]


@pytest.mark.parametrize("packet", SEEDS)
def test_the_usual_packets_have_a_key(packet: bytes) -> None:
    assert key_and_hash(packet)[1] >= 0


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        UDP4[:41],
        UDP4[:-8],
        UDP6[:60],
        tagged(tagged(UDP4)),
        UDP4[:14] + b"\x46" + UDP4[15:],
        UDP4[:20] + b"\x20\0" + UDP4[22:],
        UDP4[:23] + b"\x01" + UDP4[24:],
        TCP4[:46] + b"\x40" + TCP4[47:],
        UDP4[:12] + b"\x08\x06" + UDP4[14:],
        ipv6(0, UDP4[34:]),
    ],
    ids=[
        "empty",
        "short",
        "cut ipv4",
        "cut ipv6",
        "two tags",
        "options",
        "fragment",
        "icmp",
        "bad tcp offset",
        "arp",
        "extension header",
    ],
)
def test_other_packets_go_to_the_classifier(packet: bytes) -> None:
    assert key_and_hash(packet)[1] == -1


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_a_changed_byte_changes_the_key_exactly_if_it_changes_the_flow(seed: int) -> None:
    packet = SEEDS[seed]
    key, flow = key_and_hash(packet)[0], flow_of(packet)
    for at in range(len(packet)):
        for bit in range(8):
            other = packet[:at] + bytes((packet[at] ^ 1 << bit,)) + packet[at + 1 :]
            other_key, h = key_and_hash(other)
            if h >= 0 and flow_of(other) != flow:
                assert other_key != key, f"byte {at} bit {bit}"


mutation = st.tuples(st.integers(0, 90), st.integers(0, 255))


@settings(max_examples=400)
@given(st.sampled_from(SEEDS), st.lists(mutation, max_size=3), st.lists(mutation, max_size=3))
def test_packets_with_one_key_have_one_flow(
    packet: bytes, first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    def mutated(changes: list[tuple[int, int]]) -> bytes:
        data = bytearray(packet)
        for at, value in changes:
            if at < len(data):
                data[at] = value
        return bytes(data)

    a, b = mutated(first), mutated(second)
    (key_a, h_a), (key_b, h_b) = key_and_hash(a), key_and_hash(b)
    if h_a >= 0 and h_b >= 0 and key_a == key_b:
        assert h_a == h_b
        assert flow_of(a) == flow_of(b)


@given(st.binary(max_size=120))
def test_no_bytes_crash_it(data: bytes) -> None:
    key_and_hash(data)


def test_lookup_finds_what_was_inserted_unless_deleted() -> None:
    cache = ExactMatchCache()
    rng = random.Random(7)
    entries: dict[tuple[int, ...], FlowEntry] = {}
    for n in range(500):
        packet = udp(sport=rng.randrange(65536), dport=n)
        key = vec[i64]([0] * KEY_WORDS)
        h = packet_key(packet, 1, key)
        entry = FlowEntry(Flow(), Flow(), b"")
        entries[tuple(key)] = entry
        cache.insert(key, h, entry)
        assert cache.lookup(key, h) is entry
        entry.dead = n % 2 == 0
        assert cache.lookup(key, h) is (None if n % 2 == 0 else entry)
    cache.sweep()
    assert cache.count <= 250
    cache.clear()
    assert cache.count == 0


def test_the_cache_grows_with_its_flows_up_to_a_limit() -> None:
    cache = ExactMatchCache()
    entry = FlowEntry(Flow(), Flow(), b"")
    key = vec[i64]([0] * KEY_WORDS)
    for n in range(12000):
        cache.insert(key, packet_key(udp(sport=n, dport=n * 7 & 0xFFFF), 1, key), entry)
    assert cache.slots == EMC_SLOTS
    assert EMC_SLOTS // 2 < cache.count <= EMC_SLOTS


def test_keys_spread_over_the_slots() -> None:
    slots = {key_and_hash(udp(sport=n))[1] & (EMC_SLOTS - 1) for n in range(1, 4097)}
    # 4096 balls into 8192 slots: about 3223 are hit if the hash is good.
    assert len(slots) > 3000
