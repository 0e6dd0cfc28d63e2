"""The continuity check message of 802.1ag (IEEE 802.1Q-2022, 21.6), and Open vSwitch's extension of it.

Behind the common header (level, version, opcode, flags, offset of the first TLV) come sequence number,
maintenance point and maintenance association. The 16 bytes after them belong to ITU-T Y.1731; in extended
mode they hold the interval in ms, a maintenance point id of 64 bits and whether the sender is down.
"""

from __future__ import annotations

import struct
from typing import Final

from vswitch.base.records import dataclass
from vswitch.packet.compose import compose
from vswitch.packet.headers import Ethernet, PacketError, Vlan
from vswitch.packet.numbers import ETH_TYPE_CFM

CCM_ADDRESS: Final = 0x0180C2000030
"""Where messages of level 0 go."""
CCM_ADDRESS_EXTENDED: Final = 0x012320000030
CCM_OPCODE: Final = 1
CCM_TLV_OFFSET: Final = 70
CCM_RDI: Final = 0x80
CCM_LENGTH: Final = 75
"""Bytes with the end TLV."""
MAID_LENGTH: Final = 48
MAID: Final = bytes((4, 3)) + b"ovs" + bytes((2, 3)) + b"ovs" + bytes(MAID_LENGTH - 10)
"""Domain "ovs" (format 4: characters), association "ovs" (format 2: characters)."""
INTERVALS: Final = (0, 3, 10, 100, 1000, 10_000, 60_000, 600_000)
"""ms an interval code (table 21-15; 1 is 3 1/3 ms)."""

_FORMAT: Final = struct.Struct("!BBBBIH48sHQB5xB")


def interval_code(ms: int) -> int:
    """The code of the longest standard interval of at most `ms`; that of the shortest if all are longer."""
    return max((code for code, length in enumerate(INTERVALS) if code and length <= ms), default=1)


@dataclass(frozen=True)
class Ccm:
    """One message. `interval` is a code of INTERVALS, 0 where `interval_ms` has it (extended mode)."""

    seq: int
    mpid: int
    interval: int
    rdi: bool = False
    maid: bytes = MAID
    interval_ms: int = 0
    mpid64: int = 0
    opdown: bool = False

    def pack(self) -> bytes:
        flags = self.interval | (CCM_RDI if self.rdi else 0)
        return _FORMAT.pack(
            0, CCM_OPCODE, flags, CCM_TLV_OFFSET, self.seq, self.mpid, self.maid, self.interval_ms,
            self.mpid64, self.opdown, 0,
        )  # fmt: skip

    @staticmethod
    def unpack(data: bytes) -> Ccm:
        """`data` starts behind the Ethernet header. PacketError says why it is no CCM of level 0."""
        if len(data) < CCM_LENGTH:
            raise PacketError(f"a CCM of {len(data)} bytes is shorter than {CCM_LENGTH}")
        level, opcode, flags, offset, seq, mpid, maid, ms, mpid64, opdown, _ = _FORMAT.unpack_from(data)
        if opcode != CCM_OPCODE:
            raise PacketError(f"opcode {opcode} is not that of a CCM")
        if level & 0x1F:
            raise PacketError(f"CFM version {level & 0x1F} instead of 0")
        if offset != CCM_TLV_OFFSET:
            raise PacketError(f"TLVs start at {offset} instead of {CCM_TLV_OFFSET}")
        return Ccm(seq, mpid, flags & 7, bool(flags & CCM_RDI), maid, ms, mpid64, bool(opdown))


def frame(ccm: Ccm, extended: bool, eth_src: int, vlan: int, pcp: int) -> bytes:
    """The Ethernet frame of `ccm`, tagged if `vlan` or `pcp` is not 0."""
    ethernet = Ethernet(CCM_ADDRESS_EXTENDED if extended else CCM_ADDRESS, eth_src, ETH_TYPE_CFM)
    if not (vlan or pcp):
        return compose(ethernet, payload=ccm.pack())
    tag = Vlan(tci=pcp << 13 | vlan, type=ETH_TYPE_CFM)
    return compose(Ethernet(ethernet.dst, ethernet.src, tag.tpid), tag, payload=ccm.pack())
