"""Sampling in translation: the datapath actions that send packets to sFlow and to IPFIX of a bridge."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, final

from vswitch.dpif.actions import Action as OdpAction
from vswitch.dpif.actions import Clone, Psample, Sample, Userspace
from vswitch.dpif.cookie import FlowSampleCookie, IpfixCookie, SflowCookie, decode
from vswitch.dpif.types import ODPP_NONE
from vswitch.flow.layout import W_IN_PORT
from vswitch.monitor.local_sample import LocalSample
from vswitch.monitor.sflow import OUT_DROPPED, OUT_MULTIPLE
from vswitch.ofproto_dpif.xlate.commit import commit
from vswitch.ofproto_dpif.xlate.ctx import Ctx
from vswitch.ofproto_dpif.xlate.effects import CreditedEffect
from vswitch.ofproto_dpif.xlate.meter import to_slow_path
from vswitch.ofproto_dpif.xlate.userspace import to_userspace
from vswitch.openflow.constants import OFPP_NONE

ALWAYS: Final = 0xFFFFFFFF
"""The datapath's probability of 1."""


@final
class CountLocalSample(CreditedEffect):
    """Count the packet as one that met an action which samples to `sample`."""

    def __init__(self, sample: LocalSample) -> None:
        self.sample: LocalSample = sample

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        self.sample.packets += n_packets
        self.sample.bytes += n_bytes

    def same(self, other: CreditedEffect) -> bool:
        return isinstance(other, CountLocalSample) and self.sample is other.sample

    def __repr__(self) -> str:
        return f"CountLocalSample({self.sample.group})"


def sampled(ctx: Ctx, probability: int, up: Userspace) -> OdpAction:
    """`up` for the share `probability` of the packets, behind the slow path's meter if there is one."""
    action = to_slow_path(ctx.bridge, up)
    return action if probability == ALWAYS else Sample(probability, (action,))


def sample_locally(ctx: Ctx, probability: int, local: Psample, up: Userspace | None) -> None:
    """The same packets to the kernel's psample and, if there is an exporter, to `up`."""
    actions: tuple[OdpAction, ...] = (local,) if up is None else (local, to_slow_path(ctx.bridge, up))
    if probability == ALWAYS:
        ctx.odp += actions
    else:
        ctx.odp.append(Sample(probability, actions))


def sample_input(ctx: Ctx) -> None:
    """The packet came in: sFlow and IPFIX may sample it. What sFlow's sample says is known at the end."""
    if ctx.flow.words[W_IN_PORT] & 0xFFFF == OFPP_NONE & 0xFFFF:
        return
    bridge = ctx.bridge
    if bridge.sflow is not None and bridge.sflow.probability:
        ctx.sflow_at = len(ctx.odp)
        ctx.odp.append(_to_sflow(ctx, 0, 0))
    ipfix = bridge.ipfix
    if ipfix is not None and ipfix.probability and ipfix.input:
        up = to_userspace(ctx, IpfixCookie(ODPP_NONE, bridge.uuid).pack())
        ctx.odp.append(sampled(ctx, ipfix.probability, up))


def sample_output(ctx: Ctx, odp_port: int, is_tunnel: bool = False) -> None:
    """The packet goes out of `odp_port`: IPFIX may sample it as it is then."""
    ipfix = ctx.bridge.ipfix
    if ipfix is None or not ipfix.probability or not ipfix.output:
        return
    commit(ctx)
    tunnel_port = odp_port if is_tunnel and ipfix.tunnels else None
    up = to_userspace(ctx, IpfixCookie(odp_port, ctx.bridge.uuid).pack(), tunnel_port)
    ctx.odp.append(sampled(ctx, ipfix.probability, up))


def mark_dropped(actions: list[OdpAction]) -> None:
    """The packets that `actions` sample for IPFIX go nowhere: their cookies say so."""
    for i, action in enumerate(actions):
        if isinstance(action, Userspace):
            cookie = decode(action.userdata)
            if isinstance(cookie, IpfixCookie | FlowSampleCookie):
                actions[i] = replace(action, userdata=replace(cookie, dropped=True).pack())
        elif isinstance(action, (Sample, Clone)):
            inside = list(action.actions)
            mark_dropped(inside)
            actions[i] = replace(action, actions=tuple(inside))


def drops_explicitly(ctx: Ctx) -> bool:
    """Whether the packet is sampled, goes nowhere, and is to be dropped by an action that says so
    (ovs-vswitchd.conf.db(5) of later versions, explicit-sampled-drops)."""
    if not ctx.bridge.dp.explicit_sampled_drops or not ctx.support.explicit_drop_action:
        return False
    return ctx.n_outputs == 0 and not ctx.freezing and _samples(ctx.odp[-1])


def _samples(action: OdpAction) -> bool:
    if isinstance(action, (Sample, Clone)):
        return bool(action.actions) and _samples(action.actions[-1])
    if isinstance(action, Psample):
        return True
    return isinstance(action, Userspace) and isinstance(
        decode(action.userdata), SflowCookie | IpfixCookie | FlowSampleCookie
    )


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
