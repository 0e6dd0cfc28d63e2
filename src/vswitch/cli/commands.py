"""The arguments of the subcommands around a running switch: up, down, and what looks at it."""

from __future__ import annotations

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
            help="datapath_type of the bridges: system, netdev. [default: what this machine does best]",
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
            switch_options=tuple(switch_option or ()),
        )
    )


def down(
    wipe: Annotated[bool, typer.Option(help="Remove the database too.")] = False,
) -> None:
    """End the switch and its database; their devices go, the configuration stays."""
    from vswitch.cli.up import down as take_down

    take_down(wipe)


def register(app: typer.Typer) -> None:
    """Add the subcommands to `app`."""
    for command in (up, down):
        app.command()(command)
