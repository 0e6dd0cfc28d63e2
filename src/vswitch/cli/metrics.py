"""`SwitchCollector`: a running switch as metrics for Prometheus, read from its runtime commands and database.

Names and units follow Prometheus' conventions for naming (seconds, bytes, "_total" for what only
grows). Series are bounded: `max_ports` ports, three for each table with flows, and one for each channel,
controller, drop reason and event, which are fixed sets; nothing is labelled with a flow, an
address or a packet's bytes.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from vswitch.base.unixctl import CommandError, Json
from vswitch.cli.errors import CliError
from vswitch.cli.sample import Ask, Sample, read_channels, read_counters, read_show
from vswitch.openflow.messages.table import TableStats

Controllers = Callable[[], list[tuple[str, str, bool]]]
"""What the database says of controllers: (bridge, target, connected). OSError, CliError."""

AskJson = Callable[..., Json]
TablesInUse = Callable[[], dict[str, list[TableStats]]]
"""Bridge -> the counters (OpenFlow's) of its tables that have flows or were looked up."""

_EVENT: Final = re.compile(r"(\S+) .* total: (\d+)$")
_DROP: Final = re.compile(r"(?:datapath_)?drop_(.+)")
_DATAPATH: Final = re.compile(r"(\S+):$")
_FLOWS: Final = re.compile(r"  flows\s*: \(current (\d+)\).*\(limit (\d+)\)")
_DUMP: Final = re.compile(r"  dump duration : (\d+)ms")
_MEMORY: Final = re.compile(r"([^:]+):(\d+)")
_WAYS: Final = (("receive", "received", "rx"), ("transmit", "sent", "tx"))
_COUNTED: Final = (
    ("packets", "Packets {}."),
    ("bytes", "Bytes {}."),
    ("dropped", "Packets not {}: dropped."),
)


class SwitchCollector(Collector):
    """Asks the switch at each scrape. A switch that does not answer is `vswitch_up 0`."""

    def __init__(
        self,
        ask: Callable[[], Ask],
        ask_json: Callable[[], AskJson],
        table_stats: TablesInUse,
        controllers: Controllers,
        max_ports: int,
    ) -> None:
        self._ask = ask
        self._ask_json = ask_json
        self._table_stats = table_stats
        self._controllers = controllers
        self._max_ports = max_ports

    def collect(self) -> Iterable[Metric]:
        """All metrics of now."""
        started = time.monotonic()
        found: list[Metric] = []
        up = True
        try:
            ask = self._ask()
            for part in (
                self._about, self._traffic, self._tables, self._revalidation, self._times, self._events,
                self._conntrack,
            ):  # fmt: skip
                found += part(ask)
        except (CliError, CommandError, OSError):
            up = False
            found = []
        yield GaugeMetricFamily("vswitch_up", "Whether the switch answers.", value=float(up))
        yield from found
        yield from self._connections()
        yield GaugeMetricFamily(
            "vswitch_scrape_duration_seconds", "Time that asking took.", value=time.monotonic() - started
        )

    def _about(self, ask: Ask) -> list[Metric]:
        version = ask("version").partition("\n")[0]
        memory = GaugeMetricFamily(
            "vswitch_objects", "What the switch holds, as memory/show counts it.", labels=["kind"]
        )
        for name, number in _MEMORY.findall(ask("memory/show")):
            memory.add_metric([name.strip()], float(number))
        return [InfoMetricFamily("vswitch", "Which switch answers.", value={"version": version}), memory]

    def _traffic(self, ask: Ask) -> list[Metric]:
        sample = Sample(0)
        read_show(sample, ask("dpif/show"))
        read_counters(sample, ask("dpctl/show", "-s"))
        with contextlib.suppress(CommandError):  # the real switch has no such command
            read_channels(sample, ask("dpif/show-channels"))
        lookups = CounterMetricFamily(
            "vswitch_datapath_lookups", "Packets by what the datapaths' flow tables said.", labels=["result"]
        )
        for result, number in (("hit", sample.hit), ("missed", sample.missed), ("lost", sample.lost)):
            lookups.add_metric([result], number)
        received = CounterMetricFamily("vswitch_upcalls", "Upcalls received.", labels=["channel"])
        lost = CounterMetricFamily("vswitch_upcalls_lost", "Upcalls lost.", labels=["channel"])
        for channel in sample.channels:
            received.add_metric([channel.name], channel.received)
            lost.add_metric([channel.name], channel.lost)
        return [lookups, received, lost, *self._ports(sample)]

    def _ports(self, sample: Sample) -> list[Metric]:
        families: list[Metric] = []
        shown = sorted(sample.ports.values(), key=lambda port: (port.bridge, port.number))
        named = [({"bridge": port.bridge, "port": port.name}, port) for port in shown[: self._max_ports]]
        for way, done, short in _WAYS:
            for what, text in _COUNTED:
                family = CounterMetricFamily(f"vswitch_port_{way}_{what}", text.format(done))
                for labels, port in named:
                    family.add_sample(f"{family.name}_total", labels, getattr(port, f"{short}_{what}"))
                families.append(family)
        families.append(
            GaugeMetricFamily(
                "vswitch_ports_omitted", "Ports without series: more than the exporter may show.",
                value=max(len(shown) - self._max_ports, 0),
            )
        )  # fmt: skip
        return families

    def _revalidation(self, ask: Ask) -> list[Metric]:
        flows = GaugeMetricFamily(
            "vswitch_datapath_flows", "Flows that the datapath holds.", labels=["datapath"]
        )
        limit = GaugeMetricFamily(
            "vswitch_datapath_flow_limit", "Flows that it may hold now.", labels=["datapath"]
        )
        dump = GaugeMetricFamily(
            "vswitch_revalidation_duration_seconds", "The last round over all flows.", labels=["datapath"]
        )
        datapath = ""
        for line in ask("upcall/show").splitlines():
            if m := _DATAPATH.match(line):
                datapath = m[1]
            elif m := _FLOWS.match(line):
                flows.add_metric([datapath], float(m[1]))
                limit.add_metric([datapath], float(m[2]))
            elif m := _DUMP.match(line):
                dump.add_metric([datapath], int(m[1]) / 1000)
        return [flows, limit, dump]

    def _events(self, ask: Ask) -> list[Metric]:
        drops = CounterMetricFamily("vswitch_drops", "Packets dropped, by reason.", labels=["reason"])
        events = CounterMetricFamily(
            "vswitch_events", "What coverage/show counts besides drops.", labels=["event"]
        )
        for line in ask("coverage/show").splitlines():
            if m := _EVENT.match(line):
                drop = _DROP.fullmatch(m[1])
                family, label = (drops, drop[1]) if drop else (events, m[1])
                family.add_metric([label], float(m[2]))
        return [drops, events]

    def _times(self, _ask: Ask) -> list[Metric]:
        found: list[Metric] = []
        with contextlib.suppress(CommandError):  # the real switch has no such command
            for name, told in self._ask_json()("perf/show").items():
                buckets, n = [], 0
                for bound, count in told["buckets"].items():
                    n += count
                    buckets.append((bound, n))
                family = HistogramMetricFamily(
                    f"vswitch_{name.replace('-', '_')}_duration_seconds", f"Time of {told['what']}."
                )
                family.add_metric([], buckets, told["sum"])
                found.append(family)
        return found

    def _tables(self, _ask: Ask) -> list[Metric]:
        flows = GaugeMetricFamily(
            "vswitch_table_flows", "Flows of the OpenFlow tables that have any.", labels=["bridge", "table"]
        )
        ways = ("lookups", "matched")
        counters = [
            CounterMetricFamily(f"vswitch_table_{way}", f"Packets {text}.", labels=["bridge", "table"])
            for way, text in zip(ways, ("looked up", "that matched"), strict=True)
        ]
        for bridge, rows in self._table_stats().items():
            for row in rows:
                where = [bridge, str(row.table_id)]
                flows.add_metric(where, row.active_count)
                for family, n in zip(counters, (row.lookup_count, row.matched_count), strict=True):
                    family.add_metric(where, n)
        return [flows, *counters]

    def _conntrack(self, ask: Ask) -> list[Metric]:
        found: list[Metric] = []
        for command, name, what in (
            ("dpctl/ct-get-nconns", "vswitch_conntrack_connections", "Connections tracked."),
            ("dpctl/ct-get-maxconns", "vswitch_conntrack_connections_limit", "Connections that may be."),
        ):
            # An error without a datapath, with several, and from one that doesn't count: no series then.
            with contextlib.suppress(CommandError, ValueError):
                found.append(GaugeMetricFamily(name, what, value=float(ask(command))))
        return found

    def _connections(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "vswitch_controller_connected", "Whether a controller is connected.", labels=["bridge", "target"]
        )
        try:
            controllers = self._controllers()
            up = True
        except (CliError, OSError):
            controllers = []
            up = False
        for bridge, target, connected in controllers:
            family.add_metric([bridge, target], float(connected))
        yield GaugeMetricFamily("vswitch_database_up", "Whether the database answers.", value=float(up))
        yield family
