"""`dpif-netdev/bond-show`: the bonds of a userspace datapath (ovs-vswitchd(8))."""

from __future__ import annotations

from vswitch.base.unixctl import CommandError, Commands
from vswitch.netdev.scope import Scope


def register(commands: Commands, scope: Scope) -> None:
    """Register it for the datapaths in `scope`."""
    commands.register("dpif-netdev/bond-show", "[dp]", 0, 1, lambda args: _bond_show(scope, args))


def _bond_show(scope: Scope, args: list[str]) -> str:
    """The member of each bucket of each bond, by datapath port. A datapath need not be named if there
    is just one."""
    datapaths = scope.datapaths
    name = args[0] if args else next(iter(datapaths)) if len(datapaths) == 1 else ""
    if name not in datapaths:
        raise CommandError("please specify an existing datapath")
    bonds = datapaths[name].core.bonds
    if not bonds:
        return ""
    text = "Bonds:\n"
    for bond_id in sorted(bonds):
        text += f"  bond-id {bond_id}:\n"
        for bucket, member in enumerate(bonds[bond_id].members):
            text += f"    bucket {bucket} - member {member}\n"
    return text
