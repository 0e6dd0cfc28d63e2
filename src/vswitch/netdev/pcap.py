"""`PcapFile`: packets appended to a file that tcpdump and Wireshark read (pcap-savefile(5))."""

from __future__ import annotations

import struct
import time
from typing import Final, final

from vswitch.base import coverage

not_written: Final = coverage.counter("pcap_write_failed")

MAGIC: Final = 0xA1B2C3D4
"""Times have microseconds."""
VERSION: Final = (2, 4)
SNAPLEN: Final = 0xFFFF
LINKTYPE_ETHERNET: Final = 1


@final
class PcapFile:
    """The file at `path`, which is made if it is not there. OSError: it can't be written."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "ab")  # noqa: SIM115
        if not self._file.tell():
            self._file.write(struct.pack("<IHHiIII", MAGIC, *VERSION, 0, 0, SNAPLEN, LINKTYPE_ETHERNET))
            self._file.flush()

    def write(self, packet: bytes) -> None:
        """Append a packet, as of now. What can't be written is counted."""
        seconds, rest = divmod(time.time_ns(), 1_000_000_000)
        head = struct.pack("<IIII", seconds, rest // 1000, len(packet), len(packet))
        try:
            self._file.write(head + packet)
            self._file.flush()
        except OSError:
            not_written.inc()

    def close(self) -> None:
        """Idempotent."""
        self._file.close()
