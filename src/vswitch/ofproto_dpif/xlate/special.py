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
from typing import TYPE_CHECKING, Final, Protocol, cast, final

from mypy_extensions import i64

from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    FRAG_LATER,
    S_NW_DST,
    S_NW_FRAG,
    S_NW_PROTO,
    S_TP_DST,
    W_ETH_DST,
    W_ETH_TYPE,
    W_NW_DST,
    W_NW_FRAG,
    W_NW_PROTO,
    W_TP_DST,
    W_TUN_ID,
)
from vswitch.ofproto_dpif.xlate.effects import PacketEffect
from vswitch.ofproto_dpif.xlate.types import SLOW_BFD, SLOW_CFM, SLOW_LACP, SLOW_LLDP, SLOW_STP
from vswitch.packet.numbers import (
    DL_TYPE_NONE,
    ETH_TYPE_CFM,
    ETH_TYPE_IP,
    ETH_TYPE_LACP,
    ETH_TYPE_LLDP,
    IPPROTO_UDP,
)

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.xlate.bridge import XPort
    from vswitch.ofproto_dpif.xlate.ctx import Ctx

STP_ADDRESS: Final = 0x0180C2000000
"""The bridge group address, IEEE 802.1D, 7.12.3."""


BFD_DEST_PORT: Final = 3784
"""RFC 5881, section 4."""


class PacketReceiver(Protocol):
    """Who gets the packets of one protocol that come in at a port (`OfprotoDpif.listen`)."""

    def receive(self, ofp_port: int, packet: bytes, now: int) -> None:
        """`packet` came in at port `ofp_port` at clock ms `now`; it may hold anything.

        It is called in the middle of a batch of upcalls: nothing may be sent from here. What is to
        be sent waits for the protocol's `run`, which follows in the same turn of the main loop.
        """


class MonitorReceiver(PacketReceiver, Protocol):
    """A receiver of BFD's and CFM's packets, which takes those of its own sessions."""

    def takes_bfd(self, dl_dst: int, nw_dst: int, tun_id: int) -> bool:
        """Whether a BFD packet with these headers is for a session of the port."""

    def takes_cfm(self, dl_dst: int, tun_id: int) -> bool:
        """Whether a CFM packet with these headers is."""

    def looks_at_addresses(self) -> tuple[bool, bool]:
        """Whether what `takes_bfd` says depends on `dl_dst`, and on `nw_dst`."""

    def looks_at_tunnel_key(self) -> bool:
        """Whether what these two say depends on `tun_id`."""


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
    return flow.words[W_ETH_TYPE] & 0xFFFF == DL_TYPE_NONE and flow.dl_dst == STP_ADDRESS


def _is_slow_protocol(flow: Flow, wc: Flow, receiver: PacketReceiver) -> bool:
    return flow.words[W_ETH_TYPE] & 0xFFFF == ETH_TYPE_LACP


def _is_stp(flow: Flow, wc: Flow, receiver: PacketReceiver) -> bool:
    wc.words[W_ETH_DST] |= -1 << 16
    return is_bpdu(flow)


def _is_lldp(flow: Flow, wc: Flow, receiver: PacketReceiver) -> bool:
    return flow.words[W_ETH_TYPE] & 0xFFFF == ETH_TYPE_LLDP


def _is_cfm(flow: Flow, wc: Flow, receiver: PacketReceiver) -> bool:
    if flow.words[W_ETH_TYPE] & 0xFFFF != ETH_TYPE_CFM:
        return False
    monitor = cast(MonitorReceiver, receiver)
    wc.words[W_ETH_DST] |= -1 << 16
    if monitor.looks_at_tunnel_key():
        wc.words[W_TUN_ID] = -1
    return monitor.takes_cfm(flow.dl_dst, flow.tun_id)


def _is_bfd(flow: Flow, wc: Flow, receiver: PacketReceiver) -> bool:
    if flow.words[W_ETH_TYPE] & 0xFFFF != ETH_TYPE_IP:
        return False
    mask = wc.words
    mask[W_NW_PROTO] |= 0xFF << S_NW_PROTO
    mask[W_NW_FRAG] |= FRAG_LATER << S_NW_FRAG
    if flow.nw_proto != IPPROTO_UDP or flow.nw_frag & FRAG_LATER:
        return False
    different: i64 = flow.tp_dst ^ BFD_DEST_PORT
    if different:
        # The highest bit that differs says enough: flows to other ports are not told apart for BFD's sake.
        bit: i64 = 1
        while different > 1:
            different >>= 1
            bit <<= 1
        mask[W_TP_DST] |= bit << S_TP_DST
        return False
    mask[W_TP_DST] |= 0xFFFF << S_TP_DST
    monitor = cast(MonitorReceiver, receiver)
    by_mac, by_address = monitor.looks_at_addresses()
    if by_mac:
        mask[W_ETH_DST] |= -1 << 16
    if by_address:
        mask[W_NW_DST] |= 0xFFFFFFFF << S_NW_DST
    if monitor.looks_at_tunnel_key():
        mask[W_TUN_ID] = -1
    return monitor.takes_bfd(flow.dl_dst, flow.nw_dst, flow.tun_id)


ROWS: Final = (
    Row(SLOW_CFM, _is_cfm),
    Row(SLOW_BFD, _is_bfd),
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
