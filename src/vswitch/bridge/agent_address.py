"""Which IP address an sFlow agent goes by (ovs-vswitchd.conf.db(5), table sFlow, column agent)."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import socket
import struct
from pathlib import Path
from typing import Final

from vswitch.ofproto_dpif.protocols.collectors import parse_target

SIOCGIFADDR: Final = 0x8915
IF_INET6: Final = Path("/proc/net/if_inet6")


def agent_address(agent: str, targets: tuple[str, ...], default_port: int) -> str | None:
    """The address that `agent` is or that device `agent` has; without one, the one that the host's routes
    choose towards the first of `targets`. None: there is none."""
    if agent:
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(agent))
        return _of_device(agent)
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


def _of_device(name: str) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            reply = fcntl.ioctl(sock, SIOCGIFADDR, struct.pack("16s24x", name.encode()[:15]))
        except OSError:
            return _v6_of_device(name)
    return socket.inet_ntoa(reply[20:24])


def _v6_of_device(name: str) -> str | None:
    try:
        lines = IF_INET6.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        words = line.split()
        if len(words) == 6 and words[5] == name:
            return str(ipaddress.IPv6Address(int(words[0], 16)))
    return None
