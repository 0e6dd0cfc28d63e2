"""Disciplines and policers beside the real switch, as the kernel's own tool shows them."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

from tests.bridge.pair import Side
from tests.bridge.test_devices import pair
from tests.bridge.test_policers import prepare, received, send
from tests.stack import OURS, REAL, Stack
from tests.whole import ALL
from vswitch.bridge.tc_police import police
from vswitch.dpif.types import Policing

__all__ = ["pair"]

CONFIGURATIONS = [
    "linux-sfq", "linux-sfq other_config:perturb=5 other_config:quantum=3000", "linux-codel",
    "linux-codel other_config:target=2000 other_config:limit=500 other_config:interval=50000",
    "linux-fq_codel",
    "linux-fq_codel other_config:target=2000 other_config:limit=500 other_config:interval=50000"
    " other_config:flows=64 other_config:quantum=2000",
    "linux-netem", "linux-netem other_config:latency=30000 other_config:limit=500 other_config:loss=7",
    "linux-hfsc other_config:max-rate=100000000 queues:1=@q1 -- --id=@q1 create queue"
    " other_config:min-rate=10000000 other_config:max-rate=20000000",
]  # fmt: skip


def tc(side: Side, *words: str) -> str:
    return side.run("ip", "netns", "exec", side.namespace, "tc", *words)


def shown(side: Side) -> list[str]:
    """What the kernel has, classes in any order, and what the switch says of it."""
    said = re.sub(r"(?<=tx_)(packets|bytes): +\d+", r"\1: N", side.appctl("qos/show", "v0"))
    classes = sorted(tc(side, "class", "show", "dev", "v0").splitlines())
    return [tc(side, "qdisc", "show", "dev", "v0"), *classes, said]


def test_disciplines_are_those_of_the_real_switch(pair: list[Side]) -> None:
    for side in pair:
        side.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 v0")
    types = [side.appctl("qos/show-types", "v0") for side in pair]
    policers = "QoS type: egress-policer\nQoS type: trtcm-policer\n"
    assert types[1] == types[0] + policers, "which the real switch has with DPDK only"
    for configuration in CONFIGURATIONS:
        for side in pair:
            side.vsctl("clear port v0 qos")
            side.vsctl(f"-- set port v0 qos=@q -- --id=@q create qos type={configuration}")
        assert "\n".join(shown(pair[1])) == "\n".join(shown(pair[0])), configuration
        kind = configuration.split()[0].removeprefix("linux-")
        assert f"qdisc {kind} 1: root" in tc(pair[1], "qdisc", "show", "dev", "v0")


def test_without_a_rate_it_is_the_links(pair: list[Side]) -> None:
    side = pair[1]
    side.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 v0")
    for kind, shown in (("hfsc", "ul m1 0bit d 0us m2 10Gbit"), ("htb", "ceil 10Gbit")):
        side.vsctl("clear port v0 qos")
        side.vsctl(f"-- set port v0 qos=@q -- --id=@q create qos type=linux-{kind}")
        # The real one has 1410Mbit here: what 32 bits hold of it.
        assert shown in tc(side, "class", "show", "dev", "v0"), kind


def test_a_delay_may_vary(pair: list[Side]) -> None:
    side = pair[1]
    side.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 v0")
    side.vsctl("-- set port v0 qos=@q -- --id=@q create qos type=linux-netem other_config:latency=30000"
               " other_config:jitter=5000")  # fmt: skip
    assert re.search(r"qdisc netem 1: root .*delay 30ms +5ms", tc(side, "qdisc", "show", "dev", "v0"))
    assert "jitter: 5000\n" in side.appctl("qos/show", "v0")


def test_a_discipline_that_delays_delays(pair: list[Side]) -> None:
    side = pair[1]
    side.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 v0")
    subprocess.run(["ip", "netns", "add", "far"], check=True)
    try:
        side.run("ip", "-n", side.namespace, "link", "set", "v1", "netns", "far")
        ends = ((side.namespace, "br0", "10.9.0.1/24"), ("far", "v1", "10.9.0.2/24"))
        for namespace, device, address in ends:
            subprocess.run(["ip", "-n", namespace, "addr", "add", address, "dev", device], check=True)
            subprocess.run(["ip", "-n", namespace, "link", "set", device, "up"], check=True)
        side.vsctl("-- set port v0 qos=@q -- --id=@q create qos type=linux-netem"
                   " other_config:latency=80000")  # fmt: skip
        said = side.run("ip", "netns", "exec", side.namespace, "ping", "-c", "4", "-i", "0.2", "10.9.0.2")
        (least,) = re.findall(r"min/avg/max/\w+ = ([\d.]+)/", said)
        assert 80 <= float(least) < 160, said
    finally:
        subprocess.run(["ip", "netns", "del", "far"], check=False)


POLICE = "rate {} burst {} mtu 64Kb {}action drop/continue overhead 0b"
POLICED = [
    # What tc says of the real switch's policers of the same rates; both rates in one it can't have here.
    (Policing(kbits=1000), [POLICE.format("1Mbit", "1000Kb", "")]),
    (Policing(kbits=1000, kbits_burst=100), [POLICE.format("1Mbit", "12800b", "")]),
    (Policing(kpkts=2), [POLICE.format("0bit", "0b", "pkts_rate 2000 pkts_burst 16000 ")]),
    (Policing(1000, 100, 2, 1), [POLICE.format("1Mbit", "12800b", ""),
                                 POLICE.format("0bit", "0b", "pkts_rate 2000 pkts_burst 1000 ")]),
    (Policing(), []),
]  # fmt: skip


def test_the_kernel_polices_what_a_device_receives() -> None:
    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    ip("link", "add", "pol0", "type", "veth", "peer", "name", "pol1")
    try:
        for policing, expected in POLICED:
            police(socket.if_nametoindex("pol0"), policing)
            said = subprocess.run(["tc", "filter", "show", "dev", "pol0", "ingress"], capture_output=True,
                                  text=True, check=True).stdout  # fmt: skip
            found = re.findall(r"police 0x[0-9a-f]+ (.*?) *\n", said)
            assert found == expected, said
    finally:
        ip("link", "del", "pol0")


LIMIT = 100_000
OFFERED = 250
"""Packets of 1000 bytes a second: more than most limits let through, and no load for a slow machine."""
QOS = "-- set port h{} qos=@q -- --id=@q create qos type=linux-"
LIMITS = {
    1: QOS.format(2) + f"hfsc other_config:max-rate={LIMIT * 8}"
       f" queues:0=@a -- --id=@a create queue other_config:max-rate={LIMIT * 8}",
    3: f"set interface h3 ingress_policing_rate={LIMIT * 8 // 1000} ingress_policing_burst=100",
    5: "set interface h5 ingress_policing_kpkts_rate=1 ingress_policing_kpkts_burst=1",
    7: QOS.format(8) + "netem other_config:latency=100000 other_config:limit=10",
    9: QOS.format(10) + "sfq other_config:perturb=5 other_config:quantum=3000",
    11: QOS.format(12) + "codel other_config:target=2000 other_config:interval=50000",
    13: QOS.format(14) + "fq_codel other_config:target=2000 other_config:interval=50000",
}  # fmt: skip
"""What the kernel's datapath limits: what a port takes in (3 and 5), a queue that packets leave by."""
WANTED = {1: LIMIT, 3: LIMIT, 5: 1_000_000}
"""Bytes a second. Of the others netem has ten packets wait for 100 ms, and a tick of the kernel's clock; the
last three have no limit."""
OFFERED_MORE = {5: 1600}
SETTLED = 3
"""Seconds after which bursts are over."""
WINDOWS = 3
CPUS_COUNTED = 11
"""Seconds of uptime after which the real switch finds the processor, and starts what handles misses."""


@pytest.mark.parametrize("chosen", [(5,), (7,), (1, 3), (9, 11, 13)] if ALL else [(5,)])
def test_rates_are_the_real_switchs_and_those_asked_for(tmp_path: Path, chosen: tuple[int, ...]) -> None:
    """Both at the same time, so that a busy machine is as busy for both; the middle one of three ratios."""
    time.sleep(max(0, CPUS_COUNTED - time.clock_gettime(time.CLOCK_MONOTONIC)))
    stacks = []
    try:
        for kind, vswitchd in (("real", REAL), ("ours", OURS)):
            (tmp_path / kind).mkdir()
            stacks.append(Stack(tmp_path / kind, vswitchd))
            prepare(stacks[-1], {n: LIMITS[n] for n in chosen}, "system")
        for stack in stacks:
            for n in chosen:
                send(stack, n, OFFERED_MORE.get(n, OFFERED), SETTLED + 4 * WINDOWS)
        time.sleep(SETTLED)
        counts = []
        for _ in range(WINDOWS + 1):
            counts.append([{n: received(stack, n) for n in chosen} for stack in stacks])
            time.sleep(2)
    finally:
        for stack in stacks:
            stack.close()
    rates = [
        [{n: (b[i][n][1] - a[i][n][1]) / (b[i][n][0] - a[i][n][0]) for n in chosen} for i in (0, 1)]
        for a, b in pairwise(counts)
    ]  # fmt: skip
    print(rates)
    for n in chosen:
        assert abs(median(ours[n] / real[n] for real, ours in rates) - 1) < 0.05, rates
        if n in WANTED:
            assert abs(median(ours[n] / WANTED[n] for _, ours in rates) - 1) < 0.05, rates
