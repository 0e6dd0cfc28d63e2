"""Messages about queues: configuration (1.0 to 1.3), description (1.4+), statistics."""

from __future__ import annotations

from vswitch.base.records import dataclass
from vswitch.openflow.constants import OFPP_ANY

OFPQ_ALL = 0xFFFFFFFF


@dataclass(frozen=True)
class QueueConfig:
    """A queue of a port; rates in 1/10 %, None or above 1000: not set."""

    port_no: int
    queue_id: int
    min_rate: int | None = None
    max_rate: int | None = None


@dataclass(frozen=True)
class QueueGetConfigRequest:
    """How are the queues of a port configured? From 1.4 on a multipart request, also for one queue."""

    port_no: int
    queue_id: int = OFPQ_ALL


@dataclass(frozen=True)
class QueueGetConfigReply:
    """The queues of `port_no`. From 1.4 on a multipart reply, in which each queue tells its port."""

    port_no: int
    queues: tuple[QueueConfig, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class QueueStatsRequest:
    """What did a port's (OFPP_ANY: each port's) queue (OFPQ_ALL: each) count?"""

    port_no: int = OFPP_ANY
    queue_id: int = OFPQ_ALL


@dataclass(frozen=True)
class QueueStats:
    """What a queue counted. `duration_sec` None: not told (1.0 to 1.2)."""

    port_no: int
    queue_id: int
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    duration_sec: int | None = None
    duration_nsec: int = 0


@dataclass(frozen=True)
class QueueStatsReply:
    """The statistics; `more` of them follow in another reply."""

    queues: tuple[QueueStats, ...] = ()
    more: bool = False
