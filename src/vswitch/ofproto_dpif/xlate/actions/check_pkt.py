"""The action `check_pkt_larger`: two ways on, one for packets that are longer and one for the rest.

A flow does not know its packets' lengths. So what follows the action is translated twice, and the
datapath chooses (`check_pkt_len`). A datapath without that has us look at each packet.
ovs-actions(7), "The check_pkt_larger action".
"""

from __future__ import annotations

from typing import Any

from vswitch.dpif.actions import Action as OdpAction
from vswitch.dpif.actions import CheckPktLen
from vswitch.ofproto_dpif.xlate import freeze as xlate_freeze
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
    old_stack = list(ctx.stack)
    old_action_set = list(ctx.action_set)
    old_flow = ctx.flow.copy()
    commit(ctx)
    old_base = ctx.base.copy()
    old_was_mpls = ctx.was_mpls
    old_conntracked = ctx.conntracked
    outside = ctx.odp
    branches: list[tuple[OdpAction, ...]] = []
    for answer in (1, 0):
        ctx.odp = []
        ctx.exit = False
        fields.write_subfield(ctx.flow, a.dst, answer)
        xlate_actions.run(ctx, rest, True)
        if not ctx.freezing:
            xlate_output.run_action_set(ctx)
        if ctx.freezing:
            xlate_freeze.finish(ctx)
        branches.append(tuple(ctx.odp))
        ctx.base.assign(old_base)
        ctx.flow.assign(old_flow)
        ctx.was_mpls = old_was_mpls
        ctx.conntracked = old_conntracked
    ctx.stack = old_stack
    ctx.action_set = old_action_set
    ctx.odp = outside
    outside.append(CheckPktLen(a.pkt_len, branches[0], branches[1]))
    return True
