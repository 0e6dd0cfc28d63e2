"""The structs inside the datapath's key attributes, read from and written to a flow's words.

One table, derived from the field registry's `nl` slots, serves flow keys, masks and set actions.
It says for each attribute which bits of which word lie at which offset; `key_change.py` compares flows by
it. Compiled by mypyc.
"""

from __future__ import annotations

import sys
from typing import Final

from librt.strings import (
    BytesWriter,
    read_i16_be,
    read_i16_le,
    read_i32_be,
    read_i32_le,
    read_i64_be,
    write_i16_be,
    write_i16_le,
    write_i32_be,
    write_i32_le,
    write_i64_be,
)
from librt.vecs import vec
from mypy_extensions import i16, i32, i64, u8

from vswitch.base.signed import signed16, signed32
from vswitch.flow import key_attr as key
from vswitch.flow.field import Field, Format
from vswitch.flow.fields import FIELDS, PARTS
from vswitch.flow.flow import Flow

N_ATTRS: Final = 33
N_COLUMNS: Final = 8
"""Of the table: word, shift, ones, size in the struct, kind, the field's bits in the word, the field's
highest bit if that is the word's sign, else 0, and whether actions change the field."""

# How a field lies in its struct.
PLAIN: Final = 0
"""Network order."""
HOST: Final = 1
"""Host order."""
FRAG: Final = 2
"""`enum ovs_frag_type`: none, first, later."""
NARROW: Final = 3
"""A flow keeps less of it than a packet has: of ARP's operation 8 of 16 bits."""
WIDE: Final = 4
"""128 bits."""

_LITTLE: Final = sys.byteorder == "little"
_ZEROS: Final = bytes(4)


def _kind(field: Field, attr: int) -> int:
    if field.n_stored > 64:
        return WIDE
    if attr in key.HOST_ORDER:
        return HOST
    if field.fmt is Format.FRAG:
        return FRAG
    return NARROW if field.n_stored < field.n_bits else PLAIN


def struct_fields(attr: int, sub: int = -1) -> list[tuple[int, int, Field]]:
    """(offset, size, field) of each field in the struct of `attr`, or of attribute `sub` nested in it, in
    their order there. Where several fields are in one place, as those of both VLAN tags are in each tag's
    attribute, it is the first one's."""
    found: dict[int, tuple[int, int, Field]] = {}
    for field in FIELDS + PARTS:
        for slot in field.nl:
            if slot.attr == attr and slot.sub == sub:
                found.setdefault(slot.offset, (slot.offset, slot.size, field))
    return [found[offset] for offset in sorted(found)]


_first: list[int] = []
_size: list[int] = []
_moves: list[int] = []
for _attr in range(N_ATTRS):
    _first.append(len(_moves))
    _end = 0
    _fields = struct_fields(_attr)
    for _offset, _bytes, _field in _fields:
        _width = 8 if _field.name == "nw_tos" else _field.n_stored
        _shift = int(_field.shift)
        _top = 1 << (_width - 1) if _shift + _width == 64 else 0
        _place = -(1 << _shift) if _top else ((1 << min(_width, 62)) - 1) << _shift
        _moves += [int(_field.word), _shift, (1 << min(_width, 62)) - 1, _bytes, _kind(_field, _attr)]
        # An attribute of one field is there to be set, be it by the switch's own actions only.
        _moves += [_place, _top, int(_field.writable or len(_fields) == 1)]
        _end = _offset + _bytes
    _size.append(key.PADDED_SIZE.get(_attr, _end))
_first.append(len(_moves))

FIRST: Final = vec[i64](_first)
"""Attribute -> where its fields begin in `MOVES`; they end where the next one's begin."""
MOVES: Final = vec[i64](_moves)
"""The table: `N_COLUMNS` numbers a field."""
SIZES: Final = vec[i64](_size)
"""Attribute -> size of its struct in bytes, padding included; 0 if it is no plain struct."""


def _bits_at(data: bytes, at: i64, size: i64, host: bool) -> i64:
    if size == 1:
        return i64(data[at])
    if size == 2:
        if host and _LITTLE:
            return i64(read_i16_le(data, at)) & 0xFFFF
        return i64(read_i16_be(data, at)) & 0xFFFF
    if size == 4:
        if host and _LITTLE:
            return i64(read_i32_le(data, at)) & 0xFFFFFFFF
        return i64(read_i32_be(data, at)) & 0xFFFFFFFF
    return (i64(read_i16_be(data, at)) & 0xFFFF) << 32 | (i64(read_i32_be(data, at + 2)) & 0xFFFFFFFF)


def get_struct(attr: i64, data: bytes, start: i64, words: vec[i64], is_mask: bool) -> bool:
    """Read the struct of `attr` at `start` into `words`, overwriting its fields.

    The caller has checked that `SIZES[attr]` bytes are there. False if a value is impossible.
    """
    at = start
    sound = True
    i = FIRST[attr]
    end = FIRST[attr + 1]
    moves = MOVES
    while i < end:
        w = moves[i]
        shift = moves[i + 1]
        ones = moves[i + 2]
        size = moves[i + 3]
        kind = moves[i + 4]
        place = moves[i + 5]
        top = moves[i + 6]
        i += N_COLUMNS
        if kind == WIDE:
            words[w] = read_i64_be(data, at)
            words[w + 1] = read_i64_be(data, at + 8)
            at += 16
            continue
        bits = _bits_at(data, at, size, kind == HOST)
        at += size
        if kind == FRAG:
            if is_mask:
                bits = 3 if bits else 0
            elif bits > 2:
                sound = False
                bits = 0
            elif bits == 2:
                bits = 3
        elif bits > ones:
            if not is_mask and (kind == NARROW or (kind == PLAIN and size == 4)):
                sound = False
            bits &= ones
        words[w] = (words[w] & ~place) | (((bits ^ top) - top) << shift)
    return sound


def put_header(out: BytesWriter, attr: i64, length: i64) -> None:
    """Append an attribute's header (`struct nlattr`) for `length` bytes of payload."""
    size = i16(signed16(length + 4))
    if _LITTLE:
        write_i16_le(out, size)
        write_i16_le(out, i16(signed16(attr)))
    else:
        write_i16_be(out, size)
        write_i16_be(out, i16(signed16(attr)))


def put_u32(out: BytesWriter, value: i64) -> None:
    """Append 32 bits in host order."""
    whole = i32(signed32(value))
    if _LITTLE:
        write_i32_le(out, whole)
    else:
        write_i32_be(out, whole)


def put_be16_attr(out: BytesWriter, attr: i64, value: i64) -> None:
    """Append a whole attribute of 16 bits in network order."""
    put_header(out, attr, 2)
    write_i16_be(out, i16(signed16(value)))
    out.write(b"\0\0")


def put_struct(attr: i64, out: BytesWriter, words: vec[i64], is_mask: bool) -> None:
    """Append the struct of `attr` to `out`, `SIZES[attr]` bytes."""
    i = FIRST[attr]
    end = FIRST[attr + 1]
    moves = MOVES
    length: i64 = 0
    while i < end:
        w = moves[i]
        size = moves[i + 3]
        kind = moves[i + 4]
        length += size
        if kind == WIDE:
            write_i64_be(out, words[w])
            write_i64_be(out, words[w + 1])
            i += N_COLUMNS
            continue
        bits = (words[w] >> moves[i + 1]) & moves[i + 2]
        i += N_COLUMNS
        if kind == FRAG:
            if is_mask:
                bits = 0xFF if bits else 0
            elif bits:
                bits = 2 if bits & 2 else 1
        elif kind == NARROW:
            if is_mask and bits == 0xFF:
                bits = 0xFFFF
        if size == 1:
            out.append(u8(bits & 0xFF))
        elif size == 2:
            half = i16(signed16(bits))
            if kind == HOST and _LITTLE:
                write_i16_le(out, half)
            else:
                write_i16_be(out, half)
        elif size == 4:
            whole = i32(signed32(bits))
            if kind == HOST and _LITTLE:
                write_i32_le(out, whole)
            else:
                write_i32_be(out, whole)
        else:
            write_i16_be(out, i16(signed16(bits >> 32)))
            write_i32_be(out, i32(signed32(bits)))
    padding = SIZES[attr] - length
    if padding:
        out.write(_ZEROS[:padding])


def struct_bytes(attr: int, flow: Flow, is_mask: bool = False) -> bytes:
    """The struct of key attribute `attr` with `flow`'s values: what a set action carries."""
    out = BytesWriter()
    put_struct(attr, out, flow.words, is_mask)
    return out.getvalue()


def struct_into(attr: int, data: bytes, flow: Flow, is_mask: bool = False) -> bool:
    """Put a set action's struct into `flow`; False, and nothing changed, if `data` isn't one."""
    if attr < 0 or attr >= N_ATTRS or SIZES[attr] == 0 or len(data) != SIZES[attr]:
        return False
    words = flow.words[:]
    if not get_struct(attr, data, 0, words, is_mask):
        return False
    flow.words = words
    return True
