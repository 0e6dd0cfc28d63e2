"""Bridges over the kernel's datapath, in this process: counters, restarts, and the real tools."""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.uml.inside.daemon import Hosts, output_of
from tests.uml.inside.lab import KernelLab, ip
from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.dpif.odp_text import format_dpif_flow
from vswitch.dpif.types import DpifError
from vswitch.flow.compose import flow_compose
from vswitch.flow.match_text import parse_match
from vswitch.netdev import links
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.ofproto_dpif.settings import BundleSettings
from vswitch.openflow.constants import OFPPC_PORT_DOWN, OFPPS_LINK_DOWN
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


def test_ports_of_an_earlier_life_that_nobody_wants_go_away(world: World) -> None:
    world.ofprotos.close(destroy=False)
    again = Ofprotos(world.clock)
    bridge = again.create("br0", "system")
    bridge.port_add("p2", "system", 1)
    dpif = bridge.backer.dpif
    assert [port.name for port in dpif.port_dump()] == ["ovs-system", "br0", "p1", "p2"]
    again.delete_garbage_ports()
    assert [port.name for port in dpif.port_dump()] == ["ovs-system", "br0", "p2"]
    again.close()
    world.ofprotos.all_ofproto_dpifs.clear()


def test_port_down_takes_the_device_down_and_back(world: World) -> None:
    port = world.bridge.ports[1]
    toggled = coverage.counter("rev_port_toggled")
    world.bridge.port_set_config("p1", OFPPC_PORT_DOWN)
    assert "state DOWN" in output_of("ip link show p1")
    assert world.run_until(lambda: bool(port.state & OFPPS_LINK_DOWN))
    assert " 100% packet loss" in world.ping(3)
    world.bridge.port_set_config("p1", 0)
    assert world.run_until(lambda: not port.state & OFPPS_LINK_DOWN)
    assert port.config == 0
    assert " 0% packet loss" in world.ping(3)
    before = toggled.total
    world.bridge.has_bundle_action = True
    ip("link set p1 down")
    assert world.run_until(lambda: bool(port.config & OFPPC_PORT_DOWN))
    ip("link set p1 up")
    assert world.run_until(lambda: not port.config & OFPPC_PORT_DOWN)
    assert toggled.total > before
    link, _ = links.query(int(output_of("cat /sys/class/net/p1/ifindex")))
    assert (link.up, link.carrier) == (True, True)


SOLICIT = ("icmp6,dl_src=02:00:00:00:00:0a,dl_dst=02:00:00:00:00:0b,ipv6_src=fd00::1,ipv6_dst=fd00::2,"
           "nw_ttl=255,icmp_type=135,nd_target=fd00::2,nd_sll=02:00:00:00:00:0a")
ARP = "arp,dl_src=02:00:00:00:00:0a,dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_spa=10.0.0.1,arp_tpa=10.0.0.2"


@pytest.mark.parametrize(("flow", "sent", "wanted"), [
    ("icmp6,icmp_type=135,actions=set_field:fd00::9->nd_target,output:2", SOLICIT,
     SOLICIT.replace("nd_target=fd00::2", "nd_target=fd00::9")),
    ("arp,actions=set_field:10.0.0.9->arp_spa,set_field:2->arp_op,output:2", ARP,
     ARP.replace("arp_op=1,arp_spa=10.0.0.1", "arp_op=2,arp_spa=10.0.0.9")),
], ids=["nd", "arp"])  # fmt: skip
def test_headers_that_the_kernel_cannot_set_are_set_all_the_same(flow: str, sent: str, wanted: str) -> None:
    lab = KernelLab()
    clock = Clock()
    ofprotos = Ofprotos(clock)
    bridge = ofprotos.create("br0", "system")
    a, b = lab.device(), lab.device()
    bridge.port_add(a, "system", 1)
    bridge.port_add(b, "system", 2)
    bridge.flow_mod(parse_flow("priority=0,actions=drop"))
    bridge.flow_mod(parse_flow(f"in_port=1,{flow}"))
    before, after = (flow_compose(parse_match(text).flow, b"") for text in (sent, wanted))
    before, after = before.ljust(60, b"\0"), after.ljust(60, b"\0")
    got: list[bytes] = []
    for n in (1, 2, 3):
        lab.inject(a, before)
        deadline = time.monotonic() + 5
        while got.count(after) < n and time.monotonic() < deadline:
            ofprotos.run(clock.now())
            select.select(ofprotos.fds(), [], [], 0.02)
            got += lab.transmitted(b)
    assert got.count(after) == 3, [frame.hex() for frame in got]
    shown = [format_dpif_flow(flow, clock.now()) for flow in bridge.backer.dpif.flow_dump()]
    ofprotos.close()
    lab.close()
    assert any("slow_path(action)" in line for line in shown), shown
    assert coverage.counter("drop_execute_failed").total == 0
