"""IP fragments: held until a packet is whole, tracked as one, and sent on as they came.

Only the first fragment has ports, so a connection can be told only from all of them. `take` holds a
fragment, or gives all of a packet when it is whole; `whole` puts them together, `cut` gives each its part of
what became of that. Nothing is held for longer than `TIMEOUT`. Fragments that overlap are refused, as
RFC 5722 demands of IPv6 and prudence of IPv4, and so are ones that are smaller than any link would make
them: they go on alone, and invalid.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i16_be, read_i32_be
from mypy_extensions import i64

from vswitch.base import coverage
from vswitch.dpif.odp_execute import Packet
from vswitch.dpif.userspace.conntrack.translate import put16
from vswitch.flow import layout as at
from vswitch.netdev.frame import Frame
from vswitch.packet.checksum import partial_sum
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_IPV6
from vswitch.packet.parse import Parser

TIMEOUT: Final = 15_000
"""ms"""
MAX_PACKET: Final = 0xFFFF
DEFAULT_MAX: Final = 1000
UPPER_MAX: Final = 5000
LOWEST_MIN: Final = 400
MIN_V4: Final = 1200
MIN_V6: Final = 1280
EXPIRE_BUDGET: Final = 64

FRAGMENT: Final = 44

Datagram = tuple[int, int, int, int, int, int, int]
"""Source and destination address as words, identification, protocol with family, zone with recirc_id."""

refused: Final = coverage.counter("conntrack_fragment_refused")
expired: Final = coverage.counter("datapath_drop_fragment_expired")


@final
class Family:
    """Settings and counters of one IP version."""

    def __init__(self, min_size: i64) -> None:
        self.enabled: bool = True
        self.min_size = min_size
        self.accepted: i64 = 0
        self.completed: i64 = 0
        self.expired: i64 = 0
        self.too_small: i64 = 0
        self.overlapped: i64 = 0
        self.purged: i64 = 0


@final
class Part:
    """One fragment: its place in the payload, and where that begins in its frame."""

    def __init__(self, packet: Packet, offset: i64, size: i64, start: i64, l3: i64) -> None:
        self.packet = packet
        self.offset = offset
        self.size = size
        self.start = start
        self.l3 = l3


@final
class Incomplete:
    """A packet of which something lacks yet; `parts` in order of their offsets."""

    def __init__(self, key: Datagram, family: Family, deadline: i64) -> None:
        self.key = key
        self.family = family
        self.deadline = deadline
        self.parts: list[Part] = []
        self.total: i64 = -1
        """The payload's length, once the last fragment is here."""
        self.have: i64 = 0

    def place(self, offset: i64, size: i64, last: bool) -> i64:
        """The index that a fragment gets, -1 if it overlaps or contradicts what is there."""
        end = offset + size
        if (last and self.total >= 0) or (self.total >= 0 and end > self.total):
            return -1
        i: i64 = 0
        for part in self.parts:
            if part.offset >= end:
                break
            if part.offset + part.size > offset:
                return -1
            i += 1
        if last and i < len(self.parts):
            return -1
        return i


@final
class Fragments:
    """What is held, by datagram, the oldest first."""

    def __init__(self) -> None:
        self.v4: Family = Family(MIN_V4)
        self.v6: Family = Family(MIN_V6)
        self.max_held: i64 = DEFAULT_MAX
        self.held: i64 = 0
        self.waiting: dict[Datagram, Incomplete] = {}

    def take(self, packet: Packet, p: Parser, zone: i64, now: i64) -> list[Part] | None:
        """Take a fragment, which `p` parsed: [] if it is held, all of its packet in order if that is whole;
        None if it is refused."""
        data = packet.frame.data
        l3 = p.l3_ofs
        offset: i64
        start: i64
        more: bool
        identification: i64
        proto: i64
        field: i64
        if p.dl_type == ETH_TYPE_IP:
            family = self.v4
            field = i64(read_i16_be(data, l3 + 6)) & 0xFFFF
            offset = (field & 0x1FFF) * 8
            more = field & 0x2000 != 0
            start = p.l4_ofs
            identification = i64(read_i16_be(data, l3 + 4)) & 0xFFFF
            proto = i64(data[l3 + 9]) << 8 | 4
            if partial_sum(data, l3, start) != 0xFFFF:
                return self.refuse()
            key = (0, int(p.nw_src), 0, int(p.nw_dst), int(identification), int(proto),
                   datagram_context(packet, zone))
        elif p.dl_type == ETH_TYPE_IPV6:
            family = self.v6
            header = fragment_header(data, l3, p.l3_end)
            if header < 0:
                return self.refuse()
            field = i64(read_i16_be(data, header + 2)) & 0xFFFF
            offset = field & 0xFFF8
            more = field & 1 != 0
            start = header + 8
            identification = i64(read_i32_be(data, header + 4)) & 0xFFFFFFFF
            key = (int(p.ipv6_src_hi), int(p.ipv6_src_lo), int(p.ipv6_dst_hi), int(p.ipv6_dst_lo),
                   int(identification), 6, datagram_context(packet, zone))
        else:
            return None
        if not family.enabled:
            return None
        size = p.l3_end - start
        if size <= 0 or (more and size % 8 != 0) or offset + size > MAX_PACKET:
            return self.refuse()
        if more and p.l3_end - l3 < family.min_size:
            family.too_small += 1
            return self.refuse()
        if self.held >= self.max_held:
            return self.refuse()
        packet_of = self.waiting.get(key)
        if packet_of is None:
            packet_of = Incomplete(key, family, now + TIMEOUT)
            self.waiting[key] = packet_of
        index = packet_of.place(offset, size, not more)
        if index < 0:
            family.overlapped += 1
            return self.refuse()
        packet.parsed = False
        packet_of.parts.insert(int(index), Part(packet, offset, size, start, l3))
        packet_of.have += size
        family.accepted += 1
        self.held += 1
        if not more:
            packet_of.total = offset + size
        if packet_of.have != packet_of.total:
            return []
        del self.waiting[key]
        self.held -= len(packet_of.parts)
        family.completed += len(packet_of.parts)
        return packet_of.parts

    def refuse(self) -> list[Part] | None:
        """A fragment that goes on alone."""
        refused.inc()
        return None

    def expire(self, now: i64) -> None:
        """Let go of what has waited too long, a bounded number of packets."""
        n: i64 = 0
        while self.waiting and n < EXPIRE_BUDGET:
            oldest = next(iter(self.waiting.values()))
            if oldest.deadline > now:
                return
            del self.waiting[oldest.key]
            oldest.family.expired += 1
            oldest.family.purged += len(oldest.parts)
            self.held -= len(oldest.parts)
            expired.inc(len(oldest.parts))
            n += 1

    def flush(self) -> None:
        """Let go of everything."""
        self.waiting.clear()
        self.held = 0


def datagram_context(packet: Packet, zone: i64) -> int:
    """What else must be the same for fragments to belong together: zone and how far they have come."""
    return int(zone << 32 | (packet.flow.words[at.W_RECIRC_ID] >> 32) & 0xFFFFFFFF)


def fragment_header(data: bytes, l3: i64, end: i64) -> i64:
    """Where an IPv6 packet's fragment header is (RFC 8200, section 4.5), -1 if nowhere."""
    proto: i64 = i64(data[l3 + 6])
    ofs = l3 + 40
    while proto in (0, 43, 60):
        if end - ofs < 8:
            return -1
        proto = i64(data[ofs])
        ofs += (i64(data[ofs + 1]) + 1) * 8
    return ofs if proto == FRAGMENT and end - ofs >= 8 else -1


def whole(parts: list[Part]) -> Packet:
    """All parts as one packet, with the first one's headers and metadata."""
    first = parts[0]
    data = first.packet.frame.data
    l3 = first.l3
    payload = b"".join([part.packet.frame.data[part.start : part.start + part.size] for part in parts])
    if i64(data[l3]) >> 4 == 4:
        head = bytearray(data[: first.start])
        put16(head, l3 + 2, first.start - l3 + len(payload))
        put16(head, l3 + 6, 0)
        put16(head, l3 + 10, 0)
        put16(head, l3 + 10, partial_sum(bytes(head), l3, first.start) ^ 0xFFFF)
    else:
        header = first.start - 8
        head = bytearray(data[:header])
        head[int(next_header(data, l3, header))] = data[header]
        put16(head, l3 + 4, header - l3 - 40 + len(payload))
    made = Packet(Frame(bytes(head) + payload), first.packet.flow.copy(), first.packet.in_port)
    made.conn = first.packet.conn
    made.conn_serial = first.packet.conn_serial
    return made


def next_header(data: bytes, l3: i64, header: i64) -> i64:
    """Where the number of the header at `header` stands in front of it."""
    where = l3 + 6
    ofs = l3 + 40
    while ofs < header:
        where = ofs
        ofs += (i64(data[ofs + 1]) + 1) * 8
    return where


def cut(parts: list[Part], tracked: Packet, l3: i64, l4: i64) -> list[Packet]:
    """The fragments that `tracked`, put together of `parts`, is sent on as; its payload begins at `l4`."""
    data = tracked.frame.data
    v4: bool = i64(data[l3]) >> 4 == 4
    # A helper may have changed the length: the last fragment has what is over.
    last = parts[len(parts) - 1]
    out: list[Packet] = []
    for part in parts:
        packet = part.packet
        old = packet.frame.data
        end: i64 = len(data) if part is last else l4 + part.offset + part.size
        piece = data[l4 + part.offset : end]
        head = bytearray(old[: part.start])
        if v4:
            head[part.l3 + 12 : part.l3 + 20] = data[l3 + 12 : l3 + 20]
            put16(head, part.l3 + 2, part.start - part.l3 + len(piece))
            put16(head, part.l3 + 10, 0)
            put16(head, part.l3 + 10, partial_sum(bytes(head), part.l3, part.start) ^ 0xFFFF)
        else:
            head[part.l3 + 8 : part.l3 + 40] = data[l3 + 8 : l3 + 40]
            put16(head, part.l3 + 4, part.start - part.l3 - 40 + len(piece))
        packet.frame = Frame(bytes(head) + piece + old[part.start + part.size :], packet.frame.flags)
        packet.parsed = False
        packet.extracted = False
        packet.conn = tracked.conn
        packet.conn_serial = tracked.conn_serial
        copy_tracking(tracked, packet)
        out.append(packet)
    return out


def copy_tracking(source: Packet, target: Packet) -> None:
    """Give `target` what tracking says of `source`."""
    a = source.flow.words
    b = target.flow.words
    i: i64 = at.W_CT_LABEL
    while i <= at.W_CT_STATE:
        b[i] = a[i]
        i += 1
    i = at.W_CT_NW_SRC
    while i < at.W_CT_IPV6_DST + 2:
        b[i] = a[i]
        i += 1
    b[at.W_CT_TP_SRC] = b[at.W_CT_TP_SRC] & ~0xFFFFFFFF | a[at.W_CT_TP_SRC] & 0xFFFFFFFF
