"""ct, nat and check_pkt_larger, carried out by the kernel's datapath between two hosts."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.uml.inside.daemon import Daemon, Hosts, output_of

FIREWALL = (
    "table=0,priority=10,arp,actions=normal",
    "table=0,priority=10,ip,ct_state=-trk,actions=ct(table=1)",
    "table=1,priority=10,ip,in_port=p1,ct_state=+trk+new,actions=ct(commit,exec(set_field:0x7->ct_mark)),output:p2",
    "table=1,priority=10,ip,ct_state=+trk+est,ct_mark=0x7,actions=normal",
    "table=1,priority=1,actions=drop",
)
"""Host 1 may open connections to host 2, which may only answer. In zone 0: the kernel that this runs on
has no others."""
NAT = (
    "table=0,priority=10,arp,actions=normal",
    "table=0,priority=10,ip,in_port=p1,actions=ct(commit,nat(src=10.0.0.50),table=1)",
    "table=0,priority=10,ip,in_port=p2,actions=ct(nat,table=2)",
    "table=1,ip,actions=output:p2",
    "table=2,ip,ct_state=+est,actions=output:p1",
)
LENGTH = (
    "table=0,priority=10,arp,actions=normal",
    "table=0,priority=1,ip,actions=check_pkt_larger(500)->reg0[0],resubmit(,1)",
    "table=1,priority=1,ip,reg0=0,actions=normal",
    "table=1,priority=1,ip,reg0=1,actions=drop",
)
RECEIVER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.0.0.2", 7000))
s.settimeout(20)
print("ready", flush=True)
data, peer = s.recvfrom(100)
s.sendto(data, peer)
print(peer[0])
"""
SENDER = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.sendto(b"hello", ("10.0.0.2", 7000))
data, peer = s.recvfrom(100)
print(data.decode(), peer[0])
"""


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    hosts = Hosts(2)
    yield hosts
    hosts.close()


def inside(host: int, script: str) -> subprocess.Popen[str]:
    """Run a Python script in a host's namespace."""
    command = ["ip", "netns", "exec", f"h{host}", sys.executable, "-c", script]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_only_one_side_may_open_connections(hosts: Hosts) -> None:
    daemon = Daemon("p1", "p2", flows=FIREWALL)
    try:
        assert hosts.ping(2, 1) == 0
        assert hosts.ping(1, 2, 5) == 5
        flows = output_of("ovs-dpctl dump-flows")
        assert re.search(r"ct_state\(-trk\),.* actions:ct,recirc\(0x", flows), flows
        assert "ct(commit,mark=0x7/0xffffffff)" in flows
        assert re.search(r"ct_state\(-new\+est\+trk\),ct_mark\(0x7\)", flows), flows
        assert hosts.ping(2, 1) == 0
    finally:
        assert daemon.stop() == 0, daemon.log()


def test_addresses_are_translated_both_ways(hosts: Hosts) -> None:
    output_of("ip -n h2 neigh add 10.0.0.50 lladdr 02:00:00:00:00:01 dev eth0")
    daemon = Daemon("p1", "p2", flows=NAT)
    receiver = inside(2, RECEIVER)
    try:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        sender = inside(1, SENDER)
        assert sender.communicate(timeout=30)[0] == "hello 10.0.0.2\n"
        assert receiver.communicate(timeout=30)[0] == "10.0.0.50\n"
        assert "nat(src=10.0.0.50)" in output_of("ovs-dpctl dump-flows")
    finally:
        receiver.kill()
        receiver.wait()
        assert daemon.stop() == 0, daemon.log()


def test_packets_are_told_apart_by_their_length(hosts: Hosts) -> None:
    daemon = Daemon("p1", "p2", flows=LENGTH)
    try:
        assert hosts.ping(1, 2) == 3
        said = output_of("ip netns exec h1 ping -c 3 -i 0.1 -W 1 -s 600 10.0.0.2", check=False)
        assert " 0 received" in said
        assert "check_pkt_len(size=500,gt(drop),le(" in output_of("ovs-dpctl dump-flows")
    finally:
        assert daemon.stop() == 0, daemon.log()
