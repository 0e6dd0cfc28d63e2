"""All of `dpctl/...`, registered: the commands by topic, and what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from vswitch.base.clock import Clock
from vswitch.base.unixctl import ANY, CommandError, Commands
from vswitch.dpif import dpctl_ct, dpctl_flows, dpctl_ipf, dpctl_normalize, dpctl_ports
from vswitch.dpif.dpctl import Datapaths, Entry, Options, take_options
from vswitch.netdev.scope import PROCESS, Scope

_T = TypeVar("_T")


def _listing(entries: Sequence[Entry]) -> str:
    lines = [f"  dpctl/{entry.name:<23} {entry.usage}\n" for entry in entries]
    return "The available commands are:\n" + "".join(lines)


def register(commands: Commands, clock: Clock, scope: Scope = PROCESS) -> None:
    """Register all of `dpctl/...` for the datapaths in `scope`, and those outside this process."""
    datapaths = Datapaths(clock, scope)
    entries = [
        *dpctl_ports.ENTRIES,
        *dpctl_flows.ENTRIES,
        *dpctl_ct.ENTRIES,
        *dpctl_ipf.ENTRIES,
        Entry("list-commands", "", 0, ANY, lambda _d, _o, _args: _listing(entries)),
        *dpctl_flows.TEXT_ENTRIES,
        *dpctl_normalize.ENTRIES,
    ]
    for entry in entries:
        commands.register(
            f"dpctl/{entry.name}",
            entry.usage,
            entry.least,
            entry.most,
            _handler(entry, entry.run, datapaths),
            _handler(entry, entry.run_json, datapaths) if entry.run_json is not None else None,
        )


def _handler(
    entry: Entry, run: Callable[[Datapaths, Options, list[str]], _T], datapaths: Datapaths
) -> Callable[[list[str]], _T]:
    def handle(args: list[str]) -> _T:
        options, rest = take_options(args)
        if len(rest) < entry.least:
            raise CommandError(f'"dpctl/{entry.name}" command requires at least {entry.least} arguments')
        return run(datapaths, options, rest)

    return handle
