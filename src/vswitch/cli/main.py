"""The `vswitch` command: its arguments, and nothing of the work behind them."""

from __future__ import annotations

from typing import Annotated

import typer

from vswitch.cli.version import version_text

app = typer.Typer(
    name="vswitch",
    help="A complete virtual switch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
    """A complete virtual switch."""


def main() -> None:
    """Entry point of `vswitch`."""
    app()


def vswitchd() -> None:
    """Entry point of `vswitchd`: takes what `vswitch run` takes."""
    import sys

    app(["run", *sys.argv[1:]], prog_name="vswitchd")
