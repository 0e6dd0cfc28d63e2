"""IPFIX: what is exported of bridges and of `sample` actions, beside the real switch and to a collector that
others wrote."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.monitor.exporting import captured, capturing, collect, listening, send, set_up
from tests.oracle.real import RealSwitch
from vswitch.monitor.ipfix import MAX_MESSAGE, Ipfix, IpfixSettings
from vswitch.monitor.ipfix_record import IpfixInterface, IpfixPacket, IpfixTunnel
from vswitch.packet.compose import compose
from vswitch.packet.headers import Ethernet, IPv4, Udp
from vswitch.packet.parse import Parser

Record = dict[int, bytes]
"""Element -> value; of one that is there twice the last. The enterprise's are negative, the template is 0."""


class Collector:
    """Learns templates and reads records (RFC 7011), independently of how they are made."""

    def __init__(self) -> None:
        self.templates: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self.records: list[Record] = []
        self.sequences: list[int] = []

    def take(self, message: bytes) -> None:
        version, length, _, sequence, domain = struct.unpack_from("!HHIII", message)
        assert (version, length) == (10, len(message))
        at = 16
        while at < length:
            number, size = struct.unpack_from("!HH", message, at)
            end, at = at + size, at + 4
            if number in (2, 3):
                at = self._templates(message, at, end, domain, number == 3)
            else:
                at = self._records(message, at, end, domain, number)
                self.sequences.append(sequence)
            assert at == end

    def _templates(self, data: bytes, at: int, end: int, domain: int, options: bool) -> int:
        while at < end:
            number, n_fields = struct.unpack_from("!HH", data, at)
            at += 6 if options else 4
            fields = []
            for _ in range(n_fields):
                element, size = struct.unpack_from("!HH", data, at)
                at += 4
                if element & 0x8000:
                    assert struct.unpack_from("!I", data, at) == (6876,)
                    at += 4
                    element = -(element & 0x7FFF)
                fields.append((element, size))
            self.templates[domain, number] = fields
        return at

    def _records(self, data: bytes, at: int, end: int, domain: int, number: int) -> int:
        while at < end:
            record = {0: struct.pack("!H", number)}
            for element, size in self.templates[domain, number]:
                if size == 65535:
                    size, at = data[at], at + 1
                record[element] = data[at : at + size]
                at += size
            if number != 462:
                self.records.append(record)
        return at


def sampled(packet: bytes, **more: object) -> IpfixPacket:
    parser = Parser()
    parser.parse(packet)
    return IpfixPacket(packet, parser, IpfixInterface(7, "p1"), **more)  # type: ignore[arg-type]


def udp(n: int) -> bytes:
    return compose(Ethernet(7, 5), IPv4(n, 2), Udp(3, 4), payload=b"x" * 20)


def decoded(messages: list[bytes]) -> Collector:
    collector = Collector()
    for message in messages:
        assert len(message) <= MAX_MESSAGE
        collector.take(message)
    return collector


def number(record: Record, element: int) -> int:
    return int.from_bytes(record[element], "big")


def test_packets_of_a_flow_are_one_record_when_it_is_due() -> None:
    one = Ipfix(IpfixSettings((), cache_active_timeout=5, cache_max_flows=10), 1)
    for now in (1000, 2000, 4000):
        one.sample(sampled(udp(1)), 100, 7, 9, now)
    assert (one.wakeup(0), one.run(5999, 0.0)) == (6000, [])
    collector = decoded(one.run(6000, 0.0))
    (record,) = collector.records
    assert [number(record, e) for e in (138, 2, 1, 25, 26, 352, 136, 158, 159)] == [
        9, 300, 48 * 300, 48, 48, 62 * 300, 2, 5_000_000, 2_000_000
    ]  # fmt: skip
    assert collector.sequences == [1, 2], "what the exporter says of itself is a record, too"


def test_more_flows_than_the_cache_may_have_are_exported_early_the_oldest_first() -> None:
    one = Ipfix(IpfixSettings((), cache_active_timeout=5, cache_max_flows=3), 1)
    for n in range(5):
        one.sample(sampled(udp(n)), 1, 0, 0, n)
    assert [(number(r, 8), number(r, 136)) for r in decoded(one.run(10, 0.0)).records] == [(0, 5), (1, 5)]
    one.sample(sampled(udp(9)), 1, 0, 0, 11)
    assert len(one.finish(20, 0.0)) == 1, "templates are not sent again"
    assert (one.counts.flows, len(one.flows)) == (6, 0)


def test_templates_are_sent_before_the_first_record_of_a_domain_and_in_intervals() -> None:
    one = Ipfix(IpfixSettings((), template_interval=10, stats_interval=1000), 1)

    def templates(domain: int, now: int) -> int:
        one.sample(sampled(udp(1)), 1, domain, 0, now)
        return sum(message[17] == 2 for message in one.run(now, 0.0))

    first = templates(1, 0)
    assert first > 10
    assert [templates(1, 5000), templates(2, 5000), templates(1, 9999), templates(1, 10_000)] == [
        0, first, 0, first
    ]  # fmt: skip


@settings(max_examples=300)
@given(st.binary(max_size=120), st.booleans(), st.booleans(), st.booleans())
def test_whatever_is_sampled_makes_a_record_of_its_template(
    packet: bytes, egress: bool, tunnelled: bool, virtual: bool
) -> None:
    one = Ipfix(IpfixSettings((), virtual_obs_id="abc" * virtual), 1)
    tunnel = IpfixTunnel(1, 2, 17, 3, 4, 1, b"\0\0\x05") if tunnelled else None
    output = IpfixInterface(8, "p2") if egress else None
    one.sample(sampled(packet, egress=egress, output=output, tunnel=tunnel), 1, 3, 4, 0)
    (record,) = decoded(one.run(0, 0.0)).records
    assert (-898 in record, -892 in record, 14 in record) == (virtual, tunnelled, egress)
    assert number(record, 352) == len(packet)


# Beside the real switch, on dummy devices.

ETHERNET = "in_port({}),eth(src=50:54:00:00:00:05,dst={}),"
TO = "50:54:00:00:00:07"
V4 = "eth_type(0x0800),ipv4(src={},dst=10.0.0.2,proto={},tos={},ttl=64,frag=no)"
PACKETS = [
    ("e1", ETHERNET.format(1, TO) + V4.format("10.0.0.1", 6, 8) + ",tcp(src=10,dst=20),tcp_flags(syn|ack)"),
    ("e3", ETHERNET.format(3, "01:00:5e:00:00:02") + V4.format("10.0.0.8", 17, 4) + ",udp(src=7,dst=9)"),
    ("e1", ETHERNET.format(1, TO) + "eth_type(0x8100),vlan(vid=5,pcp=3),encap("
           + V4.format("10.0.0.1", 132, 0xB9) + ",sctp(src=10,dst=20))"),
    ("e1", ETHERNET.format(1, "ff:ff:ff:ff:ff:ff")
           + "eth_type(0x86dd),ipv6(src=::1,dst=::2,label=3,proto=6,tclass=4,hlimit=64,frag=no),"
             "tcp(src=1,dst=2),tcp_flags(fin)"),
    ("e1", ETHERNET.format(1, TO) + "eth_type(0x0806),arp(sip=1.2.3.4,tip=2.3.4.5,op=1,"
           "sha=00:00:00:00:00:01,tha=00:00:00:00:00:00)"),
    ("e2", ETHERNET.format(2, TO) + V4.format("10.0.0.9", 17, 0) + ",udp(src=10,dst=20)"),
]  # fmt: skip
FLOWS = ["in_port=1,actions=output:2", "in_port=3,actions=output:1,output:2", "in_port=2,actions=drop"]
EXPECTED = [
    # template, direction, in, out, protocol, ports, packets, IP octets, frame's, dropped, unicast in and out,
    # multicast in, after it, broadcast in and out, SYNs, FINs
    (280, 0, 1001, 0, 6, 10, 20, 1, 40, 54, 0, 1, 0, 0, 0, 0, 0, 1, 0),
    (281, 1, 1001, 1002, 6, 10, 20, 1, 40, 54, 0, 1, 1, 0, 0, 0, 0, 2, 0),
    (284, 0, 1003, 0, 17, 7, 9, 1, 92, 106, 0, 1, 1, 1, 0, 0, 0, 0, 0),
    (285, 1, 1003, 1001, 17, 7, 9, 1, 92, 106, 0, 1, 1, 1, 1, 0, 0, 0, 0),
    (285, 1, 1003, 1002, 17, 7, 9, 1, 92, 106, 0, 1, 1, 1, 1, 0, 0, 0, 0),
    (348, 0, 1001, 0, 132, 10, 20, 1, 32, 50, 0, 2, 1, 1, 0, 0, 0, 0, 0),
    (349, 1, 1001, 1002, 132, 10, 20, 1, 32, 50, 0, 2, 2, 1, 0, 0, 0, 0, 0),
    (300, 0, 1001, 0, 6, 1, 2, 1, 60, 74, 0, 2, 2, 1, 0, 1, 0, 2, 1),
    (301, 1, 1001, 1002, 6, 1, 2, 1, 60, 74, 0, 2, 2, 1, 0, 1, 1, 2, 2),
    (256, 0, 1001, 0, 0, 0, 0, 1, 0, 42, 0, 3, 2, 1, 0, 1, 1, 0, 0),
    (257, 1, 1001, 1002, 0, 0, 0, 1, 0, 42, 0, 3, 3, 1, 0, 1, 1, 0, 0),
    (284, 0, 1002, 0, 17, 10, 20, 1, 92, 106, 1, 4, 3, 1, 0, 1, 1, 0, 0),
]
"""What Open vSwitch 3.1.0 exports of the packets; the test runs it as well."""
ELEMENTS = (0, 61, 10, 14, 4, 7, 11, 2, 1, 352, 133, 354, 357, 355, 19, 356, 358, 218, 219)


def numbers(record: Record, elements: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int.from_bytes(record.get(element, b""), "big") for element in elements)


def exported(switch: RealSwitch, collector: socket.socket, n_records: int) -> list[Record]:
    def read(messages: list[bytes]) -> list[Record]:
        reader = Collector()
        # The real switch sends a domain's templates only if it is the exporter's first.
        for message in messages:
            for domain in (0, 5, 6, 7):
                if message[17] == 2:
                    reader.take(message[:12] + struct.pack("!I", domain) + message[16:])
            if message[17] != 2:
                reader.take(message)
        return reader.records

    return read(collect(switch, collector, lambda messages: len(read(messages)) >= n_records))


def bridge(target: str, *more: str) -> list[str]:
    return ["set", "bridge", "sw", "ipfix=@i", "--", "--id=@i", "create", "IPFIX", f'targets="{target}"',
            "obs_domain_id=7", "obs_point_id=9", "sampling=1", *more]  # fmt: skip


@pytest.mark.system
def test_a_bridge_exports_what_the_real_switch_exports(switch: RealSwitch) -> None:
    with listening() as (collector, target):
        set_up(switch, bridge(target, "cache_active_timeout=2", "cache_max_flows=100",
                              "other_config:virtual_obs_id=abcd"), FLOWS)
        send(switch, PACKETS)
        counted = switch.run("ovs-ofctl", "dump-ipfix-bridge", "sw").splitlines()[1:]
        assert counted == [
            "  bridge ipfix: flows=12, current flows=12, sampled pkts=12, ipv4 ok=8, ipv6 ok=2, tx pkts=0",
            "                pkts errs=0, ipv4 errs=0, ipv6 errs=0, tx errs=0",
        ]
        records = exported(switch, collector, len(EXPECTED))
    assert [numbers(record, ELEMENTS) for record in records] == EXPECTED
    assert {(record[138], record[-898], record[56], record[136]) for record in records} == {
        (b"\0\0\0\x09", b"abcd", bytes.fromhex("505400000005"), b"\x02")
    }
    assert [record[82] for record in records[:2]] == [b"e1", b"e2"]
    assert numbers(records[5], (58, 243, 244, 60, 192, 195, 196, 5)) == (5, 5, 3, 4, 64, 0x2E, 5, 0xB9)
    assert (records[7][27][-1], records[7][28][-1], number(records[7], 31)) == (1, 2, 3)


@pytest.mark.system
@pytest.mark.parametrize("switch", ["ours"], indirect=True)
def test_only_what_comes_in_is_sampled_if_nothing_else_is_asked_for(switch: RealSwitch) -> None:
    """As the manual says; Open vSwitch 3.1 takes the key for its opposite."""
    with listening() as (collector, target):
        set_up(switch, bridge(target, "other_config:enable-output-sampling=false"), FLOWS)
        send(switch, PACKETS)
        records = exported(switch, collector, 6)
    assert [number(record, 61) for record in records] == [0] * 6
    assert {record[136] for record in records} == {b"\x02"}, "there is no cache"


@pytest.mark.system
def test_sample_actions_export_what_the_real_switch_exports(switch: RealSwitch) -> None:
    def sample(more: str) -> str:
        return f"sample(probability=65535,collector_set_id=1,obs_point_id=6{more})"

    flows = [
        f"in_port=1,ip,actions={sample(',obs_domain_id=5')},output:2",
        f"in_port=2,actions={sample(',obs_domain_id=6,sampling_port=3,egress')},output:3",
        f"in_port=3,actions={sample(',obs_domain_id=5,sampling_port=1')},{sample(',sampling_port=3,ingress')},"
        "output:1",
        "in_port=1,arp,actions=sample(probability=65535,collector_set_id=4),output:2",
    ]
    with listening() as (collector, target):
        set_up(switch, ["--id=@b", "get", "bridge", "sw", "--", "--id=@s", "create",
                        "Flow_Sample_Collector_Set", "id=1", "bridge=@b", "ipfix=@i", "--", "--id=@i",
                        "create", "IPFIX", f'targets="{target}"'], flows)  # fmt: skip
        send(switch, [PACKETS[0], PACKETS[5], PACKETS[1], PACKETS[4]])
        assert "id   1: flows=4" in switch.run("ovs-ofctl", "dump-ipfix-flow", "sw")
        records = exported(switch, collector, 4)
    assert [numbers(record, (0, 138, 61, 10, 14, 4, 1, 133, 86)) for record in records] == [
        (280, 6, 0, 1001, 0, 6, 40, 0, 1),
        (285, 6, 1, 1002, 1003, 17, 92, 0, 2),
        (285, 6, 1, 1003, 1001, 17, 92, 0, 3),
        (284, 6, 0, 1003, 0, 17, 92, 0, 4),
    ]


@pytest.mark.system
def test_a_collector_that_others_wrote_decodes_it(
    switch: RealSwitch, tmp_path: Path, require: Callable[..., None]
) -> None:
    require("command:nfcapd", "command:nfdump")
    with capturing("nfcapd", tmp_path / "flows") as target:
        set_up(switch, bridge(target), FLOWS)
        send(switch, PACKETS[:4])
        for _ in range(3):
            switch.appctl("time/warp", "1000", "100")
    # nfdump takes the counters of the exporter's life for those of the flow: they grow from record to record.
    assert sorted(captured(tmp_path / "flows", "%in,%out,%sa,%da,%pr,%sp,%dp,%pkt,%byt")) == [
        ["1001", "0", "10.0.0.1", "10.0.0.2", "132", "10", "20", "6", "388"],
        ["1001", "0", "10.0.0.1", "10.0.0.2", "6", "10", "20", "1", "40"],
        ["1001", "0", "::1", "::2", "6", "1", "2", "8", "480"],
        ["1001", "1002", "10.0.0.1", "10.0.0.2", "132", "10", "20", "7", "420"],
        ["1001", "1002", "10.0.0.1", "10.0.0.2", "6", "10", "20", "2", "80"],
        ["1001", "1002", "::1", "::2", "6", "1", "2", "9", "540"],
        ["1003", "0", "10.0.0.8", "10.0.0.2", "17", "7", "9", "3", "172"],
        ["1003", "1001", "10.0.0.8", "10.0.0.2", "17", "7", "9", "4", "264"],
        ["1003", "1002", "10.0.0.8", "10.0.0.2", "17", "7", "9", "5", "356"],
    ]
