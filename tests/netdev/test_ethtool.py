"""What `struct ethtool_cmd` says, as OpenFlow port features."""

from __future__ import annotations

import struct

import pytest

from vswitch.netdev.ethtool import decode


def command(
    speed: int, duplex: int = 1, port: int = 0, autoneg: int = 0, modes: int = 0, peer: int = 0
) -> bytes:
    return struct.pack(
        "=IIIHBBBBBBIIHBBI8x",
        1,
        modes,
        modes,
        speed & 0xFFFF,
        duplex,
        port,
        0,
        0,
        autoneg,
        0,
        0,
        0,
        speed >> 16,
        0,
        0,
        peer,
    )


@pytest.mark.parametrize(
    ("filled", "current"),
    [
        (command(10), 1 << 1 | 1 << 11),
        (command(100, 0), 1 << 2 | 1 << 11),
        (command(1000), 1 << 5 | 1 << 11),
        (command(10000, port=3), 1 << 6 | 1 << 12),
        (command(40000, port=5), 1 << 7),
        (command(100000, port=5), 1 << 8),
        (command(2500, port=5), 1 << 10),
        (command(1000, autoneg=1), 1 << 5 | 1 << 11 | 1 << 13),
        (command(0xFFFFFFFF, port=5), 0),
        (command(0, port=5), 0),
    ],
)
def test_current_features(filled: bytes, current: int) -> None:
    assert decode(filled)["current"] == current


def test_modes_of_both_ends() -> None:
    features = decode(command(1000, modes=0x6F, peer=1 << 5))
    assert features["supported"] == features["advertised"] == 0x2F | 1 << 13
    assert features["peer"] == 1 << 5
