"""One bridge: how it is made, and its ports and bundles kept as its rows ask.

A change is carried out in two steps over all bridges, so that an interface can move from one to
another in one transaction: `delete_ports` takes out what is not wanted, or not so; `add_ports` brings
in what is missing. `configure` then sets what can be set on a port that stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, final
from uuid import UUID

from vswitch.base.vlog import Vlog
from vswitch.bridge.config import InterfaceConfig, PortConfig
from vswitch.bridge.controllers import BridgeControllers
from vswitch.bridge.fake_interfaces import FakeInterfaces
from vswitch.bridge.flow_export import (
    configure_ipfix,
    configure_local_sampling,
    configure_netflow,
    configure_sflow,
)
from vswitch.bridge.flow_tables import FlowTables
from vswitch.bridge.idl import Idl, Row
from vswitch.bridge.interfaces import (
    Refused,
    add_interface,
    reconfigure_interface,
    set_device,
    set_mac,
    set_mtu,
)
from vswitch.bridge.mirrors import Mirrors, output_ports
from vswitch.bridge.monitors import MonitorConfig, auto_attach_of
from vswitch.bridge.policing import IngressPolicing
from vswitch.bridge.ports import bundle_settings
from vswitch.bridge.qos import QosPort
from vswitch.bridge.settings import configure_bridge, configure_multicast
from vswitch.bridge.spanning_tree import configure_trees
from vswitch.bridge.unsupported import Unsupported
from vswitch.dpif.open import dpif_class, dpif_types
from vswitch.flow.values import parse_mac
from vswitch.netdev.registry import kind, replaces_all, types
from vswitch.netdev.tunnel_options import FOREIGN_DP_NAMES, reserves
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.ports.device import device_info
from vswitch.ofproto_dpif.settings import BundleSettings
from vswitch.openflow.constants import OFPP_LOCAL

log = Vlog("bridge")

DEFAULT_MTU: Final = 1500


def natural(name: str) -> tuple[object, ...]:
    """A key that sorts "eth2" before "eth10"."""
    parts = re.split(r"(\d+)", name)
    return tuple((int(p), p) if i % 2 else (0, p) for i, p in enumerate(parts))


@final
class Interface:
    """An interface that a bridge was asked to have. `error` says why it has not."""

    def __init__(self, config: InterfaceConfig) -> None:
        self.config = config
        self.error: str = ""
        self.reserved: bool = False
        """Its name is that of a datapath's own device, and it is never made."""


@final
class Bridge:
    """A row of table Bridge and the switch that it describes. `row` is the current one; `type` is that of
    the datapath in use, `why` says why if the row leaves it open."""

    def __init__(self, row: Row, ofproto: OfprotoDpif, type: str, why: str, rundir: str) -> None:
        self.row = row
        self._respite = ofproto.backer.respite
        self.name: str = row.name
        self.ofproto = ofproto
        self.scope = ofproto.backer.scope
        self.type = type
        self.why = why
        self.wanted: dict[str, PortConfig] = {}
        """The ports that the database asks for, by name."""
        self.interfaces: dict[str, Interface] = {}
        self._bundles: dict[str, BundleSettings] = {}
        self._fakes = FakeInterfaces(ofproto)
        self.mirrors = Mirrors(ofproto)
        self.flow_tables = FlowTables(ofproto)
        self.controllers = BridgeControllers(ofproto, rundir)
        self.monitors = MonitorConfig(ofproto)
        self.policing = IngressPolicing(ofproto)
        self._mirror_outputs: set[str] = set()
        self._mac = 0
        self._min_mtu = DEFAULT_MTU

    def delete_ports(self, wanted: dict[str, PortConfig]) -> None:
        """Take out every port that is not in `wanted`, is of another type there, or has to make room for one
        that asks for its OpenFlow number."""
        self.wanted = wanted
        configs = {config.name: config for port in wanted.values() for config in port.interfaces}
        ofproto = self.ofproto
        for name in [name for name in self._bundles if name not in wanted and name != self.name]:
            del self._bundles[name]
            ofproto.bundle_set(name, None)
        # A port that is not there yet does not move others: it takes what is free until the next change.
        requested = {
            config.ofport_request
            for config in configs.values()
            if config.ofport_request and config.name in ofproto.port_specs
        }
        self._fakes.delete(wanted.values(), set(requested))
        holders = {spec.ofp_port: name for name, spec in ofproto.port_specs.items()}
        for name, interface in list(self.interfaces.items()):
            config = configs.get(name)
            spec = ofproto.port_specs.get(name)
            if name == self.name:
                if config is None:
                    del self.interfaces[name]
                continue
            if config is not None and spec is not None and config.type == interface.config.type:
                holder = configs.get(holders.get(config.ofport_request or 0, ""))
                if _keeps_number(spec.ofp_port, config, holder, requested):
                    continue
            if spec is not None:
                self._delete_port(name, spec.ofp_port)
                self._respite.give()
            del self.interfaces[name]

    def tell_gone(self) -> None:
        """Log that the interfaces are gone: the bridge is being taken away, or the process ends."""
        specs = self.ofproto.port_specs
        for name in self.interfaces:
            if name == self.name or name in specs:
                number = OFPP_LOCAL if name == self.name else specs[name].ofp_port
                log.info("bridge %s: deleted interface %s on port %d", self.name, name, number)

    def _delete_port(self, name: str, number: int) -> None:
        try:
            self.ofproto.port_del(name)
        except OSError as e:
            log.warn("bridge %s: could not delete interface %s (%s)", self.name, name, e.strerror or e)
        log.info("bridge %s: deleted interface %s on port %d", self.name, name, number)

    def add_ports(self) -> None:
        """Bring in the interfaces that are wanted and not there: first those that ask for a number, then
        those that have had one (in an earlier life of the process) that is still to be had."""
        missing: list[InterfaceConfig] = []
        for port in self.wanted.values():
            for config in port.interfaces:
                known = self.interfaces.get(config.name)
                if known is None or known.error or config.name not in self.ofproto.port_specs:
                    missing.append(config)
                    continue
                self._bring_back(config.name)
                if known.config is not config:
                    self._reconfigure(known, config)
        taken = {spec.ofp_port for spec in self.ofproto.port_specs.values()}
        for config in _in_order(missing, taken):
            self._add(config)
            self._respite.give()
        self._fakes.add(self.wanted.values())

    def _bring_back(self, name: str) -> None:
        """A port that `dpctl/del-if` took out comes back with the next change, under its number."""
        if self.ofproto.port_return(name):
            number = self.ofproto.port_specs[name].ofp_port
            log.info("bridge %s: deleted interface %s on port %d", self.name, name, number)
            log.info("bridge %s: added interface %s on port %d", self.name, name, number)

    def _add(self, config: InterfaceConfig) -> None:
        known = self.interfaces.setdefault(config.name, Interface(config))
        known.config = config
        before = known.error
        known.error = ""
        if config.name == self.name:
            log.info("bridge %s: added interface %s on port %d", self.name, config.name, OFPP_LOCAL)
            set_device(self.scope, config, local=True)
            return
        if self._is_reserved(config.name):
            known.reserved = True
            log.warn("could not create interface %s, name is reserved", config.name)
            return
        try:
            number = add_interface(self.ofproto, config)
        except Refused as e:
            known.error = str(e)
            if known.error != before:
                e.log()
            return
        log.info("bridge %s: added interface %s on port %d", self.name, config.name, number)

    def _is_reserved(self, name: str) -> bool:
        """Whether the name is for a datapath's own device, or for its ports for tunnels."""
        if name in {f"ovs-{type}" for type in dpif_types()}:
            return True
        if replaces_all(self.scope):
            return False
        tunnels = [type for type in types() if kind(type).tunnel]
        return name.startswith(FOREIGN_DP_NAMES) or any(reserves(type, name) for type in tunnels)

    def _reconfigure(self, known: Interface, config: InterfaceConfig) -> None:
        old = known.config
        known.config = config
        if config.name == self.name:
            set_device(self.scope, config, local=True)
            return
        try:
            reconfigure_interface(self.ofproto, config, old)
        except Refused as e:
            e.log()
            known.error = str(e)
            spec = self.ofproto.port_specs.get(config.name)
            if spec is not None:
                self._delete_port(config.name, spec.ofp_port)

    def configure(self, idl: Idl, root: Row | None, restoring: bool, unsupported: Unsupported) -> None:
        """Everything that can be set once the ports are there. `restoring`: flows are being put back."""
        self._mirror_outputs = output_ports(idl, self.row)
        self._configure_identity()
        if configure_multicast(self):
            self._bundles.clear()
        self._configure_ports(unsupported)
        self._configure_dscps(idl)
        auto_attach = auto_attach_of(idl, self.row)
        for interface in self.interfaces.values():
            self._respite.give()
            self.monitors.configure(interface.config, auto_attach)
            self.policing.configure(interface.config)
        self.update_mtu()
        self.mirrors.configure(idl, self.row, self._has_bundle)
        configure_trees(self, self._mac, self._mirror_outputs)
        self.flow_tables.configure(idl, self.row)
        configure_netflow(self.ofproto, idl, self.row)
        configure_sflow(self.ofproto, idl, self.row)
        configure_ipfix(self.ofproto, idl, self.row)
        configure_local_sampling(self.ofproto, idl, self.row)
        configure_bridge(self, root, unsupported)
        self.controllers.configure(idl, self.row, restoring, unsupported)

    def _configure_ports(self, unsupported: Unsupported) -> None:
        """Set how the ports treat VLANs; ports without a working interface have no bundle."""
        specs = self.ofproto.port_specs
        if self.name not in self.wanted:
            self._bundle(BundleSettings(self.name, (self.name,)))
        for port in self.wanted.values():
            self._respite.give()
            names = tuple(config.name for config in port.interfaces if config.name in specs)
            unsupported.warn_all(f"port {port.name}", port.unsupported)
            for config in port.interfaces:
                unsupported.warn_all(f"interface {config.name}", config.unsupported)
            if not names:
                if self._bundles.pop(port.name, None) is not None:
                    self.ofproto.bundle_set(port.name, None)
                continue
            self._bundle(bundle_settings(port, names, self._mac))

    def take_vlans(self) -> list[tuple[UUID, int, bool]]:
        """(row of Port, VLAN, whether its trunks are to have it) of what Auto Attach has asked for by now."""
        asked = self.monitors.take_vlans()
        if not asked:
            return []
        port_of = {config.name: port.uuid for port in self.wanted.values() for config in port.interfaces}
        return [(port_of[name], vlan, there) for name, vlan, there in asked if name in port_of]

    def qos_wanted(self) -> list[QosPort]:
        """Those of the interfaces that are there whose port has a row of QoS."""
        there = self.ofproto.ports_by_name
        dpif = self.ofproto.backer.dpif
        return [
            QosPort(config.name, config.type, port.qos, dpif, there[config.name], self.scope)
            for port in self.wanted.values()
            if port.qos is not None
            for config in port.interfaces
            if config.name in there
        ]

    def _configure_dscps(self, idl: Idl) -> None:
        """Have packets leave with the DSCP of their queue, whatever the type of QoS."""
        there = self.ofproto.ports_by_name
        for port in self.wanted.values():
            row = idl.row("QoS", port.qos) if port.qos is not None else None
            queues = row.queues if row is not None and row.type else {}
            dscps = {number: queue.dscp[0] for number, queue in queues.items() if queue.dscp}
            for config in port.interfaces:
                if config.name in there:
                    self.ofproto.port_set_dscps(config.name, dscps)

    # Address and datapath id.

    def _configure_identity(self) -> None:
        other = self.row.other_config
        mac = self._pick_mac(other)
        if mac != self._mac:
            self._mac = mac
            set_mac(self.scope, self.name, mac)
        dpid = _parse_dpid(other.get("datapath-id", "")) or mac
        if dpid != self.ofproto.datapath_id:
            self.ofproto.datapath_id = dpid
            log.info("bridge %s: using datapath ID %016x", self.name, dpid)

    def _pick_mac(self, other: Mapping[str, str]) -> int:
        """The local port's address: `other_config:hwaddr`, else the lowest of the other ports' that is
        not made up, else one that follows from the row's UUID."""
        asked = other.get("hwaddr", "")
        if asked:
            mac = parse_mac(asked)
            if mac is None:
                log.warn("bridge %s: invalid 'hwaddr' %s", self.name, asked)
            elif mac & 1 << 40 or not mac:
                log.err("bridge %s: cannot set MAC address to multicast address %s", self.name, asked)
            else:
                return mac
        best = 0
        for port in self.wanted.values():
            if port.name == self.name or port.name in self._mirror_outputs:
                continue
            mac = parse_mac(port.mac) if port.mac else None
            if mac is None:
                config = next((c for c in port.interfaces if c.name in self.ofproto.ports_by_name), None)
                if config is None or not kind(config.type).lends_mac:
                    continue
                up = self.ofproto.ports_by_name[config.name].up
                mac = up.mac if up is not None else 0
            if mac and not mac & 3 << 40 and (not best or mac < best):
                best = mac
        if best:
            return best
        first, second = self.row.uuid.bytes_le[:4], self.row.uuid.bytes[4:8]
        made_up = int.from_bytes(first + bytes((second[3], second[2])), "big")
        return made_up & ~(1 << 40) | 1 << 41

    # MTU.

    def _is_internal(self, name: str) -> bool:
        """Whether hosts see the interface: one that the datapath made, or of the type that it makes."""
        type = self.interfaces[name].config.type
        made = dpif_class(self.type).port_open_type("internal")
        return type in ("internal", made) or name == self.name

    def update_mtu(self) -> None:
        """Internal ports whose rows ask for no MTU have the smallest of the others, unless somebody else
        says otherwise: hosts behind them must not send what would not fit."""
        mtus = {name: device_info(self.scope, name, "").mtu for name, i in self.interfaces.items()
                if name in self.ofproto.ports_by_name and kind(i.config.type).has_device}  # fmt: skip
        outside = [
            mtu
            for name, mtu in mtus.items()
            if not self._is_internal(name) or self.interfaces[name].config.mtu_request is not None
        ]
        smallest = min(outside, default=DEFAULT_MTU)
        before, self._min_mtu = self._min_mtu, smallest
        for name, mtu in mtus.items():
            config = self.interfaces[name].config
            if self._is_internal(name) and config.mtu_request is None:
                if mtu > smallest or (mtu == before and mtu != smallest):
                    set_mtu(self.scope, name, smallest)

    def _bundle(self, settings: BundleSettings) -> None:
        if self._bundles.get(settings.name) == settings and settings.name in self.ofproto.bundle_settings:
            return
        try:
            self.ofproto.bundle_set(settings.name, settings)
        except OSError as e:
            log.warn("%s", e.strerror or e)
            return
        self._bundles[settings.name] = settings

    def _has_bundle(self, name: str) -> bool:
        """Whether port `name` is there to forward."""
        return name in self.ofproto.bundles


def _in_order(missing: list[InterfaceConfig], taken: set[int]) -> list[InterfaceConfig]:
    """The interfaces to bring in, so that nobody is given a number that another one has had and may keep.
    `taken` are the OpenFlow numbers of the ports that are there."""
    by_name = sorted(missing, key=lambda config: natural(config.name))
    asking = [config for config in by_name if config.ofport_request]
    gone = taken | {config.ofport_request or 0 for config in asking}
    keeping: list[InterfaceConfig] = []
    others: list[InterfaceConfig] = []
    for config in by_name:
        if config.ofport_request:
            continue
        number = config.ofport or -1
        if number < 0 or number in gone:
            others.append(config)
        else:
            gone.add(number)
            keeping.append(config)
    return asking + keeping + others


def _keeps_number(
    number: int, config: InterfaceConfig, holder: InterfaceConfig | None, requested: set[int]
) -> bool:
    """Whether a port that has OpenFlow number `number` stays as it is. `holder` has the number that
    `config` requests, `requested` is what all request."""
    request = config.ofport_request
    if number == request:
        return True
    if number in requested:
        return False  # It makes room.
    # The number that it requests may be another's who requests it too: then there is nothing to be had.
    return not request or (holder is not None and holder.ofport_request == request)


def _parse_dpid(text: str) -> int:
    """A datapath id: 16 hexadecimal digits, or 0x and up to 16; 0 if it is neither."""
    digits = text[2:] if text.startswith("0x") else text
    if not re.fullmatch(r"[0-9a-fA-F]{1,16}", digits) or (digits is text and len(digits) != 16):
        return 0
    return int(digits, 16)
