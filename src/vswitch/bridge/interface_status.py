"""What is written to the status columns of Interface: the device as it is, and what it counted.

An interface whose device is open in this process (userspace datapath) is asked itself; one that the
kernel's datapath has is looked up in the kernel; a patch port is always up.
"""

from __future__ import annotations

import array
import fcntl
import random
import socket
import struct
from typing import Any, Final, final
from uuid import UUID

from vswitch.flow.values import format_mac
from vswitch.netdev import ethtool, links
from vswitch.netdev.provider import NetdevStats
from vswitch.netdev.registry import kind
from vswitch.netdev.scope import Scope
from vswitch.netdev.tunnel_options import format_address
from vswitch.ofproto_dpif.xlate.bridge import XPort

ETHTOOL_GDRVINFO: Final = 3
INTERNAL_DRIVER: Final = "openvswitch"
"""The driver of the kernel datapath's internal ports."""
_DRVINFO: Final = struct.Struct("=I32s32s32s32s60x")
"""`struct ethtool_drvinfo` of <linux/ethtool.h>: cmd, driver, version, fw_version, bus_info, ..."""

CLEARED: Final[dict[str, Any]] = {
    "admin_state": None, "duplex": None, "ifindex": None, "lacp_current": None,
    "link_speed": None, "link_state": None, "mac_in_use": None, "mtu": None, "statistics": {}, "status": {},
}  # fmt: skip
"""The columns of an interface that is not there; what it counted of its link stays."""

_STATS: Final = (
    ("collisions", "collisions"), ("rx_bytes", "rx_bytes"), ("rx_crc_err", "rx_crc_errors"),
    ("rx_dropped", "rx_dropped"), ("rx_errors", "rx_errors"), ("rx_frame_err", "rx_frame_errors"),
    ("rx_missed_errors", "rx_missed_errors"), ("rx_multicast_packets", "multicast"),
    ("rx_over_err", "rx_over_errors"), ("rx_packets", "rx_packets"), ("tx_bytes", "tx_bytes"),
    ("tx_dropped", "tx_dropped"), ("tx_errors", "tx_errors"), ("tx_packets", "tx_packets"),
)  # fmt: skip
"""Key of Interface.statistics, and what it is in `NetdevStats`."""
_INT64_MAX: Final = (1 << 63) - 1


def driver_info(name: str) -> dict[str, str]:
    """Driver, its version and its firmware's; {} if the kernel doesn't say."""
    buffer = array.array("B", struct.pack("=I", ETHTOOL_GDRVINFO) + bytes(_DRVINFO.size - 4))
    address, _ = buffer.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            fcntl.ioctl(sock, ethtool.SIOCETHTOOL, struct.pack("16sP16x", name.encode(), address))
        except OSError:
            return {}
    _, driver, version, firmware, _ = _DRVINFO.unpack(buffer.tobytes())
    words = [raw.split(b"\0")[0].decode(errors="replace") for raw in (driver, version, firmware)]
    if words[0] == INTERNAL_DRIVER:
        # It is the datapath's own, which is told of elsewhere.
        return {"driver_name": INTERNAL_DRIVER}
    return dict(zip(("driver_name", "driver_version", "firmware_version"), words, strict=True))


def link_modes(current: int) -> tuple[int | None, str | None]:
    """(bits a second, duplex) of a map of OFPPF_* bits."""
    for bits, duplex in ((ethtool.FD_BITS, "full"), (ethtool.HD_BITS, "half")):
        for mbit, bit in bits.items():
            if current & bit:
                return mbit * 1_000_000, duplex
    return None, None


def tunnel_status(port: XPort, scope: Scope) -> dict[str, str]:
    """By which device a tunnel's packets leave, and whether that has a link; {} of any other port."""
    config = port.tunnel
    if config is None or not config.remote_ip:
        return {}
    routes = port.bridge.dp.underlay.routes
    route = routes.lookup(config.remote_ip, config.egress_pkt_mark or 0)
    if route is None:
        return {}
    netdev = scope.find(route.dev)
    try:
        if netdev is not None:
            carrier = netdev.carrier()
        else:
            carrier = links.query(socket.if_nametoindex(route.dev))[0].carrier
    except OSError:
        return {}
    return {"tunnel_egress_iface": route.dev, "tunnel_egress_iface_carrier": "up" if carrier else "down"}


def tunnel_error(port: XPort, scope: Scope) -> str | None:
    """Why a tunnel whose fixed remote no bridge leads to can't reach it; None if it can."""
    config = port.tunnel
    why = port.bridge.dp.tunnels.refused.get(port.odp_port)
    if config is None or why is None or not config.remote_ip:
        return None
    routes = port.bridge.dp.underlay.routes
    route = routes.lookup(config.remote_ip, config.egress_pkt_mark or 0, config.local_ip)
    if route is not None and scope.find(route.dev) is not None:
        return None
    remote = format_address(config.remote_ip)
    return f"no bridge leads to {remote}, and the host's own stack refuses {config.type} ({why})"


@final
class InterfaceStatus:
    """The status of one interface of a bridge, remembering what must not be forgotten between two looks."""

    def __init__(self, name: str, uuid: UUID, scope: Scope) -> None:
        self.name = name
        self.scope = scope
        self.uuid = uuid
        """Of the row that this is for."""
        self._patch_mac = format_mac(random.getrandbits(48) & ~(1 << 40) | 1 << 41)
        self._ifindex = -1
        self._driver: dict[str, str] = {}
        self._carrier: bool | None = None
        self._resets = 0

    def columns(self, port: XPort) -> dict[str, Any]:
        """The columns that change with the device; `CLEARED`'s if it is gone."""
        if not kind(port.type).has_device:
            return {
                "admin_state": "up", "duplex": None, "ifindex": 0, "link_resets": 0, "link_speed": None,
                "link_state": "up", "mac_in_use": self._patch_mac, "mtu": None,
                "status": tunnel_status(port, self.scope),
            }  # fmt: skip
        netdev = self.scope.find(self.name)
        try:
            if netdev is not None and not netdev.gone:
                ifindex = netdev.ifindex()
                features = netdev.features()
                mac, mtu, up, carrier = netdev.mac(), netdev.mtu(), netdev.up(), netdev.carrier()
                resets = netdev.carrier_resets()
            else:
                ifindex = socket.if_nametoindex(self.name)
                link, _ = links.query(ifindex)
                features = ethtool.features(self.name)
                mac, mtu, up, carrier = link.mac, link.mtu, link.up, link.carrier
                resets = self._count(carrier)
        except OSError:
            return CLEARED
        if ifindex != self._ifindex:
            self._ifindex = ifindex
            self._driver = driver_info(self.name) if ifindex else {}
        speed, duplex = link_modes(features["current"])
        return {
            "admin_state": "up" if up else "down",
            "duplex": duplex,
            "ifindex": ifindex,
            "link_resets": resets,
            "link_speed": speed,
            "link_state": "up" if carrier else "down",
            "mac_in_use": format_mac(mac),
            "mtu": mtu,
            "status": self._driver,
        }

    def _count(self, carrier: bool) -> int:
        if self._carrier is not None and carrier != self._carrier:
            self._resets += 1
        self._carrier = carrier
        return self._resets

    def statistics(self, port: XPort) -> dict[str, int] | None:
        """The interface's counters; None if it has none now."""
        if not kind(port.type).has_device:
            return {
                "rx_bytes": port.rx_bytes, "rx_packets": port.rx_packets,
                "tx_bytes": port.tx_bytes, "tx_packets": port.tx_packets,
            }  # fmt: skip
        netdev = self.scope.find(self.name)
        try:
            if netdev is not None:
                stats = netdev.stats()
                kernels = netdev.ifindex() > 0
            else:
                stats = links.stats_of(socket.if_nametoindex(self.name))
                kernels = True
        except OSError:
            return None
        found = named(stats, everything=kernels)
        if netdev is not None:
            found |= netdev.custom_stats()
        return found


def named(stats: NetdevStats, everything: bool) -> dict[str, int]:
    """Counters by the database's names. Not `everything`: of a device in memory, which counts less."""
    found = {key: min(getattr(stats, attribute), _INT64_MAX) for key, attribute in _STATS}
    if not everything:
        found = {k: n for k, n in found.items() if n or k.endswith(("x_packets", "x_bytes"))}
    # What only this kind of device counts is worth a word when it happened.
    found.update({key: min(n, _INT64_MAX) for key, n in stats.custom.items() if n})
    return found
