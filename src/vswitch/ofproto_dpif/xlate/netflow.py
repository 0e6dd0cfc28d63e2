"""NetFlow in translation: what a flow of its own is, and the effect that counts its packets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from vswitch.flow.layout import (
    S_NW_PROTO,
    S_NW_SRC,
    S_NW_TOS,
    W_ETH_TYPE,
    W_NW_DST,
    W_NW_PROTO,
    W_NW_SRC,
    W_NW_TOS,
    W_TP_SRC,
)
from vswitch.monitor.netflow import FlowKey, NetFlow
from vswitch.ofproto_dpif.xlate.ctx import Ctx
from vswitch.ofproto_dpif.xlate.effects import CreditedEffect
from vswitch.packet.numbers import ETH_TYPE_IP, IPPROTO_ICMP

PORTS: Final = -1 << 32
IP_DSCP_MASK: Final = 0xFC
"""The bits of IPv4's TOS that are no congestion notification (RFC 3168 section 5)."""


@final
class CountNetFlow(CreditedEffect):
    """Count the packet for `netflow`, as one of flow `key` that leaves by `output`."""

    def __init__(self, netflow: NetFlow, key: FlowKey, output: int) -> None:
        self.netflow: NetFlow = netflow
        self.key: FlowKey = key
        self.output: int = output

    def apply(self, n_packets: int, n_bytes: int, now: int, tcp_flags: int) -> None:
        self.netflow.count(self.key, self.output, n_packets, n_bytes, tcp_flags, now)

    def same(self, other: CreditedEffect) -> bool:
        return (
            isinstance(other, CountNetFlow) and self.netflow is other.netflow and self.key == other.key
            and self.output == other.output
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"CountNetFlow({self.key}, {self.output})"


def end_flows(old: Sequence[CreditedEffect], new: Sequence[CreditedEffect] = ()) -> None:
    """The flows that `old` counted and `new` does not have ended."""
    for effect in old:
        if isinstance(effect, CountNetFlow) and not any(effect.same(other) for other in new):
            effect.netflow.end(effect.key)


def look_at_flow(ctx: Ctx) -> None:
    """The megaflow is no wider than a flow of NetFlow's."""
    if ctx.flow.words[W_ETH_TYPE] & 0xFFFF != ETH_TYPE_IP:
        return
    mask = ctx.wc.words
    mask[W_NW_SRC] |= -1 << S_NW_SRC
    mask[W_NW_DST] |= 0xFFFFFFFF
    mask[W_NW_PROTO] |= 0xFF << S_NW_PROTO
    mask[W_NW_TOS] |= IP_DSCP_MASK << S_NW_TOS
    mask[W_TP_SRC] |= PORTS


def count_flow(ctx: Ctx, netflow: NetFlow) -> None:
    """The packet came in, is IPv4, and goes where `nf_output_iface` says by now."""
    flow = ctx.xin.flow
    if flow.dl_type != ETH_TYPE_IP:
        return
    tp_src, tp_dst = flow.tp_src, flow.tp_dst
    if flow.nw_proto == IPPROTO_ICMP:
        tp_src, tp_dst = 0, tp_src << 8 | tp_dst
    key = FlowKey(flow.in_port, flow.nw_src, flow.nw_dst, flow.nw_proto, flow.nw_tos & IP_DSCP_MASK,
                  tp_src, tp_dst)
    ctx.effects.append(CountNetFlow(netflow, key, ctx.out.nf_output_iface))
