"""Netlink attributes (`struct nlattr`, <linux/netlink.h>): compose into and find in bytes.

An attribute is a 16-bit length (header included), a 16-bit type whose two top bits are flags
(`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`), and a payload padded to four bytes. Lengths and types are
in host byte order; payloads are in host order (`u16`...) or network order (`be16`...).

Composing: `Builder`, an append-only buffer; nested attributes and whole Netlink messages are
opened and closed, which patches their length. Reading: `AttrIndex` for the hot path, which keeps
offset and length of every type; `attributes` and `parse` where speed doesn't matter. Whatever the
bytes, reading gives False or raises `NlAttrError`, nothing else.

Compiled by mypyc; works interpreted.
"""

from __future__ import annotations

import sys
from typing import Final, final

from librt.strings import (
    BytesWriter,
    read_i16_be,
    read_i16_le,
    read_i32_be,
    read_i32_le,
    read_i64_be,
    read_i64_le,
    write_i16_be,
    write_i16_le,
    write_i32_be,
    write_i32_le,
    write_i64_be,
    write_i64_le,
)
from librt.vecs import vec
from mypy_extensions import i16, i32, i64, u8

from vswitch.base.signed import signed16, signed32

NLA_F_NESTED: Final = 0x8000
NLA_F_NET_BYTEORDER: Final = 0x4000
NLA_TYPE_MASK: Final = 0x3FFF
NLA_HDRLEN: Final = 4
NLA_MAX_PAYLOAD: Final = 0xFFFF - 4
"""An attribute's length is 16 bits, header included."""
NLMSG_HDRLEN: Final = 16
MAX_TYPE: Final = 62
"""The highest attribute type that an `AttrIndex` can hold."""

_LITTLE: Final = sys.byteorder == "little"
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")


class NlAttrError(ValueError):
    """Bytes are not well-formed attributes, or a payload doesn't fit into one."""


def u16_at(data: bytes, offset: i64) -> i64:
    """The unsigned 16-bit integer in host order at `offset`; the caller has checked the length."""
    if _LITTLE:
        return i64(read_i16_le(data, offset)) & 0xFFFF
    return i64(read_i16_be(data, offset)) & 0xFFFF


def u32_at(data: bytes, offset: i64) -> i64:
    """The unsigned 32-bit integer in host order at `offset`."""
    if _LITTLE:
        return i64(read_i32_le(data, offset)) & 0xFFFFFFFF
    return i64(read_i32_be(data, offset)) & 0xFFFFFFFF


def s64_at(data: bytes, offset: i64) -> i64:
    """The *signed* 64-bit integer in host order at `offset` (a native integer has no more bits)."""
    if _LITTLE:
        return read_i64_le(data, offset)
    return read_i64_be(data, offset)


def u64_at(data: bytes, offset: int) -> int:
    """The unsigned 64-bit integer in host order at `offset`."""
    return int(s64_at(data, offset)) & 0xFFFFFFFFFFFFFFFF


def be16_at(data: bytes, offset: i64) -> i64:
    """The unsigned 16-bit integer in network order at `offset`."""
    return i64(read_i16_be(data, offset)) & 0xFFFF


def be32_at(data: bytes, offset: i64) -> i64:
    """The unsigned 32-bit integer in network order at `offset`."""
    return i64(read_i32_be(data, offset)) & 0xFFFFFFFF


def _s16(value: i64) -> i16:
    return i16(signed16(value))


def _s32(value: i64) -> i32:
    return i32(signed32(value))


@final
class Builder:
    """Composes attributes and Netlink messages, one after the other, into one buffer.

    Integers are cut to the attribute's width. Types may carry `NLA_F_*` flags. `begin` and
    `begin_message` return the position that `end` and `end_message` take; nesting is the
    caller's. `clear` makes the builder as new without giving its memory back.
    """

    def __init__(self) -> None:
        self._out = BytesWriter()

    def __len__(self) -> int:
        return len(self._out)

    def getvalue(self) -> bytes:
        """The bytes composed so far."""
        return self._out.getvalue()

    def clear(self) -> None:
        """Forget everything composed so far."""
        self._out.truncate(0)

    def truncate(self, position: i64) -> None:
        """Forget everything from `position` (of `begin`, or an earlier `len`) on."""
        self._out.truncate(position)

    def _header(self, attr_type: i64, length: i64) -> None:
        out = self._out
        if _LITTLE:
            write_i16_le(out, _s16(length))
            write_i16_le(out, _s16(attr_type))
        else:
            write_i16_be(out, _s16(length))
            write_i16_be(out, _s16(attr_type))

    def _u16(self, value: i64) -> None:
        if _LITTLE:
            write_i16_le(self._out, _s16(value))
        else:
            write_i16_be(self._out, _s16(value))

    def _u32(self, value: i64) -> None:
        if _LITTLE:
            write_i32_le(self._out, _s32(value))
        else:
            write_i32_be(self._out, _s32(value))

    def _patch_u16(self, position: i64, value: i64) -> None:
        out = self._out
        low = u8(value & 0xFF)
        high = u8((value >> 8) & 0xFF)
        if _LITTLE:
            out[position] = low
            out[position + 1] = high
        else:
            out[position] = high
            out[position + 1] = low

    def _patch_u32(self, position: i64, value: i64) -> None:
        if _LITTLE:
            self._patch_u16(position, value & 0xFFFF)
            self._patch_u16(position + 2, (value >> 16) & 0xFFFF)
        else:
            self._patch_u16(position, (value >> 16) & 0xFFFF)
            self._patch_u16(position + 2, value & 0xFFFF)

    def flag(self, attr_type: i64) -> None:
        """An attribute without payload."""
        self._header(attr_type, 4)

    def u8(self, attr_type: i64, value: i64) -> None:
        """An 8-bit integer."""
        self._header(attr_type, 5)
        self._u16(value & 0xFF if _LITTLE else (value & 0xFF) << 8)
        self._u16(0)

    def u16(self, attr_type: i64, value: i64) -> None:
        """A 16-bit integer in host order."""
        self._header(attr_type, 6)
        self._u16(value)
        self._u16(0)

    def u32(self, attr_type: i64, value: i64) -> None:
        """A 32-bit integer in host order."""
        self._header(attr_type, 8)
        self._u32(value)

    def s64(self, attr_type: i64, value: i64) -> None:
        """A 64-bit integer in host order, given as a signed one."""
        self._header(attr_type, 12)
        if _LITTLE:
            write_i64_le(self._out, value)
        else:
            write_i64_be(self._out, value)

    def u64(self, attr_type: i64, value: int) -> None:
        """A 64-bit integer in host order, 0..2**64-1."""
        self.s64(attr_type, i64(((value & 0xFFFFFFFFFFFFFFFF) ^ 0x8000000000000000) - 0x8000000000000000))

    def be16(self, attr_type: i64, value: i64) -> None:
        """A 16-bit integer in network order."""
        self._header(attr_type, 6)
        write_i16_be(self._out, _s16(value))
        self._u16(0)

    def be32(self, attr_type: i64, value: i64) -> None:
        """A 32-bit integer in network order."""
        self._header(attr_type, 8)
        write_i32_be(self._out, _s32(value))

    def be64(self, attr_type: i64, value: i64) -> None:
        """A 64-bit integer in network order, given as a signed one."""
        self._header(attr_type, 12)
        write_i64_be(self._out, value)

    def raw(self, attr_type: i64, payload: bytes) -> None:
        """Any payload; NlAttrError beyond NLA_MAX_PAYLOAD bytes."""
        length: i64 = len(payload)
        if length > NLA_MAX_PAYLOAD:
            raise NlAttrError(f"a payload of {length} bytes doesn't fit into a Netlink attribute")
        self._header(attr_type, length + 4)
        self._out.write(payload)
        if length & 3:
            self._out.write(_PADDING[length & 3])

    def string(self, attr_type: i64, text: str) -> None:
        """A string with its terminating zero byte."""
        self.raw(attr_type, text.encode() + b"\0")

    def begin(self, attr_type: i64) -> i64:
        """Open a nested attribute; what follows, up to `end`, is its payload."""
        position: i64 = len(self._out)
        self._header(attr_type, 0)
        return position

    def end(self, position: i64) -> None:
        """Close the nested attribute opened at `position`; NlAttrError if it grew too long."""
        length: i64 = len(self._out) - position
        if length > 0xFFFF:
            raise NlAttrError(f"nested attributes of {length} bytes don't fit into one attribute")
        self._patch_u16(position, length)

    def append(self, data: bytes) -> None:
        """Bytes as they are: a fixed header (a multiple of four bytes), or attributes made elsewhere."""
        self._out.write(data)

    def append_u32(self, value: i64) -> None:
        """Four bytes in host order that are no attribute, such as a family's fixed header."""
        self._u32(value)

    def begin_message(self, nl_type: i64, flags: i64, seq: i64, pid: i64) -> i64:
        """Open a Netlink message (`struct nlmsghdr`)."""
        position: i64 = len(self._out)
        self._u32(0)
        self._u16(nl_type)
        self._u16(flags)
        self._u32(seq)
        self._u32(pid)
        return position

    def genl_header(self, cmd: i64, version: i64) -> None:
        """`struct genlmsghdr`: what follows the message header in every Generic Netlink message."""
        self._u16((version << 8 | cmd) if _LITTLE else (cmd << 8 | version))
        self._u16(0)

    def end_message(self, position: i64) -> None:
        """Close the message opened at `position`, whose length is thereby set."""
        self._patch_u32(position, len(self._out) - position)


@final
class AttrIndex:
    """Where each attribute of one level is: reusable, filled by `index`, nothing copied.

    After `index` returned True: `has(t)`; `offsets[t]` and `lengths[t]` of the payload in the
    bytes given, meaningful only where `has(t)`. Of a type that occurs twice the last counts, as
    in the kernel, and `repeated` is True; types above `max_type` are counted in `unknown`.
    """

    def __init__(self, max_type: i64) -> None:
        if max_type > MAX_TYPE:
            raise ValueError("an AttrIndex holds types up to 62")
        self.max_type: i64 = max_type
        self._one: i64 = 1
        self.present: i64 = 0
        """Bit t is set if type t is there."""
        self.unknown: i64 = 0
        self.repeated = False
        self.offsets: vec[i64] = vec[i64]([0] * int(max_type + 1))
        self.lengths: vec[i64] = vec[i64]([0] * int(max_type + 1))

    def has(self, attr_type: i64) -> bool:
        """Whether the attribute is there."""
        return (self.present >> attr_type) & 1 != 0

    def index(self, data: bytes, start: i64, end: i64) -> bool:
        """Index the attributes in `data[start:end]`.

        False if they are malformed: a length below the header's or beyond `end`, or 1 to 3 bytes
        left over; what was found until then stays indexed.
        """
        self.present = 0
        self.unknown = 0
        self.repeated = False
        size: i64 = len(data)
        if start < 0 or end > size or start > end:
            return False
        offsets = self.offsets
        lengths = self.lengths
        max_type = self.max_type
        one = self._one  # mypyc 2.4 shifts a literal 1 as a 32-bit C int
        present: i64 = 0
        at = start
        sound = True
        while at < end:
            if end - at < 4:
                sound = False
                break
            length = u16_at(data, at)
            attr_type = u16_at(data, at + 2) & NLA_TYPE_MASK
            if length < 4 or length > end - at:
                sound = False
                break
            if attr_type <= max_type:
                bit = one << attr_type
                if present & bit:
                    self.repeated = True
                present |= bit
                offsets[attr_type] = at + 4
                lengths[attr_type] = length - 4
            else:
                self.unknown += 1
            at += (length + 3) & ~3
        self.present = present
        return sound

    def u8(self, data: bytes, attr_type: i64, default: i64) -> i64:
        """The 8-bit integer in attribute `attr_type`, or `default` if absent or of another length."""
        if (self.present >> attr_type) & 1 and self.lengths[attr_type] == 1:
            return data[self.offsets[attr_type]]
        return default

    def u16(self, data: bytes, attr_type: i64, default: i64) -> i64:
        """The 16-bit integer in host order, or `default`."""
        if (self.present >> attr_type) & 1 and self.lengths[attr_type] == 2:
            return u16_at(data, self.offsets[attr_type])
        return default

    def u32(self, data: bytes, attr_type: i64, default: i64) -> i64:
        """The 32-bit integer in host order, or `default`."""
        if (self.present >> attr_type) & 1 and self.lengths[attr_type] == 4:
            return u32_at(data, self.offsets[attr_type])
        return default

    def s64(self, data: bytes, attr_type: i64, default: i64) -> i64:
        """The 64-bit integer in host order as a signed one, or `default`."""
        if (self.present >> attr_type) & 1 and self.lengths[attr_type] == 8:
            return s64_at(data, self.offsets[attr_type])
        return default

    def be16(self, data: bytes, attr_type: i64, default: i64) -> i64:
        """The 16-bit integer in network order, or `default`."""
        if (self.present >> attr_type) & 1 and self.lengths[attr_type] == 2:
            return be16_at(data, self.offsets[attr_type])
        return default

    def be32(self, data: bytes, attr_type: i64, default: i64) -> i64:
        """The 32-bit integer in network order, or `default`."""
        if (self.present >> attr_type) & 1 and self.lengths[attr_type] == 4:
            return be32_at(data, self.offsets[attr_type])
        return default

    def payload(self, data: bytes, attr_type: i64) -> bytes:
        """A copy of the attribute's payload; b"" if it is absent."""
        if (self.present >> attr_type) & 1:
            start = self.offsets[attr_type]
            return data[start : start + self.lengths[attr_type]]
        return b""


def attributes(data: bytes, start: int = 0, end: int = -1) -> list[tuple[int, int, int]]:
    """(type without flags, payload offset, payload length) of each attribute in `data[start:end]`.

    In their order, repeated ones too. `end` -1 means the end of `data`. NlAttrError if malformed.
    """
    stop: i64 = len(data) if end < 0 else end
    at: i64 = start
    if at < 0 or stop > len(data) or at > stop:
        raise NlAttrError(f"attributes from {start} to {stop} in {len(data)} bytes")
    found: list[tuple[int, int, int]] = []
    while at < stop:
        if stop - at < 4:
            raise NlAttrError(f"{stop - at} bytes left over after the last attribute, at offset {at}")
        length = u16_at(data, at)
        if length < 4 or length > stop - at:
            raise NlAttrError(f"attribute at offset {at} claims {length} bytes of {stop - at}")
        found.append((int(u16_at(data, at + 2) & NLA_TYPE_MASK), int(at + 4), int(length - 4)))
        at += (length + 3) & ~3
    return found


def parse(data: bytes, start: int = 0, end: int = -1) -> dict[int, bytes]:
    """Attribute type -> payload, the last of each type. NlAttrError if malformed."""
    return {t: data[offset : offset + length] for t, offset, length in attributes(data, start, end)}


def text(payload: bytes) -> str:
    """The string in an attribute: up to its first zero byte, undecodable bytes escaped."""
    stop = payload.find(b"\0")
    return (payload if stop < 0 else payload[:stop]).decode("utf-8", "backslashreplace")
