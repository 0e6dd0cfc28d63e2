"""Tags: small sets that may say yes wrongly and never say no wrongly.

A tag has two of 32 bits set; a thing that many facets depend on gets a tag, a facet carries
the union (`|`) of the tags of all that it depends on, and a change to the thing looks at the
facets whose union holds both bits. Two bits of 32 give 496 tags, so that a facet with few
dependencies is rarely looked at for nothing. 0 is the empty tag, which intersects nothing.
"""

from __future__ import annotations

import random
from typing import Final, TypeAlias, final

Tag: TypeAlias = int

N_TAG_BITS: Final = 32
_BUCKETS: Final = 4
ALL: Final = (1 << N_TAG_BITS) - 1
"""The union of all tags."""


def _two_bits(value: int) -> Tag:
    first = value % N_TAG_BITS
    second = (value // N_TAG_BITS) % (N_TAG_BITS - 1)
    return (1 << first) | (1 << (second + (second >= first)))


def tag_random() -> Tag:
    """A tag chosen at random."""
    return _two_bits(random.getrandbits(30))


def tag_deterministic(seed: int) -> Tag:
    """The tag of `seed` (any integer): the same in every call of one process and the next."""
    x = (seed ^ (seed >> 32)) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    return _two_bits(x ^ (x >> 13))


def intersects(a: Tag, b: Tag) -> bool:
    """Whether `a` and `b`, each a tag or a union of tags, may have a tag in common."""
    both = a & b
    return both & (both - 1) != 0


@final
class TagSet:
    """A set of tags. Keeps four unions, so that it fills up later than one would."""

    def __init__(self) -> None:
        self._unions = [0] * _BUCKETS

    def add(self, tag: Tag) -> None:
        """Add `tag` (0 adds nothing)."""
        if not tag:
            return
        best = 0
        best_new = N_TAG_BITS + 1
        for i, union in enumerate(self._unions):
            missing = tag & ~union
            if not missing:
                return
            new = missing.bit_count()
            # An empty union costs as much as it adds; prefer one that already has the bits.
            if new < best_new:
                best, best_new = i, new
        self._unions[best] |= tag

    def update(self, other: TagSet) -> None:
        """Add everything that is in `other`."""
        for union in other._unions:
            self.add(union)

    def intersects(self, tags: Tag) -> bool:
        """Whether one of the added tags may be in the union `tags`."""
        return any(intersects(union, tags) for union in self._unions)

    def is_empty(self) -> bool:
        """Whether nothing was added since the last `clear`."""
        return not any(self._unions)

    def is_full(self) -> bool:
        """Whether it intersects everything, whatever is added."""
        return ALL in self._unions

    def take(self) -> TagSet:
        """Everything that was added, as a set of its own; this one is empty then."""
        taken = TagSet()
        taken._unions = self._unions
        self._unions = [0] * _BUCKETS
        return taken

    def clear(self) -> None:
        """Empty the set."""
        self._unions = [0] * _BUCKETS
