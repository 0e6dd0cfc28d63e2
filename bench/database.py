"""Configuration through the database: ovs-vsctl with few and many ports, start-up, memory at rest.

Three pairs of switch and database server, one after the other, on dummy devices and all asked by the
real ovs-vsctl: the real switch on the real server, ours on the real server, and `vswitch up`, which is
ours on our own server.
"""

from __future__ import annotations

import statistics
import time

from bench.report import Row
from bench.stack import EMBEDDED, KINDS, OURS, PEER, Stack, stack

PRESENT = (10, 100, 500)
"""How many ports are there when one more is added."""
ADDED = 10
"""How many are added one by one, for the median."""
STARTS = 3
NAMES = {OURS: "ours on ovsdb-server", EMBEDDED: "vswitch up"}


def milliseconds(switch: Stack, *words: str) -> float:
    """How long ovs-vsctl takes until the switch has done what it was told."""
    begin = time.monotonic()
    switch.vsctl(*words)
    return (time.monotonic() - begin) * 1e3


def add_ports(switch: Stack, first: int, count: int) -> float:
    """Milliseconds for `count` ports in one transaction."""
    words: list[str] = []
    for n in range(first, first + count):
        words += ["--", "add-port", "br0", f"p{n}"]
    return milliseconds(switch, *words[1:])


def check(switch: Stack, ports: int) -> None:
    """RuntimeError: the switch has not just so many ports, besides its own."""
    found = switch.ofctl("dump-ports-desc", "br0").count("addr:") - 1
    if found != ports:
        raise RuntimeError(f"{switch.kind}: {found} ports, not {ports}")


def port_times(kind: str) -> dict[str, float]:
    """ms of adding a port to so many, of adding and removing 500 at once; bytes at rest and with 510."""
    values: dict[str, float] = {}
    with stack(kind) as switch:
        switch.add_bridge()
        time.sleep(1)  # Not measured: what a daemon puts off until it has nothing to do.
        values["rest"] = switch.memory()
        values["rest, database"] = switch.memory("ovsdb-server")
        there = 0
        for present in PRESENT:
            add_ports(switch, there, present - there)
            there = present
            single = [add_ports(switch, there + n, 1) for n in range(ADDED)]
            there += ADDED
            values[f"one to {present}"] = statistics.median(single)
        check(switch, there)
        switch.add_bridge("br1")
        words: list[str] = []
        for n in range(500):
            words += ["--", "add-port", "br1", f"q{n}"]
        values["500 at once"] = milliseconds(switch, *words[1:])
        values["full"] = switch.memory()
        values["del-br"] = milliseconds(switch, "del-br", "br1")
        check(switch, there)
    return values


def start_times(kind: str) -> dict[str, float]:
    """Seconds to the first pidfile and to the end of a first `ovs-vsctl add-br`, medians.

    `vswitch up` starts its database server too, the others' is there already.
    """
    ready, bridge = [], []
    for _ in range(STARTS):
        with stack(kind, started=False) as switch:
            if kind != EMBEDDED:
                switch.start_database()
            begin = time.monotonic()
            if kind == EMBEDDED:
                switch.start()
            else:
                switch.start_switch()
            ready.append(time.monotonic() - begin)
            switch.add_bridge()
            bridge.append(time.monotonic() - begin)
    return {"ready": statistics.median(ready), "bridge": statistics.median(bridge)}


def bench() -> list[Row]:
    """All rows of this section."""
    values = {kind: {**start_times(kind), **port_times(kind)} for kind in KINDS}
    peer = values[PEER]
    rows: list[Row] = []
    for kind in (OURS, EMBEDDED):
        ours, who = values[kind], NAMES[kind]

        def row(name: str, unit: str, key: str, scale: float = 1, goal: str = ">= 1", note: str = "",
                ours: dict[str, float] = ours, who: str = who) -> Row:
            return Row(f"{name}: {who}", unit, ours[key] / scale, peer[key] / scale, better="lower",
                       goal=goal, note=note)

        note = "both processes; the peer's is the switch alone" if kind == EMBEDDED else ""
        rows.append(row("start to pidfile", "s", "ready", note=note))
        rows.append(row("start to the first bridge", "s", "bridge", note=note))
        rows += [row(f"add-port to {present}", "ms", f"one to {present}") for present in PRESENT]
        rows.append(row("500 ports in one transaction", "ms", "500 at once"))
        rows.append(row("del-br of 500 ports", "ms", "del-br"))
        rows.append(row("memory of the switch at rest", "MB", "rest", 1e6))
        rows.append(row("memory of the switch, 1,030 ports", "MB", "full", 1e6))
        rows.append(row("memory of the database at rest", "MB", "rest, database", 1e6))
    return rows
