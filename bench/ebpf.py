"""The eBPF datapath beside the Linux bridge, our userspace datapath and the real switch's, in one run.

Small UDP packets come from a generator in the kernel (BPF_PROG_TEST_RUN with live XDP frames, as if received
at the port), so that the sender's sockets are not what is measured; and from trafgen's sockets. The peer is
the Linux bridge, measured in turn with ours, and ratios are medians of those pairs. Through a bridge frames
of the kernel's generator don't arrive at all, so that there the peer is the least that any switch in BPF
has to do: a program that redirects all packets of a port to another.
"""

from __future__ import annotations

import re
import socket
import statistics
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

from bench.report import Row
from bench.topology import Host, Running, cpu_seconds, hosts, our_switch, peer_switch, run
from bench.traffic import ping, tcp, udp
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R1, R2, R3, R4, U32, U64, Helper
from vswitch.ebpf.link import TCX_INGRESS, TcxLink
from vswitch.ebpf.program import RUN_LIVE_FRAMES, XDP, Program
from vswitch.ebpf.syscall import LINK_CREATE, Buffer, bpf, close_fd

PAIRS = 7
TCP_SECONDS = 2.0
FRAMES = 400_000
ATTACH_XDP, XDP_NATIVE, XDP_PASS = 37, 4, 2
BRIDGE = "vsbrx"
Switch = Callable[[Sequence[str]], AbstractContextManager[Running]]


@contextmanager
def linux_bridge(ports: Sequence[str]) -> Iterator[Running]:
    """The kernel's own bridge over `ports`."""
    run("ip", "link", "add", BRIDGE, "type", "bridge", "mcast_snooping", "0")
    try:
        for port in ports:
            run("ip", "link", "set", port, "master", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        time.sleep(0.3)
        yield Running("Linux bridge", 0, "")
    finally:
        run("ip", "link", "del", BRIDGE)


@contextmanager
def redirect(ports: Sequence[str]) -> Iterator[Running]:
    """Programs that send everything from the first port to the second, from the third to the fourth."""
    made: list[tuple[TcxLink, Program]] = []
    try:
        for source, target in zip(ports[::2], ports[1::2], strict=True):
            a = Asm()
            a.mov(R1, socket.if_nametoindex(target))
            a.mov(R2, 0)
            a.call(Helper.redirect)
            a.exit()
            program = Program(a, "bench_redirect")
            made.append((TcxLink(program, socket.if_nametoindex(source), TCX_INGRESS), program))
        yield Running("redirect", 0, "")
    finally:
        for link, program in made:
            link.close()
            program.close()


def measure_injected(switch: Switch, made: Sequence[Host]) -> dict[str, float]:
    """What arrives from one generator, and from two."""
    a, b, c, d = made
    with switch([host.port for host in made]) as running:
        if running.pid:
            reach(a, b)
            reach(c, d)
            time.sleep(0.5)
        return {"injected": injected([(a, b)]), "two": injected([(a, b), (c, d)])}


def reach(a: Host, b: Host) -> None:
    """Ping until there is an answer: a switch takes a while to start, and to learn addresses."""
    for _ in range(20):
        said = run(*a.command("ping", "-c", "2", "-i", "0.2", "-W", "1", b.address), check=False)
        if " 0% packet loss" in said:
            return
    raise RuntimeError(f"{b.address} does not answer {a.address}")


def new_pair(a: Host, b: Host) -> float:
    """Round trip, in ms, of the first packet of hosts that know each other: two new flows of a known mask."""
    for one, other in ((a, b), (b, a)):
        run(*one.command("ip", "neigh", "replace", other.address, "lladdr", other.mac, "dev", "eth0"))
    said = run(*a.command("ping", "-c", "1", "-W", "3", b.address), check=False)
    found = re.search(r"time=([\d.]+)", said)
    if found is None:
        raise RuntimeError(f"no ping came back:\n{said}")
    return float(found[1])


SWITCHES: dict[str, Switch] = {
    "bridge": linux_bridge,
    "ebpf": lambda ports: our_switch(ports, "ebpf"),
    "userspace": lambda ports: our_switch(ports, "netdev"),
    "peer": lambda ports: peer_switch(ports, "netdev"),
}


class Generator:
    """Frames that come in at `host`'s port without anybody's sockets."""

    def __init__(self, host: Host, to: Host) -> None:
        self.ifindex = socket.if_nametoindex(host.port)
        macs = bytes.fromhex((to.mac + host.mac).replace(":", ""))
        # To an address that nobody has, so that the receiver's stack answers nothing.
        ip = bytes.fromhex("4500002e000140004011") + b"\0\0" + bytes((10, 77, 0, 1, 10, 77, 9, 9))
        self.frame = (macs + b"\x08\x00" + ip + bytes.fromhex("0fa10fa2001a0000")).ljust(60, b"U")
        self.context = struct.pack("=IIIIII", 0, len(self.frame), 0, self.ifindex, 0, 0)
        self.program = Program(self._rewriter(), "bench_pass", type=XDP)
        attr = Buffer(64)
        struct.pack_into("=IIII", attr.view, 0, self.program.fd, self.ifindex, ATTACH_XDP, XDP_NATIVE)
        a = Asm()
        a.ret(XDP_PASS)
        self.standing = Program(a, "bench_stand", type=XDP)
        struct.pack_into("=I", attr.view, 0, self.standing.fd)
        self.link = bpf(LINK_CREATE, attr, "attaching the generator")

    def _rewriter(self) -> Asm:
        """Frames are used again as the switch left them: each is written anew."""
        a = Asm()
        a.load(U32, R2, R1, 0)
        a.load(U32, R3, R1, 4)
        a.mov(R4, R2)
        a.add(R4, len(self.frame))
        a.jump_if(R4, ">", R3, "out")
        for at in range(0, 48, 8):
            a.imm64(R4, int.from_bytes(self.frame[at : at + 8], sys.byteorder, signed=True))
            a.store(U64, R2, at, R4)
        a.label("out")
        a.ret(XDP_PASS)
        return a

    def shoot(self, n: int) -> None:
        self.program.run(self.frame, self.context, repeat=n, flags=RUN_LIVE_FRAMES, batch=64)

    def close(self) -> None:
        close_fd(self.link)
        self.standing.close()
        self.program.close()


def injected(pairs: Sequence[tuple[Host, Host]]) -> float:
    """Packets/s delivered when one generator a pair sends as fast as it can."""
    generators = [Generator(a, b) for a, b in pairs]
    try:
        for one in generators:
            one.shoot(2000)
        time.sleep(0.2)
        before = [b.received_packets() for _, b in pairs]
        began = time.monotonic()
        with ThreadPoolExecutor(len(pairs)) as pool:
            list(pool.map(lambda one: one.shoot(FRAMES), generators))
        took = time.monotonic() - began
        time.sleep(0.1)
        return sum(b.received_packets() - n for (_, b), n in zip(pairs, before, strict=True)) / took
    finally:
        for one in generators:
            one.close()


def flood_ping(a: Host, b: Host) -> float:
    """Mean round trip of `ping -f`, in us."""
    said = run(*a.command("ping", "-q", "-f", "-c", "5000", b.address), check=False)
    found = re.search(r"= [\d.]+/([\d.]+)/", said)
    if found is None:
        raise RuntimeError(f"no ping came back:\n{said}")
    return float(found[1]) * 1000


def measure(switch: Switch, made: Sequence[Host], small: bool) -> dict[str, float]:
    """All quantities of one switch; `small`: without what takes long."""
    a, b, c, d = made
    with switch([host.port for host in made]) as running:
        for one, other in ((a, b), (c, d)):
            reach(one, other)
        ping(a, b, 20)
        values = {"first": new_pair(a, d), "tcp": tcp(a, b, TCP_SECONDS)}
        if not small:
            values["flood"] = flood_ping(a, b)
            before = cpu_seconds(running.pid) if running.pid else 0.0
            values["udp"], values["offered"] = udp(a, b, 2)
            values["cpu"] = (cpu_seconds(running.pid) - before if running.pid else 0.0) / 3
        return values


def _median(results: Sequence[dict[str, float]], name: str) -> float:
    return statistics.median(r[name] for r in results if name in r)


def bench(pairs: int = PAIRS) -> list[Row]:
    """Rows of the eBPF datapath beside the bridge; then what the others do, for comparison."""
    got: dict[str, list[dict[str, float]]] = {name: [] for name in SWITCHES}
    ours: list[dict[str, float]] = []
    least: list[dict[str, float]] = []
    with hosts(4, "vse") as made:
        for _ in range(min(pairs, 3)):
            least.append(measure_injected(redirect, made))
            ours.append(measure_injected(SWITCHES["ebpf"], made))
        for n in range(pairs):
            for name in ("bridge", "ebpf"):
                got[name].append(measure(SWITCHES[name], made, small=n >= 3))
        for name in ("userspace", "peer"):
            if name == "peer":
                for host in made:
                    run(*host.command("ethtool", "-K", "eth0", "tx", "off"))
            got[name].append(measure(SWITCHES[name], made, small=False))

    def row(what: str, unit: str, name: str, better: str = "higher", goal: str = "") -> Row:
        others = ", ".join(f"{k} {got[k][0][name]:,.3g}" for k in ("userspace", "peer"))
        ours, bridge = _median(got["ebpf"], name), _median(got["bridge"], name)
        return Row(what, unit, ours, bridge, better, goal, others)

    two = [r["two"] / r["injected"] for r in ours]
    return [
        Row("eBPF: 60-byte UDP, generator in the kernel", "packets/s", _median(ours, "injected"),
            _median(least, "injected"), goal=">= 0.9", note="peer: a bare redirect"),
        Row("eBPF: two generators to one", "times", statistics.median(two),
            statistics.median(r["two"] / r["injected"] for r in least), goal=">= 1.6",
            note="peer: a bare redirect"),
        row("eBPF: 64-byte UDP by sockets", "packets/s", "udp", goal=">= 1"),
        row(f"eBPF: TCP, median of {pairs} pairs", "Gbit/s", "tcp", goal=">= 0.95"),
        row("eBPF: ping -f", "us", "flood", "lower", ">= 1"),
        row("eBPF: first ping of a pair, two new flows", "ms", "first", "lower", "6 ms"),
        Row("eBPF: CPU of the daemon under UDP", "CPUs", _median(got["ebpf"], "cpu"), goal="0"),
    ]
