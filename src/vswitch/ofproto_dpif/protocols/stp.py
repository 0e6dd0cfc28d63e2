"""STP of one bridge: joins `l2/stp.py` to ports, packets and clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vswitch.base.records import dataclass
from vswitch.base.vlog import Vlog
from vswitch.l2.bpdu import Bpdu
from vswitch.l2.stp import BLOCKING, DISABLED, FORWARDING, LEARNING, LISTENING, Stp, StpPort, path_cost
from vswitch.ofproto_dpif.protocols import spanning_tree as tree
from vswitch.openflow.constants import OFPPS_LINK_DOWN

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.roles import BridgeRole
    from vswitch.ofproto_dpif.xlate.bridge import XPort

log = Vlog("stp")

STATES: Final = {
    DISABLED: tree.OFPPS_STP_LISTEN,
    LISTENING: tree.OFPPS_STP_LISTEN,
    LEARNING: tree.OFPPS_STP_LEARN,
    FORWARDING: tree.OFPPS_STP_FORWARD,
    BLOCKING: tree.OFPPS_STP_BLOCK,
}


@dataclass(frozen=True)
class StpSettings:
    """Bridge.other_config:stp-*; times in ms."""

    system_id: int
    priority: int
    hello_time: int
    max_age: int
    forward_delay: int


@dataclass(frozen=True)
class StpPortSettings:
    """Port.other_config:stp-*. `path_cost` None: as the link's speed has it."""

    number: int
    priority: int
    path_cost: int | None


class StpBridge(tree.TreeBridge[StpPort, StpPortSettings]):
    """The spanning tree of a bridge. `configure` says which ports take part."""

    def __init__(self, ofproto: BridgeRole, settings: StpSettings, now: int) -> None:
        super().__init__(ofproto)
        self.stp = Stp(settings.priority << 48 | settings.system_id, now)

    def configure(self, settings: StpSettings, ports: dict[str, StpPortSettings], now: int) -> None:
        """Change what the database asks for."""
        self.stp.set_bridge_id(settings.priority << 48 | settings.system_id, now)
        self.stp.set_times(settings.max_age, settings.hello_time, settings.forward_delay)
        self._settings = ports
        self._sync(now)

    def _sync(self, now: int) -> None:
        ofproto = self.ofproto
        self._listen()
        for name, port in list(self.ports.items()):
            wanted = self._settings.get(name)
            if wanted is None or wanted.number != port.number:
                self.stp.remove(port, now)
                del self.ports[name]
                self._release(name)
        for name, settings in self._settings.items():
            there = ofproto.ports_by_name.get(name)
            known = self.ports.get(name)
            if there is None:
                if known is not None:
                    self.stp.disable(known, now)
                continue
            port = self.ports[name] = self.stp.port(settings.number)
            self.stp.set_port_priority(port, settings.priority, now)
            cost = settings.path_cost
            self.stp.set_path_cost(port, path_cost(tree.mbps(there)) if cost is None else cost, now)
            # What watches the link doesn't count here, as in Open vSwitch; it does for RSTP.
            if not there.state & OFPPS_LINK_DOWN:
                self.stp.enable(port, now)
            else:
                self.stp.disable(port, now)
            self._apply(there, port)
        self._deliver(now)

    def _apply(self, there: XPort, port: StpPort) -> None:
        sends = port.state in (LISTENING, LEARNING, FORWARDING)
        tree.set_port(self.ofproto, there, "STP", port.learns, port.forwards, sends, STATES[port.state],
                      tree.flush_all)

    def _received(self, port: StpPort, bpdu: Bpdu | None, now: int) -> None:
        self.stp.received(port, bpdu, now)

    def _turn(self, now: int) -> None:
        self.stp.run(now)
        self._deliver(now)

    def _deadline(self) -> int | None:
        return self.stp.wakeup()

    def _deliver(self, now: int) -> None:
        """Carry out what the machine has decided, and send what it has to say."""
        ofproto = self.ofproto
        for port in self.stp.take_changed():
            there = self.port_of(port.number)
            if there is not None:
                log.dbg("bridge %s: port %s is %s", ofproto.name, there.name, port.state)
                self._apply(there, port)
        if self.stp.take_fdb_flush():
            ofproto.flush_mac_table()
            ofproto.flush_multicast()
        self._send(self.stp.take_sent())
