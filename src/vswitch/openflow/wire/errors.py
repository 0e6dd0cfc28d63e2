"""Each OpenFlow error's numbers in each version, and back: the table of all errors.

An `OfpError` has one name for all versions. `to_numbers` finds what stands for it on the wire:
(vendor, type, code), where vendor 0 is OpenFlow's own; a version without the error has an
extension's (Nicira's, the ONF's) or none, for which Open vSwitch sends NXBRC_UNENCODABLE_ERROR.
The names are in `error_table.py`.
"""

from __future__ import annotations

from typing import Final

from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.error_table import ERRORS
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP15

NX_VENDOR_ID: Final = 0x00002320
ONF_VENDOR_ID: Final = 0x4F4E4600
VENDORS: Final = {"": 0, "NX": NX_VENDOR_ID, "ONF": ONF_VENDOR_ID}
NXET_VENDOR: Final = 0xB0C2
"""The type of an OpenFlow 1.0 and 1.1 error message whose body names vendor, type and code."""
OFPET12_EXPERIMENTER: Final = 0xFFFF
"""The type of an OpenFlow 1.2+ error message whose body names the experimenter."""
UNENCODABLE: Final = "NXBRC_UNENCODABLE_ERROR"

Numbers = tuple[int, int, int]
"""(vendor, type, code)."""


def _versions(text: str) -> range:
    """ "1.0-1.2" or "1.3" as version numbers."""
    first, _, last = text.partition("-")
    return range(OFP10 + int(first[2:]), OFP10 + int((last or first)[2:]) + 1)


def _table() -> tuple[dict[str, dict[int, Numbers]], dict[tuple[int, int, int, int], str]]:
    numbers: dict[str, dict[int, Numbers]] = {}
    names: dict[tuple[int, int, int, int], str] = {}
    for name, text in ERRORS.items():
        rows = numbers[name] = {}
        for part in text.split("; "):
            span, _, where = part.partition(" ")
            vendor, _, pair = where.rpartition(":")
            type_, _, code = pair.partition(".")
            for version in _versions(span):
                rows[version] = (VENDORS[vendor], int(type_), int(code))
                names.setdefault((version, *rows[version]), name)
    return numbers, names


_NUMBERS, _NAMES = _table()


def to_numbers(name: str, version: int) -> Numbers:
    """The numbers of error `name` in `version`; those of NXBRC_UNENCODABLE_ERROR if it has none."""
    known = min(max(version, OFP10), OFP15)
    return _NUMBERS.get(name, {}).get(known) or _NUMBERS[UNENCODABLE][known]


def encodable(name: str, version: int) -> bool:
    """Whether `version` has error `name`."""
    return version in _NUMBERS.get(name, {})


def from_numbers(version: int, vendor: int, type_: int, code: int) -> str:
    """The error's name, or "" for numbers that mean nothing. Where one stands for two, the first."""
    return _NAMES.get((version, vendor, type_, code), "")


def put_error(w: Writer, name: str, version: int, data: bytes) -> None:
    """The body of an OFPT_ERROR message: the error's numbers, then `data` (the request's beginning)."""
    vendor, type_, code = to_numbers(name, version)
    if not vendor:
        w.u16(type_)
        w.u16(code)
    elif version in (OFP10, OFP11):
        w.u16(NXET_VENDOR)
        w.u16(0)
        w.u32(vendor)
        w.u16(type_)
        w.u16(code)
    else:
        w.u16(OFPET12_EXPERIMENTER)
        w.u16(type_)
        w.u32(vendor)
    w.raw(data)


def get_error(r: Reader, version: int) -> tuple[Numbers, str, bytes]:
    """An OFPT_ERROR body: the numbers, the error's name ("" if unknown), the data."""
    type_: int = r.u16()
    code: int = r.u16()
    vendor = 0
    if version < OFP12 and type_ == NXET_VENDOR and code == 0:
        vendor = r.u32()
        type_ = r.u16()
        code = r.u16()
    elif version >= OFP12 and type_ == OFPET12_EXPERIMENTER:
        type_, code = code, 0
        vendor = r.u32()
    return (vendor, type_, code), from_numbers(version, vendor, type_, code), r.rest()


__all__ = ["ERRORS", "OfpError", "encodable", "from_numbers", "get_error", "put_error", "to_numbers"]
