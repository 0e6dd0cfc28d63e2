"""Fields and subfields within actions: a TLV header alone, with offset and width beside it.

Actions name fields as NXM does in every version; only OpenFlow's own (set_field, copy_field) use the
version's names. Compiled by mypyc.
"""

from __future__ import annotations

from mypy_extensions import i64

from vswitch.flow.field import Field
from vswitch.openflow.actions import MfSubfield
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.oxm import (
    NXM,
    OxmTlv,
    get_oxm_header,
    is_tun_metadata,
    oxm_entry,
    put_oxm_header,
)
from vswitch.openflow.wire.version import OFP12


def put_field_header(w: Writer, field: Field, version: int = NXM) -> None:
    """The TLV header of `field`: 4 bytes, with an experimenter 8."""
    entry = oxm_entry(field, version if version >= OFP12 else NXM)
    put_oxm_header(w, entry, entry.size if field.option < 0 else field.n_bytes, False)


def get_field_header(r: Reader) -> Field:
    """The field that a TLV header names. OfpError: OFPBMC_BAD_FIELD, OFPBMC_BAD_MASK, OFPBMC_BAD_LEN."""
    tlv = OxmTlv()
    r.error = "OFPBMC_BAD_LEN"
    field = get_oxm_header(r, tlv)
    r.error = "OFPBAC_BAD_LEN"
    if field is None or not fits(tlv, field):
        raise OfpError("OFPBMC_BAD_FIELD", "unknown field in an action")
    if not tlv.exact:
        raise OfpError("OFPBMC_BAD_MASK", field.name)
    return field


def get_short_header(r: Reader) -> Field:
    """The field that 4 bytes name, so none of an experimenter's. OfpError OFPBAC_BAD_SET_TYPE."""
    tlv = OxmTlv()
    at = r.need(4)
    field = None
    if r.data[at] != 0xFF or r.data[at + 1] != 0xFF:
        r.pos = at
        field = get_oxm_header(r, tlv)
    if field is None or not fits(tlv, field):
        raise OfpError("OFPBAC_BAD_SET_TYPE", "unknown field in an action")
    return field


def fits(tlv: OxmTlv, field: Field) -> bool:
    """Whether the length in a TLV header is that of `field`."""
    if is_tun_metadata(field):
        return tlv.size < 128  # an option has up to 124 bytes, but the real switch takes these
    return tlv.size == field.n_bytes * (1 if tlv.exact else 2)


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
