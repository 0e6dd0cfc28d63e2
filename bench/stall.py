"""How long a packet of an established flow waits while the switch has much else to do.

A host pings another one through the userspace datapath every 5 ms, beside each of: a bundle of 100,000
flows, a dump of them, their deletion, revalidation of 50,000 datapath flows, 500 ports added. What is
told is the longest round trip, which has the machine's own delays in it ("nothing" shows them).
"""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter

from bench.openflow import BR as TABLE
from bench.openflow import expect, write_flows
from bench.report import Row
from bench.stack import OURS, PEER, Stack, stack
from bench.topology import Host, cpu_seconds, hosts, run

BRIDGE = "vsbst0"
INTERVAL_S = 0.005
FACETS = 50_000
RATE = 10_000
"""New flows a second while the datapath's flows are made."""
TIMES = 5
"""How often what is as short as the machine's own delays is measured."""
PORTS = 500
BASE = ("priority=50,arp,actions=NORMAL", "priority=50,icmp,actions=NORMAL",
        "priority=50,udp,actions=move:NXM_OF_UDP_SRC[]->NXM_NX_REG0[0..15],"
        "move:NXM_OF_IP_SRC[]->NXM_NX_REG1[]")
"""What forwards the ping, and what makes every UDP packet a datapath flow of its own, which drops it."""


@contextmanager
def pinging(a: Host, b: Host, values: dict[str, float], what: str) -> Iterator[None]:
    """Ping while within. `values[what]` gets the longest wait, ms: for the answer to a packet, or from one
    answer to the next if packets were lost; `values["... lost"]` how many were. What came before the work
    began doesn't count: the first packets are of no established flow."""
    command = a.command("ping", "-n", "-D", "-i", str(INTERVAL_S), b.address)
    with tempfile.TemporaryFile("w+") as out, \
            subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL) as ping:
        try:
            time.sleep(0.5)
            begin = time.time()
            yield
            time.sleep(0.5)
        finally:
            ping.send_signal(signal.SIGINT)
            ping.wait(20)
        out.seek(0)
        answers = [(float(when), int(number), float(took)) for when, number, took in
                   re.findall(r"\[([\d.]+)\] .* icmp_seq=(\d+) .*time=([\d.]+) ms", out.read())
                   if float(when) >= begin]
    if len(answers) < 2:
        raise RuntimeError(f"{what}: no answers to pings")
    gaps = [(when - before) * 1e3 for (before, _, _), (when, _, _) in itertools.pairwise(answers)]
    lost = answers[-1][1] - answers[0][1] + 1 - len(answers)
    values[f"{what} lost"] = lost
    values[what] = max([took for _, _, took in answers] + (gaps if lost else []))


def fill_datapath(a: Host, b: Host) -> None:
    """Send `FACETS` packets, each of a flow of its own."""
    words = ("-m", "bench.newpackets", "eth0", str(FACETS), str(RATE), b.mac)
    run(*a.command(sys.executable, *words), timeout=120)


def datapath_flows(switch: Stack) -> int:
    """How many flows the datapath has."""
    said = switch.appctl("dpctl/show", "netdev@ovs-netdev")
    found = re.search(r"flows: (\d+)", said)
    return int(found[1]) if found else 0


def waits(kind: str, a: Host, b: Host) -> dict[str, float]:
    """The longest wait, ms, beside each of the works; "... s" is how long it took, "... CPU" what of the
    switch's CPU time."""
    values: dict[str, float] = {}
    with stack(kind, started=False, dummy=False) as switch:
        switch.options = ("--enable-dummy", "--disable-system")
        switch.start()
        flows = switch.directory / "flows"
        write_flows(flows)
        switch.add_bridge(BRIDGE, [a.port, b.port])
        switch.add_bridge(TABLE)
        for flow in BASE:
            switch.ofctl("add-flow", BRIDGE, flow)

        def beside(what: str, work: Callable[[], object], times: int = 1) -> None:
            """Of several times the median."""
            tries = []
            for _ in range(times):
                each: dict[str, float] = {}
                with pinging(a, b, each, what):
                    cpu, begin = cpu_seconds(switch.pid()), time.monotonic()
                    work()
                    each[f"{what} s"] = time.monotonic() - begin
                    each[f"{what} CPU"] = cpu_seconds(switch.pid()) - cpu
                tries.append(each)
            values.update(sorted(tries, key=itemgetter(what))[times // 2])
            values[f"{what} worst"] = max(each[what] for each in tries)
            values[f"{what} lost"] = sum(each[f"{what} lost"] for each in tries)

        beside("nothing", lambda: time.sleep(2))
        beside("bundle", lambda: switch.ofctl("--bundle", "add-flows", BRIDGE, str(flows)))
        beside("dump", lambda: switch.ofctl("dump-flows", BRIDGE))
        beside("deletion", lambda: switch.ofctl("del-flows", BRIDGE, "cookie=0x10/0x10"))
        switch.ofctl("--bundle", "add-flows", TABLE, str(flows))
        expect(switch, 100_000)
        beside("another bridge", lambda: switch.ofctl("del-flows", TABLE))
        switch.vsctl("set", "Open_vSwitch", ".", "other_config:max-idle=600000")
        switch.appctl("upcall/set-flow-limit", "200000")
        fill_datapath(a, b)
        values["facets"] = datapath_flows(switch)

        types = itertools.count(0x9000)

        def change() -> None:
            switch.ofctl("add-flow", BRIDGE, f"priority=1,dl_type={next(types)},actions=drop")
            time.sleep(2)

        time.sleep(2)  # until what came of 50,000 misses is over
        beside("facets alone", lambda: time.sleep(2), TIMES)
        beside("revalidation", change, TIMES)
        words: list[str] = []
        for n in range(PORTS):
            words += ["--", "add-port", TABLE, f"q{n}", "--", "set", "interface", f"q{n}", "type=dummy"]
        beside("ports", lambda: switch.vsctl(*words[1:]))
        for name in (TABLE, BRIDGE):
            switch.vsctl("del-br", name)
    return values


def bench() -> list[Row]:
    """All rows of this section."""
    with hosts(prefix="vsbst") as (a, b):
        peer, ours = waits(PEER, a, b), waits(OURS, a, b)
    rows = []
    for key, name, goal in (
        ("nothing", "nothing else to do", ""),
        ("bundle", "a bundle of 100,000 flows", "< 20 ms, >= 1"),
        ("dump", "a dump of 100,000 flows", "< 20 ms, >= 1"),
        ("deletion", "deletion of 100,000 flows", "< 20 ms, >= 1"),
        ("another bridge", "the same on another bridge", "< 20 ms, >= 1"),
        ("facets alone", "nothing else to do, with the flows of the next row", ""),
        ("revalidation", f"a full revalidation, the median of {TIMES}", "< 20 ms, >= 1"),
        ("ports", f"{PORTS} ports added", "< 20 ms, >= 1"),
    ):
        lost = f"lost {ours[key + ' lost']:.0f} and {peer[key + ' lost']:.0f}, "
        note = f"{lost}took {ours[key + ' s']:.2f} and {peer[key + ' s']:.2f} s, " \
               f"CPU {ours[key + ' CPU']:.2f} and {peer[key + ' CPU']:.2f} s"
        if key == "revalidation":
            note = f"{lost}worst {ours[key + ' worst']:.1f} and {peer[key + ' worst']:.1f}, " \
                   f"{ours['facets']:,.0f} and {peer['facets']:,.0f} datapath flows, " \
                   f"CPU {ours[key + ' CPU']:.2f} and {peer[key + ' CPU']:.2f} s"
        rows.append(Row(f"longest ping beside: {name}", "ms", ours[key], peer[key], better="lower",
                        goal=goal, note=note))
    return rows
