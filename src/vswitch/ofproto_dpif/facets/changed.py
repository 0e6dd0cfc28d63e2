"""Which facets a change to rules can affect, where tables have no tags that say it (`xlate/table_dpif.py`).

All packets of a facet agree in the bits of its mask. A rule that asks for something else in one of these bits
matches none of them, so whether it came, changed or went is nothing to the facet: as long as the tables were
asked about the packet as it came in (`XlateOut.as_came`), not about what actions had made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from librt.strings import BytesWriter, read_i64_be, write_i64_be
from librt.vecs import append, vec
from mypy_extensions import i64

if TYPE_CHECKING:
    from vswitch.flow.flow import Flow
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto_dpif.facets.facet import Facet, FacetGroup

MOST: Final = 512
"""Of more rules than this each facet would be compared with too many."""


@final
class ChangedRules:
    """The rules that came, changed or went since the last revalidation."""

    def __init__(self) -> None:
        self._masks: list[Flow] = []
        self._flows: list[list[Flow]] = []
        """For each of the masks, what the rules ask for."""
        self._n: i64 = 0
        self._shared: dict[FacetGroup, list[SharedBits]] = {}

    def add(self, rule: Rule) -> bool:
        """Add `rule`. False: there are too many; have everything revalidated."""
        if self._n >= MOST:
            return False
        self._n += 1
        self._shared.clear()
        mask = rule.mask
        flow = rule.match.flow
        n: i64 = len(self._masks)
        i: i64 = 0
        while i < n:
            if self._masks[i] is mask or self._masks[i] == mask:
                self._flows[i].append(flow)
                return True
            i += 1
        self._masks.append(mask)
        self._flows.append([flow])
        return True

    def is_empty(self) -> bool:
        """Whether there are none."""
        return self._n == 0

    def concern(self, facet: Facet) -> bool:
        """Whether one of them can match a packet of `facet`."""
        if not facet.as_came:
            return True
        group = facet.group
        shared = self._shared.get(group)
        if shared is None:
            shared = [SharedBits(group, mask, self._flows[i]) for i, mask in enumerate(self._masks)]
            self._shared[group] = shared
        key = facet.key
        return any(bits.agree(key) for bits in shared)


@final
class SharedBits:
    """The bits that a group of facets and rules of one mask both look at."""

    def __init__(self, group: FacetGroup, mask: Flow, flows: list[Flow]) -> None:
        places = vec[i64]()
        numbers = vec[i64]()
        bits = vec[i64]()
        words = mask.words
        n: i64 = len(group.indices)
        i: i64 = 0
        while i < n:
            number = group.indices[i]
            both: i64 = group.bits[i] & words[number]
            if both != 0:
                places = append(places, 8 * i)
                numbers = append(numbers, number)
                bits = append(bits, both)
            i += 1
        self.places: vec[i64] = places
        """Where in a facet's key the words are that have such bits."""
        self.bits: vec[i64] = bits
        self.values: set[bytes] = {self._value(flow.words, numbers) for flow in flows}
        """What the rules ask for in them."""

    def _value(self, words: vec[i64], numbers: vec[i64]) -> bytes:
        out = BytesWriter()
        bits = self.bits
        n: i64 = len(bits)
        i: i64 = 0
        while i < n:
            write_i64_be(out, words[numbers[i]] & bits[i])
            i += 1
        return out.getvalue()

    def agree(self, key: bytes) -> bool:
        """Whether a facet of this key (`Facet.key`) has what one of the rules asks for."""
        out = BytesWriter()
        places = self.places
        bits = self.bits
        n: i64 = len(bits)
        i: i64 = 0
        while i < n:
            write_i64_be(out, read_i64_be(key, places[i]) & bits[i])
            i += 1
        return out.getvalue() in self.values
