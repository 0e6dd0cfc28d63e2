"""IGMP messages, byte by byte (RFC 2236, section 2; RFC 3376, section 4.2)."""

from __future__ import annotations

import ipaddress

from vswitch.packet.checksum import csum


def _summed(data: bytes) -> bytes:
    return data[:2] + csum(data).to_bytes(2, "big") + data[4:]


def v2(kind: int, group: str) -> bytes:
    """A message of version 1 or 2."""
    return _summed(bytes((kind, 0, 0, 0)) + ipaddress.IPv4Address(group).packed)


def v3(*records: tuple[int, str] | tuple[int, str, str]) -> bytes:
    """A report of version 3 with (type, group) or (type, group, source) records."""
    data = b"\x22\0\0\0\0\0" + len(records).to_bytes(2, "big")
    for kind, group, *sources in records:
        data += bytes((kind, 0)) + len(sources).to_bytes(2, "big")
        for address in (group, *sources):
            data += ipaddress.IPv4Address(address).packed
    return _summed(data)
