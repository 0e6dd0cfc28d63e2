"""Packets for controllers: a datapath action whose cookie names a frozen state, which has the metadata that
the packet has at the action (`upcall/packet_in.py` reads both)."""

from __future__ import annotations

from vswitch.dpif.cookie import ControllerCookie
from vswitch.ofproto_dpif.xlate import freeze as xlate_freeze
from vswitch.ofproto_dpif.xlate.commit import commit
from vswitch.ofproto_dpif.xlate.ctx import Ctx
from vswitch.ofproto_dpif.xlate.freeze import frozen_state
from vswitch.ofproto_dpif.xlate.meter import to_controller
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
