"""`vswitch run`: one bridge with its ports and flows, in the foreground until told to stop."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final, final

from vswitch.base import vlog, vlog_commands
from vswitch.base.clock import Clock
from vswitch.base.records import dataclass, field
from vswitch.base.vlog import Vlog
from vswitch.cli.datapath import choose
from vswitch.cli.errors import CliError, explain
from vswitch.cli.version import version_text
from vswitch.daemon.daemon import Daemon
from vswitch.daemon.mainloop import Part
from vswitch.daemon.process import rundir
from vswitch.dpif.open import dpif_class
from vswitch.dpif.types import DpifError
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.ofproto.handlers_flow import apply_flow_mod
from vswitch.ofproto_dpif.commands.usage import usage
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.ofproto_dpif.settings import BundleSettings
from vswitch.openflow.constants import OFPP_LOCAL
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10
from vswitch.vconn.address import AddressError, parse_active, parse_passive
from vswitch.vconn.settings import ControllerSettings
from vswitch.vconn.tls import TlsSettings

log: Final = Vlog("vswitchd")

DEFAULT_FLOW: Final = "priority=0,actions=NORMAL"


@dataclass(frozen=True)
class RunOptions:
    """What the command line asked for. `flow_files` may hold "-", standard input."""

    datapath: str = "auto"
    bridge: str = "br0"
    ports: Sequence[str] = ()
    flows: Sequence[str] = ()
    flow_files: Sequence[str] = ()
    name: str = "vswitchd"
    unixctl: str = ""
    """Path of the socket for ovs-appctl; "" the usual one, "none" no socket."""
    pidfile: str = ""
    """Path of the pidfile; "" the usual one, "none" no pidfile."""
    log_file: str = ""
    verbose: Sequence[str] = ()
    controllers: Sequence[str] = ()
    """Targets of OpenFlow controllers to connect to."""
    listen: Sequence[str] = ()
    """Targets where OpenFlow clients may connect, besides RUNDIR/BRIDGE.mgmt."""
    fail_mode: str = ""
    """"standalone", "secure", or "" for what suits the flows asked for."""
    tls: TlsSettings = field(default_factory=TlsSettings)


def flow_lines(options: RunOptions) -> list[tuple[str, str]]:
    """(where it stands, flow as text) for every flow asked for; one that makes it a learning
    switch if none is, nor anybody who would give it some. CliError if a file can't be read."""
    flows = [(f"--flow {text!r}", text) for text in options.flows]
    for path in options.flow_files:
        try:
            if path == "-":
                lines = sys.stdin.read().splitlines()
            else:
                with open(path, encoding="utf-8") as f:
                    lines = f.read().splitlines()
        except (OSError, UnicodeDecodeError) as e:
            raise CliError(f"can't read flows from {path}: {getattr(e, 'strerror', '') or e}") from e
        for n, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if text:
                flows.append((f"{path}:{n}", text))
    given = options.flows or options.flow_files or options.controllers
    if not given and options.fail_mode != "secure":
        flows.append(("the default flow", DEFAULT_FLOW))
    return flows


@final
class Run:
    """One `vswitch run`: `start` makes the switch, `close` takes it away again."""

    def __init__(self, options: RunOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._ofprotos: Ofprotos | None = None
        self._flows = flow_lines(options)

    def start(self, daemon: Daemon) -> Part:
        """Open the datapath, add bridge, ports and flows. CliError says what can't be done."""
        options = self._options
        dp_type, why = choose(options.datapath)
        if options.datapath != "auto" and (lacking := dpif_class(options.datapath).lacking()):
            raise CliError(f"{lacking}; use --datapath netdev or auto")
        log.info("using the %s datapath (%s): %s", dpif_class(dp_type).title, dp_type, why)
        self._ofprotos = ofprotos = Ofprotos(self._clock, daemon.commands)
        daemon.memory.register(self._usage)
        try:
            bridge = ofprotos.create(options.bridge, dp_type)
        except (DpifError, OSError) as e:
            raise explain(f"can't make bridge {options.bridge}", e) from e
        for number, name in enumerate(options.ports, 1):
            self._add_port(bridge, name, number)
        ofprotos.delete_garbage_ports()
        ofprotos.tls.configure(options.tls)
        self._connect(bridge)
        names = {port.name: number for number, port in bridge.ports.items()}
        for where, text in self._flows:
            self._add_flow(bridge, where, text, names)
        log.info(
            "bridge %s is up: %d port%s, %d flow%s", bridge.name, len(options.ports),
            "" if len(options.ports) == 1 else "s", len(self._flows), "" if len(self._flows) == 1 else "s",
        )  # fmt: skip
        return ofprotos

    def close(self) -> None:
        """Take bridge, flows and, if nobody else's ports are in it, the datapath away."""
        if self._ofprotos is not None:
            self._ofprotos.close(destroy=True)
            self._ofprotos = None

    def _add_port(self, bridge: OfprotoDpif, name: str, number: int) -> None:
        try:
            bridge.port_add(name, "system", number)
        except OSError as e:
            raise explain(f"can't add port {name}", e) from e
        bridge.bundle_set(name, BundleSettings(name=name, ports=(name,)))
        log.info("bridge %s: added port %s, number %d", bridge.name, name, number)

    def _connect(self, bridge: OfprotoDpif) -> None:
        """Open the bridge's OpenFlow connections, before it gets flows: a first controller empties
        the tables."""
        options = self._options
        controllers = bridge.controllers
        for target, parse in (
            *((t, parse_active) for t in options.controllers),
            *((t, parse_passive) for t in options.listen),
        ):
            try:
                parse(target)
            except AddressError as e:
                raise CliError(str(e)) from e
        own_flows = options.flows or options.flow_files
        local = bridge.ofp_port(OFPP_LOCAL)
        if local is not None:
            bridge.datapath_id = local.hw_addr
        controllers.set_fail_mode(options.fail_mode or ("secure" if own_flows else "standalone"))
        where = rundir()
        controllers.set_mgmt(str(where / f"{bridge.name}.mgmt"))
        controllers.set_snoops([str(where / f"{bridge.name}.snoop")])
        targets = (*options.controllers, *options.listen)
        controllers.set_controllers([ControllerSettings(target) for target in targets])
        for target in options.listen:
            if not controllers.is_listening(target):
                raise CliError(f"can't listen on {target}; the log says why")

    def _add_flow(self, bridge: OfprotoDpif, where: str, text: str, names: Mapping[str, int]) -> None:
        try:
            apply_flow_mod(bridge, parse_flow(text, ports=dict(names)), OFP10, Form.EXTENSION)
        except FlowSyntaxError as e:
            raise CliError(f"{where}: {e.pointed()}") from e
        except OfpError as e:
            raise CliError(f"{where}: refused: {e}") from e

    def _usage(self) -> dict[str, int]:
        """The numbers of `memory/show`."""
        return usage(self._ofprotos) if self._ofprotos is not None else {}


def run(options: RunOptions) -> None:
    """Be the switch that `options` asks for until SIGTERM, SIGINT or `ovs-appctl exit`.

    CliError if it can't start; then nothing is left of the attempt.
    """
    clock = Clock()
    vlog.init(options.name, clock.wall)
    for spec in options.verbose:
        if wrong := vlog_commands.set_levels_from_string(spec):
            raise CliError(f"--verbose {spec}: {wrong}")
    where = rundir()
    own = f"{options.name}.{os.getpid()}.ctl"
    paths = {"": str(where / own), "none": ""}
    pid_paths = {"": str(where / f"{options.name}.pid"), "none": ""}
    try:
        if options.log_file:
            vlog.set_log_file(options.log_file)
        daemon = Daemon(
            version=f"{options.name} ({version_text()})",
            clock=clock,
            unixctl_path=paths.get(options.unixctl, options.unixctl),
            pidfile_path=pid_paths.get(options.pidfile, options.pidfile),
        )
        log.info("%s", version_text())
        switch = Run(options, clock)
        daemon.run(switch.start, switch.close)
    except BlockingIOError as e:
        raise CliError(f"{e.strerror}; give another --name") from e
    except OSError as e:
        raise explain("can't start", e) from e
