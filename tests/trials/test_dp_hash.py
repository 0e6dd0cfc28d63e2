"""Select groups by dp_hash, the default: each packet takes the bucket that the real switch gives it."""

from __future__ import annotations

import random
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.oracle.real import RealSwitch
from tests.trials.trial import Bench
from vswitch.packet.checksum import csum

pytestmark = pytest.mark.system


def _mac(r: random.Random) -> bytes:
    return b"\x02\0\0\0" + bytes((r.randrange(256), r.randrange(256)))


def _ipv4(r: random.Random, proto: int, payload: bytes, fragment: int = 0) -> bytes:
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, fragment, 64, proto, 0,
                       bytes((10, 0, 0, r.randrange(256))), bytes((10, 0, 1, r.randrange(256))))
    return b"\x08\0" + head[:10] + csum(head).to_bytes(2, "big") + head[12:] + payload


def _ports(r: random.Random) -> bytes:
    return struct.pack(">HH", r.randrange(65536), r.randrange(65536))


def _packet(r: random.Random, kind: str) -> bytes:
    head = _mac(r) + _mac(r)
    if kind == "dl_type=0x88b5":
        return head + b"\x88\xb5" + bytes(46)
    if kind == "arp":
        addresses = bytes((10, 0, 0, 1)) + bytes(6) + bytes((10, 0, 0, 2))
        return head + struct.pack(">HHHBBH6s", 0x806, 1, 0x800, 6, 4, 1, bytes(6)) + addresses + bytes(18)
    if kind == "mpls":
        return head + b"\x88\x47\0\1\1\x40" + _ipv4(r, 17, bytes(26))[2:]
    if kind == "vlan":
        return head + struct.pack(">HH", 0x8100, r.randrange(1, 5)) + b"\x88\xb5" + bytes(46)
    if kind == "udp":
        return head + _ipv4(r, 17, _ports(r) + b"\0\x1a\0\0" + bytes(18))
    if kind == "tcp":
        return head + _ipv4(r, 6, _ports(r) + bytes(8) + b"\x50\x02" + bytes(10))
    if kind == "tcp fragment":
        return head + _ipv4(r, 6, _ports(r) + bytes(20), r.choice((0x2000, 0x2003, 0x0003)))
    source, destination = bytes(14) + _ports(r)[:2], bytes(14) + _ports(r)[:2]
    tcp = _ports(r) + bytes(8) + b"\x50\x02" + bytes(6)
    return head + b"\x86\xdd" + struct.pack(">IHBB", 0x60000000, 20, 6, 64) + source + destination + tcp


@pytest.mark.parametrize("kind", [
    "dl_type=0x88b5", "arp", "mpls", "vlan", "udp", "tcp", "tcp fragment", "tcp6",
])  # fmt: skip
def test_packets_take_the_same_buckets(switches: tuple[RealSwitch, RealSwitch], kind: str) -> None:
    r = random.Random(kind)
    packets = [_packet(r, kind).hex() for _ in range(60)]

    def taken(switch: RealSwitch) -> list[str]:
        bench = Bench(switch)
        bench.prepare()
        bench.tool("ovs-ofctl", "-O", "OpenFlow15", "add-group", "sw",
                   "group_id=1,type=select,bucket=weight=1,output:2,bucket=weight=2,output:3,"
                   "bucket=weight=1,output:LOCAL")
        bench.tool("ovs-ofctl", "-O", "OpenFlow15", "add-flow", "sw", "in_port=1,actions=group:1")
        found = []
        for first in range(0, len(packets), 10):
            for packet in packets[first : first + 10]:
                bench.appctl("netdev-dummy/receive", "e31", packet)
            found.append(bench.transmitted())
        return found

    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(taken, switches)
    assert sum(map(len, theirs)) > 60
    assert theirs == ours


def test_first_and_later_fragments_share_a_bucket(switches: tuple[RealSwitch, RealSwitch]) -> None:
    r = random.Random(1)
    bench = Bench(switches[1])
    bench.prepare()
    bench.tool("ovs-ofctl", "-O", "OpenFlow15", "add-group", "sw",
               "group_id=1,type=select,bucket=output:2,bucket=output:3")
    bench.tool("ovs-ofctl", "-O", "OpenFlow15", "add-flow", "sw", "in_port=1,actions=group:1")
    for _ in range(20):
        head, addresses = _mac(r) + _mac(r), r.randrange(1 << 30)
        for payload, fragment in ((_ports(r) + bytes(20), 0x2000), (bytes(24), 0x0003)):
            again = random.Random(addresses)
            packet = head + _ipv4(again, 17, payload, fragment)
            bench.appctl("netdev-dummy/receive", "e31", packet.hex())
        assert bench.transmitted() in ("2: 2\n", "3: 2\n")
