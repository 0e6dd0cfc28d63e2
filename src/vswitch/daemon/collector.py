"""When the collector looks for cycles: rarely among what lives on.

Rules, facets and connections hold no cycles while they live, and there may be a million of them: one pass
over all would keep packets waiting for a second, and cost a third of a bundle. So young objects are
looked at often, a few at a time, and what two passes have left over is taken out of the
collector's sight (`gc.freeze`). A cycle that dies later than that is found by `Collector`, which looks at
everything, at most once an hour and only when twice as much lives as after the last look.
"""

from __future__ import annotations

import gc
from typing import Final, final

YOUNG: Final = 10_000
"""Container objects that come, beyond those that go, until the young ones are looked at: packets wait for as
long as that takes..."""
PASSES: Final = 1
"""...and after how many such looks what they left is looked at once more: of more, that would take long."""
NEVER: Final = 1_000_000
INTERVAL_MS: Final = 3_600_000


def spare_the_living() -> None:
    """Have it so from now on. All that is there lives on."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(YOUNG, PASSES, NEVER)
    if _after not in gc.callbacks:
        gc.callbacks.append(_after)


def _after(phase: str, info: dict[str, int]) -> None:
    """After a pass over all but the frozen ones, freeze what is left."""
    if phase == "stop" and info["generation"] == 1:
        gc.freeze()


@final
class Collector:
    """A part of the main loop: the look at everything."""

    def __init__(self, now: int) -> None:
        self._next = now + INTERVAL_MS
        self._living = gc.get_freeze_count()

    def run(self, now: int) -> bool:
        """Look, if it is time to and much has come."""
        if now >= self._next:
            self._next = now + INTERVAL_MS
            if gc.get_freeze_count() > 2 * self._living:
                gc.unfreeze()
                gc.collect()
                gc.freeze()
                self._living = gc.get_freeze_count()
        return False

    def wakeup(self, now: int) -> int:
        """Clock ms of the next look."""
        return self._next

    def fds(self) -> list[int]:
        """None."""
        return []

    def write_fds(self) -> list[int]:
        """None."""
        return []
