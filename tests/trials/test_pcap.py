"""What comes in at a dummy and goes out of it, in files: the same bytes as with the real switch."""

from __future__ import annotations

import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.oracle.real import RealSwitch
from tests.trials.trial import PACKETS, Bench

pytestmark = pytest.mark.system

ETHERNET = "eth(src=50:54:00:00:00:02,dst=50:54:00:00:00:09)"
IPV4 = f"{ETHERNET},eth_type(0x0800),ipv4(src=1.2.3.4,dst=2.3.4.5,proto={{}},tos=0,ttl=64,frag=no)"
IPV6 = f"{ETHERNET},eth_type(0x86dd),ipv6(src=fe80::1,dst=fe80::2,label=0,proto=6,tclass=0,hlimit=64,frag=no)"
TEXTS = (
    (f"{ETHERNET},eth_type(0x1234)", "--len", "60"),
    (f"{IPV4.format(17)},udp(src=5,dst=6)", "--len", "60"),
    (f"{IPV4.format(17)},udp(src=5,dst=6)", "--len", "80", f"{IPV4.format(17)},udp(src=5,dst=7)"),
    (f"{IPV4.format(6)},tcp(src=5,dst=6),tcp_flags(2)", "--len", "64"),
    (f"{IPV6},tcp(src=5,dst=6)", "--len", "90"),
    (f"{ETHERNET},eth_type(0x0806),arp(sip=1.2.3.4,tip=2.3.4.5,op=1,sha=50:54:00:00:00:02,"
     "tha=00:00:00:00:00:00)", "--len", "60"),
    (f"{ETHERNET},eth_type(0x8100),vlan(vid=7,pcp=0),encap(eth_type(0x0800),ipv4(src=1.2.3.4,dst=2.3.4.5,"
     "proto=1,tos=0,ttl=64,frag=no),icmp(type=8,code=0))", "--len", "64"),
    # Nobody says where the frame comes from, or what the type behind its tag is.
    ("eth_type(0x86dd),ipv6(proto=58),icmpv6(type=135)",),
    ("in_port(31),packet_type(ns=1,id=0x0800),eth_type(0x0800),ipv4(src=1.2.3.4,proto=6),tcp(src=5)",),
    ("eth_type(0x8847),mpls(label=3,tc=0,ttl=9,bos=1)", "vlan(vid=3)", "tcp(src=3)"),
    ("eth_type(0x8100),vlan(vid=3,pcp=1),encap(ipv4(src=1.2.3.4))",),
    ("eth(),vlan(vid=3,pcp=1),ipv4(src=1.2.3.4)",),
    (f"{IPV4.format(17)},udp(src=5,dst=6)", "--len", "1514", f"{IPV4.format(6)},tcp(src=5)", "--len", "1515"),
    (IPV4.format(99), "--len", "70000"),
)  # fmt: skip


def packets(path: Path) -> list[str]:
    """The packets of a pcap file, UDP without length and checksum: the real switch counts twice what it adds
    to a packet of UDP."""
    data = path.read_bytes()
    magic, _, _, _, _, _, link_type = struct.unpack_from("<IHHiIII", data)
    assert (magic, link_type) == (0xA1B2C3D4, 1)
    found = []
    at = 24
    while at < len(data):
        _, _, n, whole = struct.unpack_from("<IIII", data, at)
        assert n == whole
        packet = bytearray(data[at + 16 : at + 16 + n])
        if packet[12:15] == b"\x08\0\x45" and packet[23] == 17:
            packet[38:42] = bytes(4)
        found.append(packet.hex())
        at += 16 + n
    return found


def test_files_get_the_same_packets(switches: tuple[RealSwitch, RealSwitch]) -> None:
    def kept(switch: RealSwitch) -> list[list[str]]:
        bench = Bench(switch)
        bench.prepare()
        files = {name: switch.directory / f"{name}.pcap" for name in ("rx", "tx", "both")}
        bench.tool("ovs-vsctl", "set", "interface", "e31", f"options:rxq_pcap={files['rx']}",
                   f"options:tx_pcap={files['tx']}", "--", "set", "interface", "e32",
                   f"options:pcap={files['both']}")  # fmt: skip
        bench.tool("ovs-ofctl", "add-flow", "sw", "in_port=1,actions=in_port,output:2")
        for words in TEXTS:
            assert bench.appctl("netdev-dummy/receive", "e31", *words) == ""
        bench.appctl("netdev-dummy/receive", "e32", PACKETS["ARP"])
        bench.tool("ovs-vsctl", "set", "interface", "e31", "options:tx_pcap=/nonexistent/x.pcap")
        bench.appctl("netdev-dummy/receive", "e31", PACKETS["ARP"])
        bench.transmitted()
        told = subprocess.run(["ovs-pcap", files["both"]], capture_output=True, text=True, check=True).stdout
        assert len(told.splitlines()) == len(packets(files["both"]))
        return [sorted(packets(path)) for path in files.values()]

    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(kept, switches)
    assert [len(found) for found in theirs] == [19, 16, 18]
    assert ours == theirs
