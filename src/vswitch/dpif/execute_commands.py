"""`odp-execute/...`: whether packets of the userspace datapaths are changed in one way or in two."""

from __future__ import annotations

from typing import Final

from vswitch.base.unixctl import CommandError, Commands
from vswitch.netdev.scope import Scope

SCALAR: Final = "scalar"
AUTOVALIDATOR: Final = "autovalidator"


def register(commands: Commands, scope: Scope) -> None:
    """Register the commands for the datapaths in `scope`."""

    def show(_args: list[str]) -> str:
        active = AUTOVALIDATOR if scope.validates_actions else SCALAR
        return "Available Actions implementations:\n" + "".join(
            f"  {name} (available: Yes, active: {'Yes' if name == active else 'No'})\n"
            for name in (SCALAR, AUTOVALIDATOR)
        )

    def choose(args: list[str]) -> str:
        name = args[0]
        if name not in (SCALAR, AUTOVALIDATOR):
            raise CommandError(f"Error: unknown action implementation, {name}, specified!")
        scope.validates_actions = name == AUTOVALIDATOR
        for datapath in scope.datapaths.values():
            datapath.core.validates = scope.validates_actions
        return f"Action implementation set to {name}.\n"

    commands.register("odp-execute/action-impl-show", "", 0, 0, show)
    commands.register("odp-execute/action-impl-set", "name", 1, 1, choose)
