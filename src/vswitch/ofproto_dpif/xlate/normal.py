"""NORMAL: a learning switch with VLANs, and the mirrors that copy what it and others forward.

Between input and output a packet's VLANs are an `Xvlan`: the tags that it would have on a
trunk. The input bundle translates the packet's own tags to that (an access port adds its
VLAN, a dot1q-tunnel pushes a tag), the output bundle translates them back.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from vswitch.flow.layout import (
    S_NW_PROTO,
    VLAN_CFI,
    W_ETH_DST,
    W_ETH_SRC,
    W_ETH_TYPE,
    W_IN_PORT,
    W_NW_PROTO,
    W_NW_SRC,
    W_VLAN_TCI,
    W_VLAN_TPID,
)
from vswitch.flow.values import format_mac
from vswitch.ofproto_dpif.xlate import output as xlate_output
from vswitch.ofproto_dpif.xlate.bridge import (
    PRIORITY_TAGS_ALWAYS,
    PRIORITY_TAGS_NEVER,
    VLAN_ACCESS,
    VLAN_DOT1Q_TUNNEL,
    VLAN_NATIVE_TAGGED,
    VLAN_NATIVE_UNTAGGED,
    VLAN_TRUNK,
    XBundle,
    XPort,
)
from vswitch.ofproto_dpif.xlate.ctx import (
    ETH_TYPE_ARP,
    ETH_TYPE_VLAN,
    Ctx,
    is_vlan,
    look_at_tags,
    qtag,
    report,
    report_error,
    set_qtag,
)
from vswitch.ofproto_dpif.xlate.effects import CreditMirrors, LearnMac
from vswitch.ofproto_dpif.xlate.trace import OFT_DETAIL, OFT_WARN
from vswitch.ofproto_dpif.xlate.types import NF_OUT_FLOOD

BROADCAST: Final = 0xFFFFFFFFFFFF
PCP_BITS: Final = 0xE000

OFPP_NONE_BUNDLE: Final = XBundle("OFPP_NONE")
"""Where packets come from that a controller made up without an input port."""

RESERVED_PREFIX: Final = 0x0180C200000
"""01:80:c2:00:00:0x without its last digit."""
CISCO_CFM_PREFIX: Final = 0x01000CCCCCC
RESERVED: Final = frozenset((0x00E02B000000, 0x00E02B000004, 0x00E02B000006, 0x01000C000000,
                             0x01000CCCCCCC, 0x01000CCCCCCD, 0x01000CCDCDCD))
"""Other protocols between neighbours (ovs-vswitchd.conf.db(5), forward-bpdu)."""


def is_reserved(mac: int) -> bool:
    """Whether `mac` is for the neighbour only, and no switch forwards it."""
    return mac >> 4 == RESERVED_PREFIX or mac >> 4 == CISCO_CFM_PREFIX or mac in RESERVED


@final
class Xvlan:
    """Two tags, the outer one first: TPIDs, VLAN IDs, and priorities in their place in the TCI."""

    def __init__(self, tpid: i64, vid: i64, pcp: i64, tpid1: i64, vid1: i64, pcp1: i64) -> None:
        self.tpid: i64 = tpid
        self.vid: i64 = vid
        self.pcp: i64 = pcp
        self.tpid1: i64 = tpid1
        self.vid1: i64 = vid1
        self.pcp1: i64 = pcp1

    def copy(self) -> Xvlan:
        """Another one like this."""
        return Xvlan(self.tpid, self.vid, self.pcp, self.tpid1, self.vid1, self.pcp1)

    def pop(self) -> None:
        """Remove the outer tag."""
        self.tpid = self.tpid1
        self.vid = self.vid1
        self.pcp = self.pcp1
        self.tpid1 = 0
        self.vid1 = 0
        self.pcp1 = 0


def _extract(ctx: Ctx) -> Xvlan:
    """The packet's own tags."""
    outer = qtag(ctx.flow, 0)
    if not is_vlan(outer >> 16) or outer & VLAN_CFI == 0:
        return Xvlan(0, 0, 0, 0, 0, 0)
    inner = qtag(ctx.flow, 1)
    if not is_vlan(inner >> 16) or inner & VLAN_CFI == 0:
        inner = 0
    return Xvlan(outer >> 16, outer & 0xFFF, outer & PCP_BITS, inner >> 16, inner & 0xFFF, inner & PCP_BITS)


def _vid_is_valid(ctx: Ctx, vid: i64, bundle: XBundle) -> bool:
    """Whether a packet whose outer VLAN ID is `vid` (0: none) may come in at `bundle`."""
    if bundle is OFPP_NONE_BUNDLE:
        return True
    mode = bundle.vlan_mode
    if mode == VLAN_ACCESS:
        if vid != 0:
            report_error(ctx, f"dropping VLAN {vid} tagged packet received on port {bundle.name} "
                              f"configured as VLAN {bundle.vlan} access port")
            return False
        return True
    if mode == VLAN_DOT1Q_TUNNEL:
        if not bundle.allows_cvlan(int(vid)):
            report_error(ctx, f"dropping VLAN {vid} packet received on dot1q-tunnel port "
                              f"{bundle.name} that excludes this VLAN")
            return False
        return True
    if vid == 0 and mode != VLAN_TRUNK:
        return True
    if not bundle.trunks_vlan(int(vid)):
        report_error(ctx, f"dropping VLAN {vid} packet received on port {bundle.name} "
                          f"not configured for trunking VLAN {vid}")
        return False
    return True


def _input_translate(bundle: XBundle, own: Xvlan) -> Xvlan:
    """From the packet's own tags to those that it has inside the switch."""
    mode = bundle.vlan_mode
    tpid: i64 = own.tpid if own.tpid != 0 else ETH_TYPE_VLAN
    vlan: i64 = bundle.vlan
    if mode == VLAN_ACCESS:
        return Xvlan(tpid, vlan, own.pcp, 0, 0, 0)
    if mode == VLAN_DOT1Q_TUNNEL:
        return Xvlan(bundle.qinq_ethtype, vlan, 0, own.tpid, own.vid, own.pcp)
    if mode != VLAN_TRUNK and own.vid == 0:
        return Xvlan(tpid, vlan, own.pcp, own.tpid1, own.vid1, own.pcp1)
    return own


def _output_translate(bundle: XBundle, xvlan: Xvlan) -> Xvlan:
    """From the tags inside the switch to those that the packet leaves with."""
    mode = bundle.vlan_mode
    if mode in (VLAN_TRUNK, VLAN_NATIVE_TAGGED):
        return xvlan.copy()
    if mode == VLAN_ACCESS:
        return Xvlan(0, 0, 0, 0, 0, 0)
    out = xvlan.copy()
    if mode == VLAN_DOT1Q_TUNNEL:
        out.pop()
    elif mode == VLAN_NATIVE_UNTAGGED and xvlan.vid == bundle.vlan:
        out.tpid = 0
        out.vid = 0
        out.pcp = 0
    return out


def _put(ctx: Ctx, out: Xvlan, priority_tags: int) -> None:
    """Give the packet the tags `out`; a tag of VLAN 0 only as `priority_tags` says."""
    flow = ctx.flow
    if priority_tags != PRIORITY_TAGS_NEVER:
        out.pcp = flow.words[W_VLAN_TCI] & PCP_BITS
    always = priority_tags == PRIORITY_TAGS_ALWAYS
    set_qtag(flow, 0, _tag(out.tpid, out.vid | out.pcp, always))
    set_qtag(flow, 1, _tag(out.tpid1, out.vid1 | out.pcp1, always))


def _tag(tpid: i64, tci: i64, always: bool) -> i64:
    """A tag; none for VLAN 0 and priority 0, unless there was one and `always` says to keep it."""
    if tci == 0 and not (always and tpid != 0):
        return 0
    return ((tpid if tpid != 0 else ETH_TYPE_VLAN) << 16) | tci | VLAN_CFI


def choose_port(ctx: Ctx, bundle: XBundle) -> XPort | None:
    """The port of `bundle` that the packet leaves through; None while it has none."""
    return bundle.ports[0] if bundle.ports else None


def output_normal(ctx: Ctx, bundle: XBundle, xvlan: Xvlan) -> None:
    """Send the packet out of `bundle` with the tags that it wants to see."""
    port = choose_port(ctx, bundle)
    if port is None:
        return
    out = _output_translate(bundle, xvlan)
    words = ctx.flow.words
    old_tci: i64 = words[W_VLAN_TCI] & 0xFFFF
    old_tags: i64 = words[W_VLAN_TPID]
    _put(ctx, out, bundle.priority_tags)
    xlate_output.output(ctx, port.ofp_port)
    words = ctx.flow.words
    words[W_VLAN_TCI] = (words[W_VLAN_TCI] & ~0xFFFF) | old_tci
    words[W_VLAN_TPID] = old_tags


def input_bundle(ctx: Ctx, in_port: int) -> XBundle | None:
    """The bundle of the port where the packet came in."""
    port = ctx.bridge.ports.get(in_port)
    if port is not None and port.bundle is not None:
        return port.bundle
    if in_port in (0xFFFD, 0xFFFF):
        return OFPP_NONE_BUNDLE
    report_error(ctx, f"received packet on unknown port {in_port}")
    return None


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


def normal(ctx: Ctx) -> None:
    """The NORMAL action."""
    bridge = ctx.bridge
    words = ctx.flow.words
    wc = ctx.wc.words
    wc[W_ETH_SRC] |= -1 << 16
    wc[W_ETH_DST] |= -1 << 16
    wc[W_VLAN_TCI] |= VLAN_CFI | 0xFFF
    tracing = ctx.trace is not None

    in_port: int = words[W_IN_PORT] & 0xFFFF
    came_from = input_bundle(ctx, in_port)
    if came_from is None:
        if tracing:
            report(ctx, OFT_WARN, "no input bundle, dropping")
        return
    tci = words[W_VLAN_TCI] & 0xFFFF
    if is_vlan(words[W_ETH_TYPE] & 0xFFFF) and tci & VLAN_CFI == 0:
        if ctx.xin.packet is not None:
            report_error(ctx, f"dropping packet with partial VLAN tag received on port {came_from.name}")
        if tracing:
            report(ctx, OFT_WARN, "partial VLAN tag, dropping")
        return
    if came_from.mirror_out != 0:
        if ctx.xin.packet is not None:
            report_error(ctx, f"dropping packet received on port {came_from.name}, "
                              "which is reserved exclusively for mirroring")
        if tracing:
            report(ctx, OFT_WARN, "input port is mirror output port, dropping")
        return
    look_at_tags(ctx)
    own = _extract(ctx)
    if not _vid_is_valid(ctx, own.vid, came_from):
        if tracing:
            report(ctx, OFT_WARN, "disallowed VLAN VID for this input port, dropping")
        return
    xvlan = _input_translate(came_from, own)
    vlan: int = xvlan.vid
    dst = ctx.flow.dl_dst
    if came_from is not OFPP_NONE_BUNDLE:
        if not bridge.forward_bpdu and is_reserved(dst):
            if tracing:
                report(ctx, OFT_DETAIL, "packet has reserved destination MAC, dropping")
            return
    gratuitous = _is_gratuitous_arp(ctx)
    to_itself = False
    if came_from is not OFPP_NONE_BUNDLE:
        src = ctx.flow.dl_src
        if src & (1 << 40) == 0:
            ctx.effects.append(LearnMac(bridge, src, vlan, came_from, gratuitous))
            if tracing and ctx.xin.side_effects:
                _report_learned(ctx, src, vlan, came_from)
            # By the time that anybody looks, the address will have been learned.
            to_itself = src == dst and ctx.xin.side_effects

    found = bridge.mac_learning.lookup(dst, vlan)
    if to_itself:
        ctx.out.tags |= bridge.mac_learning.lookup_tag(dst, vlan)
        if tracing:
            report(ctx, OFT_DETAIL, "learned port is input port, dropping")
        return
    if found is None:
        ctx.out.tags |= bridge.mac_learning.lookup_tag(dst, vlan)
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
    else:
        if tracing:
            report(ctx, OFT_DETAIL, "forwarding to learned port")
        output_normal(ctx, to, xvlan)


def _report_learned(ctx: Ctx, mac: int, vlan: int, bundle: XBundle) -> None:
    known = ctx.bridge.mac_learning.lookup(mac, vlan)
    if known is None or known.port is not bundle:
        report(ctx, OFT_DETAIL, f"learned that {format_mac(mac)} is on port {bundle.name} in VLAN {vlan}")


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
            output_normal(ctx, bundle, xvlan)
    ctx.out.nf_output_iface = NF_OUT_FLOOD


# Mirrors.


def mirror_ingress(ctx: Ctx) -> None:
    """Copy a packet that comes in to the mirrors that select its input bundle."""
    if not ctx.bridge.has_mirrors:
        return
    bundle = input_bundle(ctx, ctx.flow.words[W_IN_PORT] & 0xFFFF)
    if bundle is not None:
        mirror_packet(ctx, bundle, bundle.src_mirrors)


def mirror_packet(ctx: Ctx, bundle: XBundle, mirrors: int) -> None:
    """Copy the packet to each of the map `mirrors` that selects its VLAN, once an output."""
    mirrors &= ~ctx.mirrors
    if mirrors == 0:
        return
    bridge = ctx.bridge
    own = _extract(ctx)
    if not _vid_is_valid(ctx, own.vid, bundle):
        return
    xvlan = _input_translate(bundle, own)
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
        used |= rightmost
        ctx.mirrors |= mirror.dup_mirrors
        ctx.mirror_snaplen = mirror.snaplen
        if mirror.out is not None:
            output_normal(ctx, mirror.out, xvlan)
        elif vid != mirror.out_vlan and not is_reserved(ctx.flow.dl_dst):
            spanned = xvlan.copy()
            spanned.vid = mirror.out_vlan
            for to in list(bridge.bundles.values()):
                if to.includes_vlan(mirror.out_vlan, int(spanned.vid1)) and to.mirror_out == 0:
                    output_normal(ctx, to, spanned)
        mirrors &= ~ctx.mirrors
        ctx.mirror_snaplen = 0
    ctx.out.mirrors |= used
    if used:
        ctx.effects.append(CreditMirrors(bridge, used))
