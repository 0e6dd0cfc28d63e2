"""The IPv4 address of one of the kernel's devices, and the way out of its network.

The address is set by the ioctls of netdevice(7), which change the one that the device has: rtnetlink(7) would
add another. The route is rtnetlink's.
"""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import os
import socket
import struct
from ipaddress import IPv4Address
from typing import Final

from vswitch.netdev.provider import NetdevError
from vswitch.netlink.attrs import Builder
from vswitch.netlink.errors import NlError
from vswitch.netlink.message import NLM_F_CREATE, NLM_F_EXCL
from vswitch.netlink.socket import NETLINK_ROUTE, NlSocket

SIOCSIFADDR: Final = 0x8916
SIOCSIFNETMASK: Final = 0x891C
RTM_NEWROUTE: Final = 24
RTA_GATEWAY: Final = 5
RT_TABLE_MAIN: Final = 254
RTPROT_BOOT: Final = 3
RT_SCOPE_UNIVERSE: Final = 0
RTN_UNICAST: Final = 1
REQUEST_RCVBUF: Final = 65536
"""Bytes for the one answer to a request."""

_SOCKADDR_IN: Final = struct.Struct("=HH4s8x")
RTMSG: Final = struct.Struct("=BBBBBBBBI")
"""`struct rtmsg` (rtnetlink(7))."""


def class_netmask(address: IPv4Address) -> IPv4Address:
    """The netmask of an address of class A, B or C (RFC 791, section 3.2)."""
    first = int(address) >> 24
    plen = 8 if first < 128 else 16 if first < 192 else 24
    return ipaddress.IPv4Network((0, plen)).netmask


def set_in4(name: str, address: IPv4Address, netmask: IPv4Address) -> None:
    """Make `address` the device's own. NetdevError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        for request, value in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, netmask)):
            argument = _SOCKADDR_IN.pack(socket.AF_INET, 0, value.packed)
            try:
                fcntl.ioctl(sock, request, struct.pack("16s24s", name.encode(), argument))
            except OSError as e:
                code = e.errno or errno.EIO
                raise NetdevError(code, f"{name}: setting {value} failed ({os.strerror(code)})") from e


def add_router(gateway: IPv4Address) -> None:
    """Send what no other route is for through `gateway`. NetdevError, EEXIST if there is such a route."""
    attributes = Builder()
    attributes.raw(RTA_GATEWAY, gateway.packed)
    route = RTMSG.pack(
        socket.AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0
    )
    body = route + attributes.getvalue()
    sock = NlSocket(NETLINK_ROUTE, REQUEST_RCVBUF)
    try:
        sock.transact(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body, "add default route")
    except NlError as e:
        code = e.errno or errno.EIO
        raise NetdevError(code, f"default route through {gateway}: {os.strerror(code)}") from e
    finally:
        sock.close()
