"""Actions on fields and subfields by name: set, move, push, pop."""

from __future__ import annotations

from typing import Any, Final

from vswitch.flow.field import Prereq
from vswitch.flow.fields import FIELDS
from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    S_NW_PROTO,
    VLAN_CFI,
    W_NW_PROTO,
    W_VLAN_TCI,
)
from vswitch.flow.prereq import prereqs_ok
from vswitch.flow.values import c_hex, format_value
from vswitch.ofproto_dpif.xlate_ctx import (
    OFT_DETAIL,
    OFT_WARN,
    Ctx,
    report,
    report_error,
)
from vswitch.openflow import actions as of
from vswitch.openflow.action_text import format_subfield

PROTO_BITS: Final = 0xFF << S_NW_PROTO


def read_subfield(flow: Flow, sf: of.MfSubfield) -> int:
    """The subfield's value, unsigned."""
    return (flow.get(sf.field) >> sf.ofs) & ((1 << sf.n_bits) - 1)


def write_subfield(flow: Flow, sf: of.MfSubfield, value: int) -> None:
    """Set the subfield to `value`."""
    mask = sf.mask
    flow.set(sf.field, (flow.get(sf.field) & ~mask) | ((value << sf.ofs) & mask))


def mask_subfield(wc: Flow, sf: of.MfSubfield) -> None:
    """Look at the subfield."""
    mask_field(wc, sf.field, sf.mask)


def mask_field(wc: Flow, field: Any, bits: int) -> None:
    """Look at `bits` of `field`; of a VLAN field, also at whether there is a tag."""
    wc.set_bits(field, bits)
    if field.special >= 2:
        wc.words[W_VLAN_TCI] |= VLAN_CFI


def _report_subfield(ctx: Ctx, sf: of.MfSubfield) -> None:
    if ctx.trace is not None:
        value = read_subfield(ctx.flow, sf)
        text = format_value(sf.field, value) if sf.whole else c_hex(value)
        report(ctx, OFT_DETAIL, f"{format_subfield(sf)} is now {text}")


_IN_IP_HEADER: Final = frozenset(
    field.index
    for field in FIELDS
    if field.prereq in (Prereq.ARP, Prereq.IPV4, Prereq.IPV6, Prereq.IP_ANY) and field.name != "ip_dscp"
)
"""Fields that are committed only where the protocol is not 0, so that the protocol matters."""


def set_field(ctx: Ctx, a: of.SetField, last: bool) -> bool:
    field = a.field
    flow = ctx.flow
    if not prereqs_ok(field, flow, None, ctx.wc):
        if ctx.trace is not None:
            report(ctx, OFT_WARN, f"unmet prerequisites for {field.name}, set_field ignored")
        return False
    if field.index in _IN_IP_HEADER:
        ctx.wc.words[W_NW_PROTO] |= PROTO_BITS
    mask = a.mask
    mask_field(ctx.wc, field, mask)
    if mask == field.ones:
        flow.set(field, a.value)
    else:
        flow.set(field, (flow.get(field) & ~mask) | (a.value & mask))
    return False


def load(ctx: Ctx, dst: of.MfSubfield, value: int) -> None:
    """Set `dst` to a value that an action computed, if the packet has the field."""
    mask_subfield(ctx.wc, dst)
    if prereqs_ok(dst.field, ctx.flow, None, ctx.wc):
        write_subfield(ctx.flow, dst, value)
        _report_subfield(ctx, dst)


def reg_move(ctx: Ctx, a: of.RegMove, last: bool) -> bool:
    flow = ctx.flow
    wc = ctx.wc
    src = a.src
    dst = a.dst
    mask_subfield(wc, src)
    mask_subfield(wc, dst)
    src_ok = prereqs_ok(src.field, flow, None, wc)
    dst_ok = prereqs_ok(dst.field, flow, None, wc)
    if src_ok and dst_ok:
        write_subfield(flow, dst, read_subfield(flow, src))
        _report_subfield(ctx, dst)
    return False


def stack_push(ctx: Ctx, a: of.StackPush, last: bool) -> bool:
    sf = a.src
    mask_subfield(ctx.wc, sf)
    ctx.stack.append((read_subfield(ctx.flow, sf), sf.n_bits))
    return False


def stack_pop(ctx: Ctx, a: of.StackPop, last: bool) -> bool:
    stack = ctx.stack
    if not stack:
        report_error(ctx, "stack underflow")
        return False
    value, _ = stack.pop()
    mask_subfield(ctx.wc, a.dst)
    write_subfield(ctx.flow, a.dst, value)
    _report_subfield(ctx, a.dst)
    return False


