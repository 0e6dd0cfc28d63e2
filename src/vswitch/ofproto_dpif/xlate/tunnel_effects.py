"""What packets of tunnels leave behind: neighbours learned, refreshed and asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from vswitch.netdev.tunnel_options import format_address
from vswitch.ofproto_dpif.xlate.effects import CreditedEffect

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.tunnel.underlay import Underlay
    from vswitch.ofproto_dpif.xlate.bridge import XPort


@final
class LearnNeighbour(CreditedEffect):
    """`address` has Ethernet address `mac`, seen from `bridge`."""

    def __init__(self, underlay: Underlay, bridge: str, address: int, mac: int) -> None:
        self.underlay = underlay
        self.bridge: str = bridge
        self.address: int = address
        self.mac: int = mac

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        self.underlay.neighbours.set(self.bridge, self.address, self.mac, now)

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, LearnNeighbour) and self.bridge == other.bridge
            and self.address == other.address and self.mac == other.mac
        )

    def __repr__(self) -> str:
        return f"LearnNeighbour({self.bridge}, {format_address(self.address)}, {self.mac:012x})"


@final
class RefreshNeighbour(CreditedEffect):
    """Packets went to `address` from `bridge`."""

    def __init__(self, underlay: Underlay, bridge: str, address: int) -> None:
        self.underlay = underlay
        self.bridge: str = bridge
        self.address: int = address

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        if n_packets:
            self.underlay.neighbours.refresh(self.bridge, self.address, now)

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, RefreshNeighbour) and self.bridge == other.bridge
            and self.address == other.address
        )

    def __repr__(self) -> str:
        return f"RefreshNeighbour({self.bridge}, {format_address(self.address)})"


@final
class AskForNeighbour(CreditedEffect):
    """Packets wait for the Ethernet address of `address`, whom `port` (a bridge's) leads to from
    `source`. As long as there are packets it is asked for again, once a second."""

    def __init__(self, underlay: Underlay, port: XPort, address: int, source: int) -> None:
        self.underlay = underlay
        self.port: XPort = port
        self.address: int = address
        self.source: int = source

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        mac = self.port.up.mac if self.port.up is not None else 0
        self.underlay.ask(self.port.bridge.name, mac, self.address, self.source, now)

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, AskForNeighbour) and self.port is other.port and self.address == other.address
            and self.source == other.source
        )

    def __repr__(self) -> str:
        return f"AskForNeighbour({self.port.name}, {format_address(self.address)})"
