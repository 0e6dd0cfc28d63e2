"""What changed, as the datapath's actions: the difference between `base` and `flow` as set, push and pop.

Changes are not composed when they are made but here, just before the packet leaves (output,
recirculation, controller), so that what is overwritten or never sent costs nothing. A set
action covers one key attribute (`dpif/key_change.py`, by the registry of fields); of its fields,
those that changed are in its mask, with the bits that the megaflow knows anyway. Afterwards
`base` equals `flow`.

The order of the attributes, and when a whole set serves instead of a masked one, are the
peer's, for the datapath sees the difference.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.dpif.actions import AddMpls, PopMpls, PopVlan, PushMpls, PushVlan, Set, SetMasked
from vswitch.dpif.key_change import change, differs, settle
from vswitch.flow import key_attr
from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    N_WORDS,
    S_NW_PROTO,
    S_NW_TOS,
    S_NW_TTL,
    W_DP_HASH,
    W_ETH_TYPE,
    W_NW_PROTO,
    W_NW_SRC,
    W_NW_TOS,
    W_NW_TTL,
    W_PACKET_TYPE,
    W_SKB_PRIORITY,
    W_VLAN_TCI,
    W_VLAN_TPID,
)
from vswitch.flow.mpls import MPLS_BOS, clear_lses, is_mpls, lse, n_mpls_labels, set_lse
from vswitch.flow.prereq import is_ip_any
from vswitch.flow.vlan import n_vlans, qtag, set_qtag
from vswitch.ofproto_dpif.xlate.commit_encap import commit_nsh, pop_header, push_header
from vswitch.ofproto_dpif.xlate.ctx import Ctx
from vswitch.ofproto_dpif.xlate.types import SLOW_ACTION
from vswitch.packet.numbers import (
    ETH_TYPE_ARP,
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    ETH_TYPE_MPLS,
    ETH_TYPE_NSH,
    ETH_TYPE_RARP,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_SCTP,
    IPPROTO_TCP,
    IPPROTO_UDP,
)

W_FIRST_CHANGEABLE: Final = W_SKB_PRIORITY
"""Below this word lie only tunnel, registers and conntrack, which no plain output commits."""


def commit(ctx: Ctx) -> None:
    """Compose what turns `base` into `flow`, and make `base` that."""
    flow = ctx.flow
    base = ctx.base
    new = flow.words
    old = base.words
    i: i64 = W_FIRST_CHANGEABLE
    while i < N_WORDS and new[i] == old[i]:
        i += 1
    if i == N_WORDS and not ctx.pending_encap and not ctx.pending_decap:
        return
    if ctx.pending_encap or ctx.pending_decap or (new[W_PACKET_TYPE] ^ old[W_PACKET_TYPE]) & 0xFFFFFFFF != 0:
        _packet_type(ctx)
    if (new[W_PACKET_TYPE] | old[W_PACKET_TYPE]) & 0xFFFFFFFF == 0:
        # What lies under a header that was popped has addresses of its own.
        _set(ctx, key_attr.ETHERNET)
    mpls_done = False
    if is_mpls(old[W_ETH_TYPE] & 0xFFFF) and not is_mpls(new[W_ETH_TYPE] & 0xFFFF):
        _mpls(ctx)
        mpls_done = True
    if new[W_ETH_TYPE] & 0xFFFF == ETH_TYPE_NSH:
        commit_nsh(ctx)
    if (new[W_NW_PROTO] >> S_NW_PROTO) & 0xFF != 0:
        _network(ctx)
    if not mpls_done:
        _mpls(ctx)
    _vlan(ctx)
    _set(ctx, key_attr.PRIORITY)
    _set(ctx, key_attr.SKB_MARK)


def _packet_type(ctx: Ctx) -> None:
    """The header that encap put around the packet, or that decap took off it."""
    inner: i64 = ctx.base.words[W_PACKET_TYPE] & 0xFFFFFFFF
    outer: i64 = ctx.flow.words[W_PACKET_TYPE] & 0xFFFFFFFF
    if ctx.pending_encap:
        if outer >> 16 == 1 and is_mpls(outer & 0xFFFF):
            _mpls(ctx, True)
        push_header(ctx)
    elif inner >> 16 == 1 and is_mpls(inner & 0xFFFF):
        _mpls(ctx)
    else:
        pop_header(ctx)
    ctx.pending_encap = False
    ctx.pending_decap = False
    ctx.encap_data = b""
    ctx.wc.words[W_PACKET_TYPE] |= 0xFFFFFFFF


def _set(ctx: Ctx, attr: int, masked: bool = True) -> bool:
    """Compose the set action of `attr` if anything in it changed; whether it did. What is set whole, not
    `masked` or with all of the mask set, must be known to the megaflow."""
    new = ctx.flow.words
    old = ctx.base.words
    if not differs(attr, new, old):
        return False
    known = ctx.wc.words
    masked = masked and ctx.support.masked_set
    made = change(attr, new, old, known, masked)
    if masked and not made.exact:
        ctx.odp.append(SetMasked(attr, made.value.getvalue(), made.mask.getvalue()))
        settle(attr, new, old, None)
    else:
        ctx.odp.append(Set(attr, made.value.getvalue()))
        settle(attr, new, old, known)
    return True


def _network(ctx: Ctx) -> None:
    dl_type = ctx.base.words[W_ETH_TYPE] & 0xFFFF
    if dl_type == ETH_TYPE_IP:
        _set(ctx, key_attr.IPV4)
    elif dl_type == ETH_TYPE_IPV6:
        _set(ctx, key_attr.IPV6)
        # The message may by now be of another type: what was changed before that is committed, too.
        if (ctx.flow.words[W_NW_PROTO] >> S_NW_PROTO) & 0xFF == IPPROTO_ICMPV6:
            _slow_set(ctx, key_attr.ND)
    elif dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
        _slow_set(ctx, key_attr.ARP)
    if is_ip_any(dl_type):
        _transport(ctx, dl_type)


def _transport(ctx: Ctx, dl_type: i64) -> None:
    proto = (ctx.flow.words[W_NW_PROTO] >> S_NW_PROTO) & 0xFF
    if proto == IPPROTO_TCP:
        _set(ctx, key_attr.TCP)
    elif proto == IPPROTO_UDP:
        _set(ctx, key_attr.UDP)
    elif proto == IPPROTO_SCTP:
        _set(ctx, key_attr.SCTP)
    elif proto == (IPPROTO_ICMP if dl_type == ETH_TYPE_IP else IPPROTO_ICMPV6):
        _slow_set(ctx, key_attr.ICMP if dl_type == ETH_TYPE_IP else key_attr.ICMPV6, False)


def _slow_set(ctx: Ctx, attr: int, masked: bool = True) -> None:
    """The same for what not every datapath can set: its packets are executed here."""
    if _set(ctx, attr, masked):
        ctx.out.slow |= SLOW_ACTION


def _vlan(ctx: Ctx) -> None:
    flow = ctx.flow
    base = ctx.base
    if (flow.words[W_VLAN_TCI] ^ base.words[W_VLAN_TCI]) & 0xFFFF == 0 and (
        flow.words[W_VLAN_TPID] == base.words[W_VLAN_TPID]
    ):
        return
    n_base = n_vlans(base)
    n_flow = n_vlans(flow)
    # Innermost tags that are the same stay.
    while n_base > 0 and n_flow > 0 and qtag(base, n_base - 1) == qtag(flow, n_flow - 1):
        n_base -= 1
        n_flow -= 1
    i: i64 = 0
    while i < n_base:
        ctx.odp.append(PopVlan())
        set_qtag(ctx.wc, n_base - 1 - i, 0xFFFFFFFF)
        i += 1
    while n_flow > 0:
        n_flow -= 1
        tag = qtag(flow, n_flow)
        ctx.odp.append(PushVlan((tag >> 16) & 0xFFFF, tag & 0xFFFF))
    set_qtag(base, 0, qtag(flow, 0))
    set_qtag(base, 1, qtag(flow, 1))


def _mpls(ctx: Ctx, add: bool = False) -> None:
    flow = ctx.flow
    base = ctx.base
    n_base = n_mpls_labels(base, None)
    n_flow = n_mpls_labels(flow, None)
    if n_base == 0 and n_flow == 0:
        return
    common: i64 = 0
    fewer = n_base if n_base < n_flow else n_flow
    while common < fewer and lse(base, n_base - common - 1) == lse(flow, n_flow - common - 1):
        common += 1
    dl_type = flow.words[W_ETH_TYPE] & 0xFFFF
    while n_base > common:
        if n_base - 1 == common and n_flow > common:
            entry = lse(flow, n_flow - n_base)
            ctx.odp.append(Set(key_attr.MPLS, int(entry).to_bytes(4, "big")))
            set_lse(base, 0, entry)
            common += 1
        else:
            below: i64 = ETH_TYPE_MPLS if not is_mpls(dl_type) and n_base > 1 else dl_type
            ctx.odp.append(PopMpls(below))
            _pop_lse(base, n_base)
            base.words[W_ETH_TYPE] = (base.words[W_ETH_TYPE] & ~0xFFFF) | dl_type
            n_base -= 1
    while n_base < n_flow:
        entry = lse(flow, n_flow - n_base - 1)
        ctx.odp.append(AddMpls(entry, dl_type, 0) if add else PushMpls(entry, dl_type))
        _push_lse(base, n_base, entry)
        base.words[W_ETH_TYPE] = (base.words[W_ETH_TYPE] & ~0xFFFF) | dl_type
        n_base += 1


def _pop_lse(flow: Flow, n: i64) -> None:
    i: i64 = 1
    while i < n:
        set_lse(flow, i - 1, lse(flow, i))
        i += 1
    set_lse(flow, n - 1, 0)


def _push_lse(flow: Flow, n: i64, entry: i64) -> None:
    i = n
    while i >= 1:
        set_lse(flow, i, lse(flow, i - 1))
        i -= 1
    set_lse(flow, 0, entry)


# Label stack changes on the OpenFlow side.


def push_mpls(ctx: Ctx, ethertype: i64, around: bool = False) -> bool:
    """Push an entry: a copy of the outermost, or for the first label 0 (IPv6: 2) with the IP's
    DSCP and TTL. False: the stack is full. `around`: encap, for which all of the packet is payload, so that
    labels behind an Ethernet header are of another stack."""
    flow = ctx.flow
    wc = ctx.wc
    words = flow.words
    n: i64 = 0
    if not around or words[W_PACKET_TYPE] & 0xFFFFFFFF != 0:
        n = n_mpls_labels(flow, wc)
    else:
        clear_lses(flow)
        clear_lses(ctx.base)
    if n == 0:
        if not around:
            commit(ctx)
        dl_type = words[W_ETH_TYPE] & 0xFFFF
        label: i64 = 2 if dl_type == ETH_TYPE_IPV6 else 0
        tc: i64 = 0
        ttl: i64 = 64
        if is_ip_any(dl_type) and not around:
            wc.words[W_NW_TOS] |= (0xFC << S_NW_TOS) | (0xFF << S_NW_TTL)
            tc = ((words[W_NW_TOS] >> S_NW_TOS) & 0xFC) >> 2
            packet_ttl = (words[W_NW_TTL] >> S_NW_TTL) & 0xFF
            if packet_ttl != 0:
                ttl = packet_ttl
        i: i64 = W_NW_SRC
        while i < N_WORDS:
            words[i] = 0
            i += 1
        words[W_DP_HASH] &= 0xFFFFFFFF
        set_lse(flow, 0, (label << 12) | ((tc & 7) << 9) | MPLS_BOS | ttl)
    elif n >= 3:
        return False
    else:
        i = 0
        while i < n:
            set_lse(wc, i, 0xFFFFFFFF)
            i += 1
        _push_lse(flow, n, lse(flow, 0) & ~MPLS_BOS)
    words[W_ETH_TYPE] = (words[W_ETH_TYPE] & ~0xFFFF) | ethertype
    return True


def pop_mpls(ctx: Ctx, ethertype: i64) -> bool:
    """Remove the outermost entry. False: there is none, or what comes after the third is unknown."""
    flow = ctx.flow
    wc = ctx.wc
    n = n_mpls_labels(flow, wc)
    if n == 0:
        return False
    if n == 3 and lse(flow, 2) & MPLS_BOS == 0:
        return False
    i: i64 = 1
    while i < n:
        set_lse(wc, i, 0xFFFFFFFF)
        i += 1
    _pop_lse(flow, n)
    flow.words[W_ETH_TYPE] = (flow.words[W_ETH_TYPE] & ~0xFFFF) | ethertype
    return True
