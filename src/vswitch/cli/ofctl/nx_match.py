"""Matches as lists of NXM and OXM fields in text: `NXM_OF_ETH_TYPE(0800), NXM_NX_REG0_W(00000001/0000000f)`.

A field is named by its header's name ("_W" for one with a mask), or by the header itself in 8 hexadecimal
digits, 16 with an experimenter. `parse-nx-match` and its siblings read such lines, decode the bytes, encode
the match that they are, and print what came of it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from vswitch.cli.ofctl.switch import OfctlError, Settings
from vswitch.flow.field import Field
from vswitch.flow.fields import BY_OXM, FIELDS
from vswitch.openflow.errors import OfpError
from vswitch.openflow.print_base import plain_dump
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.match import get_match, get_nxm, put_match, put_nxm
from vswitch.openflow.wire.oxm import (
    EXPERIMENTER_CLASS,
    MAX_TUN_METADATA,
    NXM_NX_COOKIE,
    NXM_NX_COOKIE_W,
    is_tun_metadata,
)
from vswitch.openflow.wire.version import OFP12, OFP13, version_from_name

ANY_MATCH: Final = "<any>"
_HEX: Final = re.compile(r"(?:[ \t\r\n]*[0-9a-fA-F]{2})*")
_HAS_MASK: Final = 1 << 8
_CONTAINER: Final = 4


def _headers() -> dict[str, int]:
    """Name -> header, 64 bits: the lower half is the experimenter."""
    found = {"NXM_NX_COOKIE": NXM_NX_COOKIE << 32, "NXM_NX_COOKIE_W": NXM_NX_COOKIE_W << 32}
    for field in FIELDS:
        for header in field.oxm:
            experimenter = 4 if header.class_ == EXPERIMENTER_CLASS else 0
            head = header.class_ << 16 | header.number << 9
            found[header.name] = (head | field.n_bytes + experimenter) << 32 | header.experimenter
            if field.maskable:
                masked = head | _HAS_MASK | 2 * field.n_bytes + experimenter
                found[f"{header.name}_W"] = masked << 32 | header.experimenter
    return found


_HEADERS: Final = _headers()
_NAMES: Final = {header & ~(0xFF << 32): name for name, header in _HEADERS.items() if "COOKIE" not in name}
_COOKIES: Final = {header: name for name, header in _HEADERS.items() if "COOKIE" in name}


def _header(name: str) -> int:
    """The header that a text names; 0: none."""
    if name in _HEADERS:
        return _HEADERS[name]
    if not re.fullmatch(r"[0-9a-fA-F]+", name):
        return 0
    if len(name) == 8:
        return int(name, 16) << 32
    if len(name) == 16 and int(name[:4], 16) == EXPERIMENTER_CLASS:
        return int(name, 16)
    return 0


def _has_experimenter(header: int) -> bool:
    return header >> 48 == EXPERIMENTER_CLASS


def _field_bytes(header: int) -> int:
    """How long the value is that `header` announces; below 0 if it is too short for its experimenter."""
    length = (header >> 32 & 0xFF) - (4 if _has_experimenter(header) else 0)
    return int(length / 2) if header >> 32 & _HAS_MASK else length


def _option(header: int) -> Field | None:
    """The tunnel option that `header` names."""
    field = BY_OXM.get((header >> 48, header & 0xFFFFFFFF, header >> 41 & 127))
    return field if field is not None and is_tun_metadata(field) else None


def _hex(text: str, at: int) -> tuple[bytes, int]:
    """The bytes at `at`, and where they and the blanks behind them end."""
    found = _HEX.match(text, at)
    assert found is not None
    end = found.end()
    while end < len(text) and text[end] in " \t\r\n":
        end += 1
    return bytes.fromhex(found[0]), end


def parse_nx_match(text: str) -> bytes:
    """The fields that a text names, one behind the other. OfctlError."""
    if text == ANY_MATCH:
        return b""
    out = b""
    at = _skip(text, 0)
    while at < len(text):
        end = text.find("(", at)
        if end < 0:
            raise OfctlError(f"{text}: missing ( at end of nx_match")
        name = text[at:end]
        header = _header(name)
        if not header:
            raise OfctlError(f"{text}: unknown field `{name}'")
        value, at = _hex(text, end + 1)
        header = _fitting(header, len(value))
        data = value
        if header >> 32 & _HAS_MASK:
            if text[at : at + 1] != "/":
                raise OfctlError(f"{text}: missing / in masked field {name}")
            mask, at = _hex(text, at + 1)
            if len(mask) != _field_bytes(header):
                raise OfctlError(f"{text[at : at + 2]}: hex digits expected")
            data += mask
        if text[at : at + 1] != ")":
            raise OfctlError(f"{text}: missing ) following field {name}")
        out += (header >> 32).to_bytes(4)
        if _has_experimenter(header):
            out += (header & 0xFFFFFFFF).to_bytes(4)
        out += data
        at = _skip(text, at + 1)
    return out


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in ", ":
        at += 1
    return at


def _fitting(header: int, size: int) -> int:
    """`header` for a value of `size` bytes, which only tunnel options may choose. OfctlError."""
    expected = _field_bytes(header)
    if size == expected:
        return header
    if _option(header) is None:
        raise OfctlError(f"expected to read {expected} bytes but got {size}")
    if size > MAX_TUN_METADATA:
        raise OfctlError(f"expected to read at most {MAX_TUN_METADATA} bytes but got {size}")
    length = 2 * size if header >> 32 & _HAS_MASK else size
    return header & ~(0xFF << 32) | length << 32


def format_nx_match(data: bytes) -> str:
    """Fields as text; what comes behind one whose value has bits outside of its mask is only counted."""
    words = []
    while len(data) >= 4:
        header = int.from_bytes(data[:4]) << 32
        data = data[4:]
        if _has_experimenter(header):
            header |= int.from_bytes(data[:4])
            data = data[4:]
        size = _field_bytes(header)
        value, data = data[:size], data[size:]
        mask = None
        if header >> 32 & _HAS_MASK:
            mask, data = data[:size], data[size:]
            if any(v & ~m for v, m in zip(value, mask, strict=True)):
                break
        if _option(header) is not None:  # which the real tool takes from the wrong end of a full one
            value = value.rjust(MAX_TUN_METADATA, b"\0")[:size]
            mask = None if mask is None else mask.rjust(MAX_TUN_METADATA, b"\0")[:size]
        name = _COOKIES.get(header) or _NAMES[header & ~(0xFF << 32)]
        words.append(f"{name}({value.hex()}{'' if mask is None else f'/{mask.hex()}'})")
    else:
        return ", ".join(words) or ANY_MATCH
    if data:
        words.append(f"<{len(data)} invalid bytes>")
    return ", ".join(words)


def oxm_fields(data: bytes) -> bytes:
    """The fields of an ofp_match of 1.2 or later."""
    return data[_CONTAINER : int.from_bytes(data[2:4])]


def test_lines() -> Iterator[str]:
    """The lines of standard input without comments; those that say nothing are repeated, as an empty line or
    as the comment that they are."""
    for line in sys.stdin:
        text = line.removesuffix("\n")
        if text.startswith("#"):
            print(text)
            continue
        text = text.partition("#")[0]
        if text.strip(" \t"):
            yield text
        else:
            print()


def _in_container(fields: bytes) -> bytes:
    size = _CONTAINER + len(fields)
    return b"\0\1" + (size & 0xFFFF).to_bytes(2) + fields + bytes(-size % 8)


def _parse_nxm(settings: Settings, version: int | None) -> None:
    for text in test_lines():
        fields = parse_nx_match(text)
        w = Writer()
        try:
            if version is None:
                match, cookie, mask = get_nxm(
                    Reader(fields + bytes(-len(fields) % 8)), len(fields), settings.strict
                )
                size = put_nxm(w, match, cookie, mask)
                said = format_nx_match(w.getvalue()[:size])
            else:
                match = get_match(Reader(_in_container(fields)), OFP13, settings.strict)
                put_match(w, match, version)
                said = format_nx_match(oxm_fields(w.getvalue()))
        except OfpError as error:
            print(f"nx_pull_match() returned error {error.name}")
            continue
        print(said)
        if settings.verbosity:
            sys.stdout.write(plain_dump(w.getvalue()))


def parse_nxm_command(settings: Settings, _args: Sequence[str]) -> None:
    """`parse-nxm`, `parse-nx-match`"""
    _parse_nxm(settings, None)


def parse_oxm_command(settings: Settings, args: Sequence[str]) -> None:
    """`parse-oxm VERSION`"""
    try:
        version = version_from_name(args[0])
    except KeyError:
        version = 0
    if version < OFP12:
        raise OfctlError(f"{args[0]}: not a valid version for OXM")
    _parse_nxm(settings, version)
