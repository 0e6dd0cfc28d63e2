"""NetFlow: what is counted and exported, beside the real switch and to a collector that others wrote."""

from __future__ import annotations

import csv
import io
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.oracle.real import RealSwitch
from tests.stack import until
from vswitch.monitor.netflow import FlowKey, NetFlow, NetFlowSettings
from vswitch.ofproto_dpif.protocols.collectors import parse_target
from vswitch.packet.compose import compose
from vswitch.packet.headers import Ethernet, Icmp, IPv4

KEY = FlowKey(11, 0xC0A80001, 0xC0A80002, 6, 8, 10, 20)
REAL = bytes.fromhex(
    "c0a80001c0a80002000000000a0b0a0c00000002000000fe0015857800158578000a001400130608" + "00" * 8
)
"""The record that Open vSwitch 3.1.0 made of these two packets."""


def flow(n: int) -> FlowKey:
    return FlowKey(1, n, 2, 17, 0, 3, 4)


def test_a_record_is_the_real_ones() -> None:
    one = NetFlow(NetFlowSettings((), 3, 5, 10, True), 0)
    one.count(KEY, 12, 1, 54, 0x02, 0x158578)
    one.count(KEY, 12, 1, 200, 0x11, 0x158578)
    (datagram,) = one.run(0x158578 + 10_000, 1.5)
    assert datagram[24:] == REAL
    assert struct.unpack("!HHIIIIBBH", datagram[:24]) == (5, 1, 0x158578 + 10_000, 1, 500_000_000, 0, 3, 5, 0)


def test_a_busy_flow_is_exported_each_timeout_and_an_idle_one_forgotten() -> None:
    one = NetFlow(NetFlowSettings((), active_timeout=10), 0)
    one.count(flow(1), 2, 5, 500, 0, 1000)
    assert one.wakeup(0) == 11_000
    assert one.run(10_999, 0.0) == []
    assert len(one.run(11_000, 0.0)) == 1
    one.count(flow(1), 2, 1, 100, 0, 12_000)
    (datagram,) = one.run(21_000, 0.0)
    assert struct.unpack("!II", datagram[24 + 16 : 24 + 24]) == (1, 100), "only what is new"
    assert one.run(31_000, 0.0) == []
    assert one.flows == {}


def test_a_flow_that_ends_is_exported_at_once() -> None:
    one = NetFlow(NetFlowSettings((), active_timeout=10), 0)
    one.count(flow(1), 2, 5, 500, 0, 1000)
    one.count(flow(2), 2, 1, 60, 0, 1000)
    one.end(flow(1))
    one.end(flow(3))
    assert one.wakeup(1500) == 1500
    (datagram,) = one.run(1500, 0.0)
    assert struct.unpack("!II", datagram[24 + 16 :][:8]) == (5, 500)
    assert list(one.flows) == [flow(2)]
    assert one.run(1600, 0.0) == []


def test_a_datagram_has_thirty_flows_and_the_sequence_counts_those_before() -> None:
    one = NetFlow(NetFlowSettings((), active_timeout=1), 0)
    for n in range(70):
        one.count(flow(n), 2, 1, 60, 0, 0)
    datagrams = one.run(1000, 0.0)
    assert [int.from_bytes(d[2:4], "big") for d in datagrams] == [30, 30, 10]
    assert [int.from_bytes(d[16:20], "big") for d in datagrams] == [0, 30, 60]


def test_more_flows_than_are_remembered_are_exported_early_and_lose_nothing() -> None:
    one = NetFlow(NetFlowSettings((), active_timeout=0), 0)
    for n in range(65536 + 100):
        one.count(flow(n), 2, 1, 60, 0, 0)
    assert len(one.flows) == 65536
    exported = sum(int.from_bytes(d[2:4], "big") for d in one.run(5, 0.0))
    exported += sum(int.from_bytes(d[2:4], "big") for d in one.finish(5, 0.0))
    assert exported == 65536 + 100


@pytest.mark.parametrize(
    ("text", "address"),
    [("10.0.0.1:2055", ("10.0.0.1", 2055)), ("[::1]:2055", ("::1", 2055)), ("10.0.0.1", ("10.0.0.1", 6343)),
     ("[fe80::1]", ("fe80::1", 6343))],
)  # fmt: skip
def test_targets(text: str, address: tuple[str, int]) -> None:
    assert parse_target(text, 6343) == address


@pytest.mark.parametrize("text", ["", ":1", "host:1", "10.0.0.1:0", "10.0.0.1:x", "10.0.0.1:70000", "[::1"])
def test_a_wrong_target_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no (IP address|port)|port must be specified"):
        parse_target(text, 0)


# Beside the real switch, on dummy devices.

V4 = "eth_type(0x0800),ipv4(src={},dst=10.0.0.2,proto={},tos={},ttl=64,frag=no)"
PACKETS = [
    ("e1", V4.format("10.0.0.1", 6, 8) + ",tcp(src=10,dst=20),tcp_flags(syn)"),
    ("e1", V4.format("10.0.0.1", 6, 8) + ",tcp(src=10,dst=20),tcp_flags(fin|ack)"),
    ("e2", compose(Ethernet(7, 5), IPv4(0x0A000009, 0x0A000002), Icmp(8, 3)).hex()),
    ("e3", V4.format("10.0.0.8", 132, 0) + ",sctp(src=7,dst=9)"),
    ("e3", V4.format("10.0.0.8", 17, 4) + ",udp(src=7,dst=9)"),
    ("e3", V4.format("10.0.0.8", 47, 4)),
    ("e1", "eth_type(0x0806),arp(sip=1.2.3.4,tip=2.3.4.5,op=1,sha=00:00:00:00:00:01,tha=00:00:00:00:00:00)"),
    ("e1", "eth_type(0x86dd),ipv6(src=::1,dst=::2,label=0,proto=17,tclass=0,hlimit=64,frag=no),"
           "udp(src=1,dst=2)"),
]  # fmt: skip
FLOWS = ["in_port=1,actions=output:2", "in_port=2,actions=drop", "in_port=3,actions=output:1,output:2",
         "priority=40000,in_port=3,udp,actions=normal"]  # fmt: skip


def set_up(switch: RealSwitch, target: str) -> None:
    ports = [word for n in (1, 2, 3) for word in
             f"-- add-port sw e{n} -- set interface e{n} type=dummy ofport_request={n}".split()]  # fmt: skip
    switch.run("ovs-vsctl", "add-br", "sw", "--", "set", "bridge", "sw", "datapath_type=dummy",
               "fail_mode=secure", *ports)  # fmt: skip
    switch.run("ovs-vsctl", "--", "set", "bridge", "sw", "netflow=@n", "--", "--id=@n", "create", "NetFlow",
               f'targets="{target}"', "active_timeout=10", "engine_id=5", "engine_type=3")  # fmt: skip
    switch.set_flows("sw", FLOWS, "OpenFlow10")


def send_all(switch: RealSwitch) -> None:
    switch.appctl("time/stop")
    for port, packet in PACKETS * 3:
        ethernet = f"in_port({port[1]}),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),"
        switch.appctl("netdev-dummy/receive", port, ethernet * ("type" in packet) + packet)
        switch.appctl("time/warp", "20", "10")
    for _ in range(8):
        switch.appctl("time/warp", "2000", "100")


EXPECTED = {
    # (input, output, source, protocol, tos, ports, flags): (packets, bytes)
    (1, 2, "10.0.0.1", 6, 8, 10, 20, 0x13): (6, 324),
    (2, 0xFFFD, "10.0.0.9", 1, 0, 0, 0x803, 0): (3, 126),
    (3, 0xFFFE, "10.0.0.8", 132, 0, 7, 9, 0): (3, 138),
    (3, 0xFFFF, "10.0.0.8", 17, 4, 7, 9, 0): (3, 318),
    (3, 0xFFFE, "10.0.0.8", 47, 4, 0, 0, 0): (3, 102),
}
"""What Open vSwitch 3.1.0 exports; the test runs it as well."""


@pytest.mark.system
def test_what_is_exported_is_what_the_real_switch_exports(switch: RealSwitch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(0.2)
        set_up(switch, f"127.0.0.1:{collector.getsockname()[1]}")
        send_all(switch)
        found: dict[tuple[object, ...], tuple[int, int]] = {}
        end = time.monotonic() + 20
        while len(found) < len(EXPECTED) and time.monotonic() < end:
            switch.appctl("time/warp", "1000", "100")
            try:
                datagram = collector.recv(2000)
            except TimeoutError:
                continue
            version, count, *_, engine_type, engine_id, _ = struct.unpack("!HHIIIIBBH", datagram[:24])
            assert (version, engine_type, engine_id) == (5, 3, 5)
            for n in range(count):
                r = struct.unpack("!IIIHHIIIIHHxBBBHHBBxx", datagram[24 + 48 * n : 72 + 48 * n])
                source = socket.inet_ntoa(r[0].to_bytes(4, "big"))
                key = (r[3], r[4], source, r[12], r[13], r[9], r[10], r[11])
                packets, n_bytes = found.get(key, (0, 0))
                found[key] = (packets + r[5], n_bytes + r[6])
    assert found == EXPECTED


@pytest.mark.system
def test_a_collector_that_others_wrote_decodes_it(
    switch: RealSwitch, tmp_path: Path, require: Callable[..., None]
) -> None:
    require("command:nfcapd", "command:nfdump")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "flows").mkdir()
    collector = subprocess.Popen(
        ["nfcapd", "-b", "127.0.0.1", "-p", str(port), "-w", str(tmp_path / "flows"), "-t", "3600"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until("the collector listens", lambda: f":{port:04X} " in Path("/proc/net/udp").read_text())
        set_up(switch, f"127.0.0.1:{port}")
        send_all(switch)
        time.sleep(0.5)
    finally:
        collector.terminate()
        collector.wait(10)
    (written,) = (tmp_path / "flows").glob("nfcapd.2*")
    form = "fmt:%in,%out,%sa,%pr,%tos,%pkt,%byt"
    command = ["nfdump", "-r", str(written), "-q", "-N", "-o", form]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    totals: dict[tuple[str, ...], list[int]] = {}
    for row in csv.reader(io.StringIO(said)):
        *key, packets, n_bytes = (word.strip() for word in row)
        total = totals.setdefault(tuple(key), [0, 0])
        total[0] += int(packets)
        total[1] += int(n_bytes)
    wanted = {
        (str(i), str(o), source, str(proto), str(tos)): [packets, n_bytes]
        for (i, o, source, proto, tos, *_), (packets, n_bytes) in EXPECTED.items()
    }
    assert totals == wanted


@pytest.mark.system
def test_what_the_datapath_forgets_is_exported_before_its_timeout(switch: RealSwitch) -> None:
    """Idle, purged, or taken elsewhere."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(0.3)
        set_up(switch, f"127.0.0.1:{collector.getsockname()[1]}")
        switch.run("ovs-vsctl", "set", "netflow", "sw", "active_timeout=600")
        switch.appctl("time/stop")
        port, packet = PACKETS[0]
        packet = f"in_port(1),eth(src=50:54:00:00:00:05,dst=50:54:00:00:00:07),{packet}"

        def exported(ms: int, then: Callable[[], object] | None = None) -> list[tuple[int, int]]:
            """Output interface and packets of the records of one flow, sent three times and, after `then`,
            left for `ms`."""
            for _ in range(3):
                switch.appctl("netdev-dummy/receive", port, packet)
                switch.appctl("time/warp", "20", "10")
            if then is not None:
                switch.appctl("time/warp", "1000", "100")
                then()
            found = []
            for _ in range(ms // 1000):
                switch.appctl("time/warp", "1000", "100")
            try:
                while True:
                    (record,) = struct.iter_unpack("!IIIHHIIIIHHxBBBHHBBxx", collector.recv(9000)[24:])
                    found.append((record[4], record[5]))
            except TimeoutError:
                return found

        assert exported(15_000) == [(2, 3)]
        elsewhere = ("ovs-ofctl", "add-flow", "sw", "priority=50000,in_port=1,actions=output:3")
        assert exported(2_000, lambda: switch.run(*elsewhere)) == [(2, 3)]
        assert exported(2_000, lambda: switch.appctl("revalidator/purge")) == [(3, 3)]
