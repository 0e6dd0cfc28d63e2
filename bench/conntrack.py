"""Connection tracking in the userspace datapath: established and new connections, NAT, memory, expiry.

The peer gets each measurement right before ours, on the same veth pairs. New connections are UDP packets
with random ports, a connection each; both switches say how many they have.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.report import Row
from bench.topology import Host, Running, hosts, our_switch, peer_switch, run, stop_group
from bench.traffic import PAYLOAD, ping, tcp, udp
from vswitch.dpif.userspace.conntrack.key import Key, ports_meta
from vswitch.dpif.userspace.conntrack.tracker import Tracker

OUTSIDE = "10.77.0.200"
TRACKED = (
    "priority=10,in_port=1,ip,actions=ct(commit,table=1)",
    "priority=10,in_port=2,ip,actions=ct(table=1)",
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


def connections(switch: Running) -> int:
    """How many connections the switch has."""
    return int(run("ovs-appctl", "-t", switch.control, "dpctl/ct-get-nconns"))


def resident(pid: int) -> int:
    """Resident memory of `pid` in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


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


def fill(switch: Running, client: Host, server: Host, seconds: float, held: int) -> dict[str, float]:
    """New connections a second, and bytes a connection once there are `held` (or time is up)."""
    empty = resident(switch.pid)
    with NewConnections(client, server):
        time.sleep(1)
        first, begin = connections(switch), time.monotonic()
        time.sleep(seconds)
        rate = (connections(switch) - first) / (time.monotonic() - begin)
        deadline = time.monotonic() + held / max(rate, 1) * 2 + 10
        while (count := connections(switch)) < held and time.monotonic() < deadline:
            time.sleep(0.2)
    count = connections(switch)
    return {"new": rate, "held": count, "bytes": (resident(switch.pid) - empty) / max(count, 1)}


def tracked(switch: AbstractContextManager[Running], a: Host, b: Host, seconds: float,
            held: int) -> dict[str, float]:
    """Established packets first, then ever new connections."""
    with switch as running:
        run("ovs-appctl", "-t", running.control, "dpctl/ct-set-maxconns", str(held))
        ping(a, b, 20)
        values = {}
        values["udp"], values["offered"] = udp(a, b, seconds)
        return values | fill(running, a, b, seconds, held)


def translated(switch: AbstractContextManager[Running], a: Host, b: Host, seconds: float,
               offloads: bool) -> float:
    """Gbit/s of one TCP connection with source NAT."""
    with switch:
        for host in (a, b):
            run(*host.command("ethtool", "-K", "eth0", "tx", "on" if offloads else "off"))
        run(*b.command("ip", "neigh", "replace", OUTSIDE, "lladdr", a.mac, "dev", "eth0"))
        return tcp(a, b, seconds)


def expiry(count: int) -> tuple[float, float]:
    """(longest turn in ms, all of it in ms) while `count` connections end at the same time."""
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
    longest, begin = 0.0, time.perf_counter()
    more = True
    while more:
        before = time.perf_counter()
        more = tracker.run(10_000_000)
        longest = max(longest, time.perf_counter() - before)
    if tracker.table.count:
        raise RuntimeError(f"{tracker.table.count} connections are left")
    return longest * 1000, (time.perf_counter() - begin) * 1000


def bench(seconds: float = 5, held: int = HELD) -> list[Row]:
    """Rows for the userspace datapath's tracker beside the peer's."""
    with hosts() as (a, b):
        ports = [a.port, b.port]
        peer = tracked(peer_switch(ports, flows=TRACKED), a, b, seconds, held)
        ours = tracked(our_switch(ports, flows=TRACKED), a, b, seconds, held)
        peer_nat = translated(peer_switch(ports, flows=TRANSLATED), a, b, seconds, False)
        our_nat = translated(our_switch(ports, flows=TRANSLATED), a, b, seconds, True)
    longest, whole = expiry(EXPIRING)
    return [
        Row(f"established: UDP, {PAYLOAD}-byte payload", "packets/s", ours["udp"], peer["udp"], goal=">= 1",
            note=f"offered {ours['offered']:,.0f} and {peer['offered']:,.0f}"),
        Row("new connections through ct(commit)", "a second", ours["new"], peer["new"], goal=">= 1"),
        Row("memory of a connection", "bytes", ours["bytes"], peer["bytes"], better="lower", goal=">= 0.83",
            note=f"{ours['held']:,.0f} and {peer['held']:,.0f} held"),
        Row("TCP with source NAT", "Gbit/s", our_nat, peer_nat, goal=">= 5",
            note="peer with tx offload off, ours with it on"),
        Row(f"longest turn while {EXPIRING:,} connections expire", "ms", longest, better="lower", goal="< 10",
            note=f"{whole:.0f} ms in all"),
    ]
