"""`lsample/show`: what a bridge's `sample` actions left with the kernel's psample.

Open vSwitch has the command since 3.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.base.unixctl import CommandError, Commands, Json

if TYPE_CHECKING:
    from vswitch.monitor.local_sample import LocalSample
    from vswitch.ofproto_dpif.commands.bridges import Bridges


def register(ofprotos: Bridges, commands: Commands) -> None:
    """Register the command for `ofprotos`."""

    def groups(bridge: str) -> list[tuple[int, LocalSample]]:
        ofproto = ofprotos.all_ofproto_dpifs.get(bridge)
        if ofproto is None:
            raise CommandError("no such bridge")
        if not ofproto.xbridge.local_groups:
            raise CommandError("no local sampling exporters configured")
        return sorted(ofproto.xbridge.local_groups.items())

    def show(args: list[str]) -> str:
        told = [
            f"Collector Set ID: {number}:\n  Group ID     : {sample.group}\n"
            f"  Total packets: {sample.packets}\n  Total bytes  : {sample.bytes}\n"
            for number, sample in groups(args[0])
        ]
        return f'Local sample statistics for bridge "{args[0]}":\n' + "\n".join(told)

    def show_json(args: list[str]) -> Json:
        """{bridge: {set of collectors: {"group", "packets", "bytes"}}}."""
        return {
            args[0]: {
                str(number): {"group": sample.group, "packets": sample.packets, "bytes": sample.bytes}
                for number, sample in groups(args[0])
            }
        }

    commands.register("lsample/show", "bridge", 1, 1, show, show_json)
