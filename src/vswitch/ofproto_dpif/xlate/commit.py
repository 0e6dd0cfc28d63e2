"""Telling the datapath what changed: the difference between `base` and `flow` as set, push and pop.

Changes are not told when they are made but here, just before the packet leaves (output,
recirculation, controller), so that what is overwritten or never sent costs nothing. A set
action covers one key attribute; of its fields, those that changed are in its mask, with the
bits that the megaflow knows anyway. Afterwards `base` equals `flow`.

The order of the attributes, and when a whole set serves instead of a masked one, are the
peer's, for the datapath sees the difference.
"""

from __future__ import annotations

from typing import Final, final

from librt.strings import BytesWriter, write_i64_be
from librt.vecs import vec
from mypy_extensions import i64, u8

from vswitch.dpif.actions import AddMpls, PopMpls, PopVlan, PushMpls, PushVlan, Set, SetMasked
from vswitch.flow import key_attr
from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    N_WORDS,
    S_ETH_DST,
    S_ETH_SRC,
    S_IPV6_LABEL,
    S_NW_PROTO,
    S_NW_SRC,
    S_NW_TOS,
    S_NW_TTL,
    S_PKT_MARK,
    S_SKB_PRIORITY,
    S_TP_DST,
    S_TP_SRC,
    W_ARP_SHA,
    W_ARP_THA,
    W_DP_HASH,
    W_ETH_DST,
    W_ETH_SRC,
    W_ETH_TYPE,
    W_IPV6_DST,
    W_IPV6_LABEL,
    W_IPV6_SRC,
    W_ND_TARGET,
    W_NW_PROTO,
    W_NW_SRC,
    W_NW_TOS,
    W_NW_TTL,
    W_PACKET_TYPE,
    W_PKT_MARK,
    W_SKB_PRIORITY,
    W_TP_DST,
    W_TP_SRC,
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
        _ether(ctx)
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
    _u32(ctx, key_attr.PRIORITY, W_SKB_PRIORITY, S_SKB_PRIORITY)
    _u32(ctx, key_attr.SKB_MARK, W_PKT_MARK, S_PKT_MARK)


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


# A key attribute under way: its struct's value and mask, field by field.


@final
class _Attr:
    """One key attribute's struct. Fields are added in order.

    With `masked` only the bits of fields that changed are in value and mask; without it the
    value is whole. `exact` says that all of the mask is set.
    """

    def __init__(self, ctx: Ctx, masked: bool) -> None:
        self.new: vec[i64] = ctx.flow.words
        self.old: vec[i64] = ctx.base.words
        self.wc: vec[i64] = ctx.wc.words
        self.masked: bool = masked and ctx.support.masked_set
        self.value: BytesWriter = BytesWriter()
        self.mask: BytesWriter = BytesWriter()
        self.changed: bool = False
        self.exact: bool = True

    def field(self, w: i64, shift: i64, n_bytes: i64) -> None:
        """A field of 1, 2, 4 or 6 bytes."""
        ones: i64 = 0x7FFFFFFFFFFFFFFF >> (63 - n_bytes * 8)
        new = (self.new[w] >> shift) & ones
        bits: i64 = 0
        if new != (self.old[w] >> shift) & ones:
            self.changed = True
            bits = (self.wc[w] >> shift) & ones
        if bits != ones:
            self.exact = False
        self._put(new & bits if self.masked else new, bits, n_bytes)

    def address6(self, w: i64) -> None:
        """A field of 16 bytes."""
        changed = self.new[w] != self.old[w] or self.new[w + 1] != self.old[w + 1]
        if changed:
            self.changed = True
        i: i64 = w
        while i < w + 2:
            bits: i64 = self.wc[i] if changed else 0
            if bits != -1:
                self.exact = False
            write_i64_be(self.value, self.new[i] & bits if self.masked else self.new[i])
            write_i64_be(self.mask, bits)
            i += 1

    def opcode(self) -> None:
        """ARP's: 16 bits in the attribute, 8 in a flow; what is known of these is known of all."""
        new = (self.new[W_NW_PROTO] >> S_NW_PROTO) & 0xFF
        bits: i64 = 0
        if new != (self.old[W_NW_PROTO] >> S_NW_PROTO) & 0xFF:
            self.changed = True
            bits = (self.wc[W_NW_PROTO] >> S_NW_PROTO) & 0xFF
        if bits != 0xFF:
            self.exact = False
        self._put(new & bits if self.masked else new, bits << 8 | bits, 2)

    def constant(self, value: i64, n_bytes: i64) -> None:
        """A field that no action changes (protocol, fragment, padding)."""
        self.exact = False
        self._put(0 if self.masked else value, 0, n_bytes)

    def _put(self, value: i64, mask: i64, n_bytes: i64) -> None:
        _write(self.value, value, n_bytes)
        _write(self.mask, mask, n_bytes)


def _write(to: BytesWriter, value: i64, n_bytes: i64) -> None:
    i = (n_bytes - 1) * 8
    while i >= 0:
        byte: i64 = (value >> i) & 0xFF
        to.append(u8(byte))
        i -= 8


def _put(ctx: Ctx, attr: int, a: _Attr, host_order: bool = False) -> bool:
    """Compose the set action of `a` if anything in it changed. True: the megaflow must know it all.

    `host_order`: the attribute is one number, which the kernel has in its own byte order.
    """
    if not a.changed:
        return False
    value = a.value.getvalue()
    if host_order:
        value = value[::-1]
    if a.masked and not a.exact:
        mask = a.mask.getvalue()
        ctx.odp.append(SetMasked(attr, value, mask[::-1] if host_order else mask))
        return False
    ctx.odp.append(Set(attr, value))
    return True


def _copy_bits(ctx: Ctx, w: i64, bits: i64, exact: bool) -> None:
    """Make `base` agree with `flow` in `bits` of word `w`; `exact`: the megaflow has them all."""
    old = ctx.base.words
    old[w] = (old[w] & ~bits) | (ctx.flow.words[w] & bits)
    if exact:
        ctx.wc.words[w] |= bits


ETH_BITS: Final = -0x10000
"""The upper 48 bits of a word."""


def _ether(ctx: Ctx) -> None:
    new = ctx.flow.words
    old = ctx.base.words
    if ((new[W_ETH_SRC] ^ old[W_ETH_SRC]) | (new[W_ETH_DST] ^ old[W_ETH_DST])) & ETH_BITS == 0:
        return
    a = _Attr(ctx, True)
    a.field(W_ETH_SRC, S_ETH_SRC, 6)
    a.field(W_ETH_DST, S_ETH_DST, 6)
    exact = _put(ctx, key_attr.ETHERNET, a)
    _copy_bits(ctx, W_ETH_SRC, ETH_BITS, exact)
    _copy_bits(ctx, W_ETH_DST, ETH_BITS, exact)




def _network(ctx: Ctx) -> None:
    dl_type = ctx.base.words[W_ETH_TYPE] & 0xFFFF
    if dl_type == ETH_TYPE_IP:
        _ipv4(ctx)
    elif dl_type == ETH_TYPE_IPV6:
        _ipv6(ctx)
    elif dl_type in (ETH_TYPE_ARP, ETH_TYPE_RARP):
        _arp(ctx)
    if is_ip_any(dl_type):
        _transport(ctx, dl_type)


def _ipv4(ctx: Ctx) -> None:
    new = ctx.flow.words
    old = ctx.base.words
    if new[W_NW_SRC] == old[W_NW_SRC] and (new[W_NW_TOS] ^ old[W_NW_TOS]) & 0xFFFF00 == 0:
        return
    a = _Attr(ctx, True)
    a.field(W_NW_SRC, S_NW_SRC, 4)
    a.field(W_NW_SRC, 0, 4)
    a.constant((new[W_NW_PROTO] >> S_NW_PROTO) & 0xFF, 1)
    a.field(W_NW_TOS, S_NW_TOS, 1)
    a.field(W_NW_TTL, S_NW_TTL, 1)
    a.constant(_nl_frag(old), 1)
    exact = _put(ctx, key_attr.IPV4, a)
    _copy_bits(ctx, W_NW_SRC, -1, exact)
    _copy_bits(ctx, W_NW_TOS, 0xFFFF00, exact)


def _ipv6(ctx: Ctx) -> None:
    new = ctx.flow.words
    old = ctx.base.words
    changeable: i64 = -1 << S_IPV6_LABEL | 0xFFFF00
    if (
        new[W_IPV6_SRC] == old[W_IPV6_SRC]
        and new[W_IPV6_SRC + 1] == old[W_IPV6_SRC + 1]
        and new[W_IPV6_DST] == old[W_IPV6_DST]
        and new[W_IPV6_DST + 1] == old[W_IPV6_DST + 1]
        and (new[W_IPV6_LABEL] ^ old[W_IPV6_LABEL]) & changeable == 0
    ):
        _nd(ctx)
        return
    a = _Attr(ctx, True)
    a.address6(W_IPV6_SRC)
    a.address6(W_IPV6_DST)
    a.field(W_IPV6_LABEL, S_IPV6_LABEL, 4)
    a.constant((new[W_NW_PROTO] >> S_NW_PROTO) & 0xFF, 1)
    a.field(W_NW_TOS, S_NW_TOS, 1)
    a.field(W_NW_TTL, S_NW_TTL, 1)
    a.constant(_nl_frag(old), 1)
    exact = _put(ctx, key_attr.IPV6, a)
    _copy_bits(ctx, W_IPV6_SRC, -1, exact)
    _copy_bits(ctx, W_IPV6_SRC + 1, -1, exact)
    _copy_bits(ctx, W_IPV6_DST, -1, exact)
    _copy_bits(ctx, W_IPV6_DST + 1, -1, exact)
    _copy_bits(ctx, W_IPV6_LABEL, changeable, exact)
    _nd(ctx)


def _nl_frag(words: vec[i64]) -> i64:
    """The datapath's fragment type: none, first, later."""
    frag = (words[W_NW_PROTO] >> 24) & 3
    if frag & 1 == 0:
        return 0
    return 2 if frag & 2 != 0 else 1


def _nd(ctx: Ctx) -> None:
    new = ctx.flow.words
    # The message may by now be of another type: what was changed before that is committed, too.
    if (new[W_NW_PROTO] >> S_NW_PROTO) & 0xFF != IPPROTO_ICMPV6:
        return
    a = _Attr(ctx, True)
    a.address6(W_ND_TARGET)
    a.field(W_ARP_SHA, 16, 6)
    a.field(W_ARP_THA, 16, 6)
    if not a.changed:
        return
    exact = _put(ctx, key_attr.ND, a)
    _copy_bits(ctx, W_ND_TARGET, -1, exact)
    _copy_bits(ctx, W_ND_TARGET + 1, -1, exact)
    _copy_bits(ctx, W_ARP_SHA, ETH_BITS, exact)
    _copy_bits(ctx, W_ARP_THA, ETH_BITS, exact)
    ctx.out.slow |= SLOW_ACTION


def _arp(ctx: Ctx) -> None:
    a = _Attr(ctx, True)
    a.field(W_NW_SRC, S_NW_SRC, 4)
    a.field(W_NW_SRC, 0, 4)
    a.opcode()
    a.field(W_ARP_SHA, 16, 6)
    a.field(W_ARP_THA, 16, 6)
    if not a.changed:
        return
    a.constant(0, 2)
    exact = _put(ctx, key_attr.ARP, a)
    _copy_bits(ctx, W_NW_SRC, -1, exact)
    _copy_bits(ctx, W_NW_PROTO, 0xFF << S_NW_PROTO, exact)
    _copy_bits(ctx, W_ARP_SHA, ETH_BITS, exact)
    _copy_bits(ctx, W_ARP_THA, ETH_BITS, exact)
    ctx.out.slow |= SLOW_ACTION


TP_BITS: Final = -1 << 32
"""Both transport ports, in their word."""


_TRANSPORT_ATTRS: Final = {
    IPPROTO_TCP: key_attr.TCP,
    IPPROTO_UDP: key_attr.UDP,
    IPPROTO_SCTP: key_attr.SCTP,
}


def _transport(ctx: Ctx, dl_type: i64) -> None:
    new = ctx.flow.words
    if (new[W_TP_SRC] ^ ctx.base.words[W_TP_SRC]) & TP_BITS == 0:
        return
    proto = (new[W_NW_PROTO] >> S_NW_PROTO) & 0xFF
    a = _Attr(ctx, proto in _TRANSPORT_ATTRS)
    if proto in (IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP):
        a.field(W_TP_SRC, S_TP_SRC, 2)
        a.field(W_TP_DST, S_TP_DST, 2)
        attr = _TRANSPORT_ATTRS[int(proto)]
    elif proto == (IPPROTO_ICMP if dl_type == ETH_TYPE_IP else IPPROTO_ICMPV6):
        a.field(W_TP_SRC, S_TP_SRC, 1)
        a.field(W_TP_DST, S_TP_DST, 1)
        attr = key_attr.ICMP if dl_type == ETH_TYPE_IP else key_attr.ICMPV6
        ctx.out.slow |= SLOW_ACTION
    else:
        return
    exact = _put(ctx, attr, a)
    _copy_bits(ctx, W_TP_SRC, TP_BITS, exact)


def _u32(ctx: Ctx, attr: int, w: i64, shift: i64) -> None:
    bits: i64 = -1 << 32 if shift == 32 else 0xFFFFFFFF
    if (ctx.flow.words[w] ^ ctx.base.words[w]) & bits == 0:
        return
    a = _Attr(ctx, True)
    a.field(w, shift, 4)
    exact = _put(ctx, attr, a, True)
    _copy_bits(ctx, w, bits, exact)


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
