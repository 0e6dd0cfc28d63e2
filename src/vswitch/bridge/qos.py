"""Quality of service of ports: rows of QoS and Queue as Linux traffic control, type linux-htb.

One class a queue under a root class of the port's whole rate, numbered as the datapath numbers
priorities: queue n is class 1:(n+1) (tc-htb(8); ovs-vswitchd.conf.db(5), tables QoS and Queue). What
comes without a queue is in queue 0.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, final
from uuid import UUID

from vswitch.base.clock import Clock
from vswitch.base.vlog import Vlog
from vswitch.bridge import tc
from vswitch.bridge.columns import integer
from vswitch.bridge.idl import Idl, Row
from vswitch.bridge.unsupported import Unsupported
from vswitch.netdev.registry import kind

log = Vlog("bridge")

LEFT_ALONE: Final = ("", "linux-noop")
"""Types with which the port's queues are somebody else's business."""
DEFAULT_RATE: Final = 10_000_000_000
"""bit/s of a port for which nothing else is said."""
MIN_RATE: Final = 1500 * 8
HEADERS: Final = 64
"""Bytes more than the MTU that a burst has at least."""


@dataclass(frozen=True)
class QueueSettings:
    """A queue: rates in bit/s, burst in bytes."""

    min_rate: int
    max_rate: int
    burst: int
    priority: int = 0


@dataclass(frozen=True)
class QosSettings:
    """A port's rate in bit/s and its queues; there is always a queue 0."""

    max_rate: int
    queues: Mapping[int, QueueSettings] = field(default_factory=dict)


def qos_settings(row: Row, mtu: int) -> QosSettings:
    """What a row of QoS asks for, on a device with that MTU."""
    whole = integer(row.other_config, "max-rate", DEFAULT_RATE, 1)
    queues: dict[int, QueueSettings] = {}
    for number, queue in {0: None, **row.queues}.items():
        other = queue.other_config if queue is not None else {}
        min_rate = min(max(integer(other, "min-rate", 0), MIN_RATE), whole)
        max_rate = min(max(integer(other, "max-rate", whole), min_rate), whole)
        burst = max(integer(other, "burst", 0) // 8, mtu + HEADERS)
        queues[number] = QueueSettings(min_rate, max_rate, burst, integer(other, "priority", 0))
    return QosSettings(whole, queues)


@final
class Qos:
    """The disciplines of all interfaces, as they were last set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._set: dict[str, QosSettings] = {}
        self._since: dict[str, int] = {}
        """Clock ms at which an interface's queues were made."""

    def configure(
        self, idl: Idl, wanted: Iterable[tuple[str, str, UUID | None, int]], unsupported: Unsupported
    ) -> None:
        """`wanted`: (interface, its type, row of QoS, MTU) for every interface of every bridge."""
        seen: set[str] = set()
        for name, type, uuid, mtu in wanted:
            row = idl.row("QoS", uuid) if uuid is not None else None
            if row is None or row.type in LEFT_ALONE:
                continue
            unsupported.look_at(f"QoS of interface {name}", "QoS", row)
            if row.type != "linux-htb":
                continue
            if not kind(type).has_queues:
                unsupported.warn(f"interface {name}", "qos:type", row.type, f"{type} devices have no queues")
                continue
            for number, queue in row.queues.items():
                unsupported.look_at(f"queue {number} of interface {name}", "Queue", queue)
            seen.add(name)
            settings = qos_settings(row, mtu)
            if self._set.get(name) != settings:
                self._apply(name, settings)
        for name in self._set.keys() - seen:
            self._remove(name)

    def _apply(self, name: str, settings: QosSettings) -> None:
        try:
            ifindex = socket.if_nametoindex(name)
            tc.delete_root(ifindex)
            tc.add_htb(ifindex, settings.max_rate)
            for number, queue in settings.queues.items():
                tc.add_class(ifindex, number, queue.min_rate, queue.max_rate, queue.burst, queue.priority)
        except OSError as e:
            log.warn("interface %s: could not set linux-htb QoS (%s)", name, os.strerror(e.errno or 0))
            self._set.pop(name, None)
            return
        self._set[name] = settings
        self._since[name] = self._clock.now()

    def queues(self, name: str) -> dict[int, tuple[int, int, int, int]]:
        """The queues of an interface: number -> (packets, bytes, drops, ms since it was made)."""
        settings = self._set.get(name)
        if settings is None:
            return {}
        try:
            counters = tc.class_stats(socket.if_nametoindex(name))
        except OSError:
            counters = {}
        age = max(self._clock.now() - self._since[name], 0)
        return {number: (*counters.get(number, (0, 0, 0)), age) for number in sorted(settings.queues)}

    def _remove(self, name: str) -> None:
        del self._set[name]
        try:
            tc.delete_root(socket.if_nametoindex(name))
        except OSError:
            # The device has gone, and its queues with it.
            return

    def show(self, name: str) -> str:
        """The text of `qos/show`."""
        settings = self._set.get(name)
        if settings is None:
            return f"QoS not configured on {name}\n"
        try:
            counters = tc.class_stats(socket.if_nametoindex(name))
        except OSError:
            counters = {}
        text = f"QoS: {name} linux-htb\nmax-rate: {settings.max_rate}\n"
        for number in sorted(settings.queues):
            queue = settings.queues[number]
            n_packets, n_bytes, n_errors = counters.get(number, (0, 0, 0))
            lines = [f"Queue {number}:" if number else "Default:", f"  burst: {queue.burst * 8}"]
            if queue.priority:
                lines.append(f"  priority: {queue.priority}")
            lines += [f"  min-rate: {queue.min_rate}", f"  max-rate: {queue.max_rate}",
                      f"  tx_packets: {n_packets}", f"  tx_bytes: {n_bytes}", f"  tx_errors: {n_errors}"]
            text += "\n" + "".join(f"{line}\n" for line in lines)
        return text

    def show_types(self, name: str) -> str:
        """The text of `qos/show-types`."""
        try:
            socket.if_nametoindex(name)
        except OSError:
            return f"No QoS types supported for interface: {name}\n"
        return "QoS type: linux-noop\nQoS type: linux-htb\n"
