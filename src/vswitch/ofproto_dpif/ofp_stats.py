"""Counters of a bridge's ports and queues as OpenFlow gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from vswitch.dpif.types import DpifError
from vswitch.netdev.scope import Scope
from vswitch.openflow.messages.port import RFC2819, UNKNOWN, CustomStat, PortStats
from vswitch.openflow.messages.queue import QueueConfig, QueueStats

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.xlate.bridge import XPort

NAMES: Final = {
    **{name: name for name in (
        "rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_dropped", "tx_dropped", "rx_errors",
        "tx_errors", "collisions",
    )},
    "rx_frame_err": "rx_frame_errors", "rx_over_err": "rx_over_errors", "rx_crc_err": "rx_crc_errors",
}  # fmt: skip
"""OpenFlow's name of each counter -> a device's."""
UNKNOWN_TIME: Final = 0xFFFFFFFF
N_RFC2819: Final = 21
_UNTOLD: Final = RFC2819((UNKNOWN,) * N_RFC2819)
"""Open vSwitch sends its property in 1.4 and later even if the device tells nothing of it."""


PortQueues = Callable[[str], dict[int, tuple[int, int, int, int]]]
"""Device -> its queues: number -> (packets, bytes, errors, ms since it was made)."""


class CountedDatapath(Protocol):
    """What is asked of a datapath here."""

    @property
    def scope(self) -> Scope:
        """Where the devices of its ports are open."""


class CountedBridge(Protocol):
    """What is asked of a bridge here."""

    ports: dict[int, XPort]

    @property
    def backer(self) -> CountedDatapath:
        """Its datapath."""

    @property
    def port_queues(self) -> PortQueues | None:
        """Set by who configures quality of service."""

    def port_stats(self, port: XPort) -> dict[str, int]:
        """The counters of a port."""

    def now(self) -> int:
        """Clock ms."""


def port_stats(ofproto: CountedBridge, number: int) -> PortStats | None:
    """What port `number` counted; None if there is no such port, or its device is gone."""
    port = ofproto.ports.get(number)
    if port is None or port.up is None:
        return None
    try:
        counters = ofproto.port_stats(port)
    except DpifError:
        return None
    seconds, rest = divmod(max(ofproto.now() - port.up.created, 0), 1000)
    netdev = ofproto.backer.scope.find(port.name)
    counted = netdev.counted if netdev is not None else None
    known: dict[str, Any] = {
        told: counters.get(name, UNKNOWN) if counted is None or name in counted else UNKNOWN
        for told, name in NAMES.items()
    }
    own = netdev.custom_stats() if netdev is not None else {}
    custom = tuple(CustomStat(name, value) for name, value in own.items())
    return PortStats(
        number, **known, duration_sec=seconds, duration_nsec=rest * 1_000_000, rfc2819=_UNTOLD,
        custom=custom,
    )


def queues(ofproto: CountedBridge, number: int) -> list[QueueConfig]:
    """The queues of a port: those that its device has anyway, else those of its QoS. As from Open vSwitch,
    without rates."""
    port = ofproto.ports.get(number)
    if port is None:
        return []
    netdev = ofproto.backer.scope.find(port.name)
    if netdev is not None and netdev.queues:
        return [QueueConfig(number, queue) for queue in range(netdev.queues)]
    port_queues = ofproto.port_queues
    return [] if port_queues is None else [QueueConfig(number, queue) for queue in port_queues(port.name)]


def queue_stats(ofproto: CountedBridge, number: int) -> list[QueueStats]:
    """What the queues of a port counted."""
    port = ofproto.ports.get(number)
    port_queues = ofproto.port_queues
    if port is not None and port_queues is not None:
        told = [
            QueueStats(number, queue, n_bytes, n_packets, errors, age // 1000, age % 1000 * 1_000_000)
            for queue, (n_packets, n_bytes, errors, age) in port_queues(port.name).items()
        ]
        if told:
            return told
    return [
        QueueStats(number, config.queue_id, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN_TIME, UNKNOWN_TIME)
        for config in queues(ofproto, number)
    ]
