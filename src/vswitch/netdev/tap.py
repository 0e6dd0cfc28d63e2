"""`tap`: an interface made here, for internal ports; what the host sends into it is received.

With IFF_VNET_HDR and TUNSETOFFLOAD the host hands over unsegmented, partially checksummed frames
and takes them likewise. The interface goes away when the device is closed.

Somebody may move the interface into another network namespace, a container's for instance: packets pass the
descriptor as before, but rtnetlink says that it is gone, and tells nothing of it until it comes back.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from copy import copy

from mypy_extensions import i64

from vswitch.netdev import links
from vswitch.netdev.frame import Frame
from vswitch.netdev.linux import KernelNetdev
from vswitch.netdev.packet_socket import interface_index
from vswitch.netdev.provider import NetdevError, NetdevStats

TUN_DEVICE = "/dev/net/tun"
TUNSETIFF = 0x400454CA
TUNSETPERSIST = 0x400454CB
TUNSETOFFLOAD = 0x400454D0
TUNGETIFF = 0x800454D2
TUNSETVNETHDRSZ = 0x400454D8
TUNGETDEVNETNS = 0x54E3
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_TSO_ECN = 0x01, 0x02, 0x04, 0x08
VNET_HDR = struct.Struct("=BBHHHH")
MAX_FRAME = 65536 + 128


def _failed(e: OSError, name: str, what: str) -> NetdevError:
    return NetdevError(e.errno or errno.EIO, f"{name}: {what}: {e.strerror}")


def usable() -> bool:
    """Whether this process may open the TUN device: containers often lack it, users the right."""
    return os.access(TUN_DEVICE, os.R_OK | os.W_OK)


class TapNetdev(KernelNetdev):
    """A TUN/TAP interface; the carrier is up as long as it is open here."""

    def __init__(self, name: str) -> None:
        there = interface_index(name)
        try:
            fd = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as e:
            raise _failed(e, name, TUN_DEVICE) from e
        try:
            flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
            fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", VNET_HDR.size))
            fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
            if there:
                # A tap that an earlier process left behind; it is ours now, and goes with us.
                fcntl.ioctl(fd, TUNSETPERSIST, 0)
        except OSError as e:
            os.close(fd)
            if there and e.errno == errno.EINVAL:
                raise NetdevError(errno.EEXIST, f"{name}: an interface of that name exists") from e
            raise _failed(e, name, "making a tap") from e
        self._fd = fd
        try:
            super().__init__(name, "tap", interface_index(name))
        except OSError:
            os.close(fd)
            raise
        self._tx_refused: i64 = 0
        self._away = False
        """Whether the interface is in another namespace."""
        self._seen = NetdevStats()
        """The counters, as they were when last read; counted on from there while it is away."""

    def close(self) -> None:
        if not self._closed:
            super().close()
            links.watch().give_up(self.name, self)
            os.close(self._fd)
            self._fd = -1

    def _changed(self, link: links.Link | None) -> None:
        if link is not None or not self._is_elsewhere():
            super()._changed(link)
            return
        old = self._link
        links.watch().remove(self._index)
        links.watch().wait_for(self.name, self, self._look_for_it)
        self._away = True
        flags = old.flags | links.IFF_UP | links.IFF_LOWER_UP
        self._tell(links.Link(old.index, old.name, flags, old.mtu, old.mac, True))

    def _tell(self, link: links.Link) -> None:
        self._link = link
        self._seq += 1
        if self.on_change is not None:
            self.on_change()

    def _is_elsewhere(self) -> bool:
        """Whether the interface lives, and in another namespace than this process does."""
        try:
            fcntl.ioctl(self._fd, TUNGETIFF, bytes(40))
        except OSError:
            # EBADFD: it was deleted.
            return False
        try:
            namespace = fcntl.ioctl(self._fd, TUNGETDEVNETNS)
        except OSError:
            # Before Linux 5.2.
            return not interface_index(self.name)
        try:
            return os.fstat(namespace).st_ino != os.stat("/proc/thread-self/ns/net").st_ino
        finally:
            os.close(namespace)

    def _look_for_it(self) -> None:
        """An interface of its name has appeared here, or changed."""
        if not self._away or self._is_elsewhere():
            return
        try:
            index = interface_index(self.name)
            link = links.query(index)[0]
        except OSError:
            return
        self._away = False
        self._index = index
        links.watch().give_up(self.name, self)
        links.watch().add(index, self._changed)
        self._tell(link)

    def ifindex(self) -> int:
        """0 while it is in another namespace."""
        return 0 if self._away else super().ifindex()

    def fileno(self) -> int:
        return self._fd

    def recv(self, max_frames: int) -> list[Frame]:
        frames: list[Frame] = []
        fd = self._fd
        while len(frames) < max_frames:
            try:
                data = os.read(fd, MAX_FRAME)
            except OSError as e:
                # EAGAIN: nothing more; EIO: the interface is down.
                if e.errno == errno.EBADFD and self._away:
                    self._away = False
                    super()._changed(None)
                break
            if len(data) < VNET_HDR.size:
                continue
            frames.append(Frame(data[VNET_HDR.size :], *VNET_HDR.unpack_from(data)))
        if self._away:
            self._seen.rx_packets += len(frames)
            self._seen.rx_bytes += sum([len(f.data) for f in frames])
        return frames

    def send(self, frames: list[Frame]) -> int:
        sent = 0
        for f in frames:
            # A bit that says "checksum verified" is not the sender's to give.
            header = VNET_HDR.pack(f.flags & 1, f.gso_type, f.hdr_len, f.gso_size,
                                   f.csum_start, f.csum_offset)
            try:
                os.writev(self._fd, (header, f.data))
            except OSError:
                self._tx_refused += 1
                continue
            sent += 1
            if self._away:
                self._seen.tx_packets += 1
                self._seen.tx_bytes += len(f.data)
        return sent

    def flush(self) -> None:
        """`send` writes at once."""

    def stats(self) -> NetdevStats:
        """The interface's counters from the switch's side: what the host sends is received here.

        What the host's stack drops of what it got (`rx_dropped`) was transmitted.
        """
        refused = int(self._tx_refused)
        if self._away:
            seen = copy(self._seen)
            seen.tx_dropped, seen.custom = refused, {"tx_refused": refused}
            return seen
        s = links.stats_of(self._index)
        self._seen = NetdevStats(
            rx_packets=s.tx_packets, tx_packets=s.rx_packets, rx_bytes=s.tx_bytes, tx_bytes=s.rx_bytes,
            rx_errors=s.tx_errors, tx_errors=s.rx_errors, rx_dropped=s.tx_dropped,
            tx_dropped=refused, custom={"tx_refused": refused},
        )
        return copy(self._seen)

