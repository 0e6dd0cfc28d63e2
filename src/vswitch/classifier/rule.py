"""`ClsRule`: what a classifier holds. The switch's rules extend it."""

from __future__ import annotations

from librt.vecs import vec
from mypy_extensions import i64, mypyc_attr

from vswitch.classifier.conjunction import Conjunctions
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match


@mypyc_attr(allow_interpreted_subclasses=True)
class ClsRule:
    """A match with a priority. Neither may change while the rule is in a classifier.

    Rules of one match lie in a chain, highest priority first; `cls_next` is the next of them.
    `conj` is there if the rule only contributes to conjunctive matches; it may change.

    A flow is long and mostly zero, so a rule in a classifier keeps only the words that its mask has bits
    in, whose numbers all rules of the mask share; `match` then makes a new `Match` each time.
    """

    def __init__(self, match: Match, priority: int) -> None:
        self.mask: Flow = match.mask
        """The bits that it matches. Other rules may share it: it is not to be changed."""
        self._match: Match | None = match
        self._words: vec[i64] = vec[i64]()
        self._values: vec[i64] = vec[i64]()
        self.priority: int = priority
        self.cls_next: ClsRule | None = None
        self.cls_rank: i64 = priority
        self.cls_at: i64 = 0
        """Its place among the rules of its mask, in the order in which they came."""
        self.conj: Conjunctions | None = None

    @property
    def match(self) -> Match:
        """What it matches. A change to it need not be seen by others."""
        match = self._match
        if match is not None:
            return match
        flow = Flow()
        self.unpack_into(flow.words)
        return Match(flow, self.mask)

    def unpack_into(self, words: vec[i64]) -> bool:
        """Set those of `words` in which the mask has bits to the match's; False if the rule isn't packed."""
        if self._match is not None:
            return False
        numbers = self._words
        values = self._values
        n: i64 = len(numbers)
        i: i64 = 0
        while i < n:
            words[numbers[i]] = values[i]
            i += 1
        return True

    def pack(self, mask: Flow, numbers: vec[i64]) -> None:
        """Share `mask`, equal to its own, and keep only the words of these `numbers`: all in which the
        mask has bits."""
        self.mask = mask
        match = self._match
        if match is None:
            self._words = numbers
            return
        match.mask = mask
        if match.options is not None:
            return
        words = match.flow.words
        values: vec[i64] = vec[i64]([0] * len(numbers))
        n: i64 = len(numbers)
        i: i64 = 0
        while i < n:
            values[i] = words[numbers[i]]
            i += 1
        self._words = numbers
        self._values = values
        self._match = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(priority={self.priority},{self.match})"
