"""The "netdev" type of datapaths, and dummies of it."""

from __future__ import annotations

from typing import Final

from vswitch.base.clock import Clock
from vswitch.base.vlog import Vlog
from vswitch.dpif.provider import Dpif, DpifClass
from vswitch.dpif.userspace.datapath import enumerate_names, port_open_type
from vswitch.dpif.userspace.miniflow import miniflow_bits
from vswitch.dpif.userspace.provider import UserspaceDpif
from vswitch.flow.flow import Flow
from vswitch.netdev import registry, tap
from vswitch.netdev.scope import Scope

log = Vlog("dpif")

DUMP_TITLE: Final = "flow-dump from the main thread:"


class UserspaceClass(DpifClass):
    """Datapaths of this process over devices of the host; internal ports are taps."""

    type = "netdev"
    pushes_tunnels = True
    limits_vlans = True
    dump_title = DUMP_TITLE

    def open(self, name: str, clock: Clock, create: bool, scope: Scope) -> Dpif:
        no_taps = registry.open_type("tap", scope) == "tap" and not tap.usable()
        if no_taps:
            device = tap.TUN_DEVICE
            log.warn("netdev@%s: can't open %s: internal ports are inside the switch only", name, device)
        return UserspaceDpif(name, clock, create, dummy=no_taps, scope=scope)

    def enumerate(self, scope: Scope) -> list[str]:
        return enumerate_names(scope, self.type)

    def extra_info(self, mask: Flow) -> str:
        return miniflow_bits(mask)

    def port_open_type(self, type: str) -> str:
        return port_open_type(type, False)


class DummyClass(DpifClass):
    """Datapaths of this process with dummies in them, called `type`; for tests of the switch above."""

    pushes_tunnels = True
    limits_vlans = True
    dump_title = DUMP_TITLE

    def __init__(self, type: str) -> None:
        self.type = type

    def open(self, name: str, clock: Clock, create: bool, scope: Scope) -> Dpif:
        return UserspaceDpif(
            name, clock, create, dummy=True, type=self.type, number_by_name=True, scope=scope
        )

    def enumerate(self, scope: Scope) -> list[str]:
        return enumerate_names(scope, self.type)

    def extra_info(self, mask: Flow) -> str:
        return miniflow_bits(mask)

    def port_open_type(self, type: str) -> str:
        return port_open_type(type, True)


CLASS: Final = UserspaceClass()
