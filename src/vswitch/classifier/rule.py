"""`ClsRule`: what a classifier holds. The switch's rules extend it."""

from __future__ import annotations

from librt.vecs import vec
from mypy_extensions import i64, mypyc_attr

from vswitch.classifier.conjunction import Conjunctions
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match, packed_match


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
        return packed_match(self.mask, self._words, self._values) if match is None else match

    def values(self) -> vec[i64]:
        """The match's words in which the mask has bits, of a rule that has been packed."""
        return self._values

    def pack(self, mask: Flow, numbers: vec[i64]) -> None:
        """Share `mask`, equal to its own, and keep only the words of these `numbers`: all in which the
        mask has bits."""
        self.mask = mask
        self._words = numbers
        match = self._match
        if match is None:
            return
        self._values = match.values(numbers)
        match.mask = mask
        if match.options is None:
            self._match = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(priority={self.priority},{self.match})"
