"""Subfields as text: "NXM_NX_REG0[0..15]", "eth_src[]", "reg1"."""

from __future__ import annotations

import re

from vswitch.flow.field import Field
from vswitch.flow.fields import by_name
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.actions import MfSubfield

_SUBFIELD = re.compile(r"([^\[-]*)(\[[^\]]*\]?)?")
_BITS = re.compile(r"\[(?:(\d+)(?:\.\.(\d+))?)?\]$")


def subfield_field_name(field: Field) -> str:
    """The name that subfields of `field` print: NXM's if there is one, else OXM's."""
    for header in field.oxm:
        if header.name.startswith("NXM_"):
            return header.name
    return field.oxm[0].name if field.oxm else field.name


def check_nicira_header(sf: MfSubfield, shown: str, text: str) -> None:
    """FlowSyntaxError: Nicira's actions can't name the field of `sf`, which is `shown` in `text`: they have
    32 bits for it, and its first header is an experimenter's (OpenFlow 1.3, 7.2.3.2) or there is none."""
    first = min(sf.field.oxm, key=lambda header: header.of_version, default=None)
    if first is None or first.experimenter:
        raise FlowSyntaxError(f"{text}: experimenter OXM field '{shown}' not supported", shown)


def format_subfield(sf: MfSubfield) -> str:
    """As ovs-ofctl prints it: "NXM_NX_REG0[]", "NXM_NX_REG0[3]", "NXM_NX_REG0[0..15]"."""
    name = subfield_field_name(sf.field)
    if sf.whole:
        return f"{name}[]"
    if sf.n_bits == 1:
        return f"{name}[{sf.ofs}]"
    return f"{name}[{sf.ofs}..{sf.ofs + sf.n_bits - 1}]"


def parse_subfield_at(text: str, start: int = 0) -> tuple[MfSubfield, int]:
    """The subfield at `start` of `text`, and where it ends. FlowSyntaxError."""
    found = _SUBFIELD.match(text, start)
    assert found is not None
    name = found.group(1)
    whole = text[start:]
    try:
        field = by_name(name)
    except KeyError:
        raise FlowSyntaxError(f"{whole}: unknown field `{name}'", whole) from None
    brackets = found.group(2)
    if brackets is None:
        return MfSubfield(field, 0, field.n_bits), found.end()
    bits = _BITS.match(brackets)
    if bits is None:
        raise FlowSyntaxError(f"{whole}: syntax error expecting [] or [<bit>] or [<start>..<end>]", whole)
    if bits.group(1) is None:
        return MfSubfield(field, 0, field.n_bits), found.end()
    first = int(bits.group(1))
    last = first if bits.group(2) is None else int(bits.group(2))
    if first > last:
        raise FlowSyntaxError(f"{whole}: starting bit {first} is after ending bit {last}", whole)
    for which, bit in (("starting", first), ("ending", last)):
        if bit >= field.n_bits:
            message = f"{which} bit {bit} is not valid because field is only {field.n_bits} bits wide"
            raise FlowSyntaxError(f"{whole}: {message}", whole)
    return MfSubfield(field, first, last - first + 1), found.end()


def parse_subfield(text: str) -> MfSubfield:
    """The subfield that `text` is, all of it. FlowSyntaxError."""
    text = text.strip()
    sf, end = parse_subfield_at(text)
    if end != len(text):
        raise FlowSyntaxError(f"{text[end:]}: trailing garbage following subfield", text[end:])
    return sf
