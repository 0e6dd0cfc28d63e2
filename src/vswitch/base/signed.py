"""Numbers as the signed words of compiled code have them: a flow's 64-bit words are signed.

What is shifted to a word's top must be signed before, or it would not fit (ARCHITECTURE.md, ground rules).
Compiled by mypyc.
"""

from __future__ import annotations

from mypy_extensions import i64


def signed16(value: i64) -> i64:
    """The low 16 bits of `value` as a signed number."""
    return ((value & 0xFFFF) ^ 0x8000) - 0x8000


def signed32(value: i64) -> i64:
    """The low 32 bits of `value` as a signed number."""
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def high32(value: i64, low: i64) -> i64:
    """The word whose upper half is `value` and whose lower half is `low`, of 32 bits."""
    return (((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000) << 32 | low
