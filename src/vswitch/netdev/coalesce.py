"""TCP segments of one connection put together into one frame: the reverse of `gso.split`.

What a tunnel carries as packets of its own goes on as one frame to be cut (`Frame.gso_type`), so that the
switch and whoever receives it work once for many. Only segments that splitting that frame would give again,
byte for byte but for IPv4's identification and checksums, are put together (as Linux's GRO does).
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i16_be, read_i32_be, read_i64_be
from mypy_extensions import i64

from vswitch.netdev.frame import GSO_TCPV4, GSO_TCPV6, VNET_NEEDS_CSUM, Frame
from vswitch.netdev.gso import put16
from vswitch.packet.checksum import fold, partial_sum
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_IPV6, IPPROTO_TCP

L3: Final = 14
TCP_CSUM: Final = 16
ACK: Final = 0x10
PSH: Final = 0x08
MAX_LENGTH: Final = 65000


def _u16(data: bytes, at: i64) -> i64:
    return i64(read_i16_be(data, at)) & 0xFFFF


def _u32(data: bytes, at: i64) -> i64:
    return i64(read_i32_be(data, at)) & 0xFFFFFFFF


def _same(a: bytes, b: bytes, start: i64, end: i64) -> bool:
    """Whether two frames have the same bytes from `start` to `end`, which is in both."""
    at = start
    while at + 8 <= end:
        if read_i64_be(a, at) != read_i64_be(b, at):
            return False
        at += 8
    while at < end:
        if a[at] != b[at]:
            return False
        at += 1
    return True


@final
class _Run:
    """Segments in hand: the first one's bytes, and where its parts are."""

    def __init__(self, data: bytes, l4: i64, head: i64) -> None:
        self.pieces: list[bytes] = [data]
        self.first: bytes = data
        self.l4: i64 = l4
        self.head: i64 = head
        """Where the payload begins."""
        self.size: i64 = len(data) - head
        self.total: i64 = len(data)
        self.next_seq: i64 = (_u32(data, l4 + 4) + self.size) & 0xFFFFFFFF
        self.ended: bool = data[l4 + 13] & PSH != 0

    def takes(self, data: bytes, l4: i64, head: i64) -> bool:
        """Whether `data` is the next segment."""
        size = len(data) - head
        first = self.first
        if (
            self.ended or l4 != self.l4 or head != self.head or size > self.size
            or self.total + size > MAX_LENGTH or _u32(data, l4 + 4) != self.next_seq
            or not _same(data, first, 0, 16) or not _same(data, first, l4, l4 + 4)
            or not _same(data, first, l4 + 8, l4 + 13) or not _same(data, first, l4 + 14, l4 + 16)
            or not _same(data, first, l4 + 18, head)
        ):  # fmt: skip
            return False
        if l4 == L3 + 20:
            return _same(data, first, 20, 24) and _same(data, first, 26, 34)
        return _same(data, first, 16, 18) and _same(data, first, 20, 54)

    def add(self, data: bytes) -> None:
        size = len(data) - self.head
        self.pieces.append(data[self.head :])
        self.total += size
        self.next_seq = (self.next_seq + size) & 0xFFFFFFFF
        self.ended = size < self.size or data[self.l4 + 13] & PSH != 0
        if data[self.l4 + 13] & PSH != 0:
            head = bytearray(self.pieces[0])
            head[self.l4 + 13] |= PSH
            self.pieces[0] = bytes(head)

    def frame(self) -> Frame:
        if len(self.pieces) == 1:
            return Frame(self.first)
        l4 = self.l4
        head = bytearray(self.pieces[0])
        tcp_length = self.total - l4
        if l4 == L3 + 20:
            put16(head, L3 + 2, self.total - L3)
            put16(head, L3 + 10, 0)
            put16(head, L3 + 10, partial_sum(bytes(head[:l4]), L3, l4) ^ 0xFFFF)
            addresses = partial_sum(self.first, L3 + 12, l4)
            gso_type = GSO_TCPV4
        else:
            put16(head, L3 + 4, self.total - l4)
            addresses = partial_sum(self.first, L3 + 8, l4)
            gso_type = GSO_TCPV6
        put16(head, l4 + TCP_CSUM, fold(addresses + IPPROTO_TCP + tcp_length))
        self.pieces[0] = bytes(head)
        return Frame(b"".join(self.pieces), VNET_NEEDS_CSUM, gso_type, self.head, self.size, l4, TCP_CSUM)


def _tcp_offset(data: bytes) -> i64:
    """Where the TCP header of an untagged Ethernet frame begins that may be put together with others;
    -1 if it may not."""
    size = i64(len(data))
    if size < 54:
        return -1
    eth_type = _u16(data, 12)
    if eth_type == ETH_TYPE_IP:
        if data[14] != 0x45 or data[23] != IPPROTO_TCP or _u16(data, 20) & 0x3FFF != 0:
            return -1
        if _u16(data, 16) != size - L3:
            return -1
        l4: i64 = L3 + 20
    elif eth_type == ETH_TYPE_IPV6:
        if size < 74 or data[20] != IPPROTO_TCP or _u16(data, 18) != size - L3 - 40:
            return -1
        l4 = L3 + 40
    else:
        return -1
    header = (i64(data[l4 + 12]) >> 4) * 4
    flags = i64(data[l4 + 13])
    if header < 20 or l4 + header >= size or flags & ACK == 0 or flags & ~(ACK | PSH) != 0:
        return -1
    return l4


def _sound(data: bytes, l4: i64) -> bool:
    """Whether the TCP checksum is right."""
    start: i64 = L3 + 12 if l4 == L3 + 20 else L3 + 8
    total = partial_sum(data, start, l4) + IPPROTO_TCP + (len(data) - l4)
    return fold(total + partial_sum(data, l4, len(data))) == 0xFFFF


def coalesce(frames: list[bytes], verify: bool = False) -> list[Frame]:
    """`frames` in their order, with runs of TCP segments of one connection as one frame each. `verify`:
    nobody has looked at their checksums yet, and those that are wrong stay alone."""
    out: list[Frame] = []
    run: _Run | None = None
    for data in frames:
        l4 = _tcp_offset(data)
        if l4 < 0 or (verify and not _sound(data, l4)):
            if run is not None:
                out.append(run.frame())
                run = None
            out.append(Frame(data))
            continue
        head = l4 + (i64(data[l4 + 12]) >> 4) * 4
        if run is not None and run.takes(data, l4, head):
            run.add(data)
            continue
        if run is not None:
            out.append(run.frame())
        run = _Run(data, l4, head)
    if run is not None:
        out.append(run.frame())
    return out
