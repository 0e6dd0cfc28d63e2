"""VLAN tags in translation: taken off and put on, and what they are between a bundle and another.

Between input and output of NORMAL and mirrors a packet's VLANs are an `Xvlan`: the tags that it would
have on a trunk. The input bundle translates the packet's own tags to that (an access port adds its
VLAN, a dot1q-tunnel pushes a tag), the output bundle translates them back.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from vswitch.flow.layout import S_VLAN_TCI1, VLAN_CFI, W_VLAN_TCI, W_VLAN_TPID
from vswitch.flow.vlan import (
    is_vlan,
    n_vlans,
    qtag,
    set_qtag,
)
from vswitch.ofproto_dpif.xlate.bridge import (
    OFPP_NONE_BUNDLE,
    PRIORITY_TAGS_ALWAYS,
    PRIORITY_TAGS_NEVER,
    VLAN_ACCESS,
    VLAN_DOT1Q_TUNNEL,
    VLAN_NATIVE_TAGGED,
    VLAN_NATIVE_UNTAGGED,
    VLAN_TRUNK,
    XBundle,
)
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report_error
from vswitch.packet.numbers import (
    ETH_TYPE_VLAN_8021Q,
)

PCP_BITS: Final = 0xE000


def look_at_tags(ctx: Ctx) -> i64:
    """How many tags the packet has. That there are no more is noted in `wc`, unless that is because
    they were taken off; those that there are will be when they change."""
    n = n_vlans(ctx.flow)
    wc = ctx.wc.words
    if n == 0 and ctx.xin.flow.words[W_VLAN_TCI] & VLAN_CFI == 0:
        wc[W_VLAN_TCI] |= VLAN_CFI
    elif n == 1:
        wc[W_VLAN_TPID] |= VLAN_CFI << S_VLAN_TCI1
    return n


def pop_vlan(ctx: Ctx) -> None:
    """Remove the outer tag; the inner one, if any, comes into its place."""
    flow = ctx.flow
    n = look_at_tags(ctx)
    if n == 2:
        set_qtag(ctx.wc, 1, 0xFFFFFFFF)
        set_qtag(flow, 0, qtag(flow, 1))
        set_qtag(flow, 1, 0)
    elif n == 1:
        set_qtag(flow, 0, 0)


def push_vlan(ctx: Ctx, tpid: i64) -> None:
    """Add an outer tag of VLAN 0."""
    flow = ctx.flow
    n = look_at_tags(ctx)
    if n > 0:
        set_qtag(ctx.wc, 0, 0xFFFFFFFF)
        if n > 1:
            set_qtag(ctx.wc, 1, 0xFFFFFFFF)
    # Also what is no tag, for lack of the CFI bit: a load may have put it there.
    set_qtag(flow, 1, qtag(flow, 0))
    set_qtag(flow, 0, (tpid << 16) | VLAN_CFI)


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


def extract(ctx: Ctx) -> Xvlan:
    """The packet's own tags."""
    outer = qtag(ctx.flow, 0)
    if not is_vlan(outer >> 16) or outer & VLAN_CFI == 0:
        return Xvlan(0, 0, 0, 0, 0, 0)
    inner = qtag(ctx.flow, 1)
    if not is_vlan(inner >> 16) or inner & VLAN_CFI == 0:
        inner = 0
    return Xvlan(outer >> 16, outer & 0xFFF, outer & PCP_BITS, inner >> 16, inner & 0xFFF, inner & PCP_BITS)


def vid_is_valid(ctx: Ctx, vid: i64, bundle: XBundle) -> bool:
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


def input_translate(bundle: XBundle, own: Xvlan) -> Xvlan:
    """From the packet's own tags to those that it has inside the switch."""
    mode = bundle.vlan_mode
    tpid: i64 = own.tpid if own.tpid != 0 else ETH_TYPE_VLAN_8021Q
    vlan: i64 = bundle.vlan
    if mode == VLAN_ACCESS:
        return Xvlan(tpid, vlan, own.pcp, 0, 0, 0)
    if mode == VLAN_DOT1Q_TUNNEL:
        return Xvlan(bundle.qinq_ethtype, vlan, 0, own.tpid, own.vid, own.pcp)
    if mode != VLAN_TRUNK and own.vid == 0:
        return Xvlan(tpid, vlan, own.pcp, own.tpid1, own.vid1, own.pcp1)
    return own


def output_translate(bundle: XBundle, xvlan: Xvlan) -> Xvlan:
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
        out.pop()  # a customer's tag within stays
    return out


def put_tags(ctx: Ctx, out: Xvlan, priority_tags: int) -> None:
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
    return ((tpid if tpid != 0 else ETH_TYPE_VLAN_8021Q) << 16) | tci | VLAN_CFI
