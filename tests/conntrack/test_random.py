"""Random packets of TCP, UDP, ICMP and others over several zones: the same packets out, byte for byte, with
their states, marks and labels written into them, and the same connections after each.

A fixed sample here; 2,000 sequences with VSWITCH_TEST_ALL=1.
"""

from __future__ import annotations

import os

import pytest

from tests.conntrack.compare import difference, step
from tests.conntrack.packets import Walk
from tests.conntrack.pair import OurTracker, RealTracker
from tests.conntrack.tables import flow_table
from vswitch.base import coverage

pytestmark = pytest.mark.system

N_SEQUENCES = 2000 if os.environ.get("VSWITCH_TEST_ALL") else 60
CHUNK = 20
LENGTH = 40
exhausted = coverage.counter("datapath_drop_nat_exhausted")
renewed = coverage.counter("conntrack_tcp_renewed")
WAITS = (1, 1000, 7000, 20000, 40000)


def sequence(real: RealTracker, ours: OurTracker, seed: int) -> str:
    """Where the two differ in one random sequence; every third is IPv6, every other with NAT."""
    nat = seed % 2 == 1
    table = flow_table("random_nat" if nat else "zones")
    real.flows(table)
    ours.flows(table)
    walk = Walk(seed, six=seed % 3 == 2, nat=nat)
    for n in range(LENGTH):
        port, packet = walk.packet()
        before = exhausted.total + renewed.total
        found = step(real, ours, port, packet)
        if nat and exhausted.total + renewed.total > before:
            # From here on they know different things. Without an address that is left, ours drops a packet
            # and the real one sends it as it is; for a connection that begins anew, ours has the same port
            # once more and the real one takes another.
            return ""
        if found:
            return f"seed {seed}, packet {n}: {found}"
        if n % 7 == 6:
            wait = walk.roll.choice(WAITS)
            real.warp(wait)
            ours.warp(wait)
    assert difference(real, ours) == ""
    theirs, mine = real.counters(), ours.counters()
    return "" if theirs == mine else f"seed {seed}: counters\n-{theirs}\n+{mine}"


@pytest.mark.parametrize("first", range(0, N_SEQUENCES, CHUNK))
def test_random_packets(real_tracker: RealTracker, our_tracker: OurTracker, first: int) -> None:
    for seed in range(first, first + CHUNK):
        found = sequence(real_tracker, our_tracker, seed)
        assert not found, found
