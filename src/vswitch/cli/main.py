"""The `vswitch` command: its arguments, and nothing of the work behind them.

What a subcommand needs is imported when it runs, so that `--version` and `--help` are quick.
"""

from __future__ import annotations

import enum
import sys
from typing import Annotated

import typer

from vswitch.cli import commands
from vswitch.cli.errors import CliError
from vswitch.cli.version import version_text

app = typer.Typer(
    name="vswitch",
    help="A complete virtual switch in Python that speaks Open vSwitch's protocols.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class DatapathChoice(enum.StrEnum):
    """`--datapath`."""

    AUTO = "auto"
    SYSTEM = "system"
    EBPF = "ebpf"
    NETDEV = "netdev"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version_text())
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Which build this is."),
    ] = False,
) -> None:
    """A complete virtual switch in Python that speaks Open vSwitch's protocols."""


class FailMode(enum.StrEnum):
    """`--fail-mode`."""

    STANDALONE = "standalone"
    SECURE = "secure"


@app.command()
def run(
    datapath: Annotated[
        DatapathChoice,
        typer.Option(
            help="system: the kernel's openvswitch module; ebpf: BPF programs in any kernel; netdev: this "
            "process; auto: the first of these that works here."
        ),
    ] = DatapathChoice.AUTO,
    bridge: Annotated[str, typer.Option(metavar="NAME", help="The bridge to make.")] = "br0",
    port: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DEVICE",
            help="A network device to attach; again for more. Ports are numbered from 1 in this order.",
        ),
    ] = None,
    flow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FLOW",
            help="A flow as ovs-ofctl writes it; again for more. "
            "Without any, the bridge is a learning switch.",
        ),
    ] = None,
    flows: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="A file of flows, one a line; - is standard input."),
    ] = None,
    controller: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET",
            help="An OpenFlow controller: tcp:HOST[:PORT], ssl:HOST[:PORT], unix:FILE; again for more.",
        ),
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TARGET",
            help="Where OpenFlow clients may connect: ptcp:[PORT][:HOST], pssl:[PORT][:HOST], punix:FILE; "
            "again for more. RUNDIR/BRIDGE.mgmt is always there, for ovs-ofctl.",
        ),
    ] = None,
    fail_mode: Annotated[
        FailMode | None,
        typer.Option(
            help="Without a controller: standalone forwards as a learning switch, secure does not. "
            "[default: secure if there are flows, else standalone]",
            show_default=False,
        ),
    ] = None,
    private_key: Annotated[
        str, typer.Option("--private-key", "-p", metavar="FILE", help="For ssl: and pssl:, in PEM.")
    ] = "",
    certificate: Annotated[
        str, typer.Option("--certificate", "-c", metavar="FILE", help="The certificate of that key.")
    ] = "",
    ca_cert: Annotated[
        str, typer.Option("--ca-cert", "-C", metavar="FILE", help="Who must have signed the peers'.")
    ] = "",
    bootstrap_ca_cert: Annotated[
        bool,
        typer.Option("--bootstrap-ca-cert", help="If there is no --ca-cert yet, take the first peer's."),
    ] = False,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What ovs-appctl -t calls this process.")
    ] = "vswitchd",
    unixctl: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Socket for ovs-appctl, or none. [default: RUNDIR/NAME.PID.ctl]",
            show_default=False,
        ),
    ] = "",
    pidfile: Annotated[
        str,
        typer.Option(metavar="PATH", help="Pidfile, or none. [default: RUNDIR/NAME.pid]", show_default=False),
    ] = "",
    log_file: Annotated[
        str, typer.Option(metavar="PATH", help="Log to this file too.", show_default=False)
    ] = "",
    verbose: Annotated[
        list[str] | None,
        typer.Option(
            "--verbose",
            "-v",
            metavar="SPEC",
            help="Log levels, as vlog/set takes them: dbg, dpif:dbg, console:warn.",
        ),
    ] = None,
) -> None:
    """Be a switch, in the foreground, until SIGTERM or Ctrl-C. Logs go to standard error."""
    from vswitch.cli.run import RunOptions
    from vswitch.cli.run import run as run_switch
    from vswitch.vconn.tls import TlsSettings

    run_switch(
        RunOptions(
            datapath=datapath.value,
            bridge=bridge,
            ports=tuple(port or ()),
            flows=tuple(flow or ()),
            flow_files=tuple(flows or ()),
            name=name,
            unixctl=unixctl,
            pidfile=pidfile,
            log_file=log_file,
            verbose=tuple(verbose or ()),
            controllers=tuple(controller or ()),
            listen=tuple(listen or ()),
            fail_mode="" if fail_mode is None else fail_mode.value,
            tls=TlsSettings(private_key, certificate, ca_cert, bootstrap_ca_cert),
        )
    )


@app.command()
def demo(
    datapath: Annotated[DatapathChoice, typer.Option(help="As for run.")] = DatapathChoice.AUTO,
    seconds: Annotated[float, typer.Option(min=0.5, max=60, help="How long the TCP transfer takes.")] = 3.0,
    inside: Annotated[bool, typer.Option(hidden=True, help="Already in a network namespace.")] = False,
) -> None:
    """Three hosts in namespaces on one switch: pings, a TCP transfer, and what the datapath did."""
    from vswitch.cli import demo as demonstration

    if not inside:
        demonstration.enter_namespace(datapath.value, seconds)
    demonstration.demo(datapath.value, seconds)


commands.register(app)


def _carry_out(args: list[str], program: str) -> None:
    try:
        app(args, prog_name=program)
    except CliError as e:
        print(f"{program}: {e}", file=sys.stderr)
        sys.exit(1)


def main() -> None:
    """`vswitch`, but for the subcommands of `tools.py`."""
    _carry_out(sys.argv[1:], "vswitch")
