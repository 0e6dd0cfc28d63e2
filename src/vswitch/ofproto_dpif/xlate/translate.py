"""`xlate`: from a flow to datapath actions, and to the bits of the flow that they depend on.

Partial evaluation of the OpenFlow tables for one packet: everything known of it is used, every
bit used is noted in the megaflow mask, and what is left is a straight list of datapath actions.
It is pure: nothing is sent, learned or counted here (`xlate/effects.py`).

The parts: `tables.py` looks rules up, `actions/dispatch.py` executes their actions, `normal.py`
is the learning switch, `output.py` one port, `commit.py` the header changes, and
`freeze.py` what is to go on after a recirculation or at a controller. What is for the switch
itself (`special.py`) goes through none of them.
"""

from __future__ import annotations

import sys
from typing import Final

from librt.vecs import vec
from mypy_extensions import i64

from vswitch.dpif.actions import Clone, Drop
from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    CS_TRACKED,
    S_NW_PROTO,
    S_TUN_FLAGS,
    S_TUN_TOS,
    TUN_F_CSUM,
    TUN_F_DF,
    TUN_F_KEY,
    VLAN_CFI,
    W_ACTSET_OUTPUT,
    W_ETH_DST,
    W_ETH_SRC,
    W_ETH_TYPE,
    W_IN_PORT,
    W_METADATA,
    W_MPLS_LSE,
    W_NW_FRAG,
    W_NW_PROTO,
    W_PACKET_TYPE,
    W_RECIRC_ID,
    W_REGS,
    W_REGS_END,
    W_TP_SRC,
    W_TUN_DST,
    W_TUN_FLAGS,
    W_TUN_ID,
    W_TUN_IPV6_DST,
    W_TUN_IPV6_SRC,
    W_TUNNEL,
    W_TUNNEL_END,
    W_VLAN_TCI,
    W_VLAN_TPID,
)
from vswitch.flow.mpls import is_mpls
from vswitch.flow.prereq import is_ip_any
from vswitch.netdev.tunnel_options import LEGACY_L3
from vswitch.ofproto_dpif.xlate import freeze as xlate_freeze
from vswitch.ofproto_dpif.xlate import in_band as xlate_in_band
from vswitch.ofproto_dpif.xlate import mirrors as xlate_mirrors
from vswitch.ofproto_dpif.xlate import netflow as xlate_netflow
from vswitch.ofproto_dpif.xlate import output as xlate_output
from vswitch.ofproto_dpif.xlate import sampling as xlate_sampling
from vswitch.ofproto_dpif.xlate import special
from vswitch.ofproto_dpif.xlate import tables as xlate_tables
from vswitch.ofproto_dpif.xlate import tunnel as xlate_tunnel
from vswitch.ofproto_dpif.xlate.actions import dispatch as xlate_actions
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report_error
from vswitch.ofproto_dpif.xlate.effects import CreditPort, CreditRule
from vswitch.ofproto_dpif.xlate.trace import OFT_BRIDGE, OFT_THAW
from vswitch.ofproto_dpif.xlate.types import (
    MAX_RESUBMITS,
    SLOW_ACTION,
    XLATE_NO_RECIRCULATION_CONTEXT,
    XLATE_OK,
    XlateIn,
    XlateOut,
)
from vswitch.openflow.constants import OFPP_UNSET
from vswitch.packet.numbers import (
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
)

MAX_OUTPUTS: Final = 4096
"""More outputs than this and the flow's packets are forwarded here, one action at a time."""
TUNNEL_FLAGS: Final = (TUN_F_DF | TUN_F_CSUM | TUN_F_KEY) << S_TUN_FLAGS
"""The flags of a tunnel that every megaflow of packets out of it matches on."""
ICMP_BITS: Final = 0x00FF00FFFFFFFFFF
"""ICMP's type and code have 8 bits each where ports have 16."""
_FRAMES_A_RESUBMIT: Final = 8
sys.setrecursionlimit(max(sys.getrecursionlimit(), MAX_RESUBMITS * _FRAMES_A_RESUBMIT))
"""Where this is not compiled, as many nested lookups as are allowed must fit Python's stack."""


def xlate(xin: XlateIn) -> XlateOut:
    """Translate one flow. Never raises for what a packet or a flow table may contain."""
    out = XlateOut((), Flow(), xin.flow.copy())
    ctx = Ctx(xin, out)
    trace = xin.trace
    outer = None
    if trace is not None:
        outer = trace.enter(OFT_BRIDGE, f'bridge("{trace.bridge or ctx.bridge.name}")')
    _start_wildcards(ctx)
    netflow = ctx.bridge.netflow
    if netflow is not None:
        xlate_netflow.look_at_flow(ctx)
    words = out.flow.words
    words[W_ACTSET_OUTPUT] = (words[W_ACTSET_OUTPUT] & ~0xFFFF) | OFPP_UNSET
    frozen = xin.frozen
    ctx.conntracked = out.flow.ct_state & CS_TRACKED != 0
    if frozen is not None:
        _thaw(ctx)
    elif (words[W_RECIRC_ID] >> 32) & 0xFFFFFFFF != 0:
        report_error(ctx, f"Recirculation context not found for ID {out.flow.recirc_id:x}")
        ctx.error = XLATE_NO_RECIRCULATION_CONTEXT
        out.cut_short = True
    if ctx.error == XLATE_OK:
        _run(ctx)
    if ctx.sflow_at >= 0:
        xlate_sampling.finish_sflow(ctx)
    if ctx.bridge.ipfix is not None and ctx.n_outputs == 0 and not ctx.freezing:
        xlate_sampling.mark_dropped(ctx.odp)
    if ctx.error != XLATE_OK:
        ctx.odp.clear()
    elif ctx.n_outputs > MAX_OUTPUTS:
        out.slow |= SLOW_ACTION
    if netflow is not None and frozen is None:
        xlate_netflow.count_flow(ctx, netflow)
    if not out.cut_short:
        _finish_wildcards(ctx)
    if ctx.odp:
        # After the last action nothing is left to be shielded from its changes.
        final = ctx.odp[-1]
        if isinstance(final, Clone):
            ctx.odp[-1:] = final.actions
        if xlate_sampling.drops_explicitly(ctx):
            ctx.odp.append(Drop(ctx.error))
    elif ctx.support.explicit_drop_action and not out.told:
        ctx.odp.append(Drop(ctx.error))
    out.actions = tuple(ctx.odp)
    out.error = ctx.error
    out.mirrors |= ctx.mirrors
    if trace is not None and outer is not None:
        trace.leave(outer)
    return out


def _run(ctx: Ctx) -> None:
    xin = ctx.xin
    flow = ctx.flow
    frozen = xin.frozen
    in_port: i64 = flow.words[W_IN_PORT] & 0xFFFF
    tunneled = frozen is None and _is_tunneled(flow.words)
    wanted = not tunneled or _from_tunnel(ctx, in_port)
    if tunneled and not xlate_tables.is_as_came(flow.words, xin.flow.words, in_port):
        ctx.out.as_came = False  # its congestion mark is the outer packet's, or it was no frame
    if xin.actions is not None:
        actions = xin.actions
        # A trace of a packet-out is told as if a flow had the actions, as in Open vSwitch.
        ctx.in_packet_out = frozen is None and xin.trace is None
    elif frozen is not None and frozen.actions:
        actions = frozen.actions
    else:
        rule = xin.rule
        if rule is None:
            rule = xlate_tables.lookup(ctx, ctx.table_id, in_port, True)
        ctx.rule = rule
        ctx.rule_cookie = rule.cookie
        ctx.out.rule = rule
        ctx.effects.append(CreditRule(rule))
        actions = rule.actions
        xlate_tables.report_table(ctx, rule, ctx.table_id)
    if not wanted:
        return
    port = ctx.bridge.ports.get(int(in_port))
    if port is not None:
        if port.listens != 0 and frozen is None and special.claim(ctx, port):
            return
        bundle = port.bundle
        if bundle is not None and bundle.mirror_out != 0:
            report_error(ctx, f"dropping packet received on port {bundle.name}, "
                              "which is reserved exclusively for mirroring")
            return
    if frozen is None and (ctx.bridge.sflow is not None or ctx.bridge.ipfix is not None):
        xlate_sampling.sample_input(ctx)
    if port is not None and not xlate_output.may_receive(ctx, port):
        return
    if frozen is None:
        xlate_mirrors.mirror_ingress(ctx)
    before = len(ctx.odp)
    xlate_actions.run(ctx, actions, True)
    if ctx.error != XLATE_OK:
        ctx.out.cut_short = True
        return
    if port is not None and not port.forwards:
        xlate_output.cancel_forwarding(ctx, before, 0)
    whole = not ctx.freezing
    xlate_output.end_pipeline(ctx)
    if whole and ctx.bridge.has_in_band:
        xlate_in_band.output_dhcp_reply(ctx)


def _from_tunnel(ctx: Ctx, in_port: i64) -> bool:
    """A packet out of a tunnel begins its way. False: it is dropped."""
    port = ctx.bridge.ports.get(int(in_port))
    tunnel = port.tunnel if port is not None else None
    if tunnel is not None and tunnel.packet_type == LEGACY_L3:
        if ctx.flow.words[W_PACKET_TYPE] & 0xFFFFFFFF != 0:
            # The flow tables see frames only: this one has addresses of zeros.
            ctx.flow.words[W_PACKET_TYPE] &= ~0xFFFFFFFF
            ctx.pending_encap = True
    if not xlate_tunnel.received(ctx):
        ctx.out.warnings.append(
            f"dropping tunnel packet marked ECN CE but is not ECN capable on bridge {ctx.bridge.name}")
        return False
    if port is not None and tunnel is not None:
        ctx.effects.append(CreditPort(port, False))
    return True


def _thaw(ctx: Ctx) -> None:
    """Go back to where the packet's first part of the way ended."""
    frozen = ctx.xin.frozen
    if frozen is None:
        return
    ctx.out.as_came = False
    xlate_freeze.thaw_metadata(frozen.metadata, ctx.flow)
    xlate_freeze.thaw_metadata(frozen.metadata, ctx.base)
    ctx.stack = list(frozen.stack)
    ctx.mirrors = frozen.mirrors
    ctx.conntracked = frozen.conntracked
    ctx.action_set = list(frozen.action_set)
    ctx.table_id = frozen.table_id
    if not frozen.conntracked:
        xlate_output.clear_conntrack(ctx, ctx.flow)
    trace = ctx.trace
    if trace is not None:
        outer = trace.enter(OFT_THAW, "thaw")
        trace.add(OFT_THAW, f"Resuming from table {frozen.table_id}")
        if frozen.action_set:
            shown = xlate_freeze.format_frozen(frozen.action_set, trace.ports)
            trace.add(OFT_THAW, f"Restoring action set: {shown}")
        if frozen.actions:
            shown = xlate_freeze.format_frozen(frozen.actions, trace.ports)
            trace.add(OFT_THAW, f"Restoring actions: {shown}")
        trace.leave(outer)


def _start_wildcards(ctx: Ctx) -> None:
    """What every megaflow matches: packet type, input port, recirculation, Ethernet type, fragments."""
    wc = ctx.wc.words
    words = ctx.flow.words
    wc[W_IN_PORT] |= 0xFFFF
    wc[W_PACKET_TYPE] |= 0xFFFFFFFF
    wc[W_ETH_TYPE] |= 0xFFFF
    packet_type: i64 = words[W_PACKET_TYPE] & 0xFFFFFFFF
    if is_ip_any(packet_type & 0xFFFF if packet_type >> 16 == 1 else words[W_ETH_TYPE] & 0xFFFF):
        wc[W_NW_FRAG] |= 3 << 24
    if ctx.support.recirc:
        wc[W_RECIRC_ID] |= -1 << 32
    if _is_tunneled(words):
        wc[W_TUN_ID] = -1
        if words[W_TUN_DST] & 0xFFFFFFFF != 0:
            wc[W_TUN_DST] = -1  # and the source, in the same word
        else:
            i: i64 = W_TUN_IPV6_SRC
            while i < W_TUN_FLAGS:
                wc[i] = -1
                i += 1
        wc[W_TUN_FLAGS] |= TUNNEL_FLAGS | 0xFF << S_TUN_TOS


def _is_tunneled(words: vec[i64]) -> bool:
    """Whether the packet came out of a tunnel: then it has the tunnel's destination."""
    return words[W_TUN_DST] & 0xFFFFFFFF != 0 or words[W_TUN_IPV6_DST] != 0 or words[W_TUN_IPV6_DST + 1] != 0


def _finish_wildcards(ctx: Ctx) -> None:
    """Drop from the mask what a datapath flow can't match on, and what its fields imply."""
    wc = ctx.wc.words
    flow = ctx.xin.flow.words
    i: i64 = W_REGS
    while i < W_REGS_END:
        wc[i] = 0
        i += 1
    if not _is_tunneled(flow):
        i = 0
        while i < W_REGS:
            wc[i] = 0
            i += 1
        i = W_TUNNEL
        while i < W_TUNNEL_END:
            wc[i] = 0
            i += 1
    if flow[W_PACKET_TYPE] & 0xFFFFFFFF != 0:
        # There is no Ethernet header to look at.
        wc[W_ETH_DST] &= 0xFFFF
        wc[W_ETH_SRC] &= 0xFFFF
    wc[W_METADATA] = 0
    wc[W_ACTSET_OUTPUT] = 0  # and conj_id, in the same word
    if wc[W_VLAN_TCI] & 0xFFFF != 0:
        wc[W_VLAN_TCI] |= VLAN_CFI
    if wc[W_VLAN_TPID] & (0xFFFF << 32) != 0:
        wc[W_VLAN_TPID] |= VLAN_CFI << 32
    if not is_mpls(flow[W_ETH_TYPE] & 0xFFFF):
        wc[W_MPLS_LSE] = 0
        wc[W_MPLS_LSE + 1] = 0
    # As the packet is in the end: a header that was put around it has no ports.
    flow = ctx.flow.words
    if is_ip_any(flow[W_ETH_TYPE] & 0xFFFF):
        proto = (flow[W_NW_PROTO] >> S_NW_PROTO) & 0xFF
        if proto in (IPPROTO_ICMP, IPPROTO_ICMPV6):
            wc[W_TP_SRC] &= ICMP_BITS
        if (flow[W_NW_FRAG] >> 24) & 2 != 0:
            wc[W_TP_SRC] = 0
