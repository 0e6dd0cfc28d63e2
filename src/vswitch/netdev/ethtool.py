"""Link speed and duplex as OpenFlow's port features, from the SIOCETHTOOL ioctl (ETHTOOL_GSET).

`struct ethtool_cmd` of <linux/ethtool.h>: cmd, supported, advertising (32 bits each), speed (16),
duplex, port, phy_address, transceiver, autoneg, mdio_support (8 each), maxtxpkt, maxrxpkt (32
each), speed_hi (16), ..., lp_advertising (32). Feature bits: OpenFlow 1.3.4, section 7.2.1.
"""

from __future__ import annotations

import array
import fcntl
import socket
import struct

SIOCETHTOOL = 0x8946
ETHTOOL_GSET = 1
_ETHTOOL_CMD = struct.Struct("=IIIHBBBBBBIIHBBI8x")

FD_BITS = {10: 1 << 1, 100: 1 << 3, 1000: 1 << 5, 10000: 1 << 6, 40000: 1 << 7, 100000: 1 << 8}
HD_BITS = {10: 1 << 0, 100: 1 << 2, 1000: 1 << 4}
OFPPF_OTHER, OFPPF_COPPER, OFPPF_FIBER, OFPPF_AUTONEG = 1 << 10, 1 << 11, 1 << 12, 1 << 13
PORT_TP, PORT_FIBRE = 0, 3

# Bits of `supported`, `advertising` and `lp_advertising` -> feature bits.
_MODES = (
    (0, HD_BITS[10]), (1, FD_BITS[10]), (2, HD_BITS[100]), (3, FD_BITS[100]), (4, HD_BITS[1000]),
    (5, FD_BITS[1000]), (6, OFPPF_AUTONEG), (7, OFPPF_COPPER), (10, OFPPF_FIBER), (12, FD_BITS[10000]),
)  # fmt: skip


def _modes(bits: int) -> int:
    features = 0
    for bit, feature in _MODES:
        if bits >> bit & 1:
            features |= feature
    return features


def decode(command: bytes) -> dict[str, int]:
    """The four feature maps that a filled `struct ethtool_cmd` says."""
    f = _ETHTOOL_CMD.unpack(command[: _ETHTOOL_CMD.size])
    supported, advertising, speed, duplex, port, autoneg = f[1], f[2], f[3] | f[12] << 16, f[4], f[5], f[8]
    current = 0
    if 0 < speed < 0xFFFFFFFF and speed & 0xFFFF != 0xFFFF:
        current = (FD_BITS if duplex else HD_BITS).get(speed, OFPPF_OTHER)
    current |= {PORT_TP: OFPPF_COPPER, PORT_FIBRE: OFPPF_FIBER}.get(port, 0)
    if autoneg:
        current |= OFPPF_AUTONEG
    return {"current": current, "advertised": _modes(advertising), "supported": _modes(supported),
            "peer": _modes(f[15])}


def features(name: str) -> dict[str, int]:
    """The feature maps of interface `name`; all 0 if its driver doesn't say."""
    buffer = array.array("B", struct.pack("=I", ETHTOOL_GSET) + bytes(_ETHTOOL_CMD.size - 4))
    address, _ = buffer.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP16x", name.encode(), address))
        except OSError:
            return {"current": 0, "advertised": 0, "supported": 0, "peer": 0}
    return decode(buffer.tobytes())
