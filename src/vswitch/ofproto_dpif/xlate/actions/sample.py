"""The `sample` action: some packets go to flow-based IPFIX (ovs-actions(7)), and to the kernel's psample."""

from __future__ import annotations

import struct

from vswitch.dpif.actions import Psample
from vswitch.dpif.cookie import DIRECTIONS, FlowSampleCookie
from vswitch.dpif.types import ODPP_NONE
from vswitch.ofproto_dpif.xlate.actions.fields import mask_subfield, read_subfield
from vswitch.ofproto_dpif.xlate.commit import commit
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report_error
from vswitch.ofproto_dpif.xlate.sampling import CountLocalSample, sample_locally, sampled
from vswitch.ofproto_dpif.xlate.userspace import to_userspace
from vswitch.openflow import actions as of
from vswitch.openflow.constants import OFPP_NONE


def sample(ctx: Ctx, a: of.Sample, last: bool) -> None:
    """Send the share `a.probability` of the packets up with a cookie that says to whom, or leave them with
    the kernel. Without an exporter or a local group configured on the bridge nothing happens."""
    bridge = ctx.bridge
    there = bridge.local_groups.get(a.collector_set_id) if ctx.support.psample else None
    if bridge.ipfix is None and there is None:
        return
    output_port = ODPP_NONE
    if a.sampling_port not in (OFPP_NONE, ctx.flow.in_port):
        port = bridge.ports.get(a.sampling_port)
        if port is None or port.odp_port == ODPP_NONE:
            report_error(ctx, f"can't use unknown port {a.sampling_port} in flow sample action")
            return
        output_port = port.odp_port
    commit(ctx)
    domain, point = a.obs_domain_id, a.obs_point_id
    if a.obs_domain_src is not None:
        domain = _observer(ctx, a.obs_domain_src)
    if a.obs_point_src is not None:
        point = _observer(ctx, a.obs_point_src)
    # 16 bits of probability spread over 32 give the same share.
    probability = a.probability << 16 | a.probability
    local = None
    if there is not None:
        ctx.effects.append(CountLocalSample(there))
        # Listeners of psample get both numbers in network order.
        local = Psample(there.group, struct.pack("!II", domain & 0xFFFFFFFF, point & 0xFFFFFFFF))
        if bridge.ipfix is None:
            sample_locally(ctx, probability, local, None)
            return
    cookie = FlowSampleCookie(
        probability=a.probability,
        collector_set_id=a.collector_set_id,
        obs_domain_id=domain,
        obs_point_id=point,
        output_port=output_port,
        direction=DIRECTIONS.index(a.direction),
        bridge=bridge.uuid,
    )
    up = to_userspace(ctx, cookie.pack())
    if local is not None:
        sample_locally(ctx, probability, local, up)
    else:
        ctx.odp.append(sampled(ctx, probability, up))


def _observer(ctx: Ctx, source: of.MfSubfield) -> int:
    """The number that a subfield holds, by which flows differ then."""
    mask_subfield(ctx.wc, source)
    return read_subfield(ctx.flow, source)
