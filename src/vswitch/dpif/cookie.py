"""The userdata of `Userspace` actions: why the packet was sent up, and what to do with it.

The datapath hands it back, byte for byte, with the packet. The layout, 48 bytes in host order
with the type first, is the one that Open vSwitch 3.1's tools read (found by asking
`dpctl/dump-flows` what it takes such bytes for), so that the real `ovs-dpctl` explains our flows.
"""

from __future__ import annotations

import struct
from typing import ClassVar, Final, TypeAlias

from vswitch.base.records import dataclass

SFLOW: Final = 1
SLOW_PATH: Final = 2
FLOW_SAMPLE: Final = 3
IPFIX: Final = 4
CONTROLLER: Final = 5

SLOW_PATH_PREFIX: Final = struct.pack("=H", SLOW_PATH)
"""What a slow-path cookie begins with."""
COOKIE_SIZE: Final = 48
HEADER: Final = "=H22x"
"""The type, and what Open vSwitch has for its own use."""
SAMPLE_HEADER: Final = "=HH4x16s"
"""The type, whether the packet is dropped, and the bridge that samples."""

SLOW_REASONS: Final = ("cfm", "bfd", "lacp", "stp", "lldp", "action", "match")
"""Names of the bits of a slow-path reason, lowest first."""
DIRECTIONS: Final = ("", "ingress", "egress")
"""Names of a flow sample's direction."""


@dataclass(frozen=True)
class SlowPathCookie:
    """The flow's packets are handled in userspace; `reason` is a set of `SLOW_REASONS` bits."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct(HEADER + "4xI16x")
    reason: int = 0

    def pack(self) -> bytes:
        """COOKIE_SIZE bytes."""
        return self.LAYOUT.pack(SLOW_PATH, self.reason)


@dataclass(frozen=True)
class ControllerCookie:
    """Send the packet to a controller, `max_len` bytes of it, for `reason` (`OFPR_*`).

    `recirc_id` names the frozen state with the metadata; `dont_send` is set when only tracing;
    `continuation` makes the packet-in one that the controller can resume.
    """

    LAYOUT: ClassVar[struct.Struct] = struct.Struct(HEADER + "BBHI8sHH4x")
    max_len: int = 0xFFFF
    reason: int = 0
    dont_send: bool = False
    continuation: bool = False
    recirc_id: int = 0
    rule_cookie: int = 0
    controller_id: int = 0

    def pack(self) -> bytes:
        """COOKIE_SIZE bytes."""
        return self.LAYOUT.pack(
            CONTROLLER, self.dont_send, self.continuation, self.reason, self.recirc_id,
            self.rule_cookie.to_bytes(8, "big"), self.controller_id, self.max_len,
        )  # fmt: skip


@dataclass(frozen=True)
class FlowSampleCookie:
    """Give the packet to a flow-based IPFIX exporter. Ports are datapath ports, 0xffffffff for none."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct(SAMPLE_HEADER + "H2xIIIII")
    probability: int = 0
    collector_set_id: int = 0
    obs_domain_id: int = 0
    obs_point_id: int = 0
    output_port: int = 0xFFFFFFFF
    direction: int = 0
    """An index into `DIRECTIONS`."""
    bridge: bytes = bytes(16)
    """`XBridge.uuid` of the bridge whose sample it is."""
    dropped: bool = False
    """Whether the packet goes nowhere."""

    def pack(self) -> bytes:
        """COOKIE_SIZE bytes."""
        return self.LAYOUT.pack(
            FLOW_SAMPLE, self.dropped, self.bridge, self.probability, self.collector_set_id,
            self.obs_domain_id, self.obs_point_id, self.output_port, self.direction,
        )  # fmt: skip


@dataclass(frozen=True)
class SflowCookie:
    """Give the packet to the bridge's sFlow agent: the TCI it leaves with, and where to (sFlow output)."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct(SAMPLE_HEADER + "2s2xI16x")
    vlan_tci: int = 0
    output: int = 0
    bridge: bytes = bytes(16)
    """`XBridge.uuid` of the bridge whose sample it is."""

    def pack(self) -> bytes:
        """COOKIE_SIZE bytes."""
        return self.LAYOUT.pack(SFLOW, 0, self.bridge, self.vlan_tci.to_bytes(2, "big"), self.output)


@dataclass(frozen=True)
class IpfixCookie:
    """Give the packet to the bridge's IPFIX exporter."""

    LAYOUT: ClassVar[struct.Struct] = struct.Struct(SAMPLE_HEADER + "I20x")
    output_port: int = 0xFFFFFFFF
    bridge: bytes = bytes(16)
    """`XBridge.uuid` of the bridge whose sample it is."""
    dropped: bool = False
    """Whether the packet goes nowhere."""

    def pack(self) -> bytes:
        """COOKIE_SIZE bytes."""
        return self.LAYOUT.pack(IPFIX, self.dropped, self.bridge, self.output_port)


Cookie: TypeAlias = SlowPathCookie | ControllerCookie | FlowSampleCookie | SflowCookie | IpfixCookie


def decode(userdata: bytes) -> Cookie | None:
    """The cookie that `userdata` is, None if it is none of ours."""
    if len(userdata) != COOKIE_SIZE:
        return None
    kind = struct.unpack_from("=H", userdata)[0]
    if kind == SLOW_PATH:
        return SlowPathCookie(SlowPathCookie.LAYOUT.unpack(userdata)[1])
    if kind == CONTROLLER:
        fields = ControllerCookie.LAYOUT.unpack(userdata)
        _, dont_send, continuation, reason, recirc_id, rule_cookie, id_, max_len = fields
        return ControllerCookie(max_len, reason, bool(dont_send), bool(continuation), recirc_id,
                                int.from_bytes(rule_cookie, "big"), id_)  # fmt: skip
    if kind == FLOW_SAMPLE:
        _, dropped, bridge, probability, collector_set, domain, point, port, direction = (
            FlowSampleCookie.LAYOUT.unpack(userdata)
        )
        sample = FlowSampleCookie(probability, collector_set, domain, point, port, direction, bridge,
                                  bool(dropped))
        return sample if sample.direction < len(DIRECTIONS) else None
    if kind == SFLOW:
        _, _, bridge, tci, output = SflowCookie.LAYOUT.unpack(userdata)
        return SflowCookie(int.from_bytes(tci, "big"), output, bridge)
    if kind == IPFIX:
        _, dropped, bridge, output_port = IpfixCookie.LAYOUT.unpack(userdata)
        return IpfixCookie(output_port, bridge, bool(dropped))
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
