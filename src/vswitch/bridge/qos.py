"""Quality of service of ports: rows of QoS and Queue as Linux traffic control.

One class a queue under a root class of the port's whole rate, numbered as the datapath numbers
priorities: queue n is class 1:(n+1) (tc-htb(8); ovs-vswitchd.conf.db(5), tables QoS and Queue). What
comes without a queue is in queue 0. Types without classes have keys of their own (`CLASSLESS`).
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
    """A port's type, rate in bit/s and queues, of which there is always queue 0; of a type without queues
    the values of its keys, in the order in which they are shown."""

    type: str
    max_rate: int = 0
    queues: Mapping[int, QueueSettings] = field(default_factory=dict)
    details: tuple[tuple[str, int], ...] = ()


Keys = tuple[tuple[str, int], ...]
"""Key -> its default; 0 for one that depends on the MTU."""
CLASSFUL: Final = ("linux-htb", "linux-hfsc")
CLASSLESS: Final[Mapping[str, Keys]] = {
    "linux-sfq": (("quantum", 0), ("perturb", 10)),
    "linux-codel": (("limit", 10240), ("interval", 100_000), ("target", 5000)),
    "linux-fq_codel": (
        ("limit", 10240), ("quantum", 0), ("flows", 1024), ("interval", 1_000_000), ("target", 5000)
    ),
    "linux-netem": (("limit", 1000), ("loss", 0), ("latency", 0)),
}  # fmt: skip
"""The types without queues, with the defaults that Open vSwitch 3.1 has; times in microseconds, but for
`perturb` (seconds)."""
ETHERNET_HEADER: Final = 14


def qos_settings(row: Row, mtu: int) -> QosSettings:
    """What a row of QoS asks for, on a device with that MTU."""
    if row.type in CLASSLESS:
        details = []
        for key, default in CLASSLESS[row.type]:
            if not default and key == "quantum":
                default = mtu + (ETHERNET_HEADER if row.type == "linux-fq_codel" else 0)
            high = 100 if key == "loss" else tc.MAX_RATE32
            details.append((key, integer(row.other_config, key, default, 0, high) or default))
        return QosSettings(row.type, details=tuple(details))
    whole = integer(row.other_config, "max-rate", DEFAULT_RATE, 1)
    queues: dict[int, QueueSettings] = {}
    for number, queue in {0: None, **row.queues}.items():
        other = queue.other_config if queue is not None else {}
        least = MIN_RATE if row.type == "linux-htb" else 8
        min_rate = min(max(integer(other, "min-rate", 0), least), whole)
        max_rate = min(max(integer(other, "max-rate", whole), min_rate), whole)
        burst = max(integer(other, "burst", 0) // 8, mtu + HEADERS)
        queues[number] = QueueSettings(min_rate, max_rate, burst, integer(other, "priority", 0))
    return QosSettings(row.type, whole, queues)


TYPES: Final = ("linux-netem", "linux-fq_codel", "linux-codel", "linux-hfsc", "linux-noop", "linux-sfq",
                "linux-htb")  # fmt: skip
"""In the order in which Open vSwitch lists them."""


def _add(ifindex: int, settings: QosSettings) -> None:
    """Give a device, which has its default discipline, the one that `settings` ask for. NlError."""
    value = dict(settings.details)
    if settings.type == "linux-htb":
        tc.add_htb(ifindex, settings.max_rate)
        for number, queue in settings.queues.items():
            tc.add_class(ifindex, number, queue.min_rate, queue.max_rate, queue.burst, queue.priority)
    elif settings.type == "linux-hfsc":
        tc.add_hfsc(ifindex, settings.max_rate)
        for number, queue in settings.queues.items():
            tc.add_hfsc_class(ifindex, number, queue.min_rate, queue.max_rate)
    elif settings.type == "linux-sfq":
        tc.add_root(ifindex, "sfq", tc.sfq_options(value["perturb"], value["quantum"]))
    elif settings.type == "linux-codel":
        options = tc.codel_options(value["target"], value["limit"], value["interval"])
        tc.add_root(ifindex, "codel", options)
    elif settings.type == "linux-fq_codel":
        tc.add_root(ifindex, "fq_codel", tc.fq_codel_options(
            value["target"], value["limit"], value["interval"], value["flows"], value["quantum"]
        ))  # fmt: skip
    else:
        options = tc.netem_options(value["latency"], value["limit"], value["loss"])
        tc.add_root(ifindex, "netem", options)


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
            if row.type not in CLASSFUL and row.type not in CLASSLESS:
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
            _add(ifindex, settings)
        except OSError as e:
            why = os.strerror(e.errno or 0)
            log.warn("interface %s: could not set %s QoS (%s)", name, settings.type, why)
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
        if settings.details:
            words = (f"{key}: {value}\n" for key, value in settings.details)
            return f"QoS: {name} {settings.type}\n" + "".join(words)
        text = f"QoS: {name} {settings.type}\nmax-rate: {settings.max_rate}\n"
        for number in sorted(settings.queues):
            queue = settings.queues[number]
            n_packets, n_bytes, n_errors = counters.get(number, (0, 0, 0))
            lines = [f"Queue {number}:" if number else "Default:"]
            if settings.type == "linux-htb":
                lines.append(f"  burst: {queue.burst * 8}")
            if queue.priority and settings.type == "linux-htb":
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
        return "".join(f"QoS type: {type}\n" for type in TYPES)
