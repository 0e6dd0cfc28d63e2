"""What a bridge asks of a protocol that it speaks itself, such as a spanning tree.

One object for each protocol of a bridge, however many ports take part: `OfprotoDpif.add_protocol`
registers it, and from then on it has its turn in the bridge's.
"""

from __future__ import annotations

from typing import Protocol


class BridgeProtocol(Protocol):
    """A protocol of one bridge, driven by the process's one clock (so `time/warp` drives it, too)."""

    def run(self, now: int) -> None:
        """Do what is due at clock ms `now`: timers, and what the packets that came in call for.

        It is called in every turn of the main loop, after the upcalls of the turn, so it must be
        cheap when nothing is due. This is the place to send (`OfprotoDpif.send_packet`) and to
        ask for revalidation (`Backer.need`), which follows in the next turn at once.
        """

    def wakeup(self, now: int) -> int:
        """Clock ms of the next turn that is needed, not later than the next timer; `now` or earlier:
        at once. Timers of 10 ms and more are met."""
