"""Headers put together into a frame: next-protocol numbers, lengths and checksums filled in."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from vswitch.packet.checksum import crc32c, csum, partial_sum, pseudo_sum4, pseudo_sum6
from vswitch.packet.headers import (
    Arp,
    Ethernet,
    Header,
    Icmp,
    Igmp,
    IPv4,
    IPv6,
    IPv6Fragment,
    Mpls,
    Nsh,
    Sctp,
    Snap,
    Tcp,
    Udp,
    Vlan,
)
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_NSH,
    IPPROTO_FRAGMENT,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IGMP,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)

_LENGTH: Final = 0xFFFF
"""What a length field has room for; of longer packets it tells the low bits."""

ETH_MIN_FRAME: Final = 60
"""The shortest Ethernet frame, without its check sequence."""


def ether_type(header: Header | None) -> int:
    """The Ethernet type that announces `header`; 0 if it has none."""
    if isinstance(header, Vlan):
        return header.tpid
    if isinstance(header, Mpls):
        return ETH_TYPE_MPLS
    if isinstance(header, Arp):
        return ETH_TYPE_ARP
    if isinstance(header, IPv4):
        return ETH_TYPE_IP
    if isinstance(header, IPv6):
        return ETH_TYPE_IPV6
    if isinstance(header, Nsh):
        return ETH_TYPE_NSH
    return 0


def ip_proto(header: Header | None, over_ipv6: bool) -> int:
    """The IP protocol number of `header`; 0 if it has none."""
    if isinstance(header, Tcp):
        return IPPROTO_TCP
    if isinstance(header, Udp):
        return IPPROTO_UDP
    if isinstance(header, Sctp):
        return IPPROTO_SCTP
    if isinstance(header, Icmp):
        return IPPROTO_ICMPV6 if over_ipv6 else IPPROTO_ICMP
    if isinstance(header, Igmp):
        return IPPROTO_IGMP
    if isinstance(header, IPv6Fragment):
        return IPPROTO_FRAGMENT
    return 0


def compose(*headers: Header, payload: bytes = b"", pad: bool = False) -> bytes:
    """A packet of `headers`, outermost first, around `payload`.

    A type, protocol, bottom-of-stack bit or IP next header given as 0 is derived from the
    header that follows, as are lengths and checksums, always: what must be wrong in a test
    packet is made wrong afterwards. `pad` fills up to the shortest Ethernet frame.
    """
    out = payload
    below: Header | None = None
    for i in range(len(headers) - 1, -1, -1):
        header = headers[i]
        if isinstance(header, (Ethernet, Vlan)):
            if header.type == 0 and isinstance(below, Snap) and isinstance(header, Ethernet):
                header = replace(header, type=len(out))
            elif header.type == 0:
                header = replace(header, type=ether_type(below))
        elif isinstance(header, Mpls):
            if header.bos is None:
                header = replace(header, bos=not isinstance(below, Mpls))
        elif isinstance(header, IPv4):
            header = replace(header, proto=header.proto or ip_proto(below, False), checksum=0)
            header = replace(header, total_length=len(header.pack()) + len(out) & _LENGTH)
            header = replace(header, checksum=csum(header.pack()))
        elif isinstance(header, IPv6):
            proto = header.next or ip_proto(below, True)
            header = replace(header, next=proto, payload_length=len(out) & _LENGTH)
        elif isinstance(header, IPv6Fragment):
            header = replace(header, next=header.next or ip_proto(below, True))
        elif isinstance(header, (Tcp, Udp, Icmp)):
            header = _l4_checksum(header, headers[:i], out)
        elif isinstance(header, Sctp):
            header = replace(header, checksum=bytes(4))
            crc = int(crc32c(header.pack() + out))
            header = replace(header, checksum=crc.to_bytes(4, "little"))
        elif isinstance(header, Igmp):
            header = replace(header, checksum=0)
            header = replace(header, checksum=csum(header.pack() + out))
        out = header.pack() + out
        below = header
    if pad and len(out) < ETH_MIN_FRAME:
        out += bytes(ETH_MIN_FRAME - len(out))
    return out


def _l4_checksum(header: Tcp | Udp | Icmp, outer: tuple[Header, ...], payload: bytes) -> Tcp | Udp | Icmp:
    """`header` with its checksum over pseudo-header, header and payload."""
    ip: IPv4 | IPv6 | None = None
    for candidate in reversed(outer):
        if isinstance(candidate, (IPv4, IPv6)):
            ip = candidate
            break
    if isinstance(header, Udp):
        header = replace(header, length=8 + len(payload) & _LENGTH)
    header = replace(header, checksum=0)
    data = header.pack() + payload
    total = partial_sum(data, 0, len(data))
    if isinstance(ip, IPv6):
        total += pseudo_sum6(ip.src, ip.dst, ip_proto(header, True), len(data))
    elif isinstance(ip, IPv4) and not isinstance(header, Icmp):
        total += pseudo_sum4(ip.src, ip.dst, ip_proto(header, False), len(data))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = total ^ 0xFFFF
    if checksum == 0 and isinstance(header, Udp):
        checksum = 0xFFFF
    return replace(header, checksum=checksum)
