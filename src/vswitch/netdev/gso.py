"""Checksum completion and segmentation in software, for whoever cannot take an offloaded frame.

A device without `virtio_net_hdr` (a dummy, a plain tap), the controller and a mirror over such a
device get from here what a network card would have put on the wire: `segments` gives the
finished frames of one `Frame`. TCP over IPv4 and IPv6, UDP over either (GSO_UDP_L4).
"""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter, read_i16_be, read_i32_be
from mypy_extensions import i64, u8

from vswitch.netdev.frame import GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, VNET_NEEDS_CSUM, Frame
from vswitch.packet.checksum import complete, crc32c, fold, partial_sum
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


def has_label(data: bytes) -> bool:
    """Whether an MPLS label follows the Ethernet header and its VLAN tags. No virtio_net_hdr says how the
    kernel is to cut up such a frame (it refuses it)."""
    size: i64 = len(data)
    at: i64 = 12
    while at + 2 <= size:
        eth_type: i64 = i64(read_i16_be(data, at)) & 0xFFFF
        if eth_type != ETH_TYPE_VLAN_8021Q and eth_type != ETH_TYPE_VLAN_8021AD:
            return eth_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST)
        at += 4
    return False


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
    if not can_cut(frame):
        return [data]
    return split(data, gso, frame.gso_size, frame.csum_start)


def can_cut(frame: Frame) -> bool:
    """Whether `frame` is of a kind that is segmented here."""
    return frame.gso_size > 0 and frame.gso_type & ~GSO_ECN in (GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4)


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
    parts = cut(data, gso, gso_size, l4, b"")
    if not parts:
        return [data]
    out: list[bytes] = []
    i: i64 = 0
    while i < len(parts):
        out.append(parts[i] + parts[i + 1])
        i += 2
    return out


def cut(data: bytes, gso: i64, gso_size: i64, l4: i64, before: bytes) -> list[bytes]:
    """The same, but the headers and the payload of each segment apart: they stand in turn in the list.
    `before` goes before each of the headers. [] if `data` can't be cut."""
    size: i64 = len(data)
    l3 = l3_offset(data, l4)
    if l3 < 0:
        return []
    is_tcp = gso != GSO_UDP_L4
    header: i64 = 8
    if is_tcp:
        if l4 + 20 > size:
            return []
        header = (i64(data[l4 + 12]) >> 4) * 4
    payload = l4 + header
    if header < 8 or payload > size:
        return []
    version: i64 = i64(data[l3]) >> 4
    first_id: i64 = i64(read_i16_be(data, l3 + 4)) & 0xFFFF
    first_seq: i64 = i64(read_i32_be(data, l4 + 4)) & 0xFFFFFFFF if is_tcp else 0
    flags: i64 = i64(data[l4 + 13]) if is_tcp else 0
    csum_at = l4 + 16 if is_tcp else l4 + 6
    # The sums of what all segments have in common; what differs is 0 in them.
    blank = bytearray(data[:payload])
    put16(blank, csum_at, 0)
    if version == 4:
        put16(blank, l3 + 2, 0)
        put16(blank, l3 + 4, 0)
        put16(blank, l3 + 10, 0)
    if is_tcp:
        put16(blank, l4 + 4, 0)
        put16(blank, l4 + 6, 0)
        blank[l4 + 13] = 0
    else:
        put16(blank, l4 + 4, 0)
    same = bytes(blank)
    ip_sum = partial_sum(same, l3, l4)
    pseudo = partial_sum(data, l3 + 12, l3 + 20) if version == 4 else partial_sum(data, l3 + 8, l3 + 40)
    l4_sum = pseudo + (IPPROTO_TCP if is_tcp else IPPROTO_UDP) + partial_sum(same, l4, payload)
    head = BytesWriter()
    head.write(before)
    head.write(same)
    shift: i64 = len(before)
    ip = l3 + shift
    tp = l4 + shift
    csum_at += shift
    out: list[bytes] = []
    at = payload
    n: i64 = 0
    while at < size or n == 0:
        end = at + gso_size
        if end > size:
            end = size
        l4_len = header + end - at
        total = l4_sum + l4_len + partial_sum(data, at, end)
        if version == 4:
            number = (first_id + n) & 0xFFFF
            ip_len = (l4 - l3 + l4_len) & 0xFFFF
            _patch(head, ip + 2, ip_len)
            _patch(head, ip + 4, number)
            _patch(head, ip + 10, fold(ip_sum + ip_len + number) ^ 0xFFFF)
        else:
            _patch(head, ip + 4, l4 - l3 - 40 + l4_len)
        if is_tcp:
            seq = (first_seq + at - payload) & 0xFFFFFFFF
            f = flags
            if end < size:
                f &= ~TCP_FIN_PSH
            if n:
                f &= ~TCP_CWR
            _patch(head, tp + 4, seq >> 16)
            _patch(head, tp + 6, seq)
            head[tp + 13] = u8(f)
            total += seq + f
        else:
            _patch(head, tp + 4, l4_len)
            total += l4_len
        value = fold(total) ^ 0xFFFF
        _patch(head, csum_at, value if value != 0 else 0xFFFF)
        out.append(head.getvalue())
        out.append(data[at:end])
        at = end
        n += 1
    return out


def _patch(head: BytesWriter, at: i64, value: i64) -> None:
    head[at] = u8((value >> 8) & 0xFF)
    head[at + 1] = u8(value & 0xFF)


def put16(head: bytearray, at: i64, value: i64) -> None:
    """Overwrite the 16-bit word at `at`."""
    head[at] = int((value >> 8) & 0xFF)
    head[at + 1] = int(value & 0xFF)
