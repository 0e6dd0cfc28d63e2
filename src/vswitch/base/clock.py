"""Time, in one place, so that it can be stopped and moved.

A process makes one `Clock` and hands it on. `time/stop` and `time/warp` act on it, and tests
make a virtual one, which stands at 0 until somebody moves it.
"""

from __future__ import annotations

import time
from typing import Final, final

_NS_PER_MS: Final = 1_000_000
NEVER: Final = (1 << 62) - 1
"""Clock ms that do not come: the highest number that compiled code has without an object."""


@final
class Clock:
    """Monotonic milliseconds and wall-clock seconds that stop and warp together."""

    def __init__(self, virtual: bool = False) -> None:
        """A running clock, or a `virtual` one: stopped at 0 ms, wall time 0 s (1970-01-01)."""
        self._stopped_at: int | None = 0 if virtual else None
        self._warp = 0
        self._wall_base = 0.0

    def now(self) -> int:
        """Monotonic time in ms; never goes back."""
        if self._stopped_at is not None:
            return self._stopped_at
        return time.monotonic_ns() // _NS_PER_MS + self._warp

    def wall(self) -> float:
        """Seconds since the epoch."""
        if self._stopped_at is not None:
            return self._wall_base + self._stopped_at / 1000
        return time.time() + self._warp / 1000

    @property
    def stopped(self) -> bool:
        """Whether time stands still unless warped."""
        return self._stopped_at is not None

    def stop(self) -> None:
        """Stop time where it is, for good (OVS: `time/stop`). Idempotent."""
        if self._stopped_at is None:
            now = self.now()
            self._wall_base = self.wall() - now / 1000
            self._stopped_at = now

    def warp(self, ms: int) -> None:
        """Move time on by `ms`, stopped or not. ValueError if `ms` is negative."""
        if ms < 0:
            raise ValueError(f"time can't go back ({ms} ms)")
        if self._stopped_at is None:
            self._warp += ms
        else:
            self._stopped_at += ms
