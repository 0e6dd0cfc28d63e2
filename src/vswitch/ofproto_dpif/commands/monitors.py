"""`bfd/...`, `cfm/...` and `autoattach/...` (ovs-vswitchd(8)): what watches ports, shown and overruled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from vswitch.base.unixctl import CommandError, Commands

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.commands.bridges import Bridges
    from vswitch.ofproto_dpif.protocols.monitors import Watch

OVERRIDES: Final = {"true": True, "false": False, "normal": None}


def register(ofprotos: Bridges, commands: Commands) -> None:
    """Register the commands for `ofprotos`."""
    c = _Monitors(ofprotos)
    commands.register_all((
        ("bfd/show", "[interface]", 0, 1, c.bfd_show),
        ("bfd/set-forwarding", "[interface] normal|false|true", 1, 2, c.bfd_set_forwarding),
        ("cfm/show", "[interface]", 0, 1, c.cfm_show),
        ("cfm/set-fault", "[interface] normal|false|true", 1, 2, c.cfm_set_fault),
        ("autoattach/status", "[bridge]", 0, 1, c.autoattach_status),
        ("autoattach/show-isid", "[bridge]", 0, 1, c.autoattach_show_isid),
        ("autoattach/statistics", "[bridge]", 0, 1, c.autoattach_statistics),
    ))


@final
class _Monitors:
    def __init__(self, ofprotos: Bridges) -> None:
        self.ofprotos = ofprotos

    def _watches(self) -> list[Watch]:
        """What watches the ports of all bridges, by the ports' names."""
        found = [
            watch
            for ofproto in self.ofprotos.all_ofproto_dpifs.values()
            for watch in ofproto.monitors.watches.values()
        ]
        return sorted(found, key=lambda watch: watch.name)

    def bfd_show(self, args: list[str]) -> str:
        """The BFD sessions, or one interface's."""
        now = self.ofprotos.clock.now()
        if args:
            for watch in self._watches():
                if watch.name == args[0] and watch.bfd is not None:
                    return watch.bfd.show(now)
            raise CommandError("no such bfd object")
        return "".join(
            f"---- {w.name} ----\n{w.bfd.show(now)}" for w in self._watches() if w.bfd is not None
        )

    def bfd_set_forwarding(self, args: list[str]) -> str:
        """Overrule what BFD finds, on one interface or on all."""
        if args[-1] not in OVERRIDES:
            raise CommandError("unknown fault string")
        now = self.ofprotos.clock.now()
        wanted = args[0] if len(args) == 2 else ""
        found = [w for w in self._watches() if w.bfd is not None and wanted in ("", w.name)]
        if wanted and not found:
            raise CommandError("no such BFD object")
        for watch in found:
            if watch.bfd is not None:
                watch.bfd.set_override(OVERRIDES[args[-1]], now)
                watch.due = True
        return "OK"

    def cfm_show(self, args: list[str]) -> str:
        """The maintenance points, or one interface's."""
        now = self.ofprotos.clock.now()
        shown = [w for w in self._watches() if w.cfm is not None and (not args or w.name == args[0])]
        if args and not shown:
            raise CommandError("no such CFM object")
        return "".join(f"---- {w.name} ----\n{w.cfm.show(now)}" for w in shown if w.cfm is not None)

    def cfm_set_fault(self, args: list[str]) -> str:
        """Overrule what CFM finds, on one interface or on all."""
        if args[-1] not in OVERRIDES:
            raise CommandError("unknown fault string")
        wanted = args[0] if len(args) == 2 else ""
        found = [w for w in self._watches() if w.cfm is not None and wanted in ("", w.name)]
        if wanted and not found:
            raise CommandError("no such CFM object")
        for watch in found:
            if watch.cfm is not None:
                watch.cfm.set_override(OVERRIDES[args[-1]])
                watch.due = True
        return "OK"

    def autoattach_status(self, args: list[str]) -> str:
        """The Auto Attach servers that were heard. All bridges', whichever is named, as in Open vSwitch."""
        return "".join(w.lldp.show_status() for w in self._watches() if w.lldp is not None)

    def autoattach_show_isid(self, args: list[str]) -> str:
        """The mappings, and what the servers say of them."""
        return "".join(w.lldp.show_isid() for w in self._watches() if w.lldp is not None)

    def autoattach_statistics(self, args: list[str]) -> str:
        """What LLDP counted."""
        return "".join(w.lldp.show_statistics() for w in self._watches() if w.lldp is not None)
