"""BPDUs: the messages of STP (IEEE 802.1D-1998, clause 9) and RSTP (IEEE 802.1D-2004, clause 9).

A `Bpdu` is what is said; times are in ms, 1/256 s on the wire. `decode` takes what follows the
LLC header and returns None for anything that the standards have thrown away (9.3.4).
"""

from __future__ import annotations

import struct
from typing import Final

from vswitch.base.records import dataclass

BPDU_MAC: Final = 0x0180C2000000
"""Where BPDUs are sent (7.12.3)."""
LLC: Final = b"\x42\x42\x03"
"""DSAP, SSAP and control of a BPDU's LLC header."""

CONFIG: Final = 0x00
RST: Final = 0x02
TCN: Final = 0x80

# Flags (9.3.3).
TOPOLOGY_CHANGE: Final = 0x01
PROPOSAL: Final = 0x02
ROLE_SHIFT: Final = 2
LEARNING: Final = 0x10
FORWARDING: Final = 0x20
AGREEMENT: Final = 0x40
TOPOLOGY_CHANGE_ACK: Final = 0x80

# Port roles in the flags of an RST BPDU.
ROLE_UNKNOWN: Final = 0
ROLE_ALTERNATE: Final = 1
ROLE_ROOT: Final = 2
ROLE_DESIGNATED: Final = 3

_BODY: Final = struct.Struct(">HBBBQIQHHHHH")
_HEAD: Final = struct.Struct(">HBB")


@dataclass(frozen=True)
class Bpdu:
    """One BPDU. A TCN has only its type. Identifiers are 64 bits (priority, address) and 16 bits."""

    type: int
    version: int = 0
    flags: int = 0
    root_id: int = 0
    root_path_cost: int = 0
    bridge_id: int = 0
    port_id: int = 0
    message_age: int = 0
    max_age: int = 0
    hello_time: int = 0
    forward_delay: int = 0

    @property
    def role(self) -> int:
        """ROLE_* of the port that sent an RST BPDU; configuration BPDUs come from designated ports."""
        return (self.flags >> ROLE_SHIFT) & 3 if self.type == RST else ROLE_DESIGNATED


def _ticks(ms: int) -> int:
    return min(ms * 256 // 1000, 0xFFFF)


def _ms(ticks: int) -> int:
    return ticks * 1000 // 256


def encode(bpdu: Bpdu) -> bytes:
    """The bytes behind the LLC header."""
    if bpdu.type == TCN:
        return _HEAD.pack(0, 0, TCN)
    body = _BODY.pack(
        0, bpdu.version, bpdu.type, bpdu.flags, bpdu.root_id, bpdu.root_path_cost, bpdu.bridge_id,
        bpdu.port_id, _ticks(bpdu.message_age), _ticks(bpdu.max_age), _ticks(bpdu.hello_time),
        _ticks(bpdu.forward_delay),
    )  # fmt: skip
    return body + b"\0" if bpdu.type == RST else body


def decode(data: bytes) -> Bpdu | None:
    """The BPDU in `data` (behind the LLC header, padding allowed); None if it is none (9.3.4)."""
    if len(data) < _HEAD.size:
        return None
    protocol, version, kind = _HEAD.unpack_from(data)
    if protocol != 0:
        return None
    if kind == TCN:
        return Bpdu(TCN)
    if kind == CONFIG:
        if len(data) < _BODY.size:
            return None
    elif kind != RST or version < 2 or len(data) < _BODY.size + 1:
        return None
    (_, _, _, flags, root, cost, bridge, port, age, max_age, hello, delay) = _BODY.unpack_from(data)
    if kind == CONFIG:
        flags &= TOPOLOGY_CHANGE | TOPOLOGY_CHANGE_ACK
        version = 0
    return Bpdu(
        kind, version, flags, root, cost, bridge, port, _ms(age), _ms(max_age), _ms(hello), _ms(delay)
    )


def frame(bpdu: Bpdu, source: int) -> bytes:
    """The Ethernet frame with `bpdu` from the address `source`."""
    payload = LLC + encode(bpdu)
    return BPDU_MAC.to_bytes(6, "big") + source.to_bytes(6, "big") + len(payload).to_bytes(2, "big") + payload


def from_frame(data: bytes) -> Bpdu | None:
    """The BPDU in an Ethernet frame; None if there is none or it is malformed."""
    if len(data) < 17 or data[14:17] != LLC:
        return None
    length = int.from_bytes(data[12:14], "big")
    if length > 1500 or 14 + length > len(data):
        return None
    return decode(data[17 : 14 + length])


def format_id(identifier: int) -> str:
    """A bridge identifier as Open vSwitch writes it in the database: 8000.0123456789ab."""
    return f"{identifier >> 48:04x}.{identifier & 0xFFFFFFFFFFFF:012x}"
