"""The LLDP data unit (IEEE 802.1AB-2016, clause 8), with Auto Attach's two TLVs (draft-unbehagen-lldp-spb).

A unit is a list of TLVs: type in 7 bits, length in 9. Chassis id, port id and time to live come first, in
this order; what isn't known is passed over and counted.
"""

from __future__ import annotations

import struct
from typing import Final

from vswitch.base.records import dataclass, field
from vswitch.packet.compose import compose
from vswitch.packet.headers import Ethernet, PacketError, mac_bytes
from vswitch.packet.numbers import ETH_TYPE_LLDP

LLDP_ADDRESS: Final = 0x0180C200000E
"""The nearest bridge (clause 7.1)."""

TLV_END: Final = 0
TLV_CHASSIS_ID: Final = 1
TLV_PORT_ID: Final = 2
TLV_TTL: Final = 3
TLV_PORT_DESCRIPTION: Final = 4
TLV_SYSTEM_NAME: Final = 5
TLV_SYSTEM_DESCRIPTION: Final = 6
TLV_CAPABILITIES: Final = 7
TLV_MANAGEMENT_ADDRESS: Final = 8
TLV_ORGANIZATION: Final = 127

CHASSIS_MAC: Final = 4
PORT_INTERFACE_NAME: Final = 5
CAP_BRIDGE: Final = 0x0004

OUI_AVAYA: Final = bytes.fromhex("00040d")
AA_ELEMENT: Final = 11
AA_ASSIGNMENT: Final = 12
AA_DIGEST: Final = bytes(32)
"""Where an HMAC could stand."""
AA_CLIENT_VIRTUAL_SWITCH: Final = 14
"""The element type of a client that is a virtual switch."""


@dataclass(frozen=True)
class Element:
    """The Auto Attach element TLV: who speaks. `links` is what the draft says of the link (4 bytes)."""

    type: int
    system_mac: int
    links: bytes = bytes(4)
    management_vlan: int = 0


@dataclass(frozen=True)
class Mapping:
    """One mapping of a service (`isid`, 24 bits) to a VLAN, and what the server says of it."""

    isid: int
    vlan: int
    status: int = 0


@dataclass(frozen=True)
class Lldpdu:
    """One data unit. Ids are the bytes behind their subtype; `unrecognized` counts TLVs passed over."""

    chassis_id: bytes
    port_id: bytes
    ttl: int
    chassis_subtype: int = CHASSIS_MAC
    port_subtype: int = PORT_INTERFACE_NAME
    port_description: str = ""
    system_name: str = ""
    system_description: str = ""
    capabilities: int = 0
    enabled: int = 0
    element: Element | None = None
    mappings: tuple[Mapping, ...] = ()
    unrecognized: int = field(default=0, compare=False)

    def pack(self) -> bytes:
        tlvs = [
            _tlv(TLV_CHASSIS_ID, bytes((self.chassis_subtype,)) + self.chassis_id),
            _tlv(TLV_PORT_ID, bytes((self.port_subtype,)) + self.port_id),
            _tlv(TLV_TTL, self.ttl.to_bytes(2, "big")),
        ]
        texts = (
            (TLV_PORT_DESCRIPTION, self.port_description),
            (TLV_SYSTEM_NAME, self.system_name),
            (TLV_SYSTEM_DESCRIPTION, self.system_description),
        )
        tlvs += [_tlv(kind, text.encode()[:255]) for kind, text in texts if text]
        if self.capabilities:
            tlvs.append(_tlv(TLV_CAPABILITIES, struct.pack("!HH", self.capabilities, self.enabled)))
        if self.element is not None:
            first = self.element.type << 26 | self.element.management_vlan << 8
            body = struct.pack("!I", first) + mac_bytes(self.element.system_mac) + self.element.links
            tlvs.append(_organization(AA_ELEMENT, AA_DIGEST + body))
        if self.mappings:
            body = b"".join(
                struct.pack("!H", m.status << 12 | m.vlan) + m.isid.to_bytes(3, "big") for m in self.mappings
            )
            tlvs.append(_organization(AA_ASSIGNMENT, AA_DIGEST + body))
        return b"".join(tlvs) + _tlv(TLV_END, b"")

    @staticmethod
    def unpack(data: bytes) -> Lldpdu:
        """`data` starts behind the Ethernet header. PacketError names the TLV that is wrong."""
        at = 0
        ids: list[bytes] = []
        texts = {TLV_PORT_DESCRIPTION: "", TLV_SYSTEM_NAME: "", TLV_SYSTEM_DESCRIPTION: ""}
        capabilities = enabled = unrecognized = 0
        element: Element | None = None
        mappings: list[Mapping] = []
        while True:
            if at + 2 > len(data):
                raise PacketError("the data unit ends without an end TLV")
            head = int.from_bytes(data[at : at + 2], "big")
            kind, length = head >> 9, head & 0x1FF
            value = data[at + 2 : at + 2 + length]
            at += 2 + length
            if len(value) < length:
                raise PacketError(f"TLV of type {kind} says it has {length} bytes, {len(value)} are there")
            if len(ids) < 3:
                _check_mandatory(kind, length, len(ids) + 1)
                ids.append(value)
            elif kind == TLV_END:
                break
            elif kind in texts:
                texts[kind] = value.decode(errors="replace")
            elif kind == TLV_CAPABILITIES:
                if length != 4:
                    raise PacketError(f"capabilities of {length} bytes instead of 4")
                capabilities, enabled = struct.unpack("!HH", value)
            elif kind == TLV_ORGANIZATION and value[:4] == OUI_AVAYA + bytes((AA_ELEMENT,)):
                element = _element(value[4:])
            elif kind == TLV_ORGANIZATION and value[:4] == OUI_AVAYA + bytes((AA_ASSIGNMENT,)):
                mappings += _mappings(value[4:])
            elif kind in (TLV_CHASSIS_ID, TLV_PORT_ID, TLV_TTL):
                raise PacketError(f"TLV of type {kind} comes twice")
            elif kind not in (TLV_MANAGEMENT_ADDRESS, TLV_ORGANIZATION):
                unrecognized += 1
        chassis, port, ttl = ids
        return Lldpdu(
            chassis[1:], port[1:], int.from_bytes(ttl[:2], "big"), chassis[0], port[0],
            texts[TLV_PORT_DESCRIPTION], texts[TLV_SYSTEM_NAME], texts[TLV_SYSTEM_DESCRIPTION],
            capabilities, enabled, element, tuple(mappings), unrecognized,
        )  # fmt: skip


def _tlv(kind: int, value: bytes) -> bytes:
    return (kind << 9 | len(value)).to_bytes(2, "big") + value


def _organization(subtype: int, body: bytes) -> bytes:
    return _tlv(TLV_ORGANIZATION, OUI_AVAYA + bytes((subtype,)) + body)


def _check_mandatory(kind: int, length: int, wanted: int) -> None:
    """Clause 9.2.7.7.1: the first three TLVs, and their lengths."""
    name = ("", "chassis id", "port id", "time to live")[wanted]
    if kind != wanted:
        raise PacketError(f"TLV {wanted} is of type {kind} instead of the {name}")
    if (length < 2 if wanted == TLV_TTL else not 2 <= length <= 256):
        raise PacketError(f"{name} of {length} bytes")


def _element(body: bytes) -> Element:
    if len(body) < 46:
        raise PacketError(f"Auto Attach element of {len(body)} bytes is shorter than 46")
    (first,) = struct.unpack_from("!I", body, 32)
    return Element(first >> 26, int.from_bytes(body[36:42], "big"), body[42:46], first >> 8 & 0xFFF)


def _mappings(body: bytes) -> list[Mapping]:
    rest = len(body) - len(AA_DIGEST)
    if rest < 0 or rest % 5:
        raise PacketError(f"Auto Attach assignments of {len(body)} bytes")
    found = []
    for at in range(len(AA_DIGEST), len(body), 5):
        (head,) = struct.unpack_from("!H", body, at)
        found.append(Mapping(int.from_bytes(body[at + 2 : at + 5], "big"), head & 0xFFF, head >> 12))
    return found


def frame(unit: Lldpdu, eth_src: int) -> bytes:
    """The Ethernet frame of `unit`."""
    return compose(Ethernet(LLDP_ADDRESS, eth_src, ETH_TYPE_LLDP), payload=unit.pack())
