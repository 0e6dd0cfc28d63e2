"""Making the headers of tunnels: what stands between the outer IP (or UDP) header and the packet inside.

Plain functions from values in host order to bytes. What differs from packet to packet (GRE's checksum and
sequence number, UDP's length) is left 0 for `outer.Encap` to fill in.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from vswitch.packet.numbers import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_TEB,
)
from vswitch.packet.tunnel.kinds import (
    ETH_TYPE_ERSPAN1,
    ETH_TYPE_ERSPAN2,
    GPE_PROTOCOLS,
    GRE_CSUM,
    GRE_KEY,
    GRE_SEQ,
    GTPU_FLAGS,
    VXLAN_GBP_FLAGS,
    VXLAN_GBP_G,
    VXLAN_GPE_P,
    VXLAN_I,
)

_GPE_NUMBERS: Final = {packet_type: number for number, packet_type in GPE_PROTOCOLS.items()}
_BAREUDP: Final = {
    ETH_TYPE_IP: (ETH_TYPE_IP, ETH_TYPE_IPV6), ETH_TYPE_MPLS: (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST),
}  # fmt: skip
UDP_CSUM: Final = b"\xff\xff"
"""A UDP checksum that is to be computed for each packet."""


class HeaderError(Exception):
    """A kind of tunnel can't carry a packet of this type; the text says which."""


def _ether_type(packet_type: int) -> int:
    return ETH_TYPE_TEB if packet_type == 0 else packet_type & 0xFFFF


def vxlan(vni: int, gbp: tuple[int, int] | None = None, gpe: int | None = None) -> bytes:
    """RFC 7348 section 5. `gbp`: group policy's group and flags (as tun_gbp_flags); `gpe`: the packet type
    inside, for the generic protocol extension. HeaderError: GPE has no number for that."""
    flags = VXLAN_I
    if gpe is not None:
        if gpe not in _GPE_NUMBERS:
            raise HeaderError(f"VXLAN-GPE carries no packets of type {gpe:#x}")
        flags |= VXLAN_GPE_P | _GPE_NUMBERS[gpe]
    if gbp is not None:
        flags |= VXLAN_GBP_G | gbp[1] << 16 & VXLAN_GBP_FLAGS | gbp[0] & 0xFFFF
    return struct.pack(">II", flags, (vni & 0xFFFFFF) << 8)


def geneve(vni: int, options: bytes = b"", oam: bool = False, packet_type: int = 0) -> bytes:
    """RFC 8926 section 3.4. `options`: whole options, at most 252 bytes; C is set if one is critical."""
    flags = 0x80 if oam else 0
    at = 0
    while at + 4 <= len(options):
        if options[at + 2] & 0x80:
            flags |= 0x40
        at += 4 + 4 * (options[at + 3] & 0x1F)
    head = struct.pack(">BBHI", len(options) // 4, flags, _ether_type(packet_type), (vni & 0xFFFFFF) << 8)
    return head + options


def gre(packet_type: int, key: int | None = None, csum: bool = False, seq: bool = False) -> bytes:
    """RFC 2784 section 2, RFC 2890 section 2."""
    return _gre(_ether_type(packet_type), key, csum, seq)


def _gre(protocol: int, key: int | None, csum: bool, seq: bool) -> bytes:
    flags = (GRE_CSUM if csum else 0) | (GRE_KEY if key is not None else 0) | (GRE_SEQ if seq else 0)
    out = struct.pack(">HH", flags, protocol)
    if csum:
        out += bytes(4)
    if key is not None:
        out += struct.pack(">I", key & 0xFFFFFFFF)
    if seq:
        out += bytes(4)
    return out


def _session(session: int) -> int:
    if session >> 10:
        raise HeaderError(f"ERSPAN's session numbers have 10 bits, {session} has more")
    return session


def erspan1(session: int, index: int) -> bytes:
    """Type II (draft-foschiano-erspan-03 section 4.2) behind GRE with a sequence number. HeaderError."""
    return _gre(ETH_TYPE_ERSPAN1, None, False, True) + struct.pack(
        ">HHI", 0x1000, _session(session), index & 0xFFFFF
    )


def erspan2(session: int, direction: int, hwid: int) -> bytes:
    """Type III (section 4.3) behind GRE with a sequence number. The time stamp is 0. HeaderError."""
    word = (hwid & 0x3F) << 4 | (direction & 1) << 3
    return _gre(ETH_TYPE_ERSPAN2, None, False, True) + struct.pack(
        ">HHIHH", 0x2000, _session(session), 0, 0, word
    )


def gtpu(teid: int, message: int) -> bytes:
    """3GPP TS 29.281 section 5.1, the length left 0."""
    return struct.pack(">BBHI", GTPU_FLAGS, message, 0, teid & 0xFFFFFFFF)


def bareudp(payload_type: int, packet_type: int) -> bytes:
    """Nothing: the packet follows UDP. HeaderError: it is not what such tunnels carry, which the other end
    could not see; with IPv4 goes IPv6, with MPLS its multicast (Documentation/networking/bareudp.rst of
    Linux)."""
    eth_type = packet_type & 0xFFFF
    if packet_type == 0 or eth_type not in _BAREUDP.get(payload_type, (payload_type,)):
        raise HeaderError(f"bareudp with {payload_type:#06x} carries no packets of type {packet_type:#x}")
    return b""


def segment_routing(segments: Sequence[bytes], proto: int) -> bytes:
    """The routing header of RFC 8754 section 2 for a way through `segments` (IPv6 addresses, first to
    last), before a header of `proto`; the outer packet's destination is the first."""
    last = len(segments) - 1
    head = struct.pack(">BBBBBBH", proto, 2 * len(segments), 4, last, last, 0, 0)
    return head + b"".join(reversed(segments))


def ethernet(dst: int, src: int, eth_type: int) -> bytes:
    """An untagged Ethernet header."""
    return dst.to_bytes(6, "big") + src.to_bytes(6, "big") + eth_type.to_bytes(2, "big")


def ipv4(src: int, dst: int, proto: int, tos: int, ttl: int, df: bool) -> bytes:
    """An IPv4 header (RFC 791) without length and checksum."""
    return struct.pack(">BBHHHBBHII", 0x45, tos, 0, 0, 0x4000 if df else 0, ttl, proto, 0, src, dst)


def ipv6(src: int, dst: int, proto: int, tos: int, hop_limit: int, label: int = 0) -> bytes:
    """An IPv6 header (RFC 8200 section 3) without length; the addresses as 128-bit numbers."""
    head = struct.pack(">IHBB", 6 << 28 | tos << 20 | label & 0xFFFFF, 0, proto, hop_limit)
    return head + src.to_bytes(16, "big") + dst.to_bytes(16, "big")


def udp(dst_port: int, csum: bool) -> bytes:
    """A UDP header (RFC 768) without source port and length; `csum`: each packet gets a checksum."""
    return struct.pack(">HHH", 0, dst_port, 0) + (UDP_CSUM if csum else b"\0\0")
