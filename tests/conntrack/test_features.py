"""What the datapath says that it can track, as the real one."""

from __future__ import annotations

import pytest

from tests.conntrack.pair import OurTracker, RealTracker

pytestmark = pytest.mark.system


def test_the_same_features(real_tracker: RealTracker, our_tracker: OurTracker) -> None:
    found = []
    for tracker in (real_tracker, our_tracker):
        lines = tracker.command("dpif/show-dp-features", "br0").splitlines()
        found.append([line for line in lines if line.startswith(("CT ", "Conntrack"))])
    assert found[0] == found[1]
    assert all(line.endswith("Yes") for line in found[1])
