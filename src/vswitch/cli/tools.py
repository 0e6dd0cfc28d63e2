"""The subcommands that take the whole command line of another tool: its options are its own."""

from __future__ import annotations

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


def run(name: str, argv: Sequence[str]) -> int:
    """Carry out `vswitch NAME ARGV...`; the exit status."""
    status: int | None = importlib.import_module(TOOLS[name]).main(argv)
    return status or 0
