"""Bridges over the kernel's datapath, in this process: counters, restarts, and the real tools."""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.uml.inside.daemon import Hosts, output_of
from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.dpif.types import DpifError
from vswitch.ofproto_dpif.bundles import BundleSettings
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif, Ofprotos
from vswitch.openflow.flow_text import parse_flow


class World:
    """br0 with the hosts' ports p1 and p2."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ofprotos = Ofprotos(self.clock)
        self.bridge: OfprotoDpif = self.ofprotos.create("br0", "system")
        for number in (1, 2):
            name = f"p{number}"
            self.bridge.port_add(name, "system", number)
            self.bridge.bundle_set(name, BundleSettings(name, (name,)))
        self.bridge.flow_mod(parse_flow("actions=normal"))

    def run_until(self, done: Callable[[], bool], seconds: float = 15) -> bool:
        deadline = time.monotonic() + seconds
        while not done():
            if time.monotonic() > deadline:
                return False
            if not self.ofprotos.run(self.clock.now()):
                select.select(self.ofprotos.fds(), [], [], 0.02)
        return True

    def ping(self, count: int) -> str:
        command = ["ip", "netns", "exec", "h1", "ping", "-i", "0.05", "-W", "1", "-c", str(count), "10.0.0.2"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.run_until(lambda: process.poll() is not None, 30)
        said, _ = process.communicate()
        return said

    def received(self) -> int:
        """Packets that came in at the ports, as the kernel counts them."""
        dpif = self.bridge.backer.dpif
        return sum(dpif.port_stats(port.odp_port)["rx_packets"] for port in self.bridge.ports.values())

    def counted(self) -> int:
        """Packets that the rules say they had."""
        self.bridge.backer.settle(self.clock.now())
        return sum(rule.n_packets for rule in self.bridge.tables.rules(hidden=True))


@pytest.fixture
def world() -> Iterator[World]:
    hosts = Hosts(2)
    world = World()
    yield world
    world.ofprotos.close()
    hosts.close()


def test_the_rules_count_what_the_ports_received(world: World) -> None:
    world.run_until(lambda: False, 1)
    before = world.received() - world.counted()
    assert " 0% packet loss" in world.ping(60)
    assert world.run_until(lambda: world.received() - world.counted() == before)
    world.bridge.flow_mod(parse_flow("priority=7,icmp,actions=normal"))
    assert " 0% packet loss" in world.ping(20)
    assert world.run_until(lambda: world.received() - world.counted() == before)
    world.run_until(lambda: not world.bridge.backer.subfacets, 8)
    assert world.run_until(lambda: world.received() - world.counted() == before)
    assert world.bridge.backer.dpif.stats().n_lost == 0


def test_upcalls_go_on_after_the_real_ovs_dpctl_had_a_look(world: World) -> None:
    assert " 0% packet loss" in world.ping(3)
    repaired = coverage.counter("dpif_per_cpu_upcalls_turned_off")
    before = repaired.total
    assert "br0" in output_of("ovs-dpctl show")
    world.run_until(lambda: repaired.total > before, 3)
    world.bridge.backer.dpif.flow_flush()
    assert " 0% packet loss" in world.ping(3)


def test_a_new_life_takes_the_datapath_over(world: World) -> None:
    assert " 0% packet loss" in world.ping(3)
    world.ofprotos.close(destroy=False)
    again = World()
    assert again.bridge.backer.dpif.stats().n_flows == 0
    assert " 0% packet loss" in again.ping(3)
    again.ofprotos.close()
    with pytest.raises(DpifError):
        world.bridge.backer.dpif.stats()
    world.ofprotos.backers.clear()
    world.ofprotos.all_ofproto_dpifs.clear()
