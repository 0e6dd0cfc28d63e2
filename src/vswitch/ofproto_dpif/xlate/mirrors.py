"""Mirrors: copies of what comes in at a bundle or goes out of one."""

from __future__ import annotations

from vswitch.flow.layout import VLAN_CFI, W_IN_PORT, W_VLAN_TCI
from vswitch.ofproto_dpif.xlate.bridge import XBundle
from vswitch.ofproto_dpif.xlate.bundle_output import output_bundle
from vswitch.ofproto_dpif.xlate.ctx import Ctx
from vswitch.ofproto_dpif.xlate.effects import CreditMirrors
from vswitch.ofproto_dpif.xlate.normal_input import input_bundle
from vswitch.ofproto_dpif.xlate.reserved import is_reserved
from vswitch.ofproto_dpif.xlate.vlan import extract, input_translate, vid_is_valid


def mirror_ingress(ctx: Ctx) -> None:
    """Copy a packet that comes in to the mirrors that select its input bundle."""
    if not ctx.bridge.has_mirrors:
        return
    bundle = input_bundle(ctx, ctx.flow.words[W_IN_PORT] & 0xFFFF)
    if bundle is not None:
        mirror_packet(ctx, bundle, bundle.src_mirrors)


def mirror_packet(ctx: Ctx, bundle: XBundle, mirrors: int) -> None:
    """Copy the packet to each of the map `mirrors` that selects its VLAN and what it is, once an output."""
    mirrors &= ~ctx.mirrors
    if mirrors == 0:
        return
    bridge = ctx.bridge
    own = extract(ctx)
    if not vid_is_valid(ctx, own.vid, bundle):
        return
    xvlan = input_translate(bundle, own)
    vid: int = xvlan.vid
    used = 0
    while mirrors:
        rightmost = mirrors & -mirrors
        mirror = bridge.mirrors[rightmost.bit_length() - 1]
        if mirror is None:
            mirrors ^= rightmost
            continue
        if mirror.vlans is not None:
            ctx.wc.words[W_VLAN_TCI] |= VLAN_CFI | 0xFFF
            if vid not in mirror.vlans:
                mirrors ^= rightmost
                continue
        if mirror.filter is not None:
            ctx.wc.or_(mirror.filter.mask)
            if not mirror.filter.matches(ctx.flow):
                mirrors ^= rightmost
                continue
        used |= rightmost
        ctx.mirrors |= mirror.dup_mirrors
        ctx.mirror_snaplen = mirror.snaplen
        if mirror.out is not None:
            output_bundle(ctx, mirror.out, xvlan)
        elif vid != mirror.out_vlan and not is_reserved(ctx.flow.dl_dst):
            spanned = xvlan.copy()
            spanned.vid = mirror.out_vlan
            for to in list(bridge.bundles.values()):
                if to.includes_vlan(mirror.out_vlan, int(spanned.vid1)) and to.mirror_out == 0:
                    output_bundle(ctx, to, spanned)
        mirrors &= ~ctx.mirrors
        ctx.mirror_snaplen = 0
    ctx.out.mirrors |= used
    if used:
        ctx.effects.append(CreditMirrors(bridge, used))
