"""A timer: a point on the clock that is reached or not.

Whoever runs a main loop asks `expired(now)` each turn and sleeps until the earliest
`expires_at` of its timers.
"""

from __future__ import annotations

from typing import Final, final

NEVER: Final = (1 << 63) - 1
"""A time in ms that is never reached."""


@final
class Timer:
    """Expires at `expires_at` (clock ms): 0 is at once, `NEVER` not at all."""

    def __init__(self, expires_at: int = 0) -> None:
        self.expires_at = expires_at

    def expired(self, now: int) -> bool:
        """Whether the timer has run out at `now`."""
        return now >= self.expires_at

    def set_infinite(self) -> None:
        """Never expire until set again."""
        self.expires_at = NEVER

    def remaining(self, now: int) -> int:
        """Milliseconds until it expires, at least 0."""
        return max(0, self.expires_at - now)


def timer_set_duration(timer: Timer, duration: int, now: int) -> None:
    """Let `timer` expire `duration` ms after `now`."""
    timer.expires_at = now + duration
