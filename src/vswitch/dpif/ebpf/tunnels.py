"""Tunnels whose packets the kernel carries: VXLAN devices that collect metadata.

A tunnel's port that reaches remotes through the host's own stack has such a device in the place of the socket
that would receive. Its program knows the outer header (`parse`), and `SET_TUNNEL` of action lists says which
tunnel a packet goes into. Frames that userspace sends leave by a socket as elsewhere.
"""

from __future__ import annotations

import errno
import socket
import sys
from typing import Final, final

from vswitch.base.records import dataclass, field
from vswitch.base.signed import high32
from vswitch.base.vlog import Vlog
from vswitch.dpif.ebpf.device import Counted
from vswitch.dpif.ebpf.ring import TunnelKey
from vswitch.ebpf.owner import mark
from vswitch.flow import layout as at
from vswitch.flow.flow import Flow, signed64
from vswitch.netdev.links import stats_of
from vswitch.netdev.provider import NetdevError
from vswitch.netdev.tunnel import TunnelNetdev
from vswitch.netdev.tunnel_link import TunnelLinks
from vswitch.packet.tunnel import kinds

log: Final = Vlog("dpif_ebpf")
LOSSES: Final = (
    "rx_errors", "rx_dropped", "tx_errors", "tx_dropped", "tx_aborted_errors", "tx_carrier_errors",
)  # fmt: skip
"""Counters of a device, by their names in `NetdevStats`."""


@dataclass(eq=False)
class TunnelDevice:
    """The device of a tunnel's port."""

    ifindex: int
    udp_port: int
    counted: Counted = field(default_factory=Counted)

    def counters(self) -> dict[str, int]:
        """What passed by the program, and what the device lost: packets too long for the way, for one."""
        told = dict(vars(self.counted))
        try:
            stats = stats_of(self.ifindex)
        except NetdevError:
            # The device has gone, and its counters with it.
            return told
        return told | {name: getattr(stats, name) for name in LOSSES}


@final
class Tunnels:
    """The devices, by their ports' names."""

    def __init__(self) -> None:
        self.devices: dict[str, TunnelDevice] = {}
        self._links: TunnelLinks | None = None

    def make(self, name: str, netdev: TunnelNetdev) -> bool:
        """Have a device for a port, if the kernel can have one for its kind and extensions."""
        options = netdev.config()
        if netdev.kind != kinds.VXLAN or options.get("exts"):
            return False
        try:
            if self._links is None:
                self._links = TunnelLinks()
            self._links.create_marked(name, "vxlan", options, mark())
            ifindex = socket.if_nametoindex(name)
        except OSError as e:
            log.info("%s: its packets stay in userspace, for the kernel gives no device: %s", name,
                     e.strerror or e)
            return False
        self.devices[name] = TunnelDevice(ifindex, netdev.dst_port)
        return True

    def delete(self, name: str) -> None:
        """Take the device away."""
        del self.devices[name]
        if self._links is not None:
            try:
                self._links.delete(name)
            except OSError as e:
                if e.errno != errno.ENODEV:
                    log.warn("%s: cannot be deleted: %s", name, e.strerror or e)

    def close(self) -> None:
        """Take all away."""
        for name in list(self.devices):
            self.delete(name)
        if self._links is not None:
            self._links.close()
            self._links = None


def set_outer(flow: Flow, outer: TunnelKey, udp_port: int) -> None:
    """Put what the device told of a packet's outer header into its flow, as a tunnel's sockets would."""
    words = flow.words
    words[at.W_TUN_ID] = outer.id
    if outer.version == 4:
        remote, local = (int.from_bytes(a[:4], sys.byteorder) for a in (outer.remote, outer.local))
        words[at.W_TUN_SRC] = high32(remote, local)
    else:
        for word, address in ((at.W_TUN_IPV6_SRC, outer.remote), (at.W_TUN_IPV6_DST, outer.local)):
            words[word] = signed64(int.from_bytes(address[:8], "big"))
            words[word + 1] = signed64(int.from_bytes(address[8:], "big"))
    flags = at.TUN_F_KEY | at.TUN_F_CSUM
    words[at.W_TUN_FLAGS] = (
        flags << at.S_TUN_FLAGS | outer.tos << at.S_TUN_TOS | outer.ttl << at.S_TUN_TTL | udp_port
    )
