"""Ports as OpenFlow describes them, and the numbers that they get."""

from __future__ import annotations

from collections.abc import Container
from typing import final

from vswitch.openflow.constants import (
    OFPP_ALL,
    OFPP_CONTROLLER,
    OFPP_FLOOD,
    OFPP_IN_PORT,
    OFPP_LOCAL,
    OFPP_MAX,
    OFPP_NONE,
    OFPP_NORMAL,
    OFPP_TABLE,
    OFPPC_NO_FLOOD,
    OFPPC_NO_FWD,
    OFPPC_NO_PACKET_IN,
    OFPPC_NO_RECV,
    OFPPC_PORT_DOWN,
    OFPPS_BLOCKED,
    OFPPS_LINK_DOWN,
    OFPPS_LIVE,
)
from vswitch.openflow.messages.port import Port

__all__ = [
    "OFPPC_NO_FLOOD",
    "OFPPC_NO_FWD",
    "OFPPC_NO_PACKET_IN",
    "OFPPC_NO_RECV",
    "OFPPC_PORT_DOWN",
    "OFPPS_BLOCKED",
    "OFPPS_LINK_DOWN",
    "OFPPS_LIVE",
    "OFPP_ALL",
    "OFPP_CONTROLLER",
    "OFPP_FLOOD",
    "OFPP_IN_PORT",
    "OFPP_LOCAL",
    "OFPP_MAX",
    "OFPP_NONE",
    "OFPP_NORMAL",
    "OFPP_TABLE",
    "OfPort",
    "PortNumbers",
    "describe",
]


@final
class OfPort:
    """A port: `ofp_port` its OpenFlow number, `config` OFPPC_* bits (what a controller wants),
    `state` OFPPS_* bits (what is), `features` OFPPF_* maps by kind ("current"...)."""

    def __init__(self, ofp_port: int, name: str, mac: int = 0) -> None:
        self.ofp_port: int = ofp_port
        self.name: str = name
        self.mac: int = mac
        self.config: int = 0
        self.state: int = 0
        self.mtu: int = 1500
        self.features: dict[str, int] = {}
        self.told_live: bool = False
        """Whether controllers were told last that it is live."""
        self.told: Port | None = None
        """What controllers were told last."""
        self.created: int = 0
        """Clock ms."""

    @property
    def up(self) -> bool:
        """Whether the port is up for the controller and has a link."""
        return not self.config & OFPPC_PORT_DOWN and not self.state & OFPPS_LINK_DOWN

    def may_receive(self, stp_packet: bool = False) -> bool:
        """Whether packets that come in here are processed."""
        return not self.config & OFPPC_NO_RECV or stp_packet

    def __repr__(self) -> str:
        return f"OfPort({self.ofp_port}, {self.name})"


def describe(port: OfPort, live: bool = True) -> Port:
    """`port` as messages tell it; `live`: a fast-failover group would use it."""
    features = port.features
    return Port(
        port.ofp_port, port.mac, port.name, port.config, port.state | (OFPPS_LIVE if live else 0),
        features.get("current", 0), features.get("advertised", 0), features.get("supported", 0),
        features.get("peer", 0), features.get("current_speed", 0), features.get("max_speed", 0),
    )  # fmt: skip


@final
class PortNumbers:
    """Gives out OpenFlow port numbers 1..max_ports-1, each as late as possible again.

    A number that was given back lately may still be meant by a controller's flows, so the
    search goes on from the last one given out and passes by numbers that were ever in use; when
    there is no other, the one that was given out longest ago is next.
    """

    def __init__(self, max_ports: int = OFPP_MAX) -> None:
        self.max_ports: int = min(max_ports, OFPP_MAX)
        self.last: int = 0
        self._given: dict[int, None] = {}
        """Every number ever given out, the longest ago first."""

    def alloc(self, taken: Container[int], wanted: int | None = None) -> int | None:
        """A number that is not in `taken`: `wanted` if it is valid and free. None: all are taken."""
        if wanted is not None and 0 < wanted < self.max_ports and wanted not in taken:
            return self._give(wanted)
        limit = self.max_ports
        number = self.last
        for _ in range(limit):
            number = number + 1 if number + 1 < limit else 1
            if number not in taken and number not in self._given:
                self.last = number
                return self._give(number)
        for number in self._given:
            if number not in taken:
                return self._give(number)
        return None

    def take_back(self, number: int) -> None:
        """The port that `number` was given out for never came to be: it is as good as never used."""
        self._given.pop(number, None)
        if self.last == number:
            self.last -= 1

    def _give(self, number: int) -> int:
        self._given.pop(number, None)
        self._given[number] = None
        return number
