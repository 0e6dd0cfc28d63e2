"""Telling the datapath of headers put around a packet or taken off it, and of changes within an NSH header.

Part of `commit.py`: what `encap` and `decap` made of the flow becomes one push or pop here, when the
new header's fields have their values.
"""

from __future__ import annotations

from typing import Final

from librt.strings import BytesWriter, write_i64_be
from mypy_extensions import i64

from vswitch.dpif.actions import PopEth, PopNsh, PushEth, PushNsh, Set, SetMasked
from vswitch.dpif.odp_nested import nsh_bytes, put_nsh
from vswitch.flow import key_attr
from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    N_WORDS,
    S_NSH_FLAGS,
    S_NSH_MDTYPE,
    S_NSH_NP,
    S_NSH_TTL,
    W_ETH_DST,
    W_ETH_SRC,
    W_NSH_BASE,
    W_NSH_CONTEXT,
    W_NSH_END,
    W_PACKET_TYPE,
)
from vswitch.ofproto_dpif.xlate.ctx import Ctx

LOW32: Final = 0xFFFFFFFF
NSH: Final = 0x1894F
"""The packet type of an NSH header."""


KIND: Final = 0xFF << S_NSH_MDTYPE | 0xFF << S_NSH_NP
"""Of an NSH header, what no action changes."""


def _set_type(flow: Flow, value: i64) -> None:
    flow.words[W_PACKET_TYPE] = (flow.words[W_PACKET_TYPE] & ~LOW32) | value


def push_header(ctx: Ctx) -> None:
    """Compose the push of an Ethernet or NSH header; `base` has it then."""
    new = ctx.flow.words
    base = ctx.base
    old = base.words
    outer: i64 = new[W_PACKET_TYPE] & LOW32
    if outer == 0:
        ctx.odp.append(PushEth(ctx.flow.dl_src, ctx.flow.dl_dst))
        old[W_ETH_DST] = (old[W_ETH_DST] & 0xFFFF) | (new[W_ETH_DST] & ~0xFFFF)
        old[W_ETH_SRC] = (old[W_ETH_SRC] & 0xFFFF) | (new[W_ETH_SRC] & ~0xFFFF)
    elif outer == NSH:
        ctx.odp.append(_push_nsh(ctx))
        i: i64 = W_ETH_DST
        while i < N_WORDS:
            old[i] = new[i]
            i += 1
    _set_type(base, outer)


def pop_header(ctx: Ctx) -> None:
    """Compose the pop of an Ethernet or NSH header. Under the latter lies what nobody knows yet."""
    base = ctx.base
    outer: i64 = base.words[W_PACKET_TYPE] & LOW32
    inner: i64 = ctx.flow.words[W_PACKET_TYPE] & LOW32
    if outer == 0 and inner >> 16 == 1:
        ctx.odp.append(PopEth())
        base.words[W_ETH_DST] &= 0xFFFF
        base.words[W_ETH_SRC] &= 0xFFFF
        _set_type(base, inner)
    elif outer == NSH:
        ctx.odp.append(PopNsh())


def _push_nsh(ctx: Ctx) -> PushNsh:
    words = ctx.flow.words
    head = words[W_NSH_BASE]
    mdtype = (head >> S_NSH_MDTYPE) & 0xFF
    metadata = ctx.encap_data
    if mdtype == 1:
        context = BytesWriter()
        write_i64_be(context, words[W_NSH_CONTEXT])
        write_i64_be(context, words[W_NSH_CONTEXT + 1])
        metadata = context.getvalue()
    return PushNsh(
        flags=(head >> S_NSH_FLAGS) & 0xFF,
        ttl=(head >> S_NSH_TTL) & 0xFF,
        mdtype=mdtype,
        np=(head >> S_NSH_NP) & 0xFF,
        path_hdr=head & LOW32,
        metadata=metadata,
    )


def commit_nsh(ctx: Ctx) -> None:
    """Compose the set action of an NSH header that changed: of all of it that the megaflow knows."""
    new = ctx.flow.words
    base = ctx.base
    old = base.words
    i: i64 = W_NSH_BASE
    while i < W_NSH_END and new[i] == old[i]:
        i += 1
    if i == W_NSH_END:
        return
    value = Flow()
    mask = Flow()
    has_context = (new[W_NSH_BASE] >> S_NSH_MDTYPE) & 0xFF == 1
    i = W_NSH_BASE
    while i < W_NSH_END:
        old[i] = new[i]
        if i < W_NSH_CONTEXT:
            mask.words[i] = ctx.wc.words[i] & ~KIND
        elif has_context:
            mask.words[i] = ctx.wc.words[i]
        value.words[i] = new[i] & mask.words[i]
        i += 1
    if not ctx.support.masked_set:
        ctx.odp.append(Set(key_attr.NSH, nsh_bytes(ctx.flow)))
        return
    values = BytesWriter()
    put_nsh(values, value.words, new)
    masks = BytesWriter()
    put_nsh(masks, mask.words, new)
    ctx.odp.append(SetMasked(key_attr.NSH, values.getvalue(), masks.getvalue()))
