"""How long things take: histograms of times, kept for as long as the process lives.

Bounds are those that Prometheus' scrapes want: each bucket counts what took at most its bound. Two
readings of a clock and one search in a short tuple are what an observation costs.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, final

BOUNDS_NS: Final = (
    10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000,
    100_000_000, 200_000_000, 500_000_000, 1_000_000_000,
)  # fmt: skip
"""10 us to 1 s; one bucket more has what took longer."""


@final
class Histogram:
    """Times of one kind, in ns."""

    def __init__(self, name: str, what: str) -> None:
        self.name = name
        self.what = what
        self.buckets = [0] * (len(BOUNDS_NS) + 1)
        self.total_ns = 0

    def observe(self, ns: int, n: int = 1) -> None:
        """Count `n` things that took `ns` each."""
        self.buckets[bisect_left(BOUNDS_NS, ns)] += n
        self.total_ns += n * ns

    @property
    def count(self) -> int:
        """How many were observed."""
        return sum(self.buckets)

    def quantile_ns(self, part: float) -> int | None:
        """A bound below which at least `part` (0 to 1) of the times are; None above all bounds."""
        wanted = part * self.count
        seen = 0
        for bound, n in zip(BOUNDS_NS, self.buckets, strict=False):
            seen += n
            if seen >= wanted:
                return bound
        return None


_histograms: Final[dict[str, Histogram]] = {}


def histogram(name: str, what: str) -> Histogram:
    """The process's histogram of this name; made at the first call."""
    found = _histograms.get(name)
    if found is None:
        found = _histograms[name] = Histogram(name, what)
    return found


def values() -> dict[str, dict[str, object]]:
    """All histograms: {name: {"what", "count", "sum" (s), "buckets": {bound (s) as text: count}}}."""
    return {
        h.name: {
            "what": h.what,
            "count": h.count,
            "sum": h.total_ns / 1e9,
            "buckets": {
                **{f"{bound / 1e9:g}": n for bound, n in zip(BOUNDS_NS, h.buckets, strict=False)},
                "+Inf": h.buckets[-1],
            },
        }
        for h in _histograms.values()
    }


def show() -> str:
    """One line a histogram: how many, the mean, and bounds for the middle and the slowest."""
    lines = []
    for h in _histograms.values():
        mean = h.total_ns / h.count / 1000 if h.count else 0.0
        parts = ", ".join(f"{int(100 * q)} %: {_bound(h.quantile_ns(q))}" for q in (0.5, 0.99))
        lines.append(f"{h.name}: {h.count}, mean {mean:.1f} us, {parts} ({h.what})\n")
    return "".join(lines)


def _bound(ns: int | None) -> str:
    return f"at most {ns / 1e6:g} ms" if ns is not None else "more than 1000 ms"
