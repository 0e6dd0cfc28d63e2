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
from vswitch.flow.port_numbers import OFPP11_MAX
from vswitch.flow.prereq import prereqs_ok
from vswitch.flow.values import c_hex, format_value
from vswitch.ofproto.tlv import bind_set_field
from vswitch.ofproto_dpif.xlate.ctx import Ctx, report, report_error
from vswitch.ofproto_dpif.xlate.trace import OFT_DETAIL, OFT_WARN
from vswitch.openflow import actions as of
from vswitch.openflow.action_text import format_subfield
from vswitch.openflow.constants import OFPP_MAX, OFPP_NONE
from vswitch.packet.numbers import (
    ETH_TYPE_VLAN_8021Q,
)

PROTO_BITS: Final = 0xFF << S_NW_PROTO
PORT32: Final = 1
"""`Field.special` of a port number in 32 bits (OpenFlow 1.1, A.2.1), kept in 16."""


def read_subfield(flow: Flow, sf: of.MfSubfield) -> int:
    """The subfield's value, unsigned."""
    return (flow.get(sf.field) >> sf.ofs) & ((1 << sf.n_bits) - 1)


def write_subfield(flow: Flow, sf: of.MfSubfield, value: int) -> None:
    """Set the subfield to `value`."""
    mask = sf.mask
    write_field(flow, sf.field, (flow.get(sf.field) & ~mask) | ((value << sf.ofs) & mask))


def write_field(flow: Flow, field: Any, value: int) -> None:
    """Set `field` to `value`. What becomes a VLAN tag by that is one of 802.1Q; a 32-bit port number that
    is none is OFPP_NONE."""
    if field.special == PORT32 and OFPP_MAX <= value < OFPP11_MAX:
        value = OFPP_NONE
    flow.set(field, value)
    if field.option >= 0:
        if field.placed:
            flow.set_option(field.option)
    elif field.word == W_VLAN_TCI and flow.vlan_tci and not flow.vlan_tpid:
        flow.vlan_tpid = ETH_TYPE_VLAN_8021Q


def delete_field(ctx: Ctx, a: of.DeleteField, last: bool) -> None:
    """Take a tunnel option off: it will not be sent, though its value can still be read."""
    ctx.flow.set_option(a.field.option, False)
    if ctx.trace is not None:
        report(ctx, OFT_DETAIL, f"delete {a.field.name}")


def _placed(ctx: Ctx, sf: of.MfSubfield) -> of.MfSubfield:
    """`sf` where the switch has it: a group's buckets name tunnel options without knowing their place."""
    field = sf.field
    if field.option < 0 or field.placed:
        return sf
    known = ctx.bridge.tlv.fields.get(int(field.option))
    return sf if known is None else of.MfSubfield(known, sf.ofs, sf.n_bits)


def mask_subfield(wc: Flow, sf: of.MfSubfield) -> None:
    """Look at the subfield."""
    mask_field(wc, sf.field, sf.mask)


def mask_field(wc: Flow, field: Any, bits: int) -> None:
    """Look at `bits` of `field`; of a VLAN field, also at whether there is a tag, of a tunnel option, at
    whether the packet has it."""
    wc.set_bits(field, bits)
    if field.option >= 0:
        wc.set_option(field.option)
    elif field.special >= 2:
        wc.words[W_VLAN_TCI] |= VLAN_CFI


def _report_subfield(ctx: Ctx, sf: of.MfSubfield) -> None:
    if ctx.trace is not None:
        placed = _placed(ctx, sf)
        if sf.whole:
            text = format_value(sf.field, ctx.flow.get(placed.field))
        else:
            text = c_hex(read_subfield(ctx.flow, placed))
        report(ctx, OFT_DETAIL, f"{format_subfield(sf)} is now {text}")


_IN_IP_HEADER: Final = frozenset(
    field.index
    for field in FIELDS
    if field.prereq in (Prereq.ARP, Prereq.IPV4, Prereq.IPV6, Prereq.IP_ANY) and field.name != "ip_dscp"
)
"""Fields that are committed only where the protocol is not 0, so that the protocol matters."""


def set_field(ctx: Ctx, a: of.SetField, last: bool) -> None:
    field = a.field
    flow = ctx.flow
    if field.option >= 0 and not field.placed:
        known = ctx.bridge.tlv.fields.get(int(field.option))
        if known is None:
            return
        a = bind_set_field(a, known)
        field = known
    if not prereqs_ok(field, flow, None, ctx.wc):
        if ctx.trace is not None:
            report(ctx, OFT_WARN, f"unmet prerequisites for {field.name}, set_field ignored")
        return
    if field.index in _IN_IP_HEADER:
        ctx.wc.words[W_NW_PROTO] |= PROTO_BITS
    mask = a.mask
    mask_field(ctx.wc, field, mask)
    if mask == field.ones:
        write_field(flow, field, a.value)
    else:
        write_field(flow, field, (flow.get(field) & ~mask) | (a.value & mask))


def load(ctx: Ctx, dst: of.MfSubfield, value: int) -> None:
    """Set `dst` to a value that an action computed, if the packet has the field."""
    placed = _placed(ctx, dst)
    mask_subfield(ctx.wc, placed)
    if prereqs_ok(dst.field, ctx.flow, None, ctx.wc):
        write_subfield(ctx.flow, placed, value)
        _report_subfield(ctx, dst)


def reg_move(ctx: Ctx, a: of.RegMove, last: bool) -> None:
    flow = ctx.flow
    wc = ctx.wc
    src = _placed(ctx, a.src)
    dst = _placed(ctx, a.dst)
    # A flow's packets may be fragments, without the fields that it matches on otherwise.
    if prereqs_ok(dst.field, flow, None, wc) and prereqs_ok(src.field, flow, None, wc):
        mask_subfield(wc, src)
        mask_subfield(wc, dst)
        write_subfield(flow, dst, read_subfield(flow, src))
    _report_subfield(ctx, a.dst)


def stack_push(ctx: Ctx, a: of.StackPush, last: bool) -> None:
    sf = _placed(ctx, a.src)
    mask_subfield(ctx.wc, sf)
    ctx.stack.append((read_subfield(ctx.flow, sf), sf.n_bits))


def stack_pop(ctx: Ctx, a: of.StackPop, last: bool) -> None:
    stack = ctx.stack
    if not stack:
        report_error(ctx, "stack underflow")
        return
    value, _ = stack.pop()
    dst = _placed(ctx, a.dst)
    mask_subfield(ctx.wc, dst)
    write_subfield(ctx.flow, dst, value)
    _report_subfield(ctx, a.dst)


