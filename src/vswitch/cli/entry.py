"""Where the commands `vswitch` and `vswitchd` begin, before anything else of them is loaded.

The subcommands that read their own command lines (`tools.py`), the daemons among them, are started
without the library that reads the others'.
"""

from __future__ import annotations

import gc
import sys

from vswitch.cli import tools


def _prepare() -> None:
    """What is loaded while a process starts stays: no looking for what could go."""
    gc.disable()


def main() -> None:
    """Entry point of `vswitch`."""
    _prepare()
    if len(sys.argv) > 1 and sys.argv[1] in (*tools.TOOLS, *tools.QUICK):
        sys.exit(tools.run(sys.argv[1], sys.argv[2:]))
    from vswitch.cli.main import main as carry_out

    gc.enable()
    carry_out()


def vswitchd() -> None:
    """Entry point of `vswitchd`, which takes what ovs-vswitchd(8) takes."""
    _prepare()
    sys.exit(tools.run("vswitchd", sys.argv[1:]))
