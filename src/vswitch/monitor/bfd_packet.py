"""The BFD control packet (RFC 5880, section 4.1), and the frame that carries it (RFC 5881, section 4)."""

from __future__ import annotations

import enum
import struct
from typing import Final

from vswitch.base.records import dataclass
from vswitch.packet.compose import compose
from vswitch.packet.headers import Ethernet, IPv4, PacketError, Udp
from vswitch.packet.numbers import IPPROTO_UDP

BFD_VERSION: Final = 1
BFD_LENGTH: Final = 24
"""Bytes of a control packet without authentication."""
BFD_DEST_PORT: Final = 3784
BFD_SOURCE_PORT: Final = 49152
"""The lowest of the source ports that RFC 5881 allows."""
BFD_TTL: Final = 255
BFD_TOS: Final = 0xC0
"""Class selector 6: network control."""


class State(enum.IntEnum):
    """bfd.SessionState (RFC 5880, 6.8.1); the names are those of the database's `bfd_status:state`."""

    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3

    @property
    def text(self) -> str:
        return self.name.lower()


class Diag(enum.IntEnum):
    """bfd.LocalDiag (RFC 5880, 4.1): why the session last left the state up. 9 to 31 are reserved."""

    NONE = 0
    EXPIRED = 1
    ECHO_FAILED = 2
    RMT_DOWN = 3
    FWD_RESET = 4
    PATH_DOWN = 5
    CPATH_DOWN = 6
    ADMIN_DOWN = 7
    RCPATH_DOWN = 8


_DIAG_TEXT: Final = {
    Diag.NONE: "No Diagnostic",
    Diag.EXPIRED: "Control Detection Time Expired",
    Diag.ECHO_FAILED: "Echo Function Failed",
    Diag.RMT_DOWN: "Neighbor Signaled Session Down",
    Diag.FWD_RESET: "Forwarding Plane Reset",
    Diag.PATH_DOWN: "Path Down",
    Diag.CPATH_DOWN: "Concatenated Path Down",
    Diag.ADMIN_DOWN: "Administratively Down",
    Diag.RCPATH_DOWN: "Reverse Concatenated Path Down",
}

FLAG_MULTIPOINT: Final = 0x01
FLAG_DEMAND: Final = 0x02
FLAG_AUTH: Final = 0x04
FLAG_CTL: Final = 0x08
FLAG_FINAL: Final = 0x10
FLAG_POLL: Final = 0x20

_FLAG_TEXT: Final = (
    (FLAG_MULTIPOINT, "multipoint"),
    (FLAG_DEMAND, "demand"),
    (FLAG_AUTH, "auth"),
    (FLAG_CTL, "ctl"),
    (FLAG_FINAL, "final"),
    (FLAG_POLL, "poll"),
)


def diag_text(diag: int) -> str:
    """The words of RFC 5880 for diagnostic code `diag`."""
    return _DIAG_TEXT.get(Diag(diag), "") if diag <= Diag.RCPATH_DOWN else "Unknown Diagnostic"


def flags_text(flags: int) -> str:
    """The names of the flags that are set; "none" if none is."""
    return " ".join(text for bit, text in _FLAG_TEXT if flags & bit) or "none"


@dataclass(frozen=True)
class Control:
    """One control packet. Intervals are in us, as on the wire; `flags` are FLAG_* bits."""

    state: State
    diag: int
    flags: int
    mult: int
    my_disc: int
    your_disc: int
    min_tx: int
    min_rx: int
    min_rx_echo: int = 0

    def pack(self) -> bytes:
        return struct.pack(
            "!BBBBIIIII", BFD_VERSION << 5 | self.diag, self.state << 6 | self.flags, self.mult, BFD_LENGTH,
            self.my_disc, self.your_disc, self.min_tx, self.min_rx, self.min_rx_echo,
        )  # fmt: skip

    @staticmethod
    def unpack(data: bytes) -> Control:
        """`data` is the UDP payload. PacketError says which check of RFC 5880, section 6.8.6, failed that
        needs no knowledge of the session."""
        if len(data) < BFD_LENGTH:
            raise PacketError(f"a BFD control packet of {len(data)} bytes is shorter than {BFD_LENGTH}")
        first, second, mult, length, *rest = struct.unpack_from("!BBBBIIIII", data)
        mine, yours, min_tx, min_rx, echo = rest
        if first >> 5 != BFD_VERSION:
            raise PacketError(f"BFD version {first >> 5} instead of {BFD_VERSION}")
        if second & FLAG_AUTH:
            raise PacketError("authentication, which is not in use")
        if length != BFD_LENGTH:
            raise PacketError(f"length {length} instead of {BFD_LENGTH}")
        if mult == 0:
            raise PacketError("a detect multiplier of 0")
        if second & FLAG_MULTIPOINT:
            raise PacketError("the multipoint bit, which is reserved")
        if mine == 0:
            raise PacketError("no discriminator of the sender's")
        state = State(second >> 6)
        if yours == 0 and state not in (State.DOWN, State.ADMIN_DOWN):
            raise PacketError(f"no discriminator of ours in state {state.text}")
        return Control(state, first & 0x1F, second & 0x3F, mult, mine, yours, min_tx, min_rx, echo)


def frame(control: Control, eth_src: int, eth_dst: int, ip_src: int, ip_dst: int) -> bytes:
    """The Ethernet frame of `control`; its UDP checksum is left out, as IPv4 allows."""
    payload = control.pack()
    udp = Udp(BFD_SOURCE_PORT, BFD_DEST_PORT, length=8 + len(payload), checksum=0).pack()
    ip = IPv4(ip_src, ip_dst, IPPROTO_UDP, tos=BFD_TOS, ttl=BFD_TTL)
    return compose(Ethernet(eth_dst, eth_src), ip, payload=udp + payload)
