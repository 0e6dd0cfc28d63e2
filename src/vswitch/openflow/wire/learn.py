"""NXAST_LEARN and NXAST_LEARN2: a flow that a packet makes. Compiled by mypyc.

Each spec is a 16-bit header (width, where from, where to), then source and destination. Learn2 has a
limit and a bit that tells the result; it is used only where one of them is.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.openflow import actions as a
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.put import Put, begin_nx, end_action
from vswitch.openflow.wire.subfield import (
    check_subfield,
    get_field_header,
    get_short_header,
    put_field_header,
)

NXAST_LEARN: Final = 16
NXAST_LEARN2: Final = 45
SEND_FLOW_REM: Final = 1
DELETE_LEARNED: Final = 2
WRITE_RESULT: Final = 4
N_BITS_MASK: Final = 0x3FF
SRC_IMMEDIATE: Final = 1 << 13
DST_KINDS: Final = ("match", "load", "output")
DST_SHIFT: Final = 11


def put_learn(w: Writer, action: a.Learn, _ctx: Put) -> None:
    """The action, as NXAST_LEARN if that says it all."""
    result = action.result_dst
    learn2 = action.limit != 0 or result is not None
    start = begin_nx(w, NXAST_LEARN2 if learn2 else NXAST_LEARN)
    w.u16(action.idle_timeout)
    w.u16(action.hard_timeout)
    w.u16(action.priority)
    w.u64(action.cookie)
    flags = SEND_FLOW_REM if action.send_flow_rem else 0
    if action.delete_learned:
        flags |= DELETE_LEARNED
    if result is not None:
        flags |= WRITE_RESULT
    w.u16(flags)
    w.u8(action.table_id)
    w.pad(1)
    w.u16(action.fin_idle_timeout)
    w.u16(action.fin_hard_timeout)
    if learn2:
        w.u32(action.limit)
        w.u16(0 if result is None else result.ofs)
        w.pad(2)
        if result is not None:
            put_field_header(w, result.field)
    for spec in action.specs:
        _put_spec(w, spec)
    end_action(w, start)


def _put_spec(w: Writer, spec: a.LearnSpec) -> None:
    header = spec.n_bits | DST_KINDS.index(spec.kind) << DST_SHIFT
    src = spec.src
    if src is None:
        w.u16(header | SRC_IMMEDIATE)
        w.uint(spec.value, (spec.n_bits + 15) // 16 * 2)
    else:
        w.u16(header)
        put_field_header(w, src.field)
        w.u16(src.ofs)
    dst = spec.dst
    if dst is not None:
        put_field_header(w, dst.field)
        w.u16(dst.ofs)


def get_learn(r: Reader, learn2: bool) -> a.Action:
    """The rest of a learn action after its subtype.

    OfpError: OFPBAC_BAD_ARGUMENT (flags, table, spec header), OFPBAC_BAD_LEN, those of subfields.
    """
    idle: int = r.u16()
    hard: int = r.u16()
    priority: int = r.u16()
    cookie = r.u64()
    flags: int = r.u16()
    table: int = r.u8()
    pad = r.u8()
    fin_idle: int = r.u16()
    fin_hard: int = r.u16()
    known = SEND_FLOW_REM | DELETE_LEARNED | (WRITE_RESULT if learn2 else 0)
    if pad or flags & ~known or table == 0xFF:
        raise OfpError("OFPBAC_BAD_ARGUMENT", "learn")
    limit = 0
    result: a.MfSubfield | None = None
    if learn2:
        limit = r.u32()
        ofs: int = r.u16()
        if r.u16():
            raise OfpError("OFPBAC_BAD_ARGUMENT", "learn")
        if flags & WRITE_RESULT:
            result = check_subfield(a.MfSubfield(get_field_header(r), ofs, 1), dst=True)
        elif ofs:
            raise OfpError("OFPBAC_BAD_ARGUMENT", "learn")
    specs = []
    while r.end - r.pos >= 2:
        header = r.u16()
        if header == 0:
            break
        specs.append(_get_spec(r, header))
    if not r.zeros(r.left):
        raise OfpError("OFPBAC_BAD_ARGUMENT", "learn has bytes after its last spec")
    return a.Learn(
        tuple(specs), idle, hard, priority, cookie, table, fin_idle, fin_hard,
        flags & SEND_FLOW_REM != 0, flags & DELETE_LEARNED != 0, limit, result,
    )  # fmt: skip


def _get_spec(r: Reader, header: i64) -> a.LearnSpec:
    n_bits: int = header & N_BITS_MASK
    to = (header >> DST_SHIFT) & 3
    immediate = header & SRC_IMMEDIATE != 0
    if to > 2 or (to == 2 and immediate):
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"learn spec {header:#06x}")
    src: a.MfSubfield | None = None
    value = 0
    if immediate:
        size = (n_bits + 15) // 16 * 2
        value = r.uint(size) & (1 << n_bits) - 1 if size else 0
    else:
        src = _get_subfield(r, n_bits, False)
    dst: a.MfSubfield | None = None
    if to != 2:
        dst = _get_subfield(r, n_bits, to == 1)
    return a.LearnSpec(DST_KINDS[to], n_bits, src, value, dst)


def _get_subfield(r: Reader, n_bits: int, written: bool) -> a.MfSubfield:
    field = get_short_header(r)
    ofs: int = r.u16()
    return check_subfield(a.MfSubfield(field, ofs, n_bits), dst=written)
