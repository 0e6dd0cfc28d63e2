"""The datapath as a value: lookups and drops over the last minutes, busiest flows, upcall channels."""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, final

from vswitch.base.unixctl import CommandError
from vswitch.cli.sample import Ask, FlowSample, Sample, rates, take

POINTS: Final = 300
"""Moments that are kept: minutes, at one every second or so."""
BUSIEST: Final = 50

_DROP: Final = re.compile(r"((?:datapath_)?drop_\S+|upcall_\S*lost\S*) .* total: (\d+)$")


@final
class DatapathHistory:
    """What `/api/datapath` answers: each call adds a moment, so that times between looks are gaps."""

    def __init__(self, ask: Callable[[], Ask]) -> None:
        self._ask = ask
        self._before: Sample | None = None
        self._drops: dict[str, int] = {}
        self._moments: deque[dict[str, Any]] = deque(maxlen=POINTS)

    def now(self) -> dict[str, Any]:
        """The datapath. CommandError, OSError, CliError."""
        ask = self._ask()
        sample = take(ask, time.monotonic())
        drops = {m[1]: int(m[2]) for line in ask("coverage/show").splitlines() if (m := _DROP.match(line))}
        speeds = rates(self._before or sample, sample)
        fresh = {
            name: (n - self._drops.get(name, 0)) / speeds.seconds if self._before is not None else 0.0
            for name, n in drops.items()
        }
        self._before, self._drops = sample, drops
        self._moments.append(
            {
                "at": time.time(),
                "packets": speeds.packets,
                "missed": speeds.missed,
                "lost": speeds.lost,
                "drops": {name: rate for name, rate in fresh.items() if rate > 0},
            }
        )

        def busy(item: tuple[str, FlowSample]) -> tuple[float, int]:
            return -speeds.flows[item[0]][0], -item[1].packets

        busiest = sorted(sample.flows.items(), key=busy)[:BUSIEST]
        upcalls = ""
        with contextlib.suppress(CommandError):
            upcalls = ask("upcall/show")
        return {
            "datapaths": sample.datapaths,
            "lookups": {"hit": sample.hit, "missed": sample.missed, "lost": sample.lost},
            "n_flows": sample.n_flows,
            "flows": [
                {
                    "match": flow.match,
                    "actions": flow.actions,
                    "packets": flow.packets,
                    "pps": speeds.flows[key][0],
                    "bps": speeds.flows[key][1],
                    "used": flow.used,
                }
                for key, flow in busiest
            ],
            "channels": [
                {"name": c.name, "received": c.received, "lost": c.lost} for c in sample.channels
            ],
            "drops": dict(sorted(drops.items(), key=lambda item: -item[1])),
            "upcalls": upcalls,
            "history": list(self._moments),
        }
