"""Fields and subfields within actions: a TLV header alone, with offset and width beside it.

Actions name fields as NXM does in every version; only OpenFlow's own (set_field, copy_field) use the
version's names. Compiled by mypyc.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.flow.field import Field
from vswitch.openflow.actions import MfSubfield
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.oxm import NXM, OxmTlv, get_oxm_header, oxm_entry, put_oxm_header
from vswitch.openflow.wire.version import OFP12

MAX_OFS_NBITS: Final = 64


def put_field_header(w: Writer, field: Field, version: int = NXM) -> None:
    """The TLV header of `field`: 4 bytes, with an experimenter 8."""
    entry = oxm_entry(field, version if version >= OFP12 else NXM)
    put_oxm_header(w, entry, entry.size, False)


def get_field_header(r: Reader) -> Field:
    """The field that a TLV header names. OfpError: OFPBMC_BAD_FIELD, OFPBMC_BAD_MASK, OFPBMC_BAD_LEN."""
    tlv = OxmTlv()
    field = get_oxm_header(r, tlv)
    if field is None:
        raise OfpError("OFPBMC_BAD_FIELD", "unknown field in an action")
    if not tlv.exact:
        raise OfpError("OFPBMC_BAD_MASK", field.name)
    if tlv.size != field.n_bytes:
        raise OfpError("OFPBMC_BAD_LEN", field.name)
    return field


def get_plain_header(r: Reader) -> Field | None:
    """The field that 4 bytes name, None for 4 zero bytes, as `get_field_header` otherwise."""
    head = r.u32()
    if head == 0:
        return None
    r.pos -= 4
    return get_field_header(r)


def check_subfield(sf: MfSubfield, *, dst: bool) -> MfSubfield:
    """`sf`, if it lies within its field and, for `dst`, may be written.

    OfpError: OFPBAC_BAD_SET_LEN, OFPBAC_BAD_SET_ARGUMENT.
    """
    if sf.n_bits == 0 or sf.ofs + sf.n_bits > sf.field.n_bits:
        raise OfpError("OFPBAC_BAD_SET_LEN", f"{sf.field.name}[{sf.ofs}+{sf.n_bits}]")
    if dst and not sf.field.writable:
        raise OfpError("OFPBAC_BAD_SET_ARGUMENT", f"{sf.field.name} is read-only")
    return sf


def put_ofs_nbits(w: Writer, sf: MfSubfield) -> None:
    """Offset and width in 16 bits: offset << 6 | width - 1."""
    w.u16(sf.ofs << 6 | (sf.n_bits - 1))


def from_ofs_nbits(field: Field, bits: i64) -> MfSubfield:
    """The subfield of `field` that 16 bits of offset and width say."""
    return MfSubfield(field, bits >> 6, (bits & 63) + 1)
