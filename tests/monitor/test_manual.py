"""The examples of ovs-vsctl(8) that export, mirror or limit traffic, each taken from the manual as it stands
there and typed on the real switch and on ours: the same traffic goes through both, and what the collectors of
others (nfcapd, sfcapd, tshark) read is the same, as is what arrives.

`VSWITCH_TEST_ALL=1` does what needs no collector as well.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.exporting import captured
from tests.oracle.real import UnixctlClient
from tests.stack import OURS, REAL, Stack, until

pytestmark = pytest.mark.system
NEEDED = ("root", "netns", "tun", "command:man", "command:nfcapd", "command:sfcapd", "command:tshark",
          "command:tcpdump", "command:ovs-vswitchd", "command:ovsdb-server")  # fmt: skip
SENDER = """
import socket, sys, time
sockets = []
for sport, n, size in {flows}:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("172.16.0.1", sport))
    sockets.append((s, n, size))
for i in range(max(n for _, n, _ in {flows})):
    for s, n, size in sockets:
        if i < n:
            s.sendto(bytes(size), ("172.16.0.2", 2000))
    time.sleep({pause})
"""
Flow = tuple[str, ...]
"""Input and output port, addresses, protocol, ports."""
HOSTS = ("172.16.0.1", "172.16.0.2", "17")
SIGMAS = 5
"""How far from the expected a number of random samples may be, in standard deviations."""


def examples(section: str) -> list[str]:
    """The commands of a section of the manual's cookbook, each one line."""
    wide = {**os.environ, "MANWIDTH": "1000", "MAN_KEEP_FORMATTING": ""}
    text = subprocess.run(["man", "ovs-vsctl"], capture_output=True, text=True, check=True, env=wide).stdout
    cookbook = text.partition("CONFIGURATION COOKBOOK")[2].partition("\nEXIT STATUS")[0]
    part = re.search(rf"\n   {re.escape(section)}\n(.*?)(?=\n   \S|\Z)", cookbook, re.DOTALL)
    assert part is not None, f"the manual has no section {section}"
    joined = re.sub(r"\\\n\s*", " ", part[1])
    return [line.strip() for line in joined.splitlines() if line.startswith(" " * 14 + "ovs-vsctl")]


class Bench:
    """A switch with eth0, eth1 and eth2 on bridge br0, a host on each, and the addresses of the manual's
    collectors in the switch's namespace."""

    def __init__(self, directory: Path, program: tuple[str, ...]) -> None:
        directory.mkdir()
        self.stack = Stack(directory, program, ("--enable-dummy",))
        self.directory = directory

    def start(self) -> None:
        stack = self.stack
        stack.start()
        stack.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        for n in range(3):
            host = stack.host(n + 1, f"172.16.0.{n + 1}/24")
            stack.inside(host, "sysctl", "-w", "net.ipv6.conf.all.disable_ipv6=1")
            for words in (["down"], ["name", f"eth{n}"]):
                stack.run("ip", "link", "set", f"h{n + 1}", *words)
            stack.run("ip", "link", "set", f"eth{n}", "up")
            stack.run("ovs-vsctl", "add-port", "br0", f"eth{n}", "--", "set", "interface", f"eth{n}",
                      f"ofport_request={n + 1}")  # fmt: skip
            for other in {1, 2, 3} - {n + 1}:
                stack.inside(host, "ip", "neigh", "add", f"172.16.0.{other}", "lladdr",
                             f"02:00:00:00:00:0{other}", "dev", "eth0")  # fmt: skip
        stack.run("ip", "addr", "add", "10.0.0.9/24", "dev", "eth1")
        for address in ("192.168.0.34/32", "10.0.0.1/32"):
            stack.run("ip", "addr", "add", address, "dev", "lo")
        # Each host is heard once, so that no packet is flooded.
        for n, other in ((1, 2), (2, 1), (3, 1)):
            assert stack.pings(stack.hosts[n - 1], f"172.16.0.{other}", 1) == 1
        # Host 2 can't say that nobody listens: now and then a sample would be of that.
        stack.inside(stack.hosts[1], "ip", "route", "add", "blackhole", "172.16.0.1/32")

    def vsctl(self, command: str) -> None:
        self.stack.run(*shlex.split(command))

    def appctl(self, *words: str) -> str:
        client = UnixctlClient(str(next(self.directory.glob("ovs-vswitchd.*.ctl"))))
        try:
            return client.call(*words)
        finally:
            client.close()

    def pass_time(self, ms: int) -> None:
        """On the switch's clock, which stands otherwise."""
        self.appctl("time/warp", str(ms), "400")

    def send(self, flows: list[tuple[int, int, int]], pause: float = 0.002) -> None:
        """From host 1 to host 2: source port, packets, bytes of payload of each."""
        script = SENDER.format(flows=flows, pause=pause)
        self.stack.inside(self.stack.hosts[0], sys.executable, "-c", script)

    def numbers(self, which: str) -> dict[str, str]:
        """Numbers that exports have for interfaces, as names."""
        column = {"netflow": "ofport"}.get(which, "ifindex")
        return {
            self.stack.run("ovs-vsctl", "get", "interface", name, column).strip(): name
            for name in ("eth0", "eth1", "eth2", "br0")
        }

    def listen(self, program: str, address: str, port: int) -> subprocess.Popen[bytes]:
        """A collector of nfdump's on that address."""
        flows = self.directory / program
        flows.mkdir(exist_ok=True)
        listening = self.stack.spawn(program, "-b", address, "-p", str(port), "-w", str(flows), "-t", "3600")
        until("the collector listens", lambda: f":{port:04X} " in self.stack.run("cat", "/proc/net/udp"))
        return listening

    def end(self, collector: subprocess.Popen[bytes], with_signal: int = signal.SIGTERM) -> None:
        time.sleep(0.5)
        collector.send_signal(with_signal)
        collector.wait(10)
        self.stack.processes.remove(collector)

    def records(self, program: str, which: str) -> dict[Flow, list[tuple[int, int]]]:
        """What nfdump reads of UDP: flow -> packets and bytes of each record."""
        names = self.numbers(which)
        found: dict[Flow, list[tuple[int, int]]] = {}
        form = "%in,%out,%sa,%da,%pr,%sp,%dp,%pkt,%byt"
        for into, out, *key, packets, size in captured(self.directory / program, form):
            if key[2] == "17" and key[0].startswith("172."):
                flow = (names.get(into, into), names.get(out, out), *key)
                found.setdefault(flow, []).append((int(packets), int(size)))
        return found

    def watch(self) -> subprocess.Popen[bytes]:
        """tcpdump of what is exported."""
        capture = self.directory / "exports.pcap"
        capture.unlink(missing_ok=True)
        watching = self.stack.spawn("tcpdump", "-i", "lo", "-U", "-w", str(capture), "udp")
        until("tcpdump listens", capture.exists)
        return watching

    def dissected(self, *words: str) -> str:
        return self.stack.run("tshark", "-r", str(self.directory / "exports.pcap"), *words)


@pytest.fixture
def benches(require: Callable[..., None], tmp_path: Path) -> Iterator[list[Bench]]:
    """The real switch, then ours."""
    require(*NEEDED)
    found = [Bench(tmp_path / "real", REAL), Bench(tmp_path / "ours", OURS)]
    try:
        for bench in found:
            bench.start()
        yield found
    finally:
        for bench in found:
            bench.stack.close()


def both(benches: list[Bench], what: Callable[[Bench], Any]) -> list[Any]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(what, benches))


def test_netflow(benches: list[Bench]) -> None:
    """What nfcapd has: each packet once; of ours in as many records as the active timeout makes, the last
    when the flow is idle. (When the real one's threads look at a flow differs from time to time.)"""
    create, update, clear = examples("NetFlow")

    def exported(bench: Bench) -> list[dict[Flow, list[tuple[int, int]]]]:
        bench.appctl("time/stop")
        bench.vsctl(create)
        found = []
        for command in (None, update, clear):
            if command is not None:
                bench.vsctl(command)
            collector = bench.listen("nfcapd", "192.168.0.34", 5566)
            for _ in range(12 if command != clear else 1):
                bench.send([(1001, 5, 100), (1002, 2, 700)])
                bench.pass_time(4800)
            bench.pass_time(15000)
            bench.end(collector)
            found.append(bench.records("nfcapd", "netflow"))
            for file in (bench.directory / "nfcapd").iterdir():
                file.unlink()
        return found

    real, ours = both(benches, exported)
    assert [len(records["eth0", "eth1", *HOSTS, "1001", "2000"]) for records in ours[:2]] == [2, 1]
    for records, real_records in zip(ours, real, strict=True):
        assert records.keys() == real_records.keys()
    for records in (*real[:2], *ours[:2]):
        sums = {flow[5]: tuple(map(sum, zip(*told, strict=True))) for flow, told in records.items()}
        assert sums == {"1001": (60, 60 * 142), "1002": (24, 24 * 742)}
    assert real[2] == {}


def about(found: float, wanted: float, chance: float, each: float) -> bool:
    """Whether `found`, the sum of samples that stand for `each`, taken with a `chance`, may be `wanted`."""
    return abs(found - wanted) < SIGMAS * each * (wanted / each * (1 - chance)) ** 0.5


def test_sflow(benches: list[Bench]) -> None:
    """What sfcapd and tshark have: one packet of 64 stands for 64, 128 bytes of it, counters every 10 s."""
    create, clear = examples("sFlow")
    sent = {1001: 4000, 1002: 8000}

    def exported(bench: Bench) -> tuple[dict[Flow, list[tuple[int, int]]], str]:
        bench.appctl("time/stop")
        collector = bench.listen("sfcapd", "10.0.0.1", 6343)
        watching = bench.watch()
        bench.vsctl(create)
        bench.send([(1001, sent[1001], 900), (1002, sent[1002], 60)], 0.0005)
        for _ in range(31):
            bench.pass_time(1000)
        bench.vsctl(clear)
        bench.send([(1003, 1000, 60)], 0.0005)
        bench.pass_time(2000)
        bench.end(collector)
        bench.end(watching)
        return bench.records("sfcapd", "sflow"), bench.dissected("-V", "-d", "udp.port==6343,sflow")

    shapes = []
    for bench, (records, said) in zip(benches, both(benches, exported), strict=True):
        assert set(records) == {("eth0", "eth1", *HOSTS, str(port), "2000") for port in sent}, bench.directory
        for flow, told in records.items():
            packets = sum(n for n, _ in told)
            assert about(packets, sent[int(flow[5])], 1 / 64, 64), (bench.directory, flow, packets)
        # Four ports, every ten seconds of 31.
        assert 12 <= said.count("Counters sample, seq") <= 16, bench.directory
        names = re.findall(r"^ +([A-Z][\w /.,]*?)(?::| \(|$)", said, re.MULTILINE)
        shapes.append(
            (
                set(re.findall(r"Sampling rate: (.*)", said)),
                set(re.findall(r"Agent address: ([\d.]+)", said)),
                set(re.findall(r"Sampled header length: (\d+)", said)),
                {re.sub(r"\d+", "N", name) for name in names},
            )
        )
    assert shapes[0] == shapes[1]
    assert shapes[0][:3] == ({"1 out of 64 packets"}, {"10.0.0.9"}, {"128", "102"})


def templates(said: str) -> set[str]:
    """The elements of each template, and those of records, by tshark."""
    return {re.sub(r"\d+", "N", line.strip()) for line in said.splitlines() if re.match(r" +Field \(", line)}


def test_ipfix(benches: list[Bench]) -> None:
    """What nfcapd and tshark have: one packet of 400 (the default), as it leaves, in flows of which 13 are
    kept."""
    create, clear = examples("IPFIX")
    flows = [(1001 + n, 1000, 100 + n) for n in range(20)]

    def exported(bench: Bench) -> tuple[dict[Flow, list[tuple[int, int]]], str, str]:
        collector = bench.listen("nfcapd", "192.168.0.34", 4739)
        watching = bench.watch()
        bench.vsctl(create)
        bench.send(flows, 0.004)
        told = bench.stack.run("ovs-ofctl", "dump-ipfix-bridge", "br0")
        bench.vsctl(clear)
        bench.send([(2001, 1000, 60)], 0.0005)
        bench.end(collector)
        bench.end(watching)
        return bench.records("nfcapd", "ipfix"), told, bench.dissected("-V")

    known = []
    for bench, (records, told, said) in zip(benches, both(benches, exported), strict=True):
        kept = re.search(r"flows=(\d+), current flows=(\d+), sampled pkts=(\d+)", told)
        assert kept is not None, (bench.directory, told)
        assert int(kept[2]) == 13, (bench.directory, told)
        found: Counter[tuple[str, ...]] = Counter()
        octets: Counter[tuple[str, ...]] = Counter()
        for record in re.split(r"\n +Flow \d+\n", said)[1:]:
            value = dict(re.findall(r"^ +([\w ]+?): (\S+)", record, re.MULTILINE))
            if value.get("SrcAddr") == "172.16.0.1":
                names = re.findall(r"IfName: (\S+)", record)
                key = (value["Direction"], *names, value["SrcPort"], value["Observation Point Id"])
                found[key] += int(value["Packets"])
                octets[key] += int(value["Octets"])
        assert sum(found.values()) == 400 * int(kept[3]), (bench.directory, told, found)
        leaving = {key: n for key, n in found.items() if key[0] == "Egress"}
        assert {key[1:3] + key[4:] for key in leaving} == {("eth0", "eth1", "456")}
        assert all(octets[key] == n * (28 + flows[int(key[3]) - 1001][2]) for key, n in leaving.items())
        assert about(sum(leaving.values()), 20 * 1000, 1 / 400, 400), (bench.directory, found)
        assert {flow[5] for flow in records if flow[1] == "eth1"} == {key[3] for key in leaving}
        if bench is benches[1]:
            # The real switch takes enable-input-sampling for its opposite.
            assert leaving == found
        # Those of the exporter's own numbers have domain 0.
        assert set(re.findall(r"Observation Domain Id: (\d+)", said)) == {"0", "123"}
        known.append(templates(said))
    assert known[0] == known[1]
    assert len(known[0]) > 40


@pytest.mark.whole
def test_port_mirroring(benches: list[Bench]) -> None:
    """Each packet received or sent on eth0 or eth1 is seen once at eth2, until the mirror goes."""
    create, remove, clear = examples("Port Mirroring")

    def seen(bench: Bench) -> list[str]:
        capture = bench.directory / "mirrored.pcap"
        _, second, third = bench.stack.hosts
        watching = bench.stack.spawn("ip", "netns", "exec", third, "tcpdump", "-i", "eth0", "-U",
                                     "-w", str(capture), "udp")  # fmt: skip
        until("tcpdump listens", capture.exists)
        for n, command in enumerate((create, remove, create, clear)):
            bench.vsctl(command)
            if bench is benches[0]:  # whose datapath flows a mirror changes late, and one that goes never
                bench.appctl("revalidator/purge")
            # "Any packets received on eth2" are "ignored".
            until(f"{command} shows", lambda n=n: bench.stack.pings(third, "172.16.0.1", 1) == n % 2)
            bench.send([(1001 + n, 20, 100)])
            thrice = f"for i in 1 2 3; do echo > /dev/udp/172.16.0.1/{2001 + n}; done"
            bench.stack.inside(second, "bash", "-c", thrice)
        bench.end(watching)
        fields = ("-T", "fields", "-e", "ip.src", "-e", "udp.dstport", "-e", "udp.srcport")
        return bench.stack.run("tshark", "-r", str(capture), *fields).splitlines()

    for found in both(benches, seen):
        told = Counter(tuple(line.split()[:2]) for line in found)
        assert told == {("172.16.0.1", "2000"): 40, ("172.16.0.2", "2001"): 3, ("172.16.0.2", "2003"): 3}
        assert {line.split()[2] for line in found if line.startswith("172.16.0.1")} == {"1001", "1003"}


RECEIVER = """
import socket, threading, time
server = socket.create_server(("172.16.0.2", 5001))
connection, _ = server.accept()
count = 0
started = time.monotonic()
marks = []
while data := connection.recv(1 << 16):
    count += len(data)
    now = time.monotonic() - started
    if now > 1 and not marks:
        marks.append((now, count))
    if now > 3:
        print((count - marks[0][1]) / (now - marks[0][0]), flush=True)
        break
"""
STREAM = """
import socket
s = socket.create_connection(("172.16.0.2", 5001))
try:
    while True:
        s.sendall(bytes(1 << 16))
except OSError:
    pass
"""


@pytest.mark.whole
def test_quality_of_service(benches: list[Bench]) -> None:
    """A TCP stream in the first queue of eth1 keeps to its 100 Mbit/s; without queues it is faster."""
    create, clear, destroy = examples("Quality of Service (QoS)")

    def stream(bench: Bench) -> float:
        """Bytes a second from host 1 to host 2."""
        stack = bench.stack
        inside = ("ip", "netns", "exec", stack.hosts[1])
        receiver = stack.spawn(*inside, sys.executable, "-c", RECEIVER, name="receiver")
        sockets = ("cat", "/proc/net/tcp")
        until("the receiver listens", lambda: ":1389 " in stack.inside(stack.hosts[1], *sockets).stdout)
        stack.inside(stack.hosts[0], sys.executable, "-c", STREAM)
        receiver.wait(10)
        stack.processes.remove(receiver)
        return float(stack.log("receiver").split()[-1])

    def queues(bench: Bench) -> list[str]:
        found = []
        for device in ("eth0", "eth1"):
            shown = (bench.stack.run("tc", what, "show", "dev", device) for what in ("qdisc", "class"))
            found += ["\n".join(sorted(text.splitlines())) for text in shown]
        return found

    for bench in benches:
        for host in bench.stack.hosts:  # or the real switch's packets have wrong checksums
            bench.stack.inside(host, "ethtool", "-K", "eth0", "tx", "off")
        bench.vsctl(create)
    assert queues(benches[0]) == queues(benches[1])
    rates = [stream(bench) for bench in benches]
    assert all(75e6 < rate * 8 < 100e6 for rate in rates), rates
    for command in (clear, destroy):
        for bench in benches:
            bench.vsctl(command)
        assert queues(benches[0]) == queues(benches[1])
    assert "htb" not in "".join(queues(benches[1]))
    assert stream(benches[1]) > 2 * rates[1]
