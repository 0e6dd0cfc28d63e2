"""What a match says of a tunnel option, before a switch's TLV table says where it is."""

from __future__ import annotations

from typing import TypeAlias

TunOption: TypeAlias = tuple[int, int, int]
"""What a match says of a tunnel option: (value, mask, bytes). Mask -1 is all of it, 0 only that the packet
has it; -1 bytes: how long it is, and where in the flow, only a switch's TLV table knows."""


def tun_option_size(value: int, mask: int) -> int:
    """In how many bytes a tunnel option's value and mask can be written; 0 is in none."""
    return ((value if mask < 0 else value | mask).bit_length() + 7) // 8
