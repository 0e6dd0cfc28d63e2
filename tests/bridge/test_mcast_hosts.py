"""Multicast snooping with the kernel's own IGMP and MLD: sockets of hosts join, and only they get packets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack import Stack, until
from tests.whole import datapaths

pytestmark = pytest.mark.system

JOIN = """
import socket, struct, sys
group, family = sys.argv[1], socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind((group, 5000))
index = socket.if_nametoindex("eth0")
if family == socket.AF_INET6:
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                 socket.inet_pton(family, group) + struct.pack("@I", index))
else:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                 socket.inet_aton(group) + socket.inet_aton("0.0.0.0") + struct.pack("@i", index))
print("joined", flush=True)
while True:
    print(s.recv(100).decode(), flush=True)
"""
SEND = """
import socket, sys
group, family = sys.argv[1], socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
index = socket.if_nametoindex("eth0")
if family == socket.AF_INET6:
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 4)
else:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.0.0.3"))
for i in range(10):
    s.sendto(b"packet %d" % i, (group, 5000))
"""


@pytest.fixture(scope="module", params=datapaths())
def stack(
    require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Stack]:
    require("root", "command:ip", "command:ovsdb-server", "command:ovs-vsctl")
    if request.param == "ebpf":
        require("ebpf")
    made = Stack(tmp_path_factory.mktemp("mcast"))
    try:
        made.start()
        made.run(
            "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", f"datapath_type={request.param}",
            "mcast_snooping_enable=true", "other_config:mcast-snooping-disable-flood-unregistered=true",
        )  # fmt: skip
        for n in (1, 2, 3):
            made.host(n)
            made.run("ovs-vsctl", "add-port", "br0", f"h{n}", "--", "set", "interface", f"h{n}",
                     f"ofport_request={n}")  # fmt: skip
        yield made
    finally:
        made.close()


def received(stack: Stack, host: str) -> int:
    said = stack.inside(host, "cat", "/sys/class/net/eth0/statistics/rx_packets").stdout
    return int(said)


def mdb(stack: Stack) -> list[list[str]]:
    return [line.split() for line in stack.run("ovs-appctl", "mdb/show", "br0").splitlines()[1:]]


@pytest.mark.parametrize(
    ("group", "setting", "protocol"),
    [
        ("225.9.0.1", "net.ipv4.conf.eth0.force_igmp_version=1", "IGMPv1"),
        ("225.9.0.2", "net.ipv4.conf.eth0.force_igmp_version=2", "IGMPv2"),
        ("225.9.0.3", "net.ipv4.conf.eth0.force_igmp_version=3", "IGMPv3"),
        ("ff05::9:1", "net.ipv6.conf.eth0.force_mld_version=1", "MLDv1"),
        ("ff05::9:2", "net.ipv6.conf.eth0.force_mld_version=2", "MLDv2"),
    ],
)
def test_who_joins_gets_packets_and_nobody_else(
    stack: Stack, group: str, setting: str, protocol: str
) -> None:
    first, second, third = stack.hosts
    stack.inside(first, "sysctl", "-q", setting)
    process = subprocess.Popen(
        ["ip", "netns", "exec", first, sys.executable, "-c", JOIN, group], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "joined\n"
        row = ["1", "0", protocol, group]
        until("the group's row", lambda: any(line[:4] == row for line in mdb(stack)))
        before = received(stack, second)
        # A host has its link-local address only when nobody else turned out to have it.
        send = (sys.executable, "-c", SEND, group)
        until("packets", lambda: stack.inside(third, *send).returncode == 0)
        assert [process.stdout.readline() for _ in range(10)] == [f"packet {i}\n" for i in range(10)]
        assert received(stack, second) - before < 10
    finally:
        process.kill()
        process.wait()
    if protocol != "IGMPv1":
        # Version 1 has no leaving.
        until("the group's end", lambda: not any(line[:4] == row for line in mdb(stack)))


@pytest.mark.parametrize(
    ("group", "protocol"), [("225.9.1.1", "IGMPv3"), ("ff05::9:11", "MLDv2")], ids=["IGMP", "MLD"]
)
def test_smcroute_joins_and_leaves(
    stack: Stack, require: Callable[..., None], tmp_path: Path, group: str, protocol: str
) -> None:
    require("command:smcrouted", "command:smcroutectl")
    host = stack.hosts[1]
    for setting in ("net.ipv4.conf.eth0.force_igmp_version=0", "net.ipv6.conf.eth0.force_mld_version=0"):
        stack.inside(host, "sysctl", "-q", setting)
    path = str(tmp_path / "smcroute.sock")
    daemon = subprocess.Popen(
        ["ip", "netns", "exec", host, "smcrouted", "-n", "-u", path, "-P", f"{tmp_path}/pid",
         "-f", "/dev/null"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        ask = ("smcroutectl", "-u", path)
        until("it joins", lambda: stack.inside(host, *ask, "join", "eth0", group).returncode == 0)
        row = ["2", "0", protocol, group]
        until("the group's row", lambda: any(line[:4] == row for line in mdb(stack)))
        assert stack.inside(host, *ask, "leave", "eth0", group).returncode == 0
        until("the group's end", lambda: not any(group in line for line in mdb(stack)))
    finally:
        daemon.terminate()
        daemon.wait(10)
