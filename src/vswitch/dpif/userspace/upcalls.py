"""Upcall queues: one bounded queue a port, served in turn, so that a flood costs only its port.

A full queue loses the packet and counts it, for the port and in all. The descriptor is readable
while anything waits.
"""

from __future__ import annotations

import os
import struct
from collections import deque

from vswitch.dpif.cookie import FLOW_SAMPLE, IPFIX, SFLOW
from vswitch.dpif.ops import Upcall
from vswitch.dpif.types import UpcallType

QUEUE_LIMIT = 1000
"""Upcalls that wait for one port."""
SAMPLES_LIMIT = 256
"""Samples that may wait while packets are forwarded. A turn for every few would cost more than they do."""
_SAMPLES = frozenset(struct.pack("=H", kind) for kind in (SFLOW, FLOW_SAMPLE, IPFIX))
"""What the cookies of samples begin with."""


def _is_sample(upcall: Upcall) -> bool:
    return upcall.type == UpcallType.ACTION and upcall.userdata[:2] in _SAMPLES


class UpcallQueues:
    """The queues of all ports; on only while `fd` is not -1."""

    def __init__(self) -> None:
        self.fd = -1
        self.waiting = 0
        self._pressing = 0
        """How many of those that wait are no samples."""
        self.lost = 0
        self.lost_by_port: dict[int, int] = {}
        self.taken_by_port: dict[int, int] = {}
        self._queues: dict[int, deque[Upcall]] = {}
        self._turn: deque[int] = deque()
        """Ports whose queue isn't empty, the next to be served first."""

    def enable(self) -> None:
        """Begin to queue. Idempotent."""
        if self.fd < 0:
            self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def disable(self) -> None:
        """Drop what waits and queue no more. Idempotent."""
        if self.fd >= 0:
            self.purge()
            os.close(self.fd)
            self.fd = -1

    def want_a_turn(self) -> bool:
        """Whether something waits that no more packets should come before: a packet whose flow is not known,
        or that needs help, or many samples."""
        return self._pressing > 0 or self.waiting >= SAMPLES_LIMIT

    def push(self, port: int, upcall: Upcall) -> bool:
        """Queue `upcall`; False if it was lost."""
        if self.fd < 0:
            return False
        queue = self._queues.get(port)
        if queue is None:
            queue = self._queues[port] = deque()
        if len(queue) >= QUEUE_LIMIT:
            self.lost += 1
            self.lost_by_port[port] = self.lost_by_port.get(port, 0) + 1
            return False
        if not queue:
            self._turn.append(port)
        queue.append(upcall)
        if not self.waiting:
            os.eventfd_write(self.fd, 1)
        self.waiting += 1
        if not _is_sample(upcall):
            self._pressing += 1
        return True

    def take(self, max_upcalls: int) -> list[Upcall]:
        """Up to `max_upcalls`, one a port in turn."""
        taken: list[Upcall] = []
        if not self.waiting:
            return taken
        turn = self._turn
        while turn and len(taken) < max_upcalls:
            port = turn.popleft()
            queue = self._queues[port]
            taken.append(queue.popleft())
            self.taken_by_port[port] = self.taken_by_port.get(port, 0) + 1
            if queue:
                turn.append(port)
        self.waiting -= len(taken)
        self._pressing -= sum(not _is_sample(upcall) for upcall in taken)
        if not self.waiting:
            os.eventfd_read(self.fd)
        return taken

    def purge(self) -> None:
        """Drop what waits."""
        if self.waiting:
            os.eventfd_read(self.fd)
        self.waiting = 0
        self._pressing = 0
        self._turn.clear()
        self._queues.clear()

    def forget(self, port: int) -> None:
        """The port is gone: so are its upcalls and losses."""
        queue = self._queues.pop(port, None)
        self.lost_by_port.pop(port, None)
        self.taken_by_port.pop(port, None)
        if queue:
            self._turn.remove(port)
            self.waiting -= len(queue)
            self._pressing -= sum(not _is_sample(upcall) for upcall in queue)
            if not self.waiting:
                os.eventfd_read(self.fd)

    def show(self, port_names: dict[int, str]) -> list[str]:
        """A line for each port that sent packets up: how many were taken, wait, and were lost."""
        taken, lost, queues = self.taken_by_port, self.lost_by_port, self._queues
        return [
            f"  port {port} ({port_names.get(port, 'gone')}): received {taken.get(port, 0)}, "
            f"waiting {len(queues.get(port, ()))}, lost {lost.get(port, 0)}"
            for port in sorted({*taken, *lost, *queues})
        ]
