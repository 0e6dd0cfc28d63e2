"""Open-addressing tables of 64-bit words, for lookups without making an object."""

from __future__ import annotations

from typing import Final, final

from librt.vecs import vec
from mypy_extensions import i64

EMPTY: Final = 0
"""The stored hash of a slot that never held anything."""
DELETED: Final = 1
"""The stored hash of a slot that held something; probing goes on past it."""
FIRST_HASH: Final = 2

K1: Final = 0x2C1B3C6D
K2: Final = 0x297A2D39


def zeros(n: i64) -> vec[i64]:
    """`n` zero words."""
    return vec[i64]([0] * n)


def mix(h: i64, word: i64) -> i64:
    """Fold a 64-bit word into the hash `h`, 0 <= h < 2**32."""
    p: i64 = (h ^ (word & 0xFFFFFFFF)) * K1
    h = (p ^ (p >> 31)) & 0xFFFFFFFF
    p = (h ^ ((word >> 32) & 0xFFFFFFFF)) * K2
    return (p ^ (p >> 31)) & 0xFFFFFFFF


@final
class HashCounts:
    """A multiset of 32-bit hashes: what one stage of a subtable has seen of its rules."""

    def __init__(self) -> None:
        self.hashes: vec[i64] = zeros(8)
        self.counts: vec[i64] = zeros(8)
        self.mask: i64 = 7
        self.used: i64 = 0
        """Slots that are not EMPTY."""
        self.n: i64 = 0
        """Distinct hashes."""

    def has(self, h: i64) -> bool:
        """Whether `h` is in the set."""
        h += FIRST_HASH
        hashes = self.hashes
        mask = self.mask
        i: i64 = h & mask
        while True:
            found = hashes[i]
            if found == h:
                return True
            if found == EMPTY:
                return False
            i = (i + 1) & mask

    def add(self, h: i64) -> None:
        """Count `h` once more."""
        h += FIRST_HASH
        if (self.used + 1) * 2 > self.mask:
            self._rebuild()
        i: i64 = h & self.mask
        while self.hashes[i] != EMPTY:
            if self.hashes[i] == h:
                self.counts[i] += 1
                return
            i = (i + 1) & self.mask
        self.hashes[i] = h
        self.counts[i] = 1
        self.used += 1
        self.n += 1

    def discard(self, h: i64) -> None:
        """Count `h`, which is in the set, once less."""
        h += FIRST_HASH
        i: i64 = h & self.mask
        while self.hashes[i] != h:
            if self.hashes[i] == EMPTY:
                raise KeyError("hash not in stage")
            i = (i + 1) & self.mask
        self.counts[i] -= 1
        if self.counts[i] == 0:
            self.hashes[i] = DELETED
            self.n -= 1

    def _rebuild(self) -> None:
        size: i64 = 8
        while size < self.n * 4 + 8:
            size *= 2
        hashes = zeros(size)
        counts = zeros(size)
        old = self.hashes
        j: i64 = 0
        while j <= self.mask:
            h = old[j]
            if h >= FIRST_HASH:
                i: i64 = h & (size - 1)
                while hashes[i] != EMPTY:
                    i = (i + 1) & (size - 1)
                hashes[i] = h
                counts[i] = self.counts[j]
            j += 1
        self.hashes = hashes
        self.counts = counts
        self.mask = size - 1
        self.used = self.n
