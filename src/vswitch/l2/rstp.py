"""The Rapid Spanning Tree Protocol (IEEE 802.1D-2004, clause 17).

A machine without I/O: BPDUs and the time (`now`, ms) go in; what is to be sent, the ports that changed
and those whose learned addresses are void are collected and taken out by the caller. Variables
(17.17 to 17.19) and procedures (17.21) have the standard's names; the state machines of a port are in
`rstp_port.py`. Times count in seconds, as the standard's timers do (17.22).
"""

from __future__ import annotations

from typing import Final, final

from vswitch.l2.bpdu import CONFIG, RST, Bpdu
from vswitch.l2.rstp_port import (
    ALTERNATE,
    BACKUP,
    DESIGNATED,
    DISABLED,
    INFO_AGED,
    INFO_DISABLED,
    INFO_MINE,
    INFO_RECEIVED,
    ROOT,
    RstpPort,
    Times,
)

DEFAULT_PRIORITY: Final = 0x8000
DEFAULT_MAX_AGE: Final = 20
DEFAULT_HELLO_TIME: Final = 2
DEFAULT_FORWARD_DELAY: Final = 15
DEFAULT_AGEING_TIME: Final = 300
DEFAULT_TX_HOLD_COUNT: Final = 6
DEFAULT_PORT_PRIORITY: Final = 128
MAX_PORTS: Final = 4095
_TICK: Final = 1_000


def path_cost(mbps: int) -> int:
    """The recommended cost of a link of `mbps` (table 17-3); 200,000 where the speed is not known."""
    return max(20_000_000 // mbps, 1) if mbps > 0 else 200_000


@final
class Rstp:
    """A bridge. `add_port`, `set_enabled` and the setters configure it; `received` and `run` drive it."""

    def __init__(self, bridge_id: int, now: int) -> None:
        self.bridge_id = bridge_id
        self.times = Times(0, DEFAULT_MAX_AGE, DEFAULT_HELLO_TIME, DEFAULT_FORWARD_DELAY)
        """BridgeTimes (17.18.4)."""
        self.root_times = self.times
        self.root_priority: tuple[int, int, int, int, int] = (bridge_id, 0, bridge_id, 0, 0)
        """rootPriority (17.18.6): root, its path cost, designated bridge and port, receiving port."""
        self.root_port_id: int = 0
        self.ports: dict[int, RstpPort] = {}
        self.tx_hold_count: int = DEFAULT_TX_HOLD_COUNT
        self.ageing_time: int = DEFAULT_AGEING_TIME
        self.rapid: bool = True
        """rstpVersion (17.20.11): false when `force-protocol-version` is STP's."""
        self._last_tick = now
        self._out: list[tuple[int, Bpdu]] = []
        self._changed: dict[int, RstpPort] = {}
        self._flush: dict[int, RstpPort] = {}
        self._root: RstpPort | None = None
        self._moved_root: tuple[RstpPort, RstpPort] | None = None

    # What the caller takes out.

    def take_sent(self) -> list[tuple[int, Bpdu]]:
        """(port number, BPDU) to be sent, oldest first."""
        out, self._out = self._out, []
        return out

    def take_changed(self) -> list[RstpPort]:
        """The ports that have begun or ceased to learn or forward since the last call."""
        changed, self._changed = list(self._changed.values()), {}
        return changed

    def take_flush(self) -> list[RstpPort]:
        """The ports whose learned addresses have to go."""
        flush, self._flush = list(self._flush.values()), {}
        return flush

    def take_moved_root(self) -> tuple[RstpPort, RstpPort] | tuple[None, None]:
        """The root port before and an alternate port that took its place: what was learned at the one is
        reached by the other, as it leads to the same root."""
        moved, self._moved_root = self._moved_root, None
        return moved or (None, None)

    # What the ports' machines give.

    def send(self, port: RstpPort, bpdu: Bpdu) -> None:
        """Have `bpdu` sent."""
        port.tx_count += 1
        self._out.append((port.number, bpdu))

    def port_changed(self, port: RstpPort) -> None:
        """`port` learns or forwards, or does so no longer."""
        self._changed[port.number] = port

    def flush(self, port: RstpPort) -> None:
        """What was learned at `port` is void (fdbFlush, 17.19.7)."""
        self._flush[port.number] = port

    @property
    def is_root(self) -> bool:
        """Whether this bridge is the root."""
        return self.root_port_id == 0

    # Configuration.

    def set_bridge(self, bridge_id: int, times: Times, tx_hold_count: int, rapid: bool) -> None:
        """Change address, priority, times, transmit hold count or the protocol's version."""
        if (bridge_id, times, tx_hold_count) == (self.bridge_id, self.times, self.tx_hold_count):
            if rapid == self.rapid:
                return
        if rapid != self.rapid:
            self.rapid = rapid
            for port in self.ports.values():
                port.restart()
        self.bridge_id = bridge_id
        self.times = times
        if tx_hold_count != self.tx_hold_count:
            self.tx_hold_count = tx_hold_count
            for port in self.ports.values():
                port.tx_count_now = 0
        self._reselect_all()

    def add_port(self, number: int, now: int) -> RstpPort:
        """A new port, disabled at first. `number` is 1 to MAX_PORTS, or 0 for the lowest free one."""
        if not number or number in self.ports:
            number = next((n for n in range(1, MAX_PORTS + 1) if n not in self.ports), 0)
        port = self.ports[number] = RstpPort(self, number, now)
        self._settle()
        return port

    def renumber(self, port: RstpPort, number: int) -> None:
        """Give `port` another number, unless it is in use."""
        if number == port.number or number in self.ports:
            return
        del self.ports[port.number]
        port.number = number
        self.ports[number] = port
        self._reselect(port)

    def remove_port(self, port: RstpPort) -> None:
        """Forget a port."""
        port.port_enabled = False
        self._settle()
        self.ports.pop(port.number, None)
        if port is self._root:
            self._root = None
        self._changed.pop(port.number, None)
        self._flush.pop(port.number, None)
        self._update_roles()
        self._settle()

    def set_enabled(self, port: RstpPort, enabled: bool) -> None:
        """MAC_Operational and the administrative state of the port's link (portEnabled, 17.19.18)."""
        if port.port_enabled != enabled:
            port.port_enabled = enabled
            self._settle()

    def set_port(
        self,
        port: RstpPort,
        priority: int,
        cost: int,
        admin_edge: bool,
        auto_edge: bool,
        point_to_point: bool,
    ) -> None:
        """Change a port's configuration. `priority` is 0 to 240 in steps of 16."""
        port.admin_edge = admin_edge
        port.auto_edge = auto_edge
        port.oper_point_to_point = point_to_point
        if priority != port.priority or cost != port.path_cost:
            port.priority = priority
            port.path_cost = cost
            self._reselect(port)
        else:
            self._settle()

    def mcheck(self, port: RstpPort) -> None:
        """Try RSTP again with a neighbour that was taken for an STP one (17.19.13)."""
        if self.rapid:
            port.mcheck = True
            self._settle()

    def _reselect(self, port: RstpPort) -> None:
        port.selected = False
        port.reselect = True
        self._settle()

    def _reselect_all(self) -> None:
        for port in self.ports.values():
            port.selected = False
            port.reselect = True
        self._update_roles()
        self._settle()

    # BPDUs and time.

    def received(self, port: RstpPort, bpdu: Bpdu | None) -> None:
        """A frame to the BPDU address came in at `port`; None: it holds none that makes sense."""
        if bpdu is None:
            port.error_count += 1
            return
        if bpdu.type == CONFIG and bpdu.bridge_id == self.bridge_id and bpdu.port_id == port.port_id:
            # 9.3.4: what a port sent itself is not processed.
            port.error_count += 1
            return
        if bpdu.type in (CONFIG, RST) and bpdu.message_age >= bpdu.max_age:
            port.error_count += 1
            return
        port.rx_count += 1
        if not port.port_enabled:
            return
        if bpdu.type == RST and not self.rapid:
            # A bridge that is to behave as of the older standard understands its fields (9.3.4).
            bpdu = Bpdu(
                CONFIG,
                0,
                bpdu.flags & 0x81,
                bpdu.root_id,
                bpdu.root_path_cost,
                bpdu.bridge_id,
                bpdu.port_id,
                bpdu.message_age,
                bpdu.max_age,
                bpdu.hello_time,
                bpdu.forward_delay,
            )
        port.message = bpdu
        port.rcvd_bpdu = True
        self._settle()

    def topology_change_notification(self) -> None:
        """Act as if every port's neighbour had announced a topology change."""
        for port in self.ports.values():
            port.rcvd_tcn = True
        self._settle()

    def run(self, now: int) -> None:
        """Let the seconds that have passed since the last call pass."""
        while now - self._last_tick >= _TICK:
            self._last_tick += _TICK
            for port in self.ports.values():
                port.tick()
            self._settle()

    def wakeup(self) -> int | None:
        """Clock ms at which `run` has something to do next."""
        return self._last_tick + _TICK if self.ports else None

    # The machines.

    def _settle(self) -> None:
        """Run the state machines until none has anything to do."""
        busy = True
        while busy:
            busy = False
            if any(port.reselect for port in self.ports.values()):
                self._role_selection()
                busy = True
            for port in self.ports.values():
                while port.step():
                    busy = True

    def _role_selection(self) -> None:
        """ROLE_SELECTION of the Port Role Selection state machine (17.28)."""
        for port in self.ports.values():
            port.reselect = False
        self._update_roles()
        for port in self.ports.values():
            port.selected = True

    def _update_roles(self) -> None:
        """updtRolesTree (17.21.25)."""
        best = (self.bridge_id, 0, self.bridge_id, 0, 0)
        root_port: RstpPort | None = None
        for port in self.ports.values():
            if port.info_is != INFO_RECEIVED:
                continue
            root, cost, bridge, sender, _ = port.port_priority
            if bridge & ((1 << 48) - 1) == self.bridge_id & ((1 << 48) - 1):
                continue
            vector = (root, cost + port.path_cost, bridge, sender, port.port_id)
            if vector < best:
                best = vector
                root_port = port
        if root_port is not None and root_port.role == ALTERNATE and self._root not in (None, root_port):
            assert self._root is not None
            self._moved_root = (self._root, root_port)
        self._root = root_port
        self.root_priority = best
        self.root_port_id = root_port.port_id if root_port is not None else 0
        if root_port is None:
            self.root_times = self.times
        else:
            t = root_port.port_times
            self.root_times = Times(t.message_age + 1, t.max_age, t.hello_time, t.forward_delay)
        for port in self.ports.values():
            port.designated_priority = (best[0], best[1], self.bridge_id, port.port_id, port.port_id)
            times = self.root_times
            port.designated_times = Times(
                times.message_age, times.max_age, self.times.hello_time, times.forward_delay
            )
            if port.info_is == INFO_DISABLED:
                port.selected_role = DISABLED
            elif port.info_is == INFO_AGED:
                port.selected_role = DESIGNATED
                port.updt_info = True
            elif port.info_is == INFO_MINE:
                port.selected_role = DESIGNATED
                if port.port_priority != port.designated_priority or port.port_times != port.designated_times:
                    port.updt_info = True
            elif port is root_port:
                port.selected_role = ROOT
                port.updt_info = False
            elif port.designated_priority[:4] < port.port_priority[:4]:
                port.selected_role = DESIGNATED
                port.updt_info = True
            else:
                _, _, bridge, sender, _ = port.port_priority
                own = bridge == self.bridge_id and sender != port.port_id
                port.selected_role = BACKUP if own else ALTERNATE
                port.updt_info = False
