"""`Ring`: the reader's end of a BPF_MAP_TYPE_RINGBUF, without system calls.

The layout is that of the kernel's Documentation/bpf/ringbuf.rst: a page with the consumer's position,
a page with the producer's, then the data, mapped twice in a row so that no record is broken.
"""

from __future__ import annotations

import mmap
from typing import Final

from vswitch.ebpf.map import Map, MapType

BUSY: Final = 1 << 31
DISCARD: Final = 1 << 30
HEADER: Final = 8


class Ring:
    """A ring of `size` bytes, a power of two of at least a page. Its map's `fd` is readable when there
    is something to take."""

    def __init__(self, name: str, size: int) -> None:
        self.map = Map(MapType.RINGBUF, 0, 0, size, name)
        self.size = size
        page = mmap.PAGESIZE
        consumer = mmap.mmap(self.map.fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        area = mmap.mmap(self.map.fd, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._consumer = memoryview(consumer).cast("Q")
        whole = memoryview(area)
        self._producer = whole[:page].cast("Q")
        self._data = whole[page:]
        self._lengths = self._data.cast("I")
        self._position = 0

    def take(self, max_records: int) -> list[memoryview]:
        """Up to `max_records` records, which are valid until `done`."""
        records: list[memoryview] = []
        position, mask = self._position, self.size - 1
        end = self._producer[0]
        while position < end and len(records) < max_records:
            at = position & mask
            length = self._lengths[at >> 2]
            if length & BUSY:
                break
            if not length & DISCARD:
                records.append(self._data[at + HEADER : at + HEADER + length])
            position += (HEADER + (length & ~DISCARD) + 7) & ~7
        self._position = position
        return records

    def done(self) -> None:
        """What was taken may be overwritten."""
        self._consumer[0] = self._position

    def waiting(self) -> int:
        """Bytes that wait."""
        return int(self._producer[0]) - self._position

    def close(self) -> None:
        self.map.close()
