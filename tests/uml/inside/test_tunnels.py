"""Our switch over the kernel's datapath, and the kernel's own tunnel devices in a namespace."""

from __future__ import annotations

import errno
import json
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.uml.inside.lab import ip
from tests.whole import sample
from vswitch.base.clock import Clock
from vswitch.dpif.types import DpifError
from vswitch.netdev.provider import NetdevError
from vswitch.netlink.errors import NlError
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.ofproto_dpif.ports.configure import BundleSettings
from vswitch.ofproto_dpif.ports.ports import PortError
from vswitch.openflow.flow_mod import FlowModCommand
from vswitch.openflow.flow_text import parse_flow


@dataclass
class Case:
    """A tunnel of `kind` with `options`, `far` the kernel's device at the other end, `link` what our side's
    device is called and `link_kind` its kind. `far_layer3`: it carries packets without Ethernet."""

    kind: str
    far: str
    link: str
    link_kind: str
    options: dict[str, str] = field(default_factory=dict)
    far_layer3: bool = False


V4 = "remote 10.96.0.1 local 10.96.0.2"
V6 = "remote fd96::1 local fd96::2"
V6_OPTIONS = {"remote_ip": "fd96::2"}
CASES = {
    "vxlan": Case("vxlan", f"vxlan id 42 {V4} dstport 4789", "vxlan_sys_4789", "vxlan"),
    "vxlan gbp": Case(
        "vxlan", f"vxlan id 42 {V4} dstport 4790 gbp", "vxlan_sys_4790", "vxlan",
        {"exts": "gbp", "dst_port": "4790"},
    ),
    "vxlan gpe": Case(
        "vxlan", "vxlan dstport 4791 gpe external", "vxlan_sys_4791", "vxlan",
        {"exts": "gpe", "packet_type": "legacy_l3", "dst_port": "4791"}, True,
    ),
    "vxlan IPv6": Case(
        "vxlan", f"vxlan id 42 {V6} dstport 4789 udp6zerocsumrx", "vxlan_sys_4789", "vxlan", V6_OPTIONS
    ),
    "geneve": Case("geneve", "geneve id 42 remote 10.96.0.1 dstport 6081", "genev_sys_6081", "geneve"),
    "geneve IPv6": Case(
        "geneve", "geneve id 42 remote fd96::1 dstport 6081 udp6zerocsumrx", "genev_sys_6081", "geneve",
        {**V6_OPTIONS, "csum": "true"},
    ),
    "geneve L3": Case(
        "geneve", "geneve id 42 remote 10.96.0.1 dstport 6082 innerprotoinherit", "genev_sys_6082", "geneve",
        {"packet_type": "legacy_l3", "dst_port": "6082"}, True,
    ),
    "gre": Case("gre", f"gretap key 42 {V4}", "gre_sys", "gretap"),
    "gre csum": Case("gre", f"gretap key 42 icsum {V4}", "gre_sys", "gretap", {"csum": "true"}),
    "gre L3": Case("gre", f"gre key 42 {V4}", "gre_sys_l3", "gre", {"packet_type": "legacy_l3"}, True),
    "gre ptap": Case("gre", f"gretap key 42 {V4}", "gre_sys_l3", "gre", {"packet_type": "ptap"}),
    "ip6gre": Case("ip6gre", f"ip6gretap key 42 {V6}", "ip6gre_sys", "ip6gretap", V6_OPTIONS),
    "gre to an IPv6 remote": Case("gre", f"ip6gretap key 42 {V6}", "ip6gre_sys", "ip6gretap", V6_OPTIONS),
    "erspan to an IPv6 remote": Case(
        "erspan", f"ip6erspan seq key 42 {V6} erspan_ver 1 erspan 7", "ip6erspan_sys", "ip6erspan",
        {**V6_OPTIONS, "erspan_ver": "1", "erspan_idx": "7"},
    ),
    "erspan 1": Case(
        "erspan", f"erspan seq key 42 {V4} erspan_ver 1 erspan 7", "erspan_sys", "erspan",
        {"erspan_ver": "1", "erspan_idx": "7"},
    ),
    "erspan 2": Case(
        "erspan", f"erspan seq key 42 {V4} erspan_ver 2 erspan_dir egress erspan_hwid 4", "erspan_sys",
        "erspan", {"erspan_ver": "2", "erspan_dir": "1", "erspan_hwid": "4"},
    ),
    "ip6erspan": Case(
        "ip6erspan", f"ip6erspan seq key 42 {V6} erspan_ver 1 erspan 7", "ip6erspan_sys", "ip6erspan",
        {**V6_OPTIONS, "erspan_ver": "1", "erspan_idx": "7"},
    ),
}  # fmt: skip
"""A device that collects metadata takes no GRE with checksums (ip_tunnel_rcv), so they are shown one way.
This kernel has no bareudp, and none has a gtp device that collects metadata."""
FAR_MAC = "02:00:00:00:96:02"


class World:
    """A wire to namespace "far", and a bridge whose local port is on this end of the tunnel."""

    def __init__(self) -> None:
        # The kernel would ask for these, and wait, while nobody here answers.
        modules = ("vport-vxlan", "vport-geneve", "vport-gre", "ip_gre", "ip6_gre")
        subprocess.run(["modprobe", "-a", *modules], check=True)
        ip("netns add far")
        ip("link add near0 type veth peer name far0 netns far")
        for near, address, device in (("", "10.96.0.1/24", "near0"), ("-n far", "10.96.0.2/24", "far0")):
            ip(f"{near} addr add {address} dev {device}")
            ip(f"{near} addr add fd96::{address[8]}/64 dev {device} nodad")
            ip(f"{near} link set {device} up")
        self.clock = Clock()
        self.ofprotos = Ofprotos(self.clock)
        self.bridge = self.ofprotos.create("br0", "system")
        self.bridge.flow_mod(parse_flow("priority=0,actions=normal"))
        ip("addr add 192.168.96.1/24 dev br0")
        ip("link set br0 mtu 1350 up")

    def reset(self) -> None:
        """As it was before a test."""
        for name in [name for name in self.bridge.ports_by_name if name != "br0"]:
            self.bridge.port_del(name)
        self.bridge.flow_mod(parse_flow("", FlowModCommand.DELETE))
        self.bridge.flow_mod(parse_flow("priority=0,actions=normal"))
        for left in ("-n far link del t1", "neigh del 192.168.96.2 dev br0"):
            subprocess.run(["ip", *left.split()], check=False, capture_output=True)

    def another_life(self) -> None:
        """End, and leave the datapath as it is; then begin again."""
        self.ofprotos.close(destroy=False)
        self.ofprotos = Ofprotos(self.clock)
        self.bridge = self.ofprotos.create("br0", "system")

    def tunnel(self, kind: str, name: str = "t0", port: int = 1, **options: str) -> None:
        self.bridge.port_add(name, kind, port, {"remote_ip": "10.96.0.2", "key": "42", **options})
        self.bridge.bundle_set(name, BundleSettings(name, (name,)))

    def far_device(self, case: Case) -> None:
        ip(f"-n far link add t1 type {case.far}")
        ip("-n far addr add 192.168.96.2/24 dev t1")
        ip("-n far link set t1 mtu 1350 up")
        if case.far_layer3:
            # Nobody asks for addresses over it.
            ip(f"neigh add 192.168.96.2 lladdr {FAR_MAC} dev br0")
            own = subprocess.run(
                ["cat", "/sys/class/net/br0/address"], capture_output=True, text=True, check=True
            ).stdout.strip()
            for flow in ("in_port=LOCAL,actions=output:1", f"in_port=1,actions=mod_dl_dst:{own},LOCAL"):
                self.bridge.flow_mod(parse_flow(flow))
        if "external" in case.far:
            ip("-n far route add 192.168.96.1/32 encap ip id 42 src 10.96.0.2 dst 10.96.0.1 dev t1")

    def turn_until(self, program: subprocess.Popen[str], seconds: float) -> str:
        """Have the switch do its work until `program` ends; what it printed."""
        end = time.monotonic() + seconds
        while program.poll() is None and time.monotonic() < end:
            if not self.ofprotos.run(self.clock.now()):
                select.select(self.ofprotos.fds(), [], [], 0.01)
        program.kill()
        return program.communicate()[0]

    def ping(self, *options: str) -> int:
        """How many of three answers came."""
        asking = subprocess.Popen(
            ["ping", "-c", "3", "-i", "0.2", "-W", "2", *options, "192.168.96.2"], stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        return int(self.turn_until(asking, 15).split(" received")[0].split()[-1])

    def tcp(self) -> int:
        """How many bytes of a million go over TCP, with the offloads that the devices have."""
        server = subprocess.Popen(
            ["ip", "netns", "exec", "far", "iperf3", "-s", "-1", "--forceflush"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert server.stdout is not None
        try:
            while "listening" not in server.stdout.readline():
                assert server.poll() is None
            client = subprocess.Popen(
                ["iperf3", "-c", "192.168.96.2", "-n", "1M", "-J", "--connect-timeout", "3000"],
                stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            said = json.loads(self.turn_until(client, 20) or "{}")
        finally:
            server.kill()
            server.communicate()
        assert "error" not in said, said
        return int(said["end"]["sum_sent"]["bytes"])

    def ports(self) -> dict[str, str]:
        """The datapath's ports with their types."""
        return {p.name: p.type for p in self.bridge.backer.dpif.port_dump()}

    def close(self) -> None:
        self.ofprotos.close()
        ip("netns del far")
        subprocess.run(["ip", "link", "del", "near0"], check=False)


def links() -> dict[str, str]:
    """The kernel's devices here that collect metadata, with their kinds."""
    said = json.loads(subprocess.run(["ip", "-j", "-d", "link"], capture_output=True, check=True).stdout)
    found = {}
    for link in said:
        info = link.get("linkinfo", {})
        if info.get("info_data", {}).get("external"):
            found[link["ifname"]] = info["info_kind"]
    return found


@pytest.fixture(scope="module")
def only_world() -> Iterator[World]:
    made = World()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def world(only_world: World) -> Iterator[World]:
    try:
        yield only_world
    finally:
        only_world.reset()


@pytest.mark.parametrize("name", sample(CASES, 5))
def test_with_the_kernels_device(world: World, name: str) -> None:
    case = CASES[name]
    world.tunnel(case.kind, **case.options)
    world.far_device(case)
    assert world.ping() == 3
    assert world.ping("-M", "do", "-s", "1322") == 3
    assert world.tcp() >= 1_000_000
    port = world.bridge.ports_by_name["t0"]
    assert world.bridge.port_stats(port)["rx_packets"] > 0
    assert links()[case.link] == case.link_kind
    over_ipv6 = case.link.startswith("ip6")
    assert world.ports()[case.link] == (case.link.removesuffix("_sys") if over_ipv6 else case.kind)
    world.bridge.port_del("t0")
    assert case.link not in world.ports()
    assert case.link not in links()


def test_a_key_from_the_flow_table(world: World) -> None:
    world.tunnel("geneve", key="flow", remote_ip="flow")
    world.far_device(CASES["geneve"])
    for flow in (
        "in_port=LOCAL,actions=set_tunnel:42,set_field:10.96.0.2->tun_dst,output:1",
        "in_port=1,tun_id=42,tun_src=10.96.0.2,actions=LOCAL",
    ):
        world.bridge.flow_mod(parse_flow(flow))
    assert world.ping() == 3


def test_group_policy_arrives(world: World) -> None:
    """What the kernel's netfilter marks at the other end is the packet's group here."""
    case = CASES["vxlan gbp"]
    world.tunnel("vxlan", **case.options)
    world.far_device(case)
    for flow in (
        "in_port=LOCAL,actions=set_field:9->tun_gbp_id,output:1",
        "priority=40000,in_port=1,tun_gbp_id=9,actions=LOCAL",
        "priority=40000,in_port=1,arp,actions=LOCAL",
        "in_port=1,actions=drop",
    ):
        world.bridge.flow_mod(parse_flow(flow))
    # The mark of a packet is its group in both directions: answers carry what asked.
    ip("netns exec far sysctl -qw net.ipv4.fwmark_reflect=1")
    assert world.ping() == 3


def test_two_tunnels_share_a_port_of_the_datapath(world: World) -> None:
    world.tunnel("vxlan")
    world.tunnel("vxlan", "other", 2, remote_ip="10.96.0.3", key="43")
    ports = world.bridge.ports_by_name
    assert ports["t0"].odp_port == ports["other"].odp_port
    world.bridge.port_del("other")
    world.far_device(CASES["vxlan"])
    assert world.ping() == 3


def test_frames_reach_a_tunnel_of_all_packets_beside_one_of_frames(world: World) -> None:
    # The kernel has a device for each, and gives all frames to the one that takes nothing else.
    world.tunnel("gre", packet_type="ptap")
    world.far_device(CASES["gre ptap"])
    assert world.ping() == 3
    world.tunnel("gre", "other", 2, remote_ip="10.96.0.3", key="43")
    assert {"gre_sys", "gre_sys_l3"} <= set(world.ports())
    assert world.ping() == 3
    world.bridge.port_del("other")
    assert world.ping() == 3


def test_extensions_that_a_device_has_not_are_refused(world: World) -> None:
    world.tunnel("vxlan")
    with pytest.raises((PortError, DpifError, NetdevError), match="non-VXLAN-GBP tunnels can't be") as error:
        world.bridge.port_add("other", "vxlan", 2, {"remote_ip": "10.96.0.3", "key": "42", "exts": "gbp"})
    assert error.value.errno == errno.EINVAL
    world.tunnel("vxlan", "third", 3, remote_ip="10.96.0.4")
    world.far_device(CASES["vxlan"])
    assert world.ping() == 3


@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        ("gtpu", {}, "no tunnels of type gtpu"),
        ("srv6", {"remote_ip": "fd96::2"}, "no tunnels of type srv6"),
        ("bareudp", {"payload_type": "ip"}, "Unknown device type"),
        ("ip6gre", {"remote_ip": "fd96::2", "packet_type": "ptap"}, "frames only"),
    ],
)
def test_kinds_that_this_kernel_has_not(world: World, kind: str, options: dict[str, str], why: str) -> None:
    with pytest.raises((PortError, DpifError), match=why) as error:
        world.bridge.port_add("t0", kind, 1, {"remote_ip": "10.96.0.2", **options})
    assert error.value.errno == errno.EOPNOTSUPP
    assert links() == {}


class NoCollectingDevices:
    """The kernel's devices as those before 4.3 have them."""

    def create(self, name: str, type: str, options: dict[str, str]) -> None:
        raise NlError(errno.EOPNOTSUPP, "add port", "this kernel's vxlan collects no metadata")

    def delete(self, name: str) -> None:
        """There is none."""

    def close(self) -> None:
        """Nor a socket."""


def test_where_the_modules_own_ports_are_all_there_is(world: World) -> None:
    provider = world.bridge.backer.dpif.provider
    with_devices, provider._tunnels = provider._tunnels, NoCollectingDevices()
    try:
        world.tunnel("vxlan")
        world.far_device(CASES["vxlan"])
        assert world.ping() == 3
        (port,) = [p for p in provider._ports() if p.name == "vxlan_sys_4789"]
        assert port.type == "vxlan"
        with pytest.raises((PortError, DpifError)) as error:
            world.bridge.port_add("other", "erspan", 2, {"remote_ip": "10.96.0.3", "erspan_ver": "1"})
        assert error.value.errno == errno.EOPNOTSUPP
        world.bridge.port_del("t0")
        assert links() == {}
    finally:
        provider._tunnels = with_devices


def test_what_an_earlier_life_left_is_taken_over_or_made_anew(world: World) -> None:
    world.tunnel("vxlan")
    index = _index("vxlan_sys_4789")
    for options, same in (({}, True), ({"exts": "gpe", "packet_type": "ptap"}, False)):
        world.another_life()
        world.tunnel("vxlan", **options)
        assert (_index("vxlan_sys_4789") == index) is same
    world.another_life()
    world.bridge.backer.delete_garbage_ports()
    assert links() == {}


def _index(name: str) -> int:
    said = subprocess.run(["ip", "-j", "link", "show", name], capture_output=True, check=True).stdout
    return int(json.loads(said)[0]["ifindex"])
