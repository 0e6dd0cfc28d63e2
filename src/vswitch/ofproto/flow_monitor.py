"""`Monitors`: the flow monitors of one connection (OpenFlow 1.4, 7.3.5.15, and Nicira's NXST_FLOW_MONITOR).

Updates gather while a request is carried out and go out when it is done. A connection that does not
read them is paused: from then on it only hears of the removal of flows that it knew, until its
queue is empty; then it is notified of what else came or changed in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, final

from vswitch.base import coverage
from vswitch.base.records import dataclass
from vswitch.flow.match import Match
from vswitch.ofproto.multipart import Multipart
from vswitch.openflow.action_query import outputs_to_port, uses_group
from vswitch.openflow.constants import OFPG_ANY, OFPP_ANY, OFPTT_ALL
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import flow as f
from vswitch.openflow.wire.version import OFP14

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitch.ofproto.ofproto import Ofproto
    from vswitch.ofproto.rule import Rule
    from vswitch.openflow.actions import Actions

MAX_WAITING: Final = 128 * 1024
"""Bytes that may wait for a connection before its monitors are paused."""

monitor_pause = coverage.counter("ofmonitor_pause")
monitor_resume = coverage.counter("ofmonitor_resume")


@dataclass(frozen=True)
class Monitor:
    """Which flows a monitor is for, and (OFPFMF_*) what is reported of them."""

    match: Match
    flags: int
    table_id: int
    out_port: int
    out_group: int

    def covers(self, rule: Rule, old_actions: Actions | None) -> bool:
        """Whether the monitor is for `rule`, which had `old_actions` if those are given. A port may be in
        either, a group in the new ones only, as in Open vSwitch."""
        return (
            self.table_id in (OFPTT_ALL, rule.table_id)
            and (
                self.out_port == OFPP_ANY
                or outputs_to_port(rule.actions, self.out_port)
                or (old_actions is not None and outputs_to_port(old_actions, self.out_port))
            )
            and (self.out_group == OFPG_ANY or uses_group(rule.actions, self.out_group))
            and self.match.is_looser_than(rule.match)
        )


class Reader(Protocol):
    """The peer of a connection, as far as it is known what it has read (`ofconn.Peer`)."""

    def queued(self) -> int:
        """How many messages are not yet on the wire."""

    def queued_bytes(self) -> int:
        """How many bytes those have."""


class Changes(Protocol):
    """What a switch's connections have in common (`ofconn.Siblings`)."""

    n_monitors: int
    """How many flow monitors there are, of all connections."""
    acting_xid: int

    @property
    def acting(self) -> object:
        """The connection whose request is being carried out."""

    def next_seqno(self) -> int:
        """The next number of the order in which flows change and monitors pause."""


@final
class Monitors:
    """The monitors of one connection by number, and the updates that it has not been sent.

    `ofconn` is the connection, of which only its identity matters; `send` sends it a message that must
    arrive."""

    def __init__(
        self, ofconn: object, version: int, peer: Reader, ofproto: Ofproto, changes: Changes,
        send: Callable[[Any, int], None],
    ) -> None:
        self.ofconn = ofconn
        self.version = version
        self.peer = peer
        self.ofproto = ofproto
        self.changes = changes
        self.send = send
        self.by_id: dict[int, Monitor] = {}
        self.paused: int = 0
        """The number of the change at which the connection was paused; 0: it is not."""
        self._updates: list[f.FlowUpdate] = []
        self._abbreviated: bool = False
        """Whether `_updates` says already that the connection's own request changed something."""

    # Requests.

    def change(self, request: f.FlowMonitorRequest) -> list[Monitor]:
        """Start, replace and end monitors, all of them or none; the new ones.

        OfpError: OFPMOFC_MONITOR_EXISTS, OFPMOFC_UNKNOWN_MONITOR, OFPBRC_BAD_TABLE_ID.
        """
        by_id = dict(self.by_id)
        started: list[Monitor] = []
        n_tables = len(self.ofproto.tables)
        for wanted in request.monitors:
            there = wanted.monitor_id in by_id
            if wanted.command == f.OFPFMC_ADD and there:
                raise OfpError("OFPMOFC_MONITOR_EXISTS", f"monitor {wanted.monitor_id}")
            if wanted.command != f.OFPFMC_ADD and not there:
                raise OfpError("OFPMOFC_UNKNOWN_MONITOR", f"monitor {wanted.monitor_id}")
            if wanted.command == f.OFPFMC_DELETE:
                del by_id[wanted.monitor_id]
                continue
            if wanted.table_id != OFPTT_ALL and wanted.table_id >= n_tables:
                raise OfpError("OFPBRC_BAD_TABLE_ID", f"table {wanted.table_id}")
            self.ofproto.tlv.bind_match(wanted.match)
            monitor = Monitor(
                wanted.match, wanted.flags, wanted.table_id, wanted.out_port, wanted.out_group
            )
            by_id[wanted.monitor_id] = monitor
            started.append(monitor)
        self._set(by_id)
        return started

    def cancel(self, monitor_id: int) -> None:
        """End one. OfpError OFPMOFC_UNKNOWN_MONITOR."""
        if monitor_id not in self.by_id:
            raise OfpError("OFPMOFC_UNKNOWN_MONITOR", f"monitor {monitor_id}")
        self._set({number: m for number, m in self.by_id.items() if number != monitor_id})

    def clear(self) -> None:
        """End all."""
        self._set({})

    def _set(self, by_id: dict[int, Monitor]) -> None:
        self.changes.n_monitors += len(by_id) - len(self.by_id)
        self.by_id = by_id

    def initial(self, started: list[Monitor]) -> list[f.FlowUpdate]:
        """The flows that are reported to new monitors at once, each once."""
        wanted = [m for m in started if m.flags & f.OFPFMF_INITIAL]
        flags: dict[Rule, int] = {}
        for monitor in wanted:
            for rule in _rules(self.ofproto, monitor):
                flags[rule] = flags.get(rule, 0) | monitor.flags
        return [_update(f.OFPFME_INITIAL, rule, 0, bits) for rule, bits in flags.items()]

    # Changes.

    def report(self, event: int, rule: Rule, reason: int, old_actions: Actions | None) -> None:
        """`event` (OFPFME_*) happened to `rule`, which had `old_actions` if those are given."""
        if self.paused and (event != f.OFPFME_REMOVED or rule.add_seqno > self.paused):
            return
        wanted = _FLAG_OF[event]
        flags = 0
        for monitor in self.by_id.values():
            if monitor.flags & wanted and monitor.covers(rule, old_actions):
                flags |= monitor.flags
        if not flags:
            return
        connmgr = self.changes
        own = connmgr.acting is self.ofconn and not self.paused
        if not own or flags & f.OFPFMF_ONLY_OWN:
            self._updates.append(_update(event, rule, reason, flags))
        elif not self._abbreviated:
            self._abbreviated = True
            self._updates.append(f.FlowUpdate(f.OFPFME_ABBREV, xid=connmgr.acting_xid))

    def flush(self) -> None:
        """Send what has gathered."""
        if not self._updates:
            return
        self._send(self._updates)
        self._updates = []
        self._abbreviated = False
        if not self.paused and self.peer.queued_bytes() > MAX_WAITING:
            monitor_pause.inc()
            self.paused = self.changes.next_seqno()
            self._tell(f.FlowMonitorPaused(), f.OFPFME_PAUSED)

    def run(self, now: int) -> None:
        """Resume once the connection has read all."""
        if not self.paused or self.peer.queued():
            return
        monitor_resume.inc()
        flags: dict[Rule, int] = {}
        for monitor in self.by_id.values():
            for rule in _rules(self.ofproto, monitor):
                wanted = f.OFPFMF_ADD if rule.add_seqno > self.paused else f.OFPFMF_MODIFY
                if monitor.flags & wanted and rule.modify_seqno > self.paused:
                    flags[rule] = flags.get(rule, 0) | monitor.flags
        updates = [
            _update(f.OFPFME_ADDED if rule.add_seqno > self.paused else f.OFPFME_MODIFIED, rule, 0, bits)
            for rule, bits in flags.items()
        ]
        self.paused = 0
        if updates:
            self._send(updates)
        self._tell(f.FlowMonitorResumed(), f.OFPFME_RESUMED)

    def _tell(self, message: f.FlowMonitorPaused | f.FlowMonitorResumed, event: int) -> None:
        """A pause or its end: an update of its own from 1.4 on."""
        if self.version >= OFP14:
            self._send([f.FlowUpdate(event)])
        else:
            self.send(message, 0)

    def _send(self, updates: list[f.FlowUpdate]) -> None:
        self.send(Multipart(updates, f.FlowMonitorReply), 0)


_FLAG_OF: Final = {
    f.OFPFME_ADDED: f.OFPFMF_ADD,
    f.OFPFME_REMOVED: f.OFPFMF_REMOVED,
    f.OFPFME_MODIFIED: f.OFPFMF_MODIFY,
}


def _rules(ofproto: Ofproto, monitor: Monitor) -> list[Rule]:
    """The flows that there are of those that a monitor is for."""
    found = ofproto.tables.collect(
        monitor.match, monitor.table_id, 0, 0, monitor.out_port, monitor.out_group
    )
    return [rule for rule in found if not rule.hidden]


def _update(event: int, rule: Rule, reason: int, flags: int) -> f.FlowUpdate:
    return f.FlowUpdate(
        event, rule.match, rule.actions if flags & f.OFPFMF_INSTRUCTIONS else (), reason,
        rule.priority, rule.table_id, rule.cookie, rule.idle_timeout, rule.hard_timeout,
    )  # fmt: skip
