"""NXAST_MULTIPATH, NXAST_BUNDLE, NXAST_BUNDLE_LOAD: choosing by a hash. Compiled by mypyc."""

from __future__ import annotations

from typing import Final

from vswitch.openflow import actions as a
from vswitch.openflow.constants import OFPP_MAX
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.ports import OUTPUT_PORTS
from vswitch.openflow.wire.put import Put, begin_nx, end_action
from vswitch.openflow.wire.subfield import (
    check_subfield,
    from_ofs_nbits,
    get_short_header,
    put_field_header,
    put_ofs_nbits,
)

NXAST_MULTIPATH: Final = 10
NXAST_BUNDLE: Final = 12
NXAST_BUNDLE_LOAD: Final = 13
NXM_OF_IN_PORT: Final = 0x00000002
"""What a bundle's members are, as a TLV header: port numbers."""
HASH_FIELDS: Final = (
    "eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst", "symmetric_l3",
)  # fmt: skip
"""nx_hash_fields."""
MULTIPATH_ALGORITHMS: Final = ("modulo_n", "hash_threshold", "hrw", "iter_hash")
"""nx_mp_algorithm."""
BUNDLE_ALGORITHMS: Final = ("active_backup", "hrw")
"""nx_bd_algorithm."""
PORT_BITS: Final = 16
MAX_MEMBERS: Final = 2048


def put_multipath(w: Writer, action: a.Multipath, _ctx: Put) -> None:
    """NXAST_MULTIPATH."""
    begin_nx(w, NXAST_MULTIPATH, 32)
    w.u16(HASH_FIELDS.index(action.fields))
    w.u16(action.basis)
    w.pad(2)
    w.u16(MULTIPATH_ALGORITHMS.index(action.algorithm))
    w.u16(action.max_link)
    w.u32(action.arg)
    w.pad(2)
    put_ofs_nbits(w, action.dst)
    put_field_header(w, action.dst.field)


def get_multipath(r: Reader) -> a.Action:
    """NXAST_MULTIPATH."""
    fields: int = r.u16()
    basis: int = r.u16()
    r.skip(2)
    algorithm: int = r.u16()
    max_link: int = r.u16()
    arg: int = r.u32()
    r.skip(2)
    bits = r.u16()
    dst = from_ofs_nbits(get_short_header(r), bits)
    if fields >= len(HASH_FIELDS) or algorithm >= len(MULTIPATH_ALGORITHMS):
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"multipath fields {fields}, algorithm {algorithm}")
    if dst.n_bits < 16 and max_link >= 1 << dst.n_bits:
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"multipath to {dst.n_bits} bits")
    check_subfield(dst, dst=True)
    return a.Multipath(HASH_FIELDS[fields], basis, MULTIPATH_ALGORITHMS[algorithm], max_link, arg, dst)


def put_bundle(w: Writer, action: a.Bundle, _ctx: Put) -> None:
    """NXAST_BUNDLE, or NXAST_BUNDLE_LOAD."""
    dst = action.dst
    start = begin_nx(w, NXAST_BUNDLE if dst is None else NXAST_BUNDLE_LOAD)
    w.u16(BUNDLE_ALGORITHMS.index(action.algorithm))
    w.u16(HASH_FIELDS.index(action.fields))
    w.u16(action.basis)
    w.u32(NXM_OF_IN_PORT)
    w.u16(len(action.members))
    if dst is None:
        w.pad(6)
    else:
        put_ofs_nbits(w, dst)
        put_field_header(w, dst.field)
    w.pad(4)
    for port in action.members:
        w.u16(port)
    end_action(w, start)


def get_bundle(r: Reader, load: bool) -> a.Action:
    """NXAST_BUNDLE and NXAST_BUNDLE_LOAD."""
    algorithm: int = r.u16()
    fields: int = r.u16()
    basis: int = r.u16()
    kind = r.u32()
    n_members: int = r.u16()
    dst: a.MfSubfield | None = None
    pad_ok = True
    if load:
        bits = r.u16()
        dst = from_ofs_nbits(get_short_header(r), bits)
        r.skip(4)
    else:
        pad_ok = r.zeros(10) and kind == NXM_OF_IN_PORT
    if r.left < 2 * n_members:
        raise OfpError("OFPBAC_BAD_LEN", f"bundle of {n_members} members")
    if fields >= len(HASH_FIELDS) or algorithm >= len(BUNDLE_ALGORITHMS) or not pad_ok:
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"bundle fields {fields}, algorithm {algorithm}")
    if n_members > MAX_MEMBERS:
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"bundle of {n_members} members")
    if dst is not None:
        check_subfield(dst, dst=True)
        if dst.n_bits < PORT_BITS:
            raise OfpError("OFPBAC_BAD_ARGUMENT", f"a port doesn't fit into {dst.n_bits} bits")
    members: list[int] = [r.u16() for _ in range(n_members)]
    for port in members:
        if port >= OFPP_MAX and port not in OUTPUT_PORTS:
            raise OfpError("OFPBAC_BAD_OUT_PORT", f"bundle member {port}")
    return a.Bundle(HASH_FIELDS[fields], basis, BUNDLE_ALGORITHMS[algorithm], tuple(members), dst)
