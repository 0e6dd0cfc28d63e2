"""The IP address that controllers' rows give a bridge's own device (ovs-vswitchd.conf.db(5), table
Controller, Additional In-Band Configuration)."""

from __future__ import annotations

import errno
import ipaddress
import os
from ipaddress import IPv4Address
from typing import Any

from vswitch.base.vlog import Vlog
from vswitch.bridge.columns import one
from vswitch.netdev.in4 import add_router, class_netmask, set_in4
from vswitch.netdev.scope import Scope
from vswitch.ofproto_dpif.ports.device import ifindex, set_up

log = Vlog("bridge")


def _address(bridge: str, row: Any, column: str) -> IPv4Address | None:
    """The address in a column; None if it is empty or 0.0.0.0, and with a warning if it is none."""
    text = one(row, column)
    if not text:
        return None
    try:
        address = IPv4Address(text)
    except ValueError:
        log.warn("bridge %s: controller %s: %s=%s is not an IPv4 address", bridge, row.target, column, text)
        return None
    return address if int(address) else None


def _netmask(bridge: str, row: Any, address: IPv4Address) -> IPv4Address:
    """What `local_netmask` says, else what the address's class says."""
    netmask = _address(bridge, row, "local_netmask")
    if netmask is not None:
        try:
            return ipaddress.IPv4Network((0, str(netmask))).netmask
        except ValueError:
            log.warn("bridge %s: controller %s: local_netmask=%s is not a netmask", bridge, row.target,
                     netmask)  # fmt: skip
    return class_netmask(address)


def configure_local_address(scope: Scope, bridge: str, row: Any) -> None:
    """Give the device of `bridge` the address that a row of Controller asks for, bring it up, and route
    through its gateway. As in Open vSwitch an address stays when it is no longer asked for, and
    `connection_mode` does not matter; devices that aren't the kernel's have none."""
    address = _address(bridge, row, "local_ip")
    if address is None or not ifindex(scope, bridge, "internal"):
        return
    try:
        set_up(scope, bridge, True)
        netmask = _netmask(bridge, row, address)
        set_in4(bridge, address, netmask)
    except OSError as e:
        log.warn("bridge %s: cannot configure IP address %s (%s)", bridge, address, _reason(e))
    else:
        log.info("bridge %s: configured IP address %s, netmask %s", bridge, address, netmask)
    gateway = _address(bridge, row, "local_gateway")
    if gateway is None:
        return
    try:
        add_router(gateway)
    except OSError as e:
        if e.errno != errno.EEXIST:
            log.warn("bridge %s: cannot configure gateway %s (%s)", bridge, gateway, _reason(e))
    else:
        log.info("bridge %s: configured gateway %s", bridge, gateway)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or errno.EIO)
