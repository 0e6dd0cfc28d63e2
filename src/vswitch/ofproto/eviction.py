"""`EvictionGroups`: which flow a full table gives up for a new one (ovs-vswitchd.conf.db(5), Flow_Table).

Only flows with a timeout can be evicted. They are sorted into groups by the values of some fields; the
largest group loses the flow of least importance, and among those the one that would expire first.
"""

from __future__ import annotations

import heapq
from typing import final

from vswitch.flow.field import Field
from vswitch.ofproto.rule import Rule

IMMORTAL = 1 << 62

Entry = tuple[int, int, int, Rule]
"""(importance, expiry in clock ms, sequence number, rule)."""


def expiry(rule: Rule) -> int:
    """Clock ms at which the rule goes if no packet comes; far off without timeouts."""
    when = IMMORTAL
    if rule.hard_timeout:
        when = rule.modified + rule.hard_timeout * 1000
    if rule.idle_timeout:
        idle = rule.used + rule.idle_timeout * 1000
        if idle < when:
            when = idle
    return when


@final
class EvictionGroups:
    """The mortal flows of a table. Flows are announced as they come; those that go are noticed later.

    A group is a heap whose entries may be out of date: packets only ever put an expiry off, so an
    entry that is found too early goes back with the right one.
    """

    def __init__(self, fields: tuple[Field, ...], rules: list[Rule]) -> None:
        self.fields: tuple[Field, ...] = fields
        self._heaps: dict[bytes, list[Entry]] = {}
        self._sizes: dict[bytes, int] = {}
        self._next: int = 0
        for rule in rules:
            self.add(rule)

    def _key(self, rule: Rule) -> bytes:
        match = rule.match
        parts = []
        for field in self.fields:
            n = (field.n_bits + 7) // 8
            parts.append(match.flow.get(field).to_bytes(n, "big"))
            parts.append(match.mask.get(field).to_bytes(n, "big"))
        return b"".join(parts)

    def add(self, rule: Rule) -> None:
        """`rule` is in the table."""
        if not rule.idle_timeout and not rule.hard_timeout:
            return
        key = self._key(rule)
        self._next += 1
        heapq.heappush(self._heaps.setdefault(key, []), (rule.importance, expiry(rule), self._next, rule))
        self._sizes[key] = self._sizes.get(key, 0) + 1

    def remove(self, rule: Rule) -> None:
        """`rule` has left the table."""
        if not rule.idle_timeout and not rule.hard_timeout:
            return
        key = self._key(rule)
        size = self._sizes.get(key, 0) - 1
        if size > 0:
            self._sizes[key] = size
        else:
            self._sizes.pop(key, None)
            self._heaps.pop(key, None)

    def choose(self) -> Rule | None:
        """The flow to give up; None: no flow has a timeout."""
        for key in sorted(self._sizes, key=self._size, reverse=True):
            heap = self._heaps[key]
            while heap:
                importance, when, number, rule = heap[0]
                if rule.removed:
                    heapq.heappop(heap)
                    continue
                actual = expiry(rule)
                if actual == when:
                    return rule
                heapq.heapreplace(heap, (importance, actual, number, rule))
        return None

    def _size(self, key: bytes) -> int:
        return self._sizes[key]
