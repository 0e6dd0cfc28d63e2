"""Packets that the switch itself makes and eats, which no device counts.

A packet that the switch makes (LACP, CFM, a controller's packet-out to the local port) leaves
through a device without having come in anywhere, and one that it eats came in and went nowhere.
To whoever reads the counters of the local port both passed through it.
"""

from __future__ import annotations

from typing import final


@final
class SwitchStats:
    """`rx`: what the switch ate; `tx`: what it made."""

    def __init__(self) -> None:
        self.rx_packets: int = 0
        self.rx_bytes: int = 0
        self.tx_packets: int = 0
        self.tx_bytes: int = 0

    def made(self, n_bytes: int) -> None:
        """The switch sent a packet of its own."""
        self.tx_packets += 1
        self.tx_bytes += n_bytes

    def eaten(self, n_packets: int, n_bytes: int) -> None:
        """The switch consumed packets."""
        self.rx_packets += n_packets
        self.rx_bytes += n_bytes

    def add_to_local(self, stats: dict[str, int]) -> None:
        """Correct the local port's device counters: what the switch made, it received from the
        local port; what it ate, it sent there."""
        stats["rx_packets"] += self.tx_packets
        stats["rx_bytes"] += self.tx_bytes
        stats["tx_packets"] += self.rx_packets
        stats["tx_bytes"] += self.rx_bytes
