"""The parser: what it sees in good packets, and that bad ones cost exactly themselves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.packet.frames import ATTRIBUTES, ETH, FRAMES, V4, V6, mutations, seen
from vswitch.packet import parse as parse_module
from vswitch.packet.parse import Parser

PARSED = dict(line.split(": ", 1) for line in Path(__file__).with_name("parsed.txt").read_text().splitlines())
"""Packet name -> all that the parser sees in it."""

FUZZ = int(os.environ.get("VSWITCH_FUZZ", "0")) or (
    20_000 if parse_module.__file__.endswith(".py") else 200_000
)
"""Inputs of the fuzz test; the interpreted build has time for a tenth."""


def parse(data: bytes, vlan_limit: int = 2) -> str:
    parser = Parser(vlan_limit)
    parser.parse(data)
    return seen(parser)


@pytest.mark.parametrize("name", FRAMES)
def test_every_field_of(name: str) -> None:
    assert parse(FRAMES[name]) == PARSED[name]


def test_nothing_stays_from_the_packet_before() -> None:
    reused = Parser()
    for name, data in FRAMES.items():
        reused.parse(data)
        assert seen(reused) == PARSED[name]


def test_tags_beyond_the_vlan_limit_are_an_ethernet_type() -> None:
    assert "dl_type=0x8100 vlan_tpid=0x88a8 vlan_tci=0x10c8" in parse(FRAMES["qinq"], vlan_limit=1)
    assert "dl_type=0x88a8" in parse(FRAMES["qinq"], vlan_limit=0)


def test_a_packet_without_ethernet_header_starts_at_l3() -> None:
    parser = Parser()
    parser.parse_l3(FRAMES["udp"][14:], 0x800)
    expected = "l3_ofs=0 l4_ofs=20 dl_type=0x800 nw_src=10.0.0.1 nw_dst=10.0.0.2"
    assert seen(parser).startswith(expected)


L2 = bytes(ETH)[:12]
MALFORMED = {
    # A header that is cut off ends the parse before any of its fields...
    "13 bytes": (L2 + b"\x08", ""),
    "a tag without a type behind it": (L2 + bytes.fromhex("81000005"), "l3_ofs=14 dl_type=0x8100"),
    "a tag and nothing else": (L2 + bytes.fromhex("810000050800"), "l3_ofs=18 dl_type=0x800"),
    "19 bytes of IPv4": (bytes(ETH / V4)[:33], "l3_ofs=14 dl_type=0x800"),
    "39 bytes of IPv6": (bytes(ETH / V6)[:53], "l3_ofs=14 dl_type=0x86dd"),
    "27 bytes of ARP": (L2 + bytes.fromhex("08060001080006040001") + bytes(19), "l3_ofs=14 dl_type=0x806"),
    "7 bytes of UDP": (
        FRAMES["udp"][:14] + bytes.fromhex("4500001b0000000040110000") + bytes(15),
        "l3_ofs=14 l4_ofs=34 dl_type=0x800 nw_ttl=64 nw_proto=17",
    ),
    "3 bytes of MPLS": (L2 + bytes.fromhex("8847000101"), "l2_5_ofs=14 l3_ofs=14 dl_type=0x8847"),
    # ... and so do lengths that can't be.
    "an IHL of 4": (L2 + b"\x08\x00\x44" + bytes(V4)[1:], "l3_ofs=14 dl_type=0x800"),
    "an IHL beyond the packet": (L2 + b"\x08\x00\x4f" + bytes(V4)[1:], "l3_ofs=14 dl_type=0x800"),
    "a total length below the IHL": (
        L2 + bytes.fromhex("080045000013") + bytes(V4)[4:],
        "l3_ofs=14 dl_type=0x800",
    ),
    "a total length beyond the frame": (
        L2 + bytes.fromhex("080045000015") + bytes(V4)[4:],
        "l3_ofs=14 dl_type=0x800",
    ),
    "an IPv6 payload beyond the frame": (
        L2 + bytes.fromhex("86dd6000000000011140") + bytes(32),
        "l3_ofs=14 dl_type=0x86dd",
    ),
    "a TCP header longer than the packet": (
        L2
        + bytes.fromhex("0800450000280000000040060000")
        + bytes(8)
        + bytes.fromhex("00010002")
        + bytes(8)
        + b"\x60\x02"
        + bytes(10),
        "l3_ofs=14 l4_ofs=34 dl_type=0x800 nw_ttl=64 nw_proto=6",
    ),
    "NSH of another version": (
        L2 + bytes.fromhex("894f4fc6010300012345") + bytes(16),
        "l3_ofs=14 dl_type=0x894f",
    ),
    "NSH type 1 of 20 bytes": (
        L2 + bytes.fromhex("894f0fc5010300012345") + bytes(16),
        "l3_ofs=14 dl_type=0x894f",
    ),
    # An IPv6 extension header cut off leaves the addresses.
    "a hop-by-hop header cut off": (
        L2
        + bytes.fromhex("86dd6000000000080040")
        + bytes(15)
        + b"\x01"
        + bytes(15)
        + b"\x02"
        + bytes.fromhex("11ff000000000000"),
        "l3_ofs=14 dl_type=0x86dd ipv6_src_lo=0x1 ipv6_dst_lo=0x2",
    ),
    # Bytes behind the IP packet are padding.
    "ports in the padding": (
        L2
        + bytes.fromhex("080045000014")
        + bytes.fromhex("0000000040110000")
        + bytes(8)
        + bytes.fromhex("00010002")
        + bytes(20),
        "l3_ofs=14 l4_ofs=34 dl_type=0x800 nw_ttl=64 nw_proto=17",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str) -> None:
    data, expected = MALFORMED[name]
    parser = Parser()
    parser.parse(data)
    fields = tuple(a for a in ATTRIBUTES if not a.startswith(("dl_src", "dl_dst", "vlan_t")))
    assert seen(parser, fields) == expected


def test_no_byte_string_crashes_the_parser_or_leads_it_outside() -> None:
    parser = Parser()
    for data in mutations(FUZZ, seed=1):
        parser.parse(data)
        size = len(data)
        assert parser.size == size
        assert -1 <= parser.l2_5_ofs <= size
        assert -1 <= parser.l3_ofs <= size
        assert -1 <= parser.l4_ofs <= parser.l3_end <= size
        assert parser.l4_ofs == -1 or parser.l3_ofs + 20 <= parser.l4_ofs
        parser.parse_l3(data, 0x800)
