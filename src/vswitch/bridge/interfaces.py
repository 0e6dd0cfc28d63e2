"""Interfaces as a bridge's ports: adding one, changing its device, and in whose words it is refused.

Texts are those that ovs-vswitchd writes to Interface.error.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from vswitch.base.vlog import Vlog
from vswitch.bridge.config import InterfaceConfig
from vswitch.flow.values import parse_mac
from vswitch.netdev import links, registry
from vswitch.netdev.provider import NetdevError
from vswitch.netdev.scope import Scope
from vswitch.netdev.tunnel_options import TunnelConflict
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif

log = Vlog("bridge")
netdev_log = Vlog("netdev")

CANNOT_OPEN: Final = frozenset(
    (errno.ENODEV, errno.EAFNOSUPPORT, errno.EPERM, errno.EACCES, errno.EEXIST, errno.EOPNOTSUPP)
)
"""What goes wrong with a device before the datapath is asked to take it."""
IFF_LOOPBACK: Final = 0x8


class Refused(Exception):
    """An interface can't be what its row asks for: the text of Interface.error. `module` logs it, at the
    level of an error if it is another than the bridge's; `more` is what module netdev has to say."""

    def __init__(self, text: str, module: str = "bridge", more: str = "", first: bool = False) -> None:
        super().__init__(text)
        self._module = module
        self._more = more
        self._first = first

    def log(self) -> None:
        """Say so in the log."""
        if self._more and self._first:
            netdev_log.warn("%s", self._more)
        if self._module == "bridge":
            log.warn("%s", self)
        else:
            Vlog(self._module).err("%s", self)
        if self._more and not self._first:
            netdev_log.warn("%s", self._more)


def check_options(config: InterfaceConfig) -> None:
    """Refused: a port of this type can't have these options."""
    check = registry.kind(config.type).check_options
    if check is not None:
        try:
            check(config.name, config.options)
        except NetdevError as e:
            why = f"{config.name}: could not set configuration ({os.strerror(errno.EINVAL)})"
            raise Refused(e.strerror or str(e), "netdev_vport", why) from e


def add_interface(ofproto: OfprotoDpif, config: InterfaceConfig) -> int:
    """Attach the device to the bridge; returns its OpenFlow number, which is the one it asks for or has had,
    if that is free. Refused."""
    check_options(config)
    kind = registry.kind(config.type)
    if config.type not in registry.types():
        why = f"could not create netdev {config.name} of unknown type {config.type}"
        raise Refused(_cannot_open(config.name, errno.EAFNOSUPPORT), more=why, first=True)
    opened_as = registry.kind(registry.open_type(config.type, ofproto.backer.scope))
    if opened_as.comes_and_goes and _is_loopback(config.name):
        # What is sent there comes back.
        raise Refused(_cannot_add(config.name, errno.EINVAL))
    try:
        number = config.ofport_request or config.ofport
        port = ofproto.port_add(config.name, config.type, number, dict(config.options))
    except TunnelConflict as e:
        raise Refused(e.strerror or str(e)) from e
    except OSError as e:
        code = e.errno or errno.EIO
        if kind.tunnel and code == errno.EEXIST:
            # It is as another one.
            raise Refused(_cannot_add(config.name, code)) from e
        if code in CANNOT_OPEN or (kind.made_here and code == errno.EINVAL):
            raise Refused(_cannot_open(config.name, code)) from e
        raise Refused(_cannot_add(config.name, code)) from e
    set_device(ofproto.backer.scope, config)
    return port.ofp_port


def _cannot_open(name: str, code: int) -> str:
    return f"could not open network device {name} ({os.strerror(code)})"


def _cannot_add(name: str, code: int) -> str:
    return f"could not add network device {name} to ofproto ({os.strerror(code)})"


def _is_loopback(name: str) -> bool:
    try:
        link, _ = links.query(socket.if_nametoindex(name))
    except OSError:
        return False
    return bool(link.flags & IFF_LOOPBACK)


def reconfigure_interface(ofproto: OfprotoDpif, config: InterfaceConfig, old: InterfaceConfig) -> None:
    """Make a port that is there have its new options, MTU and address. Refused: it can't stay."""
    if config.options != old.options:
        check_options(config)
        ofproto.port_set_options(config.name, dict(config.options))
        netdev = ofproto.backer.scope.find(config.name)
        if netdev is not None:
            try:
                netdev.set_config(dict(config.options))
            except OSError as e:
                raise Refused(e.strerror or str(e)) from e
    set_device(ofproto.backer.scope, config)


def set_device(scope: Scope, config: InterfaceConfig, local: bool = False) -> None:
    """Set the device's MTU and, of an internal port, address, as far as asked for. The address of the
    `local` port is the bridge's to choose."""
    kind = registry.kind(config.type)
    if config.mtu_request is not None and kind.has_device:
        set_mtu(scope, config.name, config.mtu_request)
    if config.mac is not None and kind.takes_mac:
        mac = parse_mac(config.mac)
        if mac is None or not mac:
            return
        if local:
            log.err("ignoring mac in Interface record (use Bridge record to set local port's mac)")
        elif mac & 1 << 40:
            log.err("interface %s: cannot set MAC to multicast address", config.name)
        else:
            set_mac(scope, config.name, mac)


def set_mtu(scope: Scope, name: str, mtu: int) -> None:
    """Set the MTU of device `name`; what goes wrong is logged."""
    netdev = scope.find(name)
    try:
        if netdev is None:
            links.set_mtu(name, mtu)
        elif netdev.mtu() != mtu:
            netdev.set_mtu(mtu)
    except OSError as e:
        log.warn("failed to set MTU for network device %s: %s", name, e.strerror or e)


def set_mac(scope: Scope, name: str, mac: int) -> None:
    """Set the address of device `name`; what goes wrong is logged."""
    netdev = scope.find(name)
    try:
        if netdev is None:
            links.set_mac(name, mac)
        elif netdev.mac() != mac:
            netdev.set_mac(mac)
    except OSError as e:
        log.err("interface %s: setting MAC failed (%s)", name, os.strerror(e.errno or errno.EIO))
