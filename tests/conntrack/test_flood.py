"""A flood of new connections: what they take stays under the limit that was set, and is given back.

For a second here, for 60 with VSWITCH_TEST_ALL=1.
"""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.conntrack.test_fuzz import Bench
from tests.whole import ALL
from vswitch.base import coverage
from vswitch.dpif.userspace.conntrack.table import CHUNK
from vswitch.dpif.userspace.conntrack.tracker import EXPIRE_BUDGET
from vswitch.netdev.frame import VNET_NEEDS_CSUM, Frame

SECONDS = 60 if ALL else 1
LIMIT = 100_000 if ALL else 3000
BYTES = 400
"""A connection takes fewer than these; the peer's takes 340."""
PACKET = bytes(Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2, chksum=0))


def resident() -> int:
    """Bytes of this process that are in RAM (proc(5), statm)."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def flood(bench: Bench, seconds: float) -> int:
    """New connections, from ever other addresses and ports, for so long: how many packets there were."""
    packet = bytearray(PACKET)
    end = time.monotonic() + seconds
    n = 0
    while True:
        packet[26:30] = (0x0A000000 + n // 60_000).to_bytes(4, "big")
        packet[34:36] = (1 + n % 60_000).to_bytes(2, "big")
        bench.take(Frame(bytes(packet), VNET_NEEDS_CSUM, 0, 42, 0, 34, 6), 0)
        n += 1
        if n % 1000 == 0:
            bench.now += 5
            bench.tracker.run(bench.now)
            assert bench.tracker.table.count <= LIMIT
            if n > 2 * LIMIT and time.monotonic() > end:
                return n


def chunks(bench: Bench) -> int:
    """Pieces of memory that hold connections."""
    return sum(1 for chunk in bench.tracker.table.chunks if len(chunk))


def test_a_flood_stays_under_the_limit_and_its_memory_is_freed() -> None:
    bench = Bench()
    tracker = bench.tracker
    table = tracker.table
    tracker.limits.maximum = LIMIT
    flood(bench, 0)  # what Python needs for itself is there now
    bench.now += 100_000
    while tracker.run(bench.now):
        pass
    before, full = resident(), coverage.counter("conntrack_full").total
    count = flood(bench, SECONDS)
    assert table.count == LIMIT
    assert coverage.counter("conntrack_full").total - full > count - 2 * LIMIT
    assert chunks(bench) <= LIMIT // CHUNK + 2
    assert resident() - before < LIMIT * BYTES

    bench.now += 100_000
    turns = 0
    while tracker.run(bench.now):
        left = table.count
        turns += 1
        assert left == LIMIT - turns * EXPIRE_BUDGET, "a turn forgets no more than its share"
    assert table.count == 0
    assert chunks(bench) <= 1
    assert len(table.segments) == 1
    assert resident() - before < LIMIT * BYTES // 4
