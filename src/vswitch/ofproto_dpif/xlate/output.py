"""Output to one port: prerequisites, patch ports, what must be committed before."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.dpif.actions import Hash, LbOutput, Recirc, TnlPop, Trunc, output_to
from vswitch.dpif.types import ODPP_NONE
from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    S_ACTSET_OUTPUT,
    S_NW_TOS,
    W_ACTSET_OUTPUT,
    W_IN_PORT,
    W_METADATA,
    W_NW_TOS,
    W_PACKET_TYPE,
    W_SKB_PRIORITY,
)
from vswitch.l2.bond import Bond
from vswitch.netdev.tunnel_options import LEGACY_L2, TunnelConfig
from vswitch.ofproto_dpif.xlate import freeze as xlate_freeze
from vswitch.ofproto_dpif.xlate import mirrors as xlate_mirrors
from vswitch.ofproto_dpif.xlate import sampling as xlate_sampling
from vswitch.ofproto_dpif.xlate import special
from vswitch.ofproto_dpif.xlate import tables as xlate_tables
from vswitch.ofproto_dpif.xlate import tunnel as xlate_tunnel
from vswitch.ofproto_dpif.xlate.actions import dispatch as xlate_actions
from vswitch.ofproto_dpif.xlate.actions.action_set import ordered_action_set
from vswitch.ofproto_dpif.xlate.bridge import XBundle, XPort
from vswitch.ofproto_dpif.xlate.commit import commit
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report
from vswitch.ofproto_dpif.xlate.effects import CreditPort
from vswitch.ofproto_dpif.xlate.trace import OFT_BRIDGE, OFT_DETAIL, OFT_TABLE, OFT_WARN
from vswitch.ofproto_dpif.xlate.types import NF_OUT_DROP, NF_OUT_FLOOD, NF_OUT_MULTI, SLOW_ACTION, XLATE_OK
from vswitch.openflow.constants import (
    OFPP_UNSET,
    OFPPC_NO_FLOOD,
    OFPPC_NO_FWD,
    OFPPC_NO_RECV,
    OFPPC_NO_RECV_STP,
)

HASH_L4: Final = 0
"""The datapath's own hash of addresses and ports."""


def may_receive(ctx: Ctx, port: XPort) -> bool:
    """Whether the port's OpenFlow configuration and the spanning tree let the packet in."""
    if not port.forwards and not port.learns:
        return False
    config = port.config
    if config & (OFPPC_NO_RECV | OFPPC_NO_RECV_STP) == 0:
        return True
    return config & (OFPPC_NO_RECV_STP if special.is_bpdu(ctx.flow) else OFPPC_NO_RECV) == 0


def _tree_lets_out(ctx: Ctx, port: XPort) -> bool:
    """Whether the spanning tree that `port` takes part in lets the packet out."""
    if special.is_bpdu(ctx.base):
        if not port.sends_bpdus and ctx.trace is not None:
            why = "not in listening state" if port.tree == "STP" else "not managing BPDU in this state"
            report(ctx, OFT_WARN, f"{port.tree} {why}, skipping bpdu output")
        return port.sends_bpdus
    if not port.forwards and ctx.trace is not None:
        report(ctx, OFT_WARN, f"{port.tree} not in forwarding state, skipping output")
    return port.forwards


def _are_protected(ctx: Ctx, to: XBundle) -> bool:
    """Whether the packet would go from one protected port to another."""
    if not to.protected:
        return False
    port = ctx.bridge.ports.get(int(ctx.flow.words[W_IN_PORT] & 0xFFFF))
    if port is None:
        return False
    bundle = port.bundle
    return bundle is not None and bundle.protected


def output(ctx: Ctx, ofp_port: int, truncate: int = 0, last: bool = False, bond: Bond | None = None) -> None:
    """Send the packet as it is now to port `ofp_port`; `truncate` bytes of it if not 0. With `bond`
    the datapath is to choose among its members instead."""
    port = ctx.bridge.ports.get(ofp_port)
    if port is None:
        if ctx.trace is not None:
            report(ctx, OFT_WARN, "Nonexistent output port")
        return
    bundle = port.bundle
    if port.config & OFPPC_NO_FWD != 0:
        if ctx.trace is not None:
            report(ctx, OFT_DETAIL, "OFPPC_NO_FWD set, skipping output")
        return
    if port.tree and not _tree_lets_out(ctx, port):
        return
    if ctx.mirror_snaplen != 0 and port.odp_port == ODPP_NONE:
        if ctx.trace is not None:
            report(ctx, OFT_WARN, "Mirror truncate to ODPP_NONE, skipping output")
        return
    if bundle is not None and _are_protected(ctx, bundle):
        if ctx.trace is not None:
            report(ctx, OFT_WARN, "Flow is between protected ports, skipping output.")
        return
    peer = port.peer
    config = port.tunnel
    if peer is None and ctx.flow.words[W_PACKET_TYPE] & 0xFFFFFFFF != 0 and (
        config is None or config.packet_type == LEGACY_L2
    ):
        if ctx.trace is not None:
            report(ctx, OFT_WARN,
                   "Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.")
        return
    if peer is not None:
        _patch_output(ctx, port, peer, last)
        return

    words = ctx.flow.words
    tos_word: i64 = words[W_NW_TOS]
    dscps = port.dscp_of_queue
    if dscps:
        ctx.wc.words[W_SKB_PRIORITY] |= -1 << 32
        dscp = dscps.get(ctx.flow.skb_priority)
        if dscp is not None:
            bits: i64 = dscp
            ctx.wc.words[W_NW_TOS] |= 0xFC << S_NW_TOS
            words[W_NW_TOS] = (tos_word & ~(0xFC << S_NW_TOS)) | (bits << S_NW_TOS)
    odp_port = port.odp_port
    if config is not None:
        _tunnel_output(ctx, port, config, truncate, last)
        odp_port = ODPP_NONE
    splinter: tuple[int, int] | None = None
    if ctx.bridge.realdev_vid_map:
        splinter = _splinter(ctx, ofp_port)
        if splinter is not None:
            odp_port = splinter[0]
    if odp_port != ODPP_NONE:
        if ctx.bridge.ipfix is not None and bond is None:
            xlate_sampling.sample_output(ctx, odp_port)
        if truncate:
            _trunc(ctx, truncate)
        commit(ctx)
        if ctx.mirror_snaplen:
            _trunc(ctx, ctx.mirror_snaplen)
        if bond is None:
            if xlate_tunnel.is_native(ctx) and ctx.bridge.dp.underlay.has_address(port.name):
                listener = xlate_tunnel.terminate(ctx)
                ctx.odp.append(output_to(odp_port) if listener < 0 else TnlPop(listener))
            else:
                ctx.odp.append(output_to(odp_port))
        else:
            if bond.in_datapath:
                ctx.odp.append(LbOutput(bond.recirc_id))
            else:
                ctx.odp.append(Hash(HASH_L4, bond.settings.basis))
                ctx.odp.append(Recirc(bond.recirc_id))
            ctx.bridge.dp.recirc_ids.ref(bond.recirc_id)
            ctx.out.recircs.append(bond.recirc_id)
        ctx.n_outputs += 1
        ctx.last_output = odp_port
        before = ctx.out.nf_output_iface
        ctx.out.nf_output_iface = ofp_port if before in (NF_OUT_DROP, ofp_port) else NF_OUT_MULTI
    if ctx.bridge.has_mirrors and bundle is not None:
        xlate_mirrors.mirror_packet(ctx, bundle, bundle.dst_mirrors)
    if splinter is not None:
        ctx.flow.vlan_tci = splinter[1]
    if dscps:
        words[W_NW_TOS] = tos_word


def _tunnel_output(ctx: Ctx, port: XPort, config: TunnelConfig, truncate: int, last: bool) -> None:
    """Output to a tunnel's port."""
    packet_type: i64 = ctx.flow.words[W_PACKET_TYPE] & 0xFFFFFFFF
    xlate_tunnel.strip_ethernet(ctx, config)
    if truncate:
        _trunc(ctx, truncate)
    if ctx.mirror_snaplen:
        _trunc(ctx, ctx.mirror_snaplen)
    n_outputs = ctx.n_outputs
    if xlate_tunnel.output(ctx, port, config, last):
        ctx.n_outer += ctx.n_outputs - n_outputs
        ctx.n_outputs += 1
        ctx.last_output = port.odp_port
        before = ctx.out.nf_output_iface
        same = before in (NF_OUT_DROP, port.ofp_port)
        ctx.out.nf_output_iface = port.ofp_port if same else NF_OUT_MULTI
    ctx.flow.words[W_PACKET_TYPE] = (ctx.flow.words[W_PACKET_TYPE] & ~0xFFFFFFFF) | packet_type


def _trunc(ctx: Ctx, max_len: int) -> None:
    ctx.odp.append(Trunc(max_len))
    if not ctx.support.trunc:
        ctx.out.slow |= SLOW_ACTION


def _splinter(ctx: Ctx, ofp_port: int) -> tuple[int, int] | None:
    """On a real device with VLAN splinters: the datapath port of the VLAN's device, and the TCI
    that the packet had; the tag goes away, for that device adds it."""
    flow = ctx.flow
    tci = flow.vlan_tci
    if not tci & 0x1000:
        return None
    vlandev = ctx.bridge.realdev_vid_map.get((ofp_port, tci & 0xFFF))
    if vlandev is None:
        return None
    device = ctx.bridge.ports.get(vlandev)
    if device is None:
        return None
    ctx.wc.vlan_tci = 0xFFFF
    flow.vlan_tci = 0
    return device.odp_port, tci


def _patch_output(ctx: Ctx, port: XPort, peer: XPort, last: bool) -> None:
    """Go on in the bridge at the other end of a patch port, and come back as if nothing had happened."""
    ctx.effects.append(CreditPort(port, True))
    ctx.effects.append(CreditPort(peer, False))
    go_on_in(ctx, peer, last)


def go_on_in(ctx: Ctx, peer: XPort, last: bool) -> None:
    """Go on in another bridge as a packet that came in at its port `peer`, and come back."""
    there = peer.bridge
    here = ctx.bridge
    trace = ctx.trace
    outer = None
    if trace is not None:
        outer = trace.enter(OFT_BRIDGE, f'bridge("{there.name}")')
    saved = ctx.saved()
    old_mirrors = ctx.mirrors
    old_rule = ctx.rule
    old_table = ctx.table_id
    ctx.stack = []
    ctx.action_set = []
    if there is not here:
        ctx.mirrors = 0
    ctx.bridge = there
    words = ctx.flow.words
    i: i64 = 0
    while i <= W_METADATA:
        words[i] = 0
        i += 1
    clear_conntrack(ctx, ctx.flow)
    words[W_ACTSET_OUTPUT] = (words[W_ACTSET_OUTPUT] & ~0xFFFF) | (OFPP_UNSET << S_ACTSET_OUTPUT)
    in_port: i64 = peer.ofp_port
    words[W_IN_PORT] = (words[W_IN_PORT] & ~0xFFFFFFFF) | in_port
    if (peer.listens == 0 or not special.claim(ctx, peer)) and may_receive(ctx, peer):
        before = len(ctx.odp)
        n_told = len(ctx.out.told)
        xlate_tables.table_action(ctx, in_port, 0, True, last, True)
        if not peer.forwards:
            cancel_forwarding(ctx, before, n_told)
        end_pipeline(ctx)
    if trace is not None and outer is not None:
        trace.leave(outer)
    saved.restore_flow(ctx)
    saved.restore_headers(ctx)
    saved.restore_pipeline(ctx)
    saved.restore_knowledge(ctx)
    ctx.bridge = here
    if there is not here:
        ctx.mirrors = old_mirrors
    ctx.rule = old_rule
    ctx.table_id = old_table
    ctx.exit = False
    ctx.error = XLATE_OK


def cancel_forwarding(ctx: Ctx, n_actions: int, n_told: int) -> None:
    """The packet came in at a port that only learns: NORMAL and the learn action have seen it, and of
    what they would do with it only the first `n_actions` actions stay, and `n_told` for controllers."""
    del ctx.odp[n_actions:]
    del ctx.out.told[n_told:]
    ctx.freezing = False
    ctx.action_set = []


def clear_conntrack(ctx: Ctx, flow: Flow) -> None:
    """Forget what connection tracking said of the packet."""
    ctx.conntracked = False
    xlate_freeze.forget_conntrack(flow)


def flood(ctx: Ctx, all_ports: bool) -> None:
    """Output to every port but the one where the packet came in; without `all_ports` not to those
    that are configured not to flood."""
    came_in: int = ctx.flow.words[W_IN_PORT] & 0xFFFF
    for port in list(ctx.bridge.ports.values()):
        if port.ofp_port == came_in:
            continue
        if all_ports or port.config & OFPPC_NO_FLOOD == 0:
            output(ctx, port.ofp_port)
    ctx.out.nf_output_iface = NF_OUT_FLOOD


def end_pipeline(ctx: Ctx) -> None:
    """The actions are done: execute the action set, unless what is left waits for the packet to come
    back; then compose that."""
    if not ctx.freezing:
        run_action_set(ctx)
    if ctx.freezing:
        xlate_freeze.finish(ctx)


def run_action_set(ctx: Ctx) -> None:
    """Execute the action set at the end of the pipeline, and empty it."""
    if not ctx.action_set:
        return
    actions = ordered_action_set(ctx.action_set)
    ctx.action_set = []
    if not actions:
        return
    ctx.in_action_set = True
    trace = ctx.trace
    outer = trace.enter(OFT_TABLE, "--. Executing action set:") if trace is not None else None
    xlate_actions.run(ctx, actions, True)
    if trace is not None and outer is not None:
        trace.leave(outer)
    ctx.in_action_set = False
