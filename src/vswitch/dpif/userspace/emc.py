"""The exact-match cache: straight from a packet's header bytes to its datapath flow.

Most packets are TCP or UDP over IPv4 without options or IPv6 without extension headers, with at
most one VLAN tag and no fragment. For these `packet_key` collects every header bit that a `Flow`
has into `KEY_WORDS` words, reading the bytes at known places, so that a hit needs no parsing.
Whatever else comes (or is malformed) has no such key, and goes to the classifier.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i16_be, read_i32_be, read_i64_be
from librt.vecs import vec
from mypy_extensions import i64

from vswitch.dpif.userspace.flow_entry import FlowEntry
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_IPV6, ETH_TYPE_VLAN_8021Q

KEY_WORDS: Final = 8
FIRST_SLOTS: Final = 256
EMC_SLOTS: Final = 8192
"""The cache grows by powers of two up to this many slots, with 512 KB of keys."""


def packet_key(data: bytes, in_port: i64, key: vec[i64]) -> i64:
    """Fill `key` from the frame `data` of `in_port`; its hash, or -1 if the frame has no such key.

    key[0]: in_port, VLAN tci, TCP flags; key[1], key[2]: Ethernet header; the rest L3 and L4.
    """
    size: i64 = len(data)
    if size < 42:
        return -1
    first = read_i64_be(data, 0)
    second = read_i64_be(data, 6)
    eth_type: i64 = second & 0xFFFF
    meta: i64 = in_port
    l3: i64 = 14
    if eth_type == ETH_TYPE_VLAN_8021Q:
        if size < 46:
            return -1
        tag: i64 = i64(read_i32_be(data, 14))
        eth_type = tag & 0xFFFF
        meta |= (tag & 0xFFFF0000)
        l3 = 18
    left: i64
    proto: i64
    l4: i64
    if eth_type == ETH_TYPE_IP:
        head = read_i64_be(data, l3)
        mid: i64 = i64(read_i32_be(data, l3 + 6))
        if (head >> 56) & 0xFF != 0x45 or mid & 0x3FFF0000:
            return -1
        total: i64 = (head >> 32) & 0xFFFF
        if total > size - l3 or size - l3 - total > 0xFFFF:
            return -1
        left = total - 20
        proto = i64(data[l3 + 9])
        key[3] = read_i64_be(data, l3 + 12)
        # tos, ttl, protocol
        key[4] = ((head >> 48) & 0xFF) << 16 | mid & 0xFFFF
        key[5] = 0
        key[6] = 0
        key[7] = 0
        l4 = l3 + 20
    elif eth_type == ETH_TYPE_IPV6:
        if size < l3 + 48:
            return -1
        head = read_i64_be(data, l3)
        total = (head >> 16) & 0xFFFF
        if total > size - l3 - 40 or size - l3 - 40 - total > 0xFFFF:
            return -1
        left = total
        proto = (head >> 8) & 0xFF
        key[3] = read_i64_be(data, l3 + 8)
        key[4] = read_i64_be(data, l3 + 16)
        key[5] = read_i64_be(data, l3 + 24)
        key[6] = read_i64_be(data, l3 + 32)
        # Traffic class and label; the payload length is not part of a flow.
        meta |= ((head >> 32) & 0xFFFFFFF) << 32
        key[7] = (head & 0xFFFF) << 32
        l4 = l3 + 40
    else:
        return -1
    ports: i64
    if proto == 17:
        if left < 8:
            return -1
        ports = i64(read_i32_be(data, l4)) & 0xFFFFFFFF
    elif proto == 6:
        if left < 20:
            return -1
        control: i64 = i64(read_i16_be(data, l4 + 12)) & 0xFFFF
        length: i64 = (control >> 12) * 4
        if length < 20 or length > left:
            return -1
        ports = i64(read_i32_be(data, l4)) & 0xFFFFFFFF
        ports |= (control & 0xFFF) << 48
    else:
        return -1
    key[7] |= ports
    key[0] = meta
    key[1] = first
    key[2] = second
    h: i64 = (first ^ (second >> 3)) & 0x3FFFFFFF
    h = ((h ^ (meta & 0x7FFFFFFF)) * 0x2545F491) & 0x3FFFFFFFFFFFFFF
    h ^= h >> 29
    a: i64 = key[3] ^ key[5] ^ (key[5] >> 7)
    h = ((h ^ a ^ (a >> 32)) & 0x7FFFFFFF) * 0x1B873593
    h ^= (h >> 30) ^ key[4] ^ key[6] ^ (key[6] >> 32)
    h = ((h ^ ports ^ (ports >> 17)) & 0x7FFFFFFF) * 0x2C1B3C6D
    return (h >> 12) & 0x3FFFFFFF


@final
class ExactMatchCache:
    """Two-way set associative over `slots` slots; entries of deleted flows are passed over."""

    def __init__(self) -> None:
        self.slots: i64 = FIRST_SLOTS
        self.keys: vec[i64] = vec[i64]([0] * (FIRST_SLOTS * KEY_WORDS))
        self.entries: list[FlowEntry | None] = [None] * FIRST_SLOTS
        self.count: i64 = 0

    def lookup(self, key: vec[i64], h: i64) -> FlowEntry | None:
        """The flow of the packets with exactly `key`, or None."""
        keys = self.keys
        mask: i64 = self.slots - 1
        way: i64 = 0
        while way < 2:
            slot: i64 = (h if way == 0 else h >> 13) & mask
            entry = self.entries[slot]
            if entry is not None and not entry.dead:
                base: i64 = slot * KEY_WORDS
                if (
                    keys[base] == key[0]
                    and keys[base + 1] == key[1]
                    and keys[base + 2] == key[2]
                    and keys[base + 3] == key[3]
                    and keys[base + 4] == key[4]
                    and keys[base + 5] == key[5]
                    and keys[base + 6] == key[6]
                    and keys[base + 7] == key[7]
                ):
                    return entry
            way += 1
        return None

    def insert(self, key: vec[i64], h: i64, entry: FlowEntry) -> None:
        """Remember that packets with `key` belong to `entry`, in place of whatever is there."""
        if self.count * 2 > self.slots and self.slots < EMC_SLOTS:
            self.grow()
        mask: i64 = self.slots - 1
        slot: i64 = h & mask
        there = self.entries[slot]
        if there is not None and not there.dead:
            slot = (h >> 13) & mask
            there = self.entries[slot]
        if there is None:
            self.count += 1
        keys = self.keys
        base: i64 = slot * KEY_WORDS
        i: i64 = 0
        while i < KEY_WORDS:
            keys[base + i] = key[i]
            i += 1
        self.entries[slot] = entry

    def sweep(self) -> None:
        """Let go of deleted flows."""
        i: i64 = 0
        while i < self.slots:
            entry = self.entries[i]
            if entry is not None and entry.dead:
                self.entries[i] = None
                self.count -= 1
            i += 1

    def clear(self) -> None:
        """Forget everything; after any change that could give a packet another flow."""
        self.entries = [None] * self.slots
        self.count = 0

    def grow(self) -> None:
        """Begin anew with four times the slots."""
        self.slots *= 4
        if self.slots > EMC_SLOTS:
            self.slots = EMC_SLOTS
        self.keys = vec[i64]([0] * (self.slots * KEY_WORDS))
        self.clear()
