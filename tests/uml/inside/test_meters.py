"""Meters and a dp_hash group, carried out by the kernel's datapath for a real stream of packets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.uml.inside.daemon import Hosts
from tests.uml.inside.test_ofproto_dpif import World
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.group_text import parse_group, parse_meter
from vswitch.openflow.messages.meter import OFPMC_DELETE

N = 2000
STREAM = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for port in range({n}):
    s.sendto(b"x" * 50, ("10.0.0.2", 1000 + port % {ports}))
"""


@pytest.fixture
def world() -> Iterator[World]:
    hosts = Hosts(2)
    world = World()
    yield world
    world.ofprotos.close()
    hosts.close()


def stream(world: World, n: int, ports: int = 1) -> None:
    """Send `n` datagrams from h1 to h2, to `ports` ports in turn."""
    program = STREAM.format(n=n, ports=ports)
    process = subprocess.Popen(["ip", "netns", "exec", "h1", sys.executable, "-c", program])
    assert world.run_until(lambda: process.poll() is not None, 60)
    assert process.returncode == 0


def sent(world: World, port: str) -> int:
    bridge = world.bridge
    return bridge.backer.dpif.port_stats(bridge.ports_by_name[port].odp_port)["tx_packets"]


def test_a_stream_is_policed_and_every_packet_accounted_for(world: World) -> None:
    bridge = world.bridge
    now = world.clock.now
    if not bridge.meters.features().max_meters:
        pytest.fail("the kernel has no meters")
    assert " 0% packet loss" in world.ping(2)  # and the addresses are known
    bridge.meters.mod(parse_meter("meter=7,pktps,burst,stats,bands=type=drop,rate=100,burst_size=50"), now())
    bridge.flow_mod(parse_flow("priority=40000,udp,in_port=1,actions=meter:7,output:2"))
    before = sent(world, "p2")
    stream(world, N)

    def passed() -> int:
        return sent(world, "p2") - before

    assert world.run_until(lambda: bridge.meters.stats(now(), 7)[0].packet_in_count >= N)
    (stats,) = bridge.meters.stats(now(), 7)
    (dropped, _), = stats.bands
    assert stats.packet_in_count == N
    assert dropped > N // 2
    assert N <= passed() + dropped <= N + 20, "neighbours may ask for addresses meanwhile"
    assert bridge.backer.dpif.stats().n_lost == 0
    with pytest.raises(OfpError, match="OFPMMFC_BAD_BAND"):
        bridge.meters.mod(parse_meter("meter=8,kbps,bands=type=dscp_remark,rate=9,prec_level=1"), now())
    bridge.meters.mod(parse_meter("meter=7", OFPMC_DELETE), now())
    assert [str(rule.match) for rule in bridge.tables.rules()] == [""]


def test_a_dp_hash_group_spreads_what_the_kernel_hashes(world: World) -> None:
    bridge = world.bridge
    assert " 0% packet loss" in world.ping(2)
    text = "group_id=1,type=select,bucket=weight:1,set_field:5->pkt_mark,output:2,bucket=weight:1,output:2"
    bridge.groups.mod(parse_group(text), world.clock.now())
    bridge.flow_mod(parse_flow("priority=40000,udp,in_port=1,actions=group:1"))
    stream(world, 300, ports=100)
    assert world.run_until(lambda: world_counts(world)[0] == 300)
    total, buckets = world_counts(world)
    assert sum(buckets) == total
    assert all(count % 3 == 0 and count > 30 for count in buckets), "a connection keeps its bucket"


def world_counts(world: World) -> tuple[int, list[int]]:
    world.bridge.backer.settle(world.clock.now())
    (stats,) = world.bridge.groups.stats(world.clock.now(), 1)
    return stats.packet_count, [packets for packets, _ in stats.buckets]
