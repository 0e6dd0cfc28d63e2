"""When the collector looks for cycles: never among what lives on.

Rules, facets and connections hold no cycles while they live, and there may be a million of them: one pass
over all would keep packets waiting for a second, and cost a third of a bundle. So young objects are
looked at often, a few at a time, and what two passes have left over is taken out of the
collector's sight (`gc.freeze`), for good: a cycle that dies later stays. That is a few objects
for many thousands that come and go, since most are looked at while young.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG: Final = 10_000
"""Container objects that come, beyond those that go, until the young ones are looked at..."""
PASSES: Final = 4
"""...and how often that is done until what is left is looked at once more."""
NEVER: Final = 1_000_000


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
