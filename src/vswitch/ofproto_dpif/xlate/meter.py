"""Meters in translation: the meter action, and the virtual meters before packets that come up here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.dpif.actions import Action as OdpAction
from vswitch.dpif.actions import Meter, Sample
from vswitch.ofproto_dpif.xlate.ctx import Ctx
from vswitch.openflow import actions as of
from vswitch.openflow.messages.meter import OFPM_CONTROLLER, OFPM_SLOWPATH

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.xlate.bridge import XBridge

ALWAYS: Final = 0xFFFFFFFF
"""The probability of a sample that takes every packet: what all datapaths have for a clone."""


def meter(ctx: Ctx, a: of.Meter, last: bool) -> None:
    """The meter action. One whose meter has just gone does nothing: its rule goes with it."""
    number = ctx.bridge.meters.number(a.meter_id)
    ctx.out.tags |= ctx.bridge.meter_tag(a.meter_id)
    if number is not None:
        ctx.odp.append(Meter(number))


def to_controller(ctx: Ctx, meter_id: int | None, action: OdpAction) -> OdpAction:
    """`action`, which sends the packet up for controllers, behind meter `meter_id`, or without that
    behind OFPM_CONTROLLER, if there is one; what that drops is only the copy."""
    bridge = ctx.bridge
    if meter_id is not None:
        ctx.out.tags |= bridge.meter_tag(meter_id)
        if bridge.meters.number(meter_id) is not None:
            return _behind(bridge, meter_id, action)
    ctx.out.tags |= bridge.meter_tag(OFPM_CONTROLLER)
    return _behind(bridge, OFPM_CONTROLLER, action)


def is_metered(ctx: Ctx, meter_id: int | None) -> bool:
    """Whether `to_controller` would put a meter before the packet."""
    bridge = ctx.bridge
    if meter_id is not None and bridge.meters.number(meter_id) is not None:
        return True
    return bridge.meters.number(OFPM_CONTROLLER) is not None


def to_slow_path(bridge: XBridge, action: OdpAction) -> OdpAction:
    """`action`, which sends a flow's packets to the slow path, behind OFPM_SLOWPATH if that is there."""
    return _behind(bridge, OFPM_SLOWPATH, action)


def _behind(bridge: XBridge, meter_id: int, action: OdpAction) -> OdpAction:
    number = bridge.meters.number(meter_id)
    return action if number is None else Sample(ALWAYS, (Meter(number), action))
