"""Timeout policies of zones, from the database to the connections, on both switches."""

from __future__ import annotations

import re

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.packet import Packet

from tests.bridge.pair import Side
from tests.conntrack.packets import ethernet, ip

pytestmark = pytest.mark.system

SETUP = (
    "add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure"
    " -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1"
    " -- --id=@m create Datapath datapath_version=0 -- set Open_vSwitch . datapaths:dummy=@m"
)
POLICY = (
    "add-zone-tp dummy zone=5 udp_first=1100 udp_single=1200 udp_multiple=1300"
    " icmp_first=1400 icmp_reply=1500"
    " tcp_syn_sent=2100 tcp_syn_recv=2200 tcp_established=2300 tcp_fin_wait=2400"
    " tcp_time_wait=2700 tcp_close=2800"
)
SEGMENTS = [  # (port, sent by the other host, flags)
    (1, "S", 100, 0), (2, "SA", 500, 101), (1, "A", 101, 501), (1, "FA", 101, 501), (2, "FA", 501, 102),
    (1, "A", 102, 502),
]  # fmt: skip


def packets() -> list[tuple[int, Packet]]:
    udp = [(1, UDP(sport=1, dport=2)), (1, UDP(sport=1, dport=2)), (2, UDP(sport=2, dport=1))]
    icmp = [(1, ICMP(type=8, id=3)), (2, ICMP(type=0, id=3))]
    tcp = [
        (host, TCP(sport=host, dport=3 - host, flags=flags, seq=seq, ack=ack))
        for host, flags, seq, ack in SEGMENTS
    ]
    return [*udp, *icmp, *tcp]


def timeouts(side: Side, zone: int) -> list[int]:
    """How long a zone keeps the connection of each packet, rounded to tens of seconds."""
    side.appctl("dpctl/flush-conntrack")
    found = []
    for host, payload in packets():
        frame = bytes(ethernet(host) / ip(host, 3 - host) / payload)
        side.appctl("netdev-dummy/receive", "p1", frame.hex())
        side.appctl("version")
        proto = {UDP: "udp", ICMP: "icmp", TCP: "tcp"}[type(payload)]
        line = side.wait(lambda name=proto: dump(side, zone, name), f"a connection of {proto}")
        found.append(round(int(line), -1))
    return found


def dump(side: Side, zone: int, proto: str) -> str:
    """The timeout of the zone's connection of a protocol, "" if there is none."""
    text = side.appctl("dpctl/dump-conntrack", "-s", f"zone={zone}")
    match = re.search(rf"^{proto},.*timeout=(\d+)", text, re.MULTILINE)
    return match[1] if match else ""


def test_a_zone_has_the_timeouts_of_its_policy(real: Side, ours: Side) -> None:
    found = []
    for side in (real, ours):
        side.vsctl(SETUP)
        side.run("ovs-ofctl", "add-flow", "br0", "ip,actions=ct(commit,zone=5),ct(commit,zone=6)")
        side.vsctl(POLICY)
        with_policy, without = timeouts(side, 5), timeouts(side, 6)
        side.vsctl("del-zone-tp dummy zone=5")
        side.appctl("revalidator/wait")
        found.append((with_policy, without, timeouts(side, 5)))
    assert found[0] == found[1]
    with_policy, without, after = found[1]
    assert with_policy == [1100, 1200, 1300, 1400, 1500, 2100, 2200, 2300, 2400, 2700, 2800]
    assert without == after
