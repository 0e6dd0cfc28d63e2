"""Who is next to a bridge: IP address -> Ethernet address, learned from ARP and neighbour discovery.

Entries are learned from answers that reach a bridge's local port (RFC 826; RFC 4861 section 7.2) and from
the source of packets out of tunnels; they age, and packets to an address refresh it.
"""

from __future__ import annotations

from typing import Final, final

from vswitch.flow.values import format_mac
from vswitch.netdev.tunnel_options import format_address

DEFAULT_AGING: Final = 900
MAX_AGING: Final = 3600
"""Seconds."""
_HEADING: Final = "IP                                            MAC                 Bridge\n" + 74 * "="


@final
class Neighbour:
    """One entry; `expires`: clock ms."""

    def __init__(self, bridge: str, address: int, mac: int, expires: int) -> None:
        self.bridge: str = bridge
        self.address: int = address
        self.mac: int = mac
        self.expires: int = expires


@final
class NeighbourTable:
    """All entries. `changed` is set when a translation may come out differently."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, int], Neighbour] = {}
        self.aging: int = DEFAULT_AGING
        self.changed: bool = False

    def set(self, bridge: str, address: int, mac: int, now: int, aging: int | None = None) -> None:
        """Learn or refresh."""
        expires = now + 1000 * (self.aging if aging is None else aging)
        entry = self.entries.get((bridge, address))
        if entry is None or entry.expires <= now:
            self.entries.pop((bridge, address), None)
            self.entries[bridge, address] = Neighbour(bridge, address, mac, expires)
            self.changed = True
            return
        if entry.mac != mac:
            entry.mac = mac
            self.changed = True
        entry.expires = expires

    def lookup(self, bridge: str, address: int, now: int) -> int | None:
        """The Ethernet address; None if it is not known."""
        entry = self.entries.get((bridge, address))
        return entry.mac if entry is not None and entry.expires > now else None

    def refresh(self, bridge: str, address: int, now: int) -> None:
        """Packets went to `address`."""
        entry = self.entries.get((bridge, address))
        if entry is not None and entry.expires > now:
            entry.expires = now + 1000 * self.aging

    def flush(self, bridge: str | None = None) -> None:
        """Forget all, or those of a bridge."""
        kept = {} if bridge is None else {k: e for k, e in self.entries.items() if e.bridge != bridge}
        self.changed = self.changed or len(kept) != len(self.entries)
        self.entries = kept

    def expire(self, now: int) -> None:
        """Forget what is too old."""
        old = [key for key, entry in self.entries.items() if entry.expires <= now]
        for key in old:
            del self.entries[key]
        self.changed = self.changed or bool(old)

    def show(self, now: int) -> str:
        """`tnl/neigh/show`, the newest first."""
        lines = [_HEADING]
        for entry in reversed(self.entries.values()):
            stale = " STALE" if entry.expires <= now else ""
            address = f"{format_address(entry.address):<46}"
            lines.append(f"{address}{format_mac(entry.mac)}   {entry.bridge}{stale}")
        return "\n".join(lines)
