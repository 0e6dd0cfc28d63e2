"""Random lines for `parse-nx-match`, `parse-oxm`, `parse-ofp10-match` and `parse-ofp11-match`."""

from __future__ import annotations

import random
import re

from vswitch.flow.field import OxmHeader
from vswitch.flow.fields import FIELDS

OTHERS = re.compile(r"NXOXM_ET_(ERSPAN|GTPU)_\w+|NXM_NX_CT_(NW_PROTO|TP_\w+)")
"""The real tool writes the values of some tunnel fields as their masks, takes 32 bits of ERSPAN's index,
which has 20, forgets that packets with a connection's protocol are Ethernet's, and a connection's ports where
the protocol isn't matched."""
HEADERS = [(field, header) for field in FIELDS for header in field.oxm if not OTHERS.fullmatch(header.name)]
COMMON = [
    "NXM_OF_ETH_TYPE(0800)", "OXM_OF_ETH_TYPE(86dd)", "NXM_OF_ETH_TYPE(0806)", "OXM_OF_ETH_TYPE(8847)",
    "NXM_OF_IP_PROTO(06)", "OXM_OF_IP_PROTO(11)", "NXM_OF_IP_PROTO(01)", "NXM_OF_IP_PROTO(3a)",
    "OXM_OF_VLAN_VID(1005)", "NXM_OF_VLAN_TCI_W(1000/1000)", "NXM_NX_ICMPV6_TYPE(87)",
    "NXM_NX_COOKIE(0000000000000005)", "NXM_NX_COOKIE_W(0000000000000005/00000000000000ff)",
]  # fmt: skip
SPOILT = (
    "<any>", "<any> ", "# a comment", "NXM_OF_IN_PORT", "NXM_OF_IN_PORT(1)", "NXM_OF_IN_PORT(000)",
    "NXM_OF_IN_PORT(0001", "NXM_OF_IN_PORT(0001)x", "NXM_NX_REG0_W(00000001)", "nxm_of_in_port(0001)", "(1)",
    "NXM_NX_REG0_W(00000001/0", "NXM_NX_REG0_W(00000001/00000001", "NXM_NX_REG0_W(00000001-00000001)",
    "NXM_OF_IN_PORT_W(0001/ffff)", "ffff0001(01)", "00000000(00)", "00000002(0001)", "ffff000000000001(01)",
    "ffff000800002320(01020304)", "ffff000300002320(01)", "0001500c(010203)", "00015106(010203/010203)",
    "NXM_NX_TUN_METADATA1_W(0102/ff)", "NXM_NX_REG0 (00000001)", "2(0001)",
)  # fmt: skip


def _field(rng: random.Random, header: OxmHeader, size: int, maskable: bool, n_bits: int) -> str:
    if header.name.startswith("NXM_NX_TUN_METADATA"):
        # One whose bytes are all 0 has a length of 0 in the real tool, whose switch doesn't take it.
        size = rng.choice((1, 2, 4, 7, 63))
        value = rng.getrandbits(8 * size - 1) | 1
        return f"{header.name}({value:0{2 * size}x})"
    top = (1 << (8 * size if rng.random() < 0.1 else n_bits)) - 1
    value = rng.choice((0, 1, 2, top, rng.getrandbits(8 * size + 1) & top)) & top
    if not maskable or rng.random() < 0.5:
        return f"{header.name}({value:0{2 * size}x})"
    mask = rng.choice((0, 1, top, rng.getrandbits(8 * size + 1) & top, (1 << 8 * size) - 1))
    if rng.random() < 0.95:
        value &= mask
    return f"{header.name}_W({value:0{2 * size}x}/{mask:0{2 * size}x})"


def nxm_line(rng: random.Random) -> str:
    """Up to four fields, with the prerequisites or without, in any place and often."""
    words = rng.sample(COMMON, rng.choice((0, 0, 1, 2)))
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        field, header = rng.choice(HEADERS)
        words.append(_field(rng, header, field.n_bytes, field.maskable, field.n_bits))
    if rng.random() < 0.1:
        words.append(rng.choice(words or COMMON))
    if rng.random() < 0.1:
        rng.shuffle(words)
    text = rng.choice((",", ", ", " ")).join(words)
    if rng.random() < 0.05:
        text += rng.choice((",", " ", "  # and so on"))
    return text


def _spread(rng: random.Random, size: int) -> bytes:
    """Bytes of which some say something."""
    return bytes(rng.choice((0, 0, 1, 0xFF, rng.getrandbits(8))) for _ in range(size))


def match10_line(rng: random.Random) -> str:
    data = bytearray(_spread(rng, 40))
    data[:4] = (rng.getrandbits(22) | (rng.getrandbits(10) << 22 if rng.random() < 0.1 else 0)).to_bytes(4)
    if rng.random() < 0.7:
        data[22:24] = rng.choice((b"\x08\x00", b"\x08\x06", b"\x86\xdd", b"\x88\x47", b"\x05\xff"))
        data[25] = rng.choice((6, 17, 1, 58, 132, 2))
    if rng.random() < 0.3:
        data[18:20] = rng.choice((b"\xff\xff", b"\x0f\xff", b"\0\0"))
    return data.hex()


def match11_line(rng: random.Random) -> str:
    data = bytearray(_spread(rng, 88))
    data[:4] = b"\0\0\0\x58" if rng.random() < 0.9 else data[:4]
    data[4:6] = rng.choice((b"\0\0", b"\0\0", b"\xff\xff"))
    data[8:12] = (rng.getrandbits(10) | (rng.getrandbits(32) if rng.random() < 0.1 else 0)).to_bytes(4)
    data[36:38] = rng.choice((b"\xff\xff", b"\xff\xfe", b"\0\5", b"\x0f\xff", bytes(data[36:38])))
    data[38] &= rng.choice((7, 0xFF))
    if rng.random() < 0.8:
        data[40:42] = rng.choice((b"\x08\x00", b"\x08\x06", b"\x86\xdd", b"\x88\x47", b"\x05\xff"))
        data[43] = rng.choice((6, 17, 1, 58, 132, 2))
        data[42] &= rng.choice((0xFC, 0xFF))
    data[64:68] = (rng.getrandbits(20) if rng.random() < 0.9 else rng.getrandbits(32)).to_bytes(4)
    data[68] &= rng.choice((7, 0xFF))
    return data.hex()
