"""Internet checksums (RFC 1071), their incremental update (RFC 1624), and SCTP's CRC32c.

A *sum* here is the ones'-complement sum before the final inversion, folded to 16 bits; a
*checksum* is what stands in the header. `csum_update*` take and return checksums.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_be, read_i32_be, read_i64_be
from mypy_extensions import i64


def fold(total: i64) -> i64:
    """Fold a non-negative sum of 16- and 32-bit words to 16 bits."""
    total = (total & 0xFFFFFFFF) + (total >> 32)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)


def partial_sum(data: bytes, start: i64, end: i64) -> i64:
    """Ones'-complement sum of `data[start:end]`, an odd last byte padded with zero."""
    total: i64 = 0
    ofs: i64 = start
    while ofs + 16 <= end:
        first = read_i64_be(data, ofs)
        second = read_i64_be(data, ofs + 8)
        total += (first >> 32 & 0xFFFFFFFF) + (first & 0xFFFFFFFF)
        total += (second >> 32 & 0xFFFFFFFF) + (second & 0xFFFFFFFF)
        ofs += 16
    while ofs + 4 <= end:
        total += i64(read_i32_be(data, ofs)) & 0xFFFFFFFF
        ofs += 4
    if ofs + 2 <= end:
        total += i64(read_i16_be(data, ofs)) & 0xFFFF
        ofs += 2
    if ofs < end:
        total += i64(data[ofs]) << 8
    return fold(total)


def csum(data: bytes) -> i64:
    """The Internet checksum of `data`."""
    return partial_sum(data, 0, len(data)) ^ 0xFFFF


def csum_update16(checksum: i64, old: i64, new: i64) -> i64:
    """`checksum` after a 16-bit word changed from `old` to `new` (RFC 1624, equation 3)."""
    return fold((checksum ^ 0xFFFF) + (old ^ 0xFFFF) + new) ^ 0xFFFF


def csum_update32(checksum: i64, old: i64, new: i64) -> i64:
    """The same for a 32-bit word at an even offset."""
    return fold((checksum ^ 0xFFFF) + (old ^ 0xFFFFFFFF) + new) ^ 0xFFFF


def csum_update128(checksum: i64, old_hi: i64, old_lo: i64, new_hi: i64, new_lo: i64) -> i64:
    """The same for an IPv6 address given as signed 64-bit halves."""
    return fold((checksum ^ 0xFFFF) + difference128(old_hi, old_lo, new_hi, new_lo)) ^ 0xFFFF


def difference128(old_hi: i64, old_lo: i64, new_hi: i64, new_lo: i64) -> i64:
    """The sum to add when an IPv6 address changes: new plus the complement of old."""
    total: i64 = (old_hi >> 32 & 0xFFFFFFFF ^ 0xFFFFFFFF) + (old_hi & 0xFFFFFFFF ^ 0xFFFFFFFF)
    total += (old_lo >> 32 & 0xFFFFFFFF ^ 0xFFFFFFFF) + (old_lo & 0xFFFFFFFF ^ 0xFFFFFFFF)
    total += (new_hi >> 32 & 0xFFFFFFFF) + (new_hi & 0xFFFFFFFF)
    return fold(total + (new_lo >> 32 & 0xFFFFFFFF) + (new_lo & 0xFFFFFFFF))


def pseudo_sum4(src: i64, dst: i64, proto: i64, length: i64) -> i64:
    """Sum of the IPv4 pseudo-header (RFC 793, section 3.1)."""
    return fold(src + dst + proto + length)


def pseudo_sum6(src: bytes, dst: bytes, proto: i64, length: i64) -> i64:
    """Sum of the IPv6 pseudo-header (RFC 8200, section 8.1)."""
    return fold(partial_sum(src, 0, 16) + partial_sum(dst, 0, 16) + proto + length)


def complete(data: bytes, csum_start: i64, csum_offset: i64) -> bytes:
    """Finish a partial checksum as a device would: sum from `csum_start`, store at + `csum_offset`.

    The field holds the pseudo-header's sum. Offsets beyond the data leave it as it is.
    """
    at: i64 = csum_start + csum_offset
    size: i64 = len(data)
    if csum_start < 0 or csum_offset < 0 or at + 2 > size:
        return data
    value: i64 = partial_sum(data, csum_start, size) ^ 0xFFFF
    if value == 0:
        value = 0xFFFF
    return data[:at] + bytes((value >> 8, value & 0xFF)) + data[at + 2:]


def _crc32c_table() -> list[int]:
    table: list[int] = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 if crc & 1 else crc >> 1
        table.append(crc)
    return table


_CRC32C: Final[list[int]] = _crc32c_table()


def crc32c(data: bytes, crc: i64 = 0) -> i64:
    """CRC32c (Castagnoli, RFC 9260 appendix A) of `data`, continuing from `crc`."""
    crc ^= 0xFFFFFFFF
    table = _CRC32C
    for byte in data:
        entry: i64 = table[(crc ^ byte) & 0xFF]
        crc = entry ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF
