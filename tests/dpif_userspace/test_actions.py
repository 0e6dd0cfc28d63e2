"""What each datapath action does to a packet, against packets that scapy makes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import pytest
import scapy.all as scapy
import scapy.contrib.mpls as mpls

from tests.dpif.lab import key_of, mask_of, put, tcp, udp
from vswitch.base.clock import Clock
from vswitch.dpif import actions as act
from vswitch.dpif.ops import Execute, FlowPut, Upcall
from vswitch.dpif.types import MeterBand, MeterConfig, PutFlags, UpcallType
from vswitch.dpif.userspace.provider import UserspaceDpif
from vswitch.flow import key_attr as attr
from vswitch.netdev.dummy import DummyNetdev
from vswitch.netdev.frame import GSO_TCPV4, VNET_NEEDS_CSUM, Frame
from vswitch.netdev.gso import segments
from vswitch.packet.tunnel import kinds

Ether, Dot1Q, IP, IPv6, TCP, UDP, ARP, ICMP, SCTP = (
    scapy.Ether,
    scapy.Dot1Q,
    scapy.IP,
    scapy.IPv6,
    scapy.TCP,
    scapy.UDP,
    scapy.ARP,
    scapy.ICMP,
    scapy.SCTP,
)
MPLS = mpls.MPLS
MACS = {"src": "02:00:00:00:00:0a", "dst": "02:00:00:00:00:0b"}
ETH = Ether(**MACS)
IP4 = IP(src="10.0.0.1", dst="10.0.0.2", ttl=64)
IP6 = IPv6(src="fd00::1", dst="fd00::2", hlim=64, tc=4, fl=5)


class Bench:
    """A datapath with dummies 1, 2 and 3; actions are run on a packet that came in by port 1."""

    def __init__(self) -> None:
        self.clock = Clock(virtual=True)
        self.clock.warp(1000)
        self.dpif = UserspaceDpif("bench", self.clock, dummy=True)
        for n in (1, 2, 3):
            self.dpif.port_add(f"bench{n}", "dummy", n)
        self.dpif.recv_set(True)

    def port(self, number: int) -> DummyNetdev:
        netdev = self.dpif.netdev(number)
        assert isinstance(netdev, DummyNetdev)
        return netdev

    def execute(self, packet: bytes, *actions: act.Action, offload: Frame | None = None) -> int:
        op = Execute(packet, key_of(packet, 1), actions, offload=offload)
        self.dpif.operate([op])
        return op.error

    def out(self, packet: bytes, *actions: act.Action) -> bytes:
        """What comes out of port 2 after `actions`; b"" if nothing does."""
        assert self.execute(packet, *actions, act.Output(2)) == 0
        sent = self.port(2).transmitted()
        return sent[0] if sent else b""

    def receive(self, packet: bytes) -> None:
        self.port(1).inject(packet)
        while self.dpif.run():
            pass

    def upcalls(self) -> list[Upcall]:
        return self.dpif.recv(50)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.dpif.destroy()


def host32(value: int) -> bytes:
    return struct.pack("=I", value)


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ip(text: str) -> bytes:
    return bytes(IP(src=text))[12:16]


def ip6(text: str) -> bytes:
    return bytes(IPv6(src=text))[8:24]


def nsh_base(flags: int, ttl: int, path: int) -> bytes:
    return struct.pack("=HH", 12, 1) + struct.pack(">BBBBI", flags, ttl, 1, 3, path)


NSH_MD1 = bytes(range(16))
IN_TCP, IN_UDP = (
    ETH / IP4 / TCP(sport=1, dport=2, flags="S") / b"data",
    ETH / IP4 / UDP(sport=1, dport=2) / b"data",
)
IN_UDP6 = ETH / IP6 / UDP(sport=1, dport=2) / b"data"
IN_ARP = ETH / ARP(op=1, hwsrc=MACS["src"], psrc="10.0.0.1", hwdst="00:00:00:00:00:00", pdst="10.0.0.2")
IN_TAGGED = ETH / Dot1Q(vlan=7, prio=2) / IP4 / UDP(sport=1, dport=2) / b"data"
IN_MPLS = ETH / MPLS(label=16, ttl=9, s=1) / IP4 / UDP(sport=1, dport=2)
NS = scapy.ICMPv6ND_NS(tgt="fd00::2") / scapy.ICMPv6NDOptSrcLLAddr(lladdr=MACS["src"])

CASES: dict[str, tuple[object, tuple[act.Action, ...], object]] = {
    "set ethernet": (
        IN_UDP,
        (act.Set(attr.ETHERNET, mac("02:00:00:00:00:01") + mac("02:00:00:00:00:02")),),
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IN_UDP.payload,
    ),
    "masked set ethernet": (
        IN_UDP,
        (act.SetMasked(attr.ETHERNET, bytes(6) + mac("00:00:00:00:ee:00"), bytes(10) + b"\xff\x00"),),
        Ether(src=MACS["src"], dst="02:00:00:00:ee:0b") / IN_UDP.payload,
    ),
    "set ipv4": (
        IN_TCP,
        (act.Set(attr.IPV4, ip("1.2.3.4") + ip("5.6.7.8") + bytes((6, 8, 9, 0))),),
        ETH / IP(src="1.2.3.4", dst="5.6.7.8", tos=8, ttl=9) / IN_TCP[TCP],
    ),
    "masked set ipv4": (
        IN_UDP,
        (
            act.SetMasked(
                attr.IPV4, bytes(4) + ip("0.0.9.0") + bytes(4), bytes(4) + ip("0.0.255.0") + bytes(4)
            ),
        ),
        ETH / IP(src="10.0.0.1", dst="10.0.9.2") / IN_UDP[UDP],
    ),
    "set ipv6": (
        IN_UDP6,
        (
            act.Set(
                attr.IPV6, ip6("fd01::8") + ip6("8000::9") + (0x777).to_bytes(4, "big") + bytes((17, 8, 3, 0))
            ),
        ),
        ETH / IPv6(src="fd01::8", dst="8000::9", tc=8, fl=0x777, hlim=3) / IN_UDP6[UDP],
    ),
    "masked set ipv6 destination": (
        IN_UDP6,
        (act.SetMasked(attr.IPV6, bytes(16) + ip6("::9") + bytes(8), bytes(16) + ip6("::ff") + bytes(8)),),
        ETH / IPv6(src="fd00::1", dst="fd00::9", hlim=64, tc=4, fl=5) / IN_UDP6[UDP],
    ),
    "set tcp": (
        IN_TCP,
        (act.Set(attr.TCP, struct.pack(">HH", 500, 600)),),
        ETH / IP4 / TCP(sport=500, dport=600, flags="S") / b"data",
    ),
    "masked set udp": (
        IN_UDP,
        (act.SetMasked(attr.UDP, b"\0\0\x10\0", b"\0\0\xff\0"),),
        ETH / IP4 / UDP(sport=1, dport=0x1002) / b"data",
    ),
    "set udp of a tcp packet": (IN_TCP, (act.Set(attr.UDP, b"\1\1\1\1"),), IN_TCP),
    "set sctp": (
        ETH / IP4 / SCTP(sport=1, dport=2) / scapy.SCTPChunkInit(),
        (act.Set(attr.SCTP, struct.pack(">HH", 9, 8)),),
        ETH / IP4 / SCTP(sport=9, dport=8) / scapy.SCTPChunkInit(),
    ),
    "set tcp flags": (
        IN_TCP,
        (act.Set(attr.TCP_FLAGS, b"\0\x12"),),
        ETH / IP4 / TCP(sport=1, dport=2, flags="SA") / b"data",
    ),
    "set icmp": (
        ETH / IP4 / ICMP(type=8) / b"ping",
        (act.Set(attr.ICMP, b"\0\0"),),
        ETH / IP4 / ICMP(type=0, id=0) / b"ping",
    ),
    "set arp": (
        IN_ARP,
        (
            act.Set(
                attr.ARP,
                ip("10.0.0.7")
                + ip("10.0.0.8")
                + b"\0\2"
                + mac("02:00:00:00:00:07")
                + mac("02:00:00:00:00:08")
                + bytes(2),
            ),
        ),
        ETH
        / ARP(op=2, hwsrc="02:00:00:00:00:07", psrc="10.0.0.7", hwdst="02:00:00:00:00:08", pdst="10.0.0.8"),
    ),
    "set nd": (
        ETH / IP6 / NS,
        (act.Set(attr.ND, ip6("fd00::77") + mac("02:00:00:00:00:99") + bytes(6)),),
        ETH
        / IP6
        / scapy.ICMPv6ND_NS(tgt="fd00::77")
        / scapy.ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:00:99"),
    ),
    "set vlan": (
        IN_TAGGED,
        (act.Set(attr.VLAN, (0x6009).to_bytes(2, "big")),),
        ETH / Dot1Q(vlan=9, prio=3) / IN_TAGGED[Dot1Q].payload,
    ),
    "push vlan": (IN_UDP, (act.PushVlan(0x8100, 0x7005),), ETH / Dot1Q(vlan=5, prio=3) / IN_UDP.payload),
    "push 802.1ad": (
        IN_TAGGED,
        (act.PushVlan(0x88A8, 0x1005),),
        Ether(**MACS, type=0x88A8) / Dot1Q(vlan=5) / IN_TAGGED.payload,
    ),
    "pop vlan": (IN_TAGGED, (act.PopVlan(),), ETH / IN_TAGGED[Dot1Q].payload),
    "push and set": (
        IN_UDP,
        (act.PushVlan(0x8100, 0x1005), act.Set(attr.UDP, struct.pack(">HH", 3, 4))),
        ETH / Dot1Q(vlan=5) / IP4 / UDP(sport=3, dport=4) / b"data",
    ),
    "push mpls": (
        IN_UDP,
        (act.PushMpls(16 << 12 | 1 << 8 | 9, 0x8847),),
        Ether(**MACS, type=0x8847) / MPLS(label=16, ttl=9, s=1) / IN_UDP.payload,
    ),
    "pop mpls": (IN_MPLS, (act.PopMpls(0x0800),), ETH / IP4 / UDP(sport=1, dport=2)),
    "set mpls": (
        IN_MPLS,
        (act.Set(attr.MPLS, (99 << 12 | 1 << 8 | 3).to_bytes(4, "big")),),
        ETH / MPLS(label=99, ttl=3, s=1) / IP4 / UDP(sport=1, dport=2),
    ),
    "add mpls after ethernet": (
        IN_UDP,
        (act.AddMpls(16 << 12 | 1 << 8 | 9, 0x8847, 1),),
        Ether(**MACS, type=0x8847) / MPLS(label=16, ttl=9, s=1) / IN_UDP.payload,
    ),
    "pop and push eth": (
        IN_UDP,
        (act.PopEth(), act.PushEth(0x020000000001, 0x020000000002)),
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IN_UDP.payload,
    ),
    "dec ttl": (
        IN_UDP,
        (act.DecTtl((act.Drop(1),)),),
        ETH / IP(src="10.0.0.1", dst="10.0.0.2", ttl=63) / IN_UDP[UDP],
    ),
    "dec hop limit": (
        IN_UDP6,
        (act.DecTtl(()),),
        ETH / IPv6(src="fd00::1", dst="fd00::2", hlim=63, tc=4, fl=5) / IN_UDP6[UDP],
    ),
    "push nsh in ethernet": (
        IN_UDP,
        (act.PushNsh(1, 63, 1, 3, 0x123456FF, NSH_MD1), act.PushEth(1, 2)),
        Ether(src="00:00:00:00:00:01", dst="00:00:00:00:00:02", type=0x894F)
        / bytes.fromhex("1fc60103123456ff")
        / NSH_MD1
        / IN_UDP,
    ),
    "push, set and pop nsh": (
        IN_UDP,
        (
            act.PushNsh(0, 63, 1, 3, 0x123456FF, NSH_MD1),
            act.Set(attr.NSH, nsh_base(0, 12, 0x222222FE)),
            act.PopNsh(),
        ),
        IN_UDP,
    ),
    "set nsh": (
        IN_UDP,
        (
            act.PushNsh(0, 63, 1, 3, 0x123456FF, NSH_MD1),
            act.Set(attr.NSH, nsh_base(0, 12, 0x222222FE)),
            act.PushEth(1, 2),
        ),
        Ether(src="00:00:00:00:00:01", dst="00:00:00:00:00:02", type=0x894F)
        / bytes.fromhex("03060103222222fe")
        / NSH_MD1
        / IN_UDP,
    ),
    "truncate": (IN_UDP, (act.Trunc(40),), bytes(IN_UDP)[:40]),
    "truncate a short packet": (IN_UDP, (act.Trunc(400),), IN_UDP),
    "clone leaves the packet alone": (
        IN_UDP,
        (act.Clone((act.PushVlan(0x8100, 0x1005), act.Trunc(20))),),
        IN_UDP,
    ),
    "sample always": (IN_UDP, (act.Sample(0xFFFFFFFF, (act.PopVlan(), act.Output(3))),), IN_UDP),
    "check length, greater": (
        IN_UDP,
        (act.CheckPktLen(20, (act.PushVlan(0x8100, 0x1001), act.Output(2)),
                         (act.PushVlan(0x8100, 0x1002), act.Output(2))),),
        ETH / Dot1Q(vlan=1) / IN_UDP.payload,
    ),
    "check length, not greater": (
        IN_UDP,
        (act.CheckPktLen(len(IN_UDP), (act.PushVlan(0x8100, 0x1001), act.Output(2)),
                         (act.PushVlan(0x8100, 0x1002), act.Output(2))),),
        ETH / Dot1Q(vlan=2) / IN_UDP.payload,
    ),
    "check length leaves the packet alone": (
        IN_UDP, (act.CheckPktLen(20, (act.PushVlan(0x8100, 0x1001),), ()),), IN_UDP,
    ),
    "metadata": (IN_UDP, (act.Set(attr.PRIORITY, host32(7)), act.Set(attr.SKB_MARK, host32(9))), IN_UDP),
    "unknown meter": (IN_UDP, (act.Meter(77),), IN_UDP),
    "drop": (IN_UDP, (act.Drop(3),), b""),
    "pop nsh of another packet": (IN_UDP, (act.PopNsh(),), b""),
    "ttl exceeded": (
        ETH / IP(src="10.0.0.1", dst="10.0.0.2", ttl=1) / UDP(),
        (act.DecTtl((act.Drop(1),)),),
        b"",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_action(bench: Bench, name: str) -> None:
    packet, actions, expected = CASES[name]
    assert bench.out(bytes(packet), *actions).hex() == bytes(expected).hex()  # type: ignore[call-overload]


REFUSED: dict[str, tuple[act.Action, str]] = {
    "an unknown helper": (act.Ct(True, helper="sip"), "no connection tracking helper 'sip'"),
    "forcing without committing": (act.Ct(force=True), "cannot force"),
    "a NAT range backwards": (
        act.Ct(True, nat=act.Nat("src", bytes((10, 0, 0, 2)), bytes((10, 0, 0, 1)))), "ends before it begins"
    ),
    "a tunnel": (act.Set(attr.TUNNEL, bytes(8)), "a tunnel to be set is malformed"),
    "an unknown attribute": (act.Set(99, b""), "cannot set key attribute 99"),
    "a short struct": (act.Set(attr.IPV4, bytes(3)), "3 bytes, not 12"),
    "mask and value of two lengths": (act.SetMasked(attr.ETHERNET, bytes(12), bytes(6)), "differ in length"),
    "a tag that is none": (act.PushVlan(0x1234, 0x1001), "push_vlan of type 0x1234"),
    "a tag without CFI": (act.PushVlan(0x8100, 1), "push_vlan"),
    "labels in a strange type": (act.PushMpls(1, 0x800), "0x800 is not an MPLS"),
    "cutting off the Ethernet header": (act.Trunc(13), "truncation to 13"),
    "an unknown hash": (act.Hash(5, 0), "hash algorithm 5"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_anything_happens(bench: Bench, name: str) -> None:
    action, text = REFUSED[name]
    op = Execute(udp(), key_of(udp(), 1), (act.Output(2), action))
    bench.dpif.operate([op])
    assert op.error
    assert text in op.detail
    assert bench.port(2).transmitted() == []


def nest(depth: int) -> act.Action:
    return act.Clone((nest(depth - 1),)) if depth else act.Output(2)


def test_deep_nesting_is_refused(bench: Bench) -> None:
    assert bench.execute(udp(), nest(16)) == 0
    assert bench.execute(udp(), nest(17)) == 22


def test_recirculation_looks_up_again_with_what_was_changed(bench: Bench) -> None:
    put(bench.dpif, udp(), 1, (act.PushVlan(0x8100, 0x1005), act.Recirc(7)), 1)
    bench.receive(udp())
    (upcall,) = bench.upcalls()
    assert (upcall.type, upcall.key.recirc_id, upcall.key.vlan_tci) == (UpcallType.MISS, 7, 0x1005)
    assert upcall.packet == udp()[:12] + b"\x81\0\0\5" + udp()[12:]
    mask = mask_of("nw_proto")
    op = FlowPut(upcall.key.masked(mask), mask, (act.PopVlan(), act.Output(2)), b"2" * 16, PutFlags.CREATE)
    bench.dpif.operate([op])
    bench.receive(udp())
    assert bench.port(2).transmitted() == [udp()]
    assert [f.stats.n_packets for f in bench.dpif.flow_dump()] == [2, 1]


def test_a_recirculation_loop_ends_and_is_counted(bench: Bench) -> None:
    put(bench.dpif, udp(), 1, (act.Recirc(7),), 1)
    key, mask = key_of(udp(), 1), mask_of("nw_proto")
    key.recirc_id = 7
    bench.dpif.operate([FlowPut(key.masked(mask), mask, (act.Recirc(7),), b"2" * 16)])
    bench.receive(udp())
    assert bench.dpif.drops() == {"datapath_drop_recirc_error": 1}


def test_hash_then_recirculate_gives_one_connection_one_hash(bench: Bench) -> None:
    def dp_hash(packet: bytes, algorithm: int, basis: int = 0) -> int:
        assert bench.execute(packet, act.Hash(algorithm, basis), act.Recirc(1)) == 0
        (upcall,) = bench.upcalls()
        return upcall.key.dp_hash

    there, back = udp(), udp(2000, 1000, src="10.0.0.2", dst="10.0.0.1")
    assert dp_hash(there, 0) == dp_hash(udp(ttl=3, payload=b"other"), 0) != 0
    assert dp_hash(there, 0) != dp_hash(back, 0)
    assert dp_hash(there, 0) != dp_hash(there, 0, 1)
    assert dp_hash(there, 1) == dp_hash(back, 1)
    assert len({dp_hash(udp(sport=n), 0) & 0xF for n in range(1, 200)}) == 16


def test_metadata_set_before_recirculation_is_in_the_key(bench: Bench) -> None:
    bench.execute(
        udp(),
        act.Set(attr.SKB_MARK, host32(0x80000001)),
        act.SetMasked(attr.PRIORITY, host32(0x90000005), host32(0xF000000F)),
        act.Recirc(3),
    )
    (upcall,) = bench.upcalls()
    assert (upcall.key.pkt_mark, upcall.key.skb_priority) == (0x80000001, 0x90000005)


def test_sampling_keeps_its_probability(bench: Bench) -> None:
    put(bench.dpif, udp(), 1, (act.Sample(0x40000000, (act.Output(2),)), act.Output(3)))
    for _ in range(2000):
        bench.receive(udp())
    assert len(bench.port(3).transmitted()) == 2000
    assert 400 <= len(bench.port(2).transmitted()) <= 600


def test_a_truncation_counts_for_one_output_only(bench: Bench) -> None:
    bench.execute(udp(), act.Trunc(30), act.Output(2), act.Output(3))
    assert [len(p) for p in bench.port(2).transmitted()] == [30]
    assert bench.port(3).transmitted() == [udp()]


def test_a_meter_with_tokens_for_two_packets_a_second(bench: Bench) -> None:
    bench.dpif.meter_set(1, MeterConfig("pktps", (MeterBand("drop", 2, 0),)))
    put(bench.dpif, udp(), 1, (act.Meter(1), act.Output(2)))

    def passing(n: int) -> int:
        for _ in range(n):
            bench.receive(udp())
        return len(bench.port(2).transmitted())

    assert passing(5) == 2
    bench.clock.warp(500)
    assert passing(5) == 1
    bench.clock.warp(60_000)
    assert passing(5) == 2
    assert bench.dpif.meter_get(1).packets_in == 15
    assert bench.dpif.meter_get(1).bands == [(10, 10 * len(udp()))]
    assert bench.dpif.drops() == {"datapath_drop_meter": 10}


def test_a_meter_in_kilobits_with_burst(bench: Bench) -> None:
    bench.dpif.meter_set(1, MeterConfig("kbps", (MeterBand("drop", 8, 16),), burst=True))
    packet = udp(payload=bytes(1000 - 42))
    put(bench.dpif, packet, 1, (act.Meter(1), act.Output(2)))
    for _ in range(5):
        bench.receive(packet)
    # 16 kbit are two packets of 8000 bits; each second brings one more.
    assert len(bench.port(2).transmitted()) == 2
    bench.clock.warp(1000)
    bench.receive(packet)
    bench.receive(packet)
    assert len(bench.port(2).transmitted()) == 1


@pytest.mark.parametrize(
    ("dscp", "by", "raised"), [(10, 1, 12), (10, 9, 14), (14, 1, 14), (0, 1, 0), (46, 2, 46)]
)
def test_a_remark_band_raises_the_drop_precedence(bench: Bench, dscp: int, by: int, raised: int) -> None:
    bench.dpif.meter_set(1, MeterConfig("pktps", (MeterBand("dscp_remark", 1, 1, by),)))
    bench.out(udp(), act.Meter(1))
    assert bench.out(udp(tos=dscp << 2 | 1), act.Meter(1)) == udp(tos=raised << 2 | 1)


@pytest.mark.parametrize(
    "config",
    [
        MeterConfig("bps", ()),
        MeterConfig("kbps", (MeterBand("drop", 0, 0),)),
        MeterConfig("kbps", (MeterBand("experimenter", 1, 0),)),
        MeterConfig("kbps", (MeterBand("drop", 1, 0),) * 9),
    ],
)
def test_meters_that_make_no_sense_are_refused(bench: Bench, config: MeterConfig) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        bench.dpif.meter_set(1, config)


# Offloaded frames.


def gso_frame(payload: int = 4000) -> Frame:
    packet = tcp(0x18)
    data = packet[:16] + (40 + payload).to_bytes(2, "big") + packet[18:54] + bytes(payload)
    return Frame(data, VNET_NEEDS_CSUM, GSO_TCPV4, 54, 1000, 34, 16)


def offloads(frame: Frame) -> tuple[int, ...]:
    return frame.flags, frame.gso_type, frame.hdr_len, frame.gso_size, frame.csum_start, frame.csum_offset


def test_a_segment_passes_a_miss_and_a_hit_whole(bench: Bench) -> None:
    bench.port(2).set_config({"offload": "true"})
    frame = gso_frame()
    bench.port(1).receive(frame)
    bench.dpif.run()
    (upcall,) = bench.upcalls()
    put(bench.dpif, tcp(0x18), 1, (act.Output(2),))
    bench.execute(upcall.packet, act.Output(2), offload=upcall.offload)  # type: ignore[arg-type]
    bench.port(1).receive(frame)
    bench.dpif.run()
    assert [offloads(f) for f in bench.port(2).frames] == [offloads(frame)] * 2
    assert bench.port(2).transmitted() == [frame.data] * 2


@pytest.mark.parametrize(
    ("action", "moved"),
    [
        (act.PushVlan(0x8100, 0x1005), 4),
        (act.Set(attr.ETHERNET, bytes(12)), 0),
    ],
)
def test_offsets_move_with_the_headers(bench: Bench, action: act.Action, moved: int) -> None:
    bench.port(2).set_config({"offload": "true"})
    frame = gso_frame()
    bench.execute(frame.data, action, act.Output(2), offload=frame)
    (sent,) = bench.port(2).frames
    assert offloads(sent) == (VNET_NEEDS_CSUM, GSO_TCPV4, 54 + moved, 1000, 34 + moved, 16)
    assert len(sent.data) == len(frame.data) + moved


def test_a_frame_that_is_no_segment_has_no_header_length_to_move(bench: Bench) -> None:
    """One whose checksum is partial and whose tag goes off: a device takes no length below 0."""
    bench.port(2).set_config({"offload": "true"})
    raw = bytes(ETH / IP4 / UDP(sport=1, dport=2) / b"data")
    tagged = Frame(raw[:12] + bytes.fromhex("81000005") + raw[12:], VNET_NEEDS_CSUM, 0, 0, 0, 38, 6)
    bench.execute(tagged.data, act.PopVlan(), act.Output(2), offload=tagged)
    (sent,) = bench.port(2).frames
    assert offloads(sent) == (VNET_NEEDS_CSUM, 0, 0, 0, 34, 6)
    assert sent.data == raw


def test_a_labelled_segment_is_cut_up_for_the_device(bench: Bench) -> None:
    """No virtio_net_hdr tells the kernel how: it would refuse the frame."""
    bench.port(2).set_config({"offload": "true"})
    frame = gso_frame()
    bench.execute(frame.data, act.PushMpls(0x10109, 0x8847), act.Output(2), offload=frame)
    label = bytes.fromhex("884700010109")
    sent = bench.port(2).frames
    assert [f.data for f in sent] == [data[:12] + label + data[14:] for data in segments(frame)]
    assert len(sent) > 1
    assert {f.gso_type for f in sent} == {0}


def test_a_changed_address_keeps_a_partial_checksum_right(bench: Bench) -> None:
    whole = ETH / IP4 / UDP(sport=1, dport=2) / b"data"
    raw = bytes(whole)
    pseudo = 0x0A00 + 0x0001 + 0x0A00 + 0x0002 + 17 + 12
    frame = Frame(raw[:40] + pseudo.to_bytes(2, "big") + raw[42:], VNET_NEEDS_CSUM, 0, 0, 0, 34, 6)
    new = ip("192.168.9.9") + ip("172.16.255.254") + bytes((17, 0, 64, 0))
    bench.execute(frame.data, act.Set(attr.IPV4, new), act.Output(2), offload=frame)
    expected = ETH / IP(src="192.168.9.9", dst="172.16.255.254") / UDP(sport=1, dport=2) / b"data"
    assert bench.port(2).transmitted() == [bytes(expected)]


def test_the_length_checked_is_a_segments(bench: Bench) -> None:
    frame = gso_frame()
    check = act.CheckPktLen(1054, (act.Drop(1),), (act.Output(2),))
    bench.execute(frame.data, check, offload=frame)
    assert [len(p) for p in bench.port(2).transmitted()] == [1054] * 4


def test_a_controller_gets_finished_segments(bench: Bench) -> None:
    frame = gso_frame()
    bench.execute(frame.data, act.Userspace(2, b"cookie"), offload=frame)
    upcalls = bench.upcalls()
    assert [len(u.packet) for u in upcalls] == [1054] * 4
    assert all(u.offload is None and u.userdata == b"cookie" for u in upcalls)


# Losses.


def test_a_flood_of_misses_loses_with_a_count_and_spares_other_ports(bench: Bench) -> None:
    for n in range(1300):
        bench.receive(udp(sport=n + 1))
    bench.port(3).inject(udp())
    bench.dpif.run()
    stats = bench.dpif.stats()
    assert (stats.n_missed, stats.n_lost) == (1301, 300)
    assert bench.dpif.drops() == {"datapath_drop_upcall_error": 300, "upcalls lost on port 1": 300}
    assert {u.key.in_port for u in bench.dpif.recv(2)} == {1, 3}


def test_runts_and_missing_ports_are_counted(bench: Bench) -> None:
    bench.receive(b"short")
    put(bench.dpif, udp(), 1, (act.Output(9),))
    bench.receive(udp())
    bench.port(2).set_up(False)
    bench.execute(udp(), act.Output(2))
    assert bench.dpif.drops() == {
        "datapath_drop_rx_invalid_packet": 1,
        "datapath_drop_invalid_port": 1,
        "datapath_drop_device_refused": 1,
    }


def test_without_receiving_a_miss_is_a_counted_loss(bench: Bench) -> None:
    bench.dpif.recv_set(False)
    bench.receive(udp())
    assert bench.dpif.stats().n_lost == 1


MUTATORS: list[Callable[[bytes], bytes]] = [
    lambda p: p[: len(p) // 2],
    lambda p: p[:15],
    lambda p: p + b"x" * 300,
    lambda p: p[:14] + b"\xff" * (len(p) - 14),
    lambda p: p[:14] + bytes(len(p) - 14),
    lambda p: b"\xff" * len(p),
]


def test_no_action_stumbles_over_a_malformed_packet(bench: Bench) -> None:
    every = [action for _, actions, _ in CASES.values() for action in actions]
    for packet, _, _ in CASES.values():
        for mutate in MUTATORS:
            data = mutate(bytes(packet))  # type: ignore[call-overload]
            for action in every:
                assert bench.execute(data, action, act.Output(2)) == 0


def test_segments_with_a_label_and_without_ethernet_go_into_a_tunnel_each(bench: Bench) -> None:
    inner = IP4 / TCP(sport=1, dport=2) / (b"x" * 2500)
    whole = bytes(ETH / inner)
    frame = Frame(whole, VNET_NEEDS_CSUM, GSO_TCPV4, 54, 1000, 34, 16)
    outer = bytes(ETH / IP(src="9.0.0.1", dst="9.0.0.2", proto=17)) + struct.pack(">HHHH", 0, 6635, 0, 0)
    bench.dpif.port_add("bareudp_sys_6635", "bareudp", 4, {"dst_port": "6635", "payload_type": "0x8847"})
    push = act.TnlPush(4, 2, kinds.BAREUDP, outer)
    actions = (act.PopEth(), act.PushMpls(0x00009140, 0x8847), push, act.Output(2))
    assert bench.execute(whole, *actions, offload=frame) == 0
    sent = [Ether(data)[UDP] for data in bench.port(2).transmitted()]
    assert [udp.dport for udp in sent] == [6635] * 3
    labelled = [bytes(udp.payload) for udp in sent]
    assert [data[:4].hex() for data in labelled] == ["00009140"] * 3
    for data, size in zip(labelled, (1000, 1000, 500), strict=True):
        packet = IP(data[4:])
        assert (packet.len, bytes(packet[TCP].payload)) == (40 + size, b"x" * size)
        del packet.chksum, packet[TCP].chksum
        assert bytes(packet) == data[4:]
