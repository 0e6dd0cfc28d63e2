"""`PacketInQueues`: packet-ins at a limited rate, fairly by the port that the packets came in at.

As ovs-vswitchd.conf.db(5) describes `controller_rate_limit` and `controller_burst_limit`: a token
bucket, and behind it a bounded queue a port; queues are served in turn, and when all of them
together are full the longest one loses its oldest packet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import final

from vswitch.base import coverage
from vswitch.base.clock import NEVER
from vswitch.openflow.messages.packet import PacketIn

queue_full = coverage.counter("drop_packet_in_rate_limit")


@final
class PacketInQueues:
    """Without a limit (the default) everything passes at once."""

    def __init__(self, now: int) -> None:
        self.rate: int = 0
        """Packets a second; 0: no limit."""
        self.burst: int = 0
        self.n_normal: int = 0
        self.n_limited: int = 0
        self.n_dropped: int = 0
        self._tokens: int = 0
        """Thousandths of packets."""
        self._filled_at: int = now
        self._queues: dict[int, deque[PacketIn]] = {}
        self._turn: deque[int] = deque()
        """Ports with packets, the next one to be served first."""
        self._n_queued: int = 0

    def __len__(self) -> int:
        return self._n_queued

    def set_limit(self, rate: int, burst: int) -> None:
        """`rate` packets a second (0: no limit), `burst` of them at once (0: a quarter of the rate)."""
        if rate > 0 and burst <= 0:
            burst = max(rate // 4, 1)
        if rate > 0 and not self.rate:
            self._tokens = burst * 1000
            self.n_normal = self.n_limited = self.n_dropped = 0
        self.rate = rate
        self.burst = burst
        while rate > 0 and self._n_queued > burst:
            self._drop_one()

    def take(self, pin: PacketIn, port: int, now: int) -> bool:
        """Whether `pin` may be sent at once; if not it waits, or pushes out another."""
        if not self.rate and not self._n_queued:
            self.n_normal += 1
            return True
        self._fill(now)
        if not self._n_queued and self._tokens >= 1000:
            self._tokens -= 1000
            self.n_normal += 1
            return True
        self.n_limited += 1
        if self._n_queued >= self.burst:
            self._drop_one()
        queue = self._queues.get(port)
        if queue is None:
            queue = self._queues[port] = deque()
            self._turn.append(port)
        queue.append(pin)
        self._n_queued += 1
        return False

    def run(self, now: int) -> Iterator[PacketIn]:
        """The packets whose turn has come."""
        if not self._n_queued:
            return
        self._fill(now)
        while self._n_queued and (not self.rate or self._tokens >= 1000):
            self._tokens -= 1000 if self.rate else 0
            port = self._turn.popleft()
            queue = self._queues[port]
            pin = queue.popleft()
            self._n_queued -= 1
            if queue:
                self._turn.append(port)
            else:
                del self._queues[port]
            yield pin

    def wakeup(self, now: int) -> int:
        """Clock ms at which the next packet may go."""
        if not self._n_queued:
            return NEVER
        if not self.rate:
            return now
        lacking = 1000 - self._tokens
        return now if lacking <= 0 else self._filled_at + (lacking + self.rate - 1) // self.rate

    def clear(self) -> None:
        """Forget all packets."""
        self._queues.clear()
        self._turn.clear()
        self._n_queued = 0

    def _fill(self, now: int) -> None:
        if now > self._filled_at:
            self._tokens = min(self._tokens + (now - self._filled_at) * self.rate, self.burst * 1000)
            self._filled_at = now

    def _drop_one(self) -> None:
        """The longest queue loses its oldest packet."""
        port = max(self._queues, key=lambda p: len(self._queues[p]), default=None)
        if port is None:
            return
        queue = self._queues[port]
        queue.popleft()
        self._n_queued -= 1
        self.n_dropped += 1
        queue_full.inc()
        if not queue:
            del self._queues[port]
            self._turn.remove(port)
