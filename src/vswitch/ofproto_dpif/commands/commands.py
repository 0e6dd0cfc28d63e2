"""What an operator can ask of the bridges and datapaths while they run (`ovs-appctl`).

`ofproto_dpif_unixctl_init` registers everything once a process. Output is laid out as that of
ovs-appctl(8), so that whoever reads or parses it finds what they know; `dpif/show-facets`,
`dpif/show-channels`, `ofproto/clog` and `ofproto/unclog` are additions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from vswitch.base.unixctl import ANY, CommandError, Commands, Json, leading_number
from vswitch.dpif import dpctl_commands, execute_commands
from vswitch.dpif.ebpf import commands as ebpf_commands
from vswitch.dpif.ops import DpifFlow
from vswitch.dpif.types import DpifError
from vswitch.dpif.userspace import commands as userspace_commands
from vswitch.dpif.userspace import pmd_commands
from vswitch.ofproto_dpif.commands import bonds as bond_commands
from vswitch.ofproto_dpif.commands import fdb as fdb_commands
from vswitch.ofproto_dpif.commands import features as feature_commands
from vswitch.ofproto_dpif.commands import lsample as lsample_commands
from vswitch.ofproto_dpif.commands import mdb as mdb_commands
from vswitch.ofproto_dpif.commands import monitors as monitor_commands
from vswitch.ofproto_dpif.commands import show
from vswitch.ofproto_dpif.commands import trees as tree_commands
from vswitch.ofproto_dpif.commands import tunnel as tunnel_commands

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.backer import Backer
    from vswitch.ofproto_dpif.commands.bridges import Bridges
    from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif


def ofproto_dpif_unixctl_init(ofprotos: Bridges, commands: Commands) -> None:
    """Register the commands for `ofprotos`. Twice on one `commands` is a ValueError."""
    c = _Commands(ofprotos)
    commands.register_all((
        ("ofproto/list", "", 0, 0, c.ofproto_list),
        ("ofproto/trace", "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]",
         1, 2**31 - 1, c.ofproto_trace),
        ("ofproto/trace-packet-out",
         "[-consistent] {[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet] actions",
         2, 2**31 - 1, c.ofproto_trace_packet_out),
        ("ofproto/clog", "", 0, 0, c.ofproto_clog),
        ("ofproto/unclog", "", 0, 0, c.ofproto_unclog),
        ("dpif/dump-dps", "", 0, 0, c.dpif_dump_dps),
        ("dpif/show-channels", "[dp]", 0, 1, c.dpif_show_channels),
        ("dpif/show-facets", "bridge", 1, 1, c.dpif_show_facets),
        ("dpif/dump-flows", "[-m] [--names | --no-names] bridge", 1, ANY, c.dpif_dump_flows),
        ("upcall/disable-megaflows", "", 0, 0, c.upcall_disable_megaflows),
        ("upcall/enable-megaflows", "", 0, 0, c.upcall_enable_megaflows),
        ("upcall/disable-ufid", "", 0, 0, c.upcall_disable_ufid),
        ("upcall/enable-ufid", "", 0, 0, c.upcall_enable_ufid),
        ("upcall/set-flow-limit", "flow-limit-number", 1, 1, c.upcall_set_flow_limit),
        ("revalidator/wait", "", 0, 0, c.revalidator_wait),
        ("revalidator/purge", "", 0, 0, c.revalidator_purge),
        ("revalidator/pause", None, 0, 0, c.revalidator_pause),
        ("revalidator/resume", None, 0, 0, c.revalidator_resume),
    ))
    commands.register("dpif/show", "", 0, 0, c.dpif_show, c.dpif_show_json)
    commands.register("upcall/show", "", 0, 0, c.upcall_show, c.upcall_show_json)
    fdb_commands.register(ofprotos, commands)
    feature_commands.register(ofprotos, commands)
    lsample_commands.register(ofprotos, commands)
    monitor_commands.register(ofprotos, commands)
    tree_commands.register(ofprotos, commands)
    mdb_commands.register(ofprotos, commands)
    bond_commands.register(ofprotos, commands)
    tunnel_commands.register(ofprotos, commands)
    dpctl_commands.register(commands, ofprotos.clock, ofprotos.scope)
    ebpf_commands.register(commands, ofprotos.clock, ofprotos.scope)
    execute_commands.register(commands, ofprotos.scope)
    userspace_commands.register(commands, ofprotos.scope)
    pmd_commands.register(commands, ofprotos.scope)


@final
class _Commands:
    def __init__(self, ofprotos: Bridges) -> None:
        self.ofprotos = ofprotos

    # Finding what a command is about.

    def _bridge(self, name: str, message: str = "no such bridge") -> OfprotoDpif:
        ofproto = self.ofprotos.all_ofproto_dpifs.get(name)
        if ofproto is None:
            raise CommandError(message)
        return ofproto

    def _backers(self) -> list[Backer]:
        return sorted(self.ofprotos.backers.values(), key=lambda backer: backer.name)

    def _backer(self, names: list[str]) -> Backer:
        """The datapath called "ovs-netdev", "netdev@ovs-netdev", or the only one."""
        backers = self._backers()
        if names:
            for backer in backers:
                if names[0] in (backer.name, show.dp_name(backer)):
                    return backer
            raise CommandError("ovs-vswitchd: datapath not found (Invalid argument)")
        if not backers:
            raise CommandError("no datapaths exist")
        if len(backers) > 1:
            raise CommandError("multiple datapaths, specify one")
        return backers[0]

    # ofproto/...

    def ofproto_list(self, _args: list[str]) -> str:
        return "".join(f"{name}\n" for name in sorted(self.ofprotos.all_ofproto_dpifs))

    def ofproto_trace_packet_out(self, args: list[str]) -> str:
        from vswitch.ofproto_dpif.commands.trace import trace_packet_out_command

        return trace_packet_out_command(self.ofprotos, args)

    def ofproto_trace(self, args: list[str]) -> str:
        from vswitch.ofproto_dpif.commands.trace import trace_command

        return trace_command(self.ofprotos, args)

    def ofproto_clog(self, _args: list[str]) -> str:
        self.ofprotos.clog.clogged = True
        return ""

    def ofproto_unclog(self, _args: list[str]) -> str:
        self.ofprotos.clog.clogged = False
        return ""

    # dpif/...

    def dpif_dump_dps(self, _args: list[str]) -> str:
        ofprotos = self.ofprotos.all_ofproto_dpifs
        return "".join(f"{ofprotos[name].type}@{name}\n" for name in sorted(ofprotos))

    def dpif_show(self, _args: list[str]) -> str:
        return "".join(show.backer(backer) for backer in self._backers())

    def dpif_show_json(self, _args: list[str]) -> Json:
        return {show.dp_name(b): show.backer_json(b) for b in self._backers()}

    def dpif_show_channels(self, args: list[str]) -> str:
        backers = [self._backer(args)] if args else self._backers()
        return "".join(show.channels(backer) for backer in backers)

    def dpif_show_facets(self, args: list[str]) -> str:
        return show.facets(self._bridge(args[0]), self.ofprotos.clock.now())

    def dpif_dump_flows(self, args: list[str]) -> str:
        verbose, names = _dump_options(args[:-1])
        ofproto = self._bridge(args[-1])
        backer = ofproto.backer
        lines = []
        for flow in self._dump(backer):
            subfacet = backer.subfacets.get(flow.ufid)
            if subfacet is not None and subfacet.facet.bridge is ofproto.xbridge:
                lines.append(show.flow(backer, flow, verbose, names, dpctl=False))
        return "".join(f"{line}\n" for line in lines)

    def _dump(self, backer: Backer) -> list[DpifFlow]:
        try:
            return list(backer.dpif.flow_dump())
        except DpifError as error:
            raise CommandError(str(error)) from error

    # upcall/..., revalidator/...

    def upcall_show(self, _args: list[str]) -> str:
        return "\n".join(show.upcalls(backer) for backer in self._backers())

    def upcall_show_json(self, _args: list[str]) -> Json:
        return {show.dp_name(b): show.upcalls_json(b) for b in self._backers()}

    def upcall_disable_megaflows(self, _args: list[str]) -> str:
        self._set_megaflows(False)
        return "megaflows disabled\n"

    def upcall_enable_megaflows(self, _args: list[str]) -> str:
        self._set_megaflows(True)
        return "megaflows enabled\n"

    def _set_megaflows(self, on: bool) -> None:
        """Begin anew with datapath flows of the other kind."""
        self.ofprotos.aids.megaflows = on
        self._apply_aids()
        self.revalidator_purge([])

    def upcall_disable_ufid(self, _args: list[str]) -> str:
        self.ofprotos.aids.terse_dumps = False
        self._apply_aids()
        return "Datapath dumping tersely using UFID disabled\n"

    def upcall_enable_ufid(self, _args: list[str]) -> str:
        self.ofprotos.aids.terse_dumps = True
        self._apply_aids()
        return "Datapath dumping tersely using UFID enabled for supported datapaths\n"

    def _apply_aids(self) -> None:
        for backer in self._backers():
            backer.apply_aids(self.ofprotos.aids)

    def upcall_set_flow_limit(self, args: list[str]) -> str:
        # A number as C's strtoul and an unsigned int have it.
        limit = leading_number(args[0]) & 0xFFFFFFFF
        for backer in self._backers():
            backer.flow_eviction_threshold = limit
        return f"set flow_limit to {limit}"

    def revalidator_wait(self, _args: list[str]) -> str:
        now = self.ofprotos.clock.now()
        for backer in self._backers():
            backer.settle(now)
        return ""

    def revalidator_purge(self, _args: list[str]) -> str:
        now = self.ofprotos.clock.now()
        for backer in self._backers():
            backer.installer.remove_facets(backer.facets(), now)
        return ""

    def revalidator_pause(self, _args: list[str]) -> str:
        for backer in self._backers():
            backer.paused = True
        return ""

    def revalidator_resume(self, _args: list[str]) -> str:
        for backer in self._backers():
            backer.paused = False
        return ""


def _dump_options(args: list[str]) -> tuple[bool, bool]:
    """(-m, names wanted); other words are not looked at. Verbose output names ports unless an option says
    otherwise."""
    verbose = False
    names: bool | None = None
    for arg in args:
        if arg in ("-m", "--more"):
            verbose = True
        elif arg == "--names":
            names = True
        elif arg == "--no-names":
            names = False
    return verbose, verbose if names is None else names
