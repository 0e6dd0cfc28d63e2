"""NORMAL: a learning switch with VLANs.

Input (`normal_input.py`: may the packet come in, what is learned from it), destination (here), and
output (`bundle_output.py`: which port of a bundle, with which tags).
"""

from __future__ import annotations

from vswitch.flow.layout import VLAN_CFI, W_ETH_DST, W_ETH_SRC, W_IN_PORT, W_VLAN_TCI
from vswitch.ofproto_dpif.xlate import mcast
from vswitch.ofproto_dpif.xlate.bridge import XBundle
from vswitch.ofproto_dpif.xlate.bundle_output import output_bundle
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report
from vswitch.ofproto_dpif.xlate.normal_input import admitted, input_bundle, learn
from vswitch.ofproto_dpif.xlate.trace import OFT_DETAIL, OFT_WARN
from vswitch.ofproto_dpif.xlate.types import NF_OUT_FLOOD
from vswitch.ofproto_dpif.xlate.vlan import Xvlan


def normal(ctx: Ctx) -> None:
    """The NORMAL action."""
    words = ctx.flow.words
    wc = ctx.wc.words
    wc[W_ETH_SRC] |= -1 << 16
    wc[W_ETH_DST] |= -1 << 16
    wc[W_VLAN_TCI] |= VLAN_CFI | 0xFFF
    came_from = input_bundle(ctx, int(words[W_IN_PORT] & 0xFFFF))
    if came_from is None:
        if ctx.trace is not None:
            report(ctx, OFT_WARN, "no input bundle, dropping")
        return
    xvlan = admitted(ctx, came_from)
    if xvlan is None:
        return
    to_itself = learn(ctx, came_from, int(xvlan.vid))
    if ctx.bridge.mcast_snooping is not None and mcast.forward(ctx, came_from, xvlan, _flood):
        return
    _to_destination(ctx, came_from, xvlan, to_itself)


def _to_destination(ctx: Ctx, came_from: XBundle, xvlan: Xvlan, to_itself: bool) -> None:
    """Where the destination was learned, or to all."""
    tracing = ctx.trace is not None
    mac_learning = ctx.bridge.mac_learning
    dst = ctx.flow.dl_dst
    vlan: int = xvlan.vid
    found = mac_learning.lookup(dst, vlan)
    if to_itself:
        ctx.out.tags |= mac_learning.lookup_tag(dst, vlan)
        if tracing:
            report(ctx, OFT_DETAIL, "learned port is input port, dropping")
        return
    if found is None:
        ctx.out.tags |= mac_learning.lookup_tag(dst, vlan)
        if tracing:
            report(ctx, OFT_DETAIL, "no learned MAC for destination, flooding")
        _flood(ctx, came_from, xvlan)
        return
    ctx.out.tags |= found.tag
    to = found.port
    if not isinstance(to, XBundle):
        if tracing:
            report(ctx, OFT_WARN, "learned port is unknown, dropping")
    elif to is came_from:
        if tracing:
            report(ctx, OFT_DETAIL, "learned port is input port, dropping")
    elif to.mirror_out != 0:
        if tracing:
            report(ctx, OFT_WARN, "learned port is a mirror port, dropping")
    else:
        if tracing:
            report(ctx, OFT_DETAIL, "forwarding to learned port")
        output_bundle(ctx, to, xvlan)


def _flood(ctx: Ctx, came_from: XBundle, xvlan: Xvlan) -> None:
    """To every bundle in the packet's VLAN but the one that it came from."""
    vid: int = xvlan.vid
    cvid: int = xvlan.vid1
    for bundle in list(ctx.bridge.bundles.values()):
        if (
            bundle is not came_from
            and bundle.floodable
            and bundle.mirror_out == 0
            and bundle.includes_vlan(vid, cvid)
        ):
            output_bundle(ctx, bundle, xvlan)
    ctx.out.nf_output_iface = NF_OUT_FLOOD
