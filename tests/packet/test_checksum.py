"""Checksums against their definition and against scapy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scapy.all import IP, SCTP, Raw
from scapy.utils import checksum as scapy_checksum

from tests.packet.frames import FRAMES
from vswitch.packet.checksum import (
    complete,
    crc32c,
    csum,
    csum_update16,
    csum_update32,
    csum_update128,
    partial_sum,
    pseudo_sum4,
)

words = st.integers(0, 0xFFFF)


@given(st.binary(max_size=200))
def test_csum_is_the_internet_checksum(data: bytes) -> None:
    assert csum(data) == scapy_checksum(data)


def test_crc32c_of_rfc_3720_test_vectors() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(bytes(range(16, 32)), int(crc32c(bytes(range(16))))) == 0x46DD794E


def test_scapy_agrees_on_an_sctp_checksum() -> None:
    data = bytes(IP() / SCTP(sport=1, dport=2, tag=3) / Raw(b"hello123"))[20:]
    without = data[:8] + bytes(4) + data[12:]
    assert int(crc32c(without)).to_bytes(4, "little") == data[8:12]


def same(a: int, b: int) -> bool:
    """Checksums that verify alike: 0 and 0xffff both mean 0."""
    return a % 0xFFFF == b % 0xFFFF


@given(st.binary(min_size=20, max_size=20), words)
def test_an_update_of_16_bits_is_a_sum_over_the_new_data(data: bytes, new: int) -> None:
    changed = data[:4] + new.to_bytes(2, "big") + data[6:]
    old = int.from_bytes(data[4:6], "big")
    assert same(csum_update16(csum(data), old, new), csum(changed))


@given(st.binary(min_size=20, max_size=20), st.integers(0, 0xFFFFFFFF))
def test_an_update_of_32_bits_is_a_sum_over_the_new_data(data: bytes, new: int) -> None:
    changed = data[:4] + new.to_bytes(4, "big") + data[8:]
    assert same(csum_update32(csum(data), int.from_bytes(data[4:8], "big"), new), csum(changed))


@given(st.binary(min_size=40, max_size=40), st.binary(min_size=16, max_size=16))
def test_an_update_of_an_ipv6_address_is_a_sum_over_the_new_data(data: bytes, new: bytes) -> None:
    def halves(address: bytes) -> tuple[int, int]:
        return int.from_bytes(address[:8], "big", signed=True), int.from_bytes(
            address[8:], "big", signed=True
        )

    changed = data[:8] + new + data[24:]
    assert same(csum_update128(csum(data), *halves(data[8:24]), *halves(new)), csum(changed))


def test_rfc_1624_example() -> None:
    assert csum_update16(0xDD2F, 0x5555, 0x3285) == 0x0000


def test_complete_does_what_the_device_would_have_done() -> None:
    good = FRAMES["udp"]
    pseudo = pseudo_sum4(0x0A000001, 0x0A000002, 17, 30)
    partial = good[:40] + int(pseudo).to_bytes(2, "big") + good[42:]
    assert complete(partial, 34, 6) == good
    assert complete(partial, 60, 6) == partial
    assert partial_sum(good[34:], 0, 30) + pseudo in (0xFFFF, 2 * 0xFFFF)
