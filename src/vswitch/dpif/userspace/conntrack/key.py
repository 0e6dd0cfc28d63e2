"""`Key`: what a packet is looked up by in the table of connections, and whether it may be at all.

A key is one direction of a connection in a zone. `extract` reads it from a parsed packet, having
verified lengths and checksums: what an end host would not accept must not change a connection's
state. An ICMP error has no connection of its own; its key is the direction in which it travels of
the connection that the packet quoted in it belongs to (RFC 792, RFC 4443, RFC 5508 section 4).
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i16_be, read_i32_be, read_i64_be
from mypy_extensions import i64

from vswitch.base.signed import signed16
from vswitch.packet.checksum import crc32c, fold, partial_sum
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_IPV6
from vswitch.packet.parse import Parser

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
ICMPV6: Final = 58
SCTP: Final = 132

INVALID: Final = -1
PLAIN: Final = 0
RELATED: Final = 1

ECHO_REPLY: Final = 0
ECHO: Final = 8
ECHO6: Final = 128
ECHO_REPLY6: Final = 129

NO_PORTS: Final = 0x00000000FFFFFFFF
"""`meta` without its ports."""


@final
class Key:
    """Addresses as two signed halves (IPv4: only the low one), and `meta`, which is from the highest
    bit on: source port (16), destination port (16), zone (16), protocol (8), family (8: 4 or 6).

    ICMP requests and replies have their identifier for a source, type and code for a destination port.
    """

    def __init__(self) -> None:
        self.src_hi: i64 = 0
        self.src_lo: i64 = 0
        self.dst_hi: i64 = 0
        self.dst_lo: i64 = 0
        self.meta: i64 = 0
        self.inner_l3: i64 = -1
        """Where the packet that an ICMP error quotes begins, and its payload."""
        self.inner_l4: i64 = -1
        self.quoted: Parser = Parser()

    def proto(self) -> i64:
        """The IP protocol."""
        return (self.meta >> 8) & 0xFF

    def copy_to(self, other: Key) -> None:
        """Make `other` the same key."""
        other.src_hi = self.src_hi
        other.src_lo = self.src_lo
        other.dst_hi = self.dst_hi
        other.dst_lo = self.dst_lo
        other.meta = self.meta

    def reverse(self) -> None:
        """Become the other direction."""
        hi = self.src_hi
        lo = self.src_lo
        self.src_hi = self.dst_hi
        self.src_lo = self.dst_lo
        self.dst_hi = hi
        self.dst_lo = lo
        self.meta = reverse_meta(self.meta)

    def extract(self, p: Parser, data: bytes, zone: i64, verify: bool) -> i64:
        """Become the key of the packet that `p` parsed: PLAIN, RELATED (an ICMP error), or INVALID.

        `verify`: the checksums are in the packet and nobody has looked at them.
        """
        self.inner_l3 = -1
        if p.l4_ofs < 0 or p.nw_frag:
            return INVALID
        family: i64
        if p.dl_type == ETH_TYPE_IP:
            family = 4
            if verify and partial_sum(data, p.l3_ofs, p.l4_ofs) != 0xFFFF:
                return INVALID
            self.src_hi = 0
            self.src_lo = p.nw_src
            self.dst_hi = 0
            self.dst_lo = p.nw_dst
        elif p.dl_type == ETH_TYPE_IPV6:
            family = 6
            self.src_hi = p.ipv6_src_hi
            self.src_lo = p.ipv6_src_lo
            self.dst_hi = p.ipv6_dst_hi
            self.dst_lo = p.ipv6_dst_lo
        else:
            return INVALID
        proto = p.nw_proto
        left = p.l3_end - p.l4_ofs
        self.meta = zone << 16 | proto << 8 | family
        if proto == TCP:
            if left < 20:
                return INVALID
            header: i64 = (i64(data[p.l4_ofs + 12]) >> 4) * 4
            if header < 20 or header > left or p.tp_src == 0 or p.tp_dst == 0:
                return INVALID
            if verify and not l4_sound(p, data, family):
                return INVALID
            self.meta |= ports_meta(p.tp_src, p.tp_dst)
        elif proto == UDP:
            if left < 8 or i64(read_i16_be(data, p.l4_ofs + 4)) & 0xFFFF != left:
                return INVALID
            if p.tp_src == 0 or p.tp_dst == 0:
                return INVALID
            unsummed = family == 4 and read_i16_be(data, p.l4_ofs + 6) == 0
            if verify and not unsummed and not l4_sound(p, data, family):
                return INVALID
            self.meta |= ports_meta(p.tp_src, p.tp_dst)
        elif proto == ICMP:
            if family != 4 or left < 8 or (verify and partial_sum(data, p.l4_ofs, p.l3_end) != 0xFFFF):
                return INVALID
            return self.icmp(p, data, zone)
        elif proto == ICMPV6:
            if family != 6 or left < 8 or (verify and not l4_sound(p, data, family)):
                return INVALID
            return self.icmpv6(p, data, zone)
        elif proto == SCTP:
            if left < 12 or (verify and not sctp_sound(data, p.l4_ofs, p.l3_end)):
                return INVALID
            self.meta |= ports_meta(p.tp_src, p.tp_dst)
        return PLAIN

    def icmp(self, p: Parser, data: bytes, zone: i64) -> i64:
        """An ICMP message (RFC 792): a request or reply with an identifier, or an error."""
        kind = p.tp_src
        if kind in (0, 8, 13, 14, 15, 16):
            return self.identified(p, data)
        if kind in (3, 4, 5, 11, 12):
            return self.quote(p, data, zone, ETH_TYPE_IP)
        return INVALID

    def icmpv6(self, p: Parser, data: bytes, zone: i64) -> i64:
        """An ICMPv6 message (RFC 4443); what is between neighbours (RFC 4861) is not tracked."""
        kind = p.tp_src
        if kind in (ECHO6, ECHO_REPLY6):
            return self.identified(p, data)
        if kind in (1, 2, 3, 4):
            return self.quote(p, data, zone, ETH_TYPE_IPV6)
        return INVALID

    def identified(self, p: Parser, data: bytes) -> i64:
        """A request or reply, which has no code but 0."""
        if p.tp_dst != 0:
            return INVALID
        self.meta |= ports_meta(i64(read_i16_be(data, p.l4_ofs + 4)) & 0xFFFF, p.tp_src << 8)
        return PLAIN

    def quote(self, p: Parser, data: bytes, zone: i64, eth_type: i64) -> i64:
        """An error: the key becomes that of the quoted packet's answer."""
        start = p.l4_ofs + 8
        if eth_type == ETH_TYPE_IP:
            if not self.quote4(p, data, start):
                return INVALID
        elif not self.quote6(p, data, start):
            return INVALID
        at = self.inner_l4
        proto: i64 = (self.meta >> 8) & 0xFF
        self.meta = zone << 16 | self.meta & 0xFFFF
        least: i64 = 20 if proto == TCP and eth_type == ETH_TYPE_IPV6 else 8
        if proto in (TCP, UDP, SCTP, ICMP, ICMPV6) and p.l3_end - at < least:
            # An IPv4 error quotes 8 bytes at least, an IPv6 error as much as fits.
            return INVALID
        if proto in (TCP, UDP, SCTP):
            ports: i64 = i64(read_i32_be(data, at))
            self.meta |= ports_meta((ports >> 16) & 0xFFFF, ports & 0xFFFF)
        elif proto in (ICMP, ICMPV6):
            word = read_i64_be(data, at)
            kind: i64 = (word >> 56) & 0xFF
            wanted: bool = kind in (0, 8, 13, 14, 15, 16) if proto == ICMP else kind in (ECHO6, ECHO_REPLY6)
            if not wanted or (word >> 48) & 0xFF != 0:
                return INVALID
            self.meta |= ports_meta((word >> 16) & 0xFFFF, kind << 8)
        self.inner_l3 = start
        self.reverse()
        return RELATED

    def quote4(self, p: Parser, data: bytes, at: i64) -> bool:
        """Addresses and protocol of the IPv4 packet quoted at `at`, which may be cut off."""
        if p.l3_end - at < 20:
            return False
        head = read_i64_be(data, at)
        ihl: i64 = ((head >> 56) & 0xF) * 4
        if (head >> 60) & 0xF != 4 or ihl < 20 or p.l3_end - at < ihl or head & 0x3FFF:
            return False
        if partial_sum(data, at, at + ihl) != 0xFFFF:
            return False
        addresses = read_i64_be(data, at + 12)
        if (addresses >> 32) & 0xFFFFFFFF != self.dst_lo:
            # Whoever gets the error sent the packet.
            return False
        self.src_lo = (addresses >> 32) & 0xFFFFFFFF
        self.dst_lo = addresses & 0xFFFFFFFF
        self.meta = i64(data[at + 9]) << 8 | 4
        self.inner_l4 = at + ihl
        return True

    def quote6(self, p: Parser, data: bytes, at: i64) -> bool:
        """The same for IPv6; the payload's length, which is that of the whole packet, is not looked at."""
        if p.l3_end - at < 40 or i64(data[at]) >> 4 != 6:
            return False
        if read_i64_be(data, at + 8) != self.dst_hi or read_i64_be(data, at + 16) != self.dst_lo:
            return False
        self.src_hi = read_i64_be(data, at + 8)
        self.src_lo = read_i64_be(data, at + 16)
        self.dst_hi = read_i64_be(data, at + 24)
        self.dst_lo = read_i64_be(data, at + 32)
        proto: i64 = i64(data[at + 6])
        ofs = at + 40
        while proto in (0, 43, 60):
            if p.l3_end - ofs < 8:
                return False
            proto = i64(data[ofs])
            ofs += (i64(data[ofs + 1]) + 1) * 8
        if proto == 44 or ofs > p.l3_end:
            return False
        self.meta = proto << 8 | 6
        self.inner_l4 = ofs
        return True


def ports_meta(src: i64, dst: i64) -> i64:
    """The port part of `meta`."""
    return signed16(src) << 48 | dst << 32


def reverse_meta(meta: i64) -> i64:
    """`meta` of the other direction: ports exchanged, or an ICMP request's type for its reply's."""
    src: i64 = (meta >> 48) & 0xFFFF
    dst: i64 = (meta >> 32) & 0xFFFF
    proto: i64 = (meta >> 8) & 0xFF
    if proto == ICMP:
        kind = dst >> 8
        # Echo 8 and 0, timestamp 13 and 14, information 15 and 16.
        kind = 8 - kind if kind in (0, 8) else (27 - kind if kind < 15 else 31 - kind)
        return ports_meta(src, kind << 8) | meta & NO_PORTS
    if proto == ICMPV6:
        return ports_meta(src, dst ^ 0x100) | meta & NO_PORTS
    return ports_meta(dst, src) | meta & NO_PORTS


def l4_sound(p: Parser, data: bytes, family: i64) -> bool:
    """Whether the checksum of a TCP, UDP or ICMPv6 packet is right."""
    addresses: i64
    if family == 4:
        addresses = partial_sum(data, p.l3_ofs + 12, p.l3_ofs + 20)
    else:
        addresses = partial_sum(data, p.l3_ofs + 8, p.l3_ofs + 40)
    length = p.l3_end - p.l4_ofs
    return fold(addresses + p.nw_proto + length + partial_sum(data, p.l4_ofs, p.l3_end)) == 0xFFFF


def sctp_sound(data: bytes, at: i64, end: i64) -> bool:
    """Whether an SCTP packet's CRC32c is right (RFC 9260, section 6.8)."""
    packet = data[at:end]
    blank = packet[:8] + bytes(4) + packet[12:]
    value: i64 = crc32c(blank)
    return packet[8:12] == bytes((value & 0xFF, value >> 8 & 0xFF, value >> 16 & 0xFF, value >> 24 & 0xFF))
