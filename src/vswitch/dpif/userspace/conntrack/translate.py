"""NAT: changing a packet's addresses and ports to those of its connection's other side.

For one direction these are the reverse of what the other direction has. The packet that an ICMP
error quotes goes the other way, so it gets back what its sender had put in (RFC 5508, section 4.2).
"""

from __future__ import annotations

from librt.strings import read_i16_be
from librt.vecs import vec
from mypy_extensions import i64

from vswitch.dpif.odp_execute import Executor, Packet
from vswitch.dpif.userspace.conntrack.key import ICMPV6, SCTP, TCP, UDP, Key
from vswitch.dpif.userspace.conntrack.table import F_DST_NAT, F_SRC_NAT, ORIG_AT, REPLY_AT, get_key
from vswitch.netdev.frame import Frame
from vswitch.packet.checksum import fold, partial_sum


def translate(executor: Executor, packet: Packet, rec: vec[i64], base: i64, reply: i64, nat: i64) -> None:
    """Give `packet`, which goes in direction `reply` of the connection, its new addresses and ports.

    `nat`: F_SRC_NAT, F_DST_NAT or both; the parser holds the packet.
    """
    other = base + (ORIG_AT if reply else REPLY_AT)
    src: bool = nat & (F_DST_NAT if reply else F_SRC_NAT) != 0
    dst: bool = nat & (F_SRC_NAT if reply else F_DST_NAT) != 0
    editor = executor.edit(packet)
    meta = rec[other + 4]
    put_addresses(executor, packet, rec, other, src, dst)
    proto: i64 = (meta >> 8) & 0xFF
    if proto in (TCP, UDP, SCTP):
        # Both, for a new destination may have needed another source port.
        editor.set_ports(proto, (meta >> 32) & 0xFFFF, 0xFFFF, (meta >> 48) & 0xFFFF, 0xFFFF)


def put_addresses(
    executor: Executor, packet: Packet, rec: vec[i64], other: i64, src: bool, dst: bool
) -> None:
    """Set the packet's source or destination, or both, to the reverse of the tuple at `other`."""
    editor = executor.edit(packet)
    if rec[other + 4] & 0xFF == 4:
        editor.set_ipv4(rec[other + 3], 0xFFFFFFFF if src else 0, rec[other + 1], 0xFFFFFFFF if dst else 0,
                        0, 0, 0, 0)
        return
    if src:
        editor.set_ipv6_src(rec[other + 2], rec[other + 3], -1, -1)
    if dst:
        editor.set_ipv6_dst(rec[other], rec[other + 1], -1, -1)


def translate_error(
    executor: Executor, packet: Packet, rec: vec[i64], base: i64, reply: i64, nat: i64, quote: Key
) -> None:
    """The same for an ICMP error in direction `reply`, and for the packet quoted in it."""
    other = base + (ORIG_AT if reply else REPLY_AT)
    src: bool = nat & (F_DST_NAT if reply else F_SRC_NAT) != 0
    dst: bool = nat & (F_SRC_NAT if reply else F_DST_NAT) != 0
    put_addresses(executor, packet, rec, other, src, dst)
    executor.settle(packet)
    executor.parse(packet)
    parser = executor.parser
    frame = packet.frame
    data = bytearray(frame.data)
    before = Key()
    get_key(rec, other, before)
    restore(data, parser.l3_end, quote.inner_l3, quote.inner_l4, before)
    at = parser.l4_ofs
    put16(data, at + 2, 0)
    made = bytes(data)
    total = partial_sum(made, at, parser.l3_end)
    if parser.nw_proto == ICMPV6:
        total += partial_sum(made, parser.l3_ofs + 8, parser.l3_ofs + 40) + ICMPV6 + parser.l3_end - at
    put16(data, at + 2, fold(total) ^ 0xFFFF)
    packet.frame = Frame(bytes(data), frame.flags)
    packet.parsed = False
    packet.extracted = False


def restore(data: bytearray, end: i64, l3: i64, l4: i64, key: Key) -> None:
    """Give the packet quoted at `l3`, as far as it is there, the addresses and ports of `key`."""
    proto: i64 = (key.meta >> 8) & 0xFF
    old = bytes(data)
    change: i64
    if key.meta & 0xFF == 4:
        change = fold(partial_sum(old, l3 + 12, l3 + 20) ^ 0xFFFF)
        put32(data, l3 + 12, key.src_lo)
        put32(data, l3 + 16, key.dst_lo)
        change += partial_sum(bytes(data), l3 + 12, l3 + 20)
        put16(data, l3 + 10, adjusted(i64(read_i16_be(old, l3 + 10)) & 0xFFFF, change))
    else:
        change = partial_sum(old, l3 + 8, l3 + 40) ^ 0xFFFF
        put64(data, l3 + 8, key.src_hi)
        put64(data, l3 + 16, key.src_lo)
        put64(data, l3 + 24, key.dst_hi)
        put64(data, l3 + 32, key.dst_lo)
        change += partial_sum(bytes(data), l3 + 8, l3 + 40)
    if proto in (TCP, UDP, SCTP):
        change += partial_sum(old, l4, l4 + 4) ^ 0xFFFF
        put16(data, l4, (key.meta >> 48) & 0xFFFF)
        put16(data, l4 + 2, (key.meta >> 32) & 0xFFFF)
        change += partial_sum(bytes(data), l4, l4 + 4)
    at: i64 = -1
    if proto == TCP:
        at = l4 + 16
    elif proto == UDP:
        at = l4 + 6
    elif proto == ICMPV6:
        at = l4 + 2
    if at < 0 or at + 2 > end:
        return
    was: i64 = i64(read_i16_be(old, at)) & 0xFFFF
    if proto == UDP and was == 0:
        return
    now = adjusted(was, change)
    put16(data, at, 0xFFFF if now == 0 and proto == UDP else now)


def adjusted(checksum: i64, change: i64) -> i64:
    """`checksum` after what it covers changed by the sum `change` (RFC 1624)."""
    return fold((checksum ^ 0xFFFF) + change) ^ 0xFFFF


def put16(data: bytearray, at: i64, value: i64) -> None:
    """Overwrite the 16-bit word at `at`."""
    data[at] = int((value >> 8) & 0xFF)
    data[at + 1] = int(value & 0xFF)


def put32(data: bytearray, at: i64, value: i64) -> None:
    """Overwrite the 32-bit word at `at`."""
    put16(data, at, (value >> 16) & 0xFFFF)
    put16(data, at + 2, value & 0xFFFF)


def put64(data: bytearray, at: i64, value: i64) -> None:
    """Overwrite the 64-bit word at `at`."""
    put32(data, at, (value >> 32) & 0xFFFFFFFF)
    put32(data, at + 4, value & 0xFFFFFFFF)
