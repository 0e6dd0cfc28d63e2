"""Random packets through a bridge with bonds, snooping and a spanning tree, traced beside the real switch.

1,000 packets with VSWITCH_TEST_ALL=1, a fixed sample of them otherwise.
"""

from __future__ import annotations

import os
import random
import re
import time

import pytest

from tests.bridge.pair import Side
from tests.bridge.test_mcast import STORY

pytestmark = [pytest.mark.system, pytest.mark.stopped_clock]

N_PACKETS = 1000 if os.environ.get("VSWITCH_TEST_ALL") else 60
MODES = ("active-backup", "balance-slb", "balance-tcp")
BRIDGE = (
    "add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=standalone mcast_snooping_enable=true {tree} "
    "other_config:hwaddr=aa:55:aa:55:00:01 -- add-bond br0 bond m1 m2 "
    "-- set port bond bond_mode={mode} {bond} "
    "-- set interface m1 type=dummy ofport_request=1 -- set interface m2 type=dummy ofport_request=2"
)
PORTS = {3: "", 4: "tag=10", 5: "vlan_mode=native-untagged tag=10", 6: "trunks=10,20"}
ADDRESSES = [f"02:00:00:00:00:{i:02x}" for i in range(1, 7)]
DESTINATIONS = [
    *ADDRESSES, "ff:ff:ff:ff:ff:ff", "01:00:5e:01:01:01", "01:00:5e:00:00:09", "33:33:00:00:00:05",
    "01:80:c2:00:00:00", "01:80:c2:00:00:02", "01:80:c2:00:00:0e",
]  # fmt: skip


def random_flow(rng: random.Random) -> str:
    port = rng.choice(["LOCAL", *map(str, range(1, 7))])
    flow = f"in_port={port},dl_src={rng.choice(ADDRESSES)},dl_dst={rng.choice(DESTINATIONS)}"
    vlan = rng.choice([0, 0, 10, 20, 30])
    if vlan:
        flow += f",dl_vlan={vlan}"
    return flow + rng.choice([
        ",ip,nw_dst=225.1.1.1", ",ip,nw_dst=224.0.0.9", ",ip,nw_dst=239.9.9.9", ",ipv6,ipv6_dst=ff05::5",
        ",udp,nw_dst=10.0.0.1", ",arp,arp_op=2", ",arp,arp_op=1,arp_spa=10.0.0.9,arp_tpa=10.0.0.9",
        ",dl_type=0x8809", ",dl_type=0x05ff", "",
    ])  # fmt: skip


def make(side: Side, mode: str, tree: str) -> None:
    bond = "other_config:bond-primary=m1" if mode == "active-backup" else ""
    side.appctl("time/stop")
    commands = [BRIDGE.format(tree=tree, mode=mode, bond=bond)]
    for number, vlan in PORTS.items():
        commands.append(
            f"add-port br0 p{number} {vlan} -- set interface p{number} type=dummy ofport_request={number}"
        )
    said = side.vsctl(" -- ".join(commands))
    assert said == "", said


def warp(side: Side, seconds: int) -> None:
    """Let seconds pass, each with its turns of the main loop."""
    for _ in range(seconds):
        side.appctl("time/warp", "1000")
        time.sleep(0.02)


def traced(side: Side, flow: str) -> str:
    """A trace by the names of ports. Which member a hash has is any of both at first."""
    text = side.appctl("ofproto/trace", "br0", flow)
    # Whether a flood passes a blocked port by, or goes there and is told no, has the real switch do either.
    text = re.sub(r" *>> R?STP not in forwarding state, skipping output\n", "", text)
    numbers = {
        number: "member" if name in ("m1", "m2") else name
        for name, number in re.findall(r"^    (\S+) \S+/(\d+):", side.appctl("dpif/show"), re.MULTILINE)
    }
    head, _, rest = text.partition("Datapath actions: ")
    actions, _, tail = rest.partition("\n")
    return head + ",".join(numbers.get(a, a) for a in sorted_outputs(actions, numbers)) + tail


def sorted_outputs(actions: str, numbers: dict[str, str]) -> list[str]:
    """The actions with outputs between changes of headers in the order of names: floods have any order."""
    found: list[str] = []
    run: list[str] = []
    for action in re.split(r",(?![^(]*\))", actions.strip()):
        if action in numbers:
            run.append(action)
        else:
            found += [*sorted(run, key=numbers.__getitem__), action]
            run = []
    return found + sorted(run, key=numbers.__getitem__)


def output_set(text: str) -> list[str]:
    """Where packets go, and how: floods visit ports, and so change tags, in any order."""
    _, _, actions = text.rpartition("\n")
    return sorted(actions.split(","))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tree", ["", "stp_enable=true", "rstp_enable=true"])
def test_random_packets_are_translated_alike(ours: Side, real: Side, mode: str, tree: str) -> None:
    for side in (ours, real):
        make(side, mode, tree)
        warp(side, 2)
        if mode != "active-backup":
            side.appctl("bond/set-active-member", "bond", "m1")
    rng = random.Random(f"{mode} {tree}")
    flows = [random_flow(rng) for _ in range(N_PACKETS)]
    phases = 3 if tree else 1
    for phase in range(phases):
        for flow in flows[phase::phases]:
            mine, theirs = traced(ours, flow), traced(real, flow)
            if "push_vlan" in theirs or "pop_vlan" in theirs:
                mine_head, theirs_head = mine.rpartition("Megaflow")[0], theirs.rpartition("Megaflow")[0]
                assert mine_head == theirs_head, flow
                assert sum(
                    a in ("member", *map("p{}".format, PORTS), "br0") for a in output_set(mine)
                ) == sum(a in ("member", *map("p{}".format, PORTS), "br0") for a in output_set(theirs)), flow
            else:
                assert mine == theirs, flow
        for side in (ours, real):
            warp(side, 16)
        if phase == 0:
            for port, packet in STORY[:2]:
                for side in (ours, real):
                    side.appctl("netdev-dummy/receive", f"p{port + 2}", packet)
