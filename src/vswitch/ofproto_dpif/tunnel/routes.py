"""The route table of the switch: the host's routes and those that `ovs/route/add` made.

A route leads to a device, which is a bridge's local port if the outer packets are to leave by that bridge.
The longest prefix wins; a route that an operator added counts as 32 bits longer than it is, an address of
the host's own as 64. Addresses are 128-bit numbers, IPv4 ones mapped, and prefix lengths count those bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import final

from vswitch.base.records import dataclass
from vswitch.netdev.tunnel_options import format_address, is_v4, parse_address

Addresses = Callable[[str], Iterable[tuple[int, int]]]
"""Device -> its (address, prefix length) pairs."""


@dataclass(frozen=True)
class Route:
    """A way: `prefix` with its bits beyond `plen` 0, to `dev`, over gateway `gw` if not 0. `src` is what
    packets that go there have as source; `local`: the address is the host's own."""

    prefix: int
    plen: int
    dev: str
    gw: int = 0
    src: int = 0
    mark: int = 0
    local: bool = False
    user: bool = False

    @property
    def priority(self) -> int:
        """Which of the routes that match counts: the highest."""
        return self.plen + (64 if self.local else 32 if self.user else 0)

    def matches(self, address: int, mark: int) -> bool:
        """Whether `address` lies in the prefix, for packets of `mark`."""
        return self.mark == mark and masked(address, self.plen) == self.prefix

    @property
    def shown_plen(self) -> int:
        """The prefix length of the address's own family."""
        return self.plen - 96 if is_v4(self.prefix) and self.plen >= 96 else self.plen

    def to_json(self) -> dict[str, object]:
        """The route as `ovs/route/show` gives it in JSON."""
        hop = {"dev": self.dev, **({"gateway": format_address(self.gw)} if self.gw else {})}
        return {
            "dst": format_address(self.prefix),
            "prefix": self.shown_plen,
            "prefsrc": format_address(self.src),
            "nexthops": [hop],
            "priority": self.priority,
            "local": self.local,
            "user": self.user,
            **({"mark": self.mark} if self.mark else {}),
        }

    def show(self) -> str:
        """A line of `ovs/route/show`."""
        text = f"{'User' if self.user else 'Cached'}: {format_address(self.prefix)}/{self.shown_plen}"
        if self.mark:
            text += f" MARK {self.mark}"
        text += f" dev {self.dev}"
        if self.gw:
            text += f" GW {format_address(self.gw)}"
        return f"{text} SRC {format_address(self.src)}" + (" local" if self.local else "")


def masked(address: int, plen: int) -> int:
    """`address` without what follows its first `plen` bits."""
    return address >> (128 - plen) << (128 - plen)


def parse_prefix(text: str) -> tuple[int, int] | None:
    """"1.1.2.0/24" as (address, prefix length of 128 bits); None if it is none."""
    address_text, slash, plen_text = text.partition("/")
    address = parse_address(address_text)
    if address is None or (slash and not plen_text.isdigit()):
        return None
    bits = 32 if is_v4(address) else 128
    plen = int(plen_text) if slash else bits
    if plen > bits:
        return None
    return address, plen + 128 - bits


@final
class RouteTable:
    """All routes. `changed` is set by every change, and reset by whoever acts on it."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses: Addresses = addresses
        self.user: dict[tuple[int, int, int], Route] = {}
        self.kernel: list[Route] = []
        self.changed: bool = False
        self._devices: list[str] | None = None

    def source(self, device: str, towards: int) -> int | None:
        """The address that `device` has in the network of `towards`; None if it has none."""
        best = -1
        found: int | None = None
        for address, plen in self.addresses(device):
            near = is_v4(address) == is_v4(towards) and masked(address, plen) == masked(towards, plen)
            if near and plen > best:
                best, found = plen, address
        return found

    def add(self, prefix: int, plen: int, dev: str, gw: int = 0, mark: int = 0, src: int = 0) -> bool:
        """Add an operator's route, in place of one of the same prefix and mark. False: the device has no
        address in the gateway's (or the destination's) network."""
        source = src or self.source(dev, gw or prefix)
        if source is None:
            return False
        route = Route(masked(prefix, plen), plen, dev, gw, source, mark, user=True)
        self.user[route.prefix, plen, mark] = route
        self._touched()
        return True

    def delete(self, prefix: int, plen: int, mark: int) -> bool:
        """Take an operator's route away; False if there is none."""
        gone = self.user.pop((masked(prefix, plen), plen, mark), None)
        if gone is not None:
            self._touched()
        return gone is not None

    def set_kernel(self, routes: list[Route]) -> None:
        """The host's routes as they are now."""
        if routes != self.kernel:
            self.kernel = routes
            self._touched()

    def _touched(self) -> None:
        self.changed = True
        self._devices = None

    def lookup(self, address: int, mark: int = 0, src: int = 0) -> Route | None:
        """The route to `address`. With `src`, only if that is an address of the host's own."""
        if src:
            own = self._best(src, mark)
            if own is None or not own.local:
                return None
        return self._best(address, mark)

    def _best(self, address: int, mark: int) -> Route | None:
        best: Route | None = None
        for routes in (self.user.values(), self.kernel):
            for route in routes:
                if route.matches(address, mark) and (best is None or route.priority > best.priority):
                    best = route
        return best

    def devices(self) -> list[str]:
        """The devices that routes lead to, by name."""
        if self._devices is None:
            self._devices = sorted({route.dev for route in (*self.user.values(), *self.kernel)})
        return self._devices

    def all(self) -> list[Route]:
        """Every route, in the order of `ovs/route/show`."""
        return sorted((*self.user.values(), *self.kernel), key=lambda r: (-r.priority, r.prefix, r.mark))


