"""A token bucket that lets through so many events a minute and counts the rest.

A token accrues `rate_per_min` times a minute up to `burst`; the bucket starts full. Times are
clock ms, handed in.
"""

from __future__ import annotations

from typing import Final, final

_MS_PER_MIN: Final = 60_000


@final
class RateLimit:
    """`rate_per_min` events a minute with bursts of up to `burst`.

    `suppressed` counts what was refused since `taken`; `total_suppressed` since it was made.
    """

    def __init__(self, rate_per_min: int, burst: int) -> None:
        self.rate = rate_per_min
        self.capacity = burst * _MS_PER_MIN
        self._tokens = self.capacity
        self._last_fill = -1
        self.suppressed = 0
        self.total_suppressed = 0
        self._first = 0
        self._last = 0

    def allow(self, now: int) -> bool:
        """Take one token at `now` if there is one; otherwise count the event as suppressed."""
        if self._last_fill >= 0 and now > self._last_fill:
            self._tokens = min(self.capacity, self._tokens + (now - self._last_fill) * self.rate)
        if self._last_fill < now:
            self._last_fill = now
        if self._tokens >= _MS_PER_MIN:
            self._tokens -= _MS_PER_MIN
            return True
        if not self.suppressed:
            self._first = now
        self._last = now
        self.suppressed += 1
        self.total_suppressed += 1
        return False

    def taken(self, now: int) -> tuple[int, int, int]:
        """(events suppressed, seconds since the first, seconds since the last); starts anew."""
        result = (self.suppressed, (now - self._first) // 1000, (now - self._last) // 1000)
        self.suppressed = 0
        return result
