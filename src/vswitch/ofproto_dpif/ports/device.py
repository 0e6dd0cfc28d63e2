"""What a port's device says of itself: address, MTU, flags, link.

The userspace datapath has the device open in a scope, and it is asked. The kernel datapath's devices are
the kernel's; rtnetlink(7) describes them. A port without a device (a patch port) is always up.
"""

from __future__ import annotations

import socket
from typing import Final

from vswitch.base.records import dataclass
from vswitch.netdev import ethtool, links
from vswitch.netdev.registry import kind
from vswitch.netdev.scope import Scope


@dataclass(frozen=True)
class DeviceInfo:
    """`mac`: 48 bits; `mtu`: bytes; `up`: administratively; `carrier`: the link is there."""

    mac: int = 0
    mtu: int = 1500
    up: bool = True
    carrier: bool = True


def device_info(scope: Scope, name: str, type: str) -> DeviceInfo:
    """The state of device `name`, open in `scope` or the kernel's; the defaults for a port without one, or
    one that is gone."""
    if not kind(type).has_device:
        return DeviceInfo()
    netdev = scope.find(name)
    try:
        if netdev is not None:
            return DeviceInfo(netdev.mac(), netdev.mtu(), netdev.up(), netdev.carrier())
        link, _ = links.query(socket.if_nametoindex(name))
    except OSError:
        return DeviceInfo()
    return DeviceInfo(link.mac, link.mtu, link.up, link.carrier)


def set_up(scope: Scope, name: str, up: bool) -> None:
    """Bring device `name` administratively up or down. OSError if it can't be (gone, no right)."""
    netdev = scope.find(name)
    if netdev is not None:
        netdev.set_up(up)
    else:
        links.set_up(name, up)


def ifindex(scope: Scope, name: str, type: str) -> int:
    """The interface index of device `name`, 0 if it has none."""
    if not kind(type).has_device:
        return 0
    netdev = scope.find(name)
    if netdev is not None:
        return netdev.ifindex()
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


SPEEDS: Final = (10, 10, 100, 100, 1000, 1000, 10000, 40000, 100000, 1000000)
"""Mbit/s of each bit of OFPPF_* that is a speed."""


def link_rate(scope: Scope, name: str, type: str) -> int:
    """bit/s of the device's link, 0 if unknown."""
    return mbps(current_features(scope, name, type)) * 1_000_000


def current_features(scope: Scope, name: str, type: str) -> int:
    """The OFPPF_* bits of the link as it is, 0 if unknown."""
    return features(scope, name, type).get("current", 0)


def features(scope: Scope, name: str, type: str) -> dict[str, int]:
    """The OFPPF_* maps of the device, by kind ("current"...), and its "current_speed" and "max_speed" in
    kbit/s (OpenFlow 1.3.4 section 7.2.1); {} if it doesn't say."""
    if not kind(type).has_device:
        return {}
    netdev = scope.find(name)
    try:
        found = netdev.features() if netdev is not None else ethtool.features(name)
    except OSError:
        return {}
    if not any(found.values()):
        return {}
    return found | {
        "current_speed": mbps(found["current"]) * 1000, "max_speed": mbps(found["supported"]) * 1000,
    }  # fmt: skip


def mbps(bits: int) -> int:
    """The highest speed among OFPPF_* bits, 0 if there is none."""
    return max((speed for i, speed in enumerate(SPEEDS) if bits >> i & 1), default=0)
