"""AF_PACKET rings: frames in and out of an existing interface through mapped memory.

Receiving uses a TPACKET_V2 ring of small slots with PACKET_COPY_THRESH: a frame that does not
fit its slot (a GSO segment, up to 64 KB) is put on the socket's queue as well, and is fetched
from there when its slot's turn comes, so that order holds and no memory is set aside for 64 KB
a slot. Transmitting uses a ring of small slots and one `send` a batch; frames larger than a slot
go by `sendmsg` on the receiving socket, after what is queued in the ring.

TPACKET_V3 would hand over whole blocks and so costs a block timeout (1 ms at least) of latency.

Every frame carries a `struct virtio_net_hdr` (PACKET_VNET_HDR), so partial checksums and
segmentation pass untouched. The kernel moves a received VLAN tag out of the frame into the slot
header; it is put back here.

Layouts are those of <linux/if_packet.h>: `struct tpacket2_hdr` is tp_status, tp_len, tp_snaplen
(32 bits each), tp_mac, tp_net (16 each), tp_sec, tp_nsec (32 each), tp_vlan_tci, tp_vlan_tpid.
"""

from __future__ import annotations

import errno
import mmap
import socket
import sys
from typing import Final, final

from librt.strings import BytesWriter, write_i16_be, write_i16_le
from mypy_extensions import i16, i64

from vswitch.base.signed import signed16
from vswitch.netdev.frame import GSO_NONE, Frame
from vswitch.netlink.attrs import u16_at, u32_at
from vswitch.packet.numbers import ETH_TYPE_VLAN_8021Q

_LITTLE: Final = sys.byteorder == "little"

TP_STATUS_KERNEL: Final = 0
TP_STATUS_USER: Final = 1
TP_STATUS_COPY: Final = 2
TP_STATUS_VLAN_VALID: Final = 0x10
TP_STATUS_VLAN_TPID_VALID: Final = 0x40
TP_STATUS_SEND_REQUEST: Final = 1

VNET_HDR_LEN: Final = 10
SLOT_HEAD: Final = 80
"""Bytes of a receive slot read at once: the slot header and, with PACKET_VNET_HDR, `virtio_net_hdr`."""
TX_DATA: Final = 32
"""Where a transmit slot's data begin (TPACKET2_HDRLEN less its `sockaddr_ll`)."""


def vnet_bytes(frame: Frame, hdr_len: i64) -> bytes:
    """`struct virtio_net_hdr` of `frame` in host order, with `hdr_len` as given."""
    w = BytesWriter()
    w.append(frame.flags)
    w.append(frame.gso_type)
    append16(w, hdr_len)
    append16(w, frame.gso_size)
    append16(w, frame.csum_start)
    append16(w, frame.csum_offset)
    return w.getvalue()


def append16(w: BytesWriter, value: i64) -> None:
    """Append the low 16 bits of `value` in host order."""
    signed: i64 = signed16(value)
    if _LITTLE:
        write_i16_le(w, i16(signed))
    else:
        write_i16_be(w, i16(signed))


def with_vlan(data: bytes, tpid: i64, tci: i64) -> bytes:
    """`data` with a VLAN header after its addresses."""
    return data[:12] + bytes((tpid >> 8 & 0xFF, tpid & 0xFF, tci >> 8 & 0xFF, tci & 0xFF)) + data[12:]


@final
class RxRing:
    """The receiving half: `recv` turns filled slots into frames and gives the slots back.

    `words` views the ring's memory as 32-bit words. Counters: `packets`, `bytes` received;
    `truncated` frames that fitted neither slot nor queue; `lost_copies` whose queue entry was gone.
    """

    def __init__(
        self, sock: socket.socket, mm: mmap.mmap, words: memoryview, slots: int, slot_size: int
    ) -> None:
        self.sock = sock
        self.mm = mm
        self.words = words
        self.slots: i64 = slots
        self.slot_size: i64 = slot_size
        self.head: i64 = 0
        self.packets: i64 = 0
        self.bytes: i64 = 0
        self.truncated: i64 = 0
        self.lost_copies: i64 = 0

    def recv(self, max_frames: i64) -> list[Frame]:
        """Up to `max_frames` frames, oldest first."""
        frames: list[Frame] = []
        mm = self.mm
        words = self.words
        head = self.head
        size = self.slot_size
        step = size >> 2
        slots = self.slots
        n: i64 = 0
        n_bytes: i64 = 0
        while n < max_frames:
            status: i64 = words[head * step]
            if not status & TP_STATUS_USER:
                break
            base = head * size
            hdr = mm[base : base + SLOT_HEAD]
            mac: i64 = u16_at(hdr, 12)
            length: i64 = u32_at(hdr, 4)
            snaplen: i64 = u32_at(hdr, 8)
            data: bytes
            if snaplen == length:
                data = mm[base + mac : base + mac + length]
            elif status & TP_STATUS_COPY:
                data = self.fetch_copy(length)
            else:
                self.truncated += 1
                data = b""
            words[head * step] = TP_STATUS_KERNEL
            head += 1
            if head == slots:
                head = 0
            if len(data) == 0:
                continue
            n += 1
            n_bytes += length
            at = mac - VNET_HDR_LEN
            flags: i64 = i64(hdr[at])
            gso: i64 = i64(hdr[at + 1])
            if status & TP_STATUS_VLAN_VALID:
                tci: i64 = u16_at(hdr, 24)
                tpid: i64 = ETH_TYPE_VLAN_8021Q
                if status & TP_STATUS_VLAN_TPID_VALID:
                    tpid = u16_at(hdr, 26)
                data = with_vlan(data, tpid, tci)
                if flags & 1 or gso:
                    frames.append(Frame(
                        data, flags, gso,
                        u16_at(hdr, at + 2) + 4,
                        u16_at(hdr, at + 4),
                        u16_at(hdr, at + 6) + 4,
                        u16_at(hdr, at + 8),
                    ))
                else:
                    frames.append(Frame(data, flags))
            elif flags & 1 or gso:
                frames.append(Frame(
                    data, flags, gso,
                    u16_at(hdr, at + 2),
                    u16_at(hdr, at + 4),
                    u16_at(hdr, at + 6),
                    u16_at(hdr, at + 8),
                ))
            else:
                frames.append(Frame(data, flags))
        self.head = head
        self.packets += n
        self.bytes += n_bytes
        return frames

    def fetch_copy(self, length: i64) -> bytes:
        """The frame of `length` bytes that waits whole on the socket's queue; b"" if it is gone."""
        try:
            data = self.sock.recv(length + VNET_HDR_LEN, socket.MSG_DONTWAIT)
        except OSError:
            self.lost_copies += 1
            return b""
        return data[VNET_HDR_LEN:]


@final
class TxRing:
    """The transmitting half: `send` fills slots, `flush` has the kernel send them.

    `big` is the socket by which frames larger than a slot leave. Counters: `packets`, `bytes`
    taken; `ring_full`, `errors` (by the kernel's refusal: device down, no buffers) dropped.
    """

    def __init__(
        self, sock: socket.socket, big: socket.socket, mm: mmap.mmap, words: memoryview,
        slots: int, slot_size: int,
    ) -> None:
        self.sock = sock
        self.big = big
        self.mm = mm
        self.words = words
        self.slots: i64 = slots
        self.slot_size: i64 = slot_size
        self.tail: i64 = 0
        self.queued: i64 = 0
        self.packets: i64 = 0
        self.bytes: i64 = 0
        self.ring_full: i64 = 0
        self.errors: i64 = 0

    def send(self, frames: list[Frame]) -> i64:
        """Queue `frames`; how many were taken."""
        mm = self.mm
        words = self.words
        size = self.slot_size
        step = size >> 2
        slots = self.slots
        limit = size - TX_DATA - VNET_HDR_LEN
        taken: i64 = 0
        n_bytes: i64 = 0
        for frame in frames:
            data = frame.data
            length: i64 = len(data)
            if length > limit:
                if self.send_big(frame):
                    taken += 1
                    n_bytes += length
                continue
            tail = self.tail
            if words[tail * step] != 0:
                self.flush()
                if words[tail * step] != 0:
                    self.ring_full += 1
                    continue
            base = tail * size
            # A frame whose header length is its length is copied whole into the skb, which saves
            # the kernel from pinning ring pages to it.
            hdr_len = length if frame.gso_type == GSO_NONE else frame.hdr_len
            mm[base + TX_DATA : base + TX_DATA + VNET_HDR_LEN + length] = vnet_bytes(frame, hdr_len) + data
            words[tail * step + 1] = VNET_HDR_LEN + length
            words[tail * step] = TP_STATUS_SEND_REQUEST
            tail += 1
            self.tail = 0 if tail == slots else tail
            self.queued += 1
            taken += 1
            n_bytes += length
        self.packets += taken
        self.bytes += n_bytes
        return taken

    def send_big(self, frame: Frame) -> bool:
        """Send a frame larger than a slot at once, keeping its place in the order."""
        if self.queued:
            self.flush()
        try:
            self.big.sendmsg([vnet_bytes(frame, frame.hdr_len), frame.data], [], socket.MSG_DONTWAIT)
        except OSError:
            self.errors += 1
            return False
        return True

    def flush(self) -> None:
        """Have the kernel send what is queued; drop (and count) what it refuses."""
        if not self.queued:
            return
        tries: i64 = 0
        while True:
            try:
                self.sock.send(b"", socket.MSG_DONTWAIT)
            except OSError as e:
                tries += 1
                if e.errno == errno.ENOBUFS and tries < 3:
                    continue
                self.discard()
            break
        self.queued = 0

    def discard(self) -> None:
        """Take back the slots that the kernel has not sent."""
        step = self.slot_size >> 2
        words = self.words
        tail = self.tail
        queued = self.queued
        while queued > 0:
            at = tail - 1 if tail > 0 else self.slots - 1
            if words[at * step] != TP_STATUS_SEND_REQUEST:
                break
            words[at * step] = 0
            tail = at
            queued -= 1
            self.errors += 1
        self.tail = tail
