"""Opening an interface with AF_PACKET: the two sockets, their options, and the rings mapped."""

from __future__ import annotations

import contextlib
import functools
import mmap
import socket
import struct
from typing import TYPE_CHECKING

from vswitch.base.records import dataclass
from vswitch.netdev.afpacket import TX_DATA, VNET_HDR_LEN, RxRing, TxRing
from vswitch.netdev.frame import Frame

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP, PACKET_DROP_MEMBERSHIP = 1, 2
PACKET_RX_RING = 5
PACKET_STATISTICS = 6
PACKET_COPY_THRESH = 7
PACKET_VERSION = 10
PACKET_TX_RING = 13
PACKET_LOSS = 14
PACKET_VNET_HDR = 15
PACKET_QDISC_BYPASS = 20
PACKET_IGNORE_OUTGOING = 23
PACKET_MR_PROMISC = 1
TPACKET_V2 = 1
ETH_P_ALL = 3
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33

SLOT_SIZE = 2048
BLOCK_SIZE = 65536
RX_SLOTS = 1024
TX_SLOTS = 512
QUEUE_BYTES = 8 << 20
"""Room on the socket queue for frames that do not fit a slot."""


@dataclass
class PacketSocket:
    """An interface opened for receiving and sending; `close` lets go of everything.

    The promiscuous mode is a membership of the socket, so that it ends with it however the
    process ends.
    """

    rx_sock: socket.socket
    tx_sock: socket.socket
    rx: RxRing
    tx: TxRing
    kernel_drops: int = 0

    def close(self) -> None:
        self.rx_sock.close()
        self.tx_sock.close()
        self.rx.words.release()
        self.tx.words.release()
        self.rx.mm.close()
        self.tx.mm.close()

    def ring_drops(self) -> int:
        """Frames that the kernel dropped because the ring was full, since opening."""
        _packets, drops = struct.unpack("II", self.rx_sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.kernel_drops += drops
        return self.kernel_drops


def _socket() -> socket.socket:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)


def _ring(sock: socket.socket, option: int, slots: int, slot_size: int = SLOT_SIZE) -> mmap.mmap:
    blocks = slots * slot_size // BLOCK_SIZE
    sock.setsockopt(SOL_PACKET, option, struct.pack("IIII", BLOCK_SIZE, blocks, slot_size, slots))
    return mmap.mmap(sock.fileno(), blocks * BLOCK_SIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


def _buffer(sock: socket.socket, force: int, plain: int) -> None:
    """Room for QUEUE_BYTES if allowed, or as much as an ordinary user gets."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, QUEUE_BYTES)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, plain, QUEUE_BYTES)


def open_packet_socket(
    name: str, ifindex: int, rx_slots: int = RX_SLOTS, tx_slots: int = TX_SLOTS, bypass: bool = False
) -> PacketSocket:
    """Open interface `name`; OSError as the kernel gives it (EPERM, ENODEV, ENOMEM)."""
    rx_sock = _socket()
    opened = [rx_sock]
    maps: list[mmap.mmap] = []
    try:
        tx_sock = _socket()
        opened.append(tx_sock)
        for sock in opened:
            sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
            sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            _buffer(sock, SO_SNDBUFFORCE, socket.SO_SNDBUF)
            if bypass:
                sock.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        _buffer(rx_sock, SO_RCVBUFFORCE, socket.SO_RCVBUF)
        rx_sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        rx_sock.setsockopt(SOL_PACKET, PACKET_COPY_THRESH, 1)
        tx_sock.setsockopt(SOL_PACKET, PACKET_LOSS, 1)
        rx_mm = _ring(rx_sock, PACKET_RX_RING, rx_slots)
        maps.append(rx_mm)
        tx_mm = _ring(tx_sock, PACKET_TX_RING, tx_slots)
        maps.append(tx_mm)
        tx_sock.bind((name, 0))
        rx_sock.bind((name, ETH_P_ALL))
        rx_sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership(ifindex))
    except OSError:
        for mm in maps:
            mm.close()
        for sock in opened:
            sock.close()
        raise
    rx = RxRing(rx_sock, rx_mm, memoryview(rx_mm).cast("I"), rx_slots, SLOT_SIZE)
    tx = TxRing(tx_sock, rx_sock, tx_mm, memoryview(tx_mm).cast("I"), tx_slots, SLOT_SIZE)
    return PacketSocket(rx_sock, tx_sock, rx, tx)


@dataclass
class SendingRing:
    """A ring that frames leave by, for those that a packet socket's `send` refuses: that takes none longer
    than the interface's MTU, a VLAN tag aside, while a ring leaves it to the device what it takes."""

    sock: socket.socket
    ring: TxRing

    def holds(self, frame: Frame) -> bool:
        """Whether `frame` fits into a slot."""
        return len(frame.data) <= self.ring.slot_size - TX_DATA - VNET_HDR_LEN

    def send(self, frame: Frame) -> bool:
        """Whether the kernel took `frame`, which fits."""
        ring = self.ring
        before = ring.errors
        taken = ring.send([frame])
        ring.flush()
        return taken > 0 and ring.errors == before

    def close(self) -> None:
        self.ring.words.release()
        self.ring.mm.close()
        close_in_background(self.sock)


def open_sending_ring(name: str, mtu: int) -> SendingRing:
    """One for interface `name`, for frames a little longer than its MTU. OSError."""
    slot_size = 1 << (max(SLOT_SIZE, min(mtu + SLOT_SIZE // 4, BLOCK_SIZE)) - 1).bit_length()
    slots = 4 * BLOCK_SIZE // slot_size
    sock = _socket()
    try:
        sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        sock.setsockopt(SOL_PACKET, PACKET_LOSS, 1)
        mm = _ring(sock, PACKET_TX_RING, slots, slot_size)
        try:
            sock.bind((name, 0))
        except OSError:
            mm.close()
            raise
    except OSError:
        sock.close()
        raise
    return SendingRing(sock, TxRing(sock, sock, mm, memoryview(mm).cast("I"), slots, slot_size))


CLOSERS = 32
"""Sockets that are closed at a time."""


def close_in_background(sock: socket.socket, ifindex: int = 0) -> None:
    """Close a packet socket, which is a promiscuous member of interface `ifindex` (0: of none). The
    membership ends at once; for the rest the kernel waits until no CPU may use the socket, 10 to 20 ms each,
    and this process goes on."""
    if ifindex:
        # The interface may be gone, and the membership with it.
        with contextlib.suppress(OSError):
            sock.setsockopt(SOL_PACKET, PACKET_DROP_MEMBERSHIP, membership(ifindex))
    _closers().submit(sock.close)


def membership(ifindex: int) -> bytes:
    """The `struct packet_mreq` for promiscuity of interface `ifindex`."""
    return struct.pack("iHH8s", ifindex, PACKET_MR_PROMISC, 0, b"")


@functools.cache
def _closers() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(CLOSERS, "close")


def interface_index(name: str) -> int:
    """The interface's index; 0 if there is none of that name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


