"""Headers as values: what composing packets and the slow-path protocols work with.

Each class is one header with `pack() -> bytes` and `unpack(data, offset) -> header`. Values are
in host order; Ethernet addresses and IPv4 addresses are integers, IPv6 addresses 16 bytes.
`unpack` raises `PacketError` if the header is cut off or contradicts itself, and nothing else.
Checksums are taken as they stand; `compose.compose` fills them in.

This is the comfortable way to read a packet; the fast one is `parse.Parser`.
"""

from __future__ import annotations

import struct

from vswitch.base.records import dataclass
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_VLAN_8021Q


class PacketError(ValueError):
    """A header is cut off or malformed; the text says which and how."""


def _take(data: bytes, offset: int, length: int, what: str) -> bytes:
    if len(data) - offset < length or offset < 0:
        raise PacketError(f"{what} header cut off: {max(len(data) - offset, 0)} of {length} bytes")
    return data[offset : offset + length]


def mac_bytes(mac: int) -> bytes:
    """An Ethernet address as 6 bytes."""
    return mac.to_bytes(6, "big")


def format_mac(mac: int) -> str:
    """An Ethernet address as 01:23:45:67:89:ab."""
    return mac.to_bytes(6, "big").hex(":")


def parse_mac(text: str) -> int:
    """The reverse of `format_mac`; PacketError if it isn't an Ethernet address."""
    parts = text.split(":")
    try:
        values = [int(p, 16) for p in parts]
    except ValueError:
        values = []
    if len(values) != 6 or any(v < 0 or v > 255 for v in values):
        raise PacketError(f"{text}: not an Ethernet address")
    return int.from_bytes(bytes(values), "big")


@dataclass(frozen=True)
class Ethernet:
    """An Ethernet II header, or with `type` below 0x600 an 802.3 one."""

    dst: int
    src: int
    type: int = 0

    def pack(self) -> bytes:
        return mac_bytes(self.dst) + mac_bytes(self.src) + self.type.to_bytes(2, "big")

    @staticmethod
    def unpack(data: bytes, offset: int = 0) -> Ethernet:
        raw = _take(data, offset, 14, "Ethernet")
        return Ethernet(int.from_bytes(raw[:6], "big"), int.from_bytes(raw[6:12], "big"),
                        int.from_bytes(raw[12:], "big"))  # fmt: skip


@dataclass(frozen=True)
class Snap:
    """802.2 LLC with a SNAP header of OUI 0 (RFC 1042); follows an 802.3 `Ethernet`."""

    type: int

    def pack(self) -> bytes:
        return b"\xaa\xaa\x03\x00\x00\x00" + self.type.to_bytes(2, "big")


@dataclass(frozen=True)
class Vlan:
    """A VLAN tag: the TCI, and the type of what follows. The TPID is the type field before it."""

    tci: int
    type: int = 0
    tpid: int = ETH_TYPE_VLAN_8021Q

    def pack(self) -> bytes:
        return struct.pack("!HH", self.tci, self.type)

    @staticmethod
    def unpack(data: bytes, offset: int = 0) -> Vlan:
        tci, eth_type = struct.unpack("!HH", _take(data, offset, 4, "VLAN"))
        return Vlan(tci, eth_type)


@dataclass(frozen=True)
class Mpls:
    """One label stack entry (RFC 3032, section 2.1). `bos` None is for `compose` to fill in."""

    label: int
    tc: int = 0
    bos: bool | None = None
    ttl: int = 64

    def pack(self) -> bytes:
        return (self.label << 12 | self.tc << 9 | (self.bos is True) << 8 | self.ttl).to_bytes(4, "big")

    @staticmethod
    def unpack(data: bytes, offset: int = 0) -> Mpls:
        lse = int.from_bytes(_take(data, offset, 4, "MPLS"), "big")
        return Mpls(lse >> 12, lse >> 9 & 7, bool(lse & 0x100), lse & 0xFF)


@dataclass(frozen=True)
class Arp:
    """ARP or RARP for IPv4 over Ethernet (RFC 826). `op` 1 asks, 2 answers."""

    op: int
    sha: int
    spa: int
    tha: int
    tpa: int

    def pack(self) -> bytes:
        start = struct.pack("!HHBBH", 1, ETH_TYPE_IP, 6, 4, self.op)
        sender = mac_bytes(self.sha) + self.spa.to_bytes(4, "big")
        return start + sender + mac_bytes(self.tha) + self.tpa.to_bytes(4, "big")

    @staticmethod
    def unpack(data: bytes, offset: int = 0) -> Arp:
        raw = _take(data, offset, 28, "ARP")
        if raw[:6] != b"\x00\x01\x08\x00\x06\x04":
            raise PacketError("ARP for something else than IPv4 over Ethernet")
        return Arp(int.from_bytes(raw[6:8], "big"), int.from_bytes(raw[8:14], "big"),
                   int.from_bytes(raw[14:18], "big"), int.from_bytes(raw[18:24], "big"),
                   int.from_bytes(raw[24:28], "big"))  # fmt: skip


@dataclass(frozen=True)
class IPv4:
    """An IPv4 header (RFC 791). `frag` is the flags and the offset field; `total_length` in bytes."""

    src: int
    dst: int
    proto: int = 0
    tos: int = 0
    ttl: int = 64
    id: int = 0
    frag: int = 0
    total_length: int = 20
    checksum: int = 0
    options: bytes = b""

    def pack(self) -> bytes:
        options = self.options + bytes(-len(self.options) % 4)
        ihl = 5 + len(options) // 4
        first = struct.pack("!BBHHH", 0x40 | ihl, self.tos, self.total_length, self.id, self.frag)
        rest = struct.pack("!BBHII", self.ttl, self.proto, self.checksum, self.src, self.dst)
        return first + rest + options

    @staticmethod
    def unpack(data: bytes, offset: int = 0) -> IPv4:
        raw = _take(data, offset, 20, "IPv4")
        ihl = (raw[0] & 0xF) * 4
        if ihl < 20:
            raise PacketError(f"IPv4 header says it has {ihl} bytes")
        options = _take(data, offset, ihl, "IPv4")[20:]
        _, tos, total, ident, frag, ttl, proto, checksum, src, dst = struct.unpack("!BBHHHBBHII", raw)
        return IPv4(src, dst, proto, tos, ttl, ident, frag, total, checksum, options)


@dataclass(frozen=True)
class IPv6:
    """An IPv6 header (RFC 8200); `payload_length` includes the extension headers."""

    src: bytes
    dst: bytes
    next: int = 0
    tclass: int = 0
    label: int = 0
    hlimit: int = 64
    payload_length: int = 0

    def pack(self) -> bytes:
        return struct.pack("!IHBB", 6 << 28 | self.tclass << 20 | self.label, self.payload_length, self.next,
                           self.hlimit) + self.src + self.dst  # fmt: skip

    @staticmethod
    def unpack(data: bytes, offset: int = 0) -> IPv6:
        raw = _take(data, offset, 40, "IPv6")
        first, length, nxt, hlimit = struct.unpack("!IHBB", raw[:8])
        return IPv6(raw[8:24], raw[24:], nxt, first >> 20 & 0xFF, first & 0xFFFFF, hlimit, length)


@dataclass(frozen=True)
class IPv6Fragment:
    """The IPv6 fragment header; `offset` in 8-byte units, `more` if others follow."""

    next: int
    offset: int = 0
    more: bool = False
    id: int = 0

    def pack(self) -> bytes:
        return struct.pack("!BBHI", self.next, 0, self.offset << 3 | self.more, self.id)

    @staticmethod
    def unpack(data: bytes, offset: int = 0) -> IPv6Fragment:
        nxt, _, offlg, ident = struct.unpack("!BBHI", _take(data, offset, 8, "IPv6 fragment"))
        return IPv6Fragment(nxt, offlg >> 3, bool(offlg & 1), ident)


@dataclass(frozen=True)
class Tcp:
    """A TCP header (RFC 9293) with its twelve flags; `options` are padded to 4 bytes."""

    src: int
    dst: int
    seq: int = 0
    ack: int = 0
    flags: int = 0
    window: int = 0
    checksum: int = 0
    urgent: int = 0
    options: bytes = b""

    def pack(self) -> bytes:
        options = self.options + bytes(-len(self.options) % 4)
        return struct.pack("!HHIIHHHH", self.src, self.dst, self.seq, self.ack,
                           (5 + len(options) // 4) << 12 | self.flags, self.window, self.checksum,
                           self.urgent) + options  # fmt: skip

    @staticmethod
    def unpack(data: bytes, offset: int = 0) -> Tcp:
        raw = _take(data, offset, 20, "TCP")
        src, dst, seq, ack, ctl, window, checksum, urgent = struct.unpack("!HHIIHHHH", raw)
        length = (ctl >> 12) * 4
        if length < 20:
            raise PacketError(f"TCP header says it has {length} bytes")
        options = _take(data, offset, length, "TCP")[20:]
        return Tcp(src, dst, seq, ack, ctl & 0xFFF, window, checksum, urgent, options)


@dataclass(frozen=True)
class Udp:
    """A UDP header (RFC 768)."""

    src: int
    dst: int
    length: int = 8
    checksum: int = 0

    def pack(self) -> bytes:
        return struct.pack("!HHHH", self.src, self.dst, self.length, self.checksum)

    @staticmethod
    def unpack(data: bytes, offset: int = 0) -> Udp:
        return Udp(*struct.unpack("!HHHH", _take(data, offset, 8, "UDP")))


@dataclass(frozen=True)
class Sctp:
    """SCTP's common header (RFC 9260, section 3.1); `checksum` is the CRC32c as it is sent."""

    src: int
    dst: int
    tag: int = 0
    checksum: bytes = bytes(4)

    def pack(self) -> bytes:
        return struct.pack("!HHI", self.src, self.dst, self.tag) + self.checksum

    @staticmethod
    def unpack(data: bytes, offset: int = 0) -> Sctp:
        raw = _take(data, offset, 12, "SCTP")
        src, dst, tag = struct.unpack("!HHI", raw[:8])
        return Sctp(src, dst, tag, raw[8:])


@dataclass(frozen=True)
class Icmp:
    """ICMP (RFC 792) or ICMPv6 (RFC 4443); `rest` is the four bytes that depend on the type."""

    type: int
    code: int = 0
    checksum: int = 0
    rest: int = 0

    def pack(self) -> bytes:
        return struct.pack("!BBHI", self.type, self.code, self.checksum, self.rest)

    @staticmethod
    def unpack(data: bytes, offset: int = 0) -> Icmp:
        return Icmp(*struct.unpack("!BBHI", _take(data, offset, 8, "ICMP")))


@dataclass(frozen=True)
class Igmp:
    """IGMP versions 1 and 2 (RFC 2236); version 3 begins alike."""

    type: int
    code: int = 0
    checksum: int = 0
    group: int = 0

    def pack(self) -> bytes:
        return struct.pack("!BBHI", self.type, self.code, self.checksum, self.group)

    @staticmethod
    def unpack(data: bytes, offset: int = 0) -> Igmp:
        return Igmp(*struct.unpack("!BBHI", _take(data, offset, 8, "IGMP")))


@dataclass(frozen=True)
class Nsh:
    """A Network Service Header (RFC 8300). `np`: 1 IPv4, 2 IPv6, 3 Ethernet, 4 NSH, 5 MPLS."""

    np: int
    mdtype: int = 1
    flags: int = 0
    ttl: int = 63
    path_hdr: int = 0
    """Service path identifier (24 bits) and service index (8 bits)."""
    metadata: bytes = bytes(16)

    def pack(self) -> bytes:
        metadata = self.metadata + bytes(-len(self.metadata) % 4)
        words = 2 + len(metadata) // 4
        return struct.pack("!HBBI", self.flags << 12 | self.ttl << 6 | words, self.mdtype, self.np,
                           self.path_hdr) + metadata  # fmt: skip

    @staticmethod
    def unpack(data: bytes, offset: int = 0) -> Nsh:
        first, mdtype, np, path_hdr = struct.unpack("!HBBI", _take(data, offset, 8, "NSH"))
        length = (first & 0x3F) * 4
        if first >> 14:
            raise PacketError(f"NSH version {first >> 14}")
        if length < 8:
            raise PacketError(f"NSH header says it has {length} bytes")
        metadata = _take(data, offset, length, "NSH")[8:]
        return Nsh(np, mdtype & 0xF, first >> 12 & 3, first >> 6 & 0x3F, path_hdr, metadata)


Header = (
    Ethernet | Snap | Vlan | Mpls | Arp | IPv4 | IPv6 | IPv6Fragment | Tcp | Udp | Sctp | Icmp | Igmp | Nsh
)
"""Any of the headers that `compose.compose` puts together."""
