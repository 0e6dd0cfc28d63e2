"""How much memory the process takes, logged soon after it started and again as it grows."""

from __future__ import annotations

import resource
from typing import Final, final

from vswitch.base.clock import Clock
from vswitch.base.memory import MemoryReport
from vswitch.base.vlog import Vlog

log: Final = Vlog("memory")

INTERVAL_MS: Final = 10_000


def peak_kb() -> int:
    """The most memory that this process has had resident, in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@final
class MemoryLog:
    """A part of the main loop: every 10 s it looks, and logs a use that has grown by half."""

    def __init__(self, report: MemoryReport, clock: Clock) -> None:
        self._report = report
        self._started = clock.now()
        self._next = self._started + INTERVAL_MS
        self._last_at = self._started
        self._last_kb = 0

    def run(self, now: int) -> bool:
        """Look, if it is time to."""
        if now >= self._next:
            self._next = now + INTERVAL_MS
            kb = peak_kb()
            if kb >= self._last_kb * 3 // 2:
                self._log(kb, now)
        return False

    def _log(self, kb: int, now: int) -> None:
        if self._last_kb:
            growth = 100 * (kb - self._last_kb) // self._last_kb
            log.info(
                "peak resident set size grew %d%% in last %.1f seconds, from %d kB to %d kB",
                growth, (now - self._last_at) / 1000, self._last_kb, kb,
            )  # fmt: skip
        else:
            log.info("%d kB peak resident set size after %.1f seconds", kb, (now - self._started) / 1000)
        self._last_kb = kb
        self._last_at = now
        text = self._report.show()
        if text:
            log.info("%s", text)

    def wakeup(self, now: int) -> int:
        """Clock ms of the next look."""
        return self._next

    def fds(self) -> list[int]:
        """None."""
        return []

    def write_fds(self) -> list[int]:
        """None."""
        return []
