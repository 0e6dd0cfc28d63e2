"""`MemoryNetdev`: what the devices that exist only in this process have in common."""

from __future__ import annotations

import errno
import os
from collections import deque

from vswitch.netdev.frame import Frame
from vswitch.netdev.provider import Netdev, NetdevError, NetdevStats

RX_QUEUE = 4096
"""Frames that wait to be received; more are dropped and counted."""
MIN_MTU = 68
MAX_MTU = 65535


class MemoryNetdev(Netdev):
    """A device with a receive queue, an address, an MTU and flags, all in memory."""

    def __init__(self, name: str, type: str, mac: int) -> None:
        self.name = name
        self.type = type
        self._mac = mac
        self._mtu = 1500
        self._up = True
        self._carrier = True
        self._resets = 0
        self._seq = 1
        self._stats = NetdevStats()
        self._rx: deque[Frame] = deque()
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._options: dict[str, str] = {}

    def close(self) -> None:
        """Forget what is queued."""
        self._rx.clear()
        if self._event >= 0:
            os.close(self._event)
            self._event = -1

    def fileno(self) -> int:
        return self._event

    def receive(self, frame: Frame) -> bool:
        """A frame arrives at the device; False if it was dropped (down, or the queue is full)."""
        if not self._up or self._event < 0 or len(self._rx) >= RX_QUEUE:
            self._stats.rx_dropped += 1
            reason = "rx_down" if not self._up else "rx_queue_full"
            self._stats.custom[reason] = self._stats.custom.get(reason, 0) + 1
            return False
        if not self._rx:
            os.eventfd_write(self._event, 1)
        self._rx.append(frame)
        self._stats.rx_packets += 1
        self._stats.rx_bytes += len(frame.data)
        return True

    def recv(self, max_frames: int) -> list[Frame]:
        queue = self._rx
        if not queue:
            return []
        if len(queue) <= max_frames:
            frames = list(queue)
            queue.clear()
            os.eventfd_read(self._event)
            return frames
        return [queue.popleft() for _ in range(max_frames)]

    def flush(self) -> None:
        """Nothing is held back by `send`."""

    def mac(self) -> int:
        return self._mac

    def set_mac(self, mac: int) -> None:
        if mac != self._mac:
            self._mac = mac
            self._changed()

    def mtu(self) -> int:
        return self._mtu

    def set_mtu(self, mtu: int) -> None:
        if not MIN_MTU <= mtu <= MAX_MTU:
            raise NetdevError(errno.EINVAL, f"{self.name}: MTU {mtu} is not in {MIN_MTU}..{MAX_MTU}")
        if mtu != self._mtu:
            self._mtu = mtu
            self._changed()

    def carrier(self) -> bool:
        return self._up and self._carrier

    def carrier_resets(self) -> int:
        return self._resets

    def set_carrier(self, carrier: bool) -> None:
        """Plug the cable in or out."""
        if carrier != self._carrier:
            self._carrier = carrier
            self._resets += 1
            self._changed()

    def up(self) -> bool:
        return self._up

    def set_up(self, up: bool) -> None:
        if up != self._up:
            self._up = up
            self._changed()

    def _changed(self) -> None:
        self._seq += 1
        if self.on_change is not None:
            self.on_change()

    def stats(self) -> NetdevStats:
        s = self._stats
        return NetdevStats(s.rx_packets, s.tx_packets, s.rx_bytes, s.tx_bytes, rx_dropped=s.rx_dropped,
                           tx_dropped=s.tx_dropped, custom=dict(s.custom))

    def change_seq(self) -> int:
        return self._seq

    def config(self) -> dict[str, str]:
        return dict(self._options)

    def drop_tx(self, reason: str, n: int = 1) -> None:
        """Count frames that could not be transmitted."""
        self._stats.tx_dropped += n
        self._stats.custom[reason] = self._stats.custom.get(reason, 0) + n
