"""A bridge's OpenFlow tables as values: flows a page at a time, and the paths of packets through them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final, final

from vswitch.base.records import dataclass
from vswitch.cli.ofctl.flows import fetch
from vswitch.cli.ofctl.switch import OfctlError, Settings, Switch, SwitchError
from vswitch.cli.web.pace import Paced
from vswitch.openflow.actions import Action, Clone, Ct, GotoTable, Resubmit, WriteActions
from vswitch.openflow.messages.flow import FlowStats
from vswitch.openflow.print_flow import format_flow_line

PAGE: Final = 100
MAX_PAGE: Final = 1000
NO_TABLE: Final = 0xFF

_Key = tuple[int, int, bytes]


class QueryError(Exception):
    """A question that can't be answered; the text says why."""


@dataclass
class _Flow:
    stats: FlowStats
    rate: float


@dataclass
class _Dump:
    """All flows of a bridge at one moment. `links`: (from table, to table) -> packets."""

    at: float
    flows: list[_Flow]
    links: dict[tuple[int, int], int]
    counters: dict[_Key, int]


def _key(stats: FlowStats) -> _Key:
    """What tells one flow of a bridge from all others."""
    return stats.table_id, stats.priority, stats.match.key()


def _targets(actions: Iterable[Action], table: int) -> Iterable[int]:
    """The tables that actions go on in."""
    for action in actions:
        if isinstance(action, (GotoTable, Resubmit)):
            to = action.table_id
            yield table if to == NO_TABLE else to
        elif isinstance(action, Ct):
            if action.recirc_table is not None:
                yield action.recirc_table
            yield from _targets(action.actions, table)
        elif isinstance(action, (Clone, WriteActions)):
            yield from _targets(action.actions, table)


def _fetch(bridge: str, match: str) -> list[FlowStats]:
    try:
        with Switch(bridge, Settings()) as switch:
            return fetch(switch, match)
    except (OfctlError, SwitchError) as error:
        raise QueryError(str(error) or getattr(error, "text", "")) from error


@final
class FlowTables:
    """What `/api/flows` answers of one bridge. Dumps are paced: a large table is asked for more rarely."""

    def __init__(self, bridge: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.bridge = bridge
        self._clock = clock
        self._last: _Dump | None = None
        self._dump = Paced(self._take)

    def _take(self) -> _Dump:
        at = self._clock()
        links: dict[tuple[int, int], int] = {}
        counters: dict[_Key, int] = {}
        flows: list[_Flow] = []
        for stats in _fetch(self.bridge, ""):
            key = _key(stats)
            counters[key] = stats.packet_count
            flows.append(_Flow(stats, _rate(stats, key, self._last, at)))
            for to in _targets(stats.actions, stats.table_id):
                link = (stats.table_id, to)
                links[link] = links.get(link, 0) + stats.packet_count
        self._last = _Dump(at, flows, links, counters)
        return self._last

    def page(self, table: int | None, match: str, sort: str, offset: int, limit: int) -> dict[str, Any]:
        """One page of flows, most packets a second first (`sort` "rate"), or by "packets" or "priority".

        `match` selects as for `ovs-ofctl dump-flows`. QueryError.
        """
        if sort not in ("rate", "packets", "priority"):
            raise QueryError(f"{sort}: flows are sorted by rate, packets or priority")
        dump = self._dump()
        chosen = dump.flows
        if match:
            keys = {_key(stats) for stats in _fetch(self.bridge, match)}
            chosen = [f for f in chosen if _key(f.stats) in keys]
        tables = _summary(chosen)
        if table is not None:
            chosen = [f for f in chosen if f.stats.table_id == table]
        order: dict[str, Callable[[_Flow], tuple[float, ...]]] = {
            "rate": lambda f: (-f.rate, -f.stats.packet_count, f.stats.table_id, -f.stats.priority),
            "packets": lambda f: (-f.stats.packet_count, f.stats.table_id, -f.stats.priority),
            "priority": lambda f: (f.stats.table_id, -f.stats.priority),
        }
        chosen = sorted(chosen, key=order[sort])
        limit = max(1, min(limit, MAX_PAGE))
        return {
            "bridge": self.bridge,
            "age": self._clock() - dump.at,
            "tables": tables,
            "links": [{"from": a, "to": b, "packets": n} for (a, b), n in sorted(dump.links.items())],
            "total": len(chosen),
            "offset": offset,
            "flows": [
                {
                    "table": f.stats.table_id,
                    "priority": f.stats.priority,
                    "packets": f.stats.packet_count,
                    "bytes": f.stats.byte_count,
                    "rate": f.rate,
                    "text": format_flow_line(f.stats, None, stats=False).strip(),
                    "cookie": f"0x{f.stats.cookie:x}",
                    "duration": f.stats.duration_sec,
                }
                for f in chosen[offset : offset + limit]
            ],
        }

    def forget(self) -> None:
        """Ask the switch anew at the next page."""
        self._dump.forget()


def _rate(stats: FlowStats, key: _Key, before: _Dump | None, at: float) -> float:
    """Packets a second since the last dump; since the flow was made, if it was not in that."""
    if before is not None and before.counters.get(key, stats.packet_count + 1) <= stats.packet_count:
        return (stats.packet_count - before.counters[key]) / max(at - before.at, 1e-3)
    age = stats.duration_sec + stats.duration_nsec / 1e9
    return stats.packet_count / age if age > 0 else 0.0


def _summary(flows: Iterable[_Flow]) -> list[dict[str, Any]]:
    found: dict[int, list[float]] = {}
    for flow in flows:
        row = found.setdefault(flow.stats.table_id, [0, 0, 0, 0.0])
        row[0] += 1
        row[1] += flow.stats.packet_count
        row[2] += flow.stats.packet_count == 0
        row[3] += flow.rate
    return [
        {"table": table, "flows": n, "packets": packets, "never_hit": never, "rate": rate}
        for table, (n, packets, never, rate) in sorted(found.items())
    ]
