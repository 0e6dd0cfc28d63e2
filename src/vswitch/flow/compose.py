"""A packet made from a flow: the reverse of `extract`, for `ofproto/trace` and the dummy device.

What the flow doesn't say gets its simplest value; checksums and lengths are right. Metadata
(ports, registers, tunnel) leaves no trace in the packet.
"""

from __future__ import annotations

from typing import Final

from vswitch.flow import layout as at
from vswitch.flow.flow import Flow
from vswitch.packet.compose import compose
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
    Tcp,
    Udp,
    Vlan,
    mac_bytes,
)
from vswitch.packet.numbers import (
    DL_TYPE_NONE,
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_MPLS_MCAST,
    ETH_TYPE_NSH,
    ETH_TYPE_RARP,
    ETH_TYPE_VLAN_8021Q,
    IPPROTO_FRAGMENT,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_IGMP,
    IPPROTO_NONE,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
    ND_NEIGHBOR_ADVERT,
    ND_NEIGHBOR_SOLICIT,
    NW_FRAG_ANY,
    NW_FRAG_LATER,
    TCP_FIN,
    TCP_RST,
    TCP_SYN,
    VLAN_CFI,
)

_ECHO: Final = (0, 8)
"""ICMP's types of echo reply and request (RFC 792)."""
_ECHO6: Final = (128, 129)
"""ICMPv6's echo request and reply (RFC 4443, 4.1 and 4.2)."""
DEFAULT_PAYLOAD: Final = bytes(range(64))
"""What a packet carries when nobody says what: `ovs-appctl netdev-dummy/receive` and traces."""

_ETH_LEN: Final = 14
_TAG_LEN: Final = 4
_LATER_OFFSET: Final = 100
"""The fragment offset (in 8-byte units) of a later fragment."""
_MORE_FRAGMENTS: Final = 0x2000


def _part(flow: Flow, word: int, shift: int, n_bits: int) -> int:
    return (int(flow.words[word]) >> shift) & ((1 << n_bits) - 1)


def _bytes128(flow: Flow, word: int) -> bytes:
    return b"".join((int(flow.words[word + i]) & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "big") for i in (0, 1))


def flow_compose_sized(flow: Flow, size: int) -> bytes:
    """A packet of `size` bytes that extracts to `flow`, with as many zeros behind its headers as that takes.

    ValueError: its headers alone are longer.
    """
    lacking = size - len(flow_compose(flow))
    if lacking < 0:
        raise ValueError("too small packet len")
    packet = flow_compose(flow, bytes(lacking), always=True)
    return packet + bytes(size - len(packet))


def flow_compose(flow: Flow, payload: bytes = b"", always: bool = False) -> bytes:
    """A packet that extracts to the packet part of `flow`, carrying `payload` where it can.

    A flow that no packet has (a source port without a protocol, a VLAN priority without a
    tag...) gives the packet nearest to it. `always`: what usually carries nothing (a SYN) does, too.
    With `packet_type` (1, type) there is no Ethernet header.
    """
    dl_type = _part(flow, at.W_ETH_TYPE, at.S_ETH_TYPE, 16)
    headers: list[Header] = []
    if flow.packet_type == 0:
        headers += _l2(flow, dl_type)
        if dl_type == DL_TYPE_NONE:
            return compose(*headers)
    else:
        dl_type = flow.packet_type & 0xFFFF
    inner: list[Header] = []
    if dl_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST):
        inner = _mpls(flow)
        payload = b""
    elif dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
        inner = [_arp(flow)]
        payload = b""
    elif dl_type == ETH_TYPE_NSH:
        inner = [_nsh(flow)]
        payload = b""
    elif dl_type in (ETH_TYPE_IP, ETH_TYPE_IPV6):
        inner = _ip(flow, dl_type)
        l4, usual = _l4(flow, dl_type, payload)
        payload = payload if always else usual
        inner += l4
    else:
        payload = b""
    return compose(*headers, *inner, payload=payload)


def _l2(flow: Flow, dl_type: int) -> list[Header]:
    """Ethernet and the tags; the last of them announces `dl_type`."""
    tags: list[tuple[int, int]] = []
    for tci_at, tpid_at in (
        ((at.W_VLAN_TCI, at.S_VLAN_TCI), (at.W_VLAN_TPID, at.S_VLAN_TPID)),
        ((at.W_VLAN_TCI1, at.S_VLAN_TCI1), (at.W_VLAN_TPID1, at.S_VLAN_TPID1)),
    ):
        tci = _part(flow, tci_at[0], tci_at[1], 16)
        if tci & VLAN_CFI:
            tags.append((tci & ~VLAN_CFI, _part(flow, tpid_at[0], tpid_at[1], 16) or ETH_TYPE_VLAN_8021Q))
    length = _ETH_LEN + _TAG_LEN * len(tags)
    types = [tpid for _, tpid in tags] + [length if dl_type == DL_TYPE_NONE else dl_type]
    dst = _part(flow, at.W_ETH_DST, at.S_ETH_DST, 48)
    src = _part(flow, at.W_ETH_SRC, at.S_ETH_SRC, 48)
    headers: list[Header] = [Ethernet(dst, src, types[0])]
    headers += [Vlan(tci, types[i + 1]) for i, (tci, _) in enumerate(tags)]
    return headers


def _mpls(flow: Flow) -> list[Header]:
    """The label stack, down to a bottom-of-stack bit or three entries."""
    entries: list[Header] = []
    for word, shift in ((at.W_MPLS_LSE, at.S_MPLS_LSE), (at.W_MPLS_LSE, 0), (at.W_MPLS_LSE + 1, 32)):
        lse = _part(flow, word, shift, 32)
        entries.append(Mpls(lse >> 12, lse >> 9 & 7, bool(lse & 0x100), lse & 0xFF))
        if lse & 0x100:
            break
    return entries


def _arp(flow: Flow) -> Arp:
    op = _part(flow, at.W_NW_PROTO, at.S_NW_PROTO, 8)
    return Arp(
        op,
        _part(flow, at.W_ARP_SHA, at.S_ARP_SHA, 48),
        _part(flow, at.W_NW_SRC, at.S_NW_SRC, 32),
        _part(flow, at.W_ARP_THA, at.S_ARP_THA, 48),
        _part(flow, at.W_NW_DST, at.S_NW_DST, 32),
    )


def _nsh(flow: Flow) -> Nsh:
    mdtype = _part(flow, at.W_NSH_BASE, at.S_NSH_MDTYPE, 4)
    return Nsh(
        _part(flow, at.W_NSH_BASE, at.S_NSH_NP, 8),
        mdtype,
        _part(flow, at.W_NSH_BASE, at.S_NSH_FLAGS, 2),
        _part(flow, at.W_NSH_BASE, at.S_NSH_TTL, 6),
        _part(flow, at.W_NSH_BASE, 0, 32),
        _bytes128(flow, at.W_NSH_CONTEXT) if mdtype == 1 else b"",
    )


def _ip(flow: Flow, dl_type: int) -> list[Header]:
    tos = _part(flow, at.W_NW_TOS, at.S_NW_TOS, 8)
    ttl = _part(flow, at.W_NW_TTL, at.S_NW_TTL, 8)
    proto = _part(flow, at.W_NW_PROTO, at.S_NW_PROTO, 8)
    frag = _part(flow, at.W_NW_FRAG, at.S_NW_FRAG, 2)
    if dl_type == ETH_TYPE_IP:
        field = 0
        if frag & NW_FRAG_ANY:
            field = _MORE_FRAGMENTS | (_LATER_OFFSET if frag & NW_FRAG_LATER else 0)
        src = _part(flow, at.W_NW_SRC, at.S_NW_SRC, 32)
        dst = _part(flow, at.W_NW_DST, at.S_NW_DST, 32)
        return [IPv4(src, dst, proto, tos, ttl, frag=field)]
    label = _part(flow, at.W_IPV6_LABEL, at.S_IPV6_LABEL, 20)
    headers: list[Header] = []
    if frag & NW_FRAG_ANY:
        later = bool(frag & NW_FRAG_LATER)
        headers.append(IPv6Fragment(IPPROTO_NONE if later else proto, _LATER_OFFSET if later else 0, True))
        proto = IPPROTO_FRAGMENT
    src6 = _bytes128(flow, at.W_IPV6_SRC)
    dst6 = _bytes128(flow, at.W_IPV6_DST)
    return [IPv6(src6, dst6, proto, tos, label, ttl), *headers]


def _l4(flow: Flow, dl_type: int, payload: bytes) -> tuple[list[Header], bytes]:
    """The L4 header and the payload that goes with it: after TCP without SYN, FIN or RST, UDP
    and echoes of ICMP."""
    if _part(flow, at.W_NW_FRAG, at.S_NW_FRAG, 2) & NW_FRAG_LATER:
        return [], b""
    proto = _part(flow, at.W_NW_PROTO, at.S_NW_PROTO, 8)
    src = _part(flow, at.W_TP_SRC, at.S_TP_SRC, 16)
    dst = _part(flow, at.W_TP_DST, at.S_TP_DST, 16)
    if proto == IPPROTO_TCP:
        flags = _part(flow, at.W_TCP_FLAGS, at.S_TCP_FLAGS, 12)
        return [Tcp(src, dst, flags=flags)], b"" if flags & (TCP_SYN | TCP_FIN | TCP_RST) else payload
    if proto == IPPROTO_UDP:
        return [Udp(src, dst)], payload
    if proto == IPPROTO_SCTP:
        return [Sctp(src, dst)], b""
    if proto == IPPROTO_ICMP and dl_type == ETH_TYPE_IP:
        return [Icmp(src & 0xFF, dst & 0xFF)], payload if src in _ECHO else b""
    if proto == IPPROTO_IGMP and dl_type == ETH_TYPE_IP:
        return [Igmp(src & 0xFF, dst & 0xFF, group=_part(flow, at.W_IGMP_GROUP, at.S_IGMP_GROUP, 32))], b""
    if proto == IPPROTO_ICMPV6 and dl_type == ETH_TYPE_IPV6:
        if src in (ND_NEIGHBOR_SOLICIT, ND_NEIGHBOR_ADVERT) and dst == 0:
            reserved = _part(flow, at.W_IGMP_GROUP, at.S_IGMP_GROUP, 32)
            return [Icmp(src, 0, rest=reserved)], _nd_payload(flow)
        return [Icmp(src & 0xFF, dst & 0xFF)], payload if src in _ECHO6 else b""
    return [], b""


def _nd_payload(flow: Flow) -> bytes:
    """Neighbor discovery's target and the link-layer options that the flow has."""
    body = _bytes128(flow, at.W_ND_TARGET)
    sll = _part(flow, at.W_ARP_SHA, at.S_ARP_SHA, 48)
    tll = _part(flow, at.W_ARP_THA, at.S_ARP_THA, 48)
    options = []
    if sll:
        options.append(b"\x01\x01" + mac_bytes(sll))
    if tll:
        options.append(b"\x02\x01" + mac_bytes(tll))
    if _part(flow, at.W_TCP_FLAGS, at.S_TCP_FLAGS, 8) == 2:
        options.reverse()
    return body + b"".join(options)
