"""Timeout policies of zones as objects of the kernel's, from the database to its connections."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bridge.pair import Ours
from tests.uml.inside.daemon import Hosts, output_of, wait_until

FLOWS = (
    "arp,actions=normal",
    "priority=10,ip,in_port=p1,actions=ct(commit),output:p2",
    "priority=10,ip,in_port=p2,actions=ct(commit),output:p1",
)
POLICY = "udp_first=1100 udp_single=1200 udp_multiple=1300 icmp_first=1400 tcp_syn_sent=250"
SEND = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.0.0.1", {port}))
s.sendto(b"hello", ("10.0.0.9", 7000))
t = socket.socket()
t.bind(("10.0.0.1", {port}))
t.setblocking(False)
t.connect_ex(("10.0.0.9", 7000))
"""


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    hosts = Hosts(2)
    # An address that nobody has: no answer comes.
    output_of("ip -n h1 neigh add 10.0.0.9 lladdr 02:00:00:00:00:02 dev eth0")
    yield hosts
    hosts.close()


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Ours]:
    side = Ours(tmp_path)
    side.options = ()
    try:
        side.start()
        yield side
    finally:
        side.close()


def timeouts(side: Ours, port: int) -> dict[str, int]:
    """How long the kernel keeps the connections of a datagram, a SYN and a ping, from a port of host 1."""
    side.appctl("dpctl/flush-conntrack")
    command = ["ip", "netns", "exec", "h1"]
    subprocess.run([*command, sys.executable, "-c", SEND.format(port=port)], check=True)
    output_of("ip netns exec h1 ping -c 1 -W 1 10.0.0.9", check=False)
    found: dict[str, int] = {}

    def complete() -> bool:
        text = side.appctl("dpctl/dump-conntrack", "-s")
        for proto, seconds in re.findall(r"^(udp|tcp|icmp),orig=.*timeout=(\d+)", text, re.MULTILINE):
            found[proto] = round(int(seconds), -1)
        return len(found) == 3

    wait_until("three connections", complete)
    return found


def policies() -> set[str]:
    """The names of the policies that flows ask for."""
    return set(re.findall(r"timeout=(\w+)", output_of("ovs-dpctl dump-flows")))


def test_a_zone_s_timeouts_are_the_kernel_s(hosts: Hosts, side: Ours) -> None:
    side.vsctl(
        "add-br br0 -- set bridge br0 fail_mode=secure -- add-port br0 p1 -- add-port br0 p2"
        " -- --id=@m create Datapath datapath_version=0 -- set Open_vSwitch . datapaths:system=@m"
    )
    for flow in FLOWS:
        side.run("ovs-ofctl", "add-flow", "br0", flow)
    without = timeouts(side, 5001)
    side.vsctl(f"add-zone-tp system zone=0 {POLICY}")
    side.appctl("revalidator/wait")
    with_policy = timeouts(side, 5002)
    assert with_policy == {"icmp": 1400, "udp": 1200, "tcp": 250}
    assert policies() == {"ovs_tp_1_tcp4", "ovs_tp_1_udp4", "ovs_tp_1_icmp4"}
    row = side.vsctl("--bare --columns=_uuid list CT_Timeout_Policy").strip()
    side.vsctl(f"set CT_Timeout_Policy {row} timeouts=icmp_first=1700")
    side.appctl("revalidator/wait")
    assert timeouts(side, 5003) == without | {"icmp": 1700}, side.vsctl("list-zone-tp system")
    assert policies() == {"ovs_tp_2_tcp4", "ovs_tp_2_udp4", "ovs_tp_2_icmp4"}
    side.vsctl("del-zone-tp system zone=0")
    side.appctl("revalidator/wait")
    assert timeouts(side, 5004) == without
    assert policies() == set()
    script = "from vswitch.dpif.kernel.ct_timeout import dump_policies; print(dump_policies())"
    wait_until("the kernel has no policies of ours", lambda: output_of_python(script) == "set()\n")


def output_of_python(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
