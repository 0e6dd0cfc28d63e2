"""Our switch over the kernel's datapath, and vxlan, geneve and gretap devices in a namespace."""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.uml.inside.lab import ip
from vswitch.base.clock import Clock
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.ofproto_dpif.ports.configure import BundleSettings
from vswitch.openflow.flow_text import parse_flow

DEVICES = {
    "vxlan": "vxlan id 42 remote 10.96.0.1 local 10.96.0.2 dstport 4789",
    "geneve": "geneve id 42 remote 10.96.0.1 dstport 6081",
    "gre": "gretap key 42 remote 10.96.0.1 local 10.96.0.2",
}
"""Interface type -> the kernel's device at the other end."""


class World:
    """A wire to namespace "far", and a bridge whose local port is on this end of the tunnel."""

    def __init__(self) -> None:
        # The kernel would ask for these, and wait, while nobody here answers.
        subprocess.run(["modprobe", "-a", "vport-vxlan", "vport-geneve", "vport-gre", "ip_gre"], check=True)
        ip("netns add far")
        ip("link add near0 type veth peer name far0 netns far")
        ip("addr add 10.96.0.1/24 dev near0")
        ip("link set near0 up")
        ip("-n far addr add 10.96.0.2/24 dev far0")
        ip("-n far link set far0 up")
        self.clock = Clock()
        self.ofprotos = Ofprotos(self.clock)
        self.bridge = self.ofprotos.create("br0", "system")
        self.bridge.flow_mod(parse_flow("priority=0,actions=normal"))
        ip("addr add 192.168.96.1/24 dev br0")
        ip("link set br0 mtu 1400 up")

    def tunnel(self, kind: str, **options: str) -> None:
        self.bridge.port_add("t0", kind, 1, {"remote_ip": "10.96.0.2", "key": "42", **options})
        self.bridge.bundle_set("t0", BundleSettings("t0", ("t0",)))

    def far_device(self, kind: str) -> None:
        ip(f"-n far link add t1 type {DEVICES[kind]}")
        ip("-n far addr add 192.168.96.2/24 dev t1")
        ip("-n far link set t1 mtu 1400 up")

    def ping(self) -> int:
        """How many of three answers came."""
        asking = subprocess.Popen(
            ["ping", "-c", "3", "-i", "0.2", "-W", "2", "192.168.96.2"], stdout=subprocess.PIPE, text=True
        )
        end = time.monotonic() + 15
        while asking.poll() is None and time.monotonic() < end:
            if not self.ofprotos.run(self.clock.now()):
                select.select(self.ofprotos.fds(), [], [], 0.01)
        output, _ = asking.communicate()
        return int(output.split(" received")[0].split()[-1])

    def close(self) -> None:
        self.ofprotos.close()
        ip("netns del far")
        subprocess.run(["ip", "link", "del", "near0"], check=False)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("kind", DEVICES)
def test_with_the_kernels_device(world: World, kind: str) -> None:
    world.tunnel(kind)
    world.far_device(kind)
    assert world.ping() == 3
    port = world.bridge.ports_by_name["t0"]
    assert world.bridge.port_stats(port)["rx_packets"] > 0
    name = {"vxlan": "vxlan_sys_4789", "geneve": "genev_sys_6081", "gre": "gre_sys"}[kind]
    assert name in {p.name for p in world.bridge.backer.dpif.port_dump()}
    world.bridge.port_del("t0")
    assert name not in {p.name for p in world.bridge.backer.dpif.port_dump()}


def test_a_key_from_the_flow_table(world: World) -> None:
    world.tunnel("geneve", key="flow", remote_ip="flow")
    world.far_device("geneve")
    for flow in (
        "in_port=LOCAL,actions=set_tunnel:42,set_field:10.96.0.2->tun_dst,output:1",
        "in_port=1,tun_id=42,tun_src=10.96.0.2,actions=LOCAL",
    ):
        world.bridge.flow_mod(parse_flow(flow))
    assert world.ping() == 3


def test_two_tunnels_share_a_port_of_the_datapath(world: World) -> None:
    world.tunnel("vxlan")
    world.bridge.port_add("other", "vxlan", 2, {"remote_ip": "10.96.0.3", "key": "43"})
    ports = world.bridge.ports_by_name
    assert ports["t0"].odp_port == ports["other"].odp_port
    world.bridge.port_del("other")
    world.far_device("vxlan")
    assert world.ping() == 3
