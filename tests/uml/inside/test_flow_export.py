"""NetFlow, sFlow and IPFIX of traffic that the kernel forwards, as collectors that others wrote read it."""

from __future__ import annotations

from pathlib import Path

from tests.monitor.live import WANTED, exported
from tests.stack import Stack


def test_collectors_read_the_traffic_that_was_sent(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    try:
        assert exported(stack, "system") == WANTED
        flows = stack.run("ovs-appctl", "-t", str(next(tmp_path.glob("ovs-vswitchd.*.ctl"))), "coverage/show")
        assert "sflow_flow_samples" in flows
    finally:
        stack.close()
