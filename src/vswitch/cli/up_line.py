"""The command line of `vswitch up`, read without the library that reads the other subcommands'.

Loading that library takes longer than all that `up` does itself. It is loaded when the line asks for help or
is wrong: then it says what there is to say. `commands.py` has the options with their help.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from vswitch.cli.errors import CliError
from vswitch.cli.long_options import OptionError, Takes, parse
from vswitch.cli.up import UpOptions, up

LONG: Final = {
    "bridge": Takes.REQUIRED,
    "port": Takes.REQUIRED,
    "datapath": Takes.REQUIRED,
    "database": Takes.REQUIRED,
    "remote": Takes.REQUIRED,
    "foreground": Takes.NOTHING,
    "no-foreground": Takes.NOTHING,
    "web": Takes.NOTHING,
    "switch-option": Takes.REQUIRED,
}


def read_options(argv: Sequence[str]) -> UpOptions | None:
    """What the line asks for; None if it is wrong or asks for help."""
    try:
        parsed = parse(argv, LONG, {}, abbreviations=False)
    except OptionError:
        return None
    if parsed.arguments:
        return None
    given: dict[str, list[str]] = {name: [] for name in LONG}
    foreground = False
    for name, value in parsed.options:
        given[name].append(value or "")
        if name.endswith("foreground"):
            foreground = name == "foreground"
    return UpOptions(
        bridges=tuple(given["bridge"]),
        ports=tuple(given["port"]),
        datapath=given["datapath"][-1] if given["datapath"] else "",
        database=given["database"][-1] if given["database"] else "",
        remotes=tuple(given["remote"]),
        foreground=foreground,
        web=bool(given["web"]),
        switch_options=tuple(given["switch-option"]),
    )


def main(argv: Sequence[str]) -> int:
    """Carry out `vswitch up`; the exit status."""
    options = read_options(argv)
    if options is None:
        from vswitch.cli.main import main as explain

        explain()
        return 0
    try:
        up(options)
    except CliError as e:
        print(f"vswitch: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Aborted.", file=sys.stderr)
        return 1
    return 0
