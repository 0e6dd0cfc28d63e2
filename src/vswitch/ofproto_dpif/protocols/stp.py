"""STP of one bridge: joins `l2/stp.py` to ports, packets and clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vswitch.base.vlog import Vlog
from vswitch.l2.bpdu import frame
from vswitch.l2.stp import BLOCKING, DISABLED, FORWARDING, LEARNING, LISTENING, Stp, StpPort, path_cost
from vswitch.ofproto_dpif.protocols import spanning_tree as tree

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


class StpBridge:
    """The spanning tree of a bridge. `configure` says which ports take part."""

    def __init__(self, ofproto: BridgeRole, settings: StpSettings, now: int) -> None:
        self.ofproto = ofproto
        self.stp = Stp(settings.priority << 48 | settings.system_id, now)
        self.ports: dict[str, StpPort] = {}
        """By the names of the bridge's ports."""
        self._settings: dict[str, StpPortSettings] = {}
        self._seen_links = -1
        ofproto.add_protocol(self)

    def configure(self, settings: StpSettings, ports: dict[str, StpPortSettings], now: int) -> None:
        """Change what the database asks for."""
        self.stp.set_bridge_id(settings.priority << 48 | settings.system_id, now)
        self.stp.set_times(settings.max_age, settings.hello_time, settings.forward_delay)
        self._settings = ports
        self._sync(now)

    def close(self) -> None:
        """Leave the bridge: its ports forward at once."""
        self.ofproto.remove_protocol(self)
        tree.listen(self.ofproto, None)
        for name in self.ports:
            port = self.ofproto.ports_by_name.get(name)
            if port is not None:
                tree.release_port(self.ofproto, port)
        self.ofproto.flush_mac_table()

    def port_of(self, number: int) -> XPort | None:
        """The bridge's port that has `number` in the spanning tree."""
        for name, port in self.ports.items():
            if port.number == number:
                return self.ofproto.ports_by_name.get(name)
        return None

    def _sync(self, now: int) -> None:
        """Let the machine have the ports that are wanted and there, with their links as they are."""
        ofproto = self.ofproto
        self._seen_links = ofproto.link_changes
        tree.listen(ofproto, self)
        for name, port in list(self.ports.items()):
            wanted = self._settings.get(name)
            if wanted is None or wanted.number != port.number:
                self.stp.remove(port, now)
                del self.ports[name]
                there = ofproto.ports_by_name.get(name)
                if there is not None:
                    tree.release_port(ofproto, there)
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
            if there.may_enable:
                self.stp.enable(port, now)
            else:
                self.stp.disable(port, now)
            self._apply(there, port)
        self._deliver(now)

    def _apply(self, there: XPort, port: StpPort) -> None:
        sends = port.state in (LISTENING, LEARNING, FORWARDING)
        tree.set_port(self.ofproto, there, "STP", port.learns, port.forwards, sends, STATES[port.state])

    # PacketReceiver

    def receive(self, ofp_port: int, packet: bytes, now: int) -> None:
        there = self.ofproto.ports.get(ofp_port)
        port = self.ports.get(there.name) if there is not None else None
        if port is None:
            tree.bpdu_elsewhere.inc()
            return
        self.stp.received(port, tree.read(packet), now)

    # BridgeProtocol

    def run(self, now: int) -> None:
        if self._seen_links != self.ofproto.link_changes:
            self._sync(now)
        self.stp.run(now)
        self._deliver(now)

    def wakeup(self, now: int) -> int:
        if self._seen_links != self.ofproto.link_changes:
            return now
        when = self.stp.wakeup()
        return now + 3_600_000 if when is None else when

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
        for number, bpdu in self.stp.take_sent():
            there = self.port_of(number)
            if there is not None and there.up is not None:
                ofproto.send_packet(there, frame(bpdu, there.up.mac))
