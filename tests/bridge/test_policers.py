"""Policers of the userspace datapath as the database asks for them, and rates as they are measured."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.bridge.pair import Side
from tests.stack import OURS, REAL, Stack

pytestmark = pytest.mark.system
BR0 = "add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure"
QUEUE_1 = "queues:1=@q -- --id=@q create queue other_config:cir={} other_config:cbs={}"
TRTCM = "other_config:cir=1 other_config:cbs=2000 other_config:eir=1 other_config:ebs=500"


def dropped(side: Side) -> int:
    said = side.appctl("coverage/show")
    return sum(int(line.split()[-1]) for line in said.splitlines() if "drop_egress_policer" in line)


@pytest.mark.stopped_clock
def test_egress_policers_follow_the_database(ours: Side) -> None:
    ours.vsctl(BR0 + "".join(
        f" -- add-port br0 p{n} -- set interface p{n} type=dummy ofport_request={n}" for n in (1, 2)
    ))  # fmt: skip
    ours.run("ovs-ofctl", "add-flow", "br0", "priority=1,in_port=1,actions=output:2")
    ours.run("ovs-ofctl", "add-flow", "br0", "in_port=1,dl_vlan=5,actions=set_queue:1,output:2")
    plain, tagged = ("ff" * 6 + "02" * 6 + more + "00" * n for more, n in (("0800", 100), ("81000005", 98)))
    ours.appctl("time/stop")

    def sent(n: int, packet: str = plain) -> int:
        """How many of `n` packets were dropped."""
        before = dropped(ours)
        for _ in range(n):
            ours.appctl("netdev-dummy/receive", "p1", packet)
        return dropped(ours) - before

    assert ours.appctl("qos/show-types", "p2") == "QoS type: egress-policer\nQoS type: trtcm-policer\n"
    ours.vsctl("-- set port p2 qos=@q -- --id=@q create qos type=egress-policer other_config:cir=1000"
               " other_config:cbs=300")  # fmt: skip
    assert ours.appctl("qos/show", "p2") == "QoS: p2 egress-policer\ncir: 1000\ncbs: 300\n"
    assert sent(10) == 7
    ours.appctl("time/warp", "200")
    assert sent(10) == 8
    ours.vsctl(f"-- set port p2 qos=@t -- --id=@t create qos type=trtcm-policer {TRTCM}"
               f" {QUEUE_1.format(1, 300)}")  # fmt: skip
    assert (sent(10), sent(10, tagged)) == (0, 7)
    keys = "  cir: 1\n  cbs: {}\n  eir: {}\n  ebs: {}\n  tx_packets: {}\n  tx_bytes: {}\n  tx_errors: {}\n"
    assert ours.appctl("qos/show", "p2") == (
        "QoS: p2 trtcm-policer\ncir: 1\ncbs: 2000\neir: 1\nebs: 500\n"
        "\nDefault:\n" + keys.format(2000, 1, 500, 10, 1000, 0)
        + "\nQueue 1:\n" + keys.format(300, 0, 0, 3, 300, 7)
    )  # fmt: skip
    stats = ours.run("ovs-ofctl", "-O", "OpenFlow13", "queue-stats", "br0")
    assert re.search(r"port p?2 queue 1: bytes=300, pkts=3, errors=7", stats), stats
    ours.vsctl("clear port p2 qos")
    assert ours.appctl("qos/show", "p2") == "QoS not configured on p2\n"
    assert sent(30) == 0
    ours.vsctl("-- --all destroy qos -- --all destroy queue")


def test_a_policer_that_can_t_be_is_said_with_its_key(ours: Side) -> None:
    ours.vsctl(BR0 + " -- add-port br0 p1 -- set interface p1 type=dummy")
    for keys, why in (
        ("", "cir is missing or 0"), ("other_config:cir=7", "cir=7 needs a burst, but cbs is missing or 0"),
        ("other_config:cir=-1", 'cir="-1" is no number'), ("other_config:cbs=x", 'cbs="x" is no number'),
    ):  # fmt: skip
        ours.vsctl(f"-- set port p1 qos=@q -- --id=@q create qos type=egress-policer {keys}")
        assert "could not set egress-policer QoS" in ours.log("ovs-vswitchd")
        assert why in ours.log("ovs-vswitchd")
        assert ours.appctl("qos/show", "p1") == "QoS not configured on p1\n"
        ours.vsctl("clear port p1 qos -- --all destroy qos")


SENDER = (
    "import socket, time; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    "start = time.monotonic(); n = 0\n"
    "while (now := time.monotonic() - start) < {}:\n"
    "    while n < now * {}: s.sendto(bytes(958), ('{}', 9)); n += 1\n"
    "    time.sleep(0.002)\n"
)
LIMIT = 500_000
"""Bytes a second."""


def prepare(stack: Stack, limits: Mapping[int, str], datapath: str) -> None:
    """Start a switch with hosts n and n + 1 for each n of `limits`: what limits them,
    for ovs-vsctl."""
    stack.start()
    stack.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", f"datapath_type={datapath}")
    for n in limits:
        for host in (n, n + 1):
            stack.host(host)
            stack.run("ovs-vsctl", "add-port", "br0", f"h{host}")
        stack.inside(f"{stack.name}h{n}", "ip", "neigh", "add", f"10.0.0.{n + 1}", "lladdr",
                     f"02:00:00:00:00:{n + 1:02}", "dev", "eth0")  # fmt: skip
        stack.run("ovs-vsctl", *limits[n].split())
    for n in limits:
        assert stack.pings(f"{stack.name}h{n}", f"10.0.0.{n + 1}", 1) == 1


def send(stack: Stack, n: int, offered: int, seconds: int = 8) -> None:
    """Host n begins to send `offered` packets of 1000 bytes a second to host n + 1."""
    stack.spawn("ip", "netns", "exec", f"{stack.name}h{n}", sys.executable, "-c",
                SENDER.format(seconds, offered, f"10.0.0.{n + 1}"), name=f"sender{n}")  # fmt: skip


def received(stack: Stack, n: int) -> tuple[float, int]:
    """Seconds, and bytes that host n + 1 has got by then."""
    # In one process, as starting one may take long on a slow machine.
    files = ("/proc/uptime", "/sys/class/net/eth0/statistics/rx_bytes")
    now, _, count = stack.inside(f"{stack.name}h{n + 1}", "cat", *files).stdout.split()
    return float(now), int(count)


def measured(
    stack: Stack, limits: Mapping[int, str], datapath: str = "netdev", offered: int = 1000
) -> dict[int, float]:
    """Bytes a second that arrive at host n + 1 from host n under `limits`, of `offered` kB."""
    prepare(stack, limits, datapath)
    for n in limits:
        send(stack, n, offered)
    time.sleep(0.8)
    before = {n: received(stack, n) for n in limits}
    time.sleep(2)
    after = {n: received(stack, n) for n in limits}
    return {n: (after[n][1] - before[n][1]) / (after[n][0] - before[n][0]) for n in limits}


HTB = (
    f"-- set port h2 qos=@q -- --id=@q create qos type=linux-htb other_config:max-rate={LIMIT * 8}"
    f" queues:0=@a -- --id=@a create queue other_config:max-rate={LIMIT * 8}"
)


@pytest.mark.slow
def test_rates_are_those_that_were_asked_for(require: Callable[..., None], tmp_path: Path) -> None:
    require("root", "netns", "tun", "command:ovsdb-server", "command:ovs-vswitchd")
    policed = {
        1: HTB,
        3: "-- set port h4 qos=@q -- --id=@q create qos type=egress-policer"
           f" other_config:cir={LIMIT * 986 // 1000} other_config:cbs=20000",
        5: f"set interface h5 ingress_policing_rate={LIMIT * 8 // 1000} ingress_policing_burst=200",
    }  # fmt: skip
    found = {}
    for kind, vswitchd, limits in (("real", REAL, {1: HTB}), ("ours", OURS, policed)):
        (tmp_path / kind).mkdir()
        stack = Stack(tmp_path / kind, vswitchd)
        try:
            found[kind] = measured(stack, limits)
        finally:
            stack.close()
    ours = found["ours"]
    assert abs(ours[1] / found["real"][1] - 1) < 0.05, found
    assert abs(ours[3] / LIMIT - 1) < 0.05, found
    assert abs(ours[5] / LIMIT - 1) < 0.05, found
