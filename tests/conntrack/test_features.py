"""What the datapath says that it can track, and what is matched of it, as the real one."""

from __future__ import annotations

import time

import pytest

from tests.conntrack.pair import OurTracker, RealTracker
from tests.conntrack.tables import flow_table
from tests.oracle.test_datapath_flows import flows as datapath_flows

pytestmark = pytest.mark.system


def test_the_same_features(real_tracker: RealTracker, our_tracker: OurTracker) -> None:
    found = []
    for tracker in (real_tracker, our_tracker):
        lines = tracker.command("dpif/show-dp-features", "br0").splitlines()
        found.append([line for line in lines if line.startswith(("CT ", "Conntrack"))])
    assert found[0] == found[1]
    assert all(line.endswith("Yes") for line in found[1])


@pytest.mark.parametrize("table", ["plain", "snat", "both"])
def test_the_same_datapath_flows(real_tracker: RealTracker, our_tracker: OurTracker, table: str) -> None:
    udp = "02000000010102000000000108004500002100010000401166c9"
    packet = bytes.fromhex(udp + "0a0000010a00000203e80035000d" + "0000" + "0000000000")
    our_tracker.flows(flow_table(table))
    our_tracker.send(1, packet)
    mine = datapath_flows(our_tracker.command("dpctl/dump-flows", "--names"))
    assert len(mine) >= 2
    real_tracker.flows(flow_table(table))
    theirs: list[str] = []
    end = time.monotonic() + 5
    while theirs != mine and time.monotonic() < end:
        # Its threads may still be at the flows of before.
        real_tracker.send(1, packet, 1)
        theirs = datapath_flows(real_tracker.command("dpctl/dump-flows", "--names"))
    assert theirs == mine
