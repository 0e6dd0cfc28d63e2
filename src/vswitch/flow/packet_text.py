"""A packet as text: its flow, and the checksum of its transport header."""

from __future__ import annotations

from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.flow.text import format_flow
from vswitch.packet.numbers import ETH_TYPE_IP, ETH_TYPE_IPV6
from vswitch.packet.parse import Parser

CHECKSUMS = {
    1: ("icmp_csum", 2, 8), 6: ("tcp_csum", 16, 20), 17: ("udp_csum", 6, 8), 58: ("icmp6_csum", 2, 4),
    132: ("sctp_csum", 8, 12),
}  # fmt: skip
"""IP protocol -> what its checksum is called, where it is, and how long the header is at least."""


def format_as(data: bytes, key: Flow) -> str:
    """A packet in a line, with no more VLAN tags than its `key` has."""
    return format_packet(data, key.packet_type, 2 if key.vlan_tci1 else 1)


def format_packet(data: bytes, packet_type: int = 0, vlans: int = 2) -> str:
    """A packet in a line, as `ovs-ofctl` and the log have it. `packet_type` says how it begins
    (`extract`), `vlans` how many tags are looked at."""
    flow = Flow()
    flow.packet_type = packet_type
    parser = Parser(vlans)
    extract(data, flow, parser)
    text = format_flow(flow).replace("in_port=0,", "", 1)
    at = parser.l4_ofs
    name, offset, least = CHECKSUMS.get(flow.nw_proto, ("", 0, 0))
    is_ip = flow.dl_type in (ETH_TYPE_IP, ETH_TYPE_IPV6)
    if is_ip and name and 0 < at <= len(data) - least and not flow.nw_frag & 2:
        size = 4 if name[0] == "s" else 2
        text += f" {name}:{int.from_bytes(data[at + offset : at + offset + size], 'big'):x}"
    return text + "\n"
