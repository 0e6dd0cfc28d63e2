"""One pass over a frame that leaves every header field in an integer attribute.

The parser is reusable: `parse` overwrites all attributes. It never raises; a frame whose
lengths lie is parsed as far as is sound, and what lies beyond stays 0. What "sound" means is
the switch's own rule, so that a cached flow and a fresh parse never disagree:

- an Ethernet header of less than 14 bytes leaves everything 0;
- a VLAN tag counts only if the Ethernet type that follows it is there too;
- an IPv4 header whose lengths contradict each other or the frame ends the parse before any
  of its fields, and so does an IPv6 header with too large a payload length; bytes beyond
  the IP payload are padding and never parsed as L4;
- an IPv6 extension header that is cut off leaves the addresses only;
- an L4 header shorter than its fixed part leaves its fields 0, and so does a TCP header whose
  own length is too small or too large.

Integers are in host order. Offsets are from the start of the data, -1 where the header is
absent. 128-bit addresses are two signed 64-bit halves, as `flow.Flow` holds them.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i16_be, read_i32_be, read_i64_be
from mypy_extensions import i64

from vswitch.packet.numbers import (
    DL_TYPE_NONE,
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MIN,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_NSH,
    ETH_TYPE_RARP,
    ETH_TYPE_VLAN_8021AD,
    ETH_TYPE_VLAN_8021Q,
    IPPROTO_AH,
    IPPROTO_DSTOPTS,
    IPPROTO_FRAGMENT,
    IPPROTO_HOPOPTS,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IGMP,
    IPPROTO_ROUTING,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    MAX_MPLS_LABELS,
    MAX_VLAN_HEADERS,
    ND_NEIGHBOR_ADVERT,
    ND_NEIGHBOR_SOLICIT,
    NW_FRAG_ANY,
    NW_FRAG_LATER,
)

_MAC: Final = 0xFFFFFFFFFFFF


@final
class Parser:
    """The header fields of the last frame parsed.

    `vlan_limit` is the number of VLAN tags that are taken as such (0..2); further ones stay
    an ordinary Ethernet type, as with `other_config:vlan-limit`.
    """

    def __init__(self, vlan_limit: i64 = 2) -> None:
        self.vlan_limit: i64 = vlan_limit if vlan_limit < MAX_VLAN_HEADERS else MAX_VLAN_HEADERS
        self.size: i64 = 0
        """Length of the frame in bytes."""
        self.l2_5_ofs: i64 = -1
        """The first MPLS label stack entry."""
        self.l3_ofs: i64 = -1
        """What follows Ethernet, VLAN and MPLS, whatever it is."""
        self.l4_ofs: i64 = -1
        """What follows a sound IPv4 header or IPv6 header chain."""
        self.l3_end: i64 = 0
        """End of the IP packet; the rest of the frame is padding."""
        self.dl_dst: i64 = 0
        self.dl_src: i64 = 0
        self.dl_type: i64 = 0
        """The Ethernet type behind the VLAN tags; 0x05ff for 802.3 without SNAP."""
        self.dl_type_ofs: i64 = 12
        """Where `dl_type` stands in the frame."""
        self.n_vlans: i64 = 0
        self.vlan_tpid: i64 = 0
        self.vlan_tci: i64 = 0
        """The outer tag's TCI with bit 0x1000 set; 0 if there is no tag."""
        self.vlan_tpid2: i64 = 0
        self.vlan_tci2: i64 = 0
        self.n_mpls: i64 = 0
        """Label stack entries parsed, at most 3."""
        self.mpls_lse0: i64 = 0
        self.mpls_lse1: i64 = 0
        self.mpls_lse2: i64 = 0
        self.nw_src: i64 = 0
        self.nw_dst: i64 = 0
        self.ipv6_src_hi: i64 = 0
        self.ipv6_src_lo: i64 = 0
        self.ipv6_dst_hi: i64 = 0
        self.ipv6_dst_lo: i64 = 0
        self.ipv6_label: i64 = 0
        self.nw_tos: i64 = 0
        self.nw_ttl: i64 = 0
        self.nw_proto: i64 = 0
        """IP protocol behind any extension headers; for ARP the opcode if it is below 256."""
        self.nw_frag: i64 = 0
        """Bit 0: any fragment; bit 1: not the first."""
        self.arp_sha: i64 = 0
        """ARP sender, or neighbor discovery's source link-layer address."""
        self.arp_tha: i64 = 0
        """ARP target, or neighbor discovery's target link-layer address."""
        self.nd_target_hi: i64 = 0
        self.nd_target_lo: i64 = 0
        self.nd_reserved: i64 = 0
        self.nd_options_type: i64 = 0
        """Type of the first link-layer address option (1 source, 2 target)."""
        self.tp_src: i64 = 0
        """Source port, or ICMP/ICMPv6/IGMP type."""
        self.tp_dst: i64 = 0
        """Destination port, or ICMP/ICMPv6/IGMP code."""
        self.tcp_flags: i64 = 0
        self.igmp_group: i64 = 0
        self.nsh_flags: i64 = 0
        self.nsh_ttl: i64 = 0
        self.nsh_mdtype: i64 = 0
        self.nsh_np: i64 = 0
        self.nsh_path_hdr: i64 = 0
        self.nsh_c1: i64 = 0
        self.nsh_c2: i64 = 0
        self.nsh_c3: i64 = 0
        self.nsh_c4: i64 = 0

    def _reset(self, size: i64) -> None:
        self.size = size
        self.l2_5_ofs = -1
        self.l3_ofs = -1
        self.l4_ofs = -1
        self.l3_end = size
        self.dl_dst = 0
        self.dl_src = 0
        self.dl_type = 0
        self.dl_type_ofs = 12
        self.n_vlans = 0
        self.vlan_tpid = 0
        self.vlan_tci = 0
        self.vlan_tpid2 = 0
        self.vlan_tci2 = 0
        self.n_mpls = 0
        self.mpls_lse0 = 0
        self.mpls_lse1 = 0
        self.mpls_lse2 = 0
        self.nw_src = 0
        self.nw_dst = 0
        self.ipv6_src_hi = 0
        self.ipv6_src_lo = 0
        self.ipv6_dst_hi = 0
        self.ipv6_dst_lo = 0
        self.ipv6_label = 0
        self.nw_tos = 0
        self.nw_ttl = 0
        self.nw_proto = 0
        self.nw_frag = 0
        self.arp_sha = 0
        self.arp_tha = 0
        self.nd_target_hi = 0
        self.nd_target_lo = 0
        self.nd_reserved = 0
        self.nd_options_type = 0
        self.tp_src = 0
        self.tp_dst = 0
        self.tcp_flags = 0
        self.igmp_group = 0
        self.nsh_flags = 0
        self.nsh_ttl = 0
        self.nsh_mdtype = 0
        self.nsh_np = 0
        self.nsh_path_hdr = 0
        self.nsh_c1 = 0
        self.nsh_c2 = 0
        self.nsh_c3 = 0
        self.nsh_c4 = 0

    def parse(self, data: bytes) -> None:
        """Parse a frame that begins with an Ethernet header."""
        size: i64 = len(data)
        self._reset(size)
        if size < 14:
            return
        self.dl_dst = (read_i64_be(data, 0) >> 16) & _MAC
        self.dl_src = (read_i64_be(data, 6) >> 16) & _MAC
        ofs: i64 = 12
        dl_type: i64 = i64(read_i16_be(data, ofs)) & 0xFFFF
        if dl_type in (ETH_TYPE_VLAN_8021Q, ETH_TYPE_VLAN_8021AD):
            n: i64 = 0
            while n < self.vlan_limit and size - ofs >= 6:
                tci: i64 = i64(read_i16_be(data, ofs + 2)) & 0xFFFF | 0x1000
                if n == 0:
                    self.vlan_tpid = dl_type
                    self.vlan_tci = tci
                else:
                    self.vlan_tpid2 = dl_type
                    self.vlan_tci2 = tci
                n += 1
                ofs += 4
                dl_type = i64(read_i16_be(data, ofs)) & 0xFFFF
                if dl_type != ETH_TYPE_VLAN_8021Q and dl_type != ETH_TYPE_VLAN_8021AD:
                    break
            self.n_vlans = n
        if dl_type < ETH_TYPE_MIN:
            dl_type = DL_TYPE_NONE
            # 802.3: a length, then LLC; only SNAP with the Ethernet OUI has a type.
            if size - ofs >= 10 and read_i64_be(data, ofs + 2) >> 16 == 0xAAAA03000000 - 0x1000000000000:
                snap: i64 = i64(read_i16_be(data, ofs + 8)) & 0xFFFF
                ofs += 8
                if snap >= ETH_TYPE_MIN:
                    dl_type = snap
        self.dl_type_ofs = ofs
        self._parse_from(data, ofs + 2, size, dl_type)

    def parse_l3(self, data: bytes, dl_type: i64) -> None:
        """Parse a packet without Ethernet header (`packet_type` (1, dl_type))."""
        size: i64 = len(data)
        self._reset(size)
        self.dl_type_ofs = -1
        self._parse_from(data, 0, size, dl_type)

    def _parse_from(self, data: bytes, ofs: i64, size: i64, dl_type: i64) -> None:
        """L2.5 and up: `ofs` is where the header named by `dl_type` begins."""
        self.dl_type = dl_type
        if dl_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
            ofs = self._mpls(data, ofs, size)
        self.l3_ofs = ofs
        proto: i64
        frag: i64 = 0
        if dl_type == ETH_TYPE_IP:
            if size - ofs < 20:
                return
            ihl: i64 = (i64(read_i16_be(data, ofs)) >> 8 & 0xF) * 4
            tot_len: i64 = i64(read_i16_be(data, ofs + 2)) & 0xFFFF
            if ihl < 20 or tot_len < ihl or tot_len > size - ofs or size - ofs - tot_len > 0xFFFF:
                return
            word: i64 = read_i64_be(data, ofs + 4)
            proto = word >> 16 & 0xFF
            self.nw_ttl = word >> 24 & 0xFF
            if word >> 32 & 0x3FFF:
                # More fragments, or an offset.
                frag = NW_FRAG_ANY | NW_FRAG_LATER if word >> 32 & 0x1FFF else NW_FRAG_ANY
            self.nw_tos = i64(read_i16_be(data, ofs)) & 0xFF
            word = read_i64_be(data, ofs + 12)
            self.nw_src = word >> 32 & 0xFFFFFFFF
            self.nw_dst = word & 0xFFFFFFFF
            size = ofs + tot_len
            ofs += ihl
        elif dl_type == ETH_TYPE_IPV6:
            if size - ofs < 40:
                return
            first: i64 = read_i64_be(data, ofs)
            plen: i64 = first >> 16 & 0xFFFF
            if plen > size - ofs - 40 or size - ofs - 40 - plen > 0xFFFF:
                return
            self.ipv6_src_hi = read_i64_be(data, ofs + 8)
            self.ipv6_src_lo = read_i64_be(data, ofs + 16)
            self.ipv6_dst_hi = read_i64_be(data, ofs + 24)
            self.ipv6_dst_lo = read_i64_be(data, ofs + 32)
            proto = first >> 8 & 0xFF
            size = ofs + 40 + plen
            ofs += 40
            if proto in (IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS, IPPROTO_AH, IPPROTO_FRAGMENT):
                ofs = self._extension_headers(data, ofs, size, proto)
                if ofs < 0:
                    return
                proto = self.nw_proto
                frag = self.nw_frag
            self.nw_tos = first >> 52 & 0xFF
            self.nw_ttl = first & 0xFF
            self.ipv6_label = first >> 32 & 0xFFFFF
        else:
            if dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
                self._arp(data, ofs, size)
            elif dl_type == ETH_TYPE_NSH:
                self._nsh(data, ofs, size)
            return
        self.nw_proto = proto
        self.nw_frag = frag
        self.l3_end = size
        self.l4_ofs = ofs
        if frag & NW_FRAG_LATER:
            return

        left: i64 = size - ofs
        if proto == IPPROTO_TCP:
            if left >= 20:
                ctl: i64 = i64(read_i16_be(data, ofs + 12)) & 0xFFFF
                length: i64 = (ctl >> 12) * 4
                if length >= 20 and length <= left:
                    ports: i64 = i64(read_i32_be(data, ofs))
                    self.tp_src = ports >> 16 & 0xFFFF
                    self.tp_dst = ports & 0xFFFF
                    self.tcp_flags = ctl & 0xFFF
        elif proto in (IPPROTO_UDP, IPPROTO_SCTP):
            if left >= (8 if proto == IPPROTO_UDP else 12):
                ports = i64(read_i32_be(data, ofs))
                self.tp_src = ports >> 16 & 0xFFFF
                self.tp_dst = ports & 0xFFFF
        elif proto == IPPROTO_ICMPV6:
            if left >= 8:
                self._icmpv6(data, ofs, size)
        elif proto in (IPPROTO_ICMP, IPPROTO_IGMP):
            if left >= 8:
                self.tp_src = i64(read_i16_be(data, ofs)) >> 8 & 0xFF
                self.tp_dst = i64(read_i16_be(data, ofs)) & 0xFF
                if proto == IPPROTO_IGMP:
                    self.igmp_group = i64(read_i32_be(data, ofs + 4)) & 0xFFFFFFFF

    def _mpls(self, data: bytes, ofs: i64, size: i64) -> i64:
        """Read label stack entries down to the bottom of the stack; where it ends."""
        self.l2_5_ofs = ofs
        n: i64 = 0
        while size - ofs >= 4:
            lse: i64 = i64(read_i32_be(data, ofs)) & 0xFFFFFFFF
            if n == 0:
                self.mpls_lse0 = lse
            elif n == 1:
                self.mpls_lse1 = lse
            elif n == 2:
                self.mpls_lse2 = lse
            n += 1
            ofs += 4
            if lse & 0x100:
                break
        self.n_mpls = n if n < MAX_MPLS_LABELS else MAX_MPLS_LABELS
        return ofs

    def _extension_headers(self, data: bytes, ofs: i64, size: i64, proto: i64) -> i64:
        """Skip IPv6 extension headers (RFC 8200, section 4); where they end, -1 if cut off.

        Leaves the protocol behind them in `nw_proto`; for a later fragment, IPPROTO_FRAGMENT.
        """
        frag: i64 = 0
        while True:
            if proto in (IPPROTO_HOPOPTS, IPPROTO_ROUTING, IPPROTO_DSTOPTS):
                unit: i64 = 8
                extra: i64 = 1
            elif proto == IPPROTO_AH:
                unit = 4
                extra = 2
            elif proto == IPPROTO_FRAGMENT:
                unit = 0
                extra = 0
            else:
                break
            if size - ofs < 8:
                return -1
            head: i64 = i64(read_i16_be(data, ofs)) & 0xFFFF
            proto = head >> 8
            if unit:
                length: i64 = ((head & 0xFF) + extra) * unit
                if length > size - ofs:
                    return -1
                ofs += length
                continue
            offlg: i64 = i64(read_i16_be(data, ofs + 2)) & 0xFFFF
            ofs += 8
            if offlg:
                frag = NW_FRAG_ANY
                if offlg & 0xFFF8:
                    frag = NW_FRAG_ANY | NW_FRAG_LATER
                    proto = IPPROTO_FRAGMENT
                    break
        self.nw_proto = proto
        self.nw_frag = frag
        return ofs

    def _icmpv6(self, data: bytes, ofs: i64, size: i64) -> None:
        """ICMPv6, with neighbor discovery's target and link-layer options (RFC 4861)."""
        head: i64 = read_i64_be(data, ofs)
        kind: i64 = head >> 56 & 0xFF
        code: i64 = head >> 48 & 0xFF
        self.tp_src = kind
        self.tp_dst = code
        if code != 0 or (kind != ND_NEIGHBOR_SOLICIT and kind != ND_NEIGHBOR_ADVERT):
            return
        self.nd_reserved = head & 0xFFFFFFFF
        ofs += 8
        if size - ofs < 16:
            return
        hi: i64 = read_i64_be(data, ofs)
        lo: i64 = read_i64_be(data, ofs + 8)
        ofs += 16
        sll: i64 = 0
        tll: i64 = 0
        option: i64 = 0
        while size - ofs >= 8:
            word: i64 = read_i64_be(data, ofs)
            kind = word >> 56 & 0xFF
            length: i64 = (word >> 48 & 0xFF) * 8
            if length == 0 or length > size - ofs:
                break
            if length == 8 and (kind == 1 or kind == 2):
                # The same option twice makes the whole message invalid.
                if (sll if kind == 1 else tll) != 0:
                    hi = 0
                    lo = 0
                    sll = 0
                    tll = 0
                    break
                if kind == 1:
                    sll = word & _MAC
                else:
                    tll = word & _MAC
                if option == 0:
                    option = kind
            ofs += length
        self.nd_target_hi = hi
        self.nd_target_lo = lo
        self.arp_sha = sll
        self.arp_tha = tll
        self.nd_options_type = option

    def _arp(self, data: bytes, ofs: i64, size: i64) -> None:
        """ARP and RARP for IPv4 over Ethernet (RFC 826); other kinds leave all fields 0."""
        if size - ofs < 28 or read_i64_be(data, ofs) >> 16 != 0x000108000604:
            return
        op: i64 = i64(read_i16_be(data, ofs + 6)) & 0xFFFF
        if op <= 0xFF:
            self.nw_proto = op
        self.nw_src = i64(read_i32_be(data, ofs + 14)) & 0xFFFFFFFF
        self.nw_dst = i64(read_i32_be(data, ofs + 24)) & 0xFFFFFFFF
        self.arp_sha = read_i64_be(data, ofs + 8) >> 16 & _MAC
        self.arp_tha = read_i64_be(data, ofs + 18) >> 16 & _MAC

    def _nsh(self, data: bytes, ofs: i64, size: i64) -> None:
        """Network Service Header (RFC 8300), metadata type 1's context included."""
        if size - ofs < 8:
            return
        word: i64 = read_i64_be(data, ofs)
        length: i64 = (word >> 48 & 0x3F) * 4
        version: i64 = word >> 62 & 3
        mdtype: i64 = word >> 40 & 0xFF
        if version != 0 or length > size - ofs:
            return
        if mdtype == 1:
            if length != 24:
                return
            self.nsh_c1 = i64(read_i32_be(data, ofs + 8)) & 0xFFFFFFFF
            self.nsh_c2 = i64(read_i32_be(data, ofs + 12)) & 0xFFFFFFFF
            self.nsh_c3 = i64(read_i32_be(data, ofs + 16)) & 0xFFFFFFFF
            self.nsh_c4 = i64(read_i32_be(data, ofs + 20)) & 0xFFFFFFFF
        elif mdtype == 2 and length < 8:
            return
        self.nsh_flags = word >> 60 & 3
        self.nsh_ttl = word >> 54 & 0x3F
        self.nsh_mdtype = mdtype
        self.nsh_np = word >> 32 & 0xFF
        self.nsh_path_hdr = word & 0xFFFFFFFF
