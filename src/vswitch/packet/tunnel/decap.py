"""Reading a tunnel's header: what stands between the outer IP (or UDP) header and the packet inside.

A `Decap` is reusable, like `packet.parse.Parser`, and never raises: `parse` says whether the header is
sound, and `reason` why it isn't. Integers are in host order. What is refused is what would be delivered
wrongly: a header of another version, with flags whose meaning is unknown and bits that move the payload,
cut off, or (GRE) with a wrong checksum.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import read_i16_be, read_i32_be
from mypy_extensions import i64

from vswitch.packet.checksum import partial_sum
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_IPV6, ETH_TYPE_MIN, ETH_TYPE_TEB
from vswitch.packet.tunnel.kinds import (
    BAREUDP,
    ERSPAN,
    ETH_TYPE_ERSPAN1,
    ETH_TYPE_ERSPAN2,
    GENEVE,
    GPE_PROTOCOLS,
    GRE,
    GRE_CSUM,
    GRE_KEY,
    GRE_KNOWN,
    GRE_SEQ,
    GTPU,
    GTPU_EXTENSION,
    GTPU_G_PDU,
    GTPU_OPTIONAL,
    IP6ERSPAN,
    IP6GRE,
    PACKET_TYPE_ETH,
    PACKET_TYPE_IPV4,
    PACKET_TYPE_IPV6,
    PACKET_TYPE_L3,
    SRV6,
    VXLAN,
    VXLAN_GBP_FLAGS,
    VXLAN_GBP_G,
    VXLAN_GPE_P,
    VXLAN_I,
)

_ETHERNET: Final = 14


def _u16(data: bytes, at: i64) -> i64:
    return i64(read_i16_be(data, at)) & 0xFFFF


def _u32(data: bytes, at: i64) -> i64:
    return i64(read_i32_be(data, at)) & 0xFFFFFFFF


@final
class Decap:
    """The fields of the tunnel header that was parsed last."""

    def __init__(self) -> None:
        self.reason: str = ""
        """Why the last packet was refused."""
        self.payload: i64 = 0
        """Where the packet inside begins, from the start of the data."""
        self.packet_type: i64 = 0
        """What it begins with: 0 for Ethernet, else 0x10000 | Ethernet type."""
        self.has_key: bool = False
        self.key: i64 = 0
        """VNI, GRE key, ERSPAN session or TEID."""
        self.has_csum: bool = False
        """GRE: a checksum was there (UDP's is the caller's to look at)."""
        self.oam: bool = False
        self.gbp_id: i64 = 0
        self.gbp_flags: i64 = 0
        self.options: i64 = 0
        """Geneve: where the options begin, and how many bytes they have."""
        self.options_size: i64 = 0
        self.erspan_ver: i64 = 0
        self.erspan_idx: i64 = 0
        self.erspan_dir: i64 = 0
        self.erspan_hwid: i64 = 0
        self.gtpu_flags: i64 = 0
        self.gtpu_msgtype: i64 = 0

    def parse(self, kind: i64, data: bytes, start: i64, end: i64, payload_type: i64 = 0) -> bool:
        """Read the header of `kind` in `data[start:end]`, which begins behind UDP, or IP where there is no
        UDP. `payload_type` is what bareudp carries. False: `reason` says why it is refused."""
        self.reason = ""
        self.payload = start
        self.packet_type = PACKET_TYPE_ETH
        self.has_key = False
        self.key = 0
        self.has_csum = False
        self.oam = False
        self.gbp_id = 0
        self.gbp_flags = 0
        self.options = 0
        self.options_size = 0
        self.erspan_ver = 0
        self.erspan_idx = 0
        self.erspan_dir = 0
        self.erspan_hwid = 0
        self.gtpu_flags = 0
        self.gtpu_msgtype = 0
        if end > len(data) or start < 0 or start > end:
            return self._refuse("cut off")
        if kind == VXLAN:
            sound = self._vxlan(data, start, end)
        elif kind == GENEVE:
            sound = self._geneve(data, start, end)
        elif kind in (GRE, IP6GRE):
            sound = self._gre(data, start, end)
        elif kind in (ERSPAN, IP6ERSPAN):
            sound = self._erspan(data, start, end)
        elif kind == GTPU:
            sound = self._gtpu(data, start, end)
        elif kind == BAREUDP:
            sound = self._bareudp(data, start, end, payload_type)
        elif kind == SRV6:
            sound = self._ip(data, start, end)
        else:
            return self._refuse("of an unknown kind")
        if not sound:
            return False
        if self.packet_type == PACKET_TYPE_ETH and end - self.payload < _ETHERNET:
            return self._refuse("without a whole Ethernet header inside")
        if self.payload >= end:
            return self._refuse("empty")
        return True

    def _refuse(self, reason: str) -> bool:
        self.reason = reason
        return False

    def _vxlan(self, data: bytes, start: i64, end: i64) -> bool:
        """RFC 7348 section 5, with the bits of the GPE and group policy drafts."""
        if end - start < 8:
            return self._refuse("cut off")
        flags = _u32(data, start)
        vni = _u32(data, start + 4)
        if flags & VXLAN_GPE_P != 0:
            protocol = flags & 0xFF
            known = GPE_PROTOCOLS.get(int(protocol))
            if known is None:
                return self._refuse("of an unknown next protocol")
            self.packet_type = known
            flags &= ~(VXLAN_GPE_P | 0xFF)
        if flags & VXLAN_GBP_G != 0:
            self.gbp_id = flags & 0xFFFF
            self.gbp_flags = (flags & VXLAN_GBP_FLAGS) >> 16
            flags &= ~(VXLAN_GBP_G | VXLAN_GBP_FLAGS | 0xFFFF)
        if flags != VXLAN_I or vni & 0xFF != 0:
            return self._refuse("of unknown flags")
        self.has_key = True
        self.key = vni >> 8
        self.payload = start + 8
        return True

    def _geneve(self, data: bytes, start: i64, end: i64) -> bool:
        """RFC 8926 section 3.4."""
        if end - start < 8:
            return self._refuse("cut off")
        first = i64(data[start])
        size = (first & 0x3F) * 4
        if first >> 6 != 0:
            return self._refuse("of an unknown version")
        if end - start < 8 + size:
            return self._refuse("cut off")
        at = start + 8
        while at < start + 8 + size:
            at += 4 + 4 * (i64(data[at + 3]) & 0x1F)
        if at != start + 8 + size:
            return self._refuse("of malformed options")
        if not self._ether_type(_u16(data, start + 2)):
            return False
        self.oam = i64(data[start + 1]) & 0x80 != 0
        self.has_key = True
        self.key = _u32(data, start + 4) >> 8
        self.options = start + 8
        self.options_size = size
        self.payload = at
        return True

    def _ether_type(self, eth_type: i64) -> bool:
        """The Ethernet type that a tunnel header says of what it carries."""
        if eth_type == ETH_TYPE_TEB:
            self.packet_type = PACKET_TYPE_ETH
        elif eth_type < ETH_TYPE_MIN:
            return self._refuse("of an unknown protocol")
        else:
            self.packet_type = PACKET_TYPE_L3 | eth_type
        return True

    def _gre_base(self, data: bytes, start: i64, end: i64) -> i64:
        """RFC 2784 section 2 and RFC 2890 section 2: where the GRE header ends, -1 if it is no good."""
        if end - start < 4:
            self.reason = "cut off"
            return -1
        flags = _u16(data, start)
        if flags & ~GRE_KNOWN != 0:
            self.reason = "of unknown flags"
            return -1
        at = start + 4
        size = i64(4)
        for bit in (GRE_CSUM, GRE_KEY, GRE_SEQ):
            if flags & bit != 0:
                size += 4
        if end - start < size:
            self.reason = "cut off"
            return -1
        if flags & GRE_CSUM != 0:
            if partial_sum(data, start, end) != 0xFFFF:
                self.reason = "with a wrong checksum"
                return -1
            self.has_csum = True
            at += 4
        if flags & GRE_KEY != 0:
            self.has_key = True
            self.key = _u32(data, at)
        return start + size

    def _gre(self, data: bytes, start: i64, end: i64) -> bool:
        at = self._gre_base(data, start, end)
        if at < 0:
            return False
        self.payload = at
        return self._ether_type(_u16(data, start + 2))

    def _erspan(self, data: bytes, start: i64, end: i64) -> bool:
        """draft-foschiano-erspan-03 sections 4.2 (type II) and 4.3 (type III)."""
        at = self._gre_base(data, start, end)
        if at < 0:
            return False
        protocol = _u16(data, start + 2)
        size: i64 = 8 if protocol == ETH_TYPE_ERSPAN1 else 12
        if protocol not in (ETH_TYPE_ERSPAN1, ETH_TYPE_ERSPAN2):
            return self._refuse("of another protocol than ERSPAN")
        if end - at < size:
            return self._refuse("cut off")
        self.erspan_ver = i64(data[at]) >> 4
        self.has_key = True
        self.key = _u16(data, at + 2) & 0x3FF
        if protocol == ETH_TYPE_ERSPAN1 and self.erspan_ver == 1:
            self.erspan_idx = _u32(data, at + 4) & 0xFFFFF
        elif protocol == ETH_TYPE_ERSPAN2 and self.erspan_ver == 2:
            word = _u16(data, at + 10)
            self.erspan_hwid = word >> 4 & 0x3F
            self.erspan_dir = word >> 3 & 1
            if word & 1 != 0:
                size += 8
                if end - at < size:
                    return self._refuse("cut off")
        else:
            return self._refuse("of an unknown version")
        self.payload = at + size
        return True

    def _gtpu(self, data: bytes, start: i64, end: i64) -> bool:
        """3GPP TS 29.281 sections 5.1 and 5.2: header and extension headers of a G-PDU."""
        if end - start < 8:
            return self._refuse("cut off")
        flags = i64(data[start])
        if flags >> 5 != 1 or flags & 0x10 == 0:
            return self._refuse("of an unknown version")
        self.gtpu_flags = flags
        self.gtpu_msgtype = i64(data[start + 1])
        self.has_key = True
        self.key = _u32(data, start + 4)
        if self.gtpu_msgtype != GTPU_G_PDU:
            return self._refuse("of a message without a packet")
        at = start + 8
        if flags & GTPU_OPTIONAL != 0:
            if end - at < 4:
                return self._refuse("cut off")
            following = i64(data[at + 3]) if flags & GTPU_EXTENSION != 0 else 0
            at += 4
            while following != 0:
                if at >= end or i64(data[at]) == 0 or end - at < 4 * i64(data[at]):
                    return self._refuse("of malformed extension headers")
                at += 4 * i64(data[at])
                following = i64(data[at - 1])
        return self._ip(data, at, end)

    def _ip(self, data: bytes, start: i64, end: i64) -> bool:
        """An IPv4 or IPv6 packet, which says itself which one it is."""
        if start >= end:
            return self._refuse("empty")
        version = i64(data[start]) >> 4
        if version == 4 and end - start >= 20:
            self.packet_type = PACKET_TYPE_IPV4
        elif version == 6 and end - start >= 40:
            self.packet_type = PACKET_TYPE_IPV6
        else:
            return self._refuse("without an IP packet inside")
        self.payload = start
        return True

    def _bareudp(self, data: bytes, start: i64, end: i64, payload_type: i64) -> bool:
        """Nothing between UDP and the packet (Linux's Documentation/networking/bareudp.rst)."""
        if payload_type in (ETH_TYPE_IP, ETH_TYPE_IPV6):
            return self._ip(data, start, end)
        if end - start < 4:
            return self._refuse("cut off")
        self.packet_type = PACKET_TYPE_L3 | payload_type
        return True
