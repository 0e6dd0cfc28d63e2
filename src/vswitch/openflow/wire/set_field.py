"""Setting and copying fields: set_field, reg_load, reg_load2, reg_move, copy_field.

OpenFlow 1.2 and later set a whole field by OFPAT_SET_FIELD, 1.5 bits of one too. Else each run of bits
is an NXAST_REG_LOAD, and what that cannot name (experimenters' fields, tunnel options) an
NXAST_REG_LOAD2. In 1.0 and 1.1 a field that has an action of its own gets that. Compiled by mypyc.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.flow.field import Field
from vswitch.flow.fields import by_name
from vswitch.openflow import actions as a
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.oxm import (
    MAX_NSH_TTL,
    NXM,
    OxmTlv,
    get_oxm_header,
    get_oxm_tlv,
    is_tun_metadata,
    oxm_entry,
    put_oxm_field,
)
from vswitch.openflow.wire.put import Put, begin_nx, end_action
from vswitch.openflow.wire.subfield import (
    check_subfield,
    fits,
    from_ofs_nbits,
    get_field_header,
    get_short_header,
    put_field_header,
)
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP15
from vswitch.packet.numbers import ETH_TYPE_VLAN_8021Q

NXAST_REG_MOVE: Final = 6
NXAST_REG_LOAD: Final = 7
NXAST_REG_LOAD2: Final = 33
OFPAT_SET_FIELD: Final = 25
OFPAT15_COPY_FIELD: Final = 28
OFPAT11_PUSH_VLAN: Final = 17
OFPAT11_POP_VLAN: Final = 18

_VLAN_VID: Final = by_name("vlan_vid")
_VLAN_PCP: Final = by_name("vlan_pcp")

LEGACY: Final[dict[str, tuple[int, int, int]]] = {
    "vlan_vid": (1, 1, 2),
    "dl_vlan": (1, 1, 2),
    "vlan_pcp": (2, 2, 1),
    "dl_vlan_pcp": (2, 2, 1),
    "eth_src": (4, 3, 6),
    "eth_dst": (5, 4, 6),
    "ip_src": (6, 5, 4),
    "ip_dst": (7, 6, 4),
    "nw_tos": (8, 7, 1),
    "ip_dscp": (8, 7, 1),
    "nw_ecn": (-1, 8, 1),
    "tcp_src": (9, 9, 2),
    "udp_src": (9, 9, 2),
    "tcp_dst": (10, 10, 2),
    "udp_dst": (10, 10, 2),
}
"""Field -> type of the action that sets it in 1.0 and in 1.1 (-1: none), bytes of its value."""


def put_plain(w: Writer, type_: i64, value: int, size: i64) -> None:
    """An action of a type and one value right after its length: 8 bytes, or 16 for an address."""
    start = w.position()
    w.u16(type_)
    w.u16(16 if size > 4 else 8)
    w.uint(value, size)
    w.pad_to(8, start)


def put_legacy(w: Writer, field: Field, value: int, ctx: Put) -> bool:
    """Set `field` by an action of 1.0 or 1.1 made for it; False if there is none."""
    version = ctx.version
    known = LEGACY.get(field.name)
    if known is None:
        if field.name != "vlan_tci":
            return False
        tagged = value & 0x1000 != 0
        if not tagged:
            put_plain(w, 3 if version == OFP10 else OFPAT11_POP_VLAN, 0, 2)
        elif not ctx.has_vlan and version == OFP11:
            put_plain(w, OFPAT11_PUSH_VLAN, ETH_TYPE_VLAN_8021Q, 2)
        ctx.has_vlan = tagged
        if not tagged:
            return True
        put_plain(w, 1, value & 0xFFF, 2)
        put_plain(w, 2, value >> 13, 1)
        return True
    type_ = known[0] if version == OFP10 else known[1]
    if type_ < 0:
        return False
    if field.name == "ip_dscp":
        value <<= 2
    elif known[0] == 1:
        value &= 0xFFF
    put_plain(w, type_, value, known[2])
    return True


def put_set_field(w: Writer, action: a.SetField, ctx: Put) -> None:
    """`set_field` and `load`."""
    _put_set_field(w, action, ctx)
    if action.field.name == "vlan_tci":
        ctx.has_vlan = action.value & 0x1000 != 0


def _put_set_field(w: Writer, action: a.SetField, ctx: Put) -> None:
    version = ctx.version
    field = action.field
    exact = action.mask & field.ones == field.ones
    if version >= OFP15 or (version >= OFP12 and exact and not action.load):
        unmasked = exact and (not action.load or field.n_bits == 8 * field.n_bytes)
        put_oxm_set_field(w, field, action.value, None if unmasked else action.mask, version)
        return
    if version < OFP12 and exact and not action.load and put_legacy(w, field, action.value, ctx):
        return
    if oxm_entry(field, NXM).experimenter or is_tun_metadata(field):
        start = begin_nx(w, NXAST_REG_LOAD2)
        put_oxm_field(w, field, action.value, None if exact else action.mask, NXM)
        end_action(w, start)
        return
    put_reg_loads(w, field, action.value, (1 << field.n_bits) - 1 if exact else action.mask)


def put_oxm_set_field(w: Writer, field: Field, value: int, mask: int | None, version: int) -> None:
    """OFPAT_SET_FIELD (OpenFlow 1.2 and later)."""
    start = w.position()
    w.u16(OFPAT_SET_FIELD)
    w.u16(0)
    put_oxm_field(w, field, value, mask, version)
    end_action(w, start)


def put_reg_loads(w: Writer, field: Field, value: int, mask: int) -> None:
    """An NXAST_REG_LOAD for each run of bits in `mask`, of at most 64 bits each."""
    ofs = 0
    mask &= (1 << field.n_bits) - 1
    while mask >> ofs:
        if not mask >> ofs & 1:
            ofs += 1
            continue
        n_bits = 1
        while n_bits < 64 and mask >> (ofs + n_bits) & 1:
            n_bits += 1
        put_reg_load(w, field, ofs, n_bits, value >> ofs & ((1 << n_bits) - 1))
        ofs += n_bits


def put_reg_load(w: Writer, field: Field, ofs: int, n_bits: int, value: int) -> None:
    """NXAST_REG_LOAD of `n_bits` <= 64 bits."""
    begin_nx(w, NXAST_REG_LOAD, 24)
    w.u16(ofs << 6 | (n_bits - 1))
    put_field_header(w, field)
    w.u64(value)


def get_reg_load(r: Reader) -> a.Action:
    """NXAST_REG_LOAD."""
    bits = r.u16()
    dst = check_subfield(from_ofs_nbits(get_short_header(r), bits), dst=True)
    value = r.u64()
    if value >> dst.n_bits:
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"{value:#x} does not fit into {dst.n_bits} bits")
    return a.SetField(dst.field, value << dst.ofs, dst.mask, load=True)


def get_set_field(r: Reader, *, may_mask: bool) -> a.Action:
    """The TLV of OFPAT_SET_FIELD or NXAST_REG_LOAD2, and zeros after it."""
    tlv = OxmTlv()
    start = r.pos
    r.error = "OFPBMC_BAD_LEN"
    field = get_oxm_header(r, tlv)
    if field is None:
        raise OfpError("OFPBAC_BAD_SET_TYPE", "unknown field")
    if not fits(tlv, field):
        raise OfpError("OFPBAC_BAD_SET_LEN" if tlv.size else "OFPBAC_BAD_SET_TYPE", field.name)
    masked = not tlv.exact
    r.pos = start
    get_oxm_tlv(r, tlv)
    if masked and not may_mask:
        raise OfpError("OFPBAC_BAD_SET_MASK", field.name)
    if not r.zeros(r.left):
        raise OfpError("OFPBAC_BAD_SET_ARGUMENT", "padding is not zero")
    if not field.writable:
        raise OfpError("OFPBAC_BAD_SET_ARGUMENT", f"{field.name} is read-only")
    value = tlv.value
    most = MAX_NSH_TTL if field.name == "nsh_ttl" else field.ones
    untagged = field is _VLAN_VID and not value & 0x1000  # the tag that this would set is none
    if value & ~most or field.name == "in_port_oxm" or untagged:
        raise OfpError("OFPBAC_BAD_SET_ARGUMENT", f"{field.name} {value:#x}")
    return a.SetField(field, value, field.ones if tlv.exact else tlv.mask & field.ones)


def put_reg_move(w: Writer, action: a.RegMove, ctx: Put) -> None:
    """OFPAT15_COPY_FIELD, before 1.5 NXAST_REG_MOVE."""
    version = ctx.version
    src, dst = action.src, action.dst
    if version >= OFP15:
        start = w.position()
        w.u16(OFPAT15_COPY_FIELD)
        w.u16(0)
    else:
        start = begin_nx(w, NXAST_REG_MOVE)
        version = NXM
    w.u16(src.n_bits)
    w.u16(src.ofs)
    w.u16(dst.ofs)
    if version >= OFP15:
        w.pad(2)
    put_field_header(w, src.field, version)
    put_field_header(w, dst.field, version)
    end_action(w, start)


def get_reg_move(r: Reader, pad: int) -> a.Action:
    """NXAST_REG_MOVE (`pad` 0), OFPAT15_COPY_FIELD (2) or the ONF's copy_field."""
    n_bits: int = r.u16()
    src_ofs: int = r.u16()
    dst_ofs: int = r.u16()
    r.skip(pad)
    src = a.MfSubfield(get_field_header(r), src_ofs, n_bits)
    dst = a.MfSubfield(get_field_header(r), dst_ofs, n_bits)
    if not r.zeros(r.left):
        raise OfpError("NXBRC_MUST_BE_ZERO", "padding of a move")
    return a.RegMove(check_subfield(src, dst=False), check_subfield(dst, dst=True))


def put_vlan_vid(w: Writer, vid: int, version: int) -> None:
    """Set the VLAN ID of a packet that has a tag."""
    if version <= OFP11:
        put_plain(w, 1, vid, 2)
    else:
        put_oxm_set_field(w, _VLAN_VID, vid | 0x1000, None, version)


def put_vlan_pcp(w: Writer, pcp: int, version: int) -> None:
    """Set the VLAN priority of a packet that has a tag."""
    if version <= OFP11:
        put_plain(w, 2, pcp, 1)
    else:
        put_oxm_set_field(w, _VLAN_PCP, pcp, None, version)


