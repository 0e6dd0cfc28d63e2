"""The Spanning Tree Protocol (IEEE 802.1D-1998, clause 8).

A machine without I/O: BPDUs and the time (`now`, ms) go in; what is to be sent, the ports whose state
changed and whether learned addresses are void are collected and taken out by the caller. The
procedures have the standard's names and cite its clauses.
"""

from __future__ import annotations

from typing import Final, final

from vswitch.l2.bpdu import CONFIG, RST, TCN, TOPOLOGY_CHANGE, TOPOLOGY_CHANGE_ACK, Bpdu

DEFAULT_PRIORITY: Final = 0x8000
DEFAULT_PORT_PRIORITY: Final = 128
DEFAULT_MAX_AGE: Final = 20_000
DEFAULT_HELLO_TIME: Final = 2_000
DEFAULT_FORWARD_DELAY: Final = 15_000
HOLD_TIME: Final = 1_000
"""ms between two configuration BPDUs of a port (8.10.2)."""
MESSAGE_AGE_INCREMENT: Final = 1_000
MAX_PORTS: Final = 255

DISABLED: Final = "disabled"
LISTENING: Final = "listening"
LEARNING: Final = "learning"
FORWARDING: Final = "forwarding"
BLOCKING: Final = "blocking"

ROLE_ROOT: Final = "root"
ROLE_DESIGNATED: Final = "designated"
ROLE_ALTERNATE: Final = "alternate"
ROLE_DISABLED: Final = "disabled"

_MAC_BITS: Final = (1 << 48) - 1


def path_cost(mbps: int) -> int:
    """The recommended cost of a link of `mbps` (table 8-5; above it as Open vSwitch has it)."""
    for speed, cost in ((10_000, 2), (1_000, 4), (100, 19), (16, 62), (10, 100)):
        if mbps >= speed:
            return cost
    return 250 if mbps >= 4 else 19


@final
class StpPort:
    """A port's variables (8.5.5) and timers: clock ms at which each was started, None while stopped."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.port_id: int = DEFAULT_PORT_PRIORITY << 8 | number
        self.state: str = DISABLED
        self.since: int = 0
        """Clock ms of the last change of `state`."""
        self.path_cost: int = 0
        self.designated_root: int = 0
        self.designated_cost: int = 0
        self.designated_bridge: int = 0
        self.designated_port: int = 0
        self.topology_change_ack: bool = False
        self.config_pending: bool = False
        self.change_detection_enabled: bool = True
        self.message_age_timer: int | None = None
        self.forward_delay_timer: int | None = None
        self.hold_timer: int | None = None
        self.tx_count: int = 0
        self.rx_count: int = 0
        self.error_count: int = 0

    @property
    def learns(self) -> bool:
        """Whether addresses are learned here."""
        return self.state in (LEARNING, FORWARDING)

    @property
    def forwards(self) -> bool:
        """Whether packets are forwarded from and to here."""
        return self.state == FORWARDING


@final
class Stp:
    """A bridge's variables (8.5.3) and procedures (8.6). `port(n)` makes what `enable` starts."""

    def __init__(self, bridge_id: int, now: int) -> None:
        self.bridge_id = bridge_id
        self.designated_root = bridge_id
        self.root_path_cost = 0
        self.root_port: StpPort | None = None
        self.max_age = self.bridge_max_age = DEFAULT_MAX_AGE
        self.hello_time = self.bridge_hello_time = DEFAULT_HELLO_TIME
        self.forward_delay = self.bridge_forward_delay = DEFAULT_FORWARD_DELAY
        self.topology_change_detected = False
        self.topology_change = False
        self.ports: dict[int, StpPort] = {}
        self.hello_timer: int | None = now
        self.tcn_timer: int | None = None
        self.topology_change_timer: int | None = None
        self.fdb_flush = False
        """Learned addresses may be wrong; the caller flushes them and sets this back."""
        self._out: list[tuple[int, Bpdu]] = []
        self._changed: dict[int, StpPort] = {}

    # What the caller takes out.

    def take_sent(self) -> list[tuple[int, Bpdu]]:
        """(port number, BPDU) to be sent, oldest first."""
        out, self._out = self._out, []
        return out

    def take_changed(self) -> list[StpPort]:
        """The ports whose state has changed since the last call."""
        changed, self._changed = list(self._changed.values()), {}
        return changed

    def take_fdb_flush(self) -> bool:
        """Whether learned addresses have to go."""
        flush, self.fdb_flush = self.fdb_flush, False
        return flush

    def role(self, port: StpPort) -> str:
        """The port's role: root, designated, alternate or disabled."""
        if port.state == DISABLED:
            return ROLE_DISABLED
        if port is self.root_port:
            return ROLE_ROOT
        return ROLE_DESIGNATED if self._is_designated(port) else ROLE_ALTERNATE

    @property
    def is_root(self) -> bool:
        """Whether this bridge is the root."""
        return self.designated_root == self.bridge_id

    # Configuration (8.8).

    def set_bridge_id(self, bridge_id: int, now: int) -> None:
        """Change address or priority (8.8.4)."""
        if bridge_id == self.bridge_id:
            return
        was_root = self.is_root
        for port in self.ports.values():
            if self._is_designated(port):
                port.designated_bridge = bridge_id
        self.bridge_id = bridge_id
        self._configuration_update()
        self._port_state_selection(now)
        self._maybe_became_root(was_root, now)

    def set_times(self, max_age: int, hello_time: int, forward_delay: int) -> None:
        """Set the times of this bridge, in ms; they hold for the network while it is the root. Hello is
        within 1 s and 10 s, forward delay within 4 s and 30 s, max age within 6 s and 40 s and what the
        other two allow (8.10.2)."""
        self.bridge_hello_time = min(max(hello_time, 1_000), 10_000)
        lowest = max(2 * (self.bridge_hello_time + 1_000), 6_000)
        self.bridge_max_age = min(max(max_age, lowest), 40_000)
        self.bridge_forward_delay = min(max(forward_delay, -(-self.bridge_max_age // 2) + 1_000), 30_000)
        if self.is_root:
            self._own_times()

    def port(self, number: int) -> StpPort:
        """The port with `number` (1 to MAX_PORTS), made disabled at first."""
        port = self.ports.get(number)
        if port is None:
            port = self.ports[number] = StpPort(number)
            self._become_designated_port(port)
        return port

    def enable(self, port: StpPort, now: int) -> None:
        """8.8.2"""
        if port.state != DISABLED:
            return
        self._become_designated_port(port)
        self._set_state(port, BLOCKING, now)
        port.topology_change_ack = False
        port.config_pending = False
        port.message_age_timer = port.forward_delay_timer = port.hold_timer = None
        self._port_state_selection(now)

    def disable(self, port: StpPort, now: int) -> None:
        """8.8.3"""
        if port.state == DISABLED:
            return
        was_root = self.is_root
        self._become_designated_port(port)
        self._set_state(port, DISABLED, now)
        port.topology_change_ack = False
        port.config_pending = False
        port.message_age_timer = port.forward_delay_timer = None
        self._configuration_update()
        self._port_state_selection(now)
        self._maybe_became_root(was_root, now)

    def remove(self, port: StpPort, now: int) -> None:
        """Forget a port."""
        self.disable(port, now)
        self.ports.pop(port.number, None)

    def set_port_priority(self, port: StpPort, priority: int, now: int) -> None:
        """8.8.5; `priority` is 0 to 255."""
        port_id = priority << 8 | port.number
        if port_id == port.port_id:
            return
        if self._is_designated(port):
            port.designated_port = port_id
        port.port_id = port_id
        if self.bridge_id == port.designated_bridge and port_id < port.designated_port:
            self._become_designated_port(port)
            self._port_state_selection(now)

    def set_path_cost(self, port: StpPort, cost: int, now: int) -> None:
        """8.8.6; `cost` is 0 to 65535."""
        if cost == port.path_cost:
            return
        port.path_cost = cost
        self._configuration_update()
        self._port_state_selection(now)

    # BPDUs and time (8.7).

    def received(self, port: StpPort, bpdu: Bpdu | None, now: int) -> None:
        """A frame to the BPDU address came in at `port`; None: it holds none that makes sense."""
        if bpdu is None or bpdu.type == RST:
            # What RSTP says is of a type that this standard doesn't have; its sender will notice.
            port.error_count += 1
            return
        port.rx_count += 1
        if port.state == DISABLED:
            return
        if bpdu.type == TCN:
            self._received_tcn(port, now)
        elif bpdu.message_age < bpdu.max_age:
            self._received_config(port, bpdu, now)
        else:
            port.error_count += 1

    def _received_config(self, port: StpPort, bpdu: Bpdu, now: int) -> None:
        """8.7.1"""
        was_root = self.is_root
        if self._supersedes(port, bpdu):
            self._record(port, bpdu, now)
            self._configuration_update()
            self._port_state_selection(now)
            if not self.is_root and was_root:
                self.hello_timer = None
                if self.topology_change_detected:
                    self.topology_change_timer = None
                    self._transmit_tcn()
                    self.tcn_timer = now
            if port is self.root_port:
                self.max_age = bpdu.max_age
                self.hello_time = bpdu.hello_time
                self.forward_delay = bpdu.forward_delay
                if bpdu.flags & TOPOLOGY_CHANGE:
                    self.fdb_flush = True
                self.topology_change = bool(bpdu.flags & TOPOLOGY_CHANGE)
                self._config_bpdu_generation(now)
                if bpdu.flags & TOPOLOGY_CHANGE_ACK:
                    self.topology_change_detected = False
                    self.tcn_timer = None
        elif self._is_designated(port):
            self._transmit_config(port, now)

    def _received_tcn(self, port: StpPort, now: int) -> None:
        """8.7.2"""
        if self._is_designated(port):
            self._topology_change_detection(now)
            port.topology_change_ack = True
            self._transmit_config(port, now)

    def topology_change_notification(self, now: int) -> None:
        """Act as if a port had begun to forward."""
        self._topology_change_detection(now)

    def run(self, now: int) -> None:
        """Do what is due (8.7.3 to 8.7.8)."""
        if _due(self.hello_timer, self.hello_time, now):
            self.hello_timer = now
            self._config_bpdu_generation(now)
        if _due(self.tcn_timer, self.bridge_hello_time, now):
            self.tcn_timer = now
            self._transmit_tcn()
        if _due(self.topology_change_timer, self.max_age + self.forward_delay, now):
            self.topology_change_timer = None
            self.topology_change_detected = False
            self.topology_change = False
        for port in list(self.ports.values()):
            if _due(port.message_age_timer, self.max_age, now):
                was_root = self.is_root
                self._become_designated_port(port)
                self._configuration_update()
                self._port_state_selection(now)
                self._maybe_became_root(was_root, now)
            if _due(port.forward_delay_timer, self.forward_delay, now):
                self._forward_delay_expired(port, now)
            if _due(port.hold_timer, HOLD_TIME, now):
                port.hold_timer = None
                if port.config_pending:
                    self._transmit_config(port, now)

    def wakeup(self) -> int | None:
        """Clock ms at which `run` has something to do next."""
        times = [
            (self.hello_timer, self.hello_time),
            (self.tcn_timer, self.bridge_hello_time),
            (self.topology_change_timer, self.max_age + self.forward_delay),
        ]
        for port in self.ports.values():
            times.append((port.message_age_timer, self.max_age))
            times.append((port.forward_delay_timer, self.forward_delay))
            times.append((port.hold_timer, HOLD_TIME))
        return min((start + period for start, period in times if start is not None), default=None)

    def _forward_delay_expired(self, port: StpPort, now: int) -> None:
        """8.7.5"""
        if port.state == LISTENING:
            self._set_state(port, LEARNING, now)
            port.forward_delay_timer = now
            return
        port.forward_delay_timer = None
        if port.state == LEARNING:
            self._set_state(port, FORWARDING, now)
            if any(p.designated_bridge == self.bridge_id for p in self.ports.values() if p.state != DISABLED):
                if port.change_detection_enabled:
                    self._topology_change_detection(now)

    # Procedures (8.6).

    def _transmit_config(self, port: StpPort, now: int) -> None:
        """8.6.1"""
        if port.hold_timer is not None:
            port.config_pending = True
            return
        age = 0
        if self.root_port is not None:
            started = self.root_port.message_age_timer
            age = (now - started if started is not None else 0) + MESSAGE_AGE_INCREMENT
        if age >= self.max_age:
            return
        flags = 0
        if port.topology_change_ack:
            flags |= TOPOLOGY_CHANGE_ACK
        if self.topology_change:
            flags |= TOPOLOGY_CHANGE
        port.topology_change_ack = False
        port.config_pending = False
        port.hold_timer = now
        self._send(
            port,
            Bpdu(
                CONFIG,
                0,
                flags,
                self.designated_root,
                self.root_path_cost,
                self.bridge_id,
                port.port_id,
                age,
                self.max_age,
                self.hello_time,
                self.forward_delay,
            ),
        )

    def _transmit_tcn(self) -> None:
        """8.6.6"""
        if self.root_port is not None:
            self._send(self.root_port, Bpdu(TCN))

    def _send(self, port: StpPort, bpdu: Bpdu) -> None:
        port.tx_count += 1
        self._out.append((port.number, bpdu))

    def _supersedes(self, port: StpPort, bpdu: Bpdu) -> bool:
        """8.6.2.2"""
        new = (bpdu.root_id, bpdu.root_path_cost, bpdu.bridge_id)
        old = (port.designated_root, port.designated_cost, port.designated_bridge)
        if new != old:
            return new < old
        return bpdu.bridge_id != self.bridge_id or bpdu.port_id <= port.designated_port

    def _record(self, port: StpPort, bpdu: Bpdu, now: int) -> None:
        """8.6.2"""
        port.designated_root = bpdu.root_id
        port.designated_cost = bpdu.root_path_cost
        port.designated_bridge = bpdu.bridge_id
        port.designated_port = bpdu.port_id
        port.message_age_timer = now - bpdu.message_age

    def _config_bpdu_generation(self, now: int) -> None:
        """8.6.4"""
        for port in self.ports.values():
            if port.state != DISABLED and self._is_designated(port):
                self._transmit_config(port, now)

    def _is_designated(self, port: StpPort) -> bool:
        return port.designated_bridge == self.bridge_id and port.designated_port == port.port_id

    def _configuration_update(self) -> None:
        """8.6.7: which port leads to the root, and for which links this bridge is the designated one."""
        candidates = [
            (
                p.designated_root,
                p.designated_cost + p.path_cost,
                p.designated_bridge,
                p.designated_port,
                p.port_id,
                p,
            )
            for p in self.ports.values()
            if p.state != DISABLED and not self._is_designated(p) and p.designated_root < self.bridge_id
        ]
        best = min(candidates, key=lambda c: c[:5], default=None)
        if best is None:
            self.root_port = None
            self.designated_root = self.bridge_id
            self.root_path_cost = 0
        else:
            self.root_port = best[5]
            self.designated_root = best[0]
            self.root_path_cost = best[1]
        mine = (self.root_path_cost, self.bridge_id)
        for port in self.ports.values():
            if (
                self._is_designated(port)
                or port.designated_root != self.designated_root
                or (*mine, port.port_id)
                < (port.designated_cost, port.designated_bridge, port.designated_port)
            ):
                self._become_designated_port(port)

    def _become_designated_port(self, port: StpPort) -> None:
        """8.6.10"""
        port.designated_root = self.designated_root
        port.designated_cost = self.root_path_cost
        port.designated_bridge = self.bridge_id
        port.designated_port = port.port_id

    def _port_state_selection(self, now: int) -> None:
        """8.6.11"""
        for port in self.ports.values():
            if port.state == DISABLED:
                continue
            if port is self.root_port:
                port.config_pending = False
                port.topology_change_ack = False
                self._make_forwarding(port, now)
            elif self._is_designated(port):
                port.message_age_timer = None
                self._make_forwarding(port, now)
            else:
                port.config_pending = False
                port.topology_change_ack = False
                self._make_blocking(port, now)

    def _make_forwarding(self, port: StpPort, now: int) -> None:
        """8.6.12"""
        if port.state == BLOCKING:
            self._set_state(port, LISTENING, now)
            port.forward_delay_timer = now

    def _make_blocking(self, port: StpPort, now: int) -> None:
        """8.6.13"""
        if port.state in (DISABLED, BLOCKING):
            return
        if port.state in (FORWARDING, LEARNING) and port.change_detection_enabled:
            self._topology_change_detection(now)
        self._set_state(port, BLOCKING, now)
        port.forward_delay_timer = None

    def _set_state(self, port: StpPort, state: str, now: int) -> None:
        if port.state != state:
            port.since = now
            port.state = state
            self._changed[port.number] = port

    def _topology_change_detection(self, now: int) -> None:
        """8.6.14"""
        if self.is_root:
            self.topology_change = True
            self.topology_change_timer = now
        elif not self.topology_change_detected:
            self._transmit_tcn()
            self.tcn_timer = now
        self.fdb_flush = True
        self.topology_change_detected = True

    def _maybe_became_root(self, was_root: bool, now: int) -> None:
        """What 8.7.4, 8.8.3 and 8.8.4 have a new root do."""
        if not self.is_root or was_root:
            return
        self._own_times()
        self._topology_change_detection(now)
        self.tcn_timer = None
        self.hello_timer = now
        self._config_bpdu_generation(now)

    def _own_times(self) -> None:
        self.max_age = self.bridge_max_age
        self.hello_time = self.bridge_hello_time
        self.forward_delay = self.bridge_forward_delay


def _due(started: int | None, period: int, now: int) -> bool:
    return started is not None and now - started >= period
