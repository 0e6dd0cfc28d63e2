"""Opening devices by name and type; one open device a name and scope, shared by all who opened it."""

from __future__ import annotations

import errno

from vswitch.netdev.devices import KINDS
from vswitch.netdev.kind import PortKind
from vswitch.netdev.provider import Netdev, NetdevError
from vswitch.netdev.scope import PROCESS, Scope

DEFAULT_TYPE = "system"
"""What an empty Interface.type means."""


def kind(type: str) -> PortKind:
    """What there is to know of ports of `type`; of an unknown one, that it is as an ordinary device."""
    return KINDS.get(type or DEFAULT_TYPE) or PortKind(type, options=None)


def types() -> list[str]:
    """The types that a port may have."""
    return sorted(KINDS)


def enable_dummy(override: str = "", scope: Scope = PROCESS) -> None:
    """Have dummies stand in in `scope`: "" for no type, "system" for existing interfaces, "override"
    for all.

    As `ovs-vswitchd --enable-dummy[=system|override]`.
    """
    instead = scope.dummy_instead
    instead.clear()
    if override == "system":
        instead.add("system")
    elif override == "override":
        instead.update(kind.type for kind in KINDS.values() if kind.open and kind.dummy_may_replace)


def replaces_all(scope: Scope) -> bool:
    """Whether dummies stand in for more than existing interfaces in `scope`."""
    return bool(scope.dummy_instead - {"system"})


def open_type(type: str, scope: Scope) -> str:
    """The type that opens in `scope` what the database calls `type`."""
    type = type or DEFAULT_TYPE
    return "dummy" if type in scope.dummy_instead else type


def netdev_open(name: str, type: str = DEFAULT_TYPE, scope: Scope = PROCESS) -> Netdev:
    """Open device `name`, or share it if it is open already.

    NetdevError: EAFNOSUPPORT for an unknown type, EEXIST if it is open as another type, else
    what the provider says (ENODEV, EPERM...). Every success wants one `netdev_close`.
    """
    devices = scope.open
    type = open_type(type, scope)
    found = devices.get(name)
    if found is not None and not found[0].gone:
        netdev, refs = found
        if netdev.type != type:
            raise NetdevError(errno.EEXIST, f"{name}: is open as type {netdev.type}, not {type}")
        devices[name] = (netdev, refs + 1)
        return netdev
    opener = kind(type).open
    if opener is None:
        raise NetdevError(errno.EAFNOSUPPORT, f"{name}: could not create netdev of unknown type {type}")
    netdev = opener(name, scope)
    devices[name] = (netdev, 1)
    return netdev


def netdev_close(netdev: Netdev, scope: Scope = PROCESS) -> None:
    """Give back one opening in `scope`; the last one closes the device."""
    devices = scope.open
    found = devices.get(netdev.name)
    if found is None or found[0] is not netdev:
        netdev.close()
    elif found[1] > 1:
        devices[netdev.name] = (netdev, found[1] - 1)
    else:
        del devices[netdev.name]
        netdev.close()
