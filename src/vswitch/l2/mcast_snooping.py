"""The multicast snooping table: at which ports a group is wanted, and where routers are (RFC 4541).

State only: the time comes in as `now` (clock ms). Changes are reported by return values; the caller lets
what depends on the table be looked at again. Ports are whatever the caller has for them.
"""

from __future__ import annotations

from typing import Any, Final, final

from vswitch.base import coverage

DEFAULT_IDLE: Final = 300
"""Seconds until a port that nobody renews leaves its group."""
ROUTER_IDLE: Final = 180
"""Seconds until a router that asks no more is forgotten."""
DEFAULT_MAX: Final = 2048

mcast_learned = coverage.counter("mcast_snooping_learned")
mcast_expired = coverage.counter("mcast_snooping_expired")
mcast_evicted = coverage.counter("mcast_snooping_evicted")

Key = tuple[int, bool, int]
"""VLAN, whether the address is of IPv6, address."""


@final
class Group:
    """One group in one VLAN."""

    def __init__(self, vlan: int, ipv6: bool, address: int) -> None:
        self.vlan = vlan
        self.ipv6 = ipv6
        self.address = address
        self.protocol = ""
        """Of the last report: "IGMPv2", "MLDv1"..."""
        self.ports: dict[Any, int] = {}
        """Port -> clock ms at which it was last asked for there, the longest ago first. A group that the
        last one has left is known until its turn to expire comes: until then it isn't flooded."""


@final
class McastSnooping:
    """At most `max_entries` groups; when there are more, the one that was renewed longest ago goes."""

    def __init__(self) -> None:
        self.idle: int = DEFAULT_IDLE
        self.max_entries: int = DEFAULT_MAX
        self.flood_unregistered: bool = True
        self.flood_ports: dict[Any, None] = {}
        """Ports that get every multicast packet."""
        self.report_ports: dict[Any, None] = {}
        """Ports that get every report."""
        self._groups: dict[Key, Group] = {}
        self._routers: dict[tuple[int, Any], int] = {}

    # Questions.

    def lookup(self, vlan: int, ipv6: bool, address: int) -> Group | None:
        """The group with an address."""
        return self._groups.get((vlan, ipv6, address))

    def groups(self) -> list[Group]:
        """All groups, the one that was renewed longest ago first."""
        return list(self._groups.values())

    def routers(self, vlan: int) -> list[Any]:
        """The ports of a VLAN at which routers are."""
        return [port for v, port in self._routers if v == vlan]

    def all_routers(self) -> list[tuple[int, Any, int]]:
        """(VLAN, port, clock ms of the last query) of all routers."""
        return [(vlan, port, used) for (vlan, port), used in self._routers.items()]

    # Changes.

    def join(self, vlan: int, ipv6: bool, address: int, port: Any, protocol: str, now: int) -> bool:
        """The group is wanted at `port`; whether that is news."""
        if address in (0, 0xFFFFFFFF) or (not ipv6 and address >> 28 != 0xE):
            return False
        if (vlan, port) in self._routers or port in self.flood_ports:
            # It gets the group's packets anyway, and not twice.
            return False
        key = (vlan, ipv6, address)
        group = self._groups.pop(key, None)
        news = group is None or port not in group.ports
        if group is None:
            while len(self._groups) >= self.max_entries:
                self._groups.pop(next(iter(self._groups)))
                mcast_evicted.inc()
            group = Group(vlan, ipv6, address)
            mcast_learned.inc()
        self._groups[key] = group
        group.protocol = protocol
        group.ports.pop(port, None)
        group.ports[port] = now
        return news

    def leave(self, vlan: int, ipv6: bool, address: int, port: Any) -> bool:
        """The group is no longer wanted by somebody at `port`; whether that is news. A port that gets all
        reports usually leads to several hosts: there the others' silence is waited for."""
        if port in self.report_ports:
            return False
        key = (vlan, ipv6, address)
        group = self._groups.get(key)
        if group is None or port not in group.ports:
            return False
        del group.ports[port]
        return True

    def add_router(self, vlan: int, port: Any, now: int) -> bool:
        """A router asked at `port`; whether that is news."""
        news = self._routers.pop((vlan, port), None) is None
        self._routers[vlan, port] = now
        return news

    def set_flood(self, port: Any, everything: bool, reports: bool) -> bool:
        """Whether `port` gets all multicast packets, and all reports; whether that is news."""
        before = (port in self.flood_ports, port in self.report_ports)
        for ports, wanted in ((self.flood_ports, everything), (self.report_ports, reports)):
            if wanted:
                ports[port] = None
            else:
                ports.pop(port, None)
        return before != (everything, reports)

    def forget_port(self, port: Any) -> bool:
        """`port` has gone, or carries other VLANs: forget what was learned there. Whether there was
        something."""
        found = False
        for key, group in list(self._groups.items()):
            if group.ports.pop(port, None) is not None:
                found = True
                if not group.ports:
                    del self._groups[key]
        for at in [at for at in self._routers if at[1] is port]:
            del self._routers[at]
            found = True
        return found

    def flush(self) -> bool:
        """Forget all groups and routers; whether there were any."""
        found = bool(self._groups or self._routers)
        self._groups.clear()
        self._routers.clear()
        return found

    def set_max_entries(self, max_entries: int) -> bool:
        """Change the limit; whether groups had to go."""
        self.max_entries = max_entries
        evicted = False
        while len(self._groups) > max_entries:
            self._groups.pop(next(iter(self._groups)))
            mcast_evicted.inc()
            evicted = True
        return evicted

    def expire(self, now: int) -> bool:
        """Forget what was not renewed in time; whether there was something. Times count in whole seconds."""
        second = now // 1000
        found = False
        for key, group in list(self._groups.items()):
            for port, used in list(group.ports.items()):
                if used // 1000 + self.idle > second:
                    break
                del group.ports[port]
                mcast_expired.inc()
                found = True
            if group.ports:
                break
            del self._groups[key]
            found = True
        for at, used in list(self._routers.items()):
            if used // 1000 + ROUTER_IDLE > second:
                break
            del self._routers[at]
            found = True
        return found
