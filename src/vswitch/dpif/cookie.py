"""The userdata of `Userspace` actions: why the packet was sent up, and what to do with it.

The datapath hands it back, byte for byte, with the packet. The first byte is the cookie's type;
the rest is this switch's own layout, in host order, since nobody else reads it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

SLOW_PATH: Final = 1
CONTROLLER: Final = 2
FLOW_SAMPLE: Final = 3
SFLOW: Final = 4
IPFIX: Final = 5

SLOW_REASONS: Final = ("cfm", "bfd", "lacp", "stp", "lldp", "action", "match")
"""Names of the bits of a slow-path reason, lowest first."""
DIRECTIONS: Final = ("", "ingress", "egress")
"""Names of a flow sample's direction."""


@dataclass(frozen=True)
class SlowPathCookie:
    """The flow's packets are handled in userspace; `reason` is a set of `SLOW_REASONS` bits."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("=BxxxI")
    reason: int = 0

    def pack(self) -> bytes:
        """8 bytes."""
        return self.LAYOUT.pack(SLOW_PATH, self.reason)


@dataclass(frozen=True)
class ControllerCookie:
    """Send the packet to a controller, `max_len` bytes of it, for `reason` (`OFPR_*`).

    `recirc_id` names the frozen state with the metadata; `dont_send` is set when only tracing;
    `continuation` makes the packet-in one that the controller can resume.
    """

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("=BBHHHIQ")
    max_len: int = 0xFFFF
    reason: int = 0
    dont_send: bool = False
    continuation: bool = False
    recirc_id: int = 0
    rule_cookie: int = 0
    controller_id: int = 0

    def pack(self) -> bytes:
        """20 bytes."""
        flags = self.dont_send | self.continuation << 1
        return self.LAYOUT.pack(
            CONTROLLER, flags, self.max_len, self.controller_id, self.reason, self.recirc_id, self.rule_cookie
        )


@dataclass(frozen=True)
class FlowSampleCookie:
    """Give the packet to a flow-based IPFIX exporter. Ports are datapath ports, 0xffffffff for none."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("=BBHIIII")
    probability: int = 0
    collector_set_id: int = 0
    obs_domain_id: int = 0
    obs_point_id: int = 0
    output_port: int = 0xFFFFFFFF
    direction: int = 0
    """An index into `DIRECTIONS`."""

    def pack(self) -> bytes:
        """20 bytes."""
        return self.LAYOUT.pack(
            FLOW_SAMPLE, self.direction, self.probability, self.collector_set_id, self.obs_domain_id,
            self.obs_point_id, self.output_port,
        )  # fmt: skip


@dataclass(frozen=True)
class SflowCookie:
    """Give the packet to the bridge's sFlow agent: the TCI it leaves with, and where to (sFlow output)."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("=BxHI")
    vlan_tci: int = 0
    output: int = 0

    def pack(self) -> bytes:
        """8 bytes."""
        return self.LAYOUT.pack(SFLOW, self.vlan_tci, self.output)


@dataclass(frozen=True)
class IpfixCookie:
    """Give the packet to the bridge's IPFIX exporter."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct("=BxxxI")
    output_port: int = 0xFFFFFFFF

    def pack(self) -> bytes:
        """8 bytes."""
        return self.LAYOUT.pack(IPFIX, self.output_port)


Cookie: TypeAlias = SlowPathCookie | ControllerCookie | FlowSampleCookie | SflowCookie | IpfixCookie


def decode(userdata: bytes) -> Cookie | None:
    """The cookie that `userdata` is, None if it is none of ours."""
    kind = userdata[0] if userdata else 0
    if kind == SLOW_PATH and len(userdata) == SlowPathCookie.LAYOUT.size:
        return SlowPathCookie(SlowPathCookie.LAYOUT.unpack(userdata)[1])
    if kind == CONTROLLER and len(userdata) == ControllerCookie.LAYOUT.size:
        _, flags, max_len, id_, reason, recirc_id, rule_cookie = ControllerCookie.LAYOUT.unpack(userdata)
        dont_send, continuation = bool(flags & 1), bool(flags & 2)
        return ControllerCookie(max_len, reason, dont_send, continuation, recirc_id, rule_cookie, id_)
    if kind == FLOW_SAMPLE and len(userdata) == FlowSampleCookie.LAYOUT.size:
        _, direction, probability, collector, domain, point, port = FlowSampleCookie.LAYOUT.unpack(userdata)
        if direction < len(DIRECTIONS):
            return FlowSampleCookie(probability, collector, domain, point, port, direction)
    if kind == SFLOW and len(userdata) == SflowCookie.LAYOUT.size:
        return SflowCookie(*SflowCookie.LAYOUT.unpack(userdata)[1:])
    if kind == IPFIX and len(userdata) == IpfixCookie.LAYOUT.size:
        return IpfixCookie(IpfixCookie.LAYOUT.unpack(userdata)[1])
    return None


def format_slow_reasons(reason: int) -> str:
    """ "lacp,stp", "0" for none; unknown bits in hexadecimal."""
    words = [name for n, name in enumerate(SLOW_REASONS) if reason >> n & 1]
    rest = reason >> len(SLOW_REASONS) << len(SLOW_REASONS)
    if rest:
        words.append(f"0x{rest:x}")
    return ",".join(words) or "0"


def parse_slow_reasons(text: str) -> int | None:
    """The set of bits of "lacp,stp" or "lacp|stp"; None if a word is unknown."""
    reason = 0
    for word in text.replace("|", ",").split(","):
        if word in SLOW_REASONS:
            reason |= 1 << SLOW_REASONS.index(word)
        elif word not in ("", "0"):
            return None
    return reason
