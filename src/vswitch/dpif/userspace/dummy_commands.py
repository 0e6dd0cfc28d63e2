"""Runtime commands for datapaths of dummies, as tests of Open vSwitch use them (`dpif-dummy/...`)."""

from __future__ import annotations

from vswitch.base.unixctl import CommandError, Commands, leading_number
from vswitch.dpif.types import ODPP_NONE
from vswitch.dpif.userspace.datapath import LOCAL_PORT, Datapath
from vswitch.dpif.userspace.provider import MAX_PORTS
from vswitch.netdev.scope import PROCESS, Scope


def register_commands(commands: Commands, scope: Scope = PROCESS) -> None:
    """Have `dpif-dummy/change-port-number` for the datapaths in `scope`."""

    def change_port_number(args: list[str]) -> str:
        name, port_name, text = args
        dp = scope.datapaths.get(name)
        if not isinstance(dp, Datapath) or not dp.dummy:
            raise CommandError("unknown datapath or not a dummy")
        port = dp.by_name.get(port_name)
        if port is None:
            raise CommandError("unknown port")
        number = leading_number(text)
        if not 0 < number < ODPP_NONE:
            raise CommandError("bad port number")
        if number in dp.ports:
            raise CommandError("port number already in use")
        if number >= MAX_PORTS or port.number == LOCAL_PORT:
            raise CommandError(f"{port_name} can't have number {number} here")
        dp.core.flush()
        dp.renumber(port, number)
        return ""

    commands.register("dpif-dummy/change-port-number", "dp port new-number", 3, 3, change_port_number)
