"""`Respite`: long work lets packets through while it goes on.

All of the switch runs in one thread. Work that takes longer than a packet may wait (a bundle's commit,
revalidation, a new configuration) calls `give` at places where nothing is half done, and every
millisecond the datapaths forward what has come in by the flows that they have. What misses waits
for the work's end, as all that would look at tables or change them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, final

from mypy_extensions import i64

from vswitch.base.clock import Clock

INTERVAL_NS: Final = 1_000_000
AT_ONCE: Final = 256
"""How many objects of a list are let go of between two looks at the time."""


@final
class Respite:
    """Who forwards in the midst of long work. None do while the clock stands still: then a test decides
    what happens when."""

    def __init__(self, clock: Clock) -> None:
        self.forward: list[Callable[[], None]] = []
        """Each forwards the packets of one datapath, and does nothing else."""
        self._clock: Clock = clock
        self._next: i64 = 0
        self._given: bool = False
        """Whether packets are being forwarded now."""

    def give(self) -> None:
        """Forward, if it is time to. Not for where flows of a datapath or ports are half changed."""
        now: i64 = time.monotonic_ns()
        if now < self._next:
            return
        if not self._given and self.forward and not self._clock.stopped:
            self._given = True
            try:
                for forward in self.forward:
                    forward()
            finally:
                self._given = False
        now = time.monotonic_ns()
        self._next = now + INTERVAL_NS

    def drop(self, objects: list[Any]) -> None:
        """Empty a long list, whose objects may go with it, a few at a time."""
        n: i64 = len(objects)
        while n > AT_ONCE:
            n -= AT_ONCE
            del objects[n:]
            self.give()
        objects.clear()
