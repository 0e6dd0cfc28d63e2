"""The devices of this datapath's ports: existing interfaces, and taps for internal ports.

An interface's packets are taken by the program at it, so that nothing is received; what userspace forwards
is sent by AF_PACKET with a virtio_net_hdr, GSO and partial checksums whole.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable

from vswitch.base.records import dataclass
from vswitch.netdev import links
from vswitch.netdev.frame import Frame
from vswitch.netdev.linux import KernelNetdev
from vswitch.netdev.packet_socket import (
    PACKET_ADD_MEMBERSHIP,
    PACKET_VNET_HDR,
    QUEUE_BYTES,
    SO_SNDBUFFORCE,
    SOL_PACKET,
    SendingRing,
    close_in_background,
    interface_index,
    membership,
    open_sending_ring,
)
from vswitch.netdev.provider import Netdev, NetdevError, NetdevStats
from vswitch.netdev.registry import DEFAULT_TYPE
from vswitch.netdev.scope import Scope
from vswitch.netdev.tap import TapNetdev

_VNET_HDR = struct.Struct("=BBHHHH")


class EbpfNetdev(KernelNetdev):
    """An interface, promiscuous from opening to closing. `custom` adds "tx_refused"."""

    def __init__(self, name: str) -> None:
        index = interface_index(name)
        if not index:
            raise NetdevError(errno.ENODEV, f"{name}: no such interface")
        super().__init__(name, DEFAULT_TYPE, index)
        try:
            kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            self._sock = socket.socket(socket.AF_PACKET, kind, 0)
            try:
                self._sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
                try:
                    self._sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, QUEUE_BYTES)
                except OSError:
                    # Without the right to force it, there is less room.
                    self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, QUEUE_BYTES)
                self._sock.bind((name, 0))
                self._sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership(index))
            except OSError:
                self._sock.close()
                raise
        except OSError as e:
            super().close()
            raise NetdevError(e.errno or errno.EIO, f"{name}: AF_PACKET: {e.strerror}") from e
        self._refused = 0
        self._ring: SendingRing | None = None
        """For frames longer than the MTU, once there was one."""

    def close(self) -> None:
        if not self._closed:
            super().close()
            if self._ring is not None:
                self._ring.close()
            close_in_background(self._sock, self._index)

    def fileno(self) -> int:
        return -1

    def recv(self, max_frames: int) -> list[Frame]:
        return []

    def send(self, frames: list[Frame]) -> int:
        sent = 0
        for f in frames:
            header = _VNET_HDR.pack(f.flags & 1, f.gso_type, f.hdr_len, f.gso_size,
                                    f.csum_start, f.csum_offset)
            try:
                self._sock.sendmsg((header, f.data))
            except OSError as e:
                if e.errno != errno.EMSGSIZE or not self._send_over_mtu(f):
                    self._refused += 1
                    continue
            sent += 1
        return sent

    def _send_over_mtu(self, frame: Frame) -> bool:
        """Leave it to the device, as the program's redirection does, whether a frame is too long for it:
        labels and second tags make it longer than the MTU by what some do take."""
        ring = self._ring
        if ring is None or not ring.holds(frame):
            if ring is not None:
                # The MTU was another one then.
                ring.close()
            self._ring = None
            try:
                ring = self._ring = open_sending_ring(self.name, self.mtu())
            except OSError:
                return False
        return ring.holds(frame) and ring.send(frame)

    def flush(self) -> None:
        """`send` sends at once."""

    def stats(self) -> NetdevStats:
        stats = links.stats_of(self._index)
        stats.custom["tx_refused"] = self._refused
        stats.tx_dropped += self._refused
        return stats



@dataclass
class Counted:
    """What a tap's own counters don't have: packets that the program took from it or put into it."""

    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0


class EbpfTap(TapNetdev):
    """An internal port. `in_kernel` is what passed there, up to date after `sync`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.in_kernel = Counted()
        self.sync: Callable[[], None] | None = None

    def stats(self) -> NetdevStats:
        if self.sync is not None:
            self.sync()
        stats = super().stats()
        for name, value in vars(self.in_kernel).items():
            setattr(stats, name, getattr(stats, name) + value)
        return stats


def open_device(name: str, scope: Scope, internal: bool) -> Netdev:
    """Open interface `name`, or make it as a tap, in `scope`. NetdevError: ENODEV; EEXIST if
    somebody has it open."""
    devices = scope.open
    if name in devices and not devices[name][0].gone:
        raise NetdevError(errno.EEXIST, f"{name}: is open already, and its packets go elsewhere")
    netdev = EbpfTap(name) if internal else EbpfNetdev(name)
    devices[name] = (netdev, 1)
    return netdev
