"""Input of NORMAL: where the packet came from, whether it may come in, and what is learned from it."""

from __future__ import annotations

from typing import Final

from vswitch.flow.layout import (
    S_NW_PROTO,
    VLAN_CFI,
    W_ETH_DST,
    W_ETH_TYPE,
    W_IN_PORT,
    W_NW_PROTO,
    W_NW_SRC,
    W_VLAN_TCI,
)
from vswitch.flow.values import format_mac
from vswitch.flow.vlan import is_vlan
from vswitch.ofproto_dpif.xlate.bonds import bond_admits
from vswitch.ofproto_dpif.xlate.bridge import OFPP_NONE_BUNDLE, XBundle
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report, report_error
from vswitch.ofproto_dpif.xlate.effects import LearnMac
from vswitch.ofproto_dpif.xlate.reserved import is_reserved
from vswitch.ofproto_dpif.xlate.trace import OFT_DETAIL, OFT_WARN
from vswitch.ofproto_dpif.xlate.vlan import Xvlan, extract, input_translate, look_at_tags, vid_is_valid
from vswitch.openflow.constants import OFPP_CONTROLLER, OFPP_NONE
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
)

BROADCAST: Final = 0xFFFFFFFFFFFF


def input_bundle(ctx: Ctx, in_port: int) -> XBundle | None:
    """The bundle of the port where the packet came in."""
    port = ctx.bridge.ports.get(in_port)
    if port is not None and port.bundle is not None:
        return port.bundle
    if in_port in (OFPP_CONTROLLER, OFPP_NONE):
        return OFPP_NONE_BUNDLE
    report_error(ctx, f"received packet on unknown port {in_port}")
    return None


def admitted(ctx: Ctx, came_from: XBundle) -> Xvlan | None:
    """The VLANs that the packet has inside the switch; None: it may not come in at `came_from`, and the
    trace and the log say why."""
    words = ctx.flow.words
    tracing = ctx.trace is not None
    tci = words[W_VLAN_TCI] & 0xFFFF
    if is_vlan(words[W_ETH_TYPE] & 0xFFFF) and tci & VLAN_CFI == 0:
        if ctx.xin.packet is not None:
            report_error(ctx, f"dropping packet with partial VLAN tag received on port {came_from.name}")
        if tracing:
            report(ctx, OFT_WARN, "partial VLAN tag, dropping")
        return None
    if came_from.mirror_out != 0:
        if ctx.xin.packet is not None:
            report_error(ctx, f"dropping packet received on port {came_from.name}, "
                              "which is reserved exclusively for mirroring")
        if tracing:
            report(ctx, OFT_WARN, "input port is mirror output port, dropping")
        return None
    look_at_tags(ctx)
    own = extract(ctx)
    if not vid_is_valid(ctx, own.vid, came_from):
        if tracing:
            report(ctx, OFT_WARN, "disallowed VLAN VID for this input port, dropping")
        return None
    if came_from is not OFPP_NONE_BUNDLE:
        if not ctx.bridge.forward_bpdu and is_reserved(ctx.flow.dl_dst):
            if tracing:
                report(ctx, OFT_DETAIL, "packet has reserved destination MAC, dropping")
            return None
    xvlan = input_translate(came_from, own)
    bond = came_from.bond
    if bond is not None:
        in_port = int(words[W_IN_PORT] & 0xFFFF)
        if not bond_admits(ctx, came_from, bond, in_port, int(xvlan.vid), _is_gratuitous_arp):
            return None
    return xvlan


def learn(ctx: Ctx, came_from: XBundle, vlan: int) -> bool:
    """Learn the packet's source; whether it is its destination, too, so that by the time that anybody
    looks, it will have been learned where the packet came from."""
    gratuitous = _is_gratuitous_arp(ctx)
    if came_from is OFPP_NONE_BUNDLE or ctx.flow.packet_type != 0:
        return False
    src = ctx.flow.dl_src
    if src & (1 << 40) != 0:
        return False
    ctx.effects.append(LearnMac(ctx.bridge, src, vlan, came_from, gratuitous, ctx.trace is not None))
    if not ctx.xin.side_effects:
        return False
    if ctx.trace is not None:
        _report_learned(ctx, src, vlan, came_from)
    return src == ctx.flow.dl_dst


def _is_gratuitous_arp(ctx: Ctx) -> bool:
    """An ARP reply to all, or a request for the sender's own address."""
    words = ctx.flow.words
    if words[W_ETH_TYPE] & 0xFFFF != ETH_TYPE_ARP:
        return False
    wc = ctx.wc.words
    wc[W_ETH_DST] |= -1 << 16
    if ctx.flow.dl_dst != BROADCAST:
        return False
    wc[W_NW_PROTO] |= 0xFF << S_NW_PROTO
    op = (words[W_NW_PROTO] >> S_NW_PROTO) & 0xFF
    if op == 2:
        return True
    if op != 1:
        return False
    wc[W_NW_SRC] = -1
    pair = words[W_NW_SRC]
    return (pair >> 32) & 0xFFFFFFFF == pair & 0xFFFFFFFF


def _report_learned(ctx: Ctx, mac: int, vlan: int, bundle: XBundle) -> None:
    """Say so in the trace, unless it is known, perhaps since an earlier NORMAL of this translation."""
    known = ctx.bridge.mac_learning.lookup(mac, vlan)
    where = None if known is None else known.port
    for effect in ctx.effects[:-1]:
        if isinstance(effect, LearnMac) and effect.bridge is ctx.bridge:
            if (effect.mac, effect.vlan) == (mac, vlan):
                where = effect.bundle
    if where is not bundle:
        report(ctx, OFT_DETAIL, f"learned that {format_mac(mac)} is on port {bundle.name} in VLAN {vlan}")
