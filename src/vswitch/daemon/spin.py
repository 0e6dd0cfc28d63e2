"""Whether to look for the next message awake, instead of sleeping until it comes.

A client that waits for each answer asks again some tens of microseconds later. To sleep for so long means
that a core goes to sleep and is woken, which takes longer than the work. So after an answer the main loop
may look again and again for a while. It does so only where that has proven right: after several
questions that each came soon after the answer. Once in vain (the client needed this CPU, or had no more
to ask), and it takes twice as many of them until the next trial; where others took the CPU away meanwhile,
eight times as many: who sleeps gets a CPU sooner then than who is awake all the time.

Times are ns; nothing here reads a clock.
"""

from __future__ import annotations

from typing import Final, final

LONGEST: Final = 100_000
"""The longest time that is spent awake for one message, and what "soon" is."""
TAKEN: Final = 1_000_000
"""Who has waited awake for longer had the CPU taken away meanwhile."""
FIRST_TRIAL: Final = 4
"""How many questions in a row must have come soon before it is tried..."""
LAST_TRIAL: Final = 4096
"""...and how many at most where it was tried in vain."""


@final
class Spin:
    """Hears how long each question took to come, and says whether to wait `awake` for the next."""

    def __init__(self) -> None:
        self.awake: bool = False
        self._soon: int = 0
        """How many questions came soon, in a row."""
        self._needed: int = FIRST_TRIAL

    def came(self, waited: int) -> None:
        """A question came `waited` ns after the answer to the one before."""
        if waited > LONGEST:
            self.lapse()
        elif self.awake:
            self._needed = max(self._needed - 1, FIRST_TRIAL)
        else:
            self._soon += 1
            self.awake = self._soon >= self._needed

    def was_awake(self, spent: int) -> None:
        """That took `spent` ns. Where others want the CPU, trials soon become rare."""
        if spent > TAKEN:
            self.awake = False
            self._soon = 0
            self._needed = min(8 * self._needed, LAST_TRIAL)

    def lapse(self) -> None:
        """No question came soon after an answer."""
        if self.awake:
            self.awake = False
            self._needed = min(2 * self._needed, LAST_TRIAL)
        self._soon = 0
