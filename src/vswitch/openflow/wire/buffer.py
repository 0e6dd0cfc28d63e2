"""`Writer` and `Reader`: integers in network byte order, into and out of bytes.

A `Writer` grows; what is known only later (lengths) is written as 0 and patched. A `Reader` walks a
part of a bytes object; reading beyond its end is the `OfpError` that the Reader was made with.
Compiled by mypyc.
"""

from __future__ import annotations

from typing import final

from librt.strings import (
    BytesWriter,
    read_i16_be,
    read_i32_be,
    read_i64_be,
    write_i16_be,
    write_i32_be,
    write_i64_be,
)
from mypy_extensions import i16, i32, i64, mypyc_attr, u8

from vswitch.base.signed import signed16, signed32
from vswitch.flow.flow import signed64, unsigned64
from vswitch.openflow.errors import OfpError

_ZEROS = bytes(64)


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Writer:
    """Bytes in the making. Values wider than asked for lose their upper bits."""

    def __init__(self) -> None:
        self.out = BytesWriter()

    def position(self) -> i64:
        """How many bytes there are."""
        return len(self.out)

    def getvalue(self) -> bytes:
        """All the bytes."""
        return self.out.getvalue()

    def u8(self, value: i64) -> None:
        """One byte."""
        self.out.append(value & 0xFF)

    def u16(self, value: i64) -> None:
        """Two bytes."""
        write_i16_be(self.out, i16(signed16(value)))

    def u32(self, value: i64) -> None:
        """Four bytes."""
        write_i32_be(self.out, i32(signed32(value)))

    def u64(self, value: int) -> None:
        """Eight bytes."""
        write_i64_be(self.out, signed64(value))

    def uint(self, value: int, size: int) -> None:
        """`value` in `size` bytes."""
        if size == 4:
            self.u32(value)
        elif size == 2:
            self.u16(value)
        elif size == 1:
            self.u8(value)
        elif size == 8:
            self.u64(value)
        else:
            self.out.write((value & ((1 << 8 * size) - 1)).to_bytes(size, "big"))

    def raw(self, data: bytes) -> None:
        """These bytes."""
        self.out.write(data)

    def pad(self, n: i64) -> None:
        """`n` zero bytes."""
        while n > 64:
            self.out.write(_ZEROS)
            n -= 64
        if n > 0:
            self.out.write(_ZEROS[:n])

    def pad_to(self, multiple: i64, start: i64 = 0) -> None:
        """Zero bytes until the length from position `start` is a multiple of `multiple`."""
        over = (len(self.out) - start) % multiple
        if over:
            self.pad(multiple - over)

    def patch_u8(self, position: i64, value: i64) -> None:
        """Overwrite the byte at `position`."""
        self.out[position] = u8(value & 0xFF)

    def patch_u16(self, position: i64, value: i64) -> None:
        """Overwrite the two bytes at `position`."""
        self.out[position] = u8((value >> 8) & 0xFF)
        self.out[position + 1] = u8(value & 0xFF)

    def truncate(self, position: i64) -> None:
        """Forget all bytes from `position` on."""
        self.out.truncate(position)


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class Reader:
    """The bytes `start` to `end` of `data`, read from the front.

    Reading beyond the end raises `OfpError(error)`.
    """

    def __init__(self, data: bytes, start: i64 = 0, end: i64 = -1, error: str = "OFPBRC_BAD_LEN") -> None:
        self.data = data
        self.pos: i64 = start
        size: i64 = len(data)
        self.end: i64 = size if end < 0 or end > size else end
        if self.pos > self.end:
            raise OfpError(error, f"starts at byte {start} of {self.end}")
        self.error = error

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return self.end - self.pos

    def need(self, n: i64) -> i64:
        """Go `n` bytes on; where they began. OfpError if there are fewer."""
        at = self.pos
        if n < 0 or self.end - at < n:
            raise OfpError(self.error, f"{n} bytes wanted of {self.end - at}")
        self.pos = at + n
        return at

    def u8(self) -> i64:
        """One byte."""
        return self.data[self.need(1)]

    def u16(self) -> i64:
        """Two bytes."""
        value = i64(read_i16_be(self.data, self.need(2)))
        return value & 0xFFFF

    def u32(self) -> i64:
        """Four bytes."""
        value = i64(read_i32_be(self.data, self.need(4)))
        return value & 0xFFFFFFFF

    def u64(self) -> int:
        """Eight bytes."""
        return unsigned64(read_i64_be(self.data, self.need(8)))

    def uint(self, size: int) -> int:
        """`size` bytes as one unsigned integer."""
        if size == 4:
            return self.u32()
        if size == 2:
            return self.u16()
        if size == 1:
            return self.u8()
        if size == 8:
            return self.u64()
        at = self.need(size)
        return int.from_bytes(self.data[at : at + size], "big")

    def raw(self, n: i64) -> bytes:
        """`n` bytes."""
        at = self.need(n)
        return self.data[at : at + n]

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.raw(self.end - self.pos)

    def skip(self, n: i64) -> None:
        """Go `n` bytes on, whatever they are."""
        self.need(n)

    def zeros(self, n: i64) -> bool:
        """Go `n` bytes on; whether they are all zero."""
        at = self.need(n)
        data = self.data
        stop = at + n
        while at < stop:
            if data[at] != 0:
                return False
            at += 1
        return True

    def sub(self, n: i64, error: str = "") -> Reader:
        """A reader of the next `n` bytes, which this one passes."""
        at = self.need(n)
        return Reader(self.data, at, at + n, error or self.error)
