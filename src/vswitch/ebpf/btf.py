"""BTF, the kernel's description of types: written for our maps, read for the kernel's own structs.

The format is that of the kernel's Documentation/bpf/btf.rst. `BtfBuilder` makes a few types and loads
them; `VmlinuxBtf` finds members of structs in /sys/kernel/btf/vmlinux, in nested anonymous ones too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from vswitch.base.records import dataclass
from vswitch.ebpf.syscall import BTF_LOAD, BpfError, Buffer, bpf

MAGIC: Final = 0xEB9F
VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")
KIND_INT, KIND_PTR, KIND_ARRAY, KIND_STRUCT, KIND_UNION, KIND_ENUM = 1, 2, 3, 4, 5, 6
KIND_FUNC, KIND_FUNC_PROTO, KIND_VAR, KIND_DATASEC, KIND_DECL_TAG, KIND_ENUM64 = 12, 13, 14, 15, 17, 19
_FIXED: Final = {KIND_INT: 4, KIND_ARRAY: 12, KIND_VAR: 4, KIND_DECL_TAG: 4}
"""Bytes behind a type of that kind."""
_EACH: Final = {
    KIND_STRUCT: 12, KIND_UNION: 12, KIND_ENUM: 8, KIND_FUNC_PROTO: 8, KIND_DATASEC: 12, KIND_ENUM64: 12,
}  # fmt: skip
"""Bytes behind it for each of its members."""
_TYPE = struct.Struct("=III")
_HEADER = struct.Struct("=HBBIIIII")


class BtfError(Exception):
    """Bytes that are no BTF, or what is asked for isn't in it."""


class BtfBuilder:
    """Types of our own. Each method gives the id of the type that it adds."""

    def __init__(self) -> None:
        self._types = b""
        self._names = b"\0"
        self._n = 0

    def _name(self, name: str) -> int:
        if not name:
            return 0
        at = len(self._names)
        self._names += name.encode() + b"\0"
        return at

    def _add(self, name: str, kind: int, size: int, n: int, rest: bytes) -> int:
        self._types += _TYPE.pack(self._name(name), kind << 24 | n, size) + rest
        self._n += 1
        return self._n

    def integer(self, name: str, size: int) -> int:
        """An unsigned integer of `size` bytes."""
        return self._add(name, KIND_INT, size, 0, struct.pack("=I", size * 8))

    def structure(self, name: str, size: int, members: Sequence[tuple[str, int, int]]) -> int:
        """A struct of `size` bytes; members are (name, type, offset in bytes)."""
        rest = b"".join(_TYPE.pack(self._name(n), type, offset * 8) for n, type, offset in members)
        return self._add(name, KIND_STRUCT, size, len(members), rest)

    def function(self, name: str) -> int:
        """A static function, of which nothing is said but that it gives a number."""
        number = self.integer("int", 4)
        return self._add(name, KIND_FUNC, self._add("", KIND_FUNC_PROTO, number, 0, b""), 0, b"")

    def encode(self) -> bytes:
        """All of it as the kernel takes it."""
        header = _HEADER.pack(MAGIC, 1, 0, 24, 0, len(self._types), len(self._types), len(self._names))
        return header + self._types + self._names

    def load(self) -> int:
        """A descriptor of it. BpfError with the kernel's log."""
        data = Buffer(0, self.encode())
        log = Buffer(65536)
        attr = Buffer(32)
        struct.pack_into("=QQIII", attr.view, 0, data.address, log.address, data.size, log.size, 1)
        try:
            return bpf(BTF_LOAD, attr, "loading BTF")
        except BpfError as e:
            raise BpfError(e.errno or 22, "loading BTF", log.text()) from None


@dataclass(frozen=True)
class Member:
    """Where a struct has a member: `bit` from its start, `bits` wide if it is a bit field (else 0)."""

    bit: int
    bits: int

    @property
    def offset(self) -> int:
        """Its first byte."""
        return self.bit // 8


class VmlinuxBtf:
    """The structs `names` of the running kernel. BtfError, OSError (ENOENT: built without BTF)."""

    def __init__(self, names: Iterable[str], path: Path = VMLINUX) -> None:
        data = path.read_bytes()
        try:
            self._read(data, set(names))
        except (struct.error, IndexError, ValueError) as e:
            raise BtfError(f"{path} is no BTF: {e}") from e

    def _read(self, data: bytes, names: set[str]) -> None:
        magic, _version, _flags, length, types, n_types, strings, n_strings = _HEADER.unpack_from(data)
        if magic != MAGIC:
            raise ValueError(f"it begins with {magic:#x}")
        self._types = data[length + types : length + types + n_types]
        self._strings = data[length + strings : length + strings + n_strings]
        wanted: dict[int, str] = {}
        for name in names:
            at = self._strings.find(b"\0" + name.encode() + b"\0")
            if at >= 0:
                wanted[at + 1] = name
        self._at: list[int] = [0]
        self._found: dict[str, int] = {}
        unpack, fixed, each = _TYPE.unpack_from, _FIXED, _EACH
        here, end, buffer, at_of = 0, n_types, self._types, self._at
        while here < end:
            at_of.append(here)
            name, info, _size = unpack(buffer, here)
            kind = info >> 24 & 31
            if kind == KIND_STRUCT and name in wanted:
                self._found.setdefault(wanted[name], here)
            here += 12 + fixed.get(kind, 0) + each.get(kind, 0) * (info & 0xFFFF)

    def member(self, struct_name: str, member: str) -> Member:
        """Where `struct_name` has `member`. BtfError if it has none."""
        at = self._found.get(struct_name)
        found = self._member(at, member, 0) if at is not None else None
        if found is None:
            raise BtfError(f"the kernel's struct {struct_name} has no {member}")
        return found

    def _member(self, at: int, member: str, base: int) -> Member | None:
        _name, info, _size = _TYPE.unpack_from(self._types, at)
        for n in range(info & 0xFFFF):
            name, type, where = _TYPE.unpack_from(self._types, at + 12 + n * 12)
            bits, bit = (where >> 24, where & 0xFFFFFF) if info >> 31 else (0, where)
            text = self._strings[name : self._strings.index(b"\0", name)].decode()
            if text == member:
                return Member(base + bit, bits)
            if not text:
                inner = self._at[type]
                if _TYPE.unpack_from(self._types, inner)[1] >> 24 & 31 in (KIND_STRUCT, KIND_UNION):
                    found = self._member(inner, member, base + bit)
                    if found is not None:
                        return found
        return None
