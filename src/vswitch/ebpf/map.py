"""`Map`: a BPF map made here, read and written through bpf(2) or, for mapped arrays, memory.

Keys and values are bytes in host order; an int stands for 4 bytes of it.
"""

from __future__ import annotations

import errno
import mmap
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final

from vswitch.ebpf.syscall import (
    MAP_CREATE,
    MAP_DELETE_ELEM,
    MAP_GET_NEXT_KEY,
    MAP_LOOKUP_ELEM,
    MAP_UPDATE_ELEM,
    BpfError,
    Buffer,
    bpf,
    close_fd,
)


class MapType(IntEnum):
    """`enum bpf_map_type` of <linux/bpf.h>."""

    HASH = 1
    ARRAY = 2
    PROG_ARRAY = 3
    PERCPU_ARRAY = 6
    RINGBUF = 27


NO_PREALLOC: Final = 1
NOEXIST: Final = 1
"""BPF_NOEXIST of BPF_MAP_UPDATE_ELEM."""
MMAPABLE: Final = 1 << 10
POSSIBLE_CPUS: Final = Path("/sys/devices/system/cpu/possible")
_PER_CPU: Final = (MapType.PERCPU_ARRAY,)
_n_cpus = 0


def possible_cpus() -> int:
    """One more than the highest number that a CPU can have here."""
    global _n_cpus
    if not _n_cpus:
        text = POSSIBLE_CPUS.read_text().strip()
        _n_cpus = int(text.replace(",", "-").split("-")[-1]) + 1
    return _n_cpus


class Map:
    """A map; `fd` is its descriptor, and it is gone when the last descriptor and program are."""

    def __init__(
        self, type: MapType, key_size: int, value_size: int, max_entries: int, name: str, flags: int = 0,
        btf: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        """`btf`: descriptor and type ids of key and value, where the kernel wants to know them.

        BpfError as the kernel gives it (EPERM, EINVAL for a type that it lacks, ENOMEM).
        """
        self.type = type
        self.key_size = key_size
        self.value_size = value_size
        self.max_entries = max_entries
        self.name = name
        # map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node, map_name,
        # map_ifindex, btf_fd, btf_key_type_id, btf_value_type_id
        attr = Buffer(72)
        struct.pack_into("=7I16s4I", attr.view, 0, type, key_size, value_size, max_entries, flags, 0, 0,
                         name.encode()[:15], 0, *btf)
        self.fd = bpf(MAP_CREATE, attr, f"making map {name}")
        per_cpu = type in _PER_CPU
        self.out_size = ((value_size + 7) & ~7) * possible_cpus() if per_cpu else value_size
        self._key = Buffer(max(key_size, 4))
        self._value = Buffer(max(self.out_size, 8))
        self._attr = Buffer(32)
        struct.pack_into("=IxxxxQQQ", self._attr.view, 0, self.fd, self._key.address, self._value.address, 0)
        # BPF_MAP_DELETE_ELEM wants no value.
        self._key_attr = Buffer(32)
        struct.pack_into("=IxxxxQQQ", self._key_attr.view, 0, self.fd, self._key.address, 0, 0)

    def _do(self, command: int, key: bytes | int, what: str) -> None:
        if isinstance(key, int):
            key = key.to_bytes(4, "little") if _LITTLE else key.to_bytes(4, "big")
        self._key.view[: len(key)] = key
        bpf(command, self._key_attr if command == MAP_DELETE_ELEM else self._attr, what)

    def get(self, key: bytes | int) -> bytes | None:
        """The value of `key` (of every CPU, one after the other), None if there is none."""
        try:
            self._do(MAP_LOOKUP_ELEM, key, f"reading map {self.name}")
        except BpfError as e:
            if e.errno == errno.ENOENT:
                return None
            raise
        return bytes(self._value.view[: self.out_size])

    def put(self, key: bytes | int, value: bytes | int, new: bool = False) -> None:
        """Set the value of `key`; `new`: it has none yet. BpfError: E2BIG if the map is full, EEXIST."""
        struct.pack_into("=Q", self._attr.view, 24, NOEXIST if new else 0)
        if isinstance(value, int):
            value = value.to_bytes(4, "little") if _LITTLE else value.to_bytes(4, "big")
        self._value.view[: len(value)] = value
        if len(value) < self.out_size:
            self._value.view[len(value) : self.out_size] = bytes(self.out_size - len(value))
        self._do(MAP_UPDATE_ELEM, key, f"writing map {self.name}")

    def delete(self, key: bytes | int) -> bool:
        """Take `key` out; whether it was there."""
        try:
            self._do(MAP_DELETE_ELEM, key, f"deleting from map {self.name}")
        except BpfError as e:
            if e.errno == errno.ENOENT:
                return False
            raise
        return True

    def __iter__(self) -> Iterator[bytes]:
        """All keys. One that is deleted meanwhile may make the walk begin anew."""
        attr = Buffer(32)
        following = Buffer(max(self.key_size, 4))
        first = True
        while True:
            where = 0 if first else self._key.address
            struct.pack_into("=IxxxxQQQ", attr.view, 0, self.fd, where, following.address, 0)
            try:
                bpf(MAP_GET_NEXT_KEY, attr, f"walking map {self.name}")
            except BpfError as e:
                if e.errno == errno.ENOENT:
                    return
                raise
            key = bytes(following.view[: self.key_size])
            yield key
            self._key.view[: self.key_size] = key
            first = False

    def mapped(self) -> memoryview:
        """A MMAPABLE array's memory as 64-bit words, element after element."""
        size = ((self.value_size + 7) & ~7) * self.max_entries
        size = (size + mmap.PAGESIZE - 1) & ~(mmap.PAGESIZE - 1)
        area = mmap.mmap(self.fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        return memoryview(area).cast("Q")

    def close(self) -> None:
        """Let go of it. Idempotent."""
        close_fd(self.fd)
        self.fd = -1


_LITTLE = struct.pack("=H", 1) == b"\x01\0"
