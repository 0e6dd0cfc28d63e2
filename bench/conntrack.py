"""Connection tracking in the userspace datapath: established and new connections, NAT, memory, expiry.

The peer gets each measurement right before ours, on the same veth pairs. New connections are UDP packets
with random ports, a connection each, which a timeout policy lets both keep; both say how many they have.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.report import Row
from bench.stack import OURS, PEER, Stack, stack, until
from bench.stall import pinging
from bench.topology import Host, hosts, run, stop_group
from bench.traffic import PAYLOAD, ping, tcp, udp
from vswitch.dpif.userspace.conntrack.key import Key, ports_meta
from vswitch.dpif.userspace.conntrack.tracker import Tracker

OUTSIDE = "10.77.0.200"
TRACKED = (
    "priority=10,in_port=1,ip,actions=ct(commit,table=1)",
    "priority=10,in_port=2,ip,actions=ct(table=1)",
    "priority=0,actions=NORMAL",
    "table=1,in_port=1,actions=output:2",
    "table=1,in_port=2,actions=output:1",
)
TRANSLATED = (
    f"priority=10,in_port=1,ip,actions=ct(commit,table=1,nat(src={OUTSIDE}))",
    "priority=10,in_port=2,ip,actions=ct(nat,table=1)",
    *TRACKED[2:],
)
HELD = 1_000_000
EXPIRING = 100_000
KEPT_S = 86_400
"""For how long an unanswered UDP connection is kept..."""
SOON_S = 5
"""...and for how long where it is the expiry that is measured."""


@contextmanager
def switch(kind: str, ports: Sequence[str], flows: Sequence[str], kept: int = KEPT_S) -> Iterator[Stack]:
    """A switch of `kind` over `ports`, numbered from 1; unanswered UDP connections are kept for `kept` s."""
    with stack(kind, dummy=False) as made:
        made.vsctl("--", "--id=@m", "create", "Datapath", "datapath_version=0", "--", "set", "Open_vSwitch",
                   ".", "datapaths:netdev=@m")
        made.vsctl("add-zone-tp", "netdev", "zone=0", f"udp_first={kept}",
                   f"udp_single={kept}")
        made.add_bridge("br0", ports)
        made.ofctl("add-flows", made.mgmt(), "-", stdin="\n".join(flows))
        try:
            yield made
        finally:
            made.vsctl("del-br", "br0")


def connections(made: Stack) -> int:
    """How many connections the switch has."""
    return int(made.appctl("dpctl/ct-get-nconns"))


class NewConnections:
    """A host that sends UDP packets with random ports as fast as one trafgen can, until it is left."""

    def __init__(self, client: Host, server: Host) -> None:
        self.client = client
        self.server = server
        self.scratch = TemporaryDirectory()

    def __enter__(self) -> None:
        octets = ",".join(f"0x{part}" for part in f"{self.server.mac}:{self.client.mac}".split(":"))
        packet = Path(self.scratch.name, "new.cfg")
        packet.write_text(
            "{ " + octets + ", c16(0x0800),\n"
            f"  0x45, 0, c16({28 + 18}), c16(1), c16(0x4000), 64, 17, csumip(14, 33),\n"
            f"  {self.client.address.replace('.', ',')}, {self.server.address.replace('.', ',')},\n"
            f"  drnd(4), c16({8 + 18}), c16(0), fill(0x55, 18) " + "}\n"
        )
        command = self.client.command("trafgen", "--cpp", "-i", str(packet), "-o", "eth0", "-P", "1", "-q")
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def __exit__(self, *_: object) -> None:
        stop_group(self.process)
        self.scratch.cleanup()


def fill(made: Stack, client: Host, server: Host, seconds: float, held: int) -> dict[str, float]:
    """New connections a second, up to half of `held`, and bytes a connection once there are `held`.

    TimeoutError if there aren't within two minutes.
    """
    empty, before = made.memory(), connections(made)
    with NewConnections(client, server):
        until = time.monotonic() + 120
        while (first := connections(made)) == before:
            if time.monotonic() > until:
                raise TimeoutError(f"{made.kind}: no new connections")
        begin = now = time.monotonic()
        count = first
        while count < held // 2 and now < begin + seconds:
            time.sleep(0.1)
            count, now = connections(made), time.monotonic()
        rate = (count - first) / (now - begin)
        while (count := connections(made)) < held:
            if time.monotonic() > until:
                raise TimeoutError(f"{made.kind}: {count} connections after two minutes, {rate:.0f} a second")
            time.sleep(0.2)
    count = connections(made)
    return {"new": rate, "held": count, "bytes": (made.memory() - empty) / count}


def tracked(kind: str, a: Host, b: Host, seconds: float, held: int) -> dict[str, float]:
    """Established packets first, then ever new connections."""
    with switch(kind, [a.port, b.port], TRACKED) as made:
        made.appctl("dpctl/ct-set-maxconns", str(held))
        ping(a, b, 20)
        values = {}
        values["udp"], values["offered"] = udp(a, b, seconds)
        return values | fill(made, a, b, seconds, held)


def translated(kind: str, a: Host, b: Host, seconds: float) -> float:
    """Gbit/s of one TCP connection with source NAT. The peer's hosts don't offload checksums."""
    with switch(kind, [a.port, b.port], TRANSLATED):
        for host in (a, b):
            run(*host.command("ethtool", "-K", "eth0", "tx", "on" if kind == OURS else "off"))
        run(*b.command("ip", "neigh", "replace", OUTSIDE, "lladdr", a.mac, "dev", "eth0"))
        return tcp(a, b, seconds)


def beside_expiry(a: Host, b: Host, count: int) -> dict[str, float]:
    """Our longest wait of a ping, ms, while `count` connections that came within about a second expire, and
    ("... lost") how many pings were lost. The peer keeps connections longer than the policy says."""
    values: dict[str, float] = {}
    with switch(OURS, [a.port, b.port], ("priority=50,icmp,actions=NORMAL", *TRACKED), SOON_S) as made:
        made.appctl("dpctl/ct-set-maxconns", str(count))
        ping(a, b, 20)
        with NewConnections(a, b):
            until("new connections", lambda: connections(made) >= count)
        with pinging(a, b, values, "expiry"):
            until("their end", lambda: connections(made) == 0)
    return values


def expiry(count: int) -> tuple[float, float, float]:
    """Of the turns in which `count` connections that end at the same time are forgotten: the longest in ms
    of CPU time, and by the clock, which also has what else the machine did; all of them in ms of CPU time."""
    tracker = Tracker(1)
    orig, reply = Key(), Key()
    for n in range(count):
        orig.src_lo, orig.dst_lo = 0x0A000000 + (n >> 14), 0x0A630001
        orig.meta = ports_meta(1024 + (n & 0x3FFF), 80) | 17 << 8 | 4
        orig.copy_to(reply)
        reply.reverse()
        conn = tracker.table.create(orig, reply, 0)
        tracker.limits.zone(0).count += 1
        tracker.wait(conn, 6, 0)
    longest, by_clock, begin = 0.0, 0.0, time.thread_time()
    more = True
    while more:
        before, clock = time.thread_time(), time.perf_counter()
        more = tracker.run(10_000_000)
        longest = max(longest, time.thread_time() - before)
        by_clock = max(by_clock, time.perf_counter() - clock)
    if tracker.table.count:
        raise RuntimeError(f"{tracker.table.count} connections are left")
    return longest * 1000, by_clock * 1000, (time.thread_time() - begin) * 1000


def bench(seconds: float = 5, held: int = HELD) -> list[Row]:
    """Rows for the userspace datapath's tracker beside the peer's."""
    with hosts(prefix="vsct") as (a, b):
        peer = tracked(PEER, a, b, seconds, held)
        ours = tracked(OURS, a, b, seconds, held)
        peer_nat = translated(PEER, a, b, seconds)
        our_nat = translated(OURS, a, b, seconds)
        wait = beside_expiry(a, b, EXPIRING)
    longest, by_clock, whole = expiry(EXPIRING)
    return [
        Row(f"established: UDP, {PAYLOAD}-byte payload", "packets/s", ours["udp"], peer["udp"], goal=">= 1",
            note=f"offered {ours['offered']:,.0f} and {peer['offered']:,.0f}"),
        Row("new connections through ct(commit)", "a second", ours["new"], peer["new"], goal=">= 1"),
        Row("memory of a connection", "bytes", ours["bytes"], peer["bytes"], better="lower", goal=">= 0.83",
            note=f"{ours['held']:,.0f} and {peer['held']:,.0f} held"),
        Row("TCP with source NAT", "Gbit/s", our_nat, peer_nat, goal=">= 5",
            note="peer with tx offload off, ours with it on"),
        Row(f"longest turn while {EXPIRING:,} connections expire", "ms CPU", longest, better="lower",
            goal="< 10", note=f"{by_clock:.1f} ms by the clock; {whole:.0f} ms CPU in all"),
        Row(f"longest ping while {EXPIRING:,} connections expire", "ms", wait["expiry"], better="lower",
            goal="< 10", note=f"{wait['expiry lost']:.0f} lost"),
    ]
