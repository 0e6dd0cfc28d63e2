"""`FlowModLog`: how many flow mods a connection carried out, said in the log now and then.

As Open vSwitch does it: ten seconds after the first one, but not within a minute of the last time, and at the
end of the connection.
"""

from __future__ import annotations

from typing import Final, final

from vswitch.base.clock import NEVER
from vswitch.base.vlog import Vlog
from vswitch.openflow.flow_mod import FlowModCommand

log: Final = Vlog("connmgr")

_ADD: Final = FlowModCommand.ADD
AFTER: Final = 10_000
"""ms from the first flow mod to the message."""
BETWEEN: Final = 60_000
"""ms between two messages, at least."""


@final
class FlowModLog:
    """The flow mods of the connection called `name` since the last message."""

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.due: int = NEVER
        """Clock ms of the next message."""
        self._quiet_until: int = 0
        self._n_adds: int = 0
        self._n_deletes: int = 0
        self._n_modifications: int = 0
        self._first: int = 0
        self._last: int = 0

    def note(self, command: FlowModCommand, now: int) -> None:
        """A flow mod was carried out."""
        if self.due == NEVER:
            self._first = now
            self.due = max(now + AFTER, self._quiet_until)
        self._last = now
        if command is _ADD:
            self._n_adds += 1
        elif command in (FlowModCommand.DELETE, FlowModCommand.DELETE_STRICT):
            self._n_deletes += 1
        else:
            self._n_modifications += 1

    def take(self, other: FlowModLog, now: int) -> None:
        """All that `other` noted has been carried out."""
        if other.due == NEVER:
            return
        if self.due == NEVER:
            self._first = now
            self.due = max(now + AFTER, self._quiet_until)
        self._last = now
        self._n_adds += other._n_adds
        self._n_deletes += other._n_deletes
        self._n_modifications += other._n_modifications

    def run(self, now: int) -> None:
        """Say it if it is time."""
        if now >= self.due:
            self._quiet_until = self.due + BETWEEN
            self.say(now)

    def say(self, now: int) -> None:
        """Say what there is to say."""
        if self.due == NEVER:
            return
        self.due = NEVER
        counts = {"adds": self._n_adds, "deletes": self._n_deletes, "modifications": self._n_modifications}
        self._n_adds = self._n_deletes = self._n_modifications = 0
        log.info("%s: %d flow_mods %s (%s)", self.name, sum(counts.values()), self._when(now),
                 ", ".join(f"{n} {kind}" for kind, n in counts.items() if n))  # fmt: skip

    def _when(self, now: int) -> str:
        ago = (now - self._first) // 1000
        lasted = (self._last - self._first) // 1000
        if lasted >= ago:
            return f"in the last {ago} s"
        return f"in the {lasted} s starting {ago} s ago" if lasted else f"{ago} s ago"
