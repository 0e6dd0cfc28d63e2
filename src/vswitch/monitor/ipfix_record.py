"""The records of IPFIX: which elements there are of a packet, and their templates.

A template's number says what it is of: VLAN or none, IP version, transport, tunnel, direction. The elements,
their order and the numbers are those of Open vSwitch 3.1, so that collectors see the same from both. Elements
with an enterprise number are VMware's (6876).
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Final

from vswitch.base.records import dataclass
from vswitch.packet.numbers import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)
from vswitch.packet.parse import Parser

FIRST_TEMPLATE: Final = 256
IPFIX_OPTIONS_TEMPLATE: Final = 462
TEMPLATE_SET, OPTIONS_SET = 2, 3
ENTERPRISE: Final = 6876
VARIABLE: Final = 65535
"""A length that stands before the value (RFC 7011 section 7)."""
L3_NONE, L3_IPV4, L3_IPV6 = 0, 1, 2
L4_NONE, L4_TCP, L4_UDP, L4_SCTP, L4_ICMP = 0, 1, 2, 3, 4

Fields = tuple[tuple[int, int], ...]
"""(element, length); an element of the enterprise's is negative."""

# Of the key.
COMMON: Final[Fields] = (
    (138, 4),  # observationPointId
    (61, 1),  # flowDirection
    (56, 6),  # sourceMacAddress
    (80, 6),  # destinationMacAddress
    (256, 2),  # ethernetType
    (240, 1),  # ethernetHeaderLength
    (10, 4),  # ingressInterface
    (368, 4),  # ingressInterfaceType
    (82, VARIABLE),  # interfaceName
    (83, VARIABLE),  # interfaceDescription
)
EGRESS: Final[Fields] = (
    (14, 4),  # egressInterface
    (369, 4),  # egressInterfaceType
    (82, VARIABLE),
    (83, VARIABLE),
)
VLAN: Final[Fields] = ((58, 2), (243, 2), (244, 1))  # vlanId, dot1qVlanId, dot1qPriority
IP: Final[Fields] = (
    (60, 1),  # ipVersion
    (192, 1),  # ipTTL
    (4, 1),  # protocolIdentifier
    (195, 1),  # ipDiffServCodePoint
    (196, 1),  # ipPrecedence
    (5, 1),  # ipClassOfService
)
IPV4: Final[Fields] = ((8, 4), (12, 4))  # sourceIPv4Address, destinationIPv4Address
IPV6: Final[Fields] = ((27, 16), (28, 16), (31, 4))  # addresses, flowLabelIPv6
PORTS: Final[Fields] = ((7, 2), (11, 2))  # sourceTransportPort, destinationTransportPort
ICMPV4: Final[Fields] = ((176, 1), (177, 1))  # icmpTypeIPv4, icmpCodeIPv4
ICMPV6: Final[Fields] = ((178, 1), (179, 1))
TUNNEL: Final[Fields] = (
    (-893, 4),  # tunnelSourceIPv4Address
    (-894, 4),  # tunnelDestinationIPv4Address
    (-895, 1),  # tunnelProtocolIdentifier
    (-896, 2),  # tunnelSourceTransportPort
    (-897, 2),  # tunnelDestinationTransportPort
    (-891, 1),  # tunnelType
    (-892, VARIABLE),  # tunnelKey
)
VIRTUAL_OBS_ID: Final[Fields] = ((-898, VARIABLE),)
# Of what is counted.
COUNTED: Final[Fields] = (
    (158, 4),  # flowStartDeltaMicroseconds
    (159, 4),  # flowEndDeltaMicroseconds
    (133, 8),  # droppedPacketDeltaCount
    (135, 8),  # droppedPacketTotalCount
    (2, 8),  # packetDeltaCount
    (86, 8),  # packetTotalCount
    (354, 8),  # ingressUnicastPacketTotalCount
    (355, 8),  # ingressMulticastPacketTotalCount
    (356, 8),  # ingressBroadcastPacketTotalCount
    (357, 8),  # egressUnicastPacketTotalCount
    (358, 8),  # egressBroadcastPacketTotalCount
    (19, 8),  # postMCastPacketDeltaCount
    (174, 8),  # postMCastPacketTotalCount
    (352, 8),  # layer2OctetDeltaCount
    (353, 8),  # layer2OctetTotalCount
    (136, 1),  # flowEndReason
)
COUNTED_IP: Final[Fields] = (
    (132, 8),  # droppedOctetDeltaCount
    (134, 8),  # droppedOctetTotalCount
    (1, 8),  # octetDeltaCount
    (85, 8),  # octetTotalCount
    (198, 8),  # octetDeltaSumOfSquares
    (199, 8),  # octetTotalSumOfSquares
    (25, 8),  # minimumIpTotalLength
    (26, 8),  # maximumIpTotalLength
    (20, 8),  # postMCastOctetDeltaCount
    (175, 8),  # postMCastOctetTotalCount
)
# tcpAckTotalCount, Fin, Psh, Rst, Syn, Urg
COUNTED_TCP: Final[Fields] = ((222, 8), (219, 8), (221, 8), (220, 8), (218, 8), (223, 8))

_COMMON: Final = struct.Struct("!IB6s6sHBII")
_IP: Final = struct.Struct("!6B")


@dataclass(frozen=True)
class IpfixInterface:
    """A port as a record calls it: its ifIndex (0: none) and name."""

    ifindex: int
    name: str

    def pack(self) -> bytes:
        """Index, type (unknown), name, and no description."""
        name = self.name.encode("utf-8", "replace")[:64]
        return struct.pack("!IIB", self.ifindex, 0, len(name)) + name + b"\0"


@dataclass(frozen=True)
class IpfixTunnel:
    """An outer IPv4 header. `type` is VMware's: 1 VXLAN, 2 GRE, 7 Geneve."""

    src: int
    dst: int
    proto: int
    src_port: int
    dst_port: int
    type: int
    key: bytes


@dataclass(frozen=True)
class IpfixPacket:
    """A sampled packet, parsed. `egress`: sampled on its way out, to `output`. `dropped`: it goes nowhere."""

    packet: bytes
    parser: Parser
    input: IpfixInterface
    output: IpfixInterface | None = None
    egress: bool = False
    dropped: bool = False
    tunnel: IpfixTunnel | None = None

    @property
    def is_tcp(self) -> bool:
        """Whether it has TCP's header."""
        return _l3(self.parser) != L3_NONE and _l4(self.parser) == L4_TCP


NOWHERE: Final = IpfixInterface(0, "")


def _l3(parser: Parser) -> int:
    if parser.dl_type == ETH_TYPE_IP:
        return L3_IPV4
    return L3_IPV6 if parser.dl_type == ETH_TYPE_IPV6 else L3_NONE


def _l4(parser: Parser) -> int:
    if parser.l4_ofs < 0:
        return L4_NONE
    icmp = IPPROTO_ICMP if parser.dl_type == ETH_TYPE_IP else IPPROTO_ICMPV6
    kinds = {IPPROTO_TCP: L4_TCP, IPPROTO_UDP: L4_UDP, IPPROTO_SCTP: L4_SCTP, icmp: L4_ICMP}
    return kinds.get(int(parser.nw_proto), L4_NONE)


def _number(vlan: bool, l3: int, l4: int, tunnel: bool, egress: bool) -> int:
    return FIRST_TEMPLATE + ((vlan * 3 + l3) * 5 + l4) * 4 + tunnel * 2 + egress


def template_id(packet: IpfixPacket) -> int:
    """The template of a packet's record."""
    parser = packet.parser
    l3 = _l3(parser)
    l4 = _l4(parser) if l3 else L4_NONE
    return _number(parser.n_vlans > 0, l3, l4, packet.tunnel is not None, packet.output is not None)


def key_of(packet: IpfixPacket, point: int, virtual_id: bytes) -> bytes:
    """The first part of a packet's record, which tells its flow from others."""
    p = packet.parser
    l3 = _l3(p)
    key = _COMMON.pack(
        point, packet.egress, int(p.dl_src).to_bytes(6, "big"), int(p.dl_dst).to_bytes(6, "big"),
        p.dl_type, 18 if p.n_vlans else 14, packet.input.ifindex, 0,
    )[:-8] + packet.input.pack()  # fmt: skip
    if packet.output is not None:
        key += packet.output.pack()
    if p.n_vlans:
        vid = p.vlan_tci & 0xFFF
        key += struct.pack("!HHB", vid, vid, p.vlan_tci >> 13 & 7)
    if l3:
        tos = p.nw_tos
        key += _IP.pack(4 if l3 == L3_IPV4 else 6, p.nw_ttl, p.nw_proto, tos >> 2, tos >> 5, tos)
        if l3 == L3_IPV4:
            key += struct.pack("!II", p.nw_src & 0xFFFFFFFF, p.nw_dst & 0xFFFFFFFF)
        else:
            key += struct.pack("!qqqqI", p.ipv6_src_hi, p.ipv6_src_lo, p.ipv6_dst_hi, p.ipv6_dst_lo,
                               p.ipv6_label)
        l4 = _l4(p)
        if l4 == L4_ICMP:
            key += bytes((p.tp_src & 0xFF, p.tp_dst & 0xFF))
        elif l4:
            key += struct.pack("!HH", p.tp_src, p.tp_dst)
    t = packet.tunnel
    if t is not None:
        key += struct.pack("!IIBHHBB", t.src, t.dst, t.proto, t.src_port, t.dst_port, t.type,
                           len(t.key)) + t.key  # fmt: skip
    if virtual_id:
        key += bytes((len(virtual_id),)) + virtual_id
    return key


def fields_of(vlan: bool, l3: int, l4: int, tunnel: bool, egress: bool, virtual_id: bool) -> Fields:
    """The elements of a template."""
    fields = COMMON
    if egress:
        fields += EGRESS
    if vlan:
        fields += VLAN
    if l3:
        fields += IP + (IPV4 if l3 == L3_IPV4 else IPV6)
    if l4 == L4_ICMP:
        fields += ICMPV4 if l3 == L3_IPV4 else ICMPV6
    elif l4:
        fields += PORTS
    if tunnel:
        fields += TUNNEL
    if virtual_id:
        fields += VIRTUAL_OBS_ID
    fields += COUNTED
    if l3:
        fields += COUNTED_IP
    if l4 == L4_TCP:
        fields += COUNTED_TCP
    return fields


def _template(number: int, fields: Fields) -> bytes:
    packed = b"".join(
        struct.pack("!HH", element, size) if element > 0
        else struct.pack("!HHI", -element | 0x8000, size, ENTERPRISE)
        for element, size in fields
    )  # fmt: skip
    return struct.pack("!HH", number, len(fields)) + packed


@cache
def template_sets(virtual_id: bool, room: int) -> tuple[bytes, ...]:
    """All templates, in sets of up to `room` bytes."""
    templates = [
        _template(_number(vlan, l3, l4, tunnel, egress), fields_of(vlan, l3, l4, tunnel, egress, virtual_id))
        for vlan in (False, True)
        for l3 in (L3_NONE, L3_IPV4, L3_IPV6)
        for l4 in ((L4_NONE, L4_TCP, L4_UDP, L4_SCTP, L4_ICMP) if l3 else (L4_NONE,))
        for tunnel in (False, True)
        for egress in (False, True)
    ]
    sets: list[bytes] = []
    chunk = b""
    for template in templates:
        if chunk and 4 + len(chunk) + len(template) > room:
            sets.append(struct.pack("!HH", TEMPLATE_SET, 4 + len(chunk)) + chunk)
            chunk = b""
        chunk += template
    sets.append(struct.pack("!HH", TEMPLATE_SET, 4 + len(chunk)) + chunk)
    return tuple(sets)


def options_template() -> bytes:
    """The set with the template of what an exporter says of itself: exportingProcessId as the scope,
    notSentPacketTotalCount."""
    return struct.pack("!HHHHH", OPTIONS_SET, 18, IPFIX_OPTIONS_TEMPLATE, 2, 1) + struct.pack(
        "!HHHH", 144, 4, 167, 8
    )
