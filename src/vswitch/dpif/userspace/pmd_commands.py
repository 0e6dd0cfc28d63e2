"""`dpif-netdev/...` (ovs-vswitchd(8), dpif-netdev commands): what the userspace datapaths have done, and how.

Here the main thread forwards, and no PMD threads do: what is asked of such threads has the answers that Open
vSwitch gives where it has none of them. There is one way each to look at a packet's headers and to look up a
flow, so that the choice among implementations is remembered, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from vswitch.base.unixctl import CommandError, Commands, leading_number
from vswitch.dpif.userspace.core import Core
from vswitch.netdev.dummy import PMD, DummyNetdev
from vswitch.netdev.scope import Scope

DPIF: Final = "dpif_scalar"
PARSERS: Final = ("autovalidator", "scalar", "study")
USAGE_INTERVAL: Final = 5
"""Usage is told in whole intervals of these seconds,"""
USAGE_MAX: Final = 60
"""up to so many."""
STUDY_MAX: Final = 0xFFFFFFFF
NO_THREAD: Final = 0xFFFFFFFF
"""The number that no thread has."""
PERF_LOG_USAGE: Final = (
    "Usage: ovs-appctl dpif-netdev/pmd-perf-log-set [on|off] [-b before] [-a after] [-e|-ne] [-us usec] "
    "[-q qlen]"
)
UNCHANGED: Final = "Error: miniflow extract parser not changed"
PMD_THREAD: Final = "pmd thread numa_id 0 core_id 1:"
NO_DATAPATH: Final = "please specify an existing datapath"


def register(commands: Commands, scope: Scope) -> None:
    """Register them for the datapaths in `scope`."""
    c = _Commands(scope)
    commands.register_all((
        ("dpif-netdev/dpif-impl-get", "", 0, 0, c.dpif_get),
        ("dpif-netdev/dpif-impl-set", "dpif_implementation_name", 1, 1, c.dpif_set),
        ("dpif-netdev/miniflow-parser-get", "", 0, 0, c.parser_get),
        ("dpif-netdev/miniflow-parser-set", "[-pmd core] miniflow_implementation_name [study_pkt_cnt]", 1, 5,
         c.parser_set),
        ("dpif-netdev/pmd-perf-log-set", "on|off [-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]", 0, 10,
         c.perf_log_set),
        ("dpif-netdev/pmd-perf-show", "[-nh] [-it iter-history-len] [-ms ms-history-len] [-pmd core] [dp]",
         0, 8, c.perf_show),
        ("dpif-netdev/pmd-rxq-rebalance", "[dp]", 0, 1, c.rxq_rebalance),
        ("dpif-netdev/pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", 0, 5, c.rxq_show),
        ("dpif-netdev/pmd-stats-clear", "[-pmd core] [dp]", 0, 3, c.stats_clear),
        ("dpif-netdev/pmd-stats-show", "[-pmd core] [dp]", 0, 3, c.stats_show),
        ("dpif-netdev/subtable-lookup-info-get", "", 0, 0, c.lookup_get),
        ("dpif-netdev/subtable-lookup-prio-set", "[lookup_func] [prio]", 2, 2, c.lookup_set),
    ))


def _whole(text: str, most: int) -> int | None:
    """A number from 0 to `most`; None if it is none."""
    return int(text) if text.isdecimal() and int(text) <= most else None


def _counted(core: Core) -> dict[str, int]:
    """What a datapath has counted since it was made."""
    return {
        "hits": int(core.n_hit), "recirculations": int(core.n_recirc), "emc": int(core.n_emc_hit),
        "missed": int(core.n_missed), "lost": int(core.n_lost), "lookups": int(core.dpcls.subtables_tried),
        "batches": int(core.n_batches), "sent": int(core.n_sent),
    }  # fmt: skip


def _average(n: int, of: int) -> str:
    return f"{n / of if of else 0:.2f}"


def stats_text(counted: dict[str, int]) -> str:
    """The counters as `pmd-stats-show` prints them."""
    passes = counted["hits"] + counted["missed"]
    received = passes - counted["recirculations"]
    megaflow = counted["hits"] - counted["emc"]
    return (
        "main thread:\n"
        f"  packets received: {received}\n"
        f"  packet recirculations: {counted['recirculations']}\n"
        f"  avg. datapath passes per packet: {_average(passes, received)}\n"
        "  phwol hits: 0\n"
        "  mfex opt hits: 0\n"
        "  simple match hits: 0\n"
        f"  emc hits: {counted['emc']}\n"
        "  smc hits: 0\n"
        f"  megaflow hits: {megaflow}\n"
        f"  avg. subtable lookups per megaflow hit: {_average(counted['lookups'], megaflow)}\n"
        f"  miss with success upcall: {counted['missed'] - counted['lost']}\n"
        f"  miss with failed upcall: {counted['lost']}\n"
        f"  avg. packets per output batch: {_average(counted['sent'], counted['batches'])}\n"
    )


@final
class _Commands:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.priorities = {"autovalidator": 0, "generic": 1}
        """Ways of looking up flows, and how much each is preferred."""
        self.cleared: dict[Core, dict[str, int]] = {}
        """What had been counted when `pmd-stats-clear` came."""

    def _core(self, args: Sequence[str]) -> tuple[Core, str | None, str | None]:
        """The datapath that the last of `args` names, or the only one; and what stands after `-pmd` and after
        `-secs`. An option without a value, and words too many, are not looked at, as in Open vSwitch."""
        rest = list(args)
        options: dict[str, str] = {}
        while len(rest) > 1:
            if rest[0] in ("-pmd", "-secs"):
                name = rest.pop(0)
                options[name] = rest.pop(0)
            else:
                rest.pop(0)
        cores = {name: datapath.core for name, datapath in self.scope.datapaths.items()}
        if len(cores) == 1 and (not rest or rest[0] not in cores):
            core = next(iter(cores.values()))
        elif rest and rest[0] in cores:
            core = cores[rest[0]]
        else:
            raise CommandError(NO_DATAPATH)
        return core, options.get("-pmd"), options.get("-secs")

    # Counters.

    def stats_show(self, args: list[str]) -> str:
        core, pmd, _ = self._core(args)
        if pmd is not None and pmd.isdecimal():
            return ""
        base = self.cleared.get(core, {})
        return stats_text({name: n - base.get(name, 0) for name, n in _counted(core).items()})

    def stats_clear(self, args: list[str]) -> str:
        core, pmd, _ = self._core(args)
        alive = {datapath.core for datapath in self.scope.datapaths.values()}
        self.cleared = {known: base for known, base in self.cleared.items() if known in alive}
        if pmd is None or not pmd.isdecimal():
            self.cleared[core] = _counted(core)
        return ""

    # PMD threads, of which there are none.

    def perf_show(self, args: list[str]) -> str:
        self._core(args)
        return ""

    def perf_log_set(self, args: list[str]) -> str:
        rest = list(args)
        while rest:
            word = rest.pop(0)
            if word in ("-b", "-a", "-us", "-q"):
                if not rest or not rest.pop(0).isdecimal():
                    raise CommandError(PERF_LOG_USAGE)
            elif word not in ("on", "off", "-e", "-ne"):
                raise CommandError(PERF_LOG_USAGE)
        return ""

    def rxq_rebalance(self, args: list[str]) -> str:
        if args and args[0] not in self.scope.datapaths:
            raise CommandError(NO_DATAPATH)
        self._core(args)
        return "pmd rxq rebalance requested.\n"

    def rxq_show(self, args: list[str]) -> str:
        _, pmd, text = self._core(args)
        if pmd is not None and pmd.isdecimal():
            return ""
        asked = int(text) if text is not None and text.isdecimal() else 0
        intervals = -(-asked // USAGE_INTERVAL)
        seconds = intervals * USAGE_INTERVAL if 0 < asked < USAGE_MAX else USAGE_MAX
        lines = [f"Displaying last {seconds} seconds pmd usage %"]
        polled = [dev for dev in self.scope.devices() if isinstance(dev, DummyNetdev) and dev.type == PMD]
        if polled:
            # They are told of as if a thread of their own polled them.
            lines += [PMD_THREAD, "  isolated : false"]
            lines += [
                f"  port: {dev.name:<16}  queue-id: {queue:2} (enabled)   pmd usage: NOT AVAIL"
                for dev in polled for queue in range(dev.n_rxq)
            ]  # fmt: skip
            lines.append("  overhead: NOT AVAIL")
        return "\n".join(lines) + "\n"

    # Implementations.

    def dpif_get(self, _args: list[str]) -> str:
        return f"Available DPIF implementations:\n  {DPIF} (pmds: none)\n" * len(self.scope.datapaths)

    def dpif_set(self, args: list[str]) -> str:
        if args[0] != DPIF:
            raise CommandError(f"DPIF implementation not available: Unknown DPIF implementation {args[0]}.")
        return f"DPIF implementation set to {DPIF}.\n"

    def parser_get(self, _args: list[str]) -> str:
        lines = "".join(f"  {name} (available: True pmds: none)\n" for name in PARSERS)
        return f"Available MFEX implementations:\n{lines}" * len(self.scope.datapaths)

    def parser_set(self, args: list[str]) -> str:
        rest = list(args)
        pmd: str | None = None
        if rest[0] == "-pmd":
            if len(rest) < 2:
                raise CommandError("Error: -pmd option requires a thread id argument.")
            pmd = rest[1]
            if _whole(pmd, NO_THREAD - 1) is None:
                raise CommandError(f"{UNCHANGED}, PMD thread passed is not valid: '{pmd}'. Pass a valid pmd "
                                   "thread ID.")
            rest = rest[2:]
        if not rest:
            raise CommandError("Error: no miniflow extract name provided. Output of miniflow-parser-get "
                               "shows implementation list.")
        name, more = rest[0], ""
        if len(rest) > 1:
            if name != "study":
                raise CommandError(f"Error: unknown argument {rest[1]}.")
            count = _whole(rest[-1], STUDY_MAX)
            if not count:
                raise CommandError(f"Error: invalid study_pkt_cnt value: {rest[-1]}.")
            more = f", studying {count} packets"
        if name not in PARSERS:
            raise CommandError(f"Error: unknown miniflow extract implementation {name}.")
        if pmd is not None:
            raise CommandError(f"{UNCHANGED}, PMD thread {pmd} not in use, pass a valid pmd thread ID.")
        return f"Miniflow extract implementation set to {name}{more}.\n"

    def lookup_get(self, _args: list[str]) -> str:
        used = {"generic": sum(len(d.core.dpcls.subtables) for d in self.scope.datapaths.values())}
        return "Available dpcls implementations:\n" + "".join(
            f"  {name} (Use count: {used.get(name, 0)}, Priority: {priority})\n"
            for name, priority in self.priorities.items()
        )

    def lookup_set(self, args: list[str]) -> str:
        name, text = args
        priority = leading_number(text)
        if not 0 <= priority <= 255:
            raise CommandError("error converting priority, use integer in range 0-255")
        if name not in self.priorities:
            raise CommandError("error, subtable lookup function not found")
        self.priorities[name] = priority
        return "Lookup priority change affected 0 dpcls ports and 0 subtables.\n"
