"""LACPDUs: the messages of link aggregation (IEEE 802.1AX-2014, 6.4.2)."""

from __future__ import annotations

import struct
from typing import Final

from vswitch.base.records import dataclass
from vswitch.packet.numbers import ETH_TYPE_LACP

LACP_MAC: Final = 0x0180C2000002
"""The Slow Protocols multicast address (IEEE 802.3, annex 57A)."""
SUBTYPE_LACP: Final = 1
SUBTYPE_MARKER: Final = 2

# States of a port (6.4.2.3, actor_state).
ACTIVITY: Final = 0x01
TIMEOUT: Final = 0x02
AGGREGATION: Final = 0x04
SYNCHRONIZED: Final = 0x08
COLLECTING: Final = 0x10
DISTRIBUTING: Final = 0x20
DEFAULTED: Final = 0x40
EXPIRED: Final = 0x80

STATE_NAMES: Final = ("activity", "timeout", "aggregation", "synchronized", "collecting", "distributing",
                      "defaulted", "expired")  # fmt: skip

_INFO: Final = struct.Struct(">H6sHHHB")
_ACTOR: Final = 4
_PARTNER: Final = 24
_LENGTH: Final = 110
_HEADER: Final = 14


@dataclass(frozen=True)
class LacpInfo:
    """What a PDU says of one of the two ports; `state` has the bits above."""

    sys_priority: int = 0
    sys_id: int = 0
    key: int = 0
    port_priority: int = 0
    port_id: int = 0
    state: int = 0


NOBODY: Final = LacpInfo()


@dataclass(frozen=True)
class LacpPdu:
    """One LACPDU: its sender and whom it takes for its partner."""

    actor: LacpInfo
    partner: LacpInfo


def _pack(info: LacpInfo) -> bytes:
    return _INFO.pack(
        info.sys_priority,
        info.sys_id.to_bytes(6, "big"),
        info.key,
        info.port_priority,
        info.port_id,
        info.state,
    )


def _unpack(data: bytes, at: int) -> LacpInfo:
    priority, sys_id, key, port_priority, port_id, state = _INFO.unpack_from(data, at)
    return LacpInfo(priority, int.from_bytes(sys_id, "big"), key, port_priority, port_id, state)


def encode(pdu: LacpPdu) -> bytes:
    """The bytes behind the Ethernet header: version 1, and no collector delay."""
    data = bytes((SUBTYPE_LACP, 1, 1, 20)) + _pack(pdu.actor) + bytes(3)
    data += bytes((2, 20)) + _pack(pdu.partner) + bytes(3)
    data += bytes((3, 16)) + bytes(14)
    return data.ljust(_LENGTH, b"\0")


def decode(data: bytes) -> LacpPdu | None:
    """The LACPDU behind an Ethernet header; None if it is none or malformed. Later versions are read as far
    as version 1 goes (6.4.2.3)."""
    if len(data) < _LENGTH or data[0] != SUBTYPE_LACP or data[1] < 1:
        return None
    if data[2:4] != b"\x01\x14" or data[22:24] != b"\x02\x14":
        return None
    return LacpPdu(_unpack(data, _ACTOR), _unpack(data, _PARTNER))


def subtype(packet: bytes) -> int:
    """The slow protocol in an Ethernet frame; 0 if it has none."""
    return packet[_HEADER] if len(packet) > _HEADER else 0


def frame(pdu: LacpPdu, source: int) -> bytes:
    """The Ethernet frame with `pdu` from the address `source`."""
    header = LACP_MAC.to_bytes(6, "big") + source.to_bytes(6, "big") + ETH_TYPE_LACP.to_bytes(2, "big")
    return header + encode(pdu)


def from_frame(packet: bytes) -> LacpPdu | None:
    """The LACPDU in an untagged Ethernet frame."""
    return decode(packet[_HEADER:])
