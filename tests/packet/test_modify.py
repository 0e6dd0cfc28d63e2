"""Edits: the bytes that must change do, checksums follow, everything else stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.all import Ether, IPv6, Raw
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import IPv6ExtHdrRouting
from scapy.packet import Packet

from tests.packet.frames import ETH, FRAMES, V6, mutations, seen
from vswitch.packet.checksum import complete, partial_sum
from vswitch.packet.modify import Editor
from vswitch.packet.parse import Parser

ALL8, ALL16, ALL32, ALL48, ALL64 = 0xFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFF, -1

Edit = Callable[[Editor], object]


def edited(data: bytes, *edits: Edit, partial: bool = False) -> bytes:
    """`data` after `edits`, of which the frame's offsets are kept right on the way."""
    parser, editor = Parser(), Editor()
    parser.parse(data)
    editor.begin(data, parser, partial)
    for edit in edits:
        edit(editor)
    assert editor.size() == len(editor.finish())
    return editor.finish()


def parsed(data: bytes) -> str:
    parser = Parser()
    parser.parse(data)
    return seen(parser)


def with_right_checksums(data: bytes) -> bytes:
    """The frame as scapy writes it with its checksums computed anew."""
    packet = Ether(data)
    layer: Packet = packet
    while layer:
        if "chksum" in layer.fields:
            del layer.chksum
        if "cksum" in layer.fields:
            del layer.cksum
        layer = layer.payload
    return bytes(packet)


def set_src(value: int, mask: int = ALL32) -> Edit:
    return lambda e: e.set_ipv4(value, mask, 0, 0, 0, 0, 0, 0)


def set_ports(proto: int) -> Edit:
    return lambda e: e.set_ports(proto, 4321, ALL16, 0x00FF, 0x00FF)


EDITS: dict[str, tuple[str, Edit, str]] = {
    # name: (frame, edit, what then differs in the parsed fields)
    "eth_src": ("udp", lambda e: e.set_ethernet(0xAABBCCDDEEFF, ALL48, 0, 0), "dl_src=aa:bb:cc:dd:ee:ff"),
    "some bits of eth_dst": (
        "udp",
        lambda e: e.set_ethernet(0, 0, -1, 0xFF0000000000),
        "dl_dst=ff:00:00:00:00:02",
    ),
    "nw_src over udp": ("udp", set_src(0xC0A80101), "nw_src=192.168.1.1"),
    "nw_src over tcp": ("tcp", set_src(0xC0A80101), "nw_src=192.168.1.1"),
    "nw_src over icmp": ("icmp", set_src(0xC0A80101), "nw_src=192.168.1.1"),
    "a byte of nw_src": ("sctp", set_src(0xC0A80199, 0xFF), "nw_src=10.0.0.153"),
    "nw_dst": ("tcp", lambda e: e.set_ipv4(0, 0, 0x01020304, ALL32, 0, 0, 0, 0), "nw_dst=1.2.3.4"),
    "nw_tos": ("tcp", lambda e: e.set_ipv4(0, 0, 0, 0, 0xB9, 0xFC, 0, 0), "nw_tos=184"),
    "nw_ttl": ("tcp", lambda e: e.set_ipv4(0, 0, 0, 0, 0, 0, 1, ALL8), "nw_ttl=1"),
    "dec_ttl": ("udp", lambda e: e.dec_ttl(), "nw_ttl=63"),
    "dec_ttl of ipv6": ("udp over ipv6", lambda e: e.dec_ttl(), "nw_ttl=2"),
    "nw_src of a later fragment": ("later fragment", set_src(0xC0A80101), "nw_src=192.168.1.1"),
    "tcp ports": ("tcp", set_ports(6), "tp_src=4321 tp_dst=255"),
    "udp ports": ("udp", set_ports(17), "tp_src=4321 tp_dst=2047"),
    "sctp ports": ("sctp", set_ports(132), "tp_src=4321 tp_dst=255"),
    "udp ports over ipv6": ("udp over ipv6", set_ports(17), "tp_src=4321 tp_dst=255"),
    "tcp flags": ("tcp", lambda e: e.set_tcp_flags(0x801, 0xFFF), "tcp_flags=0x801"),
    "icmp type and code": ("icmp", lambda e: e.set_icmp(3, ALL8, 1, ALL8), "tp_src=3 tp_dst=1"),
    "icmpv6 type": ("ping over ipv6", lambda e: e.set_icmp(129, ALL8, 0, 0), "tp_src=129"),
    "ipv6_src over udp": (
        "udp over ipv6",
        lambda e: e.set_ipv6_src(1, 2, ALL64, ALL64),
        "ipv6_src_hi=0x1 ipv6_src_lo=0x2",
    ),
    "half of ipv6_dst over icmpv6": (
        "ping over ipv6",
        lambda e: e.set_ipv6_dst(1, 7, 0, ALL64),
        "ipv6_dst_lo=0x7",
    ),
    "label and tclass": (
        "udp over ipv6",
        lambda e: e.set_ipv6(0xABCDE, 0xFFFFF, 0x11, ALL8, 9, ALL8),
        "ipv6_label=0xabcde nw_tos=17 nw_ttl=9",
    ),
    "nd_target": ("neighbor solicitation", lambda e: e.set_nd_target(0, 9, 0, ALL64), "nd_target_lo=0x9"),
    "nd_sll": (
        "neighbor solicitation",
        lambda e: e.set_nd_option(1, 0xA, ALL48),
        "arp_sha=00:00:00:00:00:0a",
    ),
    "nd_tll": (
        "neighbor advertisement",
        lambda e: e.set_nd_option(2, 0xA, ALL48),
        "arp_tha=00:00:00:00:00:0a",
    ),
    "nd_reserved": (
        "neighbor advertisement",
        lambda e: e.set_nd_extensions(5, ALL32, 0, 0),
        "nd_reserved=0x5",
    ),
    "nd_options_type": (
        "neighbor advertisement",
        lambda e: e.set_nd_extensions(0, 0, 1, ALL8),
        "arp_sha=00:01:02:03:04:06 nd_options_type=1",
    ),
    "arp": (
        "arp",
        lambda e: e.set_arp(2, ALL16, 1, ALL32, 2, ALL32, 3, ALL48, 4, ALL48),
        "nw_src=0.0.0.1 nw_dst=0.0.0.2 nw_proto=2 arp_sha=00:00:00:00:00:03 arp_tha=00:00:00:00:00:04",
    ),
    "vlan id": ("vlan", lambda e: e.set_vlan(0x0007, 0x0FFF), "vlan_tci=0xb007"),
    "mpls label": ("mpls", lambda e: e.set_mpls(0x99 << 12, 0xFFFFF000), "mpls_lse0=0x99109"),
    "nsh ttl and index": (
        "nsh",
        lambda e: e.set_nsh(0, 0, 5, ALL8, 7, ALL8),
        "nsh_ttl=5 nsh_path_hdr=0x12307",
    ),
    "nsh context": ("nsh", lambda e: e.set_nsh_context(1, 0x99, ALL32), "nsh_c2=0x99"),
}


def fields(text: str) -> dict[str, str]:
    return dict(part.split("=") for part in text.split())


@pytest.mark.parametrize("name", EDITS)
def test_set(name: str) -> None:
    frame, edit, difference = EDITS[name]
    before = FRAMES[frame]
    after = edited(before, edit)
    expected = fields(parsed(before)) | fields(difference)
    got = fields(parsed(after))
    assert {k: v for k, v in got.items() if expected.get(k) != v} == {}
    assert len(after) == len(before)
    if frame != "later fragment":
        assert after == with_right_checksums(after)


def test_a_wrong_checksum_stays_exactly_as_wrong() -> None:
    good = FRAMES["tcp"]
    bad = good[:50] + bytes((good[50] ^ 0x5A, good[51])) + good[52:]
    fixed = edited(good, set_src(0xC0A80101), set_ports(6))
    carried = edited(bad, set_src(0xC0A80101), set_ports(6))
    error_before = (int.from_bytes(bad[50:52], "big") - int.from_bytes(good[50:52], "big")) % 0xFFFF
    error_after = (int.from_bytes(carried[50:52], "big") - int.from_bytes(fixed[50:52], "big")) % 0xFFFF
    assert error_before == error_after


def test_a_udp_checksum_of_zero_means_none_and_stays() -> None:
    none = FRAMES["udp"][:40] + b"\0\0" + FRAMES["udp"][42:]
    assert edited(none, set_src(0xC0A80101), set_ports(17))[40:42] == b"\0\0"


PARTIAL = {"tcp": 16, "udp": 6, "udp over ipv6": 6, "ping over ipv6": 2}


@pytest.mark.parametrize("name", PARTIAL)
def test_a_partial_checksum_holds_the_sum_of_the_pseudo_header(name: str) -> None:
    good = FRAMES[name]
    parser = Parser()
    parser.parse(good)
    l4, at = int(parser.l4_ofs), int(parser.l4_ofs) + PARTIAL[name]
    # What the field holds before the device sums the segment up.
    without = good[:at] + b"\0\0" + good[at + 2 :]
    stored = int.from_bytes(good[at : at + 2], "big") ^ 0xFFFF
    pseudo = (stored - partial_sum(without, l4, len(without))) % 0xFFFF
    partial = good[:at] + pseudo.to_bytes(2, "big") + good[at + 2 :]
    assert complete(partial, l4, PARTIAL[name]) == good
    changes: list[Edit] = [
        set_src(0xC0A80101),
        lambda e: e.set_ipv6_dst(5, 6, ALL64, ALL64),
        set_ports(6),
        set_ports(17),
        lambda e: e.set_icmp(129, ALL8, 0, 0),
    ]
    for change in changes:
        finished = complete(edited(partial, change, partial=True), l4, PARTIAL[name])
        assert finished == edited(good, change)


def test_the_checksum_of_a_source_routed_packet_is_over_its_final_destination() -> None:
    packet = ETH / V6 / IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=1) / UDP(sport=1, dport=2)
    data = bytes(packet)
    after = edited(data, lambda e: e.set_ipv6_dst(1, 2, ALL64, ALL64))
    assert after[38:54] == bytes.fromhex("00000000000000010000000000000002")
    assert after[54:] == data[54:]
    assert edited(data, lambda e: e.set_ipv6_src(1, 2, ALL64, ALL64))[-2:] != data[-2:]


def test_dec_ttl_stops_at_one() -> None:
    one = edited(FRAMES["udp"], lambda e: e.set_ipv4(0, 0, 0, 0, 0, 0, 1, ALL8))
    parser, editor = Parser(), Editor()
    parser.parse(one)
    editor.begin(one, parser)
    assert not editor.dec_ttl()
    assert editor.finish() == one


# Headers pushed and popped.


def test_push_and_pop_vlan() -> None:
    tagged = edited(FRAMES["udp"], lambda e: e.push_vlan(0x8100, 0x1005))
    assert tagged[12:18].hex() == "810000050800"
    assert edited(tagged, lambda e: e.pop_vlan()) == FRAMES["udp"]
    assert edited(FRAMES["udp"], lambda e: e.pop_vlan()) == FRAMES["udp"]


def test_tags_are_pushed_outside() -> None:
    double = edited(FRAMES["vlan"], lambda e: e.push_vlan(0x88A8, 0x1009))
    assert "vlan_tpid=0x88a8 vlan_tci=0x1009 vlan_tpid2=0x8100 vlan_tci2=0xb064" in parsed(double)


def test_fields_are_found_behind_a_pushed_tag() -> None:
    after = edited(FRAMES["udp"], lambda e: e.push_vlan(0x8100, 5), set_src(0xC0A80101), set_ports(17))
    assert after == edited(
        edited(FRAMES["udp"], set_src(0xC0A80101), set_ports(17)), lambda e: e.push_vlan(0x8100, 5)
    )


def test_push_and_pop_mpls_inside_the_tag() -> None:
    labelled = edited(
        FRAMES["vlan"], lambda e: e.push_mpls(0x10140, 0x8847), lambda e: e.push_mpls(0x20040, 0x8847)
    )
    assert "l2_5_ofs=18" in parsed(labelled)
    assert "dl_type=0x8847 vlan_tpid=0x8100 vlan_tci=0xb064 mpls_lse0=0x20040 mpls_lse1=0x10140" in parsed(
        labelled
    ).replace("n_mpls=2 ", "")
    popped = edited(labelled, lambda e: e.pop_mpls(0x8847), lambda e: e.pop_mpls(0x0800))
    assert popped == FRAMES["vlan"]


def test_mpls_in_front_of_the_ethernet_header() -> None:
    after = edited(FRAMES["udp"], lambda e: e.add_mpls(0x10140, 0x8847, False))
    assert after == bytes.fromhex("00010140") + FRAMES["udp"]


def test_pop_and_push_eth() -> None:
    assert edited(FRAMES["udp"], lambda e: e.pop_eth()) == FRAMES["udp"][14:]
    back = edited(FRAMES["udp"], lambda e: e.pop_eth(), lambda e: e.push_eth(7, 8), set_ports(17))
    assert parsed(back) == parsed(
        edited(FRAMES["udp"], set_ports(17), lambda e: e.set_ethernet(7, -1, 8, -1))
    )


def test_push_and_pop_nsh() -> None:
    def encap(e: Editor) -> None:
        e.push_nsh(0, 63, 1, 3, 0x123FE, bytes(range(16)))

    inner = FRAMES["udp"]
    pushed = edited(inner, encap)
    assert pushed[:8].hex() == "0fc60103000123fe"
    assert edited(inner, encap, lambda e: e.pop_nsh()) == inner
    framed = edited(inner, encap, lambda e: e.push_eth(1, 2))
    assert "dl_type=0x894f nsh_ttl=63 nsh_mdtype=1 nsh_np=3 nsh_path_hdr=0x123fe" in parsed(framed)


def test_shift_says_by_how_much_an_offload_moves() -> None:
    parser, editor = Parser(), Editor()
    parser.parse(FRAMES["udp"])
    editor.begin(FRAMES["udp"], parser)
    editor.push_vlan(0x8100, 1)
    editor.push_mpls(1, 0x8847)
    assert editor.shift == 8
    editor.pop_vlan()
    assert editor.shift == 4


def test_the_payload_of_a_long_frame_passes_untouched() -> None:
    payload = bytes(range(256)) * 200
    long = bytes(ETH / IPv6(src="::1", dst="::2") / TCP(sport=1, dport=2) / Raw(payload))
    after = edited(long, lambda e: e.push_vlan(0x8100, 5), set_ports(6), lambda e: e.dec_ttl())
    assert after.endswith(payload)
    assert after == with_right_checksums(after)
    assert edited(after, lambda e: e.pop_vlan())[:12] == long[:12]


# Everything on anything.

ANYTHING: list[Edit] = [edit for _, edit, _ in EDITS.values()] + [
    lambda e: e.push_vlan(0x8100, 5),
    lambda e: e.pop_vlan(),
    lambda e: e.push_mpls(0x10140, 0x8847),
    lambda e: e.pop_mpls(0x8847),
    lambda e: e.pop_mpls(0x0800),
    lambda e: e.add_mpls(0x10140, 0x8847, False),
    lambda e: e.pop_eth(),
    lambda e: e.push_eth(1, 2),
    lambda e: e.push_nsh(0, 63, 1, 3, 1, bytes(16)),
    lambda e: e.pop_nsh(),
]
BAD = mutations(300, seed=2)


@settings(max_examples=1000)
@given(st.sampled_from(BAD), st.lists(st.sampled_from(ANYTHING), max_size=5), st.booleans())
def test_no_edit_crashes_on_any_frame(data: bytes, edits: list[Edit], partial: bool) -> None:
    edited(data, *edits, partial=partial)
