"""`system`: an existing interface of the kernel, by AF_PACKET."""

from __future__ import annotations

import errno
import socket

from vswitch.netdev import ethtool, links
from vswitch.netdev.frame import Frame
from vswitch.netdev.packet_socket import interface_index, open_packet_socket
from vswitch.netdev.provider import Netdev, NetdevError, NetdevStats


class KernelNetdev(Netdev):
    """What interfaces of the kernel have in common: link state, MTU, address, counters."""

    def __init__(self, name: str, type: str, index: int) -> None:
        self.name = name
        self.type = type
        self._index = index
        self._seq = 1
        self._resets = 0
        self._closed = False
        self._link = links.query(index)[0]
        links.watch().add(index, self._changed)

    def _changed(self, link: links.Link | None) -> None:
        if link is None:
            self.gone = True
            old = self._link
            link = links.Link(old.index, old.name, 0, old.mtu, old.mac, False)
        if link.carrier != self._link.carrier:
            self._resets += 1
        if link != self._link:
            self._link = link
            self._seq += 1
            if self.on_change is not None:
                self.on_change()

    def close(self) -> None:
        self._closed = True
        links.watch().remove(self._index)

    def mac(self) -> int:
        return self._link.mac

    def set_mac(self, mac: int) -> None:
        links.set_mac(self.name, mac)
        links.watch().run()

    def mtu(self) -> int:
        return self._link.mtu

    def set_mtu(self, mtu: int) -> None:
        links.set_mtu(self.name, mtu)
        links.watch().run()

    def carrier(self) -> bool:
        return self._link.carrier

    def carrier_resets(self) -> int:
        return self._resets

    def up(self) -> bool:
        return self._link.up

    def set_up(self, up: bool) -> None:
        links.set_up(self.name, up)
        links.watch().run()

    def change_seq(self) -> int:
        return self._seq

    def ifindex(self) -> int:
        return self._index

    def features(self) -> dict[str, int]:
        return ethtool.features(self.name)


class LinuxNetdev(KernelNetdev):
    """An interface opened for all its packets: received by ring, sent by ring.

    Promiscuous from opening to closing. Counters are the kernel's; `custom` adds what was lost
    between the kernel and here: "rx_ring_full", "rx_truncated", "tx_ring_full", "tx_refused".
    """

    def __init__(self, name: str) -> None:
        index = interface_index(name)
        if not index:
            raise NetdevError(errno.ENODEV, f"{name}: no such interface")
        super().__init__(name, "system", index)
        try:
            self._sockets = open_packet_socket(name, index)
        except OSError as e:
            super().close()
            raise NetdevError(e.errno or errno.EIO, f"{name}: AF_PACKET: {e.strerror}") from e
        self._rx = self._sockets.rx
        self._tx = self._sockets.tx

    def close(self) -> None:
        if not self._closed:
            super().close()
            self._sockets.close()

    def fileno(self) -> int:
        return self._sockets.rx_sock.fileno()

    def recv(self, max_frames: int) -> list[Frame]:
        frames = self._rx.recv(max_frames)
        if not frames:
            # Readable without frames: an error waits (the interface went down), and is cleared so.
            self._sockets.rx_sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return frames

    def send(self, frames: list[Frame]) -> int:
        return self._tx.send(frames)

    def flush(self) -> None:
        self._tx.flush()

    def stats(self) -> NetdevStats:
        stats = links.stats_of(self._index)
        rx, tx = self._rx, self._tx
        lost = {
            "rx_ring_full": self._sockets.ring_drops(),
            "rx_truncated": int(rx.truncated + rx.lost_copies),
            "tx_ring_full": int(tx.ring_full),
            "tx_refused": int(tx.errors),
        }
        stats.custom.update(lost)
        stats.rx_dropped += lost["rx_ring_full"] + lost["rx_truncated"]
        stats.tx_dropped += lost["tx_ring_full"] + lost["tx_refused"]
        return stats

