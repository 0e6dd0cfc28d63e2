"""Ingress policing where the kernel forwards: rates as they are measured, and what is counted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bridge.test_policers import LIMIT, measured
from tests.dpif_ebpf.test_switch import appctl, in_kernel
from tests.stack import Stack, until

pytestmark = pytest.mark.system


def test_the_kernel_polices_what_it_forwards(require: Callable[..., None], tmp_path: Path) -> None:
    require("root", "netns", "tun", "ebpf", "command:ovsdb-server", "command:ovs-vsctl", "command:ping")
    stack = Stack(tmp_path)
    try:
        bits = f"set interface h1 ingress_policing_rate={LIMIT * 8 // 1000} ingress_policing_burst=200"
        packets = "set interface h3 ingress_policing_kpkts_rate=1 ingress_policing_kpkts_burst=1"
        found = measured(stack, {1: bits, 3: packets}, "ebpf", offered=4000)
        assert abs(found[1] / LIMIT - 1) < 0.05, found
        assert abs(found[3] / 1_000_000 - 1) < 0.05, found
        assert in_kernel(stack) > 3000
        counted = re.search(r"datapath_drop_ingress_policer.*total: (\d+)", appctl(stack, "coverage/show"))
        assert counted
        assert int(counted[1]) > 3000
        flows = appctl(stack, "dpctl/dump-flows", "-m")
        assert re.search(r"packets:\d{4,}.*offloaded:yes, dp:ebpf", flows), flows
        assert "meter" not in flows, "nobody sees the meters that police"
        stack.run("ovs-vsctl", "set", "interface", "h1", "ingress_policing_rate=0")
        until("the policer is gone", lambda: stack.pings(f"{stack.name}h1", "10.0.0.2", 3) == 3)
    finally:
        stack.close()
