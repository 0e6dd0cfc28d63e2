"""The datapath classifier: masked flows, one subtable a mask, tried in order of their hits.

Datapath flows don't overlap (translation sees to that), so the first match is the match and
there are no priorities. A subtable hashes the masked words that its mask has into open
addressing with linear probing.
"""

from __future__ import annotations

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.dpif.userspace.flow_entry import FlowEntry
from vswitch.flow.flow import Flow
from vswitch.flow.mask_words import picked, words_with_bits

EMPTY: Final = -1
DELETED: Final = -2


@final
class Subtable:
    """The flows of one mask. `index` and `bits` are the mask's words that aren't zero."""

    def __init__(self, mask: Flow) -> None:
        self.index: vec[i64] = words_with_bits(mask.words)
        self.bits: vec[i64] = picked(mask.words, self.index)
        self.mask = mask
        self.slots: i64 = 16
        self.hashes: vec[i64] = vec[i64]([EMPTY] * 16)
        self.entries: list[FlowEntry | None] = [None] * 16
        self.count: i64 = 0
        self.used: i64 = 0
        """Slots that are not EMPTY."""
        self.hits: i64 = 0

    def hash(self, words: vec[i64]) -> i64:
        """Hash of the bits of `words` under the mask."""
        index = self.index
        bits = self.bits
        n: i64 = len(index)
        h: i64 = 0x3C6EF372
        i: i64 = 0
        while i < n:
            w = words[index[i]] & bits[i]
            h = ((h ^ w ^ (w >> 31)) & 0x7FFFFFFF) * 0x2545F491
            h ^= (h >> 27) ^ ((w >> 53) & 0x3FF)
            i += 1
        return (h >> 7) & 0x3FFFFFFF

    def lookup(self, words: vec[i64]) -> FlowEntry | None:
        """The flow that matches the packet of `words`, or None."""
        h = self.hash(words)
        hashes = self.hashes
        mask: i64 = self.slots - 1
        slot: i64 = h & mask
        while True:
            found = hashes[slot]
            if found == EMPTY:
                return None
            if found == h:
                entry = self.entries[slot]
                if entry is not None and self.matches(entry.key.words, words):
                    return entry
            slot = (slot + 1) & mask

    def matches(self, key: vec[i64], words: vec[i64]) -> bool:
        """Whether `words` and `key` agree under the mask."""
        index = self.index
        bits = self.bits
        i: i64 = len(index) - 1
        while i >= 0:
            w = index[i]
            if (words[w] ^ key[w]) & bits[i] != 0:
                return False
            i -= 1
        return True

    def insert(self, entry: FlowEntry) -> None:
        """Add a flow of this mask that isn't here yet."""
        if self.used * 2 >= self.slots:
            self.rebuild(self.slots * 2 if self.count * 4 >= self.slots else self.slots)
        self.place(entry, self.hash(entry.key.words))
        self.count += 1

    def place(self, entry: FlowEntry, h: i64) -> None:
        """Put `entry` into the first free slot."""
        mask: i64 = self.slots - 1
        slot: i64 = h & mask
        while self.hashes[slot] >= 0:
            slot = (slot + 1) & mask
        if self.hashes[slot] == EMPTY:
            self.used += 1
        self.hashes[slot] = h
        self.entries[slot] = entry

    def remove(self, entry: FlowEntry) -> bool:
        """Take a flow out; whether it was here."""
        h = self.hash(entry.key.words)
        mask: i64 = self.slots - 1
        slot: i64 = h & mask
        while self.hashes[slot] != EMPTY:
            if self.entries[slot] is entry:
                self.hashes[slot] = DELETED
                self.entries[slot] = None
                self.count -= 1
                return True
            slot = (slot + 1) & mask
        return False

    def rebuild(self, slots: i64) -> None:
        """Rehash into `slots` slots, which also clears away what was deleted."""
        old = self.entries
        self.slots = slots
        self.hashes = vec[i64]([EMPTY] * slots)
        self.entries = [None] * slots
        self.used = 0
        for entry in old:
            if entry is not None:
                self.place(entry, self.hash(entry.key.words))


@final
class Dpcls:
    """All subtables. `subtables_tried` tells how well the ranking works."""

    def __init__(self) -> None:
        self.subtables: list[Subtable] = []
        self.subtables_tried: i64 = 0

    def lookup(self, words: vec[i64]) -> FlowEntry | None:
        """The flow that the packet of `words` belongs to, or None."""
        for subtable in self.subtables:
            self.subtables_tried += 1
            entry = subtable.lookup(words)
            if entry is not None:
                subtable.hits += 1
                return entry
        return None

    def find(self, words: vec[i64]) -> FlowEntry | None:
        """As `lookup`, for somebody who isn't a packet: nothing is counted."""
        for subtable in self.subtables:
            entry = subtable.lookup(words)
            if entry is not None:
                return entry
        return None

    def find_subtable(self, mask: Flow) -> Subtable | None:
        """The subtable of exactly `mask`, or None."""
        for subtable in self.subtables:
            if subtable.mask == mask:
                return subtable
        return None

    def add(self, key: Flow, mask: Flow, ufid: bytes) -> FlowEntry | None:
        """A new flow of `key`; None if there is one of this mask and a key that agrees in it already."""
        subtable = self.find_subtable(mask)
        if subtable is None:
            subtable = Subtable(mask.copy())
            self.subtables.append(subtable)
        elif subtable.lookup(key.words) is not None:
            return None
        entry = FlowEntry(key, subtable.mask, ufid)
        subtable.insert(entry)
        return entry

    def remove(self, entry: FlowEntry) -> None:
        """Take a flow out."""
        subtable = self.find_subtable(entry.mask)
        if subtable is not None and subtable.remove(entry) and subtable.count == 0:
            self.subtables.remove(subtable)

    def rank(self) -> None:
        """Put the subtables with most hits first, and age the counts by half. Call it once a second."""
        ranked = sorted(self.subtables, key=hits_of, reverse=True)
        for subtable in ranked:
            subtable.hits >>= 1
        self.subtables = ranked

    def clear(self) -> None:
        """Forget all flows."""
        self.subtables = []


def hits_of(subtable: Subtable) -> int:
    """The sort key of `rank`."""
    return subtable.hits
