"""The runtime commands of the process itself: `version`, `exit`, `coverage/show`, `time/warp`..."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vswitch.base import coverage, histogram, vlog_commands
from vswitch.base.clock import Clock
from vswitch.base.memory import MemoryReport
from vswitch.base.unixctl import CommandError, Commands

MAX_TURNS_PER_WARP: Final = 100
"""How long `time/warp` waits for the switch to have nothing more to do, lest traffic hold it up."""


def _milliseconds(text: str) -> int:
    """A positive number of ms."""
    try:
        ms = int(text)
    except ValueError:
        ms = 0
    if ms <= 0:
        raise CommandError("invalid MSECS")
    return ms


def register(
    commands: Commands,
    *,
    version: str,
    clock: Clock,
    memory: MemoryReport,
    turn: Callable[[], object],
    stop: Callable[[bool], None],
) -> None:
    """Register the process's commands.

    `turn` runs the main loop once, `stop` ends the process after the reply is out,
    and takes what is in the kernel along if its argument is true.
    """

    def run_exit(args: list[str]) -> str:
        stop(args == ["--cleanup"])
        return ""

    def time_stop(_args: list[str]) -> str:
        clock.stop()
        return ""

    def time_warp(args: list[str]) -> str:
        total = _milliseconds(args[0])
        step = _milliseconds(args[1]) if len(args) > 1 else total
        turn()
        while total > 0:
            clock.warp(min(step, total))
            total -= step
            for _ in range(MAX_TURNS_PER_WARP):
                if not turn():
                    break
        return "warped"

    def read_counter(args: list[str]) -> str:
        counter = coverage.get(args[0])
        if counter is None:
            raise CommandError("No such counter")
        return str(counter.total)

    commands.register("version", "", 0, 0, lambda _args: version)
    commands.register("exit", "[--cleanup]", 0, 1, run_exit)
    commands.register(
        "coverage/show", "", 0, 0, lambda _args: coverage.show(), lambda _args: coverage.totals()
    )
    commands.register("coverage/read-counter", "COUNTER", 1, 1, read_counter)
    commands.register(
        "perf/show", "", 0, 0, lambda _args: histogram.show(), lambda _args: histogram.values()
    )
    commands.register("memory/show", "", 0, 0, lambda _args: memory.show(), lambda _args: memory.usage())
    commands.register("time/stop", "", 0, 0, time_stop)
    commands.register("time/warp", "[large_msecs] msecs", 1, 2, time_warp)
    vlog_commands.register(commands)
