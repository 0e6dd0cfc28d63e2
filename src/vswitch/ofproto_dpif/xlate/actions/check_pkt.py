"""The action `check_pkt_larger`: two ways on, one for packets that are longer and one for the rest.

A flow does not know its packets' lengths. So what follows the action is translated twice, and the
datapath chooses (`check_pkt_len`). A datapath without that has us look at each packet.
ovs-actions(7), "The check_pkt_larger action".
"""

from __future__ import annotations

from typing import Any

from vswitch.dpif.actions import Action as OdpAction
from vswitch.dpif.actions import CheckPktLen
from vswitch.ofproto_dpif.xlate import output as xlate_output
from vswitch.ofproto_dpif.xlate.actions import dispatch as xlate_actions
from vswitch.ofproto_dpif.xlate.actions import fields
from vswitch.ofproto_dpif.xlate.commit import commit
from vswitch.ofproto_dpif.xlate.ctx import Ctx
from vswitch.ofproto_dpif.xlate.types import SLOW_ACTION
from vswitch.openflow import actions as of


def check_pkt_larger(ctx: Ctx, a: of.CheckPktLarger, rest: tuple[Any, ...]) -> bool:
    """Translate `a`, which `rest` follows. True: `rest` has been translated with it."""
    if not ctx.support.check_pkt_len:
        packet = ctx.xin.packet
        larger = packet is not None and len(packet) > a.pkt_len
        fields.write_subfield(ctx.flow, a.dst, int(larger))
        ctx.out.slow |= SLOW_ACTION
        return False
    saved = ctx.saved()
    commit(ctx)
    old_base = ctx.base.copy()
    outside = ctx.odp
    branches: list[tuple[OdpAction, ...]] = []
    for answer in (1, 0):
        ctx.odp = []
        ctx.exit = False
        fields.write_subfield(ctx.flow, a.dst, answer)
        xlate_actions.run(ctx, rest, True)
        xlate_output.end_pipeline(ctx)
        branches.append(tuple(ctx.odp))
        ctx.base.assign(old_base)
        saved.restore_flow(ctx)
        saved.restore_knowledge(ctx)
    saved.restore_pipeline(ctx)
    ctx.odp = outside
    outside.append(CheckPktLen(a.pkt_len, branches[0], branches[1]))
    return True
