"""NXAST_NAT, and NXAST_CT without the actions within it. Compiled by mypyc."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.openflow import actions as a
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.oxm import NXM, oxm_entry
from vswitch.openflow.wire.put import Put, begin_nx, end_action
from vswitch.openflow.wire.subfield import (
    check_subfield,
    from_ofs_nbits,
    get_short_header,
    put_field_header,
    put_ofs_nbits,
)

NXAST_CT: Final = 35
NXAST_NAT: Final = 36
CT_COMMIT: Final = 1
CT_FORCE: Final = 2
NO_RECIRC: Final = 0xFF

NAT_KINDS: Final = ("", "src", "dst")
NAT_PERSISTENT: Final = 4
NAT_HASH: Final = 8
NAT_RANDOM: Final = 16
RANGE_IPV4_MIN: Final = 1
RANGE_IPV4_MAX: Final = 2
RANGE_IPV6_MIN: Final = 4
RANGE_IPV6_MAX: Final = 8
RANGE_PROTO_MIN: Final = 16
RANGE_PROTO_MAX: Final = 32


def put_ct_head(w: Writer, action: a.Ct) -> i64:
    """NXAST_CT up to the actions within it; where it starts."""
    start = begin_nx(w, NXAST_CT)
    w.u16((CT_COMMIT if action.commit else 0) | (CT_FORCE if action.force else 0))
    zone = action.zone_src
    if zone is None or oxm_entry(zone.field, NXM).experimenter:
        w.u32(0)
        w.u16(action.zone)
    else:
        put_field_header(w, zone.field)
        put_ofs_nbits(w, zone)
    w.u8(NO_RECIRC if action.recirc_table is None else action.recirc_table)
    w.pad(3)
    w.u16(action.alg)
    return start


def get_ct_head(r: Reader) -> a.Ct:
    """NXAST_CT up to the actions within it, as a Ct without any."""
    flags = r.u16()
    source = r.u32()
    zone: int = r.u16()
    zone_src: a.MfSubfield | None = None
    if source:
        r.pos -= 6
        field = get_short_header(r)
        zone_src = from_ofs_nbits(field, r.u16())
        zone = 0
        check_subfield(zone_src, dst=False)
        if zone_src.n_bits != 16:
            raise OfpError("OFPBAC_BAD_SET_LEN", "ct zone is not 16 bits wide")
    table: int = r.u8()
    r.skip(3)
    alg: int = r.u16()
    commit = flags & CT_COMMIT != 0
    force = flags & CT_FORCE != 0
    if force and not commit:
        raise OfpError("OFPBAC_BAD_ARGUMENT", "ct force without commit")
    return a.Ct(commit, force, zone, zone_src, None if table == NO_RECIRC else table, alg)


def put_nat(w: Writer, action: a.Nat, _ctx: Put) -> None:
    """NXAST_NAT."""
    start = begin_nx(w, NXAST_NAT)
    w.pad(2)
    flags = NAT_KINDS.index(action.kind)
    if action.persistent:
        flags |= NAT_PERSISTENT
    if action.hash:
        flags |= NAT_HASH
    if action.random:
        flags |= NAT_RANDOM
    w.u16(flags)
    low, high = action.min_addr, action.max_addr
    six = action.family == 6
    present = 0
    if low is not None:
        present |= RANGE_IPV6_MIN if six else RANGE_IPV4_MIN
        if high is not None:
            present |= RANGE_IPV6_MAX if six else RANGE_IPV4_MAX
    if action.min_port:
        present |= RANGE_PROTO_MIN
        if action.max_port:
            present |= RANGE_PROTO_MAX
    w.u16(present)
    if low is not None:
        w.uint(low, 16 if six else 4)
        if high is not None:
            w.uint(high, 16 if six else 4)
    if action.min_port:
        w.u16(action.min_port)
        if action.max_port:
            w.u16(action.max_port)
    end_action(w, start)


def get_nat(r: Reader) -> a.Action:
    """NXAST_NAT. OfpError: OFPBAC_BAD_ARGUMENT, also for a range that is cut off and ports without an
    address."""
    r.skip(2)
    flags = r.u16()
    present = r.u16()
    kind = flags & 3
    if kind == 3 or flags >> 5:
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"nat flags {flags:#x}")
    low: int | None = None
    high: int | None = None
    family = 0
    four = present & (RANGE_IPV4_MIN | RANGE_IPV4_MAX)
    six = present & (RANGE_IPV6_MIN | RANGE_IPV6_MAX)
    if (four and six) or four == RANGE_IPV4_MAX or six == RANGE_IPV6_MAX:
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"nat range {present:#x}")
    ports = present & (RANGE_PROTO_MIN | RANGE_PROTO_MAX)
    if ports == RANGE_PROTO_MAX or (ports and not four and not six) or (present and not kind):
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"nat range {present:#x}")
    r.error = "OFPBAC_BAD_ARGUMENT"
    if not kind:
        flags = 0
    if four or six:
        family = 6 if six else 4
        size = 16 if six else 4
        low = r.uint(size)
        if present & (RANGE_IPV4_MAX | RANGE_IPV6_MAX):
            high = r.uint(size)
            if high < low:
                raise OfpError("OFPBAC_BAD_ARGUMENT", "nat range ends before it starts")
    min_port = 0
    max_port = 0
    if present & RANGE_PROTO_MIN:
        min_port = r.u16()
        if min_port == 0:
            raise OfpError("OFPBAC_BAD_ARGUMENT", "nat to port 0")
        if present & RANGE_PROTO_MAX:
            max_port = r.u16()
            if max_port < min_port:
                raise OfpError("OFPBAC_BAD_ARGUMENT", "nat range ends before it starts")
    return a.Nat(
        NAT_KINDS[kind], family, low, high, min_port, max_port,
        flags & NAT_PERSISTENT != 0, flags & NAT_HASH != 0, flags & NAT_RANDOM != 0,
    )  # fmt: skip
