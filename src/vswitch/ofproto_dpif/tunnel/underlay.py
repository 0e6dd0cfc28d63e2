"""What carries tunnels: routes, neighbours and listeners, one of each for all bridges of a process.

`run` follows what changes outside (the host's routes and addresses, devices of bridges, aging) and says
when translations may come out differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from vswitch.base import coverage
from vswitch.base.vlog import Vlog
from vswitch.netdev.dummy import DummyNetdev
from vswitch.netdev.scope import Scope
from vswitch.netdev.tunnel_options import V4_MAPPED, is_v4
from vswitch.ofproto_dpif.tunnel.kernel_routes import KernelRoutes
from vswitch.ofproto_dpif.tunnel.listeners import Listeners, Listening
from vswitch.ofproto_dpif.tunnel.neighbours import NeighbourTable
from vswitch.ofproto_dpif.tunnel.routes import RouteTable
from vswitch.packet.compose import compose
from vswitch.packet.headers import Arp, Ethernet, Icmp, IPv6
from vswitch.vconn.poller import READ, Poller

log = Vlog("tunnel")

AGING_INTERVAL = 1000
"""How often (ms) old neighbours are looked for."""


underlay_changed = coverage.counter("tunnel_underlay_changed")
neighbours_asked = coverage.counter("tunnel_neighbour_asked")

ASK_INTERVAL = 1000
"""How often (ms) the same neighbour is asked for."""


def solicitation(mac: int, address: int, source: int) -> bytes:
    """An ARP request (RFC 826) or neighbour solicitation (RFC 4861 section 4.3) for `address`."""
    if is_v4(address):
        sender, wanted = source & 0xFFFFFFFF, address & 0xFFFFFFFF
        return compose(Ethernet(0xFFFFFFFFFFFF, mac), Arp(1, mac, sender, 0, wanted))
    target = address.to_bytes(16, "big")
    # The solicited-node multicast address of RFC 4291 section 2.7.1, and its Ethernet address.
    group = bytes.fromhex("ff0200000000000000000001ff") + target[13:]
    return compose(
        Ethernet(0x3333 << 32 | int.from_bytes(group[12:], "big"), mac),
        IPv6(source.to_bytes(16, "big"), group, hlimit=255),
        Icmp(135),
        payload=target + bytes((1, 1)) + mac.to_bytes(6, "big"),
    )


@final
class Underlay:
    """`follow_kernel` starts following the host; a switch in memory has only what commands set."""

    def __init__(self, scope: Scope) -> None:
        self.scope: Scope = scope
        self.routes: RouteTable = RouteTable(self.addresses)
        self.neighbours: NeighbourTable = NeighbourTable()
        self.listeners: Listeners = Listeners()
        self.source_ports: tuple[int, int] = (32768, 61000)
        """The range of outer packets' UDP source ports."""
        self.listening: list[tuple[Listening, int]] = []
        """What tunnels listen for, in the order in which it began, and how many interfaces share it."""
        self.kernel: KernelRoutes | None = None
        self.route_changes: int = 0
        """Goes up when routes of tunnels change, and so what their interfaces leave by."""
        self._news: bool = True
        """Whether the host's routes and addresses may be others than those that were read."""
        self._next_aging: int = 0
        self._asked: dict[tuple[str, int], int] = {}
        """(bridge, address) -> clock ms of the last question."""
        self._questions: list[tuple[str, bytes]] = []

    def follow_kernel(self, poller: Poller) -> None:
        """Take the host's routes into the table, and know the addresses of its devices; `poller` has it
        notice when they change."""
        try:
            self.kernel = KernelRoutes()
        except OSError as e:
            log.warn("the host's routes are not known: %s", e)
            return
        poller.watch(self.kernel.fileno(), READ, self)

    def close(self, poller: Poller) -> None:
        """Let go of the host's routes."""
        if self.kernel is not None:
            poller.forget(self.kernel.fileno())
            self.kernel.close()
            self.kernel = None

    def ready(self) -> None:
        """The kernel has news (`Poller`)."""
        self._news = True

    def addresses(self, device: str) -> Sequence[tuple[int, int]]:
        """The IP addresses of a device, each with its prefix length (of 128 bits)."""
        netdev = self.scope.find(device)
        if isinstance(netdev, DummyNetdev):
            return [
                (int(a.ip) | V4_MAPPED, a.network.prefixlen + 96) if a.version == 4
                else (int(a.ip), a.network.prefixlen)
                for a in netdev.addresses
            ]  # fmt: skip
        return self.kernel.addresses.get(device, []) if self.kernel is not None else []

    def has_address(self, device: str) -> bool:
        """Whether a device has an IP address: only then can outer packets be for it."""
        return bool(self.addresses(device))

    def listen(self, listening: Listening) -> None:
        """One more interface listens."""
        for i, (it, n) in enumerate(self.listening):
            if it == listening:
                self.listening[i] = (it, n + 1)
                return
        self.listening.append((listening, 1))

    def unlisten(self, listening: Listening) -> None:
        """One interface less."""
        for i, (it, n) in enumerate(self.listening):
            if it == listening:
                if n > 1:
                    self.listening[i] = (it, n - 1)
                else:
                    del self.listening[i]
                return

    def ask(self, bridge: str, mac: int, address: int, source: int, now: int) -> None:
        """Someone wants to know who has `address`, of whom looks from `bridge` (its address `mac`) as
        `source`. He is asked at most once a second."""
        key = (bridge, address)
        if now - self._asked.get(key, now - ASK_INTERVAL) >= ASK_INTERVAL:
            self._asked[key] = now
            neighbours_asked.inc()
            self._questions.append((bridge, solicitation(mac, address, source)))

    def take_questions(self, now: int) -> list[tuple[str, bytes]]:
        """The ARP requests and neighbour solicitations to be sent: bridge, packet."""
        questions, self._questions = self._questions, []
        return questions

    def run(self, now: int) -> bool:
        """Follow what changed. Whether translations of packets in tunnels may be different now."""
        kernel = self.kernel
        if kernel is not None and self._news:
            self._news = False
            if kernel.run():
                self.routes.set_kernel(kernel.routes)
        if now >= self._next_aging:
            self._next_aging = now + AGING_INTERVAL
            self.neighbours.expire(now)
            self._asked = {key: at for key, at in self._asked.items() if now - at < ASK_INTERVAL}
        changed = self.rebuild() if self.listening or self.listeners.rules else False
        if self.routes.changed:
            underlay_changed.inc()
            self.route_changes += 1
        changed = changed or self.routes.changed or self.neighbours.changed
        self.routes.changed = False
        self.neighbours.changed = False
        return changed

    def rebuild(self) -> bool:
        """Bring the listeners up to date. Only devices of this process's bridges can have any."""
        devices: list[tuple[int, int]] = []
        for name in self.routes.devices():
            netdev = self.scope.find(name)
            if netdev is not None:
                mac = netdev.mac()
                devices += [(mac, address) for address, _ in self.addresses(name)]
        return self.listeners.rebuild([it for it, _ in self.listening], devices)

    def wakeup(self, now: int) -> int:
        """Clock ms of the next look at the neighbours' ages."""
        return self._next_aging if self.neighbours.entries else now + 3_600_000
