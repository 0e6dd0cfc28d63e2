"""What a port's device says of itself: address, MTU, flags, link.

The userspace datapath has the device open, and it is asked. The kernel datapath's devices are
the kernel's; sysfs(5) tells of them. A patch port has no device and is always up.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vswitch.netdev.registry import netdev_from_name

SYSFS: Final = Path("/sys/class/net")
IFF_UP: Final = 1
SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
"""Get and set the flags of an interface (netdevice(7))."""


@dataclass(frozen=True)
class DeviceInfo:
    """`mac`: 48 bits; `mtu`: bytes; `up`: administratively; `carrier`: the link is there."""

    mac: int = 0
    mtu: int = 1500
    up: bool = True
    carrier: bool = True


def device_info(name: str, type: str) -> DeviceInfo:
    """The state of device `name`; the defaults for a patch port or a device that is gone."""
    if type == "patch":
        return DeviceInfo()
    netdev = netdev_from_name(name)
    try:
        if netdev is not None:
            return DeviceInfo(netdev.mac(), netdev.mtu(), netdev.up(), netdev.carrier())
        return _from_sysfs(SYSFS / name)
    except (OSError, ValueError):
        return DeviceInfo()


def _from_sysfs(device: Path) -> DeviceInfo:
    mac = int((device / "address").read_text().strip().replace(":", "") or "0", 16)
    mtu = int((device / "mtu").read_text())
    up = bool(int((device / "flags").read_text(), 16) & IFF_UP)
    try:
        carrier = (device / "carrier").read_text().strip() == "1"
    except OSError:
        carrier = False
    return DeviceInfo(mac, mtu, up, carrier)


def set_up(name: str, up: bool) -> None:
    """Bring device `name` administratively up or down. OSError if it can't be (gone, no right)."""
    netdev = netdev_from_name(name)
    if netdev is not None:
        netdev.set_up(up)
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sH14x", name.encode(), 0))
        flags = struct.unpack_from("16sH", request)[1]
        flags = flags | IFF_UP if up else flags & ~IFF_UP
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags))
