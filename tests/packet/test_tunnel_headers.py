"""Outer headers of tunnels: made as scapy takes them apart, read as scapy makes them, bad ones refused."""

from __future__ import annotations

import os
import random

import pytest
from scapy.contrib.erspan import ERSPAN_II, ERSPAN_III
from scapy.contrib.geneve import GENEVE
from scapy.contrib.gtp import GTP_U_Header
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrSegmentRouting
from scapy.layers.l2 import GRE, Ether
from scapy.layers.vxlan import VXLAN

from vswitch.packet.tunnel import decap as decap_module
from vswitch.packet.tunnel import headers, kinds
from vswitch.packet.tunnel.decap import Decap
from vswitch.packet.tunnel.outer import Encap

INNER = bytes(
    Ether(src="00:00:00:00:00:01", dst="00:00:00:00:00:02") / IP() / UDP(sport=1, dport=2) / b"hello"
)
INNER_IP = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / b"hello")
OUTER4 = headers.ethernet(2, 1, 0x800)
FUZZ = 200_000 if not decap_module.__file__.endswith(".py") or os.environ.get("VSWITCH_TEST_ALL") else 20_000


def v4(proto: int, tos: int = 0) -> bytes:
    return OUTER4 + headers.ipv4(0x0A000001, 0x0A000002, proto, tos, 64, True)


def v6(proto: int) -> bytes:
    return headers.ethernet(2, 1, 0x86DD) + headers.ipv6(0xFE80 << 112 | 1, 0xFE80 << 112 | 2, proto, 0, 64)


def checks(frame: bytes) -> Ether:
    """The frame as scapy sees it; every length and checksum must be what scapy would have put there."""
    seen = Ether(frame)
    made = Ether(frame)
    for layer in (IP, UDP, GRE):
        part = made
        while (part := part.getlayer(layer)) is not None:
            for name in ("len", "chksum"):
                if name in part.fields and not (
                    layer is not IP and name == "chksum" and part.fields[name] == 0
                ):
                    del part.fields[name]
            part = part.payload
    assert bytes(made) == frame
    return seen


def test_vxlan_over_udp() -> None:
    encap = Encap(v4(17) + headers.udp(4789, False) + headers.vxlan(123), kinds.VXLAN)
    seen = checks(encap.wrap(INNER, 40000, 0))
    assert (seen[UDP].sport, seen[UDP].dport, seen[UDP].chksum) == (40000, 4789, 0)
    assert seen[VXLAN].vni == 123
    assert bytes(seen[VXLAN].payload) == INNER


def test_vxlan_over_ipv6_has_a_checksum() -> None:
    encap = Encap(v6(17) + headers.udp(4789, True) + headers.vxlan(0xFFFFFF), kinds.VXLAN)
    seen = checks(encap.wrap(INNER, 40000, 0))
    assert seen[IPv6].plen == len(INNER) + 16
    assert seen[UDP].chksum != 0
    assert seen[VXLAN].vni == 0xFFFFFF


def test_geneve_with_options() -> None:
    option = bytes.fromhex("0102800111223344")
    encap = Encap(v4(17) + headers.udp(6081, True) + headers.geneve(5, option, oam=True), kinds.GENEVE)
    seen = checks(encap.wrap(INNER, 40000, 0))
    geneve = seen[GENEVE]
    assert (geneve.vni, geneve.optionlen, geneve.oam, geneve.critical) == (5, 2, 1, 1)
    assert bytes(geneve.payload) == INNER


def test_gre_with_key_checksum_and_sequence() -> None:
    encap = Encap(v4(47) + headers.gre(0, 456, csum=True, seq=True), kinds.GRE)
    seen = checks(encap.wrap(INNER, 0, 7))[GRE]
    assert (seen.key, seen.sequence_number, seen.proto) == (456, 7, 0x6558)
    assert bytes(seen.payload) == INNER


def test_gtpu_counts_what_follows_its_first_eight_bytes() -> None:
    header = v4(17) + headers.udp(2152, False) + headers.gtpu(78, 255)
    seen = checks(Encap(header, kinds.GTPU).wrap(INNER_IP, 40000, 0))[GTP_U_Header]
    assert (seen.teid, seen.length, seen.gtp_type) == (78, len(INNER_IP), 255)


def test_erspan_both_versions() -> None:
    seen = checks(Encap(v4(47) + headers.erspan1(56, 3), kinds.ERSPAN).wrap(INNER, 0, 1))
    assert (seen[ERSPAN_II].session_id, seen[ERSPAN_II].index) == (56, 3)
    seen = checks(Encap(v4(47) + headers.erspan2(56, 1, 7), kinds.ERSPAN).wrap(INNER, 0, 1))
    assert (seen[ERSPAN_III].session_id, seen[ERSPAN_III].hw, seen[ERSPAN_III].d) == (56, 7, 1)


def test_segment_routing_header() -> None:
    segments = [(0x2001 << 112 | n).to_bytes(16, "big") for n in (1, 2)]
    data = v6(43) + headers.segment_routing(segments, 4)
    seen = Ether(Encap(data, kinds.SRV6).wrap(INNER_IP, 0, 0))[IPv6ExtHdrSegmentRouting]
    assert (seen.type, seen.segleft, seen.lastentry, seen.nh) == (4, 1, 1, 4)
    assert seen.addresses == ["2001::2", "2001::1"]
    assert bytes(seen.payload) == INNER_IP


GOOD = {
    "vxlan": (kinds.VXLAN, VXLAN(vni=123, flags=8) / INNER, "key=123"),
    "vxlan-gbp": (kinds.VXLAN, bytes.fromhex("8848000700007b00") + INNER, "key=123 gbp_id=7 gbp_flags=72"),
    "vxlan-gpe": (kinds.VXLAN, bytes.fromhex("0c00000100007b00") + INNER_IP, "key=123 packet_type=0x10800"),
    "geneve": (
        kinds.GENEVE,
        GENEVE(vni=9, proto=0x6558, options=bytes.fromhex("01020001aabbccdd")) / INNER,
        "key=9 options_size=8",
    ),
    "geneve-oam": (kinds.GENEVE, GENEVE(vni=9, proto=0x6558, oam=1) / INNER, "key=9 oam"),
    "gre": (kinds.GRE, GRE(proto=0x6558) / INNER, ""),
    "gre-key": (kinds.GRE, GRE(proto=0x6558, key_present=1, key=5) / INNER, "key=5"),
    "gre-all": (
        kinds.GRE,
        GRE(proto=0x800, key_present=1, key=5, seqnum_present=1, sequence_number=3, chksum_present=1)
        / INNER_IP,
        "key=5 packet_type=0x10800 has_csum",
    ),
    "erspan1": (
        kinds.ERSPAN,
        GRE(proto=0x88BE, seqnum_present=1) / ERSPAN_II(session_id=7, index=3) / INNER,
        "key=7 erspan_ver=1 erspan_idx=3",
    ),
    "erspan2": (
        kinds.IP6ERSPAN,
        GRE(proto=0x22EB, seqnum_present=1) / ERSPAN_III(session_id=7, hw=5, d=1, o=0) / INNER,
        "key=7 erspan_ver=2 erspan_dir=1 erspan_hwid=5",
    ),
    "gtpu": (
        kinds.GTPU,
        GTP_U_Header(teid=3, gtp_type=255) / INNER_IP,
        "key=3 packet_type=0x10800 gtpu_flags=48 gtpu_msgtype=255",
    ),
    "gtpu-ext": (
        kinds.GTPU,
        bytes.fromhex("36ff0000 00000003 00000085 01000000") + INNER_IP,
        "key=3 packet_type=0x10800 gtpu_flags=54 gtpu_msgtype=255",
    ),
    "bareudp": (kinds.BAREUDP, INNER_IP, "packet_type=0x10800"),
    "srv6": (kinds.SRV6, INNER_IP, "packet_type=0x10800"),
}


def summary(decap: Decap) -> str:
    words = [f"key={decap.key}"] if decap.has_key else []
    words += [f"packet_type={decap.packet_type:#x}"] if decap.packet_type else []
    names = (
        "gbp_id",
        "gbp_flags",
        "options_size",
        "erspan_ver",
        "erspan_idx",
        "erspan_dir",
        "erspan_hwid",
        "gtpu_flags",
        "gtpu_msgtype",
    )
    words += [f"{name}={getattr(decap, name)}" for name in names if getattr(decap, name)]
    words += [name for name in ("has_csum", "oam") if getattr(decap, name)]
    return " ".join(words)


@pytest.mark.parametrize("name", GOOD)
def test_reading(name: str) -> None:
    kind, packet, expected = GOOD[name]
    data = b"\0" * 5 + bytes(packet)
    decap = Decap()
    assert decap.parse(kind, data, 5, len(data), 0x800), decap.reason
    assert summary(decap) == expected
    assert data[decap.payload :] == (INNER if decap.packet_type == 0 else INNER_IP)


BAD = {
    "vxlan without I": (kinds.VXLAN, VXLAN(vni=1, flags=0) / INNER, "of unknown flags"),
    "vxlan cut off": (kinds.VXLAN, b"\x08\0\0\0\0\0", "cut off"),
    "vxlan gpe of another protocol": (
        kinds.VXLAN,
        bytes.fromhex("0c000077 00007b00") + INNER,
        "of an unknown next protocol",
    ),
    "vxlan around nothing": (
        kinds.VXLAN,
        VXLAN(vni=1, flags=8) / b"1234567890123",
        "without a whole Ethernet header inside",
    ),
    "geneve version": (kinds.GENEVE, bytes.fromhex("40006558 00000100") + INNER, "of an unknown version"),
    "geneve options beyond the end": (kinds.GENEVE, bytes.fromhex("3f006558 00000100") + INNER, "cut off"),
    "geneve options that overlap": (
        kinds.GENEVE,
        bytes.fromhex("01006558 00000100 0102000a") + INNER,
        "of malformed options",
    ),
    "geneve protocol": (kinds.GENEVE, GENEVE(vni=1, proto=5) / INNER, "of an unknown protocol"),
    "gre version 1": (kinds.GRE, bytes.fromhex("00016558") + INNER, "of unknown flags"),
    "gre routing": (kinds.GRE, bytes.fromhex("40006558") + INNER, "of unknown flags"),
    "gre checksum": (
        kinds.GRE,
        GRE(proto=0x6558, chksum_present=1, chksum=1) / INNER,
        "with a wrong checksum",
    ),
    "erspan without erspan": (kinds.ERSPAN, GRE(proto=0x6558) / INNER, "of another protocol than ERSPAN"),
    "erspan version": (
        kinds.ERSPAN,
        GRE(proto=0x88BE, seqnum_present=1) / ERSPAN_II(ver=3) / INNER,
        "of an unknown version",
    ),
    "gre without Ethernet around nothing": (kinds.GRE, GRE(proto=0x800), "empty"),
    "gtpu echo": (kinds.GTPU, GTP_U_Header(teid=0, gtp_type=1), "of a message without a packet"),
    "gtpu version": (kinds.GTPU, bytes.fromhex("50ff0000 00000003") + INNER_IP, "of an unknown version"),
    "gtpu extension of length 0": (
        kinds.GTPU,
        bytes.fromhex("34ff0000 00000003 00000085 00000000") + INNER_IP,
        "of malformed extension headers",
    ),
    "bareudp": (kinds.BAREUDP, b"\x55" * 40, "without an IP packet inside"),
    "no such kind": (1, INNER, "of an unknown kind"),
}


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str) -> None:
    kind, packet, reason = BAD[name]
    decap = Decap()
    data = bytes(packet)
    assert not decap.parse(kind, data, 0, len(data), 0x800)
    assert decap.reason == reason


def test_no_mutated_header_does_harm() -> None:
    """Whatever is read, the payload lies within the packet, and so do the options."""
    chance = random.Random(10)
    decap = Decap()
    packets = [(kind, bytes(packet)) for kind, packet, _ in (*GOOD.values(), *BAD.values())]
    sound = 0
    for _ in range(FUZZ):
        kind, packet = chance.choice(packets)
        data = bytearray(packet)
        for _ in range(chance.randrange(4)):
            data[chance.randrange(min(len(data), 24))] = chance.randrange(256)
        end = chance.randrange(len(data) + 1) if chance.random() < 0.3 else len(data)
        if decap.parse(kind, bytes(data), 0, end, chance.choice((0x800, 0x8847))):
            sound += 1
            assert 0 <= decap.payload < end
            assert 0 <= decap.options <= decap.options + decap.options_size <= end
        else:
            assert decap.reason
    assert FUZZ // 10 < sound < FUZZ


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (b"", kinds.VXLAN),
        (v4(17), kinds.VXLAN),
        (v4(47), kinds.GRE),
        (v4(47) + bytes.fromhex("b0006558"), kinds.GRE),
    ],
)
def test_a_header_that_is_too_short_is_refused(header: bytes, kind: int) -> None:
    with pytest.raises(ValueError, match="outer header"):
        Encap(header, kind)


def test_headers_that_cannot_be_made() -> None:
    with pytest.raises(headers.HeaderError, match="GPE"):
        headers.vxlan(1, gpe=0x10806)
    for payload, packet in ((0x0800, 0), (0x0800, 0x18847), (0x8847, 0x10800), (0x86DD, 0x10800)):
        with pytest.raises(headers.HeaderError, match="bareudp"):
            headers.bareudp(payload, packet)
    assert headers.bareudp(0x0800, 0x186DD) == headers.bareudp(0x8847, 0x18848) == b""
    for make in (lambda: headers.erspan1(1024, 0), lambda: headers.erspan2(1 << 20, 0, 0)):
        with pytest.raises(headers.HeaderError, match="10 bits"):
            make()


def test_a_partial_checksum_is_the_pseudo_headers() -> None:
    header = v4(17) + headers.udp(4789, True) + headers.vxlan(123)
    encap = Encap(header, kinds.VXLAN)
    whole, partial = encap.wrap(INNER, 40000, 0), encap.wrap(INNER, 40000, 0, False)
    from vswitch.packet.checksum import complete

    assert complete(partial, 34, 6) == whole
    assert TCP not in Ether(whole)[UDP]
