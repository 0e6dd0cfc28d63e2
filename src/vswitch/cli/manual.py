"""`vswitch manual`: manual pages made from the same text as `--help`, in man(7)'s macros."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from pathlib import Path

import typer
from typer.core import TyperGroup

from vswitch.base.version import VERSION
from vswitch.cli import tools
from vswitch.cli.errors import CliError


def _escaped(text: str) -> str:
    """Text with nothing in it that troff(1) would take for a request or an escape."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in text.split("\n"))


def _page(name: str, what: str, sections: Iterable[tuple[str, str]]) -> str:
    body = "".join(f".SH {title}\n{text.rstrip()}\n" for title, text in sections if text.strip())
    return (
        f'.TH {name.upper()} 1 "" "vswitch {VERSION}" "vswitch"\n'
        f".SH NAME\n{_escaped(name)} \\- {_escaped(what)}\n{body}"
    )


def _options(context: typer.Context) -> str:
    lines = []
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            lines.append(f".TP\n.B {_escaped(record[0])}\n{_escaped(record[1] or '')}\n")
    return "".join(lines)


def _preformatted(text: str) -> str:
    return f".nf\n{_escaped(text)}\n.fi\n"


def _tool_help(name: str) -> str:
    """What `vswitch NAME --help` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        tools.run(name, ["--help"])
    return printed.getvalue()


def pages(app: TyperGroup) -> dict[str, str]:
    """File name -> manual page, of the command itself and of each of its subcommands."""
    top = typer.Context(app, info_name="vswitch")
    found = {}
    listing = []
    for name, command in sorted(app.commands.items()):
        what = command.get_short_help_str(200).rstrip(".")
        full = f"vswitch-{name}"
        listing.append(f".TP\n.BR {_escaped(full)} (1)\n{_escaped(what)}\n")
        context = typer.Context(command, parent=top, info_name=name)
        if name in tools.TOOLS:  # they read their command lines themselves: their help is text already
            sections = [("DESCRIPTION", _preformatted(_tool_help(name)))]
        else:
            usage = command.get_usage(context).removeprefix("Usage: ")
            sections = [
                ("SYNOPSIS", _escaped(usage)),
                ("DESCRIPTION", _escaped(command.help or "")),
                ("OPTIONS", _options(context)),
            ]
        found[f"{full}.1"] = _page(full, what, [*sections, ("SEE ALSO", ".BR vswitch (1)")])
    found["vswitch.1"] = _page(
        "vswitch",
        (app.help or "").rstrip("."),
        [
            ("SYNOPSIS", _escaped("vswitch [OPTIONS] COMMAND [ARGS]...")),
            ("OPTIONS", _options(top)),
            ("COMMANDS", "".join(listing)),
        ],
    )
    return found


def write(app: TyperGroup, directory: str) -> list[str]:
    """Write all pages; their paths. CliError."""
    where = Path(directory)
    paths = []
    try:
        where.mkdir(parents=True, exist_ok=True)
        for name, text in pages(app).items():
            (where / name).write_text(text)
            paths.append(str(where / name))
    except OSError as error:
        raise CliError(f"{where}: {error.strerror or error}") from error
    return paths
