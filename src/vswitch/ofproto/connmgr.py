"""`ConnMgr`: the connections of one switch, and which of them hears of what.

Roles, with the generation ids that order the claims to them, and every asynchronous message: the
switch says once what happened, and each connection gets it or not, by its role and by what it asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, final

from vswitch.base import coverage
from vswitch.base.clock import NEVER
from vswitch.ofproto import handlers
from vswitch.ofproto.async_config import NOT_SECONDARY
from vswitch.ofproto.handlers_table import describe
from vswitch.ofproto.ofconn import ConnKind, OfConn, Peer
from vswitch.ofproto.tables import RuleListener
from vswitch.openflow.constants import (
    OFPFF_SEND_FLOW_REM,
    OFPR_IMPLICIT_MISS,
)
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import session as s
from vswitch.openflow.messages.bundle import OFPRFR_METER_MOD, RequestForward
from vswitch.openflow.messages.flow import FlowRemoved
from vswitch.openflow.messages.group import GroupMod
from vswitch.openflow.messages.meter import MeterMod
from vswitch.openflow.messages.packet import PacketIn
from vswitch.openflow.messages.port import Port, PortStatus
from vswitch.openflow.messages.table import (
    OFPTR_VACANCY_DOWN,
    OFPTR_VACANCY_UP,
    TableConfig,
    TableStatus,
)
from vswitch.openflow.wire.codec import Message, class_of, decodable_length, encode
from vswitch.openflow.wire.messages_packet import wire_reason
from vswitch.openflow.wire.version import OFP10, OFP13, OFP14, OFP15

if TYPE_CHECKING:
    from vswitch.ofproto.ofproto import Ofproto
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto.tables import Tables
    from vswitch.openflow.actions import Actions

packet_in_unwanted = coverage.counter("drop_packet_in_unwanted")

OFPCRR_MASTER_REQUEST = 0
GENERATION_MASK = 0xFFFFFFFFFFFFFFFF


@final
class ConnMgr(RuleListener):
    """All connections of one switch; `Ofproto.init_tables` has it made as `Ofproto.connmgr`.

    It is a `RuleListener` of the switch's tables: removed flows and flow monitors are notified from here.
    """

    def __init__(self, ofproto: Ofproto) -> None:
        self.ofproto = ofproto
        self._tables: Tables = ofproto.tables
        self.conns: list[OfConn] = []
        self.generation_id: int | None = None
        """The last one that a claim to a role came with."""
        self.acting: OfConn | None = None
        """Whose request is being carried out."""
        self.acting_xid: int = 0
        self.n_monitors: int = 0
        """How many flow monitors there are, of all connections."""
        self.n_tell_removed: int = 0
        """How many flows have OFPFF_SEND_FLOW_REM."""
        self._held: list[tuple[int, Rule, int, Actions | None]] | None = None
        self._unflushed: bool = False
        self._seqno: int = 0

    # Connections.

    def attach(self, peer: Peer, kind: ConnKind, now: int) -> OfConn:
        """A connection whose version is negotiated. Its messages go to `OfConn.receive` from now on."""
        ofconn = OfConn(self.ofproto, self, peer, kind, now)
        self.conns.append(ofconn)
        self.update_miss_config()
        return ofconn

    def detach(self, ofconn: OfConn, now: int) -> None:
        """The connection has ended: its bundles are discarded, its monitors forgotten."""
        if ofconn in self.conns:
            self.conns.remove(ofconn)
        if ofconn.monitors is not None:
            ofconn.monitors.clear()
        ofconn.flow_mods.say(now)
        ofconn.flush()
        self.update_miss_config()

    def run(self, now: int) -> None:
        """One turn of the main loop."""
        if self._unflushed:
            self.flush_monitors()
        for ofconn in list(self.conns):
            ofconn.run(now)

    def wakeup(self, now: int) -> int:
        """Clock ms of the next timer."""
        when = NEVER
        for ofconn in self.conns:
            when = min(when, ofconn.wakeup(now))
        return when

    def handle(self, ofconn: OfConn, message: Message, now: int) -> Iterable[Any]:
        """The replies to one request. OfpError: it is refused."""
        self.acting = ofconn
        self.acting_xid = message.xid
        try:
            return handlers.handle(ofconn, message, now)
        finally:
            if self.n_monitors:
                self.flush_monitors()
            self.acting = None

    @staticmethod
    def refusal(ofconn: OfConn, data: bytes, error: OfpError) -> OfpError:
        """What to say to the request `data`, which can't be carried out for the reason of `error`.

        A length that its kind can't have comes before all else; then that it is no request, or none
        that a secondary may make; then what is wrong with it.
        """
        if error.name == "OFPBRC_BAD_LEN" and not decodable_length(data):
            return error
        cls = class_of(data)
        if cls is None:
            return error
        if cls not in handlers.HANDLERS:
            return OfpError("OFPBRC_BAD_TYPE", f"{cls.__name__} is no request, and wrong: {error}")
        if ofconn.role == s.ROLE_SECONDARY and cls in handlers.SECONDARY_REFUSED:
            return OfpError("OFPBRC_IS_SECONDARY", f"{cls.__name__}, and wrong: {error}")
        return error

    def has_controllers(self) -> bool:
        """Whether a primary connection is there."""
        return any(conn.kind is ConnKind.PRIMARY for conn in self.conns)

    @property
    def wants_packet_in_on_miss(self) -> bool:
        """Whether a packet that matches no flow is for some controller: before 1.3 it is.

        Clients that the switch listens for count, as in Open vSwitch, whether they asked for packets or not.
        """
        return any(
            conn.controller_id == 0 and conn.version < OFP13 for conn in self.conns
        )

    def update_miss_config(self) -> None:
        """Tell the switch when `wants_packet_in_on_miss` may have changed."""
        self.ofproto.set_wants_packet_in_on_miss(self.wants_packet_in_on_miss)

    # Roles (OpenFlow 1.3, 6.3.4).

    def claim_role(self, ofconn: OfConn, role: int, generation_id: int | None) -> None:
        """Give `ofconn` a role. OfpError OFPRRFC_STALE: the claim is older than another one."""
        if role == s.ROLE_NOCHANGE:
            return
        if generation_id is not None and role in (s.ROLE_PRIMARY, s.ROLE_SECONDARY):
            last = self.generation_id
            if last is not None and (generation_id - last) & GENERATION_MASK > GENERATION_MASK >> 1:
                raise OfpError("OFPRRFC_STALE", f"generation {generation_id} after {last}")
            self.generation_id = generation_id
        if role == s.ROLE_PRIMARY:
            for other in self.conns:
                if other is not ofconn and other.role == s.ROLE_PRIMARY:
                    other.role = s.ROLE_SECONDARY
                    self._send_role_status(other)
        ofconn.role = role

    def _send_role_status(self, ofconn: OfConn) -> None:
        """Tell a connection that it is no primary any more: from 1.3 on, whatever its masks say."""
        ofconn.send_async(s.RoleStatus(ofconn.role, OFPCRR_MASTER_REQUEST, self.generation_id))

    # What happened.

    def send_packet_in(self, pin: PacketIn, max_len: int, controller_id: int, now: int) -> bool:
        """A packet for controllers of `controller_id`; whether anybody wanted it.

        `pin.packet` is all of it, and is sent so: neither the action's `max_len` nor a connection's
        miss_send_len cuts a packet that is not buffered (OpenFlow 1.3, 7.4.1), and none is.
        """
        wanted = False
        for conn in self.conns:
            if conn.controller_id != controller_id:
                continue
            if pin.reason == OFPR_IMPLICIT_MISS and conn.version >= OFP13:
                continue  # from 1.3 on packets that match no flow are dropped
            reason = wire_reason(pin.reason, conn.version)
            if not conn.wants(s.OFPACPT_PACKET_IN, reason):
                continue
            wanted = True
            conn.queue_packet_in(pin, now)
        if not wanted:
            packet_in_unwanted.inc()
        return wanted

    def send_port_status(
        self, reason: int, port: Port, oldest: int = OFP10, told: Port | None = None
    ) -> None:
        """A port came, went or changed (OFPPR_*), as connections of the version `oldest` and later see it.
        What was `told` before is not said again where the version has no word for what changed."""
        status = PortStatus(reason, port)
        before = PortStatus(reason, told) if told is not None else None
        for conn in self.conns:
            if conn.version < oldest or not conn.wants(s.OFPACPT_PORT_STATUS, reason):
                continue
            if conn is self.acting and conn.version < OFP15:
                continue  # before 1.5 a port mod's own changes are not told to who asked for them
            if before is None or encode(before, conn.version, 0) != encode(status, conn.version, 0):
                conn.send_async(status)

    def send_table_status(self, reason: int, table: TableConfig) -> None:
        """A table's vacancy passed a threshold (OFPTR_*)."""
        for conn in self.conns:
            if conn.wants(s.OFPACPT_TABLE_STATUS, reason):
                conn.send_async(TableStatus(reason, table))

    def forward_request(self, reason: int, request: GroupMod | MeterMod) -> None:
        """`request` (OFPRFR_*) of the acting connection has been done."""
        for conn in self.conns:
            if conn.version < OFP13 and reason == OFPRFR_METER_MOD:
                continue  # no words for meters
            if conn is not self.acting and conn.wants(s.OFPACPT_REQUESTFORWARD, reason):
                conn.send_async(RequestForward(encode(request, conn.version, self.acting_xid)))

    # What the tables tell.

    def rule_inserted(self, rule: Rule, replaced: Rule | None) -> None:
        """`rule` came, in the place of `replaced` if given."""
        if rule.flags & OFPFF_SEND_FLOW_REM:
            self.n_tell_removed += 1
        if replaced is not None and replaced.flags & OFPFF_SEND_FLOW_REM:
            self.n_tell_removed -= 1
        if self.n_monitors and not rule.hidden:
            self._told(f.OFPFME_ADDED, rule, 0, replaced.actions if replaced is not None else None)
        if replaced is None:
            self._check_vacancy(rule.table_id)

    def rule_modified(self, rule: Rule, old_actions: Actions) -> None:
        """`rule` has other actions."""
        if self.n_monitors and not rule.hidden:
            if rule.actions != old_actions or self.ofproto.tables.cookie_changed:
                self._told(f.OFPFME_MODIFIED, rule, 0, old_actions)

    def rules_deleted(self, rules: list[Rule], reason: int) -> None:
        """`rules`, of one table, went (OFPRR_*)."""
        if self.n_tell_removed or self.n_monitors:
            for rule in rules:
                told = rule.flags & OFPFF_SEND_FLOW_REM
                if told:
                    self.n_tell_removed -= 1
                if (told or self.n_monitors) and not rule.hidden:
                    self._told(f.OFPFME_REMOVED, rule, reason, None)
        self._check_vacancy(rules[0].table_id)

    def _told(self, event: int, rule: Rule, reason: int, old_actions: Actions | None) -> None:
        held = self._held
        if held is not None:
            held.append((event, rule, reason, old_actions))
            return
        if event == f.OFPFME_REMOVED and rule.flags & OFPFF_SEND_FLOW_REM:
            self.send_flow_removed(rule, reason)
        if not self.n_monitors:
            return
        if event != f.OFPFME_REMOVED:
            rule.modify_seqno = self.next_seqno()
            if event == f.OFPFME_ADDED:
                rule.add_seqno = rule.modify_seqno
        for conn in self.conns:
            if conn.monitors is not None:
                conn.monitors.report(event, rule, reason, old_actions)
        if self.acting is None:
            self._unflushed = True

    def next_seqno(self) -> int:
        """The next number of the order in which flows change and monitors pause."""
        self._seqno += 1
        return self._seqno

    def hold(self) -> None:
        """Keep what the tables tell until `release`."""
        self._held = []

    def release(self, happened: bool) -> None:
        """Tell what was held since `hold`, or forget it: it has been undone."""
        held, self._held = self._held, None
        if happened:
            for event in held or ():
                self._told(*event)
                self.ofproto.tables.respite.give()
            for table in self.ofproto.tables:
                if table.vacancy_event:
                    self._check_vacancy(table.table_id)

    def _check_vacancy(self, table_id: int) -> None:
        """Tell when a table has become fuller, or emptier, than its thresholds (OpenFlow 1.4, 7.4.5)."""
        table = self._tables.tables[table_id]
        event = table.vacancy_event
        if not event or self._held is not None:
            return
        vacancy = table.vacancy()
        if event == OFPTR_VACANCY_DOWN and vacancy < table.vacancy_down:
            table.vacancy_event = OFPTR_VACANCY_UP
        elif event == OFPTR_VACANCY_UP and vacancy > table.vacancy_up:
            table.vacancy_event = OFPTR_VACANCY_DOWN
        else:
            return
        self.send_table_status(event, describe(table, OFP14))

    def flush_monitors(self) -> None:
        """Send the updates that have gathered."""
        self._unflushed = False
        if self.n_monitors:
            for conn in self.conns:
                if conn.monitors is not None:
                    conn.monitors.flush()

    def send_flow_removed(self, rule: Rule, reason: int) -> None:
        """Tell who wants to know that a flow has gone."""
        wanted = [conn for conn in self.conns if conn.wants(s.OFPACPT_FLOW_REMOVED, reason)]
        if not wanted:
            return
        seconds, rest = divmod(self.ofproto.now() - rule.created, 1000)
        removed = FlowRemoved(
            rule.match, rule.priority, rule.cookie, reason, rule.table_id, seconds, rest * 1_000_000,
            rule.idle_timeout, rule.hard_timeout, rule.n_packets, rule.n_bytes,
        )  # fmt: skip
        for conn in wanted:
            conn.send_async(removed)


__all__ = ["NOT_SECONDARY", "ConnKind", "ConnMgr", "OfConn", "Peer"]


def connmgr_of(ofproto: Ofproto) -> ConnMgr:
    """The connections of a switch that has a `ConnMgr`."""
    found = ofproto.connmgr
    assert isinstance(found, ConnMgr)
    return found
