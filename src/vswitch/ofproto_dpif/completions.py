"""Operations that finish later, and the clog that makes them wait.

A change to the flow table is acknowledged (barrier reply, monitor) when it is complete. Here it
is complete at once, unless `ofproto/clog` was given: then acknowledgements queue up until
`ofproto/unclog`, which lets a test see a controller cope with a slow switch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import final


@final
class Clog:
    """The one switch for all bridges: while `clogged`, nothing completes."""

    def __init__(self) -> None:
        self.clogged: bool = False


@final
class Completions:
    """Finished operations of one bridge that nobody has been notified of."""

    def __init__(self, clog: Clog) -> None:
        self.clog = clog
        self._queue: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def complete(self, done: Callable[[], None]) -> None:
        """Call `done` now, or after all earlier ones once nothing clogs them any more."""
        if self.clog.clogged or self._queue:
            self._queue.append(done)
        else:
            done()

    def run(self) -> None:
        """Call what waits, in order, stopping when one of them clogs the rest."""
        while self._queue and not self.clog.clogged:
            self._queue.popleft()()
