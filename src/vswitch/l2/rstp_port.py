"""The state machines of one RSTP port (IEEE 802.1D-2004, 17.23 to 17.31).

Each machine is one method that makes at most one transition and says whether it made one;
`RstpPort.step` tries all of them. `Rstp` (`rstp.py`) repeats that until nothing moves.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol, final

from vswitch.l2 import bpdu as codec
from vswitch.l2.bpdu import CONFIG, RST, TCN, Bpdu

MIGRATE_TIME: Final = 3
"""17.13.9"""

DISABLED: Final = "Disabled"
ROOT: Final = "Root"
DESIGNATED: Final = "Designated"
ALTERNATE: Final = "Alternate"
BACKUP: Final = "Backup"

INFO_DISABLED: Final = 0
INFO_AGED: Final = 1
INFO_MINE: Final = 2
INFO_RECEIVED: Final = 3

SUPERIOR: Final = 0
REPEATED: Final = 1
INFERIOR_DESIGNATED: Final = 2
NOT_DESIGNATED: Final = 3
OTHER: Final = 4

_ADDRESS: Final = (1 << 48) - 1
_PORT_NUMBER: Final = 0xFFF
Vector = tuple[int, int, int, int, int]


class Times(NamedTuple):
    """Timer values that BPDUs carry, in seconds (17.17 to 17.19)."""

    message_age: int
    max_age: int
    hello_time: int
    forward_delay: int


class Owner(Protocol):
    """What a port sees of the bridge (`Rstp`) that it is one of."""

    times: Times
    root_times: Times
    ports: dict[int, RstpPort]
    tx_hold_count: int
    rapid: bool

    def send(self, port: RstpPort, bpdu: Bpdu) -> None:
        """Have `bpdu` sent."""

    def port_changed(self, port: RstpPort) -> None:
        """`port` learns or forwards, or does so no longer."""

    def flush(self, port: RstpPort) -> None:
        """What was learned at `port` is void (fdbFlush, 17.19.7)."""


@final
class RstpPort:
    """A port: variables of 17.19 and where each state machine stands."""

    def __init__(self, bridge: Owner, number: int, now: int) -> None:
        self.bridge = bridge
        self.number = number
        self.added: int = now
        """Clock ms at which it came; what `rstp_uptime` counts from."""
        self.aux: object = None
        """Whatever the caller has for it."""
        self.priority: int = 128
        self.path_cost: int = 200_000
        self.admin_edge: bool = False
        self.auto_edge: bool = True
        self.oper_point_to_point: bool = True
        self.port_enabled: bool = False
        self.tx_count: int = 0
        self.rx_count: int = 0
        self.error_count: int = 0
        self.message: Bpdu = Bpdu(TCN)
        self.restart()

    def restart(self) -> None:
        """BEGIN: every machine in its first state."""
        zero: Vector = (0, 0, 0, 0, 0)
        self.port_priority: Vector = zero
        self.designated_priority: Vector = zero
        self.message_priority: Vector = zero
        self.port_times = self.designated_times = self.message_times = self.bridge.times
        self.info_is: int = INFO_DISABLED
        self.role: str = DISABLED
        self.selected_role: str = DISABLED
        self.agree = self.agreed = self.proposed = self.proposing = False
        self.learn = self.learning = self.forward = self.forwarding = False
        self.rcvd_bpdu = self.rcvd_msg = self.rcvd_rstp = self.rcvd_stp = False
        self.rcvd_tc = self.rcvd_tc_ack = self.rcvd_tcn = False
        self.tc_ack = self.tc_prop = False
        self.mcheck = False
        self.new_info = True
        self.selected = self.updt_info = False
        self.reselect = True
        self.send_rstp = self.bridge.rapid
        self.oper_edge = self.admin_edge
        # Port Role Transitions, INIT_PORT (17.29).
        self.synced = False
        self.sync = self.re_root = True
        self.rr_while = self.bridge.times.forward_delay
        self.fd_while = self.bridge.times.max_age
        self.rb_while = 0
        self.edge_delay_while = MIGRATE_TIME
        self.mdelay_while = MIGRATE_TIME
        self.hello_when = self.bridge.times.hello_time
        self.tc_while = 0
        self.rcvd_info_while = 0
        self.tx_count_now = 0
        """txCount (17.19.44): BPDUs sent of late."""
        self._migration: str = "checking_rstp"
        self._information: str = "disabled"
        self._topology: str = "inactive"
        self._blocked: bool = False
        """Whether a disabled, alternate or backup port has come to rest."""

    # What others ask.

    @property
    def port_id(self) -> int:
        """portId (17.19.19)."""
        return self.priority << 8 | self.number

    @property
    def state(self) -> str:
        """Discarding, Learning or Forwarding (17.4)."""
        if self.forwarding:
            return "Forwarding"
        return "Learning" if self.learning else "Discarding"

    @property
    def learns(self) -> bool:
        """Whether addresses are learned here."""
        return self.learning

    @property
    def forwards(self) -> bool:
        """Whether packets are forwarded from and to here."""
        return self.forwarding

    # Time (17.22).

    def tick(self) -> None:
        """A second has passed."""
        self.hello_when = max(self.hello_when - 1, 0)
        self.tc_while = max(self.tc_while - 1, 0)
        self.fd_while = max(self.fd_while - 1, 0)
        self.rcvd_info_while = max(self.rcvd_info_while - 1, 0)
        self.rr_while = max(self.rr_while - 1, 0)
        self.rb_while = max(self.rb_while - 1, 0)
        self.mdelay_while = max(self.mdelay_while - 1, 0)
        self.edge_delay_while = max(self.edge_delay_while - 1, 0)
        self.tx_count_now = max(self.tx_count_now - 1, 0)

    def step(self) -> bool:
        """Make the next transition of each machine; whether any was made."""
        moved = self._receive()
        moved |= self._protocol_migration()
        moved |= self._bridge_detection()
        moved |= self._port_information()
        moved |= self._role_transitions()
        moved |= self._state_transition()
        moved |= self._topology_change()
        moved |= self._transmit()
        return moved

    # Port Receive (17.23).

    def _receive(self) -> bool:
        if not self.port_enabled:
            if not self.rcvd_bpdu and self.edge_delay_while == MIGRATE_TIME:
                return False
            self.rcvd_bpdu = self.rcvd_rstp = self.rcvd_stp = self.rcvd_msg = False
            self.edge_delay_while = MIGRATE_TIME
            return True
        if self.rcvd_bpdu and not self.rcvd_msg:
            # updtBPDUVersion (17.21.22)
            if self.message.type == RST:
                self.rcvd_rstp = True
            else:
                self.rcvd_stp = True
            self.oper_edge = False
            self.rcvd_bpdu = False
            self.rcvd_msg = True
            self.edge_delay_while = MIGRATE_TIME
            return True
        return False

    # Port Protocol Migration (17.24).

    def _protocol_migration(self) -> bool:
        state = self._migration
        if state == "checking_rstp":
            if self.mdelay_while == 0:
                return self._sense()
            if self.mdelay_while != MIGRATE_TIME and not self.port_enabled:
                return self._check_rstp()
        elif state == "selecting_stp":
            if self.mdelay_while == 0 or not self.port_enabled or self.mcheck:
                return self._sense()
        else:
            rapid = self.bridge.rapid
            if not self.port_enabled or self.mcheck or (rapid and not self.send_rstp and self.rcvd_rstp):
                return self._check_rstp()
            if self.send_rstp and self.rcvd_stp:
                self._migration = "selecting_stp"
                self.send_rstp = False
                self.mdelay_while = MIGRATE_TIME
                return True
        return False

    def _sense(self) -> bool:
        self._migration = "sensing"
        self.rcvd_rstp = self.rcvd_stp = False
        return True

    def _check_rstp(self) -> bool:
        self._migration = "checking_rstp"
        self.mcheck = False
        self.send_rstp = self.bridge.rapid
        self.mdelay_while = MIGRATE_TIME
        return True

    # Bridge Detection (17.25).

    def _bridge_detection(self) -> bool:
        if self.oper_edge:
            if not self.port_enabled and not self.admin_edge:
                self.oper_edge = False
                return True
        elif (not self.port_enabled and self.admin_edge) or (
            self.edge_delay_while == 0 and self.auto_edge and self.send_rstp and self.proposing
        ):
            self.oper_edge = True
            return True
        return False

    # Port Transmit (17.26).

    def _transmit(self) -> bool:
        if not self.port_enabled or not self.selected or self.updt_info:
            return False
        designated = self.role == DESIGNATED
        if self.hello_when == 0:
            if designated or (self.role == ROOT and self.tc_while != 0):
                self.new_info = True
            self.hello_when = self.designated_times.hello_time
            return True
        if not self.new_info or self.tx_count_now >= self.bridge.tx_hold_count:
            return False
        if self.send_rstp:
            self._send(RST)
        elif self.role == ROOT:
            self.bridge.send(self, Bpdu(TCN))
        elif designated:
            self._send(CONFIG)
        else:
            return False
        self.new_info = False
        self.tx_count_now += 1
        self.hello_when = self.designated_times.hello_time
        return True

    def _send(self, type: int) -> None:
        """txConfig and txRstp (17.21.19, 17.21.20)."""
        flags = codec.TOPOLOGY_CHANGE if self.tc_while != 0 else 0
        if type == CONFIG:
            if self.tc_ack:
                flags |= codec.TOPOLOGY_CHANGE_ACK
        else:
            role = {ROOT: codec.ROLE_ROOT, DESIGNATED: codec.ROLE_DESIGNATED, ALTERNATE: codec.ROLE_ALTERNATE,
                    BACKUP: codec.ROLE_ALTERNATE}.get(self.role, codec.ROLE_UNKNOWN)  # fmt: skip
            flags |= role << codec.ROLE_SHIFT
            if self.agree:
                flags |= codec.AGREEMENT
            if self.proposing:
                flags |= codec.PROPOSAL
            if self.learning:
                flags |= codec.LEARNING
            if self.forwarding:
                flags |= codec.FORWARDING
        self.tc_ack = False
        root, cost, bridge, port, _ = self.designated_priority
        times = self.designated_times
        self.bridge.send(
            self,
            Bpdu(
                type,
                2 if type == RST else 0,
                flags,
                root,
                cost,
                bridge,
                port,
                times.message_age * 1000,
                times.max_age * 1000,
                times.hello_time * 1000,
                times.forward_delay * 1000,
            ),
        )

    # Port Information (17.27).

    def _port_information(self) -> bool:
        if not self.port_enabled and self.info_is != INFO_DISABLED:
            self._information = "disabled"
            self._disable_information()
            return True
        state = self._information
        if state == "disabled":
            if self.port_enabled:
                self._information = "aged"
                self._age()
                return True
            if self.rcvd_msg:
                self._disable_information()
                return True
            return False
        if self.selected and self.updt_info:
            self._update_information()
            self._information = "current"
            return True
        if state == "aged":
            return False
        if (
            self.info_is == INFO_RECEIVED
            and self.rcvd_info_while == 0
            and not self.updt_info
            and not self.rcvd_msg
        ):
            self._information = "aged"
            self._age()
            return True
        if self.rcvd_msg and not self.updt_info:
            self._process_message()
            self.rcvd_msg = False
            return True
        return False

    def _disable_information(self) -> None:
        self.rcvd_msg = False
        self.proposing = self.proposed = self.agree = self.agreed = False
        self.rcvd_info_while = 0
        self.info_is = INFO_DISABLED
        self.reselect = True
        self.selected = False

    def _age(self) -> None:
        self.info_is = INFO_AGED
        self.reselect = True
        self.selected = False

    def _update_information(self) -> None:
        self.proposing = self.proposed = False
        self.agreed = self.agreed and self._better_or_same(INFO_MINE)
        self.synced = self.synced and self.agreed
        self.port_priority = self.designated_priority
        self.port_times = self.designated_times
        self.updt_info = False
        self.info_is = INFO_MINE
        self.new_info = True

    def _better_or_same(self, info: int) -> bool:
        """betterorsameInfo (17.21.1)."""
        if info == INFO_RECEIVED:
            return self.info_is == INFO_RECEIVED and self.message_priority[:4] <= self.port_priority[:4]
        return self.info_is == INFO_MINE and self.designated_priority[:4] <= self.port_priority[:4]

    def _rcv_info(self) -> int:
        """rcvInfo (17.21.8)."""
        m = self.message
        if m.type == TCN:
            return OTHER
        self.message_priority = (m.root_id, m.root_path_cost, m.bridge_id, m.port_id, self.port_id)
        self.message_times = Times(
            (m.message_age + 500) // 1000,
            (m.max_age + 500) // 1000,
            max((m.hello_time + 500) // 1000, 1),
            (m.forward_delay + 500) // 1000,
        )
        new = self.message_priority[:4]
        old = self.port_priority[:4]
        if m.role == codec.ROLE_DESIGNATED:
            same_sender = (
                new[2] & _ADDRESS == old[2] & _ADDRESS and new[3] & _PORT_NUMBER == old[3] & _PORT_NUMBER
            )
            if (
                new < old
                or (same_sender and new != old)
                or (new == old and self.message_times != self.port_times)
            ):
                return SUPERIOR
            if new == old and self.info_is == INFO_RECEIVED:
                return REPEATED
            return INFERIOR_DESIGNATED if new > old else SUPERIOR
        if m.role in (codec.ROLE_ROOT, codec.ROLE_ALTERNATE) and new >= old:
            return NOT_DESIGNATED
        return OTHER

    def _process_message(self) -> None:
        what = self._rcv_info()
        if what == SUPERIOR:
            self.agreed = self.proposing = False
            self._record_proposal()
            self._set_tc_flags()
            self.agree = self.agree and self._better_or_same(INFO_RECEIVED)
            self._record_agreement()
            self.synced = self.synced and self.agreed
            self.port_priority = self.message_priority
            self.port_times = self.message_times
            self._updt_rcvd_info_while()
            self.info_is = INFO_RECEIVED
            self.reselect = True
            self.selected = False
        elif what == REPEATED:
            self._record_proposal()
            self._set_tc_flags()
            self._record_agreement()
            self._updt_rcvd_info_while()
        elif what == INFERIOR_DESIGNATED:
            # recordDispute (17.21.10)
            if self.message.type == RST and self.message.flags & codec.LEARNING:
                self.agreed = True
                self.proposing = False
        elif what == NOT_DESIGNATED:
            self._record_agreement()
            self._set_tc_flags()
        elif self.message.type == TCN:
            self._set_tc_flags()

    def _record_proposal(self) -> None:
        if self.message.role == codec.ROLE_DESIGNATED and self.message.flags & codec.PROPOSAL:
            self.proposed = True

    def _record_agreement(self) -> None:
        agreed = self.message.type == RST and bool(self.message.flags & codec.AGREEMENT)
        if self.bridge.rapid and self.oper_point_to_point and agreed:
            self.agreed = True
            self.proposing = False
        else:
            self.agreed = False

    def _set_tc_flags(self) -> None:
        m = self.message
        if m.type == TCN:
            self.rcvd_tcn = True
            return
        if m.flags & codec.TOPOLOGY_CHANGE:
            self.rcvd_tc = True
        if m.type == CONFIG and m.flags & codec.TOPOLOGY_CHANGE_ACK:
            self.rcvd_tc_ack = True

    def _updt_rcvd_info_while(self) -> None:
        """17.21.23"""
        times = self.port_times
        self.rcvd_info_while = 3 * times.hello_time if times.message_age + 1 <= times.max_age else 0

    # Port Role Transitions (17.29).

    def _role_transitions(self) -> bool:
        if not self.selected or self.updt_info:
            return False
        if self.role != self.selected_role:
            self.role = self.selected_role
            self._blocked = False
            if self.role in (DISABLED, ALTERNATE, BACKUP):
                self.learn = self.forward = False
            elif self.role == ROOT:
                self.rr_while = self.bridge.root_times.forward_delay
            self.bridge.port_changed(self)
            return True
        if self.role == ROOT:
            return self._root()
        if self.role == DESIGNATED:
            return self._designated()
        return self._not_forwarding()

    def _forward_delay(self) -> int:
        """forwardDelay (17.20.6)."""
        times = self.designated_times
        return times.hello_time if self.send_rstp else times.forward_delay

    def _not_forwarding(self) -> bool:
        if not self._blocked:
            if self.learning or self.forwarding:
                return False
            self._blocked = True
            self._rest()
            return True
        if self.role == DISABLED:
            if self.fd_while != self.designated_times.max_age or self.sync or self.re_root or not self.synced:
                return self._rest()
            return False
        if self.proposed and not self.agree:
            self._set_sync_tree()
            self.proposed = False
            return True
        if (self._all_synced() and not self.agree) or (self.proposed and self.agree):
            self.proposed = False
            self.agree = True
            self.new_info = True
            return True
        if self.role == BACKUP and self.rb_while != 2 * self.designated_times.hello_time:
            self.rb_while = 2 * self.designated_times.hello_time
            return True
        if self.fd_while != self._forward_delay() or self.sync or self.re_root or not self.synced:
            return self._rest()
        return False

    def _rest(self) -> bool:
        """DISABLED_PORT and ALTERNATE_PORT."""
        self.fd_while = self.designated_times.max_age if self.role == DISABLED else self._forward_delay()
        self.synced = True
        self.rr_while = 0
        self.sync = self.re_root = False
        return True

    def _root(self) -> bool:
        if self.proposed and not self.agree:
            self._set_sync_tree()
            self.proposed = False
            return True
        if (self._all_synced() and not self.agree) or (self.proposed and self.agree):
            self.proposed = False
            self.sync = False
            self.agree = True
            self.new_info = True
            return True
        if not self.forward and not self.re_root:
            for port in self.bridge.ports.values():
                port.re_root = True
            return True
        if self.re_root and self.forward:
            self.re_root = False
            return True
        if self.fd_while == 0 or (self._re_rooted() and self.rb_while == 0 and self.bridge.rapid):
            if not self.learn:
                self.fd_while = self._forward_delay()
                self.learn = True
                return True
            if not self.forward:
                self.fd_while = 0
                self.forward = True
                return True
        if self.rr_while != self.designated_times.forward_delay:
            self.rr_while = self.designated_times.forward_delay
            return True
        return False

    def _designated(self) -> bool:
        if not self.forward and not self.agreed and not self.proposing and not self.oper_edge:
            self.proposing = True
            # EdgeDelay (17.20.4)
            self.edge_delay_while = (
                MIGRATE_TIME if self.oper_point_to_point else self.designated_times.max_age
            )
            self.new_info = True
            return True
        if (
            (not self.learning and not self.forwarding and not self.synced)
            or (self.agreed and not self.synced)
            or (self.oper_edge and not self.synced)
            or (self.sync and self.synced)
        ):
            self.rr_while = 0
            self.synced = True
            self.sync = False
            return True
        if self.rr_while == 0 and self.re_root:
            self.re_root = False
            return True
        waits = (self.sync and not self.synced) or (self.re_root and self.rr_while != 0)
        if waits and not self.oper_edge and (self.learn or self.forward):
            self.learn = self.forward = False
            self.fd_while = self._forward_delay()
            return True
        ready = self.fd_while == 0 or self.agreed or self.oper_edge
        if ready and (self.rr_while == 0 or not self.re_root) and not self.sync:
            if not self.learn:
                self.learn = True
                self.fd_while = self._forward_delay()
                return True
            if not self.forward:
                self.forward = True
                self.fd_while = 0
                self.agreed = self.send_rstp
                return True
        return False

    def _set_sync_tree(self) -> None:
        for port in self.bridge.ports.values():
            port.sync = True

    def _all_synced(self) -> bool:
        """allSynced (17.20.3)."""
        return all(
            port.selected and port.role == port.selected_role and (port.synced or port.role == ROOT)
            for port in self.bridge.ports.values()
        )

    def _re_rooted(self) -> bool:
        """reRooted (17.20.10)."""
        return all(port.rr_while == 0 for port in self.bridge.ports.values() if port is not self)

    # Port State Transition (17.30).

    def _state_transition(self) -> bool:
        if self.learning != self.learn and (self.learn or not self.forwarding):
            self.learning = self.learn
        elif self.forwarding and not self.forward:
            self.learning = self.forwarding = False
        elif self.learning and self.forward and not self.forwarding:
            self.forwarding = True
        else:
            return False
        self.bridge.port_changed(self)
        return True

    # Topology Change (17.31).

    def _topology_change(self) -> bool:
        active_role = self.role in (ROOT, DESIGNATED)
        told = self.rcvd_tc or self.rcvd_tcn or self.rcvd_tc_ack or self.tc_prop
        state = self._topology
        if state == "inactive":
            if not self.learn:
                return False
            self._topology = "learning"
            self._forget_tc()
            return True
        if state == "learning":
            if active_role and self.forward and not self.oper_edge:
                self._topology = "active"
                self._new_tc_while()
                self._set_tc_prop_tree()
                self.new_info = True
                return True
            if not active_role and not (self.learn or self.learning) and not told:
                self._topology = "inactive"
                self.bridge.flush(self)
                self.tc_while = 0
                self.tc_ack = False
                return True
            if told:
                self._forget_tc()
                return True
            return False
        if not active_role or self.oper_edge:
            self._topology = "learning"
            self._forget_tc()
            return True
        if self.rcvd_tcn or self.rcvd_tc:
            if self.rcvd_tcn:
                self._new_tc_while()
                if self.role == DESIGNATED:
                    self.tc_ack = True
            self.rcvd_tcn = self.rcvd_tc = False
            self._set_tc_prop_tree()
            return True
        if self.tc_prop:
            self._new_tc_while()
            self.bridge.flush(self)
            self.tc_prop = False
            return True
        if self.rcvd_tc_ack:
            self.tc_while = 0
            self.rcvd_tc_ack = False
            return True
        return False

    def _forget_tc(self) -> None:
        self.rcvd_tc = self.rcvd_tcn = self.rcvd_tc_ack = self.tc_prop = False

    def _new_tc_while(self) -> None:
        """newTcWhile (17.21.7)."""
        if self.tc_while != 0:
            return
        if self.send_rstp:
            self.tc_while = self.designated_times.hello_time + 1
            self.new_info = True
        else:
            self.tc_while = self.bridge.root_times.max_age + self.bridge.root_times.forward_delay

    def _set_tc_prop_tree(self) -> None:
        for port in self.bridge.ports.values():
            if port is not self:
                port.tc_prop = True
