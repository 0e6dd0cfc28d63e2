"""Multicast snooping beside the real switch: the same messages, the same table, the same translations."""

from __future__ import annotations

import random
import re
import time

import pytest
from scapy.layers.inet import IP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6MLDMultAddrRec,
    ICMPv6MLDone,
    ICMPv6MLQuery,
    ICMPv6MLReport,
    ICMPv6MLReport2,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from tests.bridge.pair import Side
from tests.l2.igmp_messages import v2
from tests.l2.igmp_messages import v3 as v3_message

pytestmark = [pytest.mark.system, pytest.mark.stopped_clock]

N_PORTS = 5


def v4(dst: str, message: bytes, src: str = "10.0.0.5", vlan: int = 0) -> str:
    mac = "01:00:5e:" + ":".join(f"{int(b) & (0x7F if i == 0 else 0xFF):02x}" for i, b in
                                 enumerate(dst.split(".")[1:]))  # fmt: skip
    head = Ether(src="02:00:00:00:00:05", dst=mac)
    if vlan:
        head /= Dot1Q(vlan=vlan)
    header = IP(src=src, dst=dst, ttl=1, proto=2, options=[IPOption_Router_Alert()])
    return bytes(head / header / message).hex()


def v6(dst: str, message: Packet, src: str = "fe80::5") -> str:
    head = Ether(src="02:00:00:00:00:05", dst="33:33:00:00:00:05") / IPv6(src=src, dst=dst, hlim=1)
    return bytes(head / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / message).hex()


def v3(*records: tuple[int, str]) -> str:
    return v4("224.0.0.22", v3_message(*records))


def v2_of_mld(*records: tuple[int, str]) -> str:
    made = [ICMPv6MLDMultAddrRec(rtype=kind, dst=group) for kind, group in records]
    return v6("ff02::16", ICMPv6MLReport2(records=made, records_number=len(made)))


STORY: list[tuple[int, str]] = [
    (1, v4("225.1.1.1", v2(0x16, "225.1.1.1"))),
    (2, v4("225.1.1.1", v2(0x16, "225.1.1.1"))),
    (2, v4("225.1.1.2", v2(0x12, "225.1.1.2"))),
    (1, v3((4, "225.1.1.3"), (2, "225.1.1.4"), (3, "225.1.1.1"))),
    (4, v4("225.1.1.7", v2(0x16, "225.1.1.7"), vlan=7)),
    (3, v4("224.0.0.1", v2(0x11, "0.0.0.0"))),
    (5, v4("224.0.0.1", v2(0x11, "0.0.0.0"), src="0.0.0.0")),
    (2, v6("ff05::5", ICMPv6MLReport(mladdr="ff05::5"))),
    (1, v2_of_mld((4, "ff05::7"), (2, "ff05::8"))),
    (1, v2_of_mld((3, "ff05::8"))),
    (5, v6("ff02::1", ICMPv6MLQuery())),
    (2, v6("ff02::2", ICMPv6MLDone(mladdr="ff05::9"))),
    (2, v4("224.0.0.2", v2(0x17, "225.1.1.2"))),
    (1, v4("225.1.1.9", v2(0x16, "225.1.1.9")[:-1] + b"\0")),
]
FLOWS = [
    "ip,dl_dst=01:00:5e:01:01:01,nw_dst=225.1.1.1",
    "ip,dl_dst=01:00:5e:01:01:03,nw_dst=225.1.1.3",
    "udp,dl_dst=01:00:5e:01:01:02,nw_dst=225.1.1.2,udp_dst=5",
    "ip,dl_dst=01:00:5e:00:00:09,nw_dst=224.0.0.9",
    "ip,dl_dst=01:00:5e:7f:01:01,nw_dst=239.255.1.1",
    "udp,dl_dst=01:00:5e:01:01:07,dl_vlan=7,nw_dst=225.1.1.7",
    "ipv6,dl_dst=33:33:00:00:00:05,ipv6_dst=ff05::5",
    "ipv6,dl_dst=33:33:00:00:00:08,ipv6_dst=ff05::8",
    "ipv6,dl_dst=33:33:00:00:00:01,ipv6_dst=ff02::1",
    "ipv6,dl_dst=33:33:00:00:00:05,ipv6_dst=ff02::5",
    "icmp6,dl_dst=33:33:00:00:00:05,ipv6_dst=ff05::5",
    "arp,dl_dst=33:33:00:00:00:05",
    "ip,dl_dst=ff:ff:ff:ff:ff:ff",
    "ip,dl_dst=00:00:00:00:00:09",
]
SETTINGS = [
    "",
    "other_config:mcast-snooping-disable-flood-unregistered=true -- set port p4 "
    "other_config:mcast-snooping-flood=true -- set port p1 other_config:mcast-snooping-flood-reports=true",
]


def make(side: Side, settings: str) -> None:
    ports = " -- ".join(
        f"add-port br0 p{i} -- set interface p{i} type=dummy ofport_request={i}"
        for i in range(1, N_PORTS + 1)
    )
    said = side.vsctl(
        "add-br br0 -- set bridge br0 datapath_type=dummy fail-mode=standalone mcast_snooping_enable=true "
        f"{settings.split(' -- ', 1)[0]} -- {ports}"
    )
    assert said == "", said
    if " -- " in settings:
        assert side.vsctl(settings.split(" -- ", 1)[1]) == ""
    side.appctl("time/stop")


def table(side: Side) -> list[str]:
    """mdb/show without the protocol, which the real switch doesn't show, and in no order."""
    text = side.appctl("mdb/show", "br0")
    text = re.sub(r" protocol ", " ", text)
    return sorted(" ".join(re.sub(r"(IGMP|MLD)v\d", "", line).split()) for line in text.splitlines())


def trace(side: Side, *args: str) -> str:
    """A trace by the names of ports; router and group ports come in no order."""
    text = side.appctl("ofproto/trace", "br0", *args)
    numbers = {
        number: name
        for name, number in re.findall(r"^    (\S+) \S+/(\d+):", side.appctl("dpif/show"), re.MULTILINE)
    }
    head, _, rest = text.partition("Datapath actions: ")
    actions, _, tail = rest.partition("\n")
    return head + ",".join(sorted(numbers.get(a, a) for a in actions.strip().split(","))) + tail


def story(side: Side, settings: str, messages: list[tuple[int, str]], flows: list[str]) -> dict[str, object]:
    make(side, settings)
    shown: dict[str, object] = {}
    for n, (port, packet) in enumerate(messages):
        side.appctl("netdev-dummy/receive", f"p{port}", packet)
        time.sleep(0.04)
        side.appctl("time/warp", "1000")
        shown[f"table after {n}"] = table(side)
    for flow in flows:
        for port in (1, 3):
            shown[f"{flow} from {port}"] = trace(side, f"in_port={port},{flow}")
    for port, packet in messages[:2] + messages[5:8] + messages[10:11]:
        shown[f"message from {port}: {packet}"] = trace(side, f"in_port={port}", packet)
    side.appctl("time/warp", "400000", "1000")
    side.wait(lambda: len(table(side)) == 1, "an empty table")
    return shown


@pytest.mark.parametrize("settings", SETTINGS)
def test_messages_make_the_same_table_and_the_same_translations(
    ours: Side, real: Side, settings: str
) -> None:
    mine = story(ours, settings, STORY, FLOWS)
    for what, shown in story(real, settings, STORY, FLOWS).items():
        assert mine[what] == shown, what


def test_random_messages_make_the_same_table(ours: Side, real: Side) -> None:
    rng = random.Random(41)
    groups = [f"225.2.0.{i}" for i in range(1, 9)]
    groups6 = [f"ff05::{i}" for i in range(1, 9)]
    messages = []
    for _ in range(30):
        port = rng.randrange(1, N_PORTS + 1)
        group, group6 = rng.choice(groups), rng.choice(groups6)
        messages.append((port, rng.choice([
            v4(group, v2(0x16, group)),
            v4("224.0.0.2", v2(0x17, group)),
            v3((rng.randrange(1, 7), group), (rng.randrange(1, 7), rng.choice(groups))),
            v6(group6, ICMPv6MLReport(mladdr=group6)),
            v6("ff02::2", ICMPv6MLDone(mladdr=group6)),
            v2_of_mld((rng.randrange(1, 7), group6)),
        ])))  # fmt: skip
    mine = story(ours, "", messages, FLOWS[:2])
    theirs = story(real, "", messages, FLOWS[:2])
    for what in theirs:
        if what.startswith("table"):
            assert mine[what] == theirs[what], what
