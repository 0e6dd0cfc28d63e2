"""`ClsRule`: what a classifier holds. The switch's rules extend it."""

from __future__ import annotations

from mypy_extensions import i64, mypyc_attr

from vswitch.classifier.conjunction import Conjunctions
from vswitch.flow.match import Match


@mypyc_attr(allow_interpreted_subclasses=True)
class ClsRule:
    """A match with a priority. Neither may change while the rule is in a classifier.

    Rules of one match lie in a chain, highest priority first; `cls_next` is the next of them.
    `conj` is there if the rule only contributes to conjunctive matches; it may change.
    """

    def __init__(self, match: Match, priority: int) -> None:
        self.match: Match = match
        self.priority: int = priority
        self.cls_next: ClsRule | None = None
        self.cls_rank: i64 = priority
        self.conj: Conjunctions | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(priority={self.priority},{self.match})"
