"""What a bond does in translation: the member that packets leave through, and those that may come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vswitch.flow.hash_fields import hash_fields, mask_hash_fields
from vswitch.flow.layout import W_ETH_SRC
from vswitch.l2.bond import (
    ACCEPT,
    ACTIVE_BACKUP,
    BALANCE_SLB,
    BALANCE_TCP,
    DROP,
    N_HASHES,
    Bond,
    BondMember,
    hash_mac,
)
from vswitch.ofproto_dpif.xlate.bridge import XBundle, XPort
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report
from vswitch.ofproto_dpif.xlate.effects import CreditBond
from vswitch.ofproto_dpif.xlate.trace import OFT_DETAIL

HASH_FIELDS: Final = "symmetric_l3l4+udp"
"""What balance-tcp hashes where the datapath doesn't do it."""


def choose_member(ctx: Ctx, bond: Bond, vid: int) -> XPort | None:
    """The member that the packet leaves through with VLAN `vid`; None while there is none. Where the
    datapath hashes, it is only one of those that it may be."""
    mode = bond.mode
    member: BondMember | None = None
    if mode == ACTIVE_BACKUP:
        member = bond.active
    elif mode == BALANCE_SLB:
        ctx.wc.words[W_ETH_SRC] |= -1 << 16
        value = hash_mac(ctx.xin.flow.dl_src, vid, bond.settings.basis)
        member = bond.entry_member(value)
        ctx.effects.append(CreditBond(bond, value))
    elif mode == BALANCE_TCP:
        if bond.balanced:
            member = bond.entry_member(0)
        else:
            mask_hash_fields(ctx.xin.flow, ctx.wc, HASH_FIELDS)
            value = hash_fields(ctx.xin.flow, HASH_FIELDS, bond.settings.basis) & (N_HASHES - 1)
            member = bond.entry_member(value)
            ctx.effects.append(CreditBond(bond, value))
    if member is None:
        return None
    port: XPort = member.aux
    return port


def bond_admits(ctx: Ctx, bundle: XBundle, bond: Bond, in_port: int, vlan: int,
                is_gratuitous: Callable[[Ctx], bool]) -> bool:
    """Whether a packet that came in at a bond's member is one to be forwarded. `is_gratuitous` tells a
    gratuitous ARP, and is asked only where that matters."""
    port = ctx.bridge.ports.get(in_port)
    member = bond.members.get(port.name) if port is not None else None
    verdict = DROP if member is None else bond.admit(member, ctx.flow.dl_dst & (1 << 40) != 0)
    if verdict == ACCEPT:
        return True
    if verdict == DROP:
        if ctx.trace is not None:
            report(ctx, OFT_DETAIL, "bonding refused admissibility, dropping")
        return False
    learning = ctx.bridge.mac_learning
    src = ctx.flow.dl_src
    ctx.out.tags |= learning.lookup_tag(src, vlan)
    known = learning.lookup(src, vlan)
    if known is None or known.port is bundle:
        return True
    if is_gratuitous(ctx) and not learning.is_grat_arp_locked(known, ctx.xin.now):
        return True
    if ctx.trace is not None:
        report(ctx, OFT_DETAIL, "SLB bond thinks this packet looped back, dropping")
    return False
