"""Who sends most: a top-k sketch in constant space.

Compiled by mypyc; works interpreted.
"""

from __future__ import annotations

from typing import final

from librt.vecs import vec
from mypy_extensions import i64


@final
class SpaceSaving:
    """Top-k sketch of a stream of keys (Metwally et al. 2006, section 3).

    Keeps `capacity` counters. For every key reported, the true count lies in
    [hits - error, hits]; a key that isn't was counted at most as often as the least of a full
    sketch. `halve()` ages all counts, so that recent keys weigh more; the bounds then hold for
    the count aged likewise. Keys are nonnegative integers.
    """

    def __init__(self, capacity: i64) -> None:
        self.capacity: i64 = capacity
        self.n: i64 = 0
        self._keys: vec[i64] = vec[i64]([0] * int(capacity))
        self._hits: vec[i64] = vec[i64]([0] * int(capacity))
        self._errors: vec[i64] = vec[i64]([0] * int(capacity))

    def update(self, key: i64) -> None:
        """Count one occurrence of `key`."""
        keys = self._keys
        hits = self._hits
        n = self.n
        least: i64 = 0
        i: i64 = 0
        while i < n:
            if keys[i] == key:
                hits[i] += 1
                return
            if hits[i] < hits[least]:
                least = i
            i += 1
        if n < self.capacity:
            keys[n] = key
            hits[n] = 1
            self._errors[n] = 0
            self.n = n + 1
            return
        self._errors[least] = hits[least]
        keys[least] = key
        hits[least] += 1

    def halve(self) -> None:
        """Age all counts by a factor of 2, rounding so that the bounds still hold."""
        i: i64 = 0
        while i < self.n:
            lower = (self._hits[i] - self._errors[i]) >> 1
            upper = (self._hits[i] + 1) >> 1
            self._hits[i] = upper
            self._errors[i] = upper - lower
            i += 1

    def clear(self) -> None:
        """Forget everything."""
        self.n = 0

    def top(self) -> list[tuple[int, int, int]]:
        """(key, hits, error) of every counter, most hits first."""
        found: list[tuple[int, int, int]] = []
        i: i64 = 0
        while i < self.n:
            found.append((int(self._keys[i]), int(self._hits[i]), int(self._errors[i])))
            i += 1
        found.sort(key=_most_hits_first)
        return found


def _most_hits_first(counter: tuple[int, int, int]) -> tuple[int, int]:
    return (-counter[1], counter[2])
