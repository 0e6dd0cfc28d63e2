"""Quality of service of ports: rows of QoS and Queue as Linux traffic control.

One class a queue under a root class of the port's whole rate, numbered as the datapath numbers
priorities: queue n is class 1:(n+1) (tc-htb(8); ovs-vswitchd.conf.db(5), tables QoS and Queue). What
comes without a queue is in queue 0. Types without classes have keys of their own (`CLASSLESS`). The datapath
itself polices what leaves by a port of a type in `POLICERS` (`qos_policer.py`).
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Mapping
from typing import Final, final
from uuid import UUID

from vswitch.base.clock import Clock
from vswitch.base.records import dataclass, field
from vswitch.base.vlog import Vlog
from vswitch.bridge import tc
from vswitch.bridge.columns import unsigned
from vswitch.bridge.idl import Idl, Row
from vswitch.bridge.qos_policer import POLICERS, BadPolicer, egress_policing, shown
from vswitch.bridge.unsupported import Unsupported
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import EgressPolicing
from vswitch.netdev.registry import kind
from vswitch.netdev.scope import Scope
from vswitch.netlink.errors import NlError
from vswitch.ofproto_dpif.ports.device import device_info, link_rate
from vswitch.ofproto_dpif.xlate.bridge import XPort

log = Vlog("bridge")

LEFT_ALONE: Final = ("", "linux-noop")
"""Types with which the port's queues are somebody else's business."""
DEFAULT_RATE: Final = 10_000_000_000
"""bit/s of a port for which nothing else is said, neither by its device."""
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
    mtu: int = 0
    """Bytes: what the whole may send at once."""


Keys = tuple[tuple[str, int], ...]
"""Key -> its default; 0 for one that depends on the MTU."""
CLASSFUL: Final = ("linux-htb", "linux-hfsc")
CLASSLESS: Final[Mapping[str, Keys]] = {
    "linux-sfq": (("quantum", 0), ("perturb", 10)),
    "linux-codel": (("limit", 10240), ("interval", 100_000), ("target", 5000)),
    "linux-fq_codel": (
        ("limit", 10240), ("quantum", 0), ("flows", 1024), ("interval", 1_000_000), ("target", 5000)
    ),
    "linux-netem": (("limit", 1000), ("loss", 0), ("latency", 0), ("jitter", 0)),
}  # fmt: skip
"""The types without queues, with the defaults that Open vSwitch 3.1 has; times in microseconds, but for
`perturb` (seconds)."""
ETHERNET_HEADER: Final = 14


def qos_settings(row: Row, mtu: int, link: int) -> QosSettings:
    """What a row of QoS asks for, on a device with that MTU and link rate in bit/s."""
    if row.type in CLASSLESS:
        details = []
        for key, default in CLASSLESS[row.type]:
            if not default and key == "quantum":
                default = mtu + (ETHERNET_HEADER if row.type == "linux-fq_codel" else 0)
            details.append((key, unsigned(row.other_config, key, default) & tc.MAX32 or default))
        return QosSettings(row.type, details=tuple(details))
    whole = _whole_bytes(unsigned(row.other_config, "max-rate", 0)) or link
    queues: dict[int, QueueSettings] = {}
    for number, queue in {0: None, **row.queues}.items():
        other = queue.other_config if queue is not None else {}
        least = mtu * 8 if row.type == "linux-htb" else 8
        min_rate = min(max(_whole_bytes(unsigned(other, "min-rate", 0)), least), whole)
        # As little as there can be, if HFSC is told 0; HTB takes that for nothing said.
        asked = unsigned(other, "max-rate", whole) or (0 if row.type == "linux-hfsc" else whole)
        max_rate = min(max(_whole_bytes(asked), min_rate), whole)
        burst = max(unsigned(other, "burst", 0) // 8 & tc.MAX32, mtu + HEADERS)
        queues[number] = QueueSettings(
            min_rate, max_rate, burst, unsigned(other, "priority", 0) & tc.MAX32
        )
    return QosSettings(row.type, whole, queues, mtu=mtu)


def _whole_bytes(rate: int) -> int:
    """What of a rate in bit/s the kernel, which has bytes, can be told."""
    return rate // 8 * 8


TYPES: Final = ("linux-netem", "linux-fq_codel", "linux-codel", "linux-hfsc", "linux-noop", "linux-sfq",
                "linux-htb")  # fmt: skip
"""In the order in which Open vSwitch lists them."""


def _add(ifindex: int, settings: QosSettings) -> None:
    """Give a device, which has its default discipline, the one that `settings` ask for. NlError."""
    value = dict(settings.details)
    if settings.type == "linux-htb":
        tc.add_htb(ifindex, settings.max_rate, settings.mtu)
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
        options = tc.netem_options(value["latency"], value["limit"], value["loss"], value["jitter"])
        tc.add_root(ifindex, "netem", options)


@dataclass(frozen=True)
class QosPort:
    """An interface whose port has a row of QoS. `type` is Interface.type; `dpif` is where it is `port`, and
    `scope` is where its device is open."""

    name: str
    type: str
    row: UUID
    dpif: Dpif
    port: XPort
    scope: Scope


@final
class Qos:
    """The disciplines and policers of all interfaces, as they were last set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._set: dict[str, QosSettings] = {}
        self._policed: dict[str, tuple[QosPort, str, EgressPolicing]] = {}
        self._refused: dict[str, str] = {}
        """Interface -> why its policer can't be: said once."""
        self._since: dict[str, int] = {}
        """Clock ms at which an interface's queues were made."""

    def configure(self, idl: Idl, wanted: Iterable[QosPort], unsupported: Unsupported) -> None:
        """`wanted`: every interface of every bridge whose port has a row of QoS."""
        queued: dict[str, QosSettings] = {}
        policed: set[str] = set()
        for port in wanted:
            name, row = port.name, idl.row("QoS", port.row)
            if row is None or row.type in LEFT_ALONE:
                continue
            unsupported.look_at(f"QoS of interface {name}", "QoS", row)
            for number, queue in row.queues.items():
                unsupported.look_at(f"queue {number} of interface {name}", "Queue", queue)
            if row.type in POLICERS:
                if self._police(port, row, unsupported):
                    policed.add(name)
            elif row.type in CLASSFUL or row.type in CLASSLESS:
                if not kind(port.type).has_queues:
                    # Open vSwitch says nothing either: QoS is often set for all ports of a bridge.
                    log.dbg("interface %s: no %s QoS: %s devices have no queues", name, row.type, port.type)
                    continue
                mtu = device_info(port.scope, name, port.type).mtu
                queued[name] = qos_settings(row, mtu, link_rate(port.scope, name, port.type) or DEFAULT_RATE)
        for name in self._policed.keys() - policed:
            self._let_out(name)
        for name in self._set.keys() - queued.keys():
            self._remove(name)
        for name, settings in queued.items():
            if self._set.get(name) != settings:
                self._apply(name, settings)

    def _police(self, port: QosPort, row: Row, unsupported: Unsupported) -> bool:
        """Have the datapath police what leaves by `port` as `row` asks; whether it does."""
        if not kind(port.type).has_device or not port.dpif.polices_egress():
            unsupported.warn(f"interface {port.name}", "qos:type", row.type,
                             "only the userspace datapath polices what leaves")  # fmt: skip
            return False
        try:
            asked = (port, row.type, egress_policing(row))
            if self._policed.get(port.name) != asked:
                port.dpif.set_egress_policing(port.port.odp_port, asked[2])
                self._policed[port.name] = asked
                self._since[port.name] = self._clock.now()
        except (BadPolicer, OSError) as e:
            why = str(e) if isinstance(e, BadPolicer) else os.strerror(e.errno or 0)
            if self._refused.get(port.name) != why:
                log.warn("interface %s: could not set %s QoS (%s)", port.name, row.type, why)
            self._refused[port.name] = why
            return False
        self._refused.pop(port.name, None)
        return True

    def _let_out(self, name: str) -> None:
        port = self._policed.pop(name)[0]
        try:
            port.dpif.set_egress_policing(port.port.odp_port, None)
        except OSError:
            # The port has gone, and its policer with it.
            return

    def _apply(self, name: str, settings: QosSettings) -> None:
        try:
            ifindex = socket.if_nametoindex(name)
            tc.delete_root(ifindex)
            _add(ifindex, settings)
        except OSError as e:
            why = os.strerror(e.errno or 0)
            if isinstance(e, NlError) and e.detail:
                why += f": {e.detail}"
            log.warn("interface %s: could not set %s QoS (%s)", name, settings.type, why)
            self._set.pop(name, None)
            return
        self._set[name] = settings
        self._since[name] = self._clock.now()

    def queues(self, name: str) -> dict[int, tuple[int, int, int, int]]:
        """The queues of an interface: number -> (packets, bytes, drops, ms since it was made)."""
        if name in self._policed:
            port = self._policed[name][0]
            age = max(self._clock.now() - self._since[name], 0)
            return {
                number: (queue.packets, queue.bytes, queue.dropped, age)
                for number, queue in sorted(port.dpif.egress_queues(port.port.odp_port).items())
            }
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
        if name in self._policed:
            port, type, policing = self._policed[name]
            told = shown(type, policing, port.dpif.egress_queues(port.port.odp_port))
            return f"QoS: {name} {type}\n{told}"
        settings = self._set.get(name)
        if settings is None:
            return f"QoS not configured on {name}\n"
        try:
            counters = tc.class_stats(socket.if_nametoindex(name))
        except OSError:
            counters = {}
        if settings.details:
            # A delay that does not vary is shown as before there was such a key.
            words = (
                f"{key}: {value}\n" for key, value in settings.details if (key, value) != ("jitter", 0)
            )
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
            lines.append(f"  min-rate: {queue.min_rate}")
            if queue.max_rate != queue.min_rate:
                lines.append(f"  max-rate: {queue.max_rate}")
            lines += [f"  tx_packets: {n_packets}", f"  tx_bytes: {n_bytes}", f"  tx_errors: {n_errors}"]
            text += "\n" + "".join(f"{line}\n" for line in lines)
        return text

    def show_types(self, name: str, policers: bool) -> str:
        """The text of `qos/show-types`. `policers`: the interface's datapath has them."""
        types: list[str] = []
        with contextlib.suppress(OSError):
            socket.if_nametoindex(name)
            types += TYPES
        if policers:
            types += POLICERS
        if not types:
            return f"No QoS types supported for interface: {name}\n"
        return "".join(f"QoS type: {type}\n" for type in types)
