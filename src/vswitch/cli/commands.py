"""The arguments of the subcommands around a running switch: up, down, and what looks at it."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

Names = list[str] | None


def up(
    bridge: Annotated[Names, typer.Option(metavar="NAME", help="A bridge to make; again for more.")] = None,
    port: Annotated[
        Names,
        typer.Option(
            metavar="[BRIDGE:]DEVICE", help="A device to attach, to the first bridge if none is named."
        ),
    ] = None,
    datapath: Annotated[
        str,
        typer.Option(
            metavar="TYPE",
            help="datapath_type of the bridges: system, ebpf, netdev. [default: what this machine does best]",
            show_default=False,
        ),
    ] = "",
    database: Annotated[
        str, typer.Option(metavar="FILE", help="[default: DBDIR/conf.db]", show_default=False)
    ] = "",
    remote: Annotated[
        Names,
        typer.Option(metavar="REMOTE", help="Where else the database listens: ptcp:6640, pssl:6640..."),
    ] = None,
    foreground: Annotated[bool, typer.Option(help="Stay, until SIGTERM or Ctrl-C.")] = False,
    web: Annotated[bool, typer.Option("--web", help="Serve the live page too, on loopback.")] = False,
    switch_option: Annotated[
        Names, typer.Option(metavar="OPTION", help="An option for vswitchd, such as --enable-dummy.")
    ] = None,
) -> None:
    """Bring up the switch and its database; returns when both serve."""
    from vswitch.cli.up import UpOptions
    from vswitch.cli.up import up as bring_up

    bring_up(
        UpOptions(
            bridges=tuple(bridge or ()),
            ports=tuple(port or ()),
            datapath=datapath,
            database=database,
            remotes=tuple(remote or ()),
            foreground=foreground,
            web=web,
            switch_options=tuple(switch_option or ()),
        )
    )


def down(
    wipe: Annotated[bool, typer.Option(help="Remove the database too.")] = False,
) -> None:
    """End the switch and its database; their devices go, the configuration stays."""
    from vswitch.cli.up import down as take_down

    take_down(wipe)


Json = Annotated[bool, typer.Option("--json", help="One JSON object.")]
Target = Annotated[
    str, typer.Option("--target", "-t", metavar="NAME", help="The switch's process: its name, or its socket.")
]


def status(as_json: Json = False) -> None:
    """Whether switch and database run, and what is on the bridges; exit status 3 if they don't."""
    from vswitch.cli.look import status as tell

    raise typer.Exit(tell(as_json))


def top(
    interval: Annotated[float, typer.Option("--interval", "-i", min=0.1, help="Seconds.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="One picture, after one interval.")] = False,
    as_json: Json = False,
    target: Target = "ovs-vswitchd",
) -> None:
    """Live: ports with their rates, the busiest flows, misses, upcalls and what was lost of them."""
    from vswitch.cli.look import top as watch

    watch(target, interval, once, as_json)


def trace(
    bridge: Annotated[str, typer.Argument(metavar="BRIDGE")],
    flow: Annotated[str, typer.Argument(metavar="FLOW", help="As for ovs-appctl ofproto/trace.")],
    rest: Annotated[Names, typer.Argument(metavar="[PACKET|-generate]...")] = None,
    as_json: Json = False,
    target: Target = "ovs-vswitchd",
) -> None:
    """What the switch would do with a packet, table by table."""
    from vswitch.cli.look import trace as follow

    follow(target, bridge, flow, tuple(rest or ()), as_json)


def exporter(
    listen: Annotated[
        str, typer.Option(metavar="IP:PORT", help="Where; anything but loopback is open to that network.")
    ] = "127.0.0.1:9475",
    max_ports: Annotated[int, typer.Option(metavar="N", min=0, help="Ports that get series.")] = 2048,
    target: Target = "ovs-vswitchd",
) -> None:
    """Metrics of a running switch for Prometheus, over HTTP at /metrics, until SIGTERM or Ctrl-C."""
    from vswitch.cli.exporter import export

    export(target, listen, max_ports)


def web(
    listen: Annotated[
        str, typer.Option(metavar="IP:PORT", help="Where; beyond loopback a token is needed, and printed.")
    ] = "127.0.0.1:9476",
    token: Annotated[
        str, typer.Option(envvar="VSWITCH_WEB_TOKEN", help="What every request must show.")
    ] = "",
    control: Annotated[bool, typer.Option("--control", help="The page may change ports and flows.")] = False,
    max_ports: Annotated[int, typer.Option(metavar="N", min=0, help="Ports that get metrics.")] = 2048,
    pidfile: Annotated[bool, typer.Option("--pidfile", help="Be found by `vswitch down`.")] = False,
    target: Target = "ovs-vswitchd",
) -> None:
    """A live page of a running switch, with /metrics, until SIGTERM or Ctrl-C."""
    from vswitch.cli.web.server import serve

    serve(target, listen, token, control, max_ports, pidfile)


class EbpfQuestion(enum.StrEnum):
    """What `vswitch ebpf` asks."""

    SHOW = "show"
    DUMP = "dump"
    WHY = "why"


def ebpf(
    question: Annotated[
        EbpfQuestion,
        typer.Argument(
            help="show: flows, masks, programs, ports; dump: a program as text; why: where a flow is and why."
        ),
    ],
    rest: Annotated[Names, typer.Argument(metavar="[PROGRAM|FLOW|UFID]")] = None,
    as_json: Json = False,
    target: Target = "ovs-vswitchd",
) -> None:
    """What the eBPF datapath has in the kernel."""
    from vswitch.cli.look import ebpf as tell

    tell(target, question, tuple(rest or ()), as_json)


def register(app: typer.Typer) -> None:
    """Add the subcommands to `app`."""
    for command in (up, down, status, top, web, exporter, ebpf):
        app.command()(command)
    app.command(context_settings={"ignore_unknown_options": True})(trace)
    for name, what in (
        ("vsctl", "Configure the switch, in the words of ovs-vsctl."),
        ("ofctl", "Look at and change an OpenFlow switch, in the words of ovs-ofctl."),
        ("appctl", "Ask and tell a running switch, in the words of ovs-appctl."),
        ("ovsdb-server", "Be the embedded database server."),
    ):
        # Carried out before it comes to this (`tools.py`): here so that --help lists it.
        app.command(name, help=what, add_help_option=False)(_elsewhere)

    @app.command()
    def completion(
        shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish")] = "bash",
    ) -> None:
        """Text that makes a shell complete vswitch's command lines: eval "$(vswitch completion)"."""
        from vswitch.cli.completion import SHELLS, script
        from vswitch.cli.errors import CliError

        if shell not in SHELLS:
            raise CliError(f"{shell}: completion is there for {', '.join(SHELLS)}")
        names = [c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands]
        print(script(shell, [name for name in names if name]), end="")


    @app.command()
    def manual(
        directory: Annotated[
            str, typer.Argument(metavar="DIRECTORY", help="Where, such as /usr/local/share/man/man1.")
        ],
    ) -> None:
        """Write manual pages, made of the same text as --help."""
        from vswitch.cli.manual import write

        for path in write(typer.main.get_group(app), directory):
            print(path)


def _elsewhere() -> None:
    """Never called."""
