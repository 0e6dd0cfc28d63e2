"""Packets for the switch itself: which ones a protocol of the bridge claims, and what becomes of them.

`ROWS` is the table: the reason (also the bit under which a port's receiver is registered), and how
to tell the protocol's packets. `claim` consults it for a packet that comes in at a port where
somebody listens: before mirrors, before the actions of any table, and so before NORMAL. A claimed packet
goes no further; it comes up (`XlateOut.slow`) and is given to the port's receiver, once for each that
arrives (`Arrival`).

As in Open vSwitch the rule that the packet matches in table 0 is still looked up and counts it,
but its actions do not run; and packets that come back from a recirculation, whose first part of the
way went through here, are not looked at again.

A port where no protocol is configured (`listens` 0) costs one comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, final

from mypy_extensions import i64

from vswitch.flow.flow import Flow
from vswitch.flow.layout import W_ETH_DST, W_ETH_TYPE
from vswitch.ofproto_dpif.xlate.effects import PacketEffect
from vswitch.ofproto_dpif.xlate.types import SLOW_LACP, SLOW_LLDP, SLOW_STP

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.xlate.bridge import XPort
    from vswitch.ofproto_dpif.xlate.ctx import Ctx

ETH_TYPE_NONE: Final = 0x05FF
"""What a flow has for the Ethernet type of an IEEE 802.3 frame with an LLC header."""
ETH_TYPE_SLOW_PROTOCOLS: Final = 0x8809
"""IEEE 802.3, annex 57A: LACP and others of its kind."""
ETH_TYPE_LLDP: Final = 0x88CC
STP_ADDRESS: Final = 0x0180C2000000
"""The bridge group address, IEEE 802.1D, 7.12.3."""


class PacketReceiver(Protocol):
    """Who gets the packets of one protocol that come in at a port (`OfprotoDpif.listen`)."""

    def receive(self, ofp_port: int, packet: bytes, now: int) -> None:
        """`packet` came in at port `ofp_port` at clock ms `now`; it may hold anything.

        It is called in the middle of a batch of upcalls: nothing may be sent from here. What is to
        be sent waits for the protocol's `run`, which follows in the same turn of the main loop.
        """


Match = Callable[[Flow, Flow, PacketReceiver], bool]
"""Whether a packet that looks like `flow` is the receiver's; notes in `wc`, the mask, what it
looked at. The Ethernet type is in every mask."""


@final
class Row:
    """One protocol: `reason` (a SLOW_* bit, the port's key of its receiver), and how to tell its packets."""

    def __init__(self, reason: int, match: Match) -> None:
        self.reason: int = reason
        self.match: Match = match


@final
class Arrival(PacketEffect):
    """A packet that `receiver` claims came in at port `ofp_port`."""

    def __init__(self, receiver: PacketReceiver, ofp_port: int) -> None:
        self.receiver: PacketReceiver = receiver
        self.ofp_port: int = ofp_port

    def apply(self, packet: bytes, now: int) -> None:
        self.receiver.receive(self.ofp_port, packet, now)

    def __repr__(self) -> str:
        return f"Arrival(port {self.ofp_port}, {self.receiver})"


def is_bpdu(flow: Flow) -> bool:
    """Whether a packet that looks like `flow` is one of a spanning tree's."""
    return flow.words[W_ETH_TYPE] & 0xFFFF == ETH_TYPE_NONE and flow.dl_dst == STP_ADDRESS


def _is_slow_protocol(flow: Flow, wc: Flow, receiver: PacketReceiver) -> bool:
    return flow.words[W_ETH_TYPE] & 0xFFFF == ETH_TYPE_SLOW_PROTOCOLS


def _is_stp(flow: Flow, wc: Flow, receiver: PacketReceiver) -> bool:
    wc.words[W_ETH_DST] |= -1 << 16
    return is_bpdu(flow)


def _is_lldp(flow: Flow, wc: Flow, receiver: PacketReceiver) -> bool:
    return flow.words[W_ETH_TYPE] & 0xFFFF == ETH_TYPE_LLDP


ROWS: Final = (
    Row(SLOW_LACP, _is_slow_protocol),
    Row(SLOW_STP, _is_stp),
    Row(SLOW_LLDP, _is_lldp),
)
"""Who claims packets, in the order in which they are asked."""
REASONS: Final = frozenset(row.reason for row in ROWS)


def claim(ctx: Ctx, port: XPort) -> bool:
    """Whether somebody who listens at `port` claims the packet. To be asked only if `port.listens`."""
    listens: i64 = port.listens
    for row in ROWS:
        reason = row.reason
        if listens & reason == 0:
            continue
        receiver = port.receivers[reason]
        if row.match(ctx.flow, ctx.wc, receiver):
            ctx.out.slow |= reason
            ctx.out.packet_effects.append(Arrival(receiver, port.ofp_port))
            return True
    return False
