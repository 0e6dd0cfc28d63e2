"""Ingress policing where the kernel forwards: rates as they are measured, and what is counted."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bridge.test_policers import LIMIT, measured
from tests.dpif.lab import key_of, udp
from tests.dpif_ebpf.pair import EXACT, REDIRECT, Pair
from tests.dpif_ebpf.test_switch import appctl, in_kernel
from tests.stack import Stack, until
from vswitch.dpif.actions import DecTtl, Meter, Output
from vswitch.dpif.ebpf.interpret import TTL_OVER
from vswitch.dpif.ops import FlowPut
from vswitch.dpif.types import MeterBand, MeterConfig, MeterStats, Policing

pytestmark = pytest.mark.system


def test_a_policed_port_decrements_ttls_in_the_kernel(pair: Pair) -> None:
    """What has none left goes up when the port's meters have counted it, and isn't policed again."""
    pair.ebpf.set_policing(pair.port, Policing(kpkts=1, kpkts_burst=1))
    actions = (DecTtl(()), Output(pair.out))
    packet = udp()
    verdict, got, counted = pair.in_kernel(packet, actions)
    assert (verdict, counted) == (REDIRECT, 1)
    assert got[22] == packet[22] - 1
    meters = pair.ebpf.offload._policers[pair.port]
    over = packet[:22] + b"\1" + packet[23:24] + b"\0\0" + packet[26:]
    pair.ebpf.offload.up.take(10)
    ran, counted = pair.ran(over, actions)
    assert counted == 1
    ((record, data),) = pair.ebpf.offload.up.take(10)
    assert (record.argument, data) == (TTL_OVER, over)
    assert ran.result != REDIRECT
    stats = pair.ebpf.offload.tables.meters.stats(meters[0].meter_id, MeterStats(0, 0, [(0, 0)]))
    assert stats.packets_in == 2
    key = key_of(packet, pair.port)
    meter_of_its_own = FlowPut(key.masked(EXACT), EXACT, (Meter(3), *actions), b"own".ljust(16))
    pair.ebpf.meter_set(3, MeterConfig("pktps", (MeterBand("drop", 1000, 1000),), False))
    pair.ebpf.operate([meter_of_its_own])
    reason = pair.ebpf.offload.reasons[meter_of_its_own.ufid]
    assert reason == "it decrements the TTL after other actions", "whose packet would go through it twice"


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
