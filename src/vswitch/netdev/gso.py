"""Checksum completion and segmentation in software, for whoever cannot take an offloaded frame.

A device without `virtio_net_hdr` (a dummy, a plain tap), the controller and a mirror over such a
device get from here what a network card would have put on the wire: `segments` gives the
finished frames of one `Frame`. TCP over IPv4 and IPv6, UDP over either (GSO_UDP_L4).
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_be, read_i32_be
from mypy_extensions import i64

from vswitch.netdev.frame import GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, VNET_NEEDS_CSUM, Frame
from vswitch.packet.checksum import complete, crc32c, csum, fold, partial_sum
from vswitch.packet.numbers import (
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_VLAN_8021AD,
    ETH_TYPE_VLAN_8021Q,
    ETH_TYPE_VLAN_9100,
    IPPROTO_TCP,
    IPPROTO_UDP,
)

TCP_FIN_PSH: Final = 0x09
TCP_CWR: Final = 0x80
SCTP_CSUM_OFFSET: Final = 8
"""No Internet checksum lies there, so this offset means CRC32c."""


def needs_software(frame: Frame) -> bool:
    """Whether `frame` is not yet as it would be on the wire."""
    return frame.gso_type != GSO_NONE or (frame.flags & VNET_NEEDS_CSUM) != 0


def segments(frame: Frame) -> list[bytes]:
    """The frames on the wire that `frame` stands for: one, or as many as its segments.

    A frame whose offload state contradicts its bytes comes back as it is, as one frame.
    """
    data = frame.data
    gso: i64 = frame.gso_type & ~GSO_ECN
    if gso == GSO_NONE:
        if frame.flags & VNET_NEEDS_CSUM:
            if frame.csum_offset == SCTP_CSUM_OFFSET:
                return [complete_sctp(data, frame.csum_start)]
            return [complete(data, frame.csum_start, frame.csum_offset)]
        return [data]
    if frame.gso_size <= 0 or gso not in (GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4):
        return [data]
    return split(data, gso, frame.gso_size, frame.csum_start)


def finished(packet: bytes, offload: object | None) -> list[bytes]:
    """The frames on the wire of an upcall's `packet` with its `offload` state, for a controller."""
    if isinstance(offload, Frame) and offload.data is packet:
        return segments(offload)
    return [packet]


def complete_sctp(data: bytes, start: i64) -> bytes:
    """Put CRC32c, lowest byte first, into the SCTP packet that begins at `start` (RFC 9260)."""
    if start < 0 or start + 12 > len(data):
        return data
    blank = data[: start + SCTP_CSUM_OFFSET] + bytes(4) + data[start + 12 :]
    value = crc32c(blank[start:])
    crc = bytes((value & 0xFF, value >> 8 & 0xFF, value >> 16 & 0xFF, value >> 24 & 0xFF))
    return data[: start + SCTP_CSUM_OFFSET] + crc + data[start + 12 :]


def l3_offset(data: bytes, l4: i64) -> i64:
    """Where the IP header begins whose payload begins at `l4`; -1 if that cannot be."""
    size: i64 = len(data)
    if size < 14:
        return -1
    at: i64 = 12
    while at + 4 <= size:
        tpid: i64 = i64(read_i16_be(data, at)) & 0xFFFF
        if tpid != ETH_TYPE_VLAN_8021Q and tpid != ETH_TYPE_VLAN_8021AD and tpid != ETH_TYPE_VLAN_9100:
            break
        at += 4
    if at + 2 > size:
        return -1
    eth_type: i64 = i64(read_i16_be(data, at)) & 0xFFFF
    at += 2
    if eth_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
        while at + 4 <= size:
            bottom = data[at + 2] & 1
            at += 4
            if bottom:
                break
    if at + 20 > l4 or l4 > size:
        return -1
    return at


def split(data: bytes, gso: i64, gso_size: i64, l4: i64) -> list[bytes]:
    """Cut `data`, whose TCP or UDP header begins at `l4`, into payloads of at most `gso_size`."""
    size: i64 = len(data)
    l3 = l3_offset(data, l4)
    if l3 < 0:
        return [data]
    is_tcp = gso != GSO_UDP_L4
    header: i64 = 8
    if is_tcp:
        if l4 + 20 > size:
            return [data]
        header = (i64(data[l4 + 12]) >> 4) * 4
    payload = l4 + header
    if header < 8 or payload > size:
        return [data]
    version: i64 = i64(data[l3]) >> 4
    head = bytearray(data[:payload])
    first_id: i64 = i64(read_i16_be(data, l3 + 4)) & 0xFFFF
    first_seq: i64 = i64(read_i32_be(data, l4 + 4)) & 0xFFFFFFFF if is_tcp else 0
    flags: i64 = i64(data[l4 + 13]) if is_tcp else 0
    out: list[bytes] = []
    at = payload
    n: i64 = 0
    while at < size or n == 0:
        end = at + gso_size
        if end > size:
            end = size
        l4_len = header + end - at
        last = end >= size
        if version == 4:
            put16(head, l3 + 2, l4 - l3 + l4_len)
            put16(head, l3 + 4, first_id + n)
            put16(head, l3 + 10, 0)
            put16(head, l3 + 10, csum(bytes(head[l3:l4])))
            addresses = partial_sum(data, l3 + 12, l3 + 20)
        else:
            put16(head, l3 + 4, l4 - l3 - 40 + l4_len)
            addresses = partial_sum(data, l3 + 8, l3 + 40)
        if is_tcp:
            seq = (first_seq + at - payload) & 0xFFFFFFFF
            put16(head, l4 + 4, seq >> 16)
            put16(head, l4 + 6, seq)
            f = flags
            if not last:
                f &= ~TCP_FIN_PSH
            if n:
                f &= ~TCP_CWR
            head[l4 + 13] = int(f)
            csum_at = l4 + 16
        else:
            put16(head, l4 + 4, l4_len)
            csum_at = l4 + 6
        proto: i64 = IPPROTO_TCP if is_tcp else IPPROTO_UDP
        put16(head, csum_at, 0)
        segment = bytes(head) + data[at:end]
        value = fold(addresses + proto + l4_len + partial_sum(segment, l4, len(segment))) ^ 0xFFFF
        if value == 0:
            value = 0xFFFF
        out.append(segment[:csum_at] + bytes((value >> 8, value & 0xFF)) + segment[csum_at + 2 :])
        at = end
        n += 1
    return out


def put16(head: bytearray, at: i64, value: i64) -> None:
    """Overwrite the 16-bit word at `at`."""
    head[at] = int((value >> 8) & 0xFF)
    head[at + 1] = int(value & 0xFF)
