"""sFlow: what is sampled and counted, beside the real switch and to a collector that others wrote."""

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
from vswitch import Switch
from vswitch.bridge.agent_address import agent_address
from vswitch.monitor.sflow import MAX_DATAGRAM, SampledPacket, SFlow, SFlowSettings, TunnelEnd
from vswitch.netdev.tunnel_options import V4_MAPPED
from vswitch.packet.compose import compose
from vswitch.packet.headers import Ethernet, IPv4, Udp

Sample = tuple[int, tuple[int, ...], dict[int, bytes]]
"""Kind, its numbers, its records."""


def decode(datagram: bytes) -> tuple[tuple[int, ...], list[Sample]]:
    """The header behind the agent's IPv4 address, and the samples."""
    assert struct.unpack_from("!II", datagram) == (5, 1)
    *header, n_samples = struct.unpack_from("!IIII", datagram, 12)
    at = 28
    samples: list[Sample] = []
    for _ in range(n_samples):
        kind, size = struct.unpack_from("!II", datagram, at)
        at, end = at + 8, at + 8 + size
        numbers = struct.unpack_from("!8I" if kind == 1 else "!3I", datagram, at)
        at += 4 * len(numbers)
        records = {}
        while at < end:
            record, size = struct.unpack_from("!II", datagram, at)
            records[record] = datagram[at + 8 : at + 8 + size]
            at += 8 + size
        assert (at, len(records)) == (end, numbers[-1])
        samples.append((kind, numbers, records))
    assert at == len(datagram)
    return tuple(header), samples


def test_a_sample_of_a_tunnelled_packet_has_both_outer_headers() -> None:
    one = SFlow(SFlowSettings((), "10.0.0.1", sampling=10, header=16, sub_id=3), 1000)
    came_in = TunnelEnd(0x0A000001, 0x0A000002, 17, 4, 55, 4789, 77)
    goes_out = TunnelEnd(1, 2, 47)
    one.sample(SampledPacket(bytes(range(20)), 7, 8, 0x6005, 0x0009, came_in, goes_out, (0x4D540,)))
    (datagram,) = one.take(3500, True)
    header, ((kind, numbers, records),) = decode(datagram)
    assert header == (3, 1, 2500)
    assert (kind, numbers) == (1, (1, 0x020003EB, 10, 10, 0, 7, 8, 6))
    assert records[1] == struct.pack("!IIII", 1, 24, 4, 16) + bytes(range(16))
    assert struct.unpack("!4I", records[1001]) == (5, 3, 9, 0)
    assert struct.unpack("!8I", records[1024]) == (0, 17, 0x0A000001, 0x0A000002, 55, 4789, 0, 4)
    assert struct.unpack("!8I", records[1023]) == (0, 47, 1, 2, 0, 0, 0, 0)
    assert struct.unpack("!I", records[1030]) == (77,)
    assert struct.unpack("!5I", records[1006]) == (1, 0, 0, 1, 0x4D540)


@settings(max_examples=50)
@given(st.lists(st.binary(min_size=14, max_size=300), min_size=1, max_size=40))
def test_datagrams_are_no_longer_than_they_may_be_and_lose_nothing(packets: list[bytes]) -> None:
    one = SFlow(SFlowSettings((), "::1"), 0)
    for packet in packets:
        one.sample(SampledPacket(packet, 1, 2))
    datagrams = one.take(0, True)
    assert all(len(datagram) <= MAX_DATAGRAM for datagram in datagrams)
    assert [int.from_bytes(d[28:32], "big") for d in datagrams] == list(range(1, len(datagrams) + 1))
    assert sum(int.from_bytes(d[36:40], "big") for d in datagrams) == len(packets)


def test_the_agent_is_an_address_a_device_or_what_the_route_has() -> None:
    local = ("127.0.0.9:1",)
    v4, v6 = V4_MAPPED | 0xC0000207, 0xFD << 120 | 9
    devices = {"both": [(v6, 64), (v4, 120)], "six": [(v6, 64)]}

    def agent(text: str, targets: tuple[str, ...] = ()) -> str | None:
        return agent_address(text, targets, 6343, lambda device: devices.get(device, []))

    assert agent("192.0.2.1", local) == "192.0.2.1"
    assert [agent(name) for name in ("both", "six", "none")] == ["192.0.2.7", "fd00::9", None]
    assert agent("", local) == "127.0.0.1"


@pytest.mark.system
@pytest.mark.parametrize("switch", ["ours"], indirect=True)
def test_a_device_of_the_host_may_be_the_agent(switch: RealSwitch) -> None:
    with listening() as (collector, target):
        words = [word.replace("agent=127.0.0.1", "agent=lo") for word in configuration(target, 1)]
        set_up(switch, words, FLOWS)
        datagram = collect(switch, collector, lambda datagrams: len(datagrams) > 0)[0]
    assert datagram[8:12] == bytes((127, 0, 0, 1))


def test_one_packet_of_ten_is_sampled() -> None:
    packet = compose(Ethernet(7, 5), IPv4(1, 2), Udp(3, 4), payload=b"x" * 20)
    with listening() as (collector, target), Switch() as switch:
        switch.add_port("p1")
        switch.add_port("p2")
        switch.add_flow("in_port=1,actions=output:2")
        switch.ofproto.set_sflow(SFlowSettings((target,), "127.0.0.1", sampling=10, polling=0))
        for _ in range(20):
            for _ in range(100):
                switch.send("p1", packet)
            switch.advance(1)
        n_sampled = 0
        collector.settimeout(0.05)
        try:
            while True:
                _, samples = decode(collector.recv(2000))
                n_sampled += len(samples)
                assert all(numbers[2] == 10 for _, numbers, _ in samples)
        except TimeoutError:
            pass
        assert len(switch.received("p2")) == 2000
    # Seven standard deviations of 2,000 throws with a chance of one in ten.
    assert abs(n_sampled - 200) < 7 * (2000 * 0.1 * 0.9) ** 0.5


# Beside the real switch, on dummy devices.

ETHERNET = "in_port({}),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),"
V4 = "eth_type(0x0800),ipv4(src={},dst=10.0.0.2,proto={},tos={},ttl=64,frag=no)"
PACKETS = [
    ("e1", ETHERNET.format(1) + V4.format("10.0.0.1", 6, 8) + ",tcp(src=10,dst=20),tcp_flags(syn)"),
    ("e3", ETHERNET.format(3) + V4.format("10.0.0.8", 17, 4) + ",udp(src=7,dst=9)"),
    ("e1", ETHERNET.format(1) + "eth_type(0x8100),vlan(vid=5,pcp=3),encap("
           + V4.format("10.0.0.1", 17, 8) + ",udp(src=10,dst=20))"),
    ("e2", ETHERNET.format(2) + V4.format("10.0.0.9", 17, 0) + ",udp(src=10,dst=20)"),
    ("e2", ETHERNET.format(2) + "eth_type(0x0806),arp(sip=1.2.3.4,tip=2.3.4.5,op=1,"
           "sha=00:00:00:00:00:01,tha=00:00:00:00:00:00)"),
    ("e2", ETHERNET.format(2) + "eth_type(0x8847),mpls(label=100,tc=3,ttl=64,bos=1)"),
]  # fmt: skip
FLOWS = [
    "in_port=1,actions=output:2", "in_port=3,actions=output:1,output:2",
    "in_port=2,udp,actions=push_mpls:0x8847,set_mpls_label:77,push_mpls:0x8847,set_mpls_label:78,output:1",
    "in_port=2,arp,actions=drop", "in_port=2,mpls,actions=mod_vlan_vid:9,output:3",
]  # fmt: skip
EXPECTED = [
    # input, output, VLAN and priority before and after, length, labels
    (1001, 1002, (0, 0, 0, 0), 54, ()),
    (1003, 0x80000002, (0, 0, 0, 0), 106, ()),
    (1001, 1002, (5, 3, 5, 3), 110, ()),
    (1002, 1001, (0, 0, 0, 0), 106, (0x4E040, 0x4D140)),
    (1002, 0x40000100, (0, 0, 0, 0), 42, ()),
    (1002, 1003, (0, 0, 9, 0), 18, (0x64740,)),
]
"""What Open vSwitch 3.1.0 says of the packets; the test runs it as well."""


def configuration(target: str, polling: int, header: int = 32) -> list[str]:
    return ["set", "bridge", "sw", "sflow=@s", "--", "--id=@s", "create", "sFlow", f'targets="{target}"',
            "agent=127.0.0.1", f"header={header}", "sampling=1", f"polling={polling}"]  # fmt: skip


def exported(switch: RealSwitch, collector: socket.socket, polling: int, n_samples: int) -> list[Sample]:
    """The first samples, in order."""
    def samples(datagrams: list[bytes]) -> list[Sample]:
        return [sample for datagram in datagrams for sample in decode(datagram)[1]]

    return samples(collect(switch, collector, lambda datagrams: len(samples(datagrams)) >= n_samples))


@pytest.mark.system
def test_samples_are_what_the_real_switch_samples(switch: RealSwitch) -> None:
    with listening() as (collector, target):
        set_up(switch, configuration(target, 0), FLOWS)
        send(switch, PACKETS)
        found = []
        for n, (kind, numbers, records) in enumerate(exported(switch, collector, 0, len(PACKETS))):
            assert (kind, *numbers[:5]) == (1, n + 1, 0x020003E8, 1, n + 1, 0)
            protocol, length, stripped, size = struct.unpack_from("!IIII", records[1])
            assert (protocol, stripped, size) == (1, 4, min(length - 4, 32))
            assert len(records[1]) == 16 + (size + 3) // 4 * 4
            mpls = records.get(1006, b"")
            labels = struct.unpack(f"!{len(mpls) // 4}I", mpls)[4:]
            found.append((*numbers[5:7], struct.unpack("!4I", records[1001]), length - 4, labels))
    assert found == EXPECTED


@pytest.mark.system
def test_counters_are_what_the_real_switch_counts(switch: RealSwitch) -> None:
    with listening() as (collector, target):
        set_up(switch, configuration(target, 3), FLOWS)
        send(switch, PACKETS)
        datagrams = collect(switch, collector, lambda got: len(got) > 8)
    latest = {numbers[1]: records for d in datagrams for kind, numbers, records in decode(d)[1] if kind == 2}
    assert sorted(latest) == [1001, 1002, 1003, 0x020003E8]
    assert sorted(latest[0x020003E8]) == [2203, 2207]
    # The datapath has one flow a kind of packet.
    assert struct.unpack("!6I", latest[0x020003E8][2207])[1:3] == (len(PACKETS), 0)
    unknown = 0xFFFFFFFF
    traffic = {1001: (164, 2, 220, 2), 1002: (166, 3, 270, 3), 1003: (106, 1, 22, 1)}
    for n, (rx_bytes, rx_packets, tx_bytes, tx_packets) in traffic.items():
        records = latest[n]
        assert sorted(records) == [1, 2, 1004, 1005]
        assert records[1005] == b"\0\0\0\x02" + f"e{n - 1000}".encode() + b"\0\0"
        assert records[1004][8:] == struct.pack("!I", n - 1000)
        assert struct.unpack("!IIQIIQIIIIIIQIIIIII", records[1]) == (
            n, 6, 100_000_000, 0, 3, rx_bytes, rx_packets, *(unknown,) * 5, tx_bytes, tx_packets,
            *(unknown,) * 4, 0,
        )  # fmt: skip


@pytest.mark.system
def test_a_collector_that_others_wrote_decodes_it(
    switch: RealSwitch, tmp_path: Path, require: Callable[..., None]
) -> None:
    require("command:sfcapd", "command:nfdump")
    with capturing("sfcapd", tmp_path / "flows") as target:
        set_up(switch, configuration(target, 0, 128), FLOWS)
        send(switch, PACKETS[:4])
        for _ in range(3):
            switch.appctl("time/warp", "1000", "100")
    assert sorted(captured(tmp_path / "flows", "%in,%out,%sa,%da,%pr,%sp,%dp,%byt")) == [
        ["1001", "1002", "10.0.0.1", "10.0.0.2", "17", "10", "20", "114"],
        ["1001", "1002", "10.0.0.1", "10.0.0.2", "6", "10", "20", "58"],
        ["1002", "1001", "10.0.0.9", "10.0.0.2", "17", "10", "20", "110"],
        ["1003", "2", "10.0.0.8", "10.0.0.2", "17", "7", "9", "110"],
    ]
