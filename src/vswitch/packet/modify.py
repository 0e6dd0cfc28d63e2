"""Editing a frame in place: what the set, push and pop actions of a datapath do to its bytes.

An `Editor` holds the headers of one frame in a writable buffer (the payload of a long frame
is not copied until `finish`). `begin` takes the frame and the `Parser` that parsed it; the
edits follow; `finish` gives the new frame. The editor is reusable, and cheap when a datapath
flow has no action that changes the packet: just don't begin.

Set methods take values with masks: `mask` has a one for each bit to overwrite. They follow the
grouping of the `ovs_key_*` structs of <linux/openvswitch.h>. Checksums that cover a changed
bit are updated incrementally (RFC 1624), so that a wrong checksum stays exactly as wrong.

**Partial checksums.** When `partial` is true the L4 checksum field holds only the sum of the
pseudo-header and the device fills in the rest (`VIRTIO_NET_HDR_F_NEEDS_CSUM`): then a change
of address changes the field, a change of port or payload doesn't.

A set of a header that the frame lacks, or that is cut off, does nothing.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import BytesWriter, write_i32_be
from mypy_extensions import i32, i64, u8

from vswitch.base.signed import signed32
from vswitch.packet.buffer import (
    get16,
    get32,
    get48,
    get64,
    is_source_routed,
    nd_option,
    put16,
    put32,
    put48,
    put64,
)
from vswitch.packet.checksum import crc32c, csum_update16, difference128, fold
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_NSH,
    ETH_TYPE_RARP,
    ETH_TYPE_VLAN_8021AD,
    ETH_TYPE_VLAN_8021Q,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    ND_NEIGHBOR_ADVERT,
    ND_NEIGHBOR_SOLICIT,
    NW_FRAG_LATER,
)
from vswitch.packet.parse import Parser

_WHOLE: Final = 512
"""A frame up to this many bytes is buffered whole."""
_HEAD: Final = 256
"""Of a longer frame at least this much, and 64 bytes behind the L4 header's start."""


def is_vlan_type(eth_type: i64) -> bool:
    """Whether `eth_type` says that a VLAN tag follows."""
    return eth_type in (ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD)


@final
class Editor:
    """One frame being edited. `shift` is the number of bytes inserted (less those removed) so
    far in front of the L3 header: an offload's `csum_start` and `hdr_len` move by as much."""

    def __init__(self) -> None:
        self.head: BytesWriter = BytesWriter()
        self.data: bytes = b""
        self.rest: i64 = 0
        """Where in `data` the part begins that isn't in `head`."""
        self.partial: bool = False
        self.shift: i64 = 0
        self.dl_type: i64 = 0
        self.dl_type_ofs: i64 = 12
        """Where the Ethernet type stands behind the VLAN tags; -1 without an Ethernet header."""
        self.l2_5_ofs: i64 = -1
        self.l3_ofs: i64 = -1
        self.l4_ofs: i64 = -1
        self.l3_end: i64 = 0
        self.nw_proto: i64 = 0
        self.nw_frag: i64 = 0

    def begin(self, data: bytes, parser: Parser, partial: bool = False) -> None:
        """Start on `data`, which `parser` parsed last."""
        size: i64 = parser.size
        n: i64 = size
        if size > _WHOLE and parser.nw_proto != IPPROTO_SCTP and parser.nw_proto != IPPROTO_ICMPV6:
            n = parser.l4_ofs + 64
            if n < _HEAD:
                n = _HEAD
            if n > size:
                n = size
        head = BytesWriter()
        if n == size:
            head.write(data)
        else:
            head.write(data[:n])
        self.head = head
        self.data = data
        self.rest = n
        self.partial = partial
        self.shift = 0
        self.dl_type = parser.dl_type
        self.dl_type_ofs = parser.dl_type_ofs
        self.l2_5_ofs = parser.l2_5_ofs
        self.l3_ofs = parser.l3_ofs
        self.l4_ofs = parser.l4_ofs
        self.l3_end = parser.l3_end
        self.nw_proto = parser.nw_proto
        self.nw_frag = parser.nw_frag

    def finish(self) -> bytes:
        """The edited frame. The editor can go on editing it."""
        head = self.head.getvalue()
        if self.rest < len(self.data):
            return b"".join((head, memoryview(self.data)[self.rest:]))
        return head

    def size(self) -> i64:
        """Length of the frame as it is now."""
        return len(self.head) + len(self.data) - self.rest

    # Headers inserted and removed.

    def _splice(self, at: i64, remove: i64, insert: bytes) -> None:
        """Replace `remove` bytes at `at` by `insert`, moving the offsets behind."""
        old = self.head.getvalue()
        head = BytesWriter()
        if at:
            head.write(old[:at])
        head.write(insert)
        head.write(old[at + remove :])
        self.head = head
        self._moved(at, len(insert) - remove)

    def _insert32(self, at: i64, word: i64) -> None:
        """Insert the 32-bit `word` at `at`."""
        old = self.head.getvalue()
        head = BytesWriter()
        if at:
            head.write(old[:at])
        write_i32_be(head, i32(signed32(word)))
        head.write(old[at:])
        self.head = head
        self._moved(at, 4)

    def _moved(self, at: i64, delta: i64) -> None:
        """What was at `at` or behind it has moved by `delta`."""
        self.shift += delta
        self.l3_end += delta
        if self.l3_ofs >= at:
            self.l3_ofs += delta
        if self.l4_ofs >= at:
            self.l4_ofs += delta

    def push_vlan(self, tpid: i64, tci: i64) -> None:
        """Insert a tag outside any others; bit 0x1000 of `tci` is not sent."""
        if self.dl_type_ofs < 0 or len(self.head) < 14:
            return
        self._insert32(12, tpid << 16 | tci & 0xEFFF)
        self.dl_type_ofs += 4
        if self.l2_5_ofs >= 0:
            self.l2_5_ofs += 4

    def pop_vlan(self) -> None:
        """Remove the outermost tag."""
        if self.dl_type_ofs < 0 or len(self.head) < 18 or not is_vlan_type(get16(self.head, 12)):
            return
        self._splice(12, 4, b"")
        self.dl_type_ofs -= 4
        if self.l2_5_ofs >= 0:
            self.l2_5_ofs -= 4

    def set_vlan(self, tci: i64, mask: i64) -> None:
        """Change bits of the outermost tag's TCI (priority and VLAN id)."""
        if self.dl_type_ofs < 0 or len(self.head) < 18 or not is_vlan_type(get16(self.head, 12)):
            return
        mask &= 0xEFFF
        put16(self.head, 14, get16(self.head, 14) & ~mask | tci & mask)

    def _set_dl_type(self, eth_type: i64) -> None:
        self.dl_type = eth_type
        if self.dl_type_ofs >= 0 and self.dl_type_ofs + 2 <= len(self.head):
            put16(self.head, self.dl_type_ofs, eth_type)

    def push_mpls(self, lse: i64, ethertype: i64) -> None:
        """Insert a label stack entry outside any others, inside the VLAN tags (RFC 3032)."""
        if self.l2_5_ofs < 0:
            if self.l3_ofs < 0:
                return
            self.l2_5_ofs = self.l3_ofs
        at = self.l2_5_ofs
        self._insert32(at, lse)
        self._set_dl_type(ethertype)

    def pop_mpls(self, ethertype: i64) -> None:
        """Remove the outermost label stack entry; what follows it is said to be `ethertype`."""
        at = self.l2_5_ofs
        if at < 0 or at + 4 > len(self.head):
            return
        bottom: bool = (i64(self.head[at + 2]) & 1) != 0
        self._splice(at, 4, b"")
        self._set_dl_type(ethertype)
        if bottom:
            self.l2_5_ofs = -1
        if ethertype != ETH_TYPE_MPLS and ethertype != ETH_TYPE_MPLS_MCAST:
            self.l3_ofs = at

    def add_mpls(self, lse: i64, ethertype: i64, after_ethernet: bool) -> None:
        """Insert a label stack entry after the Ethernet header, or in front of everything."""
        if after_ethernet:
            self.push_mpls(lse, ethertype)
            return
        self.l2_5_ofs = 0
        self._insert32(0, lse)
        self.dl_type_ofs = -1
        self.dl_type = ethertype

    def set_mpls(self, lse: i64, mask: i64) -> None:
        """Change bits of the outermost label stack entry."""
        at = self.l2_5_ofs
        if at >= 0 and at + 4 <= len(self.head):
            put32(self.head, at, get32(self.head, at) & ~mask | lse & mask)

    def push_eth(self, src: i64, dst: i64) -> None:
        """Prepend an Ethernet header to an L3 packet; its type is the packet's."""
        w = BytesWriter()
        w.write(bytes(14))
        put48(w, 0, dst)
        put48(w, 6, src)
        put16(w, 12, self.dl_type)
        if self.l2_5_ofs >= 0:
            self.l2_5_ofs += 14
        self._splice(0, 0, w.getvalue())
        self.dl_type_ofs = 12

    def pop_eth(self) -> None:
        """Remove the Ethernet header (and tags)."""
        at = self.l3_ofs if self.l2_5_ofs < 0 else self.l2_5_ofs
        if self.dl_type_ofs < 0 or at < 0:
            return
        if self.l2_5_ofs >= 0:
            self.l2_5_ofs = 0
        self._splice(0, at, b"")
        self.dl_type_ofs = -1

    def push_nsh(self, flags: i64, ttl: i64, mdtype: i64, np: i64, path_hdr: i64, metadata: bytes) -> None:
        """Prepend an NSH header (RFC 8300) to the whole packet, which becomes an L3 packet."""
        length: i64 = 8 + (len(metadata) + 3) // 4 * 4
        w = BytesWriter()
        w.write(bytes(8))
        put16(w, 0, (flags & 3) << 12 | (ttl & 0x3F) << 6 | length // 4 & 0x3F)
        w[2] = u8(mdtype & 0xF)
        w[3] = u8(np & 0xFF)
        put32(w, 4, path_hdr)
        w.write(metadata)
        w.write(bytes(length - 8 - len(metadata)))
        self._splice(0, 0, w.getvalue())
        self.dl_type = ETH_TYPE_NSH
        self.dl_type_ofs = -1
        self.l2_5_ofs = -1
        self.l3_ofs = 0
        self.l4_ofs = -1
        self.nw_proto = 0

    def pop_nsh(self) -> i64:
        """Remove the NSH header in front of the packet; the Ethernet type of what is below.

        0 is returned if below is an Ethernet frame, -1 if there was no NSH header to remove.
        Offsets into what is below are unknown until it is parsed again.
        """
        size: i64 = len(self.head)
        at = self.l3_ofs
        if self.dl_type != ETH_TYPE_NSH or at != 0 or size < 8:
            return -1
        length: i64 = (get16(self.head, at) & 0x3F) * 4
        if length < 8 or length > size:
            return -1
        np: i64 = i64(self.head[3])
        self._splice(0, length, b"")
        self.l3_ofs = -1
        if np == 1:
            self.dl_type = ETH_TYPE_IP
            self.l3_ofs = 0
        elif np == 2:
            self.dl_type = ETH_TYPE_IPV6
            self.l3_ofs = 0
        elif np == 4:
            self.l3_ofs = 0
        elif np == 5:
            self.dl_type = ETH_TYPE_MPLS
            self.l2_5_ofs = 0
        else:
            self.dl_type = 0
        return self.dl_type

    def set_nsh(self, flags: i64, flags_mask: i64, ttl: i64, ttl_mask: i64,
                path_hdr: i64, path_mask: i64) -> None:
        """Change bits of the NSH base and service path headers."""
        at = self.l3_ofs
        if self.dl_type != ETH_TYPE_NSH or at < 0 or at + 8 > len(self.head):
            return
        bits: i64 = (flags & flags_mask & 3) << 12 | (ttl & ttl_mask & 0x3F) << 6
        mask: i64 = (flags_mask & 3) << 12 | (ttl_mask & 0x3F) << 6
        put16(self.head, at, get16(self.head, at) & ~mask | bits)
        put32(self.head, at + 4, get32(self.head, at + 4) & ~path_mask | path_hdr & path_mask)

    def set_nsh_context(self, index: i64, value: i64, mask: i64) -> None:
        """Change bits of context word `index` (0..3) of metadata type 1."""
        at = self.l3_ofs
        if self.dl_type != ETH_TYPE_NSH or at < 0 or at + 24 > len(self.head) or self.head[at + 2] & 0xF != 1:
            return
        at += 8 + 4 * index
        put32(self.head, at, get32(self.head, at) & ~mask | value & mask)

    # Ethernet, ARP.

    def set_ethernet(self, src: i64, src_mask: i64, dst: i64, dst_mask: i64) -> None:
        """Change bits of the Ethernet addresses."""
        w = self.head
        if self.dl_type_ofs < 0 or len(w) < 14:
            return
        if dst_mask:
            put48(w, 0, get48(w, 0) & ~dst_mask | dst & dst_mask)
        if src_mask:
            put48(w, 6, get48(w, 6) & ~src_mask | src & src_mask)

    def set_arp(self, op: i64, op_mask: i64, spa: i64, spa_mask: i64, tpa: i64, tpa_mask: i64,
                sha: i64, sha_mask: i64, tha: i64, tha_mask: i64) -> None:
        """Change bits of an ARP or RARP message for IPv4 over Ethernet."""
        w = self.head
        at = self.l3_ofs
        if (self.dl_type != ETH_TYPE_ARP and self.dl_type != ETH_TYPE_RARP) or at < 0 or at + 28 > len(w):
            return
        put16(w, at + 6, get16(w, at + 6) & ~op_mask | op & op_mask)
        put48(w, at + 8, get48(w, at + 8) & ~sha_mask | sha & sha_mask)
        put32(w, at + 14, get32(w, at + 14) & ~spa_mask | spa & spa_mask)
        put48(w, at + 18, get48(w, at + 18) & ~tha_mask | tha & tha_mask)
        put32(w, at + 24, get32(w, at + 24) & ~tpa_mask | tpa & tpa_mask)

    # L4 checksums.

    def _csum_ofs(self) -> i64:
        """Where the L4 checksum that covers a pseudo-header or a type stands; -1 if there is none.

        Later fragments have none, nor has a header that is cut off.
        """
        at = self.l4_ofs
        if at < 0 or self.nw_frag & NW_FRAG_LATER:
            return -1
        left: i64 = self.l3_end - at
        proto = self.nw_proto
        if proto == IPPROTO_TCP:
            return at + 16 if left >= 20 else -1
        if proto == IPPROTO_UDP:
            return at + 6 if left >= 8 else -1
        if proto in (IPPROTO_ICMPV6, IPPROTO_ICMP):
            return at + 2 if left >= 4 else -1
        return -1

    def _csum_add(self, ofs: i64, difference: i64) -> None:
        """Change the (complete) L4 checksum at `ofs` by a sum of new and complemented old words."""
        w = self.head
        old: i64 = get16(w, ofs)
        new: i64 = fold((old ^ 0xFFFF) + difference) ^ 0xFFFF
        if self.nw_proto == IPPROTO_UDP:
            if old == 0:
                return
            if new == 0:
                new = 0xFFFF
        put16(w, ofs, new)

    def _address_changed(self, difference: i64) -> None:
        """Carry a change of an IP address into the L4 checksum."""
        ofs = self._csum_ofs()
        if ofs < 0 or self.nw_proto == IPPROTO_ICMP:
            return
        if self.nw_proto == IPPROTO_ICMPV6 and self.dl_type != ETH_TYPE_IPV6:
            return
        if self.partial:
            put16(self.head, ofs, fold(get16(self.head, ofs) + difference))
        else:
            self._csum_add(ofs, difference)

    def _payload_changed(self, difference: i64) -> None:
        """Carry a change of L4 header or payload into the L4 checksum."""
        if self.partial:
            return
        ofs = self._csum_ofs()
        if ofs >= 0:
            self._csum_add(ofs, difference)

    # IP.

    def set_ipv4(self, src: i64, src_mask: i64, dst: i64, dst_mask: i64,
                 tos: i64, tos_mask: i64, ttl: i64, ttl_mask: i64) -> None:
        """Change bits of an IPv4 header."""
        w = self.head
        at = self.l3_ofs
        if self.dl_type != ETH_TYPE_IP or at < 0 or at + 20 > len(w):
            return
        total: i64 = 0
        old: i64
        new: i64
        if src_mask:
            old = get32(w, at + 12)
            new = old & ~src_mask | src & src_mask
            if new != old:
                put32(w, at + 12, new)
                total += (old ^ 0xFFFFFFFF) + new
        if dst_mask:
            old = get32(w, at + 16)
            new = old & ~dst_mask | dst & dst_mask
            if new != old:
                put32(w, at + 16, new)
                total += (old ^ 0xFFFFFFFF) + new
        if total:
            self._address_changed(fold(total))
        if tos_mask:
            old = get16(w, at)
            tos_mask &= 0xFF
            new = old & ~tos_mask | tos & tos_mask
            put16(w, at, new)
            total += (old ^ 0xFFFF) + new
        if ttl_mask:
            old = get16(w, at + 8)
            ttl_mask = (ttl_mask & 0xFF) << 8
            new = old & ~ttl_mask | ttl << 8 & ttl_mask
            put16(w, at + 8, new)
            total += (old ^ 0xFFFF) + new
        if total:
            put16(w, at + 10, fold((get16(w, at + 10) ^ 0xFFFF) + total) ^ 0xFFFF)

    def set_ipv6_src(self, hi: i64, lo: i64, mask_hi: i64, mask_lo: i64) -> None:
        """Change bits of the IPv6 source address."""
        self._set_ipv6_addr(8, hi, lo, mask_hi, mask_lo)

    def set_ipv6_dst(self, hi: i64, lo: i64, mask_hi: i64, mask_lo: i64) -> None:
        """Change bits of the IPv6 destination; with a routing header that still has segments
        left, the checksum is over the final destination and stays."""
        self._set_ipv6_addr(24, hi, lo, mask_hi, mask_lo)

    def _set_ipv6_addr(self, ofs: i64, hi: i64, lo: i64, mask_hi: i64, mask_lo: i64) -> None:
        w = self.head
        at = self.l3_ofs
        if self.dl_type != ETH_TYPE_IPV6 or at < 0 or at + 40 > len(w):
            return
        at += ofs
        old_hi: i64 = get64(w, at)
        old_lo: i64 = get64(w, at + 8)
        new_hi: i64 = old_hi & ~mask_hi | hi & mask_hi
        new_lo: i64 = old_lo & ~mask_lo | lo & mask_lo
        if new_hi == old_hi and new_lo == old_lo:
            return
        put64(w, at, new_hi)
        put64(w, at + 8, new_lo)
        if ofs != 24 or not is_source_routed(w, self.l3_ofs):
            self._address_changed(difference128(old_hi, old_lo, new_hi, new_lo))

    def set_ipv6(self, label: i64, label_mask: i64, tclass: i64, tclass_mask: i64,
                 hlimit: i64, hlimit_mask: i64) -> None:
        """Change bits of the IPv6 flow label, traffic class and hop limit."""
        w = self.head
        at = self.l3_ofs
        if self.dl_type != ETH_TYPE_IPV6 or at < 0 or at + 40 > len(w):
            return
        mask: i64 = (tclass_mask & 0xFF) << 20 | label_mask & 0xFFFFF
        if mask:
            put32(w, at, get32(w, at) & ~mask | (tclass << 20 | label & 0xFFFFF) & mask)
        if hlimit_mask:
            w[at + 7] = u8(i64(w[at + 7]) & ~hlimit_mask & 0xFF | hlimit & hlimit_mask & 0xFF)

    def dec_ttl(self) -> bool:
        """Decrement TTL or hop limit; False, changing nothing, if it would become 0."""
        w = self.head
        at = self.l3_ofs
        ttl: i64
        if self.dl_type == ETH_TYPE_IP and at >= 0 and at + 20 <= len(w):
            ttl = i64(w[at + 8])
            if ttl <= 1:
                return False
            w[at + 8] = u8(ttl - 1)
            put16(w, at + 10, csum_update16(get16(w, at + 10), ttl << 8, (ttl - 1) << 8))
        elif self.dl_type == ETH_TYPE_IPV6 and at >= 0 and at + 40 <= len(w):
            ttl = i64(w[at + 7])
            if ttl <= 1:
                return False
            w[at + 7] = u8(ttl - 1)
        return True

    # L4.

    def set_ports(self, proto: i64, src: i64, src_mask: i64, dst: i64, dst_mask: i64) -> None:
        """Change bits of the TCP, UDP or SCTP ports; `proto` is what the packet must be."""
        w = self.head
        at = self.l4_ofs
        if at < 0 or proto != self.nw_proto or self.nw_frag & NW_FRAG_LATER:
            return
        need: i64 = 20
        if proto == IPPROTO_UDP:
            need = 8
        elif proto == IPPROTO_SCTP:
            need = 12
        elif proto != IPPROTO_TCP:
            return
        if self.l3_end - at < need or at + need > len(w):
            return
        old: i64 = get32(w, at)
        mask: i64 = (src_mask & 0xFFFF) << 16 | dst_mask & 0xFFFF
        new: i64 = old & ~mask | ((src & 0xFFFF) << 16 | dst & 0xFFFF) & mask
        if new == old:
            return
        if proto == IPPROTO_SCTP:
            self._set_sctp_ports(new)
            return
        put32(w, at, new)
        self._payload_changed((old ^ 0xFFFFFFFF) + new)

    def _set_sctp_ports(self, ports: i64) -> None:
        """CRC32c is linear: what was wrong with the old checksum stays wrong by the same bits."""
        w = self.head
        at = self.l4_ofs
        if self.partial:
            put32(w, at, ports)
            return
        stored: i64 = get32(w, at + 8)
        put32(w, at + 8, 0)
        before: i64 = crc32c(w.getvalue()[at:self.l3_end])
        put32(w, at, ports)
        after: i64 = crc32c(w.getvalue()[at:self.l3_end])
        change: i64 = before ^ after
        # The CRC is sent lowest byte first.
        swapped: i64 = (change & 0xFF) << 24 | (change & 0xFF00) << 8 | change >> 8 & 0xFF00 | change >> 24
        put32(w, at + 8, stored ^ swapped)

    def set_tcp_flags(self, flags: i64, mask: i64) -> None:
        """Change bits of the twelve TCP flags."""
        w = self.head
        at = self.l4_ofs
        if self.nw_proto != IPPROTO_TCP or self._csum_ofs() < 0 or at + 14 > len(w):
            return
        old: i64 = get16(w, at + 12)
        mask &= 0xFFF
        new: i64 = old & ~mask | flags & mask
        put16(w, at + 12, new)
        self._payload_changed((old ^ 0xFFFF) + new)

    def set_icmp(self, type: i64, type_mask: i64, code: i64, code_mask: i64) -> None:
        """Change bits of ICMP's or ICMPv6's type and code."""
        w = self.head
        at = self.l4_ofs
        if (self.nw_proto != IPPROTO_ICMP and self.nw_proto != IPPROTO_ICMPV6) or self._csum_ofs() < 0:
            return
        old: i64 = get16(w, at)
        mask: i64 = (type_mask & 0xFF) << 8 | code_mask & 0xFF
        new: i64 = old & ~mask | (type << 8 | code & 0xFF) & mask
        put16(w, at, new)
        self._payload_changed((old ^ 0xFFFF) + new)

    def _is_nd(self) -> bool:
        """Whether this is a neighbor solicitation or advertisement with its target."""
        at = self.l4_ofs
        if self.nw_proto != IPPROTO_ICMPV6 or self.dl_type != ETH_TYPE_IPV6 or self._csum_ofs() < 0:
            return False
        if self.l3_end - at < 24 or self.l3_end > len(self.head):
            return False
        kind: i64 = i64(self.head[at])
        return kind in (ND_NEIGHBOR_SOLICIT, ND_NEIGHBOR_ADVERT)

    def set_nd_target(self, hi: i64, lo: i64, mask_hi: i64, mask_lo: i64) -> None:
        """Change bits of the neighbor discovery target."""
        if not self._is_nd():
            return
        w = self.head
        at = self.l4_ofs + 8
        old_hi: i64 = get64(w, at)
        old_lo: i64 = get64(w, at + 8)
        new_hi: i64 = old_hi & ~mask_hi | hi & mask_hi
        new_lo: i64 = old_lo & ~mask_lo | lo & mask_lo
        put64(w, at, new_hi)
        put64(w, at + 8, new_lo)
        self._payload_changed(difference128(old_hi, old_lo, new_hi, new_lo))

    def set_nd_option(self, kind: i64, mac: i64, mask: i64) -> None:
        """Change bits of the link-layer address in the first option of type `kind` (1 or 2)."""
        if not self._is_nd():
            return
        at = nd_option(self.head, self.l4_ofs + 24, self.l3_end, kind)
        if at < 0:
            return
        w = self.head
        old: i64 = get48(w, at + 2)
        new: i64 = old & ~mask | mac & mask
        put48(w, at + 2, new)
        self._payload_changed((old >> 32 ^ 0xFFFF) + (old & 0xFFFFFFFF ^ 0xFFFFFFFF)
                              + (new >> 32) + (new & 0xFFFFFFFF))

    def set_nd_extensions(self, reserved: i64, reserved_mask: i64, type: i64, type_mask: i64) -> None:
        """Change bits of neighbor discovery's reserved word, and of the first option's type."""
        if not self._is_nd():
            return
        w = self.head
        at = self.l4_ofs + 4
        old: i64 = get32(w, at)
        new: i64 = old & ~reserved_mask | reserved & reserved_mask
        put32(w, at, new)
        difference: i64 = (old ^ 0xFFFFFFFF) + new
        if type_mask:
            at = nd_option(w, self.l4_ofs + 24, self.l3_end, 0)
            if at >= 0:
                old = get16(w, at)
                mask: i64 = (type_mask & 0xFF) << 8
                new = old & ~mask | type << 8 & mask
                put16(w, at, new)
                difference += (old ^ 0xFFFF) + new
        self._payload_changed(difference)
