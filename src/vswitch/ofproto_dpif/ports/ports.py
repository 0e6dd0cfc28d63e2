"""The ports of a bridge: adding and removing them, their numbers, and what their devices do.

A port is in the datapath (a device) or only here (a patch port, which forwards to its peer
within translation). Devices come and go without asking: `ports_polled` follows them.
"""

from __future__ import annotations

import errno
from collections.abc import Container
from typing import TYPE_CHECKING

from vswitch.base import coverage
from vswitch.base.vlog import Vlog
from vswitch.dpif.open import dpif_class
from vswitch.dpif.types import ODPP_NONE, DpifError, DpifPort
from vswitch.netdev.registry import kind, open_type
from vswitch.ofproto.ports import OfPort, describe
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.ports import splinters, tunnels
from vswitch.ofproto_dpif.ports.configure import port_added, port_config_changed, port_removed
from vswitch.ofproto_dpif.ports.device import device_info, features, set_up
from vswitch.ofproto_dpif.settings import PortSpec
from vswitch.ofproto_dpif.xlate.bridge import XPort
from vswitch.openflow.constants import OFPP_LOCAL, OFPPC_PORT_DOWN, OFPPS_LINK_DOWN
from vswitch.openflow.messages.port import OFPPR_ADD, OFPPR_DELETE, OFPPR_MODIFY
from vswitch.openflow.wire.version import OFP10, OFP11

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.roles import BridgeRole
    from vswitch.openflow.messages.port import Port

log = Vlog("ofproto_dpif")

port_lost = coverage.counter("ofproto_port_lost")
port_returned = coverage.counter("ofproto_port_returned")
port_updated = coverage.counter("ofproto_port_updated")


class PortError(OSError):
    """A port operation failed: errno, and a text that names bridge and port."""


def port_add(ofproto: BridgeRole, name: str, type: str = "system", ofp_port: int | None = None,
             options: dict[str, str] | None = None) -> XPort:
    """Add device `name` to the bridge. `ofp_port` OFPP_LOCAL makes it the local port.

    EEXIST: the bridge has the port, or another bridge does. A device that the datapath already
    has from an earlier life is taken over. DpifError: the datapath refused.
    """
    if name in ofproto.ports_by_name:
        raise PortError(errno.EEXIST, f"{ofproto.name}: has a port {name} already")
    ofproto.port_specs.pop(name, None)
    options = dict(options or {})
    if ofp_port == OFPP_LOCAL:
        if OFPP_LOCAL in ofproto.ports:
            raise PortError(errno.EEXIST, f"{ofproto.name}: has a local port already")
        number = OFPP_LOCAL
    else:
        numbers: Container[int] = ofproto.ports
        if len(ofproto.port_specs) != len(ofproto.ports):
            # Ports without a device keep their numbers.
            numbers = {spec.ofp_port for spec in ofproto.port_specs.values()}
        allocated = ofproto.port_numbers.alloc(numbers, ofp_port)
        if allocated is None:
            raise PortError(errno.EFBIG, f"{ofproto.name}: no free OpenFlow port number for {name}")
        number = allocated
    spec = PortSpec(name, type or "system", number, options)
    port = XPort(ofproto.xbridge, name, number, ODPP_NONE, spec.type, OfPort(number, name))
    try:
        if tunnels.is_tunnel(spec.type, ofproto.backer.scope):
            tunnels.attach(ofproto, port, options)
        elif kind(open_type(spec.type, ofproto.backer.scope)).in_datapath:
            port.odp_port = _attach(ofproto, name, spec.type, options)
    except OSError:
        ofproto.port_numbers.take_back(number)
        raise
    ofproto.port_specs[name] = spec
    _insert(ofproto, port)
    return port


def _attach(ofproto: BridgeRole, name: str, type: str, options: dict[str, str]) -> int:
    backer = ofproto.backer
    left = backer.initial_ports.pop(name, None)
    if left is not None and left.port_no not in backer.odp_to_ofport:
        if left.type == type:
            return left.port_no
        backer.dpif.port_del(left.port_no)
    try:
        odp_port = backer.dpif.port_add(name, type, None, options)
    except DpifError as error:
        if error.errno != errno.EEXIST:
            raise
        odp_port = backer.dpif.port_query_by_name(name).port_no
        if odp_port in backer.odp_to_ofport:
            raise PortError(
                errno.EEXIST, f"{ofproto.name}: {name} is a port of {_bridge_of(ofproto, odp_port)}"
            ) from error
    return odp_port


def _bridge_of(ofproto: BridgeRole, odp_port: int) -> str:
    return ofproto.backer.odp_to_ofport[odp_port].bridge.name


def _insert(ofproto: BridgeRole, port: XPort) -> None:
    ofproto.ports[port.ofp_port] = port
    ofproto.ports_by_name[port.name] = port
    if port.odp_port != ODPP_NONE and port.tunnel is None:
        ofproto.backer.odp_to_ofport[port.odp_port] = port
    ofproto.backer.ports_changed()
    ofproto.link_changes += 1
    if kind(port.type).peered:
        update_peers(ofproto)
    _update(ofproto, port)
    if port.up is not None:
        port.up.created = ofproto.clock.now()
    tell(ofproto, port, OFPPR_ADD, live=False)
    if port.may_enable:
        tell_liveness(ofproto, port, True)
    ofproto.backer.need(RevReason.RECONFIGURE)


def port_del(ofproto: BridgeRole, name: str) -> None:
    """Remove port `name` from the bridge and its device, if that is there, from the datapath.
    ENODEV: no such port."""
    spec = ofproto.port_specs.pop(name, None)
    if spec is None:
        raise PortError(errno.ENODEV, f"{ofproto.name}: has no port {name}")
    ofproto.monitors.forget(name)
    port = ofproto.ports_by_name.get(name)
    if port is None:
        splinters.remove_port(ofproto, spec.ofp_port)
        return
    splinters.remove_port(ofproto, port.ofp_port)
    _remove(ofproto, port)
    if port.tunnel is not None:
        tunnels.detach(ofproto, port)
    elif port.odp_port != ODPP_NONE:
        try:
            ofproto.backer.dpif.port_del(port.odp_port)
        except DpifError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise


def _remove(ofproto: BridgeRole, port: XPort) -> None:
    """Take `port` out of the bridge's books; its device stays."""
    port_removed(ofproto, port)
    del ofproto.ports[port.ofp_port]
    del ofproto.ports_by_name[port.name]
    if ofproto.backer.odp_to_ofport.get(port.odp_port) is port:
        del ofproto.backer.odp_to_ofport[port.odp_port]
    if port.peer is not None:
        port.peer.peer = None
        port.peer = None
    ofproto.backer.ports_changed()
    ofproto.link_changes += 1
    tell(ofproto, port, OFPPR_DELETE)
    ofproto.backer.need(RevReason.RECONFIGURE)


def update_peers(ofproto: BridgeRole) -> None:
    """Join patch ports whose `options:peer` name each other, across the bridges of the backer."""
    patches = {
        port.name: (port, peer_name(bridge, port))
        for bridge in (*ofproto.backer.ofprotos.values(), ofproto)
        for port in bridge.ports.values()
        if kind(port.type).peered
    }
    for port, wanted in patches.values():
        peer, wants = patches.get(wanted, (None, ""))
        port.peer = peer if peer is not port and wants == port.name else None


def peer_name(ofproto: BridgeRole, port: XPort) -> str:
    """The name that a patch port's `options:peer` gives."""
    spec = ofproto.port_specs.get(port.name)
    return spec.options.get("peer", "") if spec is not None else ""


def set_options(ofproto: BridgeRole, name: str, options: dict[str, str]) -> None:
    """Change the options of port `name` (a patch port's peer)."""
    port = ofproto.ports_by_name.get(name)
    if port is not None and port.tunnel is not None:
        tunnels.reconfigure(ofproto, port, options)
    ofproto.port_specs[name].options = dict(options)
    update_peers(ofproto)
    ofproto.backer.need(RevReason.RECONFIGURE)


def set_config(ofproto: BridgeRole, port: XPort, config: int) -> None:
    """Set the OFPPC_* bits of `port` to `config`; OFPPC_PORT_DOWN takes its device down."""
    changed = port.config ^ config
    if not changed:
        return
    if changed & OFPPC_PORT_DOWN and kind(port.type).has_device:
        set_up(ofproto.backer.scope, port.name, not config & OFPPC_PORT_DOWN)
    port.config = config
    if port.up is not None:
        port.up.config = config
    tell(ofproto, port, OFPPR_MODIFY, live=port.may_enable and not config & OFPPC_PORT_DOWN)
    port_config_changed(ofproto)


def refresh(ofproto: BridgeRole, port: XPort) -> bool:
    """Bring address, MTU, flags and link of `port` up to date. Whether something changed."""
    changed = _update(ofproto, port)
    if changed:
        tell(ofproto, port, OFPPR_MODIFY)
    return changed


def _update(ofproto: BridgeRole, port: XPort) -> bool:
    info = device_info(ofproto.backer.scope, port.name, port.type)
    up = port.up
    changed = False
    if up is not None:
        told = features(ofproto.backer.scope, port.name, port.type)
        if (up.mac, up.mtu, up.features) != (info.mac, info.mtu, told):
            if up.features != told:
                ofproto.link_changes += 1  # a link's speed is its cost in spanning trees
            up.mac, up.mtu, up.features = info.mac, info.mtu, told
            changed = True
    state = port.state & ~OFPPS_LINK_DOWN | (0 if info.carrier else OFPPS_LINK_DOWN)
    config = port.config & ~OFPPC_PORT_DOWN | (0 if info.up else OFPPC_PORT_DOWN)
    if (port.state, port.config) != (state, config):
        if state & OFPPS_LINK_DOWN and up is not None and up.told_live:
            # That it is not live is told before why.
            tell_liveness(ofproto, port, False)
        port.state = state
        port.config = config
        ofproto.link_changes += 1
        if up is not None:
            up.state = state
            up.config = config
        _update_may_enable(ofproto, port)
        changed = True
    return changed


def _update_may_enable(ofproto: BridgeRole, port: XPort) -> bool:
    """Whether `port` may be used follows from its link and from what watches it. Whether that changed."""
    may_enable = not port.state & OFPPS_LINK_DOWN and port.monitored and port.aggregated
    if may_enable is port.may_enable:
        return False
    port.may_enable = may_enable
    ofproto.link_changes += 1
    if ofproto.has_bundle_action:
        ofproto.backer.need(RevReason.PORT_TOGGLED)
    ofproto.groups_may_choose_anew()
    return True


def set_monitored(ofproto: BridgeRole, port: XPort, alive: bool) -> None:
    """BFD and CFM find `port` fit for use, or not; controllers hear of it (OFPPS_LIVE)."""
    if alive is not port.monitored:
        port.monitored = alive
        if _update_may_enable(ofproto, port):
            tell_liveness(ofproto, port, port.may_enable)


def set_aggregated(ofproto: BridgeRole, port: XPort, allowed: bool) -> None:
    """LACP lets packets over `port`, or not; controllers hear of it (OFPPS_LIVE)."""
    if allowed is not port.aggregated:
        port.aggregated = allowed
        if _update_may_enable(ofproto, port):
            tell_liveness(ofproto, port, port.may_enable)


def ofp_ports(ofproto: BridgeRole) -> list[Port]:
    """The ports as OpenFlow describes them, the local port first, by number."""
    ports = sorted(ofproto.ports.values(), key=lambda p: (p.ofp_port != OFPP_LOCAL, p.ofp_port))
    return [describe(port.up, port.may_enable) for port in ports if port.up is not None]


def ofp_port(ofproto: BridgeRole, number: int) -> Port | None:
    """One port as OpenFlow describes it."""
    port = ofproto.ports.get(number)
    return describe(port.up, port.may_enable) if port is not None and port.up is not None else None


def tell(ofproto: BridgeRole, port: XPort, reason: int, live: bool | None = None) -> None:
    """Tell controllers that `port` came, went or changed (OFPPR_*); `live` if it is to be another than the
    port's own."""
    if port.up is not None:
        port.up.told_live = port.may_enable if live is None else live
        _send_status(ofproto, port.up, reason)


def tell_liveness(ofproto: BridgeRole, port: XPort, live: bool) -> None:
    """Tell controllers that `port` is live now, or not: those whose version has a word for that."""
    if port.up is not None:
        port.up.told_live = live
        _send_status(ofproto, port.up, OFPPR_MODIFY, OFP11)


def _send_status(ofproto: BridgeRole, port: OfPort, reason: int, oldest: int = OFP10) -> None:
    told = port.told if reason == OFPPR_MODIFY else None
    port.told = describe(port, port.told_live)
    ofproto.connmgr.send_port_status(reason, port.told, oldest, told)


def port_stats(ofproto: BridgeRole, port: XPort) -> dict[str, int]:
    """The counters of `port`: rx_packets, tx_packets, rx_bytes, tx_bytes and, of a device,
    errors and drops. DpifError if its device is gone."""
    if port.odp_port == ODPP_NONE or port.tunnel is not None:
        return {
            "rx_packets": port.rx_packets, "tx_packets": port.tx_packets,
            "rx_bytes": port.rx_bytes, "tx_bytes": port.tx_bytes,
        }  # fmt: skip
    stats = dict(ofproto.backer.dpif.port_stats(port.odp_port))
    if port.ofp_port == OFPP_LOCAL:
        ofproto.stats.add_to_local(stats)
    return stats


def ports_polled(ofproto: BridgeRole, names: set[str] | None) -> None:
    """The devices `names` (None: any) were added, deleted or changed: follow them."""
    specs = ofproto.port_specs
    wanted = specs if names is None else {n: specs[n] for n in names if n in specs}
    if not wanted:
        return
    present: dict[str, DpifPort] = {port.name: port for port in ofproto.backer.dpif.port_dump()}
    for name, spec in list(wanted.items()):
        if not kind(open_type(spec.type, ofproto.backer.scope)).in_datapath:
            continue
        port = ofproto.ports_by_name.get(name)
        there = present.get(name)
        if port is not None and (there is None or there.port_no != port.odp_port):
            port_lost.inc()
            ofproto.backer.port_changes += 1
            log.info("%s: device of port %s has gone", ofproto.name, name)
            _remove(ofproto, port)
            port = None
        if port is None:
            if there is not None or announced(ofproto, name):
                _try_return(ofproto, spec, there)
        elif refresh(ofproto, port):
            port_updated.inc()
            ofproto.backer.port_changes += 1


def announced(ofproto: BridgeRole, name: str) -> bool:
    """Whether the host tells when the device of port `name` comes or goes. Others, once out of the datapath,
    wait for the next change of the configuration, as in Open vSwitch."""
    type = open_type(ofproto.port_specs[name].type, ofproto.backer.scope)
    return kind(dpif_class(ofproto.backer.dpif.type).port_open_type(type)).announced


def port_return(ofproto: BridgeRole, name: str) -> bool:
    """Have port `name` in the datapath again if somebody took it out behind our back and nothing will tell
    when its device is there. Whether it was so."""
    spec = ofproto.port_specs[name]
    in_datapath = kind(open_type(spec.type, ofproto.backer.scope)).in_datapath
    if name in ofproto.ports_by_name or not in_datapath or announced(ofproto, name):
        return False
    present = {port.name: port for port in ofproto.backer.dpif.port_dump()}
    _try_return(ofproto, spec, present.get(name))
    return name in ofproto.ports_by_name


def _try_return(ofproto: BridgeRole, spec: PortSpec, there: DpifPort | None) -> None:
    """Attach the device of `spec` again if it exists."""
    if there is not None:
        odp_port = there.port_no
    else:
        try:
            odp_port = ofproto.backer.dpif.port_add(spec.name, spec.type, None, spec.options)
        except OSError:
            return
    port_returned.inc()
    ofproto.backer.port_changes += 1
    log.info("%s: device of port %s is back", ofproto.name, spec.name)
    up = OfPort(spec.ofp_port, spec.name)
    port = XPort(ofproto.xbridge, spec.name, spec.ofp_port, odp_port, spec.type, up)
    _insert(ofproto, port)
    port_added(ofproto, spec.name)
