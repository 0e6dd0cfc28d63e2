"""The values that cross the dpif interface: ports, policers, meters, connection tracking, statistics.

What crosses it with each packet or flow is in `ops.py`.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from typing import Final

from vswitch.base.records import dataclass, field

ODPP_NONE: Final = 0xFFFFFFFF
"""No datapath port: the number of a port that the datapath does not know, such as a patch port."""


class DpifError(OSError):
    """A datapath operation failed.

    `errno` is the kernel's; `operation` is the method ("flow put"), `obj` what it was about
    ("system@ovs-system: recirc_id(0),in_port(1),..."), `detail` the extended ack if any.
    """

    def __init__(self, errno: int, operation: str, obj: str, detail: str = "") -> None:
        text = f"{obj}: {operation} failed ({os.strerror(errno)})"
        super().__init__(errno, f"{text}: {detail}" if detail else text)
        self.operation = operation
        self.obj = obj
        self.detail = detail


@dataclass(frozen=True)
class DpifPort:
    """A port of a datapath: `name`, `type` ("system", "internal", "vxlan"...), `port_no`."""

    name: str
    type: str
    port_no: int


@dataclass
class DpifStats:
    """`ovs_dp_stats` and `ovs_dp_megaflow_stats`."""

    n_hit: int = 0
    n_missed: int = 0
    n_lost: int = 0
    n_flows: int = 0
    n_mask_hit: int = 0
    n_masks: int = 0
    n_cache_hit: int = 0


@dataclass(frozen=True)
class Policing:
    """What may come in at a port: kbit/s with a burst in kbit, and thousands of packets a second with a burst
    in thousands. A rate of 0 does not limit; a burst of 0 is `KBITS_BURST` or `KPKTS_BURST`."""

    kbits: int = 0
    kbits_burst: int = 0
    kpkts: int = 0
    kpkts_burst: int = 0


KBITS_BURST = 8000
KPKTS_BURST = 16
"""Bursts where none is given (ovs-vswitchd.conf.db(5), table Interface)."""


@dataclass(frozen=True)
class PolicerRates:
    """What a policer lets out: committed and excess rates in bytes a second, and their bursts in bytes, all
    of IP packets."""

    cir: int
    cbs: int
    eir: int = 0
    ebs: int = 0


@dataclass(frozen=True)
class EgressPolicing:
    """What may leave by a port, and by each of its queues: if it has any, then a queue 0 as well."""

    port: PolicerRates
    queues: Mapping[int, PolicerRates] = field(default_factory=dict)


@dataclass(frozen=True)
class QueueCounters:
    """What left by a queue, and how many packets did not."""

    packets: int = 0
    bytes: int = 0
    dropped: int = 0


class UpcallType(enum.IntEnum):
    """Why a packet came up: `OVS_PACKET_CMD_MISS` or `OVS_PACKET_CMD_ACTION`."""

    MISS = 1
    ACTION = 2


class Fitness(enum.Enum):
    """How well a datapath's key translates to a `Flow` (OVS's `odp_key_fitness`).

    TOO_MUCH: the key has attributes unknown here; TOO_LITTLE: it lacks some that the packet
    must have had; ERROR: it is not a valid key.
    """

    PERFECT = "perfect"
    TOO_MUCH = "too_much"
    TOO_LITTLE = "too_little"
    ERROR = "error"


class PutFlags(enum.IntFlag):
    """What `FlowPut` may do. CREATE alone: EEXIST if there; MODIFY alone: ENOENT if not."""

    CREATE = 1
    MODIFY = 2
    ZERO_STATS = 4
    PROBE = 8


@dataclass(frozen=True)
class MeterBand:
    """`type` "drop" or "dscp_remark"; `rate` in kbit/s or packets/s; `burst` likewise."""

    type: str
    rate: int
    burst: int
    prec_level: int = 0


@dataclass(frozen=True)
class MeterConfig:
    """`unit` is "kbps" or "pktps"."""

    unit: str
    bands: tuple[MeterBand, ...]
    burst: bool = False
    stats: bool = True


@dataclass
class MeterStats:
    """Counters of a meter; `bands` are (packets, bytes) each."""

    packets_in: int = 0
    bytes_in: int = 0
    bands: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class MeterFeatures:
    """What the datapath's meters can do; max_meters 0 means none at all."""

    max_meters: int = 0
    band_types: tuple[str, ...] = ()
    max_bands: int = 0


@dataclass(frozen=True)
class CtEntry:
    """One tracked connection, for `ct_dump`: `orig` and `reply` are 5-tuples as text fields."""

    proto: int
    orig: tuple[str, str, int, int]
    reply: tuple[str, str, int, int]
    zone: int = 0
    mark: int = 0
    labels: int = 0
    timeout: int = 0
    state: str = ""
    """TCP: the state of the first packet's sender, or of both ends if `reply_state` is not set."""
    reply_state: str = ""
    flags: tuple[str, str] = ("0", "0")
    """Of both ends: WINDOW_SCALE, BE_LIBERAL (picked up in its midst: windows are taken to be wide)."""
    scales: tuple[int, int] = (0, 0)
    """The window scales of both ends."""
    helper: str = ""
    parent: tuple[str, str, int, int] | None = None
    """The connection that announced this one."""
    id: int = 0
    status: int = 0


@dataclass(frozen=True)
class CtTimeoutNames:
    """What a datapath calls one timeout policy in its `Ct` actions."""

    any: str = ""
    """Its name whatever the packet is; "" if that depends on the packet."""
    of: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """Its name for packets of an Ethernet type and IP protocol. Others have the datapath's own timeouts."""


@dataclass(frozen=True)
class CtSettings:
    """What can be set about connection tracking in a datapath that does it itself."""

    max_connections: int
    tcp_seq_chk: bool
    """TCP segments out of window are invalid."""


@dataclass(frozen=True)
class IpfFamily:
    """How fragments of one IP version are put together, and what became of them so far."""

    enabled: bool
    min_size: int
    """bytes: the least that a fragment which is not the last may have."""
    accepted: int = 0
    completed: int = 0
    expired: int = 0
    too_small: int = 0
    overlapped: int = 0
    purged: int = 0


@dataclass(frozen=True)
class IpfStatus:
    """The state of putting fragments together, as `dpctl/ipf-get-status` shows it."""

    max_fragments: int
    held: int
    v4: IpfFamily
    v6: IpfFamily
    packets: tuple[str, ...] = ()
    """What is being put together: a line each."""


@dataclass
class CtLimit:
    """A conntrack zone's limit and current count; `zone` None is the default limit."""

    zone: int | None
    limit: int
    count: int = 0
