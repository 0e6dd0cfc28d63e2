"""100,000 flows through the real ovs-ofctl, into ours and into the real switch.

Both run on dummy datapaths in one run. What ovs-ofctl itself needs is in both times.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path

from bench.report import Row
from bench.stack import OURS, PEER, Stack, stack

FLOWS = 100_000
BR = "br0"


def flow(n: int, port: int, cookie: int) -> str:
    """The n-th flow: an address of its own."""
    address = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
    return f"cookie={cookie:#x},priority=100,ip,nw_dst={address},actions=output:{port}"


def write_flows(path: Path, changed: bool = False) -> None:
    """A file of `FLOWS` flows; of every second one the actions are others if `changed`."""
    path.write_text("".join(
        flow(n, 2 + (changed and n & 1), 0x10 + (n & 1)) + "\n" for n in range(FLOWS)
    ))


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def count(switch: Stack) -> int:
    """How many flows table 0 has, as the switch says."""
    said = switch.ofctl("dump-aggregate", BR)
    return int(said.rpartition("flow_count=")[2].split()[0])


def expect(switch: Stack, flows: int) -> None:
    """RuntimeError: the switch has not just so many flows."""
    found = count(switch)
    if found != flows:
        raise RuntimeError(f"{switch.kind}: {found} flows, not {flows}")


def table_times(kind: str) -> dict[str, float]:
    """Seconds of each of ovs-ofctl's commands on a table of `FLOWS` flows, and bytes a flow."""
    times: dict[str, float] = {}
    with stack(kind) as switch:
        plain, changed = switch.directory / "flows", switch.directory / "changed"
        write_flows(plain)
        write_flows(changed, True)
        switch.add_bridge(BR, ["p1", "p2", "p3"])
        before = switch.memory()
        times["add-flows"] = seconds(lambda: switch.ofctl("add-flows", BR, str(plain)))
        expect(switch, FLOWS)
        times["memory"] = (switch.memory() - before) / FLOWS
        times["dump-flows"] = seconds(lambda: switch.ofctl("dump-flows", BR))
        times["replace-flows"] = seconds(lambda: switch.ofctl("replace-flows", BR, str(changed)))
        expect(switch, FLOWS)
        times["del-flows"] = seconds(lambda: switch.ofctl("del-flows", BR, "cookie=0x10/-1"))
        expect(switch, FLOWS // 2)
        switch.ofctl("del-flows", BR)
        times["bundle"] = seconds(lambda: switch.ofctl("--bundle", "add-flows", BR, str(plain)))
        expect(switch, FLOWS)
    return times


def bench() -> list[Row]:
    """All rows of this section."""
    gc.collect()
    peer = table_times(PEER)
    ours = table_times(OURS)
    rows = []
    for key, name in (
        ("add-flows", "add-flows, 100,000"),
        ("bundle", "add-flows --bundle"),
        ("replace-flows", "replace-flows, half changed"),
        ("dump-flows", "dump-flows, 100,000"),
        ("del-flows", "del-flows by cookie, 50,000"),
    ):
        rows.append(Row(name, "s", ours[key], peer[key], better="lower", goal=">= 1",
                        note=f"{ours[key] / FLOWS * 1e6:.1f} and {peer[key] / FLOWS * 1e6:.1f} us a flow"))
    rows.append(Row("memory a flow", "bytes", ours["memory"], peer["memory"], better="lower", goal=">= 1"))
    return rows
