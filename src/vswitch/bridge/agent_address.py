"""Which IP address an sFlow agent goes by (ovs-vswitchd.conf.db(5), table sFlow, column agent)."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Callable, Sequence

from vswitch.netdev.tunnel_options import is_v4
from vswitch.ofproto_dpif.protocols.collectors import parse_target

AddressesOf = Callable[[str], Sequence[tuple[int, int]]]
"""Device -> (address, prefix length of 128 bits) pairs, as `Underlay.addresses` has them."""


def agent_address(
    agent: str, targets: tuple[str, ...], default_port: int, addresses: AddressesOf
) -> str | None:
    """The address that `agent` is or that device `agent` has, an IPv4 one if it has any; without one, the one
    that the host's routes choose towards the first of `targets`. None: there is none."""
    if agent:
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(agent))
        found = sorted((address for address, _ in addresses(agent)), key=lambda a: not is_v4(a))
        return _text(found[0]) if found else None
    for target in targets:
        try:
            address = parse_target(target, default_port)
        except ValueError:
            continue
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            try:
                # Nothing is sent: a datagram socket only looks for a route.
                sock.connect(address)
            except OSError:
                continue
            return str(sock.getsockname()[0])
    return None


def _text(address: int) -> str:
    if is_v4(address):
        return str(ipaddress.IPv4Address(address & 0xFFFFFFFF))
    return str(ipaddress.IPv6Address(address & (1 << 128) - 1))
