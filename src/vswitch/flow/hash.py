"""Hashes of 32-bit words: MurmurHash3 (x86, 32 bits) step by step, and Jenkins's lookup3 over bytes.

Both are public-domain designs (A. Appleby 2011; B. Jenkins 2006). Open vSwitch spreads packets by
them, words taken in the byte order of a little-endian machine; where the same numbers come out,
the same packet takes the same link, bucket or member here as there.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

M32: Final = 0xFFFFFFFF


def _times(a: i64, b: i64) -> i64:
    """a * b mod 2**32 for 32-bit `a` and `b`, with no product beyond 63 bits."""
    return (a * (b & 0xFFFF) + (((a * (b >> 16)) & 0xFFFF) << 16)) & M32


def _rotated(x: i64, n: i64) -> i64:
    return ((x << n) | (x >> (32 - n))) & M32


def hash_add(h: i64, data: i64) -> i64:
    """The running hash `h` after the 32-bit word `data`."""
    data = _times(_rotated(_times(data & M32, 0xCC9E2D51), 15), 0x1B873593)
    return (_times(_rotated(h ^ data, 13), 5) + 0xE6546B64) & M32


def hash_add64(h: i64, data: i64) -> i64:
    """The running hash `h` after a 64-bit word, its lower half first."""
    return hash_add(hash_add(h, data & M32), (data >> 32) & M32)


def hash_finish(h: i64, final: i64) -> i64:
    """The 32-bit hash that the running hash `h` ends in; `final` is the number of bytes, or a basis."""
    h = (h ^ final) & M32
    h = _times(h ^ (h >> 16), 0x85EBCA6B)
    h = _times(h ^ (h >> 13), 0xC2B2AE35)
    return h ^ (h >> 16)


def hash_2words(x: i64, y: i64) -> i64:
    """The hash of two 32-bit words; the first takes the place of a basis."""
    return hash_finish(hash_add(hash_add(x, 0), y), 8)


def hash_bytes(data: bytes, basis: i64) -> i64:
    """Jenkins's hash of `data`: whole groups of 12 bytes are mixed, the rest with zeros ends it."""
    n: i64 = len(data)
    a: i64 = (0xDEADBEEF + n + basis) & M32
    b: i64 = a
    c: i64 = a
    at: i64 = 0
    while n - at >= 12:
        a = (a + word_at(data, at)) & M32
        b = (b + word_at(data, at + 4)) & M32
        c = (c + word_at(data, at + 8)) & M32
        a = ((a - c) ^ _rotated(c, 4)) & M32
        c = (c + b) & M32
        b = ((b - a) ^ _rotated(a, 6)) & M32
        a = (a + c) & M32
        c = ((c - b) ^ _rotated(b, 8)) & M32
        b = (b + a) & M32
        a = ((a - c) ^ _rotated(c, 16)) & M32
        c = (c + b) & M32
        b = ((b - a) ^ _rotated(a, 19)) & M32
        a = (a + c) & M32
        c = ((c - b) ^ _rotated(b, 4)) & M32
        b = (b + a) & M32
        at += 12
    if at < n:
        a = (a + word_at(data, at)) & M32
        b = (b + word_at(data, at + 4)) & M32
        c = (c + word_at(data, at + 8)) & M32
        c = ((c ^ b) - _rotated(b, 14)) & M32
        a = ((a ^ c) - _rotated(c, 11)) & M32
        b = ((b ^ a) - _rotated(a, 25)) & M32
        c = ((c ^ b) - _rotated(b, 16)) & M32
        a = ((a ^ c) - _rotated(c, 4)) & M32
        b = ((b ^ a) - _rotated(a, 14)) & M32
        c = ((c ^ b) - _rotated(b, 24)) & M32
    return c


def word_at(data: bytes, at: i64) -> i64:
    """The little-endian 32-bit word at `at`, zeros after the end of `data`."""
    word: i64 = 0
    i: i64 = 0
    end: i64 = len(data)
    while i < 4 and at + i < end:
        byte: i64 = data[at + i]
        word |= byte << (8 * i)
        i += 1
    return word
