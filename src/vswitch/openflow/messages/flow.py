"""Messages about flows: removal, statistics, monitors. The modification is `flow_mod.FlowMod`."""

from __future__ import annotations

from mypy_extensions import mypyc_attr

from vswitch.base.records import dataclass, field
from vswitch.flow.match import Match
from vswitch.openflow.actions import Actions
from vswitch.openflow.constants import OFP_DEFAULT_PRIORITY, OFPG_ANY, OFPP_ANY, OFPTT_ALL

COUNT_UNKNOWN = 0xFFFFFFFFFFFFFFFF
"""A packet or byte count that isn't told."""


@dataclass(frozen=True)
class FlowRemoved:
    """A flow is gone. `reason` is OFPRR_*; times in s, `duration_nsec` beyond the second.

    1.0 tells no table (255) and no hard timeout unless Nicira's form is used.
    """

    match: Match
    priority: int = OFP_DEFAULT_PRIORITY
    cookie: int = 0
    reason: int = 0
    table_id: int = OFPTT_ALL
    duration_sec: int = 0
    duration_nsec: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    packet_count: int = 0
    byte_count: int = 0


@dataclass(frozen=True)
class FlowStatsRequest:
    """Tell the flows that `match` covers, that output to `out_port` and `out_group`, by cookie."""

    match: Match = field(default_factory=Match)
    table_id: int = OFPTT_ALL
    out_port: int = OFPP_ANY
    out_group: int = OFPG_ANY
    cookie: int = 0
    cookie_mask: int = 0


@dataclass(frozen=True)
class AggregateStatsRequest:
    """Tell the sums over the flows that a `FlowStatsRequest` would list."""

    match: Match = field(default_factory=Match)
    table_id: int = OFPTT_ALL
    out_port: int = OFPP_ANY
    out_group: int = OFPG_ANY
    cookie: int = 0
    cookie_mask: int = 0


@mypyc_attr(acyclic=True)
@dataclass(init=False)
class FlowStats:
    """One flow. `idle_age` and `hard_age` (s) need Nicira's form after NXT_FLOW_AGE, else None."""

    match: Match
    actions: Actions
    priority: int
    table_id: int
    cookie: int
    duration_sec: int
    duration_nsec: int
    idle_timeout: int
    hard_timeout: int
    idle_age: int | None
    hard_age: int | None
    importance: int
    flags: int
    packet_count: int
    byte_count: int

    # Written out, since mypyc compiles it then: listings have them by the hundred thousand.
    def __init__(
        self,
        match: Match,
        actions: Actions = (),
        priority: int = OFP_DEFAULT_PRIORITY,
        table_id: int = 0,
        cookie: int = 0,
        duration_sec: int = 0,
        duration_nsec: int = 0,
        idle_timeout: int = 0,
        hard_timeout: int = 0,
        idle_age: int | None = None,
        hard_age: int | None = None,
        importance: int = 0,
        flags: int = 0,
        packet_count: int = 0,
        byte_count: int = 0,
    ) -> None:
        self.match = match
        self.actions = actions
        self.priority = priority
        self.table_id = table_id
        self.cookie = cookie
        self.duration_sec = duration_sec
        self.duration_nsec = duration_nsec
        self.idle_timeout = idle_timeout
        self.hard_timeout = hard_timeout
        self.idle_age = idle_age
        self.hard_age = hard_age
        self.importance = importance
        self.flags = flags
        self.packet_count = packet_count
        self.byte_count = byte_count


@dataclass(frozen=True)
class FlowStatsReply:
    """The flows; `more` of them follow in another reply."""

    flows: tuple[FlowStats, ...] = ()
    more: bool = False


@dataclass(frozen=True)
class AggregateStatsReply:
    """Sums over flows."""

    packet_count: int = 0
    byte_count: int = 0
    flow_count: int = 0


# Flow monitors. What to tell (OpenFlow 1.4's ofp_flow_monitor_flags, Nicira's are mapped to them).
OFPFMF_INITIAL = 1 << 0
OFPFMF_ADD = 1 << 1
OFPFMF_REMOVED = 1 << 2
OFPFMF_MODIFY = 1 << 3
OFPFMF_INSTRUCTIONS = 1 << 4
OFPFMF_NO_ABBREV = 1 << 5
OFPFMF_ONLY_OWN = 1 << 6

OFPFMC_ADD = 0
OFPFMC_MODIFY = 1
OFPFMC_DELETE = 2

# What happened (OpenFlow 1.4's ofp_flow_update_event).
OFPFME_INITIAL = 0
OFPFME_ADDED = 1
OFPFME_REMOVED = 2
OFPFME_MODIFIED = 3
OFPFME_ABBREV = 4
OFPFME_PAUSED = 5
OFPFME_RESUMED = 6


@dataclass(frozen=True)
class FlowMonitor:
    """One monitor: tell of flows of `table_id` (255: all) that `match` covers. `flags` are OFPFMF_*."""

    monitor_id: int
    match: Match = field(default_factory=Match)
    flags: int = 0
    command: int = OFPFMC_ADD
    table_id: int = OFPTT_ALL
    out_port: int = OFPP_ANY
    out_group: int = OFPG_ANY


@dataclass(frozen=True)
class FlowMonitorRequest:
    """Start, change or end monitors."""

    monitors: tuple[FlowMonitor, ...]


@dataclass(frozen=True)
class FlowMonitorCancel:
    """NXT_FLOW_MONITOR_CANCEL: end a monitor."""

    monitor_id: int


@dataclass(frozen=True)
class FlowMonitorPaused:
    """NXT_FLOW_MONITOR_PAUSED: the controller reads too slowly."""


@dataclass(frozen=True)
class FlowMonitorResumed:
    """NXT_FLOW_MONITOR_RESUMED: all changes since the pause have been told."""


@dataclass(frozen=True)
class FlowUpdate:
    """A flow that there is (INITIAL), was ADDED, REMOVED or MODIFIED; `reason` (OFPRR_*) of a removal.

    An ABBREV update tells only `xid`, of the controller's own request that made the change.
    """

    event: int
    match: Match = field(default_factory=Match)
    actions: Actions = ()
    reason: int = 0
    priority: int = 0
    table_id: int = 0
    cookie: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    xid: int = 0


@dataclass(frozen=True)
class FlowMonitorReply:
    """Updates; `more` of them follow in another reply."""

    updates: tuple[FlowUpdate, ...] = ()
    more: bool = False
