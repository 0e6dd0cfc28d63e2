"""Tunnel interfaces as ports: several of one kind and UDP port share a port of the datapath.

The datapath port ("vxlan_sys_4789") comes with the first of them and goes with the last.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, final

from vswitch.base.vlog import Vlog
from vswitch.dpif.open import dpif_class
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import ODPP_NONE, DpifError, DpifPort
from vswitch.netdev.registry import kind, open_type
from vswitch.netdev.scope import Scope
from vswitch.netdev.tunnel_options import (
    GRE_DEVICES,
    TunnelConfig,
    TunnelConflict,
    format_address,
    parse_tunnel,
)
from vswitch.ofproto_dpif.tunnel.listeners import listening_of

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.roles import BridgeRole
    from vswitch.ofproto_dpif.xlate.bridge import XPort

log: Final = Vlog("tunnel")


def is_tunnel(type: str, scope: Scope) -> bool:
    """Whether ports of `type` are tunnels here (a dummy may stand in for them)."""
    return kind(open_type(type, scope)).tunnel


@final
class TunnelDevices:
    """The datapath's ports for tunnels, by name, each with the number of interfaces that share it."""

    def __init__(self, dpif: Dpif) -> None:
        self.dpif: Dpif = dpif
        self.are_devices: bool = dpif_class(dpif.type).tunnels_are_devices
        self.ports: dict[str, tuple[int, int]] = {}

    def name(self, config: TunnelConfig) -> str:
        """What the datapath's port for a tunnel is called."""
        return config.device_name if self.are_devices else config.dp_name

    def frames_of(self) -> dict[int, int]:
        """As `TunnelMatcher.frames_of`: what the kernel's device for GRE's frames takes from the one for
        packets of all kinds, while both are there."""
        frames, all_kinds = (self.ports.get(name) for name in GRE_DEVICES)
        return {frames[0]: all_kinds[0]} if frames is not None and all_kinds is not None else {}

    def take(self, config: TunnelConfig, initial: dict[str, DpifPort]) -> int:
        """The datapath port for a tunnel; made if it is not there. DpifError. Of `initial`, the ports of
        an earlier life, one that fits is taken over."""
        name = self.name(config)
        odp_port, users = self.ports.get(name, (ODPP_NONE, 0))
        type = config.device_type if self.are_devices else config.type
        options = config.device_options() if self.are_devices else config.dp_options()
        if users and not self.dpif.tunnel_fits(name, type, options):
            said = "another tunnel has it with other exts, packet_type or payload_type"
            raise DpifError(errno.EINVAL, "port add", name, said)
        if not users:
            left = initial.pop(name, None)
            fits = left is not None and left.type == type
            if left is not None and fits and self.dpif.tunnel_fits(name, type, options):
                odp_port = left.port_no
            else:
                if left is not None:
                    self.dpif.port_del(left.port_no)
                odp_port = self.dpif.port_add(name, type, None, options)
        self.ports[name] = (odp_port, users + 1)
        return odp_port

    def give(self, config: TunnelConfig) -> bool:
        """One tunnel less. Whether it was the last of its port."""
        name = self.name(config)
        odp_port, users = self.ports[name]
        if users > 1:
            self.ports[name] = (odp_port, users - 1)
            return False
        del self.ports[name]
        try:
            self.dpif.port_del(odp_port)
        except DpifError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                log.warn("%s: cannot be taken out of the datapath: %s", name, error)
        return True


def _look_for_conflict(name: str, config: TunnelConfig, ports: Iterable[XPort]) -> None:
    """TunnelConflict: one of `ports` has the UDP port without group policy, or with it."""
    if config.type != "vxlan":
        return
    for port in ports:
        other = port.tunnel
        if other is not None and other.type == "vxlan" and port.name != name:
            if other.dst_port == config.dst_port and other.gbp != config.gbp:
                raise TunnelConflict(
                    errno.EINVAL,
                    f"{name}: VXLAN-GBP, and non-VXLAN-GBP tunnels can't be configured on the same dst_port",
                )


def _described(port: XPort, config: TunnelConfig) -> str:
    """What tells a tunnel from others, as the real switch says it."""
    source = "flow" if config.local_flow else format_address(config.local_ip)
    destination = "flow" if config.remote_flow else format_address(config.remote_ip)
    key = "flow" if config.in_key_flow else f"{config.in_key:#x}" if config.in_key else "0"
    return f"{source}->{destination}, key={key}, {config.packet_type}, dp port={port.odp_port}"


def attach(ofproto: BridgeRole, port: XPort, options: dict[str, str], new: bool = True) -> None:
    """Give `port` its place among the tunnels. NetdevError: options that can't be; DpifError: EEXIST of a
    `new` one that is as another."""
    said: list[str] = []
    config = parse_tunnel(port.name, port.type, options, said.append)
    backer = ofproto.backer
    bridges = backer.dp.bridges.values()
    try:
        _look_for_conflict(port.name, config, (it for bridge in bridges for it in bridge.ports.values()))
    except TunnelConflict as e:
        raise TunnelConflict(errno.EINVAL, "\n".join([*said, e.strerror or ""])) from None
    for text in said:
        log.warn("%s", text)
    port.odp_port = backer.tunnel_devices.take(config, backer.initial_ports)
    port.tunnel = config
    backer.dp.tunnels.frames_of = backer.tunnel_devices.frames_of()
    if backer.dpif.reaches_alone(port.odp_port):
        backer.dp.tunnels.own_stack.add(port.odp_port)
    elif why := backer.dpif.why_not_alone(port.odp_port):
        backer.dp.tunnels.refused[port.odp_port] = why
    there = backer.dp.tunnels.add(port)
    if there is not None:
        log.warn("%s: attempting to add tunnel port with same config as port '%s' (%s)",
                 port.name, there.name, _described(port, config))
    if backer.dp.support.tnl_push_pop:
        for listening in listening_of(config.type, config.dp_name, port.odp_port, config.dst_port):
            backer.dp.underlay.listen(listening)
    _flush(ofproto)
    if there is not None and new:
        detach(ofproto, port)
        raise DpifError(errno.EEXIST, "port add", port.name, f"it is as {there.name}")


def detach(ofproto: BridgeRole, port: XPort) -> None:
    """Undo `attach`. A tunnel that stood back for this one has its place from now on."""
    config = port.tunnel
    if config is None:
        return
    backer = ofproto.backer
    backer.dp.tunnels.remove(port)
    if backer.dp.support.tnl_push_pop:
        for listening in listening_of(config.type, config.dp_name, port.odp_port, config.dst_port):
            backer.dp.underlay.unlisten(listening)
    port.tunnel = None
    odp_port, port.odp_port = port.odp_port, ODPP_NONE
    if backer.tunnel_devices.give(config):
        backer.dp.tunnels.own_stack.discard(odp_port)
        backer.dp.tunnels.refused.pop(odp_port, None)
        backer.dp.tunnels.frames_of = backer.tunnel_devices.frames_of()
    for bridge in backer.dp.bridges.values():
        for other in bridge.ports.values():
            if other.tunnel is not None and other is not port:
                backer.dp.tunnels.add(other)
    _flush(ofproto)


def _flush(ofproto: BridgeRole) -> None:
    """Which port a packet out of a tunnel came in at may be another now: forget what was cached."""
    backer = ofproto.backer
    for bridge in backer.ofprotos.values():
        if any(port.tunnel is not None for port in bridge.ports.values()):
            backer.installer.flush(bridge.facets, bridge.clock.now())


def reconfigure(ofproto: BridgeRole, port: XPort, options: dict[str, str]) -> None:
    """Give `port` other options. NetdevError: they can't be; then it has none of its own any more."""
    config = parse_tunnel(port.name, port.type, options)
    if config != port.tunnel:
        detach(ofproto, port)
        attach(ofproto, port, options, new=False)
