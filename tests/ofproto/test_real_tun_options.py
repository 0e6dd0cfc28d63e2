"""Tunnel options of each length, said with values of each length: stored and told with the same bytes."""

from __future__ import annotations

import re

import pytest

from tests.ofproto.ends import End, OurEnd, RealEnd, encoded
from tests.oracle.real import RealSwitch
from vswitch import Switch
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import nicira as n
from vswitch.openflow.wire.version import OFP15

pytestmark = pytest.mark.system

MAPS = ((7, 0), (8, 4), (9, 8), (10, 124))
"""(tun_metadata field, bytes of its option)."""
VALUES = ("", "00", "05", "0005", "00000000", "80000000", "03", "00000003")
MASKED = (*VALUES[1:], "03000000", "00030000")
TUN_METADATA0 = 40
"""Its number in class 1 (ovs-fields(7))."""
DELETE = 3
DURATION = re.compile("(?<=80020008)[0-9a-f]{16}")
"""In a flow's statistics (1.5, 7.2.4.2)."""


def oxm(field: int, value: str, mask: str = "") -> bytes:
    data = bytes.fromhex(value + mask)
    return bytes((0, 1, (TUN_METADATA0 + field) << 1 | (mask != ""), len(data))) + data


def flow_mod(match: bytes, actions: bytes, command: int = 0) -> bytes:
    """A flow mod of 1.5 (7.3.4.2)."""
    body = bytes(17) + bytes((command,)) + bytes(4) + (0x8000).to_bytes(2) + b"\xff" * 12 + bytes(4)
    body += b"\0\1" + (4 + len(match)).to_bytes(2) + match
    body += bytes(-len(body) % 8)
    if actions:
        body += b"\0\4" + (8 + len(actions)).to_bytes(2) + bytes(4) + actions
    return bytes((OFP15, 14)) + (8 + len(body)).to_bytes(2) + bytes(4) + body


def set_field(field: bytes) -> bytes:
    size = (4 + len(field) + 7) // 8 * 8
    return (b"\0\x19" + size.to_bytes(2) + field).ljust(size, b"\0")


def stored(end: End, mod: bytes) -> list[str]:
    """The errors of `mod` by their codes, or the one flow of the table without its age."""
    end.exchange(flow_mod(b"", b"", DELETE))
    errors = end.exchange(mod)
    if errors:
        return [error[8:16].hex() for error in errors]
    (reply,) = end.exchange(encoded(f.FlowStatsRequest(), OFP15))
    return [DURATION.sub("*", reply[16:].hex())]


def test_options_are_stored_and_told_with_the_same_bytes(real: RealSwitch) -> None:
    differ = []
    with Switch(ports=["p1", "p2", "p3"]) as switch:
        ends = (RealEnd(f"{real.directory}/br0.mgmt", OFP15), OurEnd(switch, OFP15))
        maps = tuple(n.TlvMap(0xFFFF, index, size, index) for index, size in MAPS)
        for end in ends:
            end.exchange(flow_mod(b"", b"", DELETE))
            end.ask(n.TlvTableMod(n.NXTTMC_CLEAR), n.TlvTableMod(n.NXTTMC_ADD, maps))
        mods = []
        for index, size in MAPS:
            said = [(value, "") for value in VALUES]
            said += [(value, mask) for value in VALUES for mask in MASKED if len(value) == len(mask)]
            for value, mask in said:
                if len(value) <= 2 * size:
                    mods.append(flow_mod(oxm(index, value, mask), b""))
                    mods.append(flow_mod(b"", set_field(oxm(index, value, mask))))
        for mod in mods:
            wanted, got = (stored(end, mod) for end in ends)
            if wanted != got:
                differ.append(f"{mod.hex()}: real {wanted}, ours {got}")
        for end in ends:
            end.exchange(flow_mod(b"", b"", DELETE))
            end.ask(n.TlvTableMod(n.NXTTMC_CLEAR))
            end.close()
    assert len(mods) > 100
    assert not differ, f"{len(differ)} of {len(mods)}: " + "\n".join(differ[:20])
