"""Real programs through our tracker: hosts in network namespaces, a client (10.0.0.1) and a server (10.0.0.2)
on a bridge of the userspace datapath that translates between them.

The client reaches the server as 10.0.0.100, and the server sees it as 10.0.0.200 where its flows say so.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack import Stack, until
from tests.whole import datapaths

pytestmark = pytest.mark.system

BRIDGE = (
    "add-br br0 -- set bridge br0 datapath_type={} fail_mode=secure"
    " -- add-port br0 h1 -- set interface h1 ofport_request=1"
    " -- add-port br0 h2 -- set interface h2 ofport_request=2"
)
NEIGHBOURS = """\
table=0,priority=40000,arp,actions=NORMAL
table=0,priority=40000,icmp6,icmp_type=135,actions=NORMAL
table=0,priority=40000,icmp6,icmp_type=136,actions=NORMAL
"""
PLAIN = NEIGHBOURS + """\
table=0,in_port=1,ip,actions=ct(commit,table=1)
table=0,in_port=1,ipv6,actions=ct(commit,table=1)
table=0,in_port=2,ip,actions=ct(table=1)
table=0,in_port=2,ipv6,actions=ct(table=1)
table=1,ct_state=+inv,actions=drop
table=1,in_port=1,actions=2
table=1,in_port=2,ct_state=-new,actions=1
"""
TRANSLATED = NEIGHBOURS + """\
table=0,in_port=1,tcp,tp_dst=21,actions=ct(commit,zone=1,alg=ftp,nat(dst=10.0.0.2),table=1)
table=0,in_port=1,udp,tp_dst=69,actions=ct(commit,zone=1,alg=tftp,nat(dst=10.0.0.2),table=1)
table=0,priority=1,in_port=1,ip,actions=ct(zone=1,nat,table=4)
table=0,in_port=2,ip,actions=ct(zone=2,nat,table=2)
table=1,tcp,tp_dst=21,actions=ct(commit,zone=2,alg=ftp,nat(src=10.0.0.200),table=3)
table=1,udp,tp_dst=69,actions=ct(commit,zone=2,alg=tftp,nat(src=10.0.0.200),table=3)
table=1,priority=1,ip,actions=ct(commit,zone=2,nat(src=10.0.0.200),table=3)
table=2,ct_state=+rel+new,ip,actions=ct(commit,zone=2,nat,table=5)
table=2,priority=1,ip,actions=ct(zone=1,nat,table=3)
table=3,in_port=1,actions=mod_dl_dst:02:00:00:00:00:02,2
table=3,in_port=2,actions=mod_dl_dst:02:00:00:00:00:01,1
table=4,ct_state=+rel+new,ip,actions=ct(commit,zone=1,nat,table=1)
table=4,ct_state=+new,ip,nw_dst=10.0.0.100,actions=ct(commit,zone=1,nat(dst=10.0.0.2),table=1)
table=4,ct_state=-new,ip,actions=ct(zone=2,nat,table=3)
table=5,ip,actions=ct(zone=1,nat,table=6)
table=6,ct_state=+rel+new,ip,actions=ct(commit,zone=1,nat,table=3)
table=6,priority=1,actions=resubmit(,3)
"""


class Net:
    """The switch, a client and a server."""

    def __init__(self, stack: Stack, datapath: str) -> None:
        self.stack = stack
        stack.start()
        self.client = stack.host(1)
        self.server = stack.host(2)
        stack.run("ovs-vsctl", *BRIDGE.format(datapath).split())
        for host, other in ((self.client, "100"), (self.server, "200")):
            mac = "02:00:00:00:00:02" if other == "100" else "02:00:00:00:00:01"
            words = f"ip -n {host} neigh replace 10.0.0.{other} lladdr {mac} dev eth0 nud permanent"
            subprocess.run(words.split(), check=True)
        self.running: list[subprocess.Popen[bytes]] = []

    def flows(self, text: str) -> None:
        self.stack.run("ovs-ofctl", "del-flows", "br0")
        self.stack.run("ovs-ofctl", "add-flows", "br0", "-", stdin=text)
        self.stack.run("ovs-appctl", "dpctl/flush-conntrack")

    def serve(self, *command: str) -> None:
        """Start a server, ended with the test."""
        words = ["ip", "netns", "exec", self.server, *command]
        self.running.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def get(self, *command: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a program on the client."""
        return self.stack.inside(self.client, *command, timeout=seconds)

    def connections(self) -> str:
        return self.stack.run("ovs-appctl", "dpctl/dump-conntrack")

    def end_servers(self) -> None:
        for process in self.running:
            process.terminate()
            process.wait(10)
        self.running.clear()


@pytest.fixture(scope="module", params=datapaths())
def made(
    require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Net]:
    require("root", "command:ip", "command:ovsdb-server", "command:curl")
    if request.param == "ebpf":
        require("ebpf")
    stack = Stack(tmp_path_factory.mktemp("ctnet"))
    try:
        yield Net(stack, request.param)
    finally:
        stack.close()


@pytest.fixture
def net(made: Net) -> Iterator[Net]:
    yield made
    made.end_servers()


def fetched(net: Net, url: str, *options: str) -> bytes:
    """What curl gets, tried until the server is up."""
    target = net.stack.directory / "fetched"
    target.unlink(missing_ok=True)
    command = ("curl", "-sS", "--max-time", "20", "-o", str(target), *options, url)
    until(f"curl {url}", lambda: net.get(*command).returncode == 0, 40)
    return target.read_bytes()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that everybody may read, with a file of 3 MB in it, and one of 300 kB."""
    directory = tmp_path_factory.mktemp("served")
    for path in (directory, *directory.parents[:-1]):
        if path != Path("/tmp"):
            path.chmod(0o755)
    (directory / "file").write_bytes(bytes(range(256)) * 12_000)
    (directory / "small").write_bytes(bytes(range(256)) * 1_200)
    return directory


def test_http_with_source_and_destination_nat(net: Net, files: Path) -> None:
    net.flows(TRANSLATED)
    net.serve(sys.executable, "-m", "http.server", "8080", "--directory", str(files))
    assert fetched(net, "http://10.0.0.100:8080/file") == (files / "file").read_bytes()
    text = net.connections()
    assert "orig=(src=10.0.0.1,dst=10.0.0.100" in text
    assert "dst=10.0.0.200" in text


@pytest.mark.parametrize("mode", ["active", "passive", "eprt", "epsv"])
def test_ftp_with_source_and_destination_nat(
    net: Net, files: Path, mode: str, require: Callable[..., None], tmp_path: Path
) -> None:
    require("command:vsftpd")
    net.flows(TRANSLATED)
    settings = tmp_path / "vsftpd.conf"
    settings.write_text(
        f"listen=YES\nanonymous_enable=YES\nanon_root={files}\nrun_as_launching_user=YES\nseccomp_sandbox=NO\n"
        "background=NO\nconnect_from_port_20=NO\nsecure_chroot_dir=/\n"
    )
    net.serve("vsftpd", str(settings))
    options = {
        "active": ("--ftp-port", "-", "--disable-eprt"), "eprt": ("--ftp-port", "-"),
        "passive": ("--disable-epsv", "--no-ftp-skip-pasv-ip"), "epsv": (),
    }  # fmt: skip
    assert fetched(net, "ftp://10.0.0.100/file", *options[mode]) == (files / "file").read_bytes()


def test_tftp_with_source_and_destination_nat(net: Net, files: Path, require: Callable[..., None]) -> None:
    require("command:in.tftpd")
    net.flows(TRANSLATED)
    net.serve("in.tftpd", "--foreground", "--user", "root", "--address", "0.0.0.0:69", str(files))
    assert fetched(net, f"tftp://10.0.0.100/{files}/small") == (files / "small").read_bytes()


def test_ping_and_an_error_from_beyond_the_nat(net: Net) -> None:
    net.flows(TRANSLATED)
    assert net.stack.pings(net.client, "10.0.0.100") == 3
    # Nothing listens there: the server's port unreachable comes back through both translations.
    probe = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5);"
        "s.connect(('10.0.0.100', 9)); s.send(b'x')\n"
        "try: s.recv(9)\n"
        "except ConnectionRefusedError: print('refused')"
    )
    assert net.get(sys.executable, "-c", probe).stdout.strip() == "refused"


def test_ping_is_told_that_a_host_beyond_the_nat_is_unreachable(net: Net) -> None:
    """The server is a router, which knows no way to where 10.0.0.101 is translated to."""
    net.flows(TRANSLATED + "table=4,ct_state=+new,ip,nw_dst=10.0.0.101,"
              "actions=ct(commit,zone=1,nat(dst=192.0.2.1),table=1)\n")
    for words in (
        f"ip netns exec {net.server} sysctl -q -w net.ipv4.ip_forward=1",
        f"ip -n {net.server} route replace unreachable 192.0.2.1",
        f"ip -n {net.client} neigh replace 10.0.0.101 lladdr 02:00:00:00:00:02 dev eth0 nud permanent",
    ):
        subprocess.run(words.split(), check=True)
    said = net.get("ping", "-c", "1", "-W", "5", "10.0.0.101").stdout
    assert "From 10.0.0.101 icmp_seq=1 Destination Host Unreachable" in said


def test_traceroute_ends_at_the_translated_address(net: Net, require: Callable[..., None]) -> None:
    require("command:traceroute")
    net.flows(TRANSLATED)
    said = net.get("traceroute", "-n", "-q", "1", "-w", "3", "-m", "3", "10.0.0.100").stdout
    assert " 1  10.0.0.100 " in said


@pytest.mark.parametrize("version", [4, 6])
def test_iperf3_with_offloads_on(net: Net, version: int, require: Callable[..., None]) -> None:
    require("command:iperf3")
    net.flows(PLAIN)
    address = "10.0.0.2"
    if version == 6:
        for host, n in ((net.client, 1), (net.server, 2)):
            words = f"ip -n {host} addr replace fd00::{n}/64 dev eth0 nodad"
            subprocess.run(words.split(), check=True)
        address = "fd00::2"
    net.serve("iperf3", "-s", "-1")
    said = ""

    def runs() -> bool:
        nonlocal said
        ran = net.get("iperf3", f"-{version}", "-c", address, "-t", "2", "-f", "m")
        said = ran.stdout
        return ran.returncode == 0

    until("iperf3", runs, 40)
    assert "receiver" in said
    assert "tcp,orig=" in net.connections()


def test_a_syn_flood_fills_its_zone_and_no_other(net: Net, require: Callable[..., None], files: Path) -> None:
    require("command:hping3")
    net.flows(NEIGHBOURS + """\
table=0,in_port=1,tcp,tp_dst=7777,actions=ct(commit,zone=7,table=1)
table=0,priority=1,in_port=1,ip,actions=ct(commit,zone=8,table=1)
table=0,in_port=2,tcp,tp_src=7777,actions=ct(zone=7,table=1)
table=0,priority=1,in_port=2,ip,actions=ct(zone=8,table=1)
table=1,in_port=1,actions=2
table=1,in_port=2,ct_state=-new-inv,actions=1
""")
    net.stack.run("ovs-appctl", "dpctl/ct-set-limits", "zone=7,limit=100")
    net.serve(sys.executable, "-m", "http.server", "8081", "--directory", str(files))
    flood = subprocess.Popen(
        ["ip", "netns", "exec", net.client, "hping3", "-q", "-S", "-p", "7777", "-i", "u1000",
         "--rand-source", "-c", "3000", "10.0.0.2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(1)
        assert fetched(net, "http://10.0.0.2:8081/file") == (files / "file").read_bytes()
        limits = net.stack.run("ovs-appctl", "dpctl/ct-get-limits", "zone=7")
        assert "zone=7,limit=100,count=100" in limits
    finally:
        flood.terminate()
        flood.wait(10)
    net.stack.run("ovs-appctl", "dpctl/ct-del-limits", "zone=7")
