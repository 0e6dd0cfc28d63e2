"""Key attributes both ways: what a datapath says of a packet, as a Flow."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.dpif.key_struct import SIZES, struct_bytes, struct_fields, struct_into
from vswitch.dpif.odp_key import (
    KEY_CT_IF_SET,
    KEY_NO_CT,
    KEY_ONE_VLAN,
    KEY_USERSPACE,
    decode_key,
    decode_mask,
    encode_key,
    encode_mask,
)
from vswitch.dpif.odp_nested import nsh_bytes, nsh_into, tunnel_bytes, tunnel_into
from vswitch.dpif.types import Fitness
from vswitch.flow import key_attr as key
from vswitch.flow import layout
from vswitch.flow.fields import PART_BY_NAME, by_name
from vswitch.flow.flow import Flow
from vswitch.flow.match_text import parse_exact_flow
from vswitch.flow.port_numbers import OFPP_NONE
from vswitch.flow.text import format_flow, packet_mask
from vswitch.netlink.attrs import Builder, attributes, parse

FLOWS = [
    "in_port=1,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02,tcp,nw_src=10.0.0.1,nw_dst=255.1.2.3,"
    "nw_ttl=64,nw_tos=252,nw_ecn=3,tp_src=40000,tp_dst=80,tcp_flags=syn|ack",
    "in_port=2,udp6,ipv6_src=fe80::1,ipv6_dst=ff02::2,ipv6_label=0xabcde,udp_src=65535",
    "in_port=2,sctp,sctp_dst=5",
    "in_port=3,ip,nw_proto=47,nw_frag=first",
    "in_port=3,tcp,nw_frag=later",
    "in_port=1,icmp,icmp_type=8,icmp_code=255",
    "in_port=1,icmp6,icmpv6_type=135,icmpv6_code=0,nd_target=fe80::2,nd_sll=f0:00:00:00:00:01",
    "in_port=1,icmp6,icmpv6_type=128",
    "in_port=1,arp,arp_op=2,arp_spa=1.2.3.4,arp_tpa=255.255.255.255,arp_sha=ff:00:00:00:00:01,arp_tha=1:2:3:4:5:6",
    "in_port=1,rarp,arp_op=3",
    "in_port=1,dl_vlan=4095,dl_vlan_pcp=7,ip,nw_proto=6,nw_frag=later",
    "in_port=1,mpls,mpls_label=1048575,mpls_tc=7,mpls_ttl=255,mpls_bos=1",
    "in_port=1,mpls,mpls_label=7",
    "in_port=1,dl_type=0x894f,nsh_flags=1,nsh_ttl=63,nsh_mdtype=1,nsh_np=3,nsh_spi=0xffffff,nsh_si=255,nsh_c1=0xffffffff,nsh_c4=1",
    "in_port=1,dl_type=0x894f,nsh_mdtype=2,nsh_spi=5",
    "in_port=65279,dl_type=0x88cc,skb_priority=0xffffffff,pkt_mark=0x80000000,recirc_id=7,dp_hash=0xffffffff",
    "in_port=1,ip,ct_state=est|trk|dnat,ct_zone=65535,ct_mark=0xffffffff,ct_label=0xf0000000000000000000000000000001,"
    "ct_nw_src=255.0.0.1,ct_nw_dst=4.3.2.1,ct_nw_proto=6,ct_tp_src=40000,ct_tp_dst=80",
    "in_port=1,ipv6,ct_state=new|trk,ct_ipv6_src=f000::1,ct_ipv6_dst=::2,ct_nw_proto=17,ct_tp_src=1",
    "in_port=1,tun_id=0xffffffffffffffff,tun_src=255.1.1.1,tun_dst=2.2.2.2,tun_tos=255,tun_ttl=255,tun_flags=oam,arp",
    "in_port=1,tun_id=5,tun_ipv6_src=f000::1,tun_ipv6_dst=::1,tun_gbp_id=65535,tun_gbp_flags=0x48,ip",
    "in_port=1,tun_id=5,tun_dst=1.1.1.1,tun_erspan_ver=2,tun_erspan_dir=1,tun_erspan_hwid=0x3f,ip",
    "in_port=1,tun_id=5,tun_dst=1.1.1.1,tun_erspan_ver=1,tun_erspan_idx=0xfffff,ip",
    "in_port=1,tun_id=5,tun_dst=1.1.1.1,tun_gtpu_flags=0x30,tun_gtpu_msgtype=255,ip",
    "in_port=1,dl_type=0x5ff",
    "packet_type=(1,0x800),in_port=1,nw_proto=17,udp_src=5",
]  # fmt: skip


def flow_of(text: str) -> Flow:
    flow = parse_exact_flow(text)
    if flow.tun_id:
        tun_flags = PART_BY_NAME["tun_all_flags"]
        flow.set(tun_flags, flow.get(tun_flags) | layout.TUN_F_KEY | layout.TUN_F_DF)
    if flow.packet_type:
        flow.dl_type = flow.packet_type & 0xFFFF
    return flow


@pytest.mark.parametrize("text", FLOWS)
def test_a_flow_comes_back_from_its_key(text: str) -> None:
    flow = flow_of(text)
    back = Flow()
    assert decode_key(encode_key(flow), back) is Fitness.PERFECT
    assert format_flow(back) == format_flow(flow)
    assert back == flow


@pytest.mark.parametrize("text", FLOWS)
def test_a_mask_comes_back_from_its_attributes(text: str) -> None:
    flow = flow_of(text)
    mask = packet_mask(flow)
    if flow.vlan_tci:
        mask.vlan_tpid = 0xFFFF
    mask.tun_src = mask.tun_src and flow.tun_src and 0xFFFFFF00
    tun = encode_mask(mask, flow, KEY_USERSPACE)
    back = Flow()
    assert decode_mask(tun, back, flow) is Fitness.PERFECT
    again = Flow()
    assert decode_mask(encode_mask(back, flow, KEY_USERSPACE), again, flow) is Fitness.PERFECT
    assert again == back
    names = ["in_port", "dl_src", "dl_dst", "dl_type", "vlan_tci", "ct_state", "ct_mark", "recirc_id"]
    if flow.nw_proto in (1, 58):
        mask.tp_src &= 0xFF
        mask.tp_dst &= 0xFF
    if flow.dl_type != 0x894F:
        names += ["nw_src", "nw_dst", "nw_proto", "nw_tos", "nw_frag", "tp_src", "tp_dst"]
    for name in names:
        assert getattr(back, name) == getattr(mask, name), name


def test_two_tags_nest() -> None:
    flow = flow_of("in_port=1,dl_vlan=5,tcp,tp_dst=80")
    flow.vlan_tpid, flow.vlan_tpid1, flow.vlan_tci1 = 0x88A8, 0x8100, 0xF006
    outer = parse(encode_key(flow))
    assert outer[key.ETHERTYPE] == bytes.fromhex("88a8")
    assert outer[key.VLAN] == bytes.fromhex("1005")
    inner = parse(outer[key.ENCAP])
    assert inner[key.ETHERTYPE] == bytes.fromhex("8100")
    assert inner[key.VLAN] == bytes.fromhex("f006")
    assert parse(inner[key.ENCAP])[key.TCP] == bytes.fromhex("00000050")
    back = Flow()
    assert decode_key(encode_key(flow), back) is Fitness.PERFECT
    assert back == flow
    cut = parse(parse(encode_key(flow, KEY_ONE_VLAN))[key.ENCAP])
    assert set(cut) == {key.ETHERTYPE}


def test_attributes_come_in_the_order_that_open_vswitch_sends_them() -> None:
    flow = flow_of("in_port=1,dl_vlan=5,tcp")
    assert [t for t, _, _ in attributes(encode_key(flow, KEY_NO_CT))] == [
        key.PRIORITY, key.SKB_MARK, key.RECIRC_ID, key.DP_HASH, key.IN_PORT, key.ETHERNET, key.ETHERTYPE,
        key.VLAN, key.ENCAP,
    ]  # fmt: skip


def test_the_kernels_bytes_of_an_ipv4_struct() -> None:
    flow = flow_of("tcp,nw_src=1.2.3.4,nw_dst=5.6.7.8,nw_tos=4,nw_ecn=1,nw_ttl=64,nw_frag=first")
    assert parse(encode_key(flow))[key.IPV4] == bytes([1, 2, 3, 4, 5, 6, 7, 8, 6, 5, 64, 1])


def test_a_flow_without_port_has_no_in_port_attribute() -> None:
    flow = flow_of("tcp")
    assert flow.in_port == OFPP_NONE
    assert key.IN_PORT not in parse(encode_key(flow))
    back = Flow()
    decode_key(encode_key(flow), back)
    assert back.in_port == OFPP_NONE


def test_an_802_2_frame_has_an_ethernet_type_only_in_its_mask() -> None:
    flow = flow_of("in_port=1,dl_type=0x5ff")
    mask = packet_mask(flow)
    assert key.ETHERTYPE not in parse(encode_key(flow))
    assert parse(encode_mask(mask, flow))[key.ETHERTYPE] == b"\xff\xff"


def tcp_key_without(*missing: int) -> bytes:
    attrs = parse(encode_key(flow_of("in_port=1,tcp")))
    builder = Builder()
    for attr, payload in attrs.items():
        if attr not in missing:
            builder.raw(attr, payload)
    return builder.getvalue()


@pytest.mark.parametrize(
    ("data", "fitness"),
    [
        (tcp_key_without(key.TCP), Fitness.TOO_LITTLE),
        (tcp_key_without(key.IPV4, key.TCP), Fitness.TOO_LITTLE),
        (tcp_key_without(key.TCP_FLAGS, key.PRIORITY, key.CT_STATE), Fitness.PERFECT),
        (tcp_key_without() + struct.pack("=HHI", 8, 60, 0), Fitness.TOO_MUCH),
        (tcp_key_without() + struct.pack("=HHI", 8, key.UDP, 0), Fitness.TOO_MUCH),
        (tcp_key_without() + struct.pack("=HHI", 8, key.TCP, 0), Fitness.ERROR),
        (tcp_key_without(key.TCP) + struct.pack("=HHH", 6, key.TCP, 0), Fitness.ERROR),
        (tcp_key_without()[:-3], Fitness.ERROR),
        (struct.pack("=HHI", 8, key.IN_PORT, 0x10000), Fitness.ERROR),
        (b"", Fitness.PERFECT),
    ],
)
def test_fitness(data: bytes, fitness: Fitness) -> None:
    assert decode_key(data, Flow()) is fitness


def test_a_tag_without_anything_behind_it_is_a_cut_off_frame() -> None:
    builder = Builder()
    builder.raw(key.ETHERNET, bytes(12))
    builder.be16(key.ETHERTYPE, 0x8100)
    builder.be16(key.VLAN, 0)
    builder.raw(key.ENCAP, b"")
    flow = Flow()
    assert decode_key(builder.getvalue(), flow) is Fitness.PERFECT
    assert flow.vlan_tci == 0


def test_a_geneve_option_of_impossible_length_is_an_error() -> None:
    builder = Builder()
    nest = builder.begin(key.TUNNEL)
    builder.raw(key.TUN_GENEVE_OPTS, bytes([0xFF, 0xFF, 0x80, 1, 0, 0, 0, 10]))
    builder.end(nest)
    assert decode_key(builder.getvalue(), Flow()) is Fitness.PERFECT
    assert decode_key(builder.getvalue().replace(b"\x80\x01", b"\x80\x02"), Flow()) is Fitness.ERROR


@pytest.mark.parametrize("attr", [a for a in range(33) if SIZES[a]])
def test_structs_of_set_actions_come_back(attr: int) -> None:
    flow = Flow()
    for _, size, field in struct_fields(attr):
        flow.set(field, field.ones & ((1 << 8 * size) - 1) & 0xA5A5A5A5A5A5A5A5A5A5A5A5A5A5A5A5)
    if attr in (key.IPV4, key.IPV6):
        flow.nw_frag = layout.FRAG_ANY
    data = struct_bytes(attr, flow)
    assert len(data) == SIZES[attr]
    back = Flow()
    assert struct_into(attr, data, back)
    assert back == flow
    assert not struct_into(attr, data + b"\0", back)


def test_tunnel_and_nsh_as_set_actions_carry_them() -> None:
    flow = flow_of("tun_id=5,tun_src=1.1.1.1,tun_dst=2.2.2.2,tun_ttl=64,ip")
    back = Flow()
    assert tunnel_into(tunnel_bytes(flow), back)
    assert back.tun_dst == 0x02020202
    assert back.get(by_name("tun_ttl")) == 64
    nsh = flow_of("dl_type=0x894f,nsh_mdtype=1,nsh_spi=5,nsh_c2=7")
    assert nsh_into(nsh_bytes(nsh), back)
    assert back.get(by_name("nsh_c2")) == 7


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoders(data: bytes) -> None:
    flow, mask = Flow(), Flow()
    assert isinstance(decode_key(data, flow), Fitness)
    assert isinstance(decode_mask(data, mask, flow), Fitness)


@given(st.sampled_from(FLOWS), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4))
def test_no_damaged_key_breaks_the_decoders(text: str, damage: list[tuple[int, int]]) -> None:
    data = bytearray(encode_key(flow_of(text), KEY_USERSPACE))
    for position, value in damage:
        data[position % len(data)] = value
    flow, mask = Flow(), Flow()
    if decode_key(bytes(data), flow) is not Fitness.ERROR:
        encode_key(flow)
        encode_mask(flow, flow)
    decode_mask(bytes(data), mask, flow)


def test_connection_attributes_are_in_the_key_wherever_they_are_in_the_mask() -> None:
    flow, mask = Flow(), Flow()
    mask.ct_state = 0x20
    mask.ct_mark = 0xF
    assert key.CT_STATE not in parse(encode_key(flow, KEY_CT_IF_SET))
    for data in (encode_key(flow, KEY_CT_IF_SET, mask), encode_mask(mask, flow, KEY_CT_IF_SET)):
        attrs = parse(data)
        assert {key.CT_STATE, key.CT_MARK} < set(attrs)
        assert not {key.CT_ZONE, key.CT_LABELS} & set(attrs)
