"""Real packets in tunnels: our datapaths with the real switch's, and with what others made: the kernel's
VXLAN device, its segment routing, and socat, whose UDP socket behind a TUN device is a bareudp tunnel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bridge.pair import Ours, Real, Side
from tests.stack import until
from tests.whole import datapaths, sample

pytestmark = pytest.mark.system

OUTER = {4: ("10.97.0.1", "10.97.0.2", 24), 6: ("fd97::1", "fd97::2", 64)}
INNER = ("192.168.97.1", "192.168.97.2")
MTU = 1400
L3_ONLY = ("gtpu", "srv6", "bareudp")


class Host:
    """A namespace with one end of the wire in it, and what makes the tunnel there."""

    def __init__(self, n: int, side: Side | None, version: int, datapath: str) -> None:
        self.n = n
        self.datapath = "netdev" if isinstance(side, Real) else datapath
        self.namespace = f"vst{os.getpid()}-{n}"
        self.wire = f"w{n}"
        self.side = side
        self.version = version
        self.process: subprocess.Popen[bytes] | None = None
        """What makes the tunnel where there is no switch."""

    def close(self) -> None:
        if self.side is not None:
            self.side.close()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
        subprocess.run(["ip", "netns", "del", self.namespace], check=False)

    def ip(self, *words: str) -> None:
        subprocess.run(["ip", "-n", self.namespace, *words], check=True)

    def run(self, *words: str, seconds: float = 30) -> str:
        """The output of a program that must succeed here."""
        ran = subprocess.run(
            ["ip", "netns", "exec", self.namespace, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        assert ran.returncode == 0, f"{' '.join(words)}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}"
        return ran.stdout

    def address(self, device: str) -> None:
        address, _, bits = OUTER[self.version][self.n], None, OUTER[self.version][2]
        nodad = ["nodad"] if self.version == 6 else []
        self.ip("addr", "add", f"{address}/{bits}", "dev", device, *nodad)

    def inner(self, device: str) -> None:
        self.ip("addr", "add", f"{INNER[self.n]}/24", "dev", device)
        self.ip("link", "set", device, "mtu", str(MTU), "up")

    def kernels_vxlan(self, remote: str, more: str) -> None:
        """The kernel's own device, with the extension that `more` asks for."""
        one = f"vxlan id 42 remote {remote} dstport 4789 dev {self.wire}"
        if self.version == 6:
            one += " udp6zerocsumrx"
        if "exts=gbp" in more:
            # What a packet is marked with is its group.
            one += " gbp"
            self.run("sysctl", "-qw", "net.ipv4.fwmark_reflect=1")
        if "exts=gpe" in more:
            # With GPE it carries packets without Ethernet, and is told for each where it goes.
            one = "vxlan dstport 4789 gpe external"
        self.ip("link", "add", "tunnel", "type", *one.split())
        self.inner("tunnel")
        if "exts=gpe" in more:
            own, other = OUTER[self.version][self.n], OUTER[self.version][1 - self.n]
            words = f"route add {INNER[1 - self.n]}/32 encap ip id 42 src {own} dst {other} dev tunnel"
            self.ip(*words.split())

    def kernels_srv6(self, remote: str, more: str) -> None:
        """The kernel's segment routing (seg6): packets go into such headers by a route, and those that are
        addressed to it come out."""
        self.ip("addr", "add", f"{INNER[self.n]}/32", "dev", "lo")
        for name in ("all", self.wire):
            self.run("sysctl", "-qw", f"net.ipv6.conf.{name}.seg6_enabled=1")
        for name in ("all", "default", self.wire):
            self.run("sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=0")
        self.ip(
            *f"route add {INNER[1 - self.n]}/32 encap seg6 mode encap segs {remote} dev {self.wire} "
            f"src {INNER[self.n]} mtu {MTU}".split()
        )

    def socats_bareudp(self, remote: str, more: str) -> None:
        """What a TUN device gets goes into UDP as it is (Linux's Documentation/networking/bareudp.rst), and
        the other way round."""
        own, port = OUTER[self.version][self.n], "6635"
        if self.version == 6:
            own, remote = f"[{own}]", f"[{remote}]"
        words = f"UDP{self.version}-DATAGRAM:{remote}:{port},bind={own}:{port} "
        words += "TUN,tun-name=tunnel,tun-type=tun,iff-no-pi,iff-up"
        self.process = subprocess.Popen(["ip", "netns", "exec", self.namespace, "socat", *words.split()])
        until("socat's device", lambda: "tunnel" in self.run("ip", "-br", "link"))
        self.inner("tunnel")

    def kernels_gtp(self, remote: str, more: str) -> None:
        """The kernel's GTP device, as the gateway (GGSN) to whom the other end is a mobile station."""
        self.ip("link", "add", "tunnel", "type", "gtp", "role", "ggsn")
        self.inner("tunnel")
        self.ip("route", "add", f"{INNER[1 - self.n]}/32", "dev", "tunnel")
        self.run(sys.executable, "-m", "tests.tunnels.gtp", "tunnel", remote, INNER[1 - self.n], "42")

    def tunnel(self, kind: str, more: str, underlay: bool = True) -> None:
        """Make this end of the tunnel."""
        remote = OUTER[self.version][1 - self.n]
        key = "" if kind in ("srv6", "bareudp") else "options:key=42"
        if self.side is None:
            self.address(self.wire)
            others = {
                "vxlan": self.kernels_vxlan, "srv6": self.kernels_srv6, "bareudp": self.socats_bareudp,
                "gtpu": self.kernels_gtp,
            }  # fmt: skip
            others[kind](str(remote), more)
            return
        side = self.side
        side.namespace = self.namespace
        side.start()
        if underlay:
            side.run(
                *f"ovs-vsctl add-br phy{self.n} -- set bridge phy{self.n} datapath_type={self.datapath} "
                f"-- add-port phy{self.n} {self.wire}".split()
            )
            self.address(f"phy{self.n}")
            self.ip("link", "set", f"phy{self.n}", "up")
        else:
            self.address(self.wire)
        side.run(
            *f"ovs-vsctl add-br int{self.n} -- set bridge int{self.n} datapath_type={self.datapath} "
            f"-- add-port int{self.n} t{self.n} -- set interface t{self.n} type={kind} "
            f"options:remote_ip={remote} {key} {more}".split()
        )
        self.inner(f"int{self.n}")
        if isinstance(side, Real):
            # It finishes no checksums.
            for device in (f"phy{self.n}", f"int{self.n}"):
                self.run("ethtool", "-K", device, "tx", "off")
        if kind in L3_ONLY or "legacy_l3" in more:
            self._without_arp(side, "mpls" in more)

    def _without_arp(self, side: Side, labelled: bool) -> None:
        """The tunnel carries IP only: who is at its other end is known."""
        self.ip("neigh", "add", INNER[1 - self.n], "lladdr", "02:00:00:00:00:99", "dev", f"int{self.n}")
        own = self.run("cat", f"/sys/class/net/int{self.n}/address").strip()
        push = "push_mpls:0x8847,set_field:9->mpls_label," if labelled else ""
        match, pop = (",mpls", "pop_mpls:0x0800,") if labelled else ("", "")
        for flow in (
            f"in_port=LOCAL,ip,actions={push}t{self.n}",
            f"in_port=t{self.n}{match},actions={pop}mod_dl_dst:{own},LOCAL",
        ):
            side.run("ovs-ofctl", "add-flow", f"int{self.n}", flow)


Make = Callable[..., list[Host]]

STRANGERS = [
    ("srv6", 6, "", False),
    ("bareudp", 4, "options:payload_type=ip options:dst_port=6635", True),
    ("srv6", 6, "", True),
    ("bareudp", 4, "options:payload_type=0x0800 options:dst_port=6635 options:csum=true", False),
    ("bareudp", 6, "options:payload_type=ip options:dst_port=6635 options:csum=true", True),
    ("bareudp", 6, "options:payload_type=ip options:dst_port=6635 options:csum=true", False),
]


@pytest.fixture(params=datapaths())
def datapath(request: pytest.FixtureRequest, require: Callable[..., None]) -> str:
    """What our switches run on."""
    if request.param == "ebpf":
        require("ebpf")
    return str(request.param)


@pytest.fixture
def hosts(datapath: str, require: Callable[..., None]) -> Iterator[Callable[..., list[Host]]]:
    """`make(kind, one side, the other, IP version, more options)`: two hosts with a tunnel between them."""
    require(
        "root",
        "netns",
        "tun",
        "packet-socket",
        "command:ip",
        "command:ovs-vswitchd",
        "command:iperf3",
        "command:ethtool",
        "command:socat",
    )
    made: list[Host] = []

    def make(
        kind: str, a: Side | None, b: Side | None, version: int = 4, more: str = "", underlay: bool = True
    ) -> list[Host]:
        made.extend((Host(0, a, version, datapath), Host(1, b, version, datapath)))
        for host in made:
            subprocess.run(["ip", "netns", "add", host.namespace], check=True)
            host.ip("link", "set", "lo", "up")
        first, second = made
        first.ip("link", "add", "w0", "type", "veth", "peer", "name", "w1", "netns", second.namespace)
        for host in made:
            host.ip("link", "set", host.wire, "up")
            by_socket = not underlay or (b is None and kind in ("bareudp", "gtpu"))
            if isinstance(a, Real) or isinstance(b, Real) or by_socket:
                # Neither the real switch nor a socket hears what the wire leaves to a device to be finished.
                host.run("ethtool", "-K", host.wire, "tx", "off")
            host.tunnel(kind, more, underlay)
        return made

    try:
        yield make
    finally:
        for host in made:
            host.close()


def ours(path: Path) -> Side:
    side = Ours(path)
    side.options = ("--routes",)
    path.mkdir()
    return side


def real(path: Path) -> Side:
    side = Real(path)
    side.options = ("--disable-system",)
    path.mkdir()
    return side


def settle(host: Host) -> None:
    """Until the switches have heard of routes and of the outer neighbour: packets before that are dropped."""
    host.run("sh", "-c", f"for i in 1 2 3 4 5 6 7 8 9 10; do ping -c 1 -W 1 {INNER[1]} && exit; done; exit 1")


def check_traffic(pair: list[Host]) -> None:
    """Small and whole packets, and TCP both ways."""
    first, second = pair
    settle(first)
    first.run("ping", "-c", "3", "-i", "0.2", "-W", "3", INNER[1])
    first.run("ping", "-c", "2", "-i", "0.2", "-W", "3", "-M", "do", "-s", str(MTU - 28), INNER[1])
    for direction in ([], ["-R"]):
        server = subprocess.Popen(
            ["ip", "netns", "exec", second.namespace, "iperf3", "-s", "-1"], stdout=subprocess.DEVNULL
        )
        try:
            first.run(
                "sh",
                "-c",
                f"sleep 0.5; iperf3 -c {INNER[1]} -n 2M --connect-timeout 3000 {' '.join(direction)}",
            )
        finally:
            server.terminate()
            server.wait()


@pytest.mark.parametrize("datapath", datapaths(both=True), indirect=True)
@pytest.mark.parametrize(
    ("version", "more"),
    [
        (4, ""),
        *sample(
            [
                (6, ""),
                (6, "options:csum=true"),
                (4, "options:exts=gbp"),
                (4, "options:exts=gpe options:packet_type=legacy_l3"),
            ],
            1,
        ),
    ],
)
def test_with_the_kernels_vxlan_device(hosts: Make, tmp_path: Path, version: int, more: str) -> None:
    pair = hosts("vxlan", ours(tmp_path / "ours"), None, version, more)
    check_traffic(pair)
    side = pair[0].side
    assert side is not None
    assert str(OUTER[version][1]) in side.appctl("tnl/neigh/show")
    flows = side.appctl("dpctl/dump-flows")
    assert "tnl_push(tnl_port" in flows
    assert "tnl_pop(" in flows
    side.wait(
        lambda: "rx_packets=0" not in side.get("interface", "t0", "statistics"), "the tunnel's counters"
    )


@pytest.mark.parametrize(
    ("kind", "version", "more"),
    sample(
        [
            ("vxlan", 6, ""),
            ("geneve", 4, "options:csum=true"),
            ("gre", 4, "options:csum=true"),
            ("ip6gre", 6, ""),
            ("erspan", 4, "options:erspan_ver=2 options:erspan_hwid=3"),
        ],
        3,
    ),
)
def test_with_the_real_switch(hosts: Make, tmp_path: Path, kind: str, version: int, more: str) -> None:
    # The real switch makes a wrong checksum of GRE with a sequence number, and of UDP around GTP-U.
    check_traffic(hosts(kind, ours(tmp_path / "ours"), real(tmp_path / "real"), version, more))


@pytest.mark.parametrize(
    ("kind", "version", "more"),
    sample(
        [
            ("geneve", 6, ""),
            ("gre", 4, "options:csum=true options:seq=true"),
            ("gtpu", 4, ""),
            ("srv6", 6, ""),
            ("vxlan", 4, "options:exts=gpe options:packet_type=legacy_l3"),
            ("gre", 4, "options:packet_type=legacy_l3"),
            ("gre", 4, "options:packet_type=ptap"),
            ("geneve", 4, "options:packet_type=legacy_l3"),
            ("ip6erspan", 6, "options:erspan_ver=1 options:erspan_idx=5"),
            ("bareudp", 4, "options:payload_type=ip options:dst_port=6635"),
            ("bareudp", 4, "options:payload_type=mpls options:dst_port=6635"),
        ],
        2,
    ),
)
def test_with_ours(hosts: Make, tmp_path: Path, kind: str, version: int, more: str) -> None:
    check_traffic(hosts(kind, ours(tmp_path / "one"), ours(tmp_path / "two"), version, more))


@pytest.mark.parametrize(("kind", "version", "more", "underlay"), sample(STRANGERS, 2))
def test_with_other_peoples(
    hosts: Make, tmp_path: Path, kind: str, version: int, more: str, underlay: bool
) -> None:
    pair = hosts(kind, ours(tmp_path / "ours"), None, version, more, underlay)
    check_traffic(pair)
    side = pair[0].side
    assert side is not None
    flows = side.appctl("dpctl/dump-flows")
    assert ("tnl_pop(" in flows and "tnl_push(" in flows) == underlay
    side.wait(lambda: int(side.get("interface", "t0", "statistics:rx_packets")) > 50, "the tunnel's counters")


@pytest.mark.parametrize(
    ("kind", "version", "more"),
    [("vxlan", 4, ""), *sample([("geneve", 6, ""), ("gre", 4, "options:csum=true"), ("gtpu", 4, "")], 1)],
)
def test_without_an_underlay_bridge(hosts: Make, tmp_path: Path, kind: str, version: int, more: str) -> None:
    """The host's own stack carries the outer packets; the other end does not see the difference."""
    other = None if kind == "vxlan" else ours(tmp_path / "two")
    pair = hosts(kind, ours(tmp_path / "one"), other, version, more, underlay=False)
    check_traffic(pair)
    side = pair[0].side
    assert side is not None
    flows = side.appctl("dpctl/dump-flows")
    assert "set(tunnel(" in flows
    assert "tnl_push" not in flows
    assert "go through the host's own stack" in side.log("ovs-vswitchd")


@pytest.mark.parametrize("datapath", ["ebpf"], indirect=True)
@pytest.mark.parametrize("version", [4, 6])
def test_the_ebpf_datapaths_vxlan_is_a_device(hosts: Make, tmp_path: Path, version: int) -> None:
    """With outer headers of IPv4 the kernel forwards into the tunnel and out of it; with those of IPv6
    userspace does, and says why."""
    pair = hosts("vxlan", ours(tmp_path / "one"), None, version, "", underlay=False)
    check_traffic(pair)
    side = pair[0].side
    assert side is not None
    assert "vxlan_sys_4789" in pair[0].run("ip", "-d", "link", "show", "type", "vxlan")
    dump = side.appctl("dpctl/dump-flows", "-m")
    flows = [line for line in dump.splitlines() if "eth_type(0x0800)" in line]
    into = [line for line in flows if "set(tunnel(" in line]
    out_of = [line for line in flows if "tunnel(tun_id=0x2a" in line.partition("actions:")[0]]
    assert into
    assert out_of
    if version == 4:
        assert all("offloaded:yes, dp:ebpf" in line for line in (*into, *out_of)), flows
        assert all("packets:0," not in line for line in (*into, *out_of))
        paths = re.search(r"kernel cache:(\d+), .*userspace flow:(\d+)", side.appctl("dpctl/show"))
        assert paths
        assert int(paths[1]) > 100
        assert int(paths[1]) > 10 * int(paths[2])
        side.wait(lambda: int(side.get("interface", "t0", "statistics:rx_packets")) > 50, "its counters")
    else:
        assert all("it sets a tunnel of IPv6, or one with options" in line for line in into), flows
        assert all("it matches on tunnel" in line for line in out_of), flows
    side.run("ovs-vsctl", "del-port", "int0", "t0")
    side.wait(lambda: "vxlan_sys" not in pair[0].run("ip", "link", "show"), "the device to go")


def test_a_whole_packet_in_a_tunnel_is_cut_up_outside(hosts: Make, tmp_path: Path, datapath: str) -> None:
    """With df_default=false the outer packet may be longer than the wire takes: the kernel fragments it. With
    true it is dropped and counted, and shorter ones go on."""
    one, two = ours(tmp_path / "one"), ours(tmp_path / "two")
    pair = hosts("vxlan", one, two, 4, "options:df_default=false", underlay=False)
    for n, host in enumerate(pair):
        host.ip("link", "set", f"int{n}", "mtu", "1500")
    settle(pair[0])
    pair[0].run("ping", "-c", "3", "-i", "0.2", "-W", "3", "-M", "do", "-s", "1472", INNER[1])
    one.run("ovs-vsctl", "set", "interface", "t0", "options:df_default=true")
    lost = "ping -c 2 -i 0.2 -W 1 -M do -s 1472 192.168.97.2; [ $? = 1 ]"
    pair[0].run("sh", "-c", lost)
    pair[0].run("ping", "-c", "2", "-i", "0.2", "-W", "3", "-M", "do", "-s", "1400", INNER[1])
    lost_here = re.findall(r"tunnel_push_error.*total: (\d+)", one.appctl("coverage/show"))
    n_lost = sum(map(int, lost_here))
    if datapath == "ebpf":
        # What the program gives to the kernel's device is lost there.
        shown = one.appctl("dpctl/show", "-s").partition("vxlan_sys_4789")[2]
        n_lost += int(re.findall(r"TX packets:\d+ errors:0 dropped:(\d+)", shown)[0])
    assert n_lost >= 2


def test_what_the_hosts_stack_refuses_is_said(hosts: Make, tmp_path: Path) -> None:
    """Where the kernel has the UDP port itself, and no bridge leads to the remote."""
    pair = hosts("vxlan", ours(tmp_path / "one"), None, 4, "", underlay=False)
    side = pair[0].side
    assert side is not None
    assert side.get("interface", "t0", "error") == "[]"
    words = "link add taken type vxlan id 1 remote 10.97.0.2 dstport {} dev w0"
    pair[0].ip(*words.format(2152).split())
    pair[0].ip("link", "set", "taken", "up")
    side.run(
        *f"ovs-vsctl add-port int0 t1 -- set interface t1 type=gtpu options:remote_ip={OUTER[4][1]}".split()
    )
    why = "no bridge leads to 10.97.0.2, and the host's own stack refuses gtpu (Address already in use)"
    side.wait(lambda: side.get("interface", "t1", "error") == f'"{why}"', "the error")
    assert int(side.get("interface", "t1", "ofport")) > 0
    said = "packets can leave by bridges only, not through the host's own stack (Address already in use)"
    assert f"gtpu_sys_2152: {said}" in side.log("ovs-vswitchd")
    side.run("ovs-vsctl", "del-port", "int0", "t1")
    pair[0].ip("link", "del", "taken")
    side.run(
        *f"ovs-vsctl add-port int0 t1 -- set interface t1 type=gtpu options:remote_ip={OUTER[4][1]}".split()
    )
    side.wait(lambda: int(side.get("interface", "t1", "ofport")) > 0, "the port")
    assert side.get("interface", "t1", "error") == "[]"
