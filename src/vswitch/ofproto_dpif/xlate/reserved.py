"""Addresses of protocols between neighbours, whose packets no switch forwards."""

from __future__ import annotations

from typing import Final

RESERVED_PREFIX: Final = 0x0180C200000
"""01:80:c2:00:00:0x without its last digit."""
CISCO_CFM_PREFIX: Final = 0x01000CCCCCC
RESERVED: Final = frozenset((0x00E02B000000, 0x00E02B000004, 0x00E02B000006, 0x01000C000000,
                             0x01000CCCCCCC, 0x01000CCCCCCD, 0x01000CCDCDCD))
"""Other protocols between neighbours (ovs-vswitchd.conf.db(5), forward-bpdu)."""


def is_reserved(mac: int) -> bool:
    """Whether `mac` is for the neighbour only, and no switch forwards it."""
    return mac >> 4 == RESERVED_PREFIX or mac >> 4 == CISCO_CFM_PREFIX or mac in RESERVED
