"""Packets for controllers: a datapath action whose cookie names a frozen state, which has the metadata that
the packet has at the action (`upcall/packet_in.py` reads both).

A packet that a controller itself sent, and that nothing has been done to yet, need not go through the
datapath to come up again: it is an effect of its translation (`ToControllers`).
"""

from __future__ import annotations

from typing import final

from mypy_extensions import i64

from vswitch.dpif.cookie import ControllerCookie
from vswitch.dpif.execute_with_help import ETH_HEADER_LEN
from vswitch.flow.flow import Flow
from vswitch.flow.layout import W_IN_PORT
from vswitch.ofproto_dpif.xlate import freeze as xlate_freeze
from vswitch.ofproto_dpif.xlate.bridge import PacketInTaker
from vswitch.ofproto_dpif.xlate.commit import commit
from vswitch.ofproto_dpif.xlate.ctx import Ctx
from vswitch.ofproto_dpif.xlate.effects import PacketEffect
from vswitch.ofproto_dpif.xlate.freeze import N_METADATA, frozen_state
from vswitch.ofproto_dpif.xlate.meter import is_metered, to_controller
from vswitch.ofproto_dpif.xlate.queued_packet_in import QueuedPacketIn
from vswitch.ofproto_dpif.xlate.userspace import to_userspace
from vswitch.openflow import actions as of
from vswitch.openflow.constants import OFPR_ACTION, OFPR_EXPLICIT_MISS


def controller(ctx: Ctx, a: of.Controller, last: bool) -> None:
    """The controller action."""
    if a.pause:
        ctx.pause = a
        xlate_freeze.trigger(ctx)
        return
    controller_action(ctx, a.max_len, a.reason, a.controller_id, a.userdata, a.meter_id)


def controller_action(ctx: Ctx, max_len: int, reason: int, controller_id: int, userdata: bytes,
                      meter_id: int | None = None) -> None:
    """Send the packet to controllers: a datapath action whose cookie names the state."""
    commit(ctx)
    rule = ctx.rule
    if reason == OFPR_ACTION and rule is not None and rule.is_table_miss():
        reason = OFPR_EXPLICIT_MISS
    taker = ctx.bridge.controllers
    if taker is not None and _is_as_sent(ctx) and not is_metered(ctx, meter_id):
        ctx.out.told.append(
            ToControllers(taker, _flow_here(ctx), int(ctx.table_id), ctx.rule_cookie, reason, max_len,
                          controller_id, userdata)
        )
        return
    recirc_id = ctx.bridge.dp.recirc_ids.alloc(frozen_state(ctx, (), (), userdata, told=True))
    ctx.out.recircs.append(recirc_id)
    cookie = ControllerCookie(
        max_len=max_len,
        reason=reason,
        dont_send=not ctx.xin.side_effects,
        continuation=False,
        recirc_id=recirc_id,
        rule_cookie=ctx.rule_cookie,
        controller_id=controller_id,
    )
    ctx.odp.append(to_controller(ctx, meter_id, to_userspace(ctx, cookie.pack())))


def _is_as_sent(ctx: Ctx) -> bool:
    """Whether this is a packet-out's packet just as the controller sent it, which the datapath would take,
    and nothing in the datapath comes before this action."""
    if not ctx.in_packet_out or not ctx.xin.side_effects or ctx.odp or ctx.odp is not ctx.whole:
        return False
    packet = ctx.xin.packet
    return packet is not None and (len(packet) >= ETH_HEADER_LEN or ctx.xin.flow.packet_type != 0)


def _flow_here(ctx: Ctx) -> Flow:
    """The flow that the datapath would give with the packet, with the metadata that it has here."""
    flow = ctx.base.copy()
    words = flow.words
    here = ctx.flow.words
    i: i64 = 0
    while i < N_METADATA:
        words[i] = here[i]
        i += 1
    words[W_IN_PORT] = (words[W_IN_PORT] & ~0xFFFFFFFF) | (here[W_IN_PORT] & 0xFFFF)
    return flow


@final
class ToControllers(PacketEffect):
    """The packet is for controllers, as it came. Arguments as those of `QueuedPacketIn`."""

    def __init__(self, taker: PacketInTaker, flow: Flow, table_id: int, cookie: int, reason: int,
                 max_len: int, controller_id: int, userdata: bytes) -> None:
        self.taker = taker
        self.flow: Flow = flow
        self.table_id: int = table_id
        self.cookie: int = cookie
        self.reason: int = reason
        self.max_len: int = max_len
        self.controller_id: int = controller_id
        self.userdata: bytes = userdata

    def apply(self, packet: bytes, now: int) -> None:
        self.taker.send_packet_in(
            QueuedPacketIn(packet, self.flow, self.table_id, self.cookie, self.reason, self.max_len,
                           self.controller_id, self.userdata)
        )

    def __repr__(self) -> str:
        return f"ToControllers(reason={self.reason}, table={self.table_id})"
