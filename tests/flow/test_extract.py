"""`extract`: packets made by scapy, as flows."""

from __future__ import annotations

import pytest

from tests.packet.frames import FRAMES, mutations
from vswitch.flow import fields
from vswitch.flow.compose import flow_compose
from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.packet.parse import Parser


def flow_of(data: bytes, packet_type: int = 0) -> Flow:
    flow = Flow()
    flow.packet_type = packet_type
    extract(data, flow, Parser())
    return flow


def shown(flow: Flow, *names: str) -> str:
    """The named fields as `name=value`, numbers in hexadecimal."""
    parts = {n: fields.PART_BY_NAME.get(n) or fields.by_name(n) for n in names}
    return ",".join(f"{name}={flow.get(field):x}" for name, field in parts.items())


CASES = {
    "udp": "eth_src=1,eth_dst=2,eth_type=800,vlan_tci=0,nw_src=a000001,nw_dst=a000002,nw_proto=11,nw_ttl=40,"
    "tp_src=3e8,tp_dst=7d0",
    "tcp": "nw_proto=6,tcp_src=3e8,tcp_dst=50,tcp_flags=12",
    "tcp with twelve flags": "tcp_flags=bff",
    "sctp": "nw_proto=84,sctp_src=5,sctp_dst=6",
    "icmp": "nw_proto=1,icmp_type=8,icmp_code=0",
    "igmp": "nw_proto=2,tp_src=16,igmp_group_ip4=e0010203",
    "first fragment": "ip_frag=1,udp_src=1,udp_dst=2",
    "later fragment": "ip_frag=3,udp_src=0,udp_dst=0",
    "arp": "eth_type=806,arp_op=1,arp_spa=a000001,arp_tpa=a000002,arp_sha=1,arp_tha=0",
    "vlan": "vlan_tci=b064,dl_vlan=64,dl_vlan_pcp=5,vlan_vid=1064,vlan_tpid=8100,vlan_tci1=0,eth_type=800",
    "priority tag": "vlan_tci=f000,dl_vlan=0,dl_vlan_pcp=7",
    "qinq": "vlan_tci=10c8,vlan_tpid=88a8,vlan_tci1=1064,vlan_tpid1=8100,eth_type=800,udp_dst=2",
    "mpls": "eth_type=8847,mpls_label=10,mpls_tc=0,mpls_bos=1,mpls_ttl=9,mpls_lse1=0",
    "mpls, four labels": "mpls_lse=1000,mpls_lse1=2000,mpls_lse2=3000",
    "llc": "eth_type=5ff",
    "udp over ipv6": "eth_type=86dd,ipv6_src=20010db8000000000000000000000001,"
    "ipv6_dst=ff020000000000000000000000000001,ipv6_label=12345,nw_tos=b8,nw_ttl=3,nw_proto=11,udp_dst=2",
    "neighbor solicitation": "nw_proto=3a,icmpv6_type=87,nd_target=fe800000000000000000000000000001,"
    "nd_sll=102030405,nd_options_type=1,nd_reserved=0",
    "neighbor advertisement": "icmpv6_type=88,nd_tll=102030406,nd_options_type=2,nd_reserved=a0000000",
    "nsh": "eth_type=894f,nsh_flags=0,nsh_ttl=3f,nsh_mdtype=1,nsh_np=3,nsh_spi=123,nsh_si=fe,nsh_c1=10203,"
    "nsh_c4=c0d0e0f",
}


@pytest.mark.parametrize("name", CASES)
def test_the_fields_of(name: str) -> None:
    expected = CASES[name]
    names = [part.split("=")[0] for part in expected.split(",")]
    assert shown(flow_of(FRAMES[name]), *names) == expected


def test_metadata_is_left_alone() -> None:
    flow = Flow()
    for field in fields.FIELDS:
        if field.name.startswith(("reg", "tun_", "ct_")) or field.name in ("in_port", "metadata", "pkt_mark"):
            flow.set(field, -1)
    before = flow.copy()
    parser = Parser()
    for data in FRAMES.values():
        extract(data, flow, parser)
    extract(b"", flow, parser)
    assert flow == before


def test_nothing_stays_from_the_packet_before() -> None:
    flow, parser = Flow(), Parser()
    for data in FRAMES.values():
        extract(data, flow, parser)
        assert flow == flow_of(data)


def test_an_l3_packet_has_no_ethernet_fields() -> None:
    flow = flow_of(FRAMES["udp"][14:], packet_type=0x1_0800)
    expected = "eth_src=0,eth_type=800,nw_dst=a000002,udp_dst=7d0"
    assert shown(flow, "eth_src", "eth_type", "nw_dst", "udp_dst") == expected


def test_any_bytes_extract_and_what_is_composed_extracts_alike() -> None:
    """Where extract -> compose -> extract is not the identity, composing again changes nothing."""
    for data in mutations(3000, seed=3):
        once = flow_of(flow_compose(flow_of(data)))
        assert flow_of(flow_compose(once)) == once
