"""The field registry: nothing overlaps by accident, and every place holds what is put there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vswitch.flow import layout
from vswitch.flow.field import Field
from vswitch.flow.fields import FIELDS, N_WORDS, PART_BY_NAME, PARTS, STAGE_ENDS, by_name
from vswitch.flow.flow import Flow
from vswitch.flow.port_numbers import OFPP_LOCAL

OPTIONS = [
    by_name("tun_metadata0").at_cells((3,)),
    by_name("tun_metadata1").at_cells((4,)),
    by_name("tun_metadata2").at_cells((5, 6, 7)),
    by_name("tun_metadata5").at_cells((1, 63, 0)),
    by_name("tun_metadata63").at_cells(tuple(range(8, 39))),
]
"""Tunnel options as a switch places them: in one piece or not."""
EVERYTHING = [field for field in FIELDS if field.option < 0] + OPTIONS + PARTS


def places(field: Field) -> set[tuple[int, int]]:
    """The (word, bit) pairs that the field occupies."""
    if field.option >= 0:
        return {(cell // 2, bit + (0 if cell % 2 else 32)) for cell in field.cells for bit in range(32)}
    if field.n_words > 1:
        return {(field.word + n, bit) for n in range(field.n_words) for bit in range(64)}
    return {(field.word, field.shift + bit) for bit in range(field.n_stored)}


SAME_PLACE = [
    {"tun_flags", "tun_all_flags"},
    {"in_port", "in_port_oxm"},
    {"vlan_tci", "dl_vlan", "vlan_vid", "dl_vlan_pcp", "vlan_pcp"},
    {"ip_src", "arp_spa"},
    {"ip_dst", "arp_tpa"},
    {"nw_proto", "arp_op"},
    {"nw_tos", "ip_dscp", "nw_ecn"},
    {"arp_sha", "nd_sll"},
    {"arp_tha", "nd_tll"},
    {"tcp_flags", "nd_options_type"},
    {"nd_reserved", "igmp_group_ip4"},
    {"tcp_src", "udp_src", "sctp_src", "icmp_type", "icmpv6_type"},
    {"tcp_dst", "udp_dst", "sctp_dst", "icmp_code", "icmpv6_code"},
    {"mpls_label", "mpls_tc", "mpls_bos", "mpls_ttl", "mpls_lse"},
] + [{f"reg{n}", f"xreg{n // 2}", f"xxreg{n // 4}"} for n in range(16)] + [
    {f"xreg{n}", f"xxreg{n // 2}"} for n in range(8)
]  # fmt: skip

SHORTHANDS = [
    "in_port", "recirc_id", "dp_hash", "packet_type", "skb_priority", "pkt_mark", "actset_output",
    "conj_id", "metadata", "tun_id", "tun_src", "tun_dst", "ct_state", "ct_zone", "ct_mark", "dl_dst",
    "dl_src", "dl_type", "vlan_tci", "vlan_tpid", "vlan_tci1", "vlan_tpid1", "nw_src", "nw_dst",
    "nw_proto", "nw_ttl", "nw_frag", "tp_src", "tp_dst", "tcp_flags",
]  # fmt: skip


def test_fields_overlap_only_where_they_are_views_of_one_thing() -> None:
    for i, a in enumerate(EVERYTHING):
        for b in EVERYTHING[i + 1 :]:
            if places(a) & places(b):
                assert any({a.name, b.name} <= views for views in SAME_PLACE), (a, b)


@pytest.mark.parametrize("field", EVERYTHING, ids=lambda field: field.name)
def test_a_value_put_into_a_field_comes_out_and_touches_nothing_else(field: Field) -> None:
    for value in (field.ones, field.ones & -field.ones, 1 << (field.n_stored - 1), 0):
        flow = Flow()
        for index in range(N_WORDS):
            flow.words[index] = -1
        flow.set(field, value)
        mask = Flow()
        mask.set_ones(field)
        assert flow.bits(field) == value or field.special == 2
        assert mask.bits(field) == field.ones
        untouched = [word | m for word, m in zip(flow.words, mask.words, strict=True)]
        assert untouched == [-1] * N_WORDS
        bits = Flow()
        bits.set_bits(field, value)
        assert bits.bits(field) == value


@pytest.mark.parametrize("name", SHORTHANDS)
def test_shorthands_read_and_write_the_field_of_their_name(name: str) -> None:
    field = PART_BY_NAME.get(name) or by_name(name)
    for value in (field.ones, 1, 1 << (field.n_stored - 1), 0):
        flow, mask = Flow(), Flow()
        for index in range(N_WORDS):
            flow.words[index] = -1
        setattr(flow, name, value)
        assert getattr(flow, name) == value
        assert flow.bits(field) == value
        mask.set_ones(field)
        if name not in ("nw_frag", "in_port", "tcp_flags"):  # their slots are wider
            assert [w | m for w, m in zip(flow.words, mask.words, strict=True)] == [-1] * N_WORDS


def test_an_option_without_a_place_reads_as_0_and_writing_it_does_nothing() -> None:
    field = by_name("tun_metadata7")
    flow = Flow()
    flow.set(field, field.ones)
    flow.set_ones(field)
    assert (field.n_bits, flow.get(field), flow.is_zero()) == (992, 0, True)


def test_an_option_is_there_or_not() -> None:
    flow = Flow()
    for option in (0, 31, 32, 63):
        flow.set_option(option)
    assert [n for n in range(64) if flow.has_option(n)] == [0, 31, 32, 63]
    flow.set_option(63, False)
    assert not flow.has_option(63)
    assert flow.get(PART_BY_NAME["tun_metadata_present"]) == 1 << 32 | 1 << 31 | 1


def test_stages_follow_each_other_to_the_end() -> None:
    assert sorted(STAGE_ENDS) == list(STAGE_ENDS)
    assert STAGE_ENDS[-1] == N_WORDS
    stage = {f.name: sum(f.word >= end for end in STAGE_ENDS) for f in EVERYTHING}
    assert stage["reg0"] == stage["tun_metadata5"] == stage["in_port"] == stage["ct_label"] == 0
    assert stage["eth_src"] == stage["eth_type"] == stage["vlan_tci1"] == stage["mpls_lse2"] == 1
    assert stage["ip_src"] == stage["nw_proto"] == stage["arp_spa"] == stage["ct_ipv6_dst"] == 2
    assert stage["tcp_flags"] == stage["nsh_c4"] == stage["nd_target"] == stage["arp_tha"] == 3
    assert stage["tcp_src"] == stage["ct_tp_dst"] == stage["nd_reserved"] == 3


def test_oxm_ports_are_the_16_bit_ports_in_32_bits() -> None:
    flow = Flow()
    flow.set(by_name("in_port_oxm"), 0xFFFFFFFE)
    assert flow.in_port == OFPP_LOCAL
    assert flow.get(by_name("in_port_oxm")) == 0xFFFFFFFE
    flow.in_port = 7
    assert flow.get(by_name("in_port_oxm")) == 7


def test_dl_vlan_none_takes_the_tag_away_and_a_vid_adds_one() -> None:
    flow = Flow()
    flow.set(by_name("dl_vlan"), 5)
    flow.set(by_name("dl_vlan_pcp"), 3)
    assert flow.vlan_tci == 0x7005
    flow.set(by_name("dl_vlan"), 0xFFFF)
    assert flow.vlan_tci == 0


def test_every_name_and_header_finds_its_field() -> None:
    assert by_name("dl_src") is by_name("eth_src") is by_name("NXM_OF_ETH_SRC")
    assert by_name("OXM_OF_PKT_REG3").name == "xreg3"
    assert by_name("NXM_NX_TUN_METADATA63").oxm[0].number == 103
    with pytest.raises(KeyError):
        by_name("no_such_field")


def test_registers_are_views_of_each_other() -> None:
    flow = Flow()
    flow.set_reg(0, 0x80000001)
    flow.set_reg(1, 2)
    flow.set_reg(3, 0xFFFFFFFF)
    assert flow.get(by_name("xreg0")) == 0x8000000100000002
    assert flow.get(by_name("xxreg0")) == 0x800000010000000200000000FFFFFFFF
    assert flow.reg(0) == 0x80000001


def documented() -> list[list[str]]:
    """The rows of ovs_fields.txt, with numbered names written out."""
    rows = []
    for line in Path(__file__).with_name("ovs_fields.txt").read_text().splitlines():
        if not line.startswith("#"):
            names, *cells = line.split(" | ")
            numbered = re.fullmatch(r"(\w+)0\.\.\.(\d+)", names)
            each = [f"{numbered[1]}{n}" for n in range(int(numbered[2]) + 1)] if numbered else [names]
            rows += [[name, *cells] for name in each]
    return rows


@pytest.mark.parametrize("row", documented(), ids=lambda row: row[0].split()[0])
def test_a_field_is_as_ovs_fields_documents_it(row: list[str]) -> None:
    names, *wanted = row
    field, *others = {by_name(name) for name in names.split()}
    assert others == []
    masking = "maskable" if field.maskable else "exact"
    n_bits = 16 if field.name == "tun_flags" else field.n_bits  # of which "only 1 may be nonzero"
    assert [f"{n_bits} bits", masking, "read/write" if field.writable else "read-only"] == wanted


RUNS = {
    "the registers": (layout.W_REGS, layout.W_REGS_END, r"x*reg\d+"),
    "the tunnel": (layout.W_TUNNEL, layout.W_TUNNEL_END, r"tun_(?!metadata).*"),
    "connection tracking": (layout.W_CT, layout.W_CT_END, r"ct_(state|zone|mark|label|nw_proto)"),
    "a connection's addresses": (layout.W_CT_ADDRESSES, layout.W_CT_ADDRESSES_END, r"ct_(nw|ipv6)_(src|dst)"),
    "NSH": (layout.W_NSH, layout.W_NSH_END, r"nsh_.*"),
    "what comes from the packet's bytes": (
        layout.W_PACKET, N_WORDS, r"(?!x*reg\d|tun_|metadata|ct_(state|zone|mark|label|nw_proto$)).*"
    ),
}  # fmt: skip
PIPELINE = (
    "conj_id|in_port|in_port_oxm|actset_output|skb_priority|pkt_mark|packet_type|dp_hash|recirc_id"
)


@pytest.mark.parametrize("what", sorted(RUNS))
def test_runs_of_words_hold_just_what_loops_expect(what: str) -> None:
    first, end, names = RUNS[what]
    inside = {field.name for field in EVERYTHING if field.option < 0 and first <= field.word < end}
    named = {
        field.name
        for field in EVERYTHING
        if field.option < 0 and re.fullmatch(names, field.name) and not re.fullmatch(PIPELINE, field.name)
    }
    assert inside == named - {"tun_metadata_present"}
    for name in inside:
        field = PART_BY_NAME.get(name) or by_name(name)
        assert field.word + field.n_words <= end


def test_a_connections_ports_are_the_low_half_of_their_word() -> None:
    for field in EVERYTHING:
        if field.option < 0 and field.word == layout.W_CT_TP_SRC:
            low = all(bit < 32 for _, bit in places(field))
            assert low == field.name.startswith("ct_"), field.name
