"""Sampling in translation: the datapath actions that send packets to sFlow and to IPFIX of a bridge."""

from __future__ import annotations

from typing import Final

from vswitch.dpif.actions import Action as OdpAction
from vswitch.dpif.actions import Sample, Userspace
from vswitch.dpif.cookie import SflowCookie
from vswitch.flow.layout import W_IN_PORT
from vswitch.monitor.sflow import OUT_DROPPED, OUT_MULTIPLE
from vswitch.ofproto_dpif.xlate.ctx import Ctx
from vswitch.ofproto_dpif.xlate.meter import to_slow_path
from vswitch.ofproto_dpif.xlate.userspace import to_userspace
from vswitch.openflow.constants import OFPP_NONE

ALWAYS: Final = 0xFFFFFFFF
"""The datapath's probability of 1."""


def sampled(ctx: Ctx, probability: int, up: Userspace) -> OdpAction:
    """`up` for the share `probability` of the packets, behind the slow path's meter if there is one."""
    action = to_slow_path(ctx.bridge, up)
    return action if probability == ALWAYS else Sample(probability, (action,))


def sample_input(ctx: Ctx) -> None:
    """The packet came in: sFlow may sample it. What its sample says is known only at the end."""
    sflow = ctx.bridge.sflow
    if sflow is not None and ctx.flow.words[W_IN_PORT] & 0xFFFF != OFPP_NONE & 0xFFFF:
        ctx.sflow_at = len(ctx.odp)
        ctx.odp.append(_to_sflow(ctx, 0, 0))


def finish_sflow(ctx: Ctx) -> None:
    """All outputs are known: complete the cookie of `sample_input`."""
    if ctx.sflow_at >= len(ctx.odp):
        return
    n_outputs = ctx.n_outputs - ctx.n_outer
    output = 0
    if n_outputs == 0:
        output = OUT_DROPPED
    elif n_outputs == 1:
        output = _ifindex_of(ctx)
    ctx.odp[ctx.sflow_at] = _to_sflow(ctx, ctx.base.vlan_tci, output or OUT_MULTIPLE | n_outputs)


def _ifindex_of(ctx: Ctx) -> int:
    sflow = ctx.xin.bridge.sflow
    return 0 if sflow is None else sflow.ifindexes.get(ctx.last_output, 0)


def _to_sflow(ctx: Ctx, tci: int, output: int) -> OdpAction:
    bridge = ctx.xin.bridge
    sflow = bridge.sflow
    up = to_userspace(ctx, SflowCookie(tci, output, bridge.uuid).pack(), include_actions=True)
    return sampled(ctx, ALWAYS if sflow is None else sflow.probability, up)
