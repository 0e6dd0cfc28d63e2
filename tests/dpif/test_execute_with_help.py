"""Actions that are executed here must come to the same as if the datapath had executed them."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.dpif.lab import key_of, tcp, udp
from tests.ofproto_dpif.lab import Counted
from vswitch.base.clock import Clock
from vswitch.dpif import actions as act
from vswitch.dpif.execute_with_help import execute_with_help
from vswitch.dpif.odp_text import format_actions, parse_actions
from vswitch.dpif.ops import Execute, Upcall
from vswitch.dpif.types import MeterBand, MeterConfig, UpcallType
from vswitch.dpif.userspace.provider import UserspaceDpif
from vswitch.flow.compose import flow_compose
from vswitch.flow.flow import Flow
from vswitch.flow.match_text import parse_match
from vswitch.netdev.dummy import DummyNetdev
from vswitch.netdev.frame import GSO_TCPV4, VNET_NEEDS_CSUM, Frame
from vswitch.packet.checksum import csum

PORTS = (1, 2, 3)


class Bench:
    """A datapath with dummies 1 to 3 that hand out frames as they are."""

    def __init__(self) -> None:
        clock = Clock(virtual=True)
        clock.warp(1000)
        self.dpif = UserspaceDpif("helped", clock, dummy=True)
        for n in PORTS:
            self.dpif.port_add(f"helped{n}", "dummy", n, {"offload": "true"})
        self.dpif.recv_set(True)

    def port(self, number: int) -> DummyNetdev:
        netdev = self.dpif.netdev(number)
        assert isinstance(netdev, DummyNetdev)
        return netdev

    def run(self, *ops: Execute) -> list[str]:
        """What comes of `ops`: what goes out and what comes up, as text."""
        self.dpif.operate(list(ops))
        assert [op.error for op in ops] == [0] * len(ops)
        seen: list[str] = []
        for n in PORTS:
            for f in self.port(n).frames:
                partial = (f.csum_start, f.csum_offset) if f.flags & VNET_NEEDS_CSUM else None
                gso = (f.gso_type, f.gso_size, f.hdr_len) if f.gso_type else None
                seen.append(f"{n}: {f.data.hex()} gso={gso} csum={partial}")
            self.port(n).frames.clear()
        return seen + [_upcall(u) for u in self.dpif.recv(50)]


def _upcall(u: Upcall) -> str:
    """An action's upcall may have been cut before the datapath read its headers."""
    key = u.key.copy()
    key.dp_hash = 0
    if u.type is UpcallType.ACTION:
        key = Flow()
        key.pkt_mark, key.skb_priority, key.in_port = u.key.pkt_mark, u.key.skb_priority, u.key.in_port
    return f"up {u.userdata.hex()}: {u.packet.hex()} {key}"


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.dpif.destroy()


def segment(payload: int = 3000) -> Frame:
    """A TCP segment that the device is to cut up and to checksum."""
    packet = tcp(0x10) + bytes(range(250)) * (payload // 250)
    packet = packet[:16] + (len(packet) - 14).to_bytes(2, "big") + packet[18:]
    head = packet[14:24] + b"\0\0" + packet[26:34]
    packet = packet[:24] + int(csum(head)).to_bytes(2, "big") + packet[26:]
    return Frame(packet, VNET_NEEDS_CSUM, GSO_TCPV4, 54, 1000, 34, 16)


def packets() -> list[Frame]:
    texts = (
        "arp,arp_op=1,arp_spa=10.0.0.1,arp_tpa=10.0.0.2",
        "icmp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,icmp_type=8",
        "tcp6,ipv6_src=fd00::1,ipv6_dst=fd00::2,nw_ttl=1,tp_src=1,tp_dst=2",
        "icmp6,ipv6_src=fd00::1,ipv6_dst=fd00::2,nw_ttl=255,icmp_type=135,nd_target=fd00::2,"
        "nd_sll=02:00:00:00:00:0a",
        "udp,dl_vlan=5,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=9,tp_src=1,tp_dst=2",
        "mpls,mpls_label=7,mpls_bos=1,mpls_ttl=9",
    )
    composed = [flow_compose(parse_match(text).flow, bytes(100)) for text in texts]
    return [*map(Frame, composed), Frame(udp()), segment()]


CHANGES = (
    "set(eth(src=02:00:00:00:00:77))", "set(ipv4(src=10.9.9.9,ttl=7))", "set(ipv4(dst=10.9.9.8,tos=0x8))",
    "set(ipv6(dst=fd00::99,hlimit=3))", "set(tcp(src=99,dst=98))", "set(udp(dst=97))",
    "set(arp(sip=10.7.7.7,op=2,sha=02:00:00:00:00:78))", "set(nd(target=fd00::77,sll=02:00:00:00:00:79))",
    "set(icmp(type=0,code=3))", "push_vlan(vid=7,pcp=3)", "pop_vlan",
    "push_mpls(label=5,tc=1,ttl=64,bos=0,eth_type=0x8847)", "set(skb_mark(0x7))", "set(skb_priority(0x9))",
    "trunc(60)", "trunc(1500)", "hash(hash_l4(0))",
)  # fmt: skip
ENDS = ("1", "2", "3", "userspace(pid=1,userdata(0102030405))", "recirc(0x5)")


def some_actions(r: random.Random, depth: int = 0) -> str:
    out: list[str] = []
    for _ in range(r.randrange(1, 5)):
        kind = r.random()
        if kind < 0.45:
            out.append(r.choice(CHANGES))
        elif kind < 0.8 or depth == 2:
            out.append(r.choice(ENDS))
        elif kind < 0.87:
            out.append(f"clone({some_actions(r, depth + 1)})")
        elif kind < 0.94:
            out.append(f"sample(sample=100.0%,actions({some_actions(r, depth + 1)}))")
        else:
            out.append(f"check_pkt_len(size=120,gt({some_actions(r, depth + 1)}),"
                       f"le({some_actions(r, depth + 1)}))")
    return ",".join(out)


HANDED_DOWN = (act.Output, act.Userspace, act.Recirc, act.Trunc, act.Hash)


@pytest.mark.parametrize("seed", range(8))
def test_help_comes_to_the_same_as_the_datapaths_own_execution(bench: Bench, seed: int) -> None:
    r = random.Random(seed)
    for _ in range(60):
        text = some_actions(r)
        actions = parse_actions(text)
        for frame in packets():
            key = key_of(frame.data, 1)
            op = Execute(frame.data, key, actions, offload=frame)
            ops = execute_with_help(op)
            assert all(isinstance(action, HANDED_DOWN) for one in ops for action in one.actions), text
            assert bench.run(*ops) == bench.run(op), f"{text} on {key}"


def left_over(text: str, packet: bytes | None = None) -> list[str]:
    packet = packet or udp()
    ops = execute_with_help(Execute(packet, key_of(packet, 1), parse_actions(text)))
    return [f"{len(op.packet)} bytes: {format_actions(op.actions)}" for op in ops]


def test_tunnels_and_hashes_stay_in_front_of_what_follows() -> None:
    tunnel = "set(tunnel(tun_id=0x1,dst=10.0.0.9,ttl=64,flags(df|key)))"
    first, second = left_over(f"{tunnel},4,push_vlan(vid=5,pcp=0),5")
    assert first == f"49 bytes: {tunnel},4"
    assert second == f"53 bytes: {tunnel},5"
    assert left_over("hash(hash_l4(0)),recirc(0x7)") == ["49 bytes: hash(l4(0)),recirc(0x7)"]


def test_a_meter_counts_a_packet_once() -> None:
    assert left_over("meter(0),1,2") == ["49 bytes: meter(0),1", "49 bytes: 2"]
    assert left_over("meter(0),clone(1),2") == ["49 bytes: meter(0),1", "49 bytes: 2"]
    assert left_over("meter(0),clone(pop_vlan),2") == ["49 bytes: meter(0),2"]


def test_what_follows_connection_tracking_is_the_datapaths() -> None:
    assert left_over("push_vlan(vid=5,pcp=0),1,ct(zone=3),recirc(0x7)") == [
        "53 bytes: 1", "53 bytes: ct(zone=3),recirc(0x7)",
    ]  # fmt: skip


def test_a_cut_packet_is_handed_down_cut_once() -> None:
    assert left_over("trunc(20),1,2") == ["20 bytes: 1", "49 bytes: 2"]


def test_a_sample_is_taken_as_often_as_it_says() -> None:
    packet = udp()
    op = Execute(packet, key_of(packet, 1), parse_actions("sample(sample=50.0%,actions(1)),2"))
    rolled = iter((0, 1 << 30, 3 << 30))
    assert [len(execute_with_help(op, lambda bits: next(rolled))) for _ in range(3)] == [2, 2, 1]


def test_fragments_that_were_put_together_have_the_length_of_the_longest() -> None:
    packet = udp(payload=bytes(3000))
    actions = parse_actions("check_pkt_len(size=1500,gt(1),le(2))")
    for mtu, port in ((0, 1), (1400, 2)):
        (op,) = execute_with_help(Execute(packet, key_of(packet, 1), actions, mtu))
        assert (op.actions, op.mtu) == ((act.Output(port),), mtu)


def test_a_dropped_ttl_runs_the_exception_alone() -> None:
    assert left_over("dec_ttl(le_1(3)),2", udp(ttl=1)) == ["49 bytes: 3"]
    assert left_over("dec_ttl(le_1(3)),2", udp(ttl=2)) == ["49 bytes: 2"]


def test_actions_that_nobody_knows_end_the_packet_and_are_counted() -> None:
    packet = udp()
    happened = Counted("dpif_execute_with_help", "drop_execute_bad_action")
    op = Execute(packet, key_of(packet, 1), (act.Output(1), act.Set(999, b"x"), act.Output(2)))
    assert [one.actions for one in execute_with_help(op)] == [(act.Output(1),)]
    assert (happened["dpif_execute_with_help"], happened["drop_execute_bad_action"]) == (1, 1)


def test_a_meter_that_drops_keeps_the_next_output_back(bench: Bench) -> None:
    bench.dpif.meter_set(0, MeterConfig("pktps", (MeterBand("drop", 1, 1),)))
    packet = udp()
    op = Execute(packet, key_of(packet, 1), parse_actions("meter(0),2"))
    sent = [line for _ in range(10) for line in bench.run(*execute_with_help(op))]
    assert 1 <= len(sent) <= 2
