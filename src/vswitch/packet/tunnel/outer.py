"""Putting a prepared outer header in front of packets: lengths, checksums, ports, sequence numbers.

An `Encap` is made once for a `tnl_push`, whose header lacks what differs from packet to packet. `wrap` adds
up only that: the checksum over the rest of the outer IP header is known beforehand.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i16_be
from mypy_extensions import i64

from vswitch.packet.checksum import fold, partial_sum
from vswitch.packet.tunnel.kinds import GRE_CSUM, GRE_KEY, GRE_SEQ, GTPU, OVER_GRE, OVER_UDP

IPPROTO_UDP: Final = 17
ETHERNET: Final = 14


def _put16(out: bytearray, at: i64, value: i64) -> None:
    out[at] = int(value >> 8 & 0xFF)
    out[at + 1] = int(value & 0xFF)


@final
class Encap:
    """A header made ready. `l3`, `l4`: where its IP header, and UDP or GRE, begin."""

    def __init__(self, header: bytes, kind: i64) -> None:
        """`header` from Ethernet to the tunnel's own; ValueError if it has no whole IP header in it."""
        self.header: bytes = header
        self.kind: i64 = kind
        self.l3: i64 = ETHERNET
        size: i64 = len(header)
        self.is_ipv6: bool = size > ETHERNET and i64(header[14]) >> 4 == 6
        self.l4: i64 = ETHERNET + (40 if self.is_ipv6 else 20)
        l4 = self.l4
        if size < l4:
            raise ValueError(f"an outer header of {len(header)} bytes has no IP header")
        self.has_udp: bool = kind in OVER_UDP
        if self.has_udp and size < l4 + 8:
            raise ValueError(f"an outer header of {len(header)} bytes has no UDP header")
        self.udp_csum: bool = self.has_udp and (header[l4 + 6] != 0 or header[l4 + 7] != 0)
        self.gre_flags: i64 = 0
        self.gre_seq: i64 = 0
        """Where the sequence number stands, 0 if there is none."""
        if kind in OVER_GRE:
            if size < l4 + 4:
                raise ValueError(f"an outer header of {len(header)} bytes has no GRE header")
            self.gre_flags = i64(read_i16_be(header, l4)) & 0xFFFF
            at = l4 + 4
            if self.gre_flags & GRE_CSUM != 0:
                at += 4
            if self.gre_flags & GRE_KEY != 0:
                at += 4
            if self.gre_flags & GRE_SEQ != 0:
                self.gre_seq = at
                at += 4
            if size < at:
                raise ValueError(f"an outer header of {len(header)} bytes has no whole GRE header")
        self.ip_sum: i64 = 0
        """IPv4: the header's sum, but for length and checksum."""
        self.pseudo_sum: i64 = 0
        """UDP's pseudo-header, but for the length."""
        if self.is_ipv6:
            self.pseudo_sum = partial_sum(header, 22, 54) + IPPROTO_UDP
        else:
            self.ip_sum = partial_sum(header, 14, 16) + partial_sum(header, 18, 24)
            self.ip_sum += partial_sum(header, 26, 34)
            self.pseudo_sum = partial_sum(header, 26, 34) + IPPROTO_UDP

    def head(self, payload: i64, src_port: i64) -> bytes:
        """The header, with UDP in it, of a packet around `payload` bytes; its UDP checksum is the sum of the
        pseudo-header, for the device to complete."""
        head = bytearray(self.header)
        size = i64(len(head)) + payload
        l4 = self.l4
        if self.is_ipv6:
            _put16(head, 18, size - 54)
        else:
            _put16(head, 16, size - 14)
            _put16(head, 24, fold(self.ip_sum + size - 14) ^ 0xFFFF)
        length = size - l4
        _put16(head, l4, src_port)
        _put16(head, l4 + 4, length)
        if self.kind == GTPU:
            _put16(head, l4 + 10, length - 16)
        _put16(head, l4 + 6, fold(self.pseudo_sum + length))
        return bytes(head)

    def wrap(self, payload: bytes, src_port: i64, seq: i64, compute: bool = True) -> bytes:
        """The packet around `payload`: UDP's source port `src_port`, GRE's sequence number `seq`. Not
        `compute`: UDP's checksum is left as the pseudo-header's sum, for the device to complete."""
        if not compute:
            return self.head(len(payload), src_port) + payload
        head = bytearray(self.header)
        size = i64(len(head)) + len(payload)
        l4 = self.l4
        if self.is_ipv6:
            _put16(head, 18, size - 54)
        else:
            _put16(head, 16, size - 14)
            _put16(head, 24, fold(self.ip_sum + size - 14) ^ 0xFFFF)
        if self.has_udp:
            length = size - l4
            _put16(head, l4, src_port)
            _put16(head, l4 + 4, length)
            if self.kind == GTPU:
                _put16(head, l4 + 10, length - 16)
            if self.udp_csum:
                _put16(head, l4 + 6, 0)
                total = self.pseudo_sum + length + _sum(head, l4)
                value = fold(total + partial_sum(payload, 0, len(payload))) ^ 0xFFFF
                _put16(head, l4 + 6, value if value != 0 else 0xFFFF)
        else:
            if self.gre_seq != 0:
                _put16(head, self.gre_seq, seq >> 16)
                _put16(head, self.gre_seq + 2, seq)
            if self.gre_flags & GRE_CSUM != 0:
                total = _sum(head, l4) + partial_sum(payload, 0, len(payload))
                _put16(head, l4 + 4, fold(total) ^ 0xFFFF)
        return bytes(head) + payload


def _sum(head: bytearray, start: i64) -> i64:
    """The sum of what is in `head` from `start` on, which has an even length."""
    data = bytes(head)
    return partial_sum(data, start, len(data))


def needs_whole_checksum(encap: Encap) -> bool:
    """Whether the outer header has a checksum over the packet inside, whose own must be complete then."""
    return encap.udp_csum or encap.gre_flags & GRE_CSUM != 0

