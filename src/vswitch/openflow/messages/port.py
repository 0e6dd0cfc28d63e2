"""Messages about ports: description, status, modification, statistics."""

from __future__ import annotations

from vswitch.base.records import dataclass
from vswitch.openflow.constants import OFPP_ANY

# Link features (ofp_port_features of OpenFlow 1.1+).
OFPPF_10MB_HD = 1 << 0
OFPPF_10MB_FD = 1 << 1
OFPPF_100MB_HD = 1 << 2
OFPPF_100MB_FD = 1 << 3
OFPPF_1GB_HD = 1 << 4
OFPPF_1GB_FD = 1 << 5
OFPPF_10GB_FD = 1 << 6
OFPPF_40GB_FD = 1 << 7
OFPPF_100GB_FD = 1 << 8
OFPPF_1TB_FD = 1 << 9
OFPPF_OTHER = 1 << 10
OFPPF_COPPER = 1 << 11
OFPPF_FIBER = 1 << 12
OFPPF_AUTONEG = 1 << 13
OFPPF_PAUSE = 1 << 14
OFPPF_PAUSE_ASYM = 1 << 15

OFPPR_ADD = 0
OFPPR_DELETE = 1
OFPPR_MODIFY = 2

UNKNOWN = 0xFFFFFFFFFFFFFFFF
"""A counter that the switch doesn't keep."""


@dataclass(frozen=True)
class Port:
    """A port: OFPPC_* in `config`, OFPPS_* in `state`, OFPPF_* in the features, speeds in kbps.

    `state` has 1.0's spanning tree state in bits 8 and 9. 1.0 tells no speeds.
    """

    port_no: int
    hw_addr: int = 0
    name: str = ""
    config: int = 0
    state: int = 0
    curr: int = 0
    advertised: int = 0
    supported: int = 0
    peer: int = 0
    curr_speed: int = 0
    max_speed: int = 0


@dataclass(frozen=True)
class PortStatus:
    """A port came (OFPPR_ADD), went or changed."""

    reason: int
    port: Port


@dataclass(frozen=True)
class PortMod:
    """Set the bits `mask` of a port's configuration to those of `config`.

    `advertise` 0 leaves what the port advertises alone.
    """

    port_no: int
    hw_addr: int = 0
    config: int = 0
    mask: int = 0
    advertise: int = 0


@dataclass(frozen=True)
class PortDescRequest:
    """Describe your ports (before 1.5: all of them, OFPP_ANY)."""

    port_no: int = OFPP_ANY


@dataclass(frozen=True)
class PortDescReply:
    """The ports; `more` of them follow in another reply."""

    ports: tuple[Port, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class PortStatsRequest:
    """What did port `port_no` (OFPP_ANY: each) count?"""

    port_no: int = OFPP_ANY


@dataclass(frozen=True)
class CustomStat:
    """A counter that has no number, only a name."""

    name: str
    value: int


@dataclass(frozen=True)
class RFC2819:
    """Counters of Open vSwitch's own port statistics property: frames by size, broken frames."""

    counters: tuple[int, ...]
    """The 21 counters of the property, in its order."""


@dataclass(frozen=True)
class PortStats:
    """What one port counted; UNKNOWN where it doesn't. `duration_sec` None: not told (1.0 to 1.2)."""

    port_no: int
    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_frame_err: int = 0
    rx_over_err: int = 0
    rx_crc_err: int = 0
    collisions: int = 0
    duration_sec: int | None = None
    duration_nsec: int = 0
    rfc2819: RFC2819 | None = None
    custom: tuple[CustomStat, ...] = ()


@dataclass(frozen=True)
class PortStatsReply:
    """The statistics; `more` of them follow in another reply."""

    stats: tuple[PortStats, ...] = ()
    more: bool = False
