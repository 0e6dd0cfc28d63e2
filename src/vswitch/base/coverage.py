"""Event counters: every rare thing is counted, and `coverage/show` prints the counts.

A module makes its counters once, at import; the process has one of each name. Rates are kept
as Open vSwitch keeps them: per 5 s over the last minute, per minute over the last hour.
"""

from __future__ import annotations

from typing import Final, final

SLOT_MS: Final = 5_000
_MINUTE_SLOTS: Final = 12
_HOUR_SLOTS: Final = 60


@final
class Counter:
    """Counts one kind of event. `total` is the count since the process began."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.total = 0
        self._seen = 0
        self._slots = [0] * _MINUTE_SLOTS
        self._minutes = [0] * _HOUR_SLOTS

    def inc(self, n: int = 1) -> None:
        """The event happened `n` times."""
        self.total += n

    def _close_slot(self, slot: int) -> None:
        """End 5 s slot number `slot`; every twelfth ends a minute."""
        self._slots[slot % _MINUTE_SLOTS] = self.total - self._seen
        self._seen = self.total
        if slot % _MINUTE_SLOTS == _MINUTE_SLOTS - 1:
            self._minutes[slot // _MINUTE_SLOTS % _HOUR_SLOTS] = sum(self._slots)

    def rates(self) -> tuple[float, float, float]:
        """Events a second over the last 5 seconds, minute and hour."""
        last = self._slots[(_slots_closed - 1) % _MINUTE_SLOTS]
        return last / 5, sum(self._slots) / 60, (sum(self._minutes) + self._open_minute()) / 3600

    def _open_minute(self) -> int:
        return sum(self._slots[i] for i in range(_slots_closed % _MINUTE_SLOTS))


_counters: dict[str, Counter] = {}
_slots_closed = 0
_next_slot_at = -1


def counter(name: str) -> Counter:
    """The process's counter called `name`, made if it is new."""
    found = _counters.get(name)
    if found is None:
        found = _counters[name] = Counter(name)
    return found


def get(name: str) -> Counter | None:
    """The counter called `name`, or None."""
    return _counters.get(name)


def run(now: int) -> None:
    """Close the 5 s slots that ended by `now` (ms). Call it once or more a slot."""
    global _slots_closed, _next_slot_at
    if _next_slot_at < 0:
        _next_slot_at = now + SLOT_MS
    # After a long warp only the last hour matters.
    behind = (now - _next_slot_at) // SLOT_MS - _MINUTE_SLOTS * _HOUR_SLOTS
    if behind > 0:
        _next_slot_at += behind * SLOT_MS
    while now >= _next_slot_at:
        for c in _counters.values():
            c._close_slot(_slots_closed)
        _slots_closed += 1
        _next_slot_at += SLOT_MS


def _magnitude_hash(hit: list[Counter]) -> int:
    """A number that is the same for two runs that hit the same events about as often."""
    x = 0
    for c in hit:
        for ch in f"{c.name}:{c.total.bit_length()}":
            x = (x * 31 + ord(ch)) & 0xFFFFFFFF
    return x


def totals() -> dict[str, int]:
    """Every event's name and how often it happened, those that never did included."""
    return {name: _counters[name].total for name in sorted(_counters)}


def show() -> str:
    """All events that happened, in the layout of `ovs-appctl coverage/show`."""
    hit = sorted((c for c in _counters.values() if c.total), key=lambda c: c.name)
    lines = [
        "Event coverage, avg rate over last: 5 seconds, last minute, last hour,"
        f"  hash={_magnitude_hash(hit):08x}:"
    ]
    for c in hit:
        s, m, h = c.rates()
        lines.append(f"{c.name:<24} {s:5.1f}/sec {m:9.3f}/sec {h:13.4f}/sec   total: {c.total}")
    lines.append(f"{len(_counters) - len(hit)} events never hit")
    return "\n".join(lines) + "\n"
