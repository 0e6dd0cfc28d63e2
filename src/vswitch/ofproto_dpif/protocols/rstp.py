"""RSTP of one bridge: joins `l2/rstp.py` to ports, packets and clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vswitch.base.records import dataclass
from vswitch.base.vlog import Vlog
from vswitch.l2.bpdu import Bpdu
from vswitch.l2.rstp import Rstp, path_cost
from vswitch.l2.rstp_port import DISABLED, RstpPort, Times
from vswitch.ofproto_dpif.ports.configure import move_learned
from vswitch.ofproto_dpif.protocols import spanning_tree as tree

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.roles import BridgeRole
    from vswitch.ofproto_dpif.xlate.bridge import XPort

log = Vlog("rstp")


@dataclass(frozen=True)
class RstpSettings:
    """Bridge.other_config:rstp-*; times in s."""

    address: int
    priority: int
    ageing_time: int
    rapid: bool
    max_age: int
    forward_delay: int
    transmit_hold_count: int

    @property
    def bridge_id(self) -> int:
        """Priority and address."""
        return self.priority << 48 | self.address

    @property
    def times(self) -> Times:
        """As BPDUs carry them; the hello time is always 2 s (17.14)."""
        return Times(0, self.max_age, 2, self.forward_delay)


@dataclass(frozen=True)
class RstpPortSettings:
    """Port.other_config:rstp-*. `number` 0: any; `path_cost` None: as the link's speed has it."""

    number: int
    priority: int
    path_cost: int | None
    admin_edge: bool
    auto_edge: bool
    mcheck: bool


class RstpBridge(tree.TreeBridge[RstpPort, RstpPortSettings]):
    """The rapid spanning tree of a bridge. `configure` says which ports take part."""

    def __init__(self, ofproto: BridgeRole, settings: RstpSettings, now: int) -> None:
        super().__init__(ofproto)
        self.rstp = Rstp(settings.bridge_id, now)
        self._checked: set[str] = set()
        """Ports whose `rstp-port-mcheck` was carried out."""

    def configure(self, settings: RstpSettings, ports: dict[str, RstpPortSettings], now: int) -> None:
        """Change what the database asks for."""
        self.rstp.set_bridge(settings.bridge_id, settings.times, settings.transmit_hold_count, settings.rapid)
        self.rstp.ageing_time = settings.ageing_time
        self._settings = ports
        self._sync(now)

    def _sync(self, now: int) -> None:
        ofproto = self.ofproto
        self._listen()
        for name, port in list(self.ports.items()):
            if name not in self._settings:
                self._remove(name, port)
        for name, settings in self._settings.items():
            there = ofproto.ports_by_name.get(name)
            known = self.ports.get(name)
            if there is None:
                if known is not None:
                    self._remove(name, known)
                continue
            if known is None:
                known = self.ports[name] = self.rstp.add_port(settings.number, now)
            elif settings.number:
                self.rstp.renumber(known, settings.number)
            cost = path_cost(tree.mbps(there)) if settings.path_cost is None else settings.path_cost
            self.rstp.set_port(known, settings.priority, cost, settings.admin_edge, settings.auto_edge, True)
            self.rstp.set_enabled(known, there.may_enable)
            if not settings.mcheck:
                self._checked.discard(name)
            elif name not in self._checked:
                self._checked.add(name)
                self.rstp.mcheck(known)
        self._deliver()
        for name, port in self.ports.items():
            self._apply(ofproto.ports_by_name[name], port, tree.flush_bundle)

    def _remove(self, name: str, port: RstpPort) -> None:
        self.rstp.remove_port(port)
        del self.ports[name]
        self._checked.discard(name)
        self._release(name)

    def _apply(self, there: XPort, port: RstpPort, forget: Callable[[BridgeRole, XPort], None]) -> None:
        state = tree.OFPPS_STP_LISTEN
        if port.forwards:
            state = tree.OFPPS_STP_FORWARD
        elif port.learns:
            state = tree.OFPPS_STP_LEARN
        tree.set_port(self.ofproto, there, "RSTP", port.learns, port.forwards, port.role != DISABLED, state,
                      forget)

    def _received(self, port: RstpPort, bpdu: Bpdu | None, now: int) -> None:
        self.rstp.received(port, bpdu)

    def _turn(self, now: int) -> None:
        self.rstp.run(now)
        self._deliver()

    def _deadline(self) -> int | None:
        return self.rstp.wakeup()

    def _deliver(self) -> None:
        """Carry out what the machine has decided, and send what it has to say."""
        ofproto = self.ofproto
        old_root, new_root = self.rstp.take_moved_root()
        for port in self.rstp.take_changed():
            there = self.port_of(port.number)
            if there is not None:
                log.dbg("bridge %s: port %s is %s %s", ofproto.name, there.name, port.role, port.state)
                self._apply(there, port, tree.keep if port is old_root else tree.flush_bundle)
        for port in self.rstp.take_flush():
            there = self.port_of(port.number)
            if there is not None and port is not old_root:
                tree.flush_bundle(ofproto, there)
        if old_root is not None and new_root is not None:
            before, after = self.port_of(old_root.number), self.port_of(new_root.number)
            if before is not None and after is not None:
                move_learned(ofproto, before, after)
        self._send(self.rstp.take_sent())
