"""A packet composed from a flow has the same bytes as the real switch's."""

from __future__ import annotations

import struct
import time
from pathlib import Path

from tests.oracle.real import RealSwitch
from tests.oracle.setup import Bridge, Port, Setup
from vswitch.flow.compose import DEFAULT_PAYLOAD, flow_compose
from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.packet.parse import Parser

ETH = "in_port(1),eth(src=00:00:00:00:00:01,dst=00:00:00:00:00:02)"
IP4 = "eth_type(0x0800),ipv4(src=10.0.0.1,dst=10.0.0.2,proto={},tos=8,ttl=64,frag={})"
IP6 = (
    "eth_type(0x86dd),ipv6(src=2001:db8::1,dst=2001:db8::2,label=0x123,proto={},tclass=0x70,hlimit=3,frag=no)"
)
FLOWS = [
    f"{ETH},{IP4.format(17, 'no')},udp(src=5,dst=6)",
    f"{ETH},{IP4.format(6, 'no')},tcp(src=5,dst=6),tcp_flags(psh|ack)",
    f"{ETH},{IP4.format(6, 'no')},tcp(src=5,dst=6),tcp_flags(syn)",
    f"{ETH},{IP4.format(132, 'no')},sctp(src=5,dst=6)",
    f"{ETH},{IP4.format(1, 'no')},icmp(type=8,code=0)",
    f"{ETH},{IP4.format(17, 'first')},udp(src=5,dst=6)",
    f"{ETH},{IP4.format(17, 'later')}",
    f"{ETH},{IP4.format(47, 'no')}",
    f"{ETH},{IP6.format(17)},udp(src=5,dst=6)",
    f"{ETH},{IP6.format(6)},tcp(src=5,dst=6),tcp_flags(fin)",
    f"{ETH},{IP6.format(58)},icmpv6(type=128,code=0)",
    f"{ETH},{IP6.format(58)},icmpv6(type=135,code=0),nd(target=fe80::1,sll=00:01:02:03:04:05)",
    f"{ETH},{IP6.format(58)},icmpv6(type=136,code=0),nd(target=fe80::1,tll=00:01:02:03:04:05)",
    f"{ETH},eth_type(0x0806),arp(sip=10.0.0.1,tip=10.0.0.2,op=1,sha=00:00:00:00:00:01,tha=00:00:00:00:00:00)",
    f"{ETH},eth_type(0x8100),vlan(vid=5,pcp=3),encap({IP4.format(17, 'no')},udp(src=5,dst=6))",
    f"{ETH},eth_type(0x8847),mpls(label=5,tc=3,ttl=64,bos=1)",
    f"{ETH},eth_type(0x1234)",
]


def captured(path: Path) -> list[bytes]:
    """The packets in a pcap file."""
    data = path.read_bytes()
    packets = []
    at = 24
    while at + 16 <= len(data):
        (length,) = struct.unpack_from("=I", data, at + 8)
        packets.append(data[at + 16 : at + 16 + length])
        at += 16 + length
    return packets


def test_composed_packets_are_those_of_the_real_switch(real: RealSwitch, tmp_path: Path) -> None:
    setup = Setup("one to two", [Bridge("br0", {}, [Port("p1"), Port("p2")], ["in_port=1 actions=output:2"])])
    real.configure(setup)
    path = tmp_path / "p2.pcap"
    real.run("ovs-vsctl", "set", "interface", "p2", f"options:tx_pcap={path}")
    for count, text in enumerate(FLOWS, 1):
        real.receive("p1", text)
        deadline = time.monotonic() + 5
        while len(captured(path)) < count and time.monotonic() < deadline:
            time.sleep(0.002)
    theirs = captured(path)
    assert len(theirs) == len(FLOWS)
    for text, data in zip(FLOWS, theirs, strict=True):
        flow = Flow()
        extract(data, flow, Parser())
        ours = flow_compose(flow, DEFAULT_PAYLOAD)
        if "sctp" in text:
            ours = ours[:-4] + bytes(4)  # the real one leaves the CRC out
        assert ours.hex() == data.hex(), text
