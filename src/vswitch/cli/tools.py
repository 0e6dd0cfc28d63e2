"""The subcommands that read their own command lines: those that take another tool's, and `up`, which is to be
quick."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Sequence
from typing import Final

TOOLS: Final = {
    "vsctl": "vswitch.cli.vsctl.main",
    "ofctl": "vswitch.cli.ofctl.main",
    "appctl": "vswitch.cli.appctl",
    "ovsdb-server": "vswitch.cli.dbserver",
    "vswitchd": "vswitch.cli.vswitchd",
}
"""Subcommand -> the module whose `main(argv)` carries it out and returns the exit status, if any."""
QUICK: Final = {"up": "vswitch.cli.up_line"}
"""The same of a subcommand that is one of ours, and only leaves its help and mistakes to that library."""
DAEMONS: Final = ("ovsdb-server", "vswitchd")
"""Those that go on loading, and see to the collector themselves."""


def run(name: str, argv: Sequence[str]) -> int:
    """Carry out `vswitch NAME ARGV...`; the exit status."""
    carry_out = importlib.import_module((TOOLS | QUICK)[name]).main
    if name not in DAEMONS:
        gc.enable()
    status: int | None = carry_out(argv)
    return status or 0
