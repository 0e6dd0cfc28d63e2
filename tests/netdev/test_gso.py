"""Software segmentation and checksums, against packets that scapy makes."""

from __future__ import annotations

import scapy.all as scapy
from hypothesis import given
from hypothesis import strategies as st

from vswitch.netdev.frame import (
    GSO_ECN,
    GSO_NONE,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    VNET_NEEDS_CSUM,
    Frame,
)
from vswitch.netdev.gso import has_label, needs_software, segments

Ether, Dot1Q, IP, IPv6, TCP, UDP, Raw = (
    scapy.Ether, scapy.Dot1Q, scapy.IP, scapy.IPv6, scapy.TCP, scapy.UDP, scapy.Raw)
MACS = {"src": "02:00:00:00:00:0a", "dst": "02:00:00:00:00:0b"}
PAYLOAD = bytes(range(256)) * 20


def checks_out(packet: bytes) -> bool:
    """Whether scapy, computing length and checksums anew, gets the same bytes."""
    parsed = Ether(packet)
    for layer in (IP, TCP, UDP):
        if layer in parsed:
            del parsed[layer].chksum
    if IP in parsed:
        del parsed[IP].len
    if IPv6 in parsed:
        del parsed[IPv6].plen
    if UDP in parsed:
        del parsed[UDP].len
    return bytes(parsed) == packet


def offloaded(packet: object, gso_type: int, size: int, vlan: int = 0) -> Frame:
    data = bytes(packet)  # type: ignore[call-overload]
    l4 = (34 if gso_type & ~GSO_ECN in (GSO_TCPV4, GSO_UDP_L4) else 54) + vlan
    offset = 6 if gso_type == GSO_UDP_L4 else 16
    header = 8 if gso_type == GSO_UDP_L4 else (data[l4 + 12] >> 4) * 4
    return Frame(data, VNET_NEEDS_CSUM, gso_type, l4 + header, size, l4, offset)


def test_tcp_over_ipv4_is_cut_into_numbered_segments() -> None:
    options = [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]
    packet = Ether(**MACS) / IP(src="10.0.0.1", dst="10.0.0.2", id=0xFFFE) / TCP(
        sport=1000, dport=80, seq=0xFFFFFF00, flags="FPAC", options=options) / Raw(PAYLOAD)
    cut = segments(offloaded(packet, GSO_TCPV4 | GSO_ECN, 1448))
    assert len(cut) == 4
    assert all(checks_out(p) for p in cut)
    parsed = [Ether(p) for p in cut]
    assert b"".join(bytes(p[TCP].payload) for p in parsed) == PAYLOAD
    assert [p[TCP].seq for p in parsed] == [(0xFFFFFF00 + 1448 * n) & 0xFFFFFFFF for n in range(4)]
    assert [p[IP].id for p in parsed] == [0xFFFE, 0xFFFF, 0, 1]
    assert [str(p[TCP].flags) for p in parsed] == ["AC", "A", "A", "FPA"]
    assert [p[TCP].options for p in parsed] == [options] * 4


def test_tcp_over_ipv6_behind_a_vlan_tag() -> None:
    inner = IPv6(src="fe80::1", dst="fe80::2") / TCP(flags="PA") / Raw(PAYLOAD)
    packet = Ether(**MACS) / Dot1Q(vlan=7) / inner
    cut = segments(offloaded(packet, GSO_TCPV6, 1428, vlan=4))
    assert [len(p) for p in cut] == [78 + 1428] * 3 + [78 + len(PAYLOAD) - 3 * 1428]
    assert all(checks_out(p) for p in cut)


def test_udp_is_cut_into_datagrams() -> None:
    packet = Ether(**MACS) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / Raw(PAYLOAD)
    cut = segments(offloaded(packet, GSO_UDP_L4, 1000))
    assert all(checks_out(p) for p in cut)
    assert [Ether(p)[UDP].len for p in cut] == [1008] * 5 + [128]


def test_a_partial_checksum_is_completed() -> None:
    packet = Ether(**MACS) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / Raw(b"hello")
    good = bytes(packet)
    # What the kernel hands over: the pseudo-header's sum, not complemented.
    pseudo = 0x0A00 + 0x0001 + 0x0A00 + 0x0002 + 17 + 13
    partial = good[:40] + pseudo.to_bytes(2, "big") + good[42:]
    frame = Frame(partial, VNET_NEEDS_CSUM, csum_start=34, csum_offset=6)
    assert needs_software(frame)
    assert segments(frame) == [good]


def test_a_partial_sctp_checksum_is_a_crc() -> None:
    sctp = scapy.SCTP(sport=1, dport=2) / scapy.SCTPChunkInit()
    packet = Ether(**MACS) / IP(src="10.0.0.1", dst="10.0.0.2") / sctp
    good = bytes(packet)
    frame = Frame(good[:42] + bytes(4) + good[46:], VNET_NEEDS_CSUM, csum_start=34, csum_offset=8)
    assert segments(frame) == [good]


def test_a_finished_frame_stays_as_it_is() -> None:
    frame = Frame(b"x" * 60, 2)
    assert not needs_software(frame)
    assert segments(frame) == [frame.data]


@given(
    st.binary(max_size=200),
    st.sampled_from((GSO_NONE, GSO_TCPV4, 3, GSO_TCPV6, GSO_UDP_L4, 77)),
    st.integers(0, 300), st.integers(0, 300), st.integers(0, 300), st.integers(0, 300),
)
def test_offload_state_that_contradicts_the_bytes_is_harmless(
    data: bytes, gso_type: int, hdr_len: int, size: int, start: int, offset: int
) -> None:
    cut = segments(Frame(data, VNET_NEEDS_CSUM, gso_type, hdr_len, size, start, offset))
    assert len(cut) >= 1


def test_labels_are_seen_behind_tags() -> None:
    addresses = bytes(12)
    for types in ("8847", "8848", "810000058847", "88a80005810000068847"):
        assert has_label(addresses + bytes.fromhex(types)), types
    for types in ("0800", "810000050800", "81000005", "81", ""):
        assert not has_label(addresses + bytes.fromhex(types)), types
