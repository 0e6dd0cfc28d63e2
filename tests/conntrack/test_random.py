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

pytestmark = pytest.mark.system

N_SEQUENCES = 2000 if os.environ.get("VSWITCH_TEST_ALL") else 60
CHUNK = 20
LENGTH = 40
WAITS = (1, 1000, 7000, 20000, 40000)


def sequence(real: RealTracker, ours: OurTracker, seed: int) -> str:
    """Where the two differ in one random sequence; every third is IPv6."""
    table = flow_table("zones")
    real.flows(table)
    ours.flows(table)
    walk = Walk(seed, six=seed % 3 == 2)
    for n in range(LENGTH):
        port, packet = walk.packet()
        found = step(real, ours, port, packet)
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
