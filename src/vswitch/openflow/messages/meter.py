"""Messages about meters: modification, statistics, configuration, features."""

from __future__ import annotations

from vswitch.base.records import dataclass

OFPM_SLOWPATH = 0xFFFFFFFD
OFPM_CONTROLLER = 0xFFFFFFFE
OFPM_ALL = 0xFFFFFFFF

OFPMC_ADD = 0
OFPMC_MODIFY = 1
OFPMC_DELETE = 2

OFPMF_KBPS = 1 << 0
OFPMF_PKTPS = 1 << 1
OFPMF_BURST = 1 << 2
OFPMF_STATS = 1 << 3

OFPMBT_DROP = 1
OFPMBT_DSCP_REMARK = 2


@dataclass(frozen=True)
class MeterBand:
    """Above `rate` (kbps or packets/s): drop, or (DSCP_REMARK) lower the precedence by `prec_level`."""

    type: int
    rate: int
    burst_size: int = 0
    prec_level: int = 0


@dataclass(frozen=True)
class MeterConfig:
    """A meter: OFPMF_* and its bands."""

    meter_id: int
    flags: int = 0
    bands: tuple[MeterBand, ...] = ()


@dataclass(frozen=True)
class MeterMod:
    """Add, change or delete a meter (OFPMC_*)."""

    command: int
    meter: MeterConfig


@dataclass(frozen=True)
class MeterStatsRequest:
    """What did a meter (OFPM_ALL: each) count?"""

    meter_id: int = OFPM_ALL


@dataclass(frozen=True)
class MeterStats:
    """What a meter and its bands ((packets, bytes) each) counted."""

    meter_id: int
    flow_count: int = 0
    packet_in_count: int = 0
    byte_in_count: int = 0
    duration_sec: int = 0
    duration_nsec: int = 0
    bands: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class MeterStatsReply:
    """The statistics; `more` of them follow in another reply."""

    meters: tuple[MeterStats, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class MeterConfigRequest:
    """How is a meter (OFPM_ALL: each) configured?"""

    meter_id: int = OFPM_ALL


@dataclass(frozen=True)
class MeterConfigReply:
    """The configurations; `more` of them follow in another reply."""

    meters: tuple[MeterConfig, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class MeterFeaturesRequest:
    """What can your meters do?"""


@dataclass(frozen=True)
class MeterFeaturesReply:
    """`band_types` has bit n for band type n, `capabilities` the OFPMF_* that are understood."""

    max_meters: int = 0
    band_types: int = 0
    capabilities: int = 0
    max_bands: int = 0
    max_color: int = 0
