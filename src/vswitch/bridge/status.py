"""When status columns are looked at: at once after a change, and all counters every few seconds.

Devices that change tell the datapath, which numbers the changes (`Backer.port_changes`), as routes of
tunnels are numbered (`Underlay.route_changes`): where no number has moved, nothing is looked at.
Counters of many interfaces are read a few a turn, so that packets don't wait.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, final
from uuid import UUID

from vswitch.bridge import bonds, spanning_tree
from vswitch.bridge.bridge import Bridge
from vswitch.bridge.capabilities import capabilities
from vswitch.bridge.columns import boolean, integer, one
from vswitch.bridge.config import PortConfig
from vswitch.bridge.idl import Row
from vswitch.bridge.interface_status import CLEARED, InterfaceStatus, tunnel_error
from vswitch.bridge.monitors import MonitorStatus
from vswitch.bridge.system import ovs_version, statistics, system
from vswitch.dpif.open import dpif_class, dpif_types
from vswitch.netdev import registry
from vswitch.netdev.links import LinkWatch
from vswitch.netdev.registry import kind
from vswitch.ofproto_dpif.ports.ports import announced

if TYPE_CHECKING:
    from vswitch.bridge.follower import Follower

STATUS_CHECK_INTERVAL: Final = 100
"""ms between two looks at devices that change."""
CONTROLLER_INTERVAL: Final = 500
"""ms between two looks at whether controllers are connected."""
MIN_STATS_INTERVAL: Final = 5000
"""ms between two looks at counters, unless other_config:stats-update-interval asks for more."""
A_TURN: Final = 20
"""Interfaces whose counters are read in one turn of the main loop."""


@final
class Status:
    """Reads what there is and gives it to `Report`."""

    def __init__(self, bridges: Follower) -> None:
        self._bridges = bridges
        self._interfaces: dict[str, InterfaceStatus] = {}
        self._changes_seen = -1
        self._next_check = 0
        self._next_stats = 0
        self._next_controllers = 0
        self._controllers_told: dict[UUID, Any] = {}
        self._to_read: deque[tuple[str, str]] = deque()
        self._monitors = MonitorStatus(bridges.idl, bridges.report)
        self._stale = True
        self._statistics = False
        self._interval_kept: int = MIN_STATS_INTERVAL
        self._watch: LinkWatch | None = None
        self._awaited: set[str] = set()

    # The main loop.

    def run(self, now: int) -> bool:
        """Look at what is due. True if there is more to do at once."""
        if self._watch is not None:
            self._watch.run()
        if now >= self._next_check:
            changes = self._changes()
            if self._stale or changes != self._changes_seen:
                self._changes_seen = changes
                self._stale = False
                self._next_check = now + STATUS_CHECK_INTERVAL
                for bridge in self._bridges.bridges.values():
                    bridge.update_mtu()
                    self._look_at(bridge)
                    if bridge.ofproto.protocols:
                        self._trees(bridge)
        for bridge in self._bridges.bridges.values():
            self._monitors.run(bridge, now)
        if now >= self._next_controllers or now >= self._next_stats:
            self._next_controllers = now + CONTROLLER_INTERVAL
            self._controllers(now >= self._next_stats)
            if not self._controllers_told:
                self._next_controllers = now + MIN_STATS_INTERVAL
        if now >= self._next_stats:
            self._next_stats = now + self._interval()
            self._to_read.extend((b.name, i) for b in self._bridges.bridges.values() for i in b.interfaces)
            self._others()
        return self._read_some()

    def wakeup(self, now: int) -> int:
        """Clock ms when something is due."""
        if self._stale or self._changes() != self._changes_seen:
            return min(self._next_check, self._next_stats)
        return min(self._next_controllers, self._next_stats)

    def _changes(self) -> int:
        """Moves when a device or a route has changed. A backer that goes is followed by `reconfigured`."""
        ofprotos = self._bridges.ofprotos
        return ofprotos.underlay.route_changes + sum(b.port_changes for b in ofprotos.backers.values())

    def fds(self) -> list[int]:
        """Readable when a device comes that an interface waits for, or one changes."""
        return [] if self._watch is None else [self._watch.fileno()]

    def _interval(self) -> int:
        root = self._bridges.idl.root()
        other = root.other_config if root is not None else {}
        return max(integer(other, "stats-update-interval", MIN_STATS_INTERVAL), MIN_STATS_INTERVAL)

    # After a change of the configuration.

    def reconfigured(self, now: int) -> None:
        """Everything may be different: look at all of it now."""
        self._next_controllers = now
        if self._interval() != self._interval_kept:
            self._interval_kept = self._interval()
            self._next_stats = now
        bridges = self._bridges.bridges
        self._monitors.forget(set(bridges))
        names = {name for bridge in bridges.values() for name in bridge.interfaces}
        for name in self._interfaces.keys() - names:
            del self._interfaces[name]
        self._wait_for_devices(bridges.values())
        for bridge in bridges.values():
            self._bridge(bridge)
            self._look_at(bridge)
        self._changes_seen = self._changes()
        self._stale = False
        self._root()

    def bridge_failed(self, row: Row, why: str) -> None:
        """A bridge could not be made."""
        self._bridges.report.put(row, status={"error": why})

    def _wait_for_devices(self, bridges: Any) -> None:
        """Have absent devices of interfaces told of when they come."""
        wanted = {
            name
            for bridge in bridges
            for name, interface in bridge.interfaces.items()
            if interface.error and kind(interface.config.type).comes_and_goes
        }
        if self._watch is None:
            if not wanted:
                return
            try:
                self._watch = LinkWatch()
            except OSError:
                return
        for name in self._awaited - wanted:
            self._watch.give_up(name, self)
        for name in wanted - self._awaited:
            self._watch.wait_for(name, self, self._bridges.look_again)
        self._awaited = wanted

    # One bridge.

    def _bridge(self, bridge: Bridge) -> None:
        ofproto = bridge.ofproto
        self._bridges.report.put(
            bridge.row,
            datapath_id=f"{ofproto.datapath_id:016x}",
            datapath_version=dpif_class(bridge.type).datapath_version,
        )
        self._trees(bridge)

    def _trees(self, bridge: Bridge) -> None:
        """What a bridge's spanning tree has come to."""
        status: dict[str, str] = {}
        if bridge.why:
            status = {"datapath_type": bridge.type, "datapath_type_reason": bridge.why}
        status |= spanning_tree.bridge_status(bridge)
        rapid = spanning_tree.bridge_rstp_status(bridge)
        self._bridges.report.put(bridge.row, status=status, rstp_status=rapid)
        now = self._bridges.clock.now()
        for port in bridge.wanted.values():
            row = self._bridges.idl.row("Port", port.uuid)
            if row is not None:
                self._bridges.report.put(row, **spanning_tree.port_status(bridge, port, now))
                self._bond(bridge, port, row)

    def _bond(self, bridge: Bridge, port: PortConfig, row: Row) -> None:
        """Which member of a bond is active, and who speaks LACP."""
        active = bonds.active_member(bridge, port)
        if active is not None:
            self._bridges.report.put(row, bond_active_slave=active)
        current = bonds.lacp_current(bridge, port)
        for config in port.interfaces:
            there = config.name in bridge.interfaces
            its = self._bridges.idl.row("Interface", config.uuid) if there else None
            if its is not None and (current or one(its, "lacp_current") is not None):
                self._bridges.report.put(its, lacp_current=current.get(config.name))

    def _look_at(self, bridge: Bridge) -> None:
        ofproto = bridge.ofproto
        report = self._bridges.report
        for name, interface in bridge.interfaces.items():
            row = self._bridges.idl.row("Interface", interface.config.uuid)
            if row is None:
                continue
            port = ofproto.ports_by_name.get(name)
            if port is None:
                if not interface.error and name in ofproto.port_specs and not announced(ofproto, name):
                    continue  # It comes back with the next change of the configuration.
                # Without an error it was there, and its device has gone.
                gone = f"could not open network device {name} (No such device)"
                error = None if interface.reserved else interface.error or gone
                report.put(row, ofport=-1, error=error, **CLEARED)
                continue
            status = self._interfaces.get(name)
            if status is None or status.uuid != row.uuid:
                status = self._interfaces[name] = InterfaceStatus(name, row.uuid, ofproto.backer.scope)
                counters = status.statistics(port)
                if counters is not None:
                    report.put(row, statistics=counters)
            columns = status.columns(port)
            error = None
            if columns is CLEARED:
                self._stale = True
            elif kind(port.type).peered and port.peer is None:
                peer = interface.config.options.get("peer", "")
                error = f"No usable peer '{peer}' exists in '{bridge.type}' datapath."
            elif port.tunnel is not None:
                error = tunnel_error(port, ofproto.backer.scope)
            report.put(row, ofport=port.ofp_port, error=error, **columns)

    # Counters.

    def _read_some(self) -> bool:
        for _ in range(min(A_TURN, len(self._to_read))):
            bridge_name, name = self._to_read.popleft()
            bridge = self._bridges.bridges.get(bridge_name)
            interface = bridge.interfaces.get(name) if bridge is not None else None
            status = self._interfaces.get(name)
            if bridge is None or interface is None or status is None:
                continue
            port = bridge.ofproto.ports_by_name.get(name)
            row = self._bridges.idl.row("Interface", interface.config.uuid)
            counters = status.statistics(port) if port is not None else None
            if row is not None and counters is not None:
                self._bridges.report.put(row, statistics=counters)
        return bool(self._to_read)

    def _others(self) -> None:
        """The counters that are not of interfaces."""
        for bridge in self._bridges.bridges.values():
            self._mirrors(bridge)
            self._ports(bridge)
        self._machine()

    def _mirrors(self, bridge: Bridge) -> None:
        for uuid, counters in bridge.mirrors.statistics().items():
            row = self._bridges.idl.row("Mirror", uuid)
            if row is not None:
                self._bridges.report.put(row, statistics=counters)

    def _ports(self, bridge: Bridge) -> None:
        """Counters of ports' spanning trees."""
        now = self._bridges.clock.now()
        if bridge.ofproto.protocols:
            self._trees(bridge)
        for port in bridge.wanted.values():
            row = self._bridges.idl.row("Port", port.uuid)
            if row is not None:
                self._bridges.report.put(row, **spanning_tree.port_statistics(bridge, port, now))

    def _machine(self) -> None:
        """Open_vSwitch.statistics, if they are wanted."""
        root = self._bridges.idl.root()
        if root is not None:
            wanted = boolean(root.other_config, "enable-statistics")
            self._statistics = wanted
            self._bridges.report.put(root, statistics=statistics(self._bridges.rundir) if wanted else {})

    def _controllers(self, everything: bool) -> None:
        """How controllers fare: at once when that changes, and how long it has been so now and then."""
        idl = self._bridges.idl
        told: dict[UUID, Any] = {}
        for bridge in self._bridges.bridges.values():
            for uuid, columns in bridge.controllers.status().items():
                status = columns["status"]
                state = (status.get("state"), status.get("last_error"))
                what = (columns["is_connected"], columns["role"], state)
                told[uuid] = what
                row = idl.row("Controller", uuid)
                if row is not None and (everything or self._controllers_told.get(uuid) != what):
                    self._bridges.report.put(row, **columns)
        self._controllers_told = told

    # The whole switch.

    def _root(self) -> None:
        root = self._bridges.idl.root()
        if root is None:
            return
        columns: dict[str, Any] = {
            "datapath_types": dpif_types(),
            "iface_types": registry.types(),
            "dpdk_initialized": False,
            "dpdk_version": "none",
        }
        for type, datapath in root.datapaths.items():
            backer = self._bridges.ofprotos.backers.get(type)
            if backer is not None and datapath is not None:
                self._bridges.report.put(datapath, capabilities=capabilities(backer.support))
        if self._statistics != boolean(root.other_config, "enable-statistics"):
            self._machine()
        # ovs-ctl(8) fills these in where it starts the daemon; what it wrote stays.
        name, version = system()
        ours = {"ovs_version": ovs_version(), "db_version": self._bridges.idl.schema_version,
                "system_type": name, "system_version": version}  # fmt: skip
        columns.update({column: value for column, value in ours.items() if not getattr(root, column)})
        self._bridges.report.put(root, **columns)
