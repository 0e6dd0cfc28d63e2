"""What else OVN offers, each turned on in the deployment and off again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.ovn import matrix
from tests.ovn.deployment import Deployment
from tests.ovn.network import FLOATING, OUTSIDE
from tests.ovn.trials import bulk
from tests.stack import until

pytestmark = pytest.mark.system
long = pytest.mark.whole

SEND = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 5)
for _ in range(int(sys.argv[3])):
    s.sendto(b"hello", (sys.argv[1], int(sys.argv[2])))
"""
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
s.connect((sys.argv[1], int(sys.argv[2])))
s.send(b"x")
try:
    print(s.recv(100).decode())
except OSError as e:
    print(e.strerror)
"""
JOIN = """
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7777))
addresses = socket.inet_aton(sys.argv[1]) + socket.inet_aton(sys.argv[2])
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, addresses)
s.settimeout(10)
print(s.recv(100).decode())
"""


@contextmanager
def running(ovn: Deployment, machine: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A program on a machine (or, as "hv3", on a chassis) in the meantime."""
    host = ovn.machines[machine][1] if machine in ovn.machines else ovn.chassis[int(machine[-1]) - 1].name
    process = subprocess.Popen(
        ["ip", "netns", "exec", host, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def watching(process: subprocess.Popen[str]) -> None:
    """Wait until tcpdump listens."""
    assert process.stderr is not None
    until("tcpdump listens", lambda: "listening" in (process.stderr.readline() if process.stderr else ""))


def python(ovn: Deployment, machine: str, program: str, *words: str) -> str:
    return ovn.inside(machine, "python3", "-c", program, *words).strip()


def test_an_acl_logs_as_much_as_its_meter_lets_through(ovn: Deployment) -> None:
    ovn.nbctl("meter-add", "m1", "drop", "3", "pktps")
    match = 'inport=="vm1"&&udp.dst==999'
    ovn.nbctl("--log", "--meter=m1", "--name=seen", "acl-add", "a", "from-lport", "900", match, "drop")
    one = ovn.chassis[0]
    python(ovn, "vm1", SEND, "10.1.0.2", "999", "50")
    until("it is logged", lambda: 'name="seen"' in one.log("ovn-controller"))
    assert "packet_in_count:50 " in one.run("ovs-ofctl", "-O", "OpenFlow15", "meter-stats", "br-int")
    time.sleep(0.5)
    assert 2 <= one.log("ovn-controller").count('name="seen"') <= 6
    ovn.nbctl("acl-del", "a", "from-lport", "900", match)
    ovn.nbctl("meter-del", "m1")


def test_an_acl_rejects_with_words(ovn: Deployment) -> None:
    match = 'inport=="vm2"&&ip4.dst==10.1.0.1&&(tcp.dst==81||udp.dst==81)'
    ovn.nbctl("acl-add", "a", "from-lport", "1800", match, "reject")
    chassis, host = ovn.machines["vm2"]
    assert "Connection refused" in chassis.inside(host, "socat", "-u", "TCP:10.1.0.1:81", "-").stderr
    assert python(ovn, "vm2", ASK, "10.1.0.1", "81") == "Connection refused"
    ovn.nbctl("acl-del", "a", "from-lport", "1800", match)


def test_a_server_reaches_itself_through_its_load_balancer(ovn: Deployment) -> None:
    ovn.nbctl("--", "lb-add", "own", "10.9.9.8:80", "10.2.0.3:8080", "tcp", "--", "ls-lb-add", "b", "own")
    assert ovn.says("vm3", "10.9.9.8", 80) == "vm3"
    assert ovn.says("vm4", "10.9.9.8", 80) == "vm3"
    ovn.nbctl("lb-del", "own")


def test_udp_and_its_errors_come_back_through_a_load_balancer(ovn: Deployment) -> None:
    ovn.nbctl("--", "lb-add", "udp", "10.9.9.7:53", "10.1.0.2:5353", "udp", "--", "ls-lb-add", "a", "udp")
    try:
        with running(ovn, "vm2", "socat", "UDP-LISTEN:5353,fork", "SYSTEM:echo pong"):
            until("vm2 serves", lambda: ":5353" in ovn.inside("vm2", "ss", "-Hlun"))
            until("it answers", lambda: python(ovn, "vm1", ASK, "10.9.9.7", "53") == "pong")
        until("refused", lambda: python(ovn, "vm1", ASK, "10.9.9.7", "53") == "Connection refused")
    finally:
        ovn.nbctl("lb-del", "udp")


def test_a_gateway_says_what_is_too_big(ovn: Deployment) -> None:
    port = ("logical_router_port", "r-public")
    ovn.nbctl("set", *port, "options:gateway_mtu=1300")
    chassis, host = ovn.machines["vm1"]
    told = chassis.inside(host, "ping", "-c", "2", "-i", "0.2", "-W", "1", "-M", "do", "-s", "1320", OUTSIDE)
    assert "mtu = 1300" in told.stdout + told.stderr or "mtu=1300" in told.stdout + told.stderr
    assert "bytes from" in ovn.inside("vm1", "ping", "-c", "1", "-W", "2", "-s", "1200", OUTSIDE)
    ovn.nbctl("remove", *port, "options", "gateway_mtu")
    subprocess.run(["ip", "-n", host, "route", "flush", "cache"], check=True)


def test_a_machine_speaks_for_itself_only(ovn: Deployment) -> None:
    ovn.nbctl("lsp-set-port-security", "vm2", "02:00:00:00:00:02 10.1.0.2")
    assert ovn.pings("vm2", "10.1.0.1")
    _, host = ovn.machines["vm2"]
    subprocess.run(["ip", "-n", host, "addr", "add", "10.1.0.77/24", "dev", "eth0"], check=True)
    assert not ovn.inside("vm2", "ping", "-c", "2", "-i", "0.3", "-W", "1", "-I", "10.1.0.77", "10.1.0.1")
    subprocess.run(["ip", "-n", host, "addr", "del", "10.1.0.77/24", "dev", "eth0"], check=True)
    ovn.nbctl("lsp-set-port-security", "vm2")


@long
def test_a_policy_of_the_router_drops(ovn: Deployment) -> None:
    ovn.nbctl("lr-policy-add", "r", "100", "ip4.src==10.1.0.2&&ip4.dst==10.2.0.4", "drop")
    assert not ovn.pings("vm2", "10.2.0.4")
    assert ovn.pings("vm1", "10.2.0.4")
    ovn.nbctl("lr-policy-del", "r")
    assert ovn.pings("vm2", "10.2.0.4")


@long
def test_router_advertisements_give_addresses(ovn: Deployment) -> None:
    configs = ("address_mode=slaac", "send_periodic=true", "max_interval=4", "min_interval=3", "mtu=1400")
    ovn.nbctl("set", "logical_router_port", "r-a", *(f"ipv6_ra_configs:{c}" for c in configs))
    _, host = ovn.machines["vm5"]
    for words in (["accept_ra=2"], ["autoconf=1"]):
        key = f"net.ipv6.conf.eth0.{words[0]}"
        subprocess.run(["ip", "netns", "exec", host, "sysctl", "-qw", key], check=True)
    subprocess.run(["ip", "-n", host, "link", "set", "eth0", "down"], check=True)
    subprocess.run(["ip", "-n", host, "link", "set", "eth0", "up"], check=True)
    until("an address", lambda: "fd01::ff:fe00:5/64" in ovn.inside("vm5", "ip", "-6", "addr"))
    ovn.nbctl("clear", "logical_router_port", "r-a", "ipv6_ra_configs")
    assert ovn.lease().returncode == 0


@long
def test_qos_limits_a_port(ovn: Deployment) -> None:
    ovn.nbctl("qos-add", "a", "from-lport", "100", 'inport=="vm1" && tcp', "rate=4000", "burst=400")
    assert bulk(ovn, "vm1", "vm2", "10.1.0.2", 4) < 0.008
    ovn.nbctl("qos-del", "a")
    assert bulk(ovn, "vm1", "vm2", "10.1.0.2", 2) > 0.05


@long
def test_multicast_goes_where_it_is_wanted(ovn: Deployment) -> None:
    settings = ("mcast_snoop=true", "mcast_querier=true", "mcast_eth_src=02:00:00:00:01:01",
                "mcast_ip4_src=10.1.0.254", "mcast_flood_unregistered=false")  # fmt: skip
    ovn.nbctl("set", "logical_switch", "a", *(f"other_config:{s}" for s in settings))
    with (
        running(ovn, "vm2", "python3", "-c", JOIN, "239.1.2.3", "10.1.0.2") as member,
        running(ovn, "vm5", "tcpdump", "-nnl", "-i", "eth0", "udp port 7777") as other,
    ):
        groups = ("ovn-sbctl", "--bare", "--columns=address", "list", "igmp_group")
        until("the group is known", lambda: "239.1.2.3" in ovn.run(*groups))
        ovn.nbctl("sync")
        watching(other)
        python(ovn, "vm1", SEND, "239.1.2.3", "7777", "3")
        assert member.communicate(timeout=15)[0].strip() == "hello"
        time.sleep(0.5)
        other.terminate()
        assert "> 239.1.2.3.7777" not in other.communicate(timeout=5)[0]
    ovn.nbctl("clear", "logical_switch", "a", "other_config")


@long
def test_a_port_is_mirrored_to_another_machine(ovn: Deployment) -> None:
    ovn.nbctl("mirror-add", "mm", "gre", "7", "from-lport", "10.98.0.3")
    ovn.nbctl("lsp-attach-mirror", "vm1", "mm")
    one = ovn.chassis[0]
    find = ("ovs-vsctl", "--columns=type", "find", "interface", "type=gre")
    until("the mirror's port", lambda: "gre" in one.run(*find))
    with running(ovn, "hv3", "tcpdump", "-nnl", "-c", "1", "-i", "under", "ip proto 47") as watch:
        watching(watch)
        assert ovn.pings("vm1", "10.1.0.2")
        out = watch.communicate(timeout=10)[0]
    assert "10.98.0.1 > 10.98.0.3: GREv0, key=0x7" in out
    assert "10.1.0.1 > 10.1.0.2: ICMP echo request" in out
    ovn.nbctl("lsp-detach-mirror", "vm1", "mm")
    ovn.nbctl("mirror-del", "mm")


@long
def test_vxlan_between_chassis(ovn: Deployment) -> None:
    def encapsulate(kind: str) -> None:
        for chassis in ovn.chassis:
            chassis.run("ovs-vsctl", "set", "open_vswitch", ".", f"external_ids:ovn-encap-type={kind}")
        find = ("ovs-vsctl", "--bare", "--columns=name", "find", "interface", f"type={kind}")
        until(f"{kind} everywhere", lambda: all(len(c.run(*find).split()) == 2 for c in ovn.chassis))
        ovn.nbctl("sync")

    encapsulate("vxlan")
    reached = matrix.pings(ovn) | matrix.served(ovn)
    assert [pair for pair, yes in matrix.meant_to().items() if reached[pair] != yes] == []
    assert reached["outside", f"{FLOATING}:8080"]
    encapsulate("geneve")
    until("Geneve carries it", lambda: ovn.pings("vm1", "10.1.0.2"))
