"""The subcommands that take the whole command line of another tool: its options are its own."""

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
DAEMONS: Final = ("ovsdb-server", "vswitchd")
"""Those that go on loading, and see to the collector themselves."""


def run(name: str, argv: Sequence[str]) -> int:
    """Carry out `vswitch NAME ARGV...`; the exit status."""
    carry_out = importlib.import_module(TOOLS[name]).main
    if name not in DAEMONS:
        gc.enable()
    status: int | None = carry_out(argv)
    return status or 0
