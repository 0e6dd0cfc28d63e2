"""Egress policers: what leaves by a port in excess of a rate is dropped (ovs-vswitchd.conf.db(5), table
QoS, egress-policer and trtcm-policer).

A `Marker` is the two-rate three-color marker of RFC 4115 section 2. One at the port is all of an
egress-policer, whose excess rate is 0. A trtcm-policer marks a packet at its queue first, blind to colors,
and with that color at the port; green and yellow ones leave. Sizes are those of IP packets: without the
Ethernet header of 14 bytes.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from vswitch.dpif.types import EgressPolicing, PolicerRates, QueueCounters

ETHERNET_HEADER: Final = 14
GREEN: Final = 0
YELLOW: Final = 1
RED: Final = 2
MAX_ELAPSED: Final = 60_000
"""Milliseconds for which an idle marker gains tokens."""


@final
class Marker:
    """One marker. Tokens are thousandths of bytes: a rate in bytes a second gives that many a millisecond."""

    def __init__(self, rates: PolicerRates, now: i64) -> None:
        self.cir: i64 = rates.cir
        self.eir: i64 = rates.eir
        self.cbs: i64 = rates.cbs * 1000
        self.ebs: i64 = rates.ebs * 1000
        self.committed: i64 = self.cbs
        self.excess: i64 = self.ebs
        self.used: i64 = now

    def mark(self, size: i64, color: i64, now: i64) -> i64:
        """The color of a packet of `size` bytes that has `color` already at `now` ms; GREEN is blind."""
        elapsed: i64 = now - self.used
        if elapsed > 0:
            if elapsed > MAX_ELAPSED:
                elapsed = MAX_ELAPSED
            self.used = now
            committed: i64 = self.committed + elapsed * self.cir
            self.committed = committed if committed < self.cbs else self.cbs
            excess: i64 = self.excess + elapsed * self.eir
            self.excess = excess if excess < self.ebs else self.ebs
        cost: i64 = size * 1000
        if color == GREEN and cost <= self.committed:
            self.committed -= cost
            return GREEN
        if color != RED and cost <= self.excess:
            self.excess -= cost
            return YELLOW
        return RED


@final
class PolicedQueue:
    """A queue of a trtcm-policer, and what left by it."""

    def __init__(self, rates: PolicerRates, now: i64) -> None:
        self.marker: Marker = Marker(rates, now)
        self.packets: i64 = 0
        self.bytes: i64 = 0
        self.dropped: i64 = 0


@final
class EgressPolicer:
    """The policer of one port."""

    def __init__(self, policing: EgressPolicing, now: i64) -> None:
        self.port: Marker = Marker(policing.port, now)
        self.queues: dict[int, PolicedQueue] = {
            number: PolicedQueue(rates, now) for number, rates in policing.queues.items()
        }
        self.dropped: i64 = 0

    def passes(self, queue: i64, length: i64, now: i64) -> bool:
        """Whether a frame of `length` bytes may leave by `queue`; by queue 0 if there is no such queue."""
        size: i64 = length - ETHERNET_HEADER
        color: i64 = GREEN
        found: PolicedQueue | None = None
        if self.queues:
            found = self.queues.get(queue)
            if found is None:
                found = self.queues[0]
            color = found.marker.mark(size, GREEN, now)
        passes = self.port.mark(size, color, now) != RED
        if not passes:
            self.dropped += 1
        if found is not None:
            if passes:
                found.packets += 1
                found.bytes += size
            else:
                found.dropped += 1
        return passes

    def counters(self) -> dict[int, QueueCounters]:
        """What left by the queues, and what didn't."""
        return {
            number: QueueCounters(int(queue.packets), int(queue.bytes), int(queue.dropped))
            for number, queue in self.queues.items()
        }
