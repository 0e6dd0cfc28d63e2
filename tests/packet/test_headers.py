"""Typed headers: scapy reads what they write; they read what they wrote; bad bytes raise PacketError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.all import Ether

from tests.packet.frames import FRAMES
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
    PacketError,
    Sctp,
    Snap,
    Tcp,
    Udp,
    Vlan,
    format_mac,
    parse_mac,
)

u8, u16, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
macs = st.integers(0, (1 << 48) - 1)
ip6 = st.binary(min_size=16, max_size=16)
options = st.integers(0, 10).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n))
headers = st.one_of(
    st.builds(Ethernet, macs, macs, u16),
    st.builds(Vlan, u16, u16),
    st.builds(Mpls, st.integers(0, 0xFFFFF), st.integers(0, 7), st.booleans(), u8),
    st.builds(Arp, u16, macs, u32, macs, u32),
    st.builds(IPv4, u32, u32, u8, u8, u8, u16, u16, u16, u16, options),
    st.builds(IPv6, ip6, ip6, u8, u8, st.integers(0, 0xFFFFF), u8, u16),
    st.builds(IPv6Fragment, u8, st.integers(0, 0x1FFF), st.booleans(), u32),
    st.builds(Tcp, u16, u16, u32, u32, st.integers(0, 0xFFF), u16, u16, u16, options),
    st.builds(Udp, u16, u16, u16, u16),
    st.builds(Sctp, u16, u16, u32, st.binary(min_size=4, max_size=4)),
    st.builds(Icmp, u8, u8, u16, u32),
    st.builds(Igmp, u8, u8, u16, u32),
    st.builds(Nsh, u8, st.integers(0, 15), st.integers(0, 3), st.integers(0, 63), u32, options),
)
KINDS = (Ethernet, Vlan, Mpls, Arp, IPv4, IPv6, IPv6Fragment, Tcp, Udp, Sctp, Icmp, Igmp, Nsh)


@given(headers)
def test_a_header_reads_what_it_wrote(header: Header) -> None:
    assert not isinstance(header, Snap)
    assert type(header).unpack(b"xy" + header.pack() + b"z", 2) == header


@pytest.mark.parametrize("kind", KINDS)
@given(st.binary(max_size=80), st.integers(-2, 80))
def test_no_byte_string_crashes_a_header(kind: type, data: bytes, offset: int) -> None:
    try:
        kind.unpack(data, offset)
    except PacketError:
        pass


SRC6, DST6 = bytes(15) + b"\x01", bytes(15) + b"\x02"
STACKS: dict[str, tuple[Header, ...]] = {
    "udp": (Ethernet(2, 1), IPv4(0x0A000001, 0x0A000002), Udp(5, 6)),
    "tcp in a vlan": (Ethernet(2, 1), Vlan(5), IPv4(1, 2), Tcp(5, 6, flags=2, options=b"\x01\x01")),
    "two tags": (Ethernet(2, 1), Vlan(5, tpid=0x88A8), Vlan(6), IPv4(1, 2), Udp(5, 6)),
    "icmp": (Ethernet(2, 1), IPv4(1, 2, options=b"\x01"), Icmp(8, rest=0x10001)),
    "sctp": (Ethernet(2, 1), IPv4(1, 2), Sctp(5, 6, 7)),
    "ping over ipv6": (Ethernet(2, 1), IPv6(SRC6, DST6), Icmp(128, rest=1)),
    "udp over ipv6": (Ethernet(2, 1), IPv6(SRC6, DST6, tclass=1, label=2), Udp(5, 6)),
    "a whole packet in a fragment": (Ethernet(2, 1), IPv6(SRC6, DST6), IPv6Fragment(0), Tcp(5, 6)),
    "arp": (Ethernet(2, 1), Arp(1, 1, 2, 3, 4)),
}


@pytest.mark.parametrize("name", STACKS)
def test_scapy_finds_the_same_lengths_and_checksums(name: str) -> None:
    data = compose(*STACKS[name], payload=b"" if name == "arp" else b"payload8")
    packet = Ether(data)
    layer = packet
    while layer:
        for computed in ("len", "plen", "chksum", "ihl", "dataofs"):
            if computed in layer.fields:
                delattr(layer, computed)
        layer = layer.payload
    assert bytes(packet) == data


def test_the_checksum_of_igmp_is_over_its_message() -> None:
    data = compose(Ethernet(2, 1), IPv4(1, 2), Igmp(0x16, group=0xE0010203))
    assert data[34:].hex() == "160007fbe0010203"


def test_padding_fills_up_to_the_shortest_frame() -> None:
    assert len(compose(Ethernet(2, 1), Arp(1, 1, 2, 3, 4), pad=True)) == 60


def test_snap() -> None:
    data = compose(Ethernet(2, 1), Snap(0x800), IPv4(1, 2), Udp(5, 6))
    assert data[12:22].hex() == "0024aaaa030000000800"


def test_addresses_as_text() -> None:
    assert format_mac(parse_mac("01:23:45:67:89:ab")) == "01:23:45:67:89:ab"
    for bad in ("", "1:2:3:4:5", "1:2:3:4:5:100", "x:2:3:4:5:6", "-1:2:3:4:5:6"):
        with pytest.raises(PacketError):
            parse_mac(bad)


def test_a_cut_off_header_says_so() -> None:
    with pytest.raises(PacketError, match="IPv4 header cut off: 6 of 20 bytes"):
        IPv4.unpack(FRAMES["udp"][:20], 14)
