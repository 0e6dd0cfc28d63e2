"""The actions `bundle` and `bundle_load`: one of several ports, by liveness and by a hash.

That a translation depends on which ports are live is an effect (`DependsOnLiveness`), so that only
then a port that goes up or down revalidates.
"""

from __future__ import annotations

from vswitch.flow.hash import hash_2words
from vswitch.flow.hash_fields import hash_fields, mask_hash_fields
from vswitch.ofproto_dpif.xlate.ctx import Ctx
from vswitch.ofproto_dpif.xlate.effects import DependsOnLiveness
from vswitch.openflow import actions as of
from vswitch.openflow.constants import (
    OFPP_ALL,
    OFPP_FLOOD,
    OFPP_IN_PORT,
    OFPP_LOCAL,
    OFPP_NONE,
    OFPP_NORMAL,
    OFPP_TABLE,
)


def choose_member(ctx: Ctx, a: of.Bundle) -> int:
    """The OpenFlow port that bundle action `a` chooses for the packet; OFPP_NONE if no member is live.

    The algorithms of ovs-actions(7), "The bundle and bundle_load actions". Only "hrw" looks at
    the packet.
    """
    ctx.effects.append(DependsOnLiveness(ctx.bridge))
    if a.algorithm == "active_backup":
        for port in a.members:
            if _is_live(ctx, port):
                return port
        return OFPP_NONE
    of_packet = 0
    if len(a.members) > 1:
        mask_hash_fields(ctx.flow, ctx.wc, a.fields)
        of_packet = hash_fields(ctx.flow, a.fields, a.basis)
    best = OFPP_NONE
    best_weight = -1
    for i, port in enumerate(a.members):
        weight = hash_2words(i, of_packet)
        if weight > best_weight and _is_live(ctx, port):
            best = port
            best_weight = weight
    return best


def _is_live(ctx: Ctx, ofp_port: int) -> bool:
    """Reserved ports that packets can be output to always are, others while their link is up."""
    if ofp_port in (OFPP_IN_PORT, OFPP_TABLE, OFPP_NORMAL, OFPP_FLOOD, OFPP_ALL, OFPP_LOCAL):
        return True
    port = ctx.bridge.ports.get(ofp_port)
    return port is not None and port.may_enable
