"""The eBPF datapath beside the Linux bridge, our userspace datapath and the real switch's, in one run.

Small UDP packets come from a generator in the kernel (BPF_PROG_TEST_RUN with live XDP frames, as if
received at the port) and end in a program at the receiver, so that neither end's stack is what is measured:
to route a packet to nobody takes a stack as long as it takes a bridge to forward it. And they come from
trafgen's sockets, and end in the receiver's stack. The peer is the Linux bridge as it comes, measured in
turn with ours, and ratios are medians of those pairs; a note has it without br_netfilter's calls, where the
kernel makes these, and the CPU time of a packet, which others' work hardly touches. Beside it stands the
least that any switch in BPF has to do: a program that redirects all packets of a port to another.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import statistics
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bench.report import Row
from bench.topology import Host, Running, cpu_seconds, hosts, our_switch, peer_switch, run, wait_for
from bench.traffic import ping, tcp, udp
from vswitch.base.clock import Clock
from vswitch.dpif.actions import Output
from vswitch.dpif.ebpf.frame import C_DATA, C_DATA_END, TC_SHOT, TC_UNSPEC
from vswitch.dpif.ebpf.provider import EbpfDpif
from vswitch.dpif.ops import FlowPut
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R1, R2, R3, R4, R5, U32, U64, Helper
from vswitch.ebpf.link import TCX_INGRESS, TcxLink
from vswitch.ebpf.map import Map, MapType
from vswitch.ebpf.program import RUN_LIVE_FRAMES, XDP, Program
from vswitch.ebpf.syscall import LINK_CREATE, Buffer, bpf, close_fd
from vswitch.flow import layout as at
from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.packet.checksum import csum
from vswitch.packet.parse import Parser

PAIRS = 7
TCP_SECONDS = 1.0
FRAMES = 100_000
MANY, MASKS = 100_000, 32
"""Flows and masks that are to slow nothing down."""
CACHED = 1000
"""Flows that a CPU's own cache holds."""
ROUNDS = 3
"""Measurements of each, in turn."""
NETFILTER: Final = [Path("/proc/sys/net/bridge", f"bridge-nf-call-{n}tables") for n in ("ip", "ip6", "arp")]
"""What has bridges ask netfilter about every packet, as they come."""
ATTACH_XDP, XDP_NATIVE, XDP_PASS = 37, 4, 2
CLONE_NEWNET: Final = 0x40000000
_libc: Final = ctypes.CDLL(None, use_errno=True)
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
def bare_bridge(ports: Sequence[str]) -> Iterator[Running]:
    """The same without netfilter."""
    before = {path: path.read_text() for path in NETFILTER if path.exists()}
    try:
        for path in before:
            path.write_text("0")
        with linux_bridge(ports) as running:
            yield running
    finally:
        for path, value in before.items():
            path.write_text(value)


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
        if running.name != "redirect":
            reach(a, b)
            reach(c, d)
            time.sleep(0.5)
        rate, cpu = injected([(a, b)])
        return {"injected": rate, "ns": cpu, "two": injected([(a, b), (c, d)])[0]}


def reach(a: Host, b: Host) -> None:
    """Ping until there is an answer: a switch takes a while to start, and to learn addresses."""
    for _ in range(20):
        said = run(*a.command("ping", "-c", "2", "-i", "0.2", "-W", "1", b.address), check=False)
        if " 0% packet loss" in said:
            return
    raise RuntimeError(f"{b.address} does not answer {a.address}")


def new_pair(a: Host, b: Host, third: Host) -> float:
    """Round trip, in ms, of the first packet to a host that has just got another address and has talked only
    to `b`: two new flows of a known mask."""
    mac = ":".join(("02", *(f"{n:02x}" for n in os.urandom(5))))
    run(*third.command("ip", "link", "set", "eth0", "address", mac))
    reach(third, b)
    run(*a.command("ip", "neigh", "replace", third.address, "lladdr", mac, "dev", "eth0"))
    run(*third.command("ip", "neigh", "replace", a.address, "lladdr", a.mac, "dev", "eth0"))
    said = run(*a.command("ping", "-c", "1", "-W", "3", third.address), check=False)
    found = re.search(r"time=([\d.]+)", said)
    if found is None:
        raise RuntimeError(f"no ping came back:\n{said}")
    return float(found[1])


def new_mask(a: Host, b: Host) -> float:
    """Round trip, in ms, of the first packets that meet another flow of `NEW_MASKS`: the median."""
    times = []
    for tos in NEW_MASKS:
        said = run(*a.command("ping", "-c", "1", "-W", "3", "-Q", str(tos), b.address), check=False)
        found = re.search(r"time=([\d.]+)", said)
        if found is None:
            raise RuntimeError(f"no ping came back:\n{said}")
        times.append(float(found[1]))
        time.sleep(0.1)
    return statistics.median(times)


NEW_MASKS: Final = {32: "", 64: ",nw_ttl=64", 96: ",nw_ttl=64,nw_src=10.77.0.0/24"}
"""TOS -> what else its flow matches on. Each is looked at behind those before, so that every TOS has a
megaflow mask of its own."""
FLOWS: Final = [f"priority={200 - tos},icmp,nw_tos={tos}{rest},actions=NORMAL"
                for tos, rest in NEW_MASKS.items()]

SWITCHES: dict[str, Switch] = {
    "bridge": linux_bridge,
    "ebpf": lambda ports: our_switch(ports, "ebpf", FLOWS),
    "userspace": lambda ports: our_switch(ports, "netdev"),
    "peer": lambda ports: peer_switch(ports, "netdev"),
}


class Generator:
    """Frames that come in at `host`'s port without anybody's sockets, from `n` addresses in turn."""

    def __init__(self, host: Host, to: Host, n: int = 1) -> None:
        self.n = n
        self.count = Map(MapType.ARRAY, 4, 8, 1, "bench_count")
        self.ifindex = socket.if_nametoindex(host.port)
        macs = bytes.fromhex((to.mac + host.mac).replace(":", ""))
        ip = bytes.fromhex("4500002e000140004011") + b"\0\0" + SOURCE + TARGET
        ip = ip[:10] + int(csum(ip)).to_bytes(2, "big") + ip[12:]
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
        for n in range(0, 48, 8):
            a.imm64(R4, int.from_bytes(self.frame[n : n + 8], sys.byteorder, signed=True))
            a.store(U64, R2, n, R4)
        if self.n > 1:
            a.map_value(R4, self.count)
            a.load(U64, R5, R4, 0)
            a.add(R5, 1)
            a.store(U64, R4, 0, R5)
            a.alu("%", R5, self.n)
            a.add(R5, int.from_bytes(SOURCE, "big"))
            a.be(R5, 32)
            a.store(U32, R2, 26, R5)
        a.label("out")
        a.ret(XDP_PASS)
        return a

    def shoot(self, n: int) -> float:
        """Send `n`; the CPU time (s) of this thread, which does all that is done to them."""
        began = time.thread_time()
        self.program.run(self.frame, self.context, repeat=n, flags=RUN_LIVE_FRAMES, batch=64)
        return time.thread_time() - began

    def close(self) -> None:
        close_fd(self.link)
        self.standing.close()
        self.program.close()
        self.count.close()


@contextmanager
def sink(host: Host) -> Iterator[None]:
    """A program at `host` that drops what is for TARGET, once the device has counted it."""
    a = Asm()
    a.load(U32, R2, R1, C_DATA)
    a.load(U32, R3, R1, C_DATA_END)
    a.mov(R4, R2)
    a.add(R4, 34)
    a.jump_if(R4, ">", R3, "other")
    a.load(U32, R5, R2, 30)
    a.jump_if(R5, "!=", int.from_bytes(TARGET, sys.byteorder), "other", wide=False)
    a.ret(TC_SHOT)
    a.label("other")
    a.ret(TC_UNSPEC)
    program = Program(a, "bench_sink")
    # A device is looked for in the namespace of the thread that asks.
    with ThreadPoolExecutor(1) as inside:
        link = inside.submit(_attach_within, program, host).result()
    try:
        yield
    finally:
        link.close()
        program.close()


def _attach_within(program: Program, host: Host) -> TcxLink:
    with open(f"/run/netns/{host.namespace}", "rb") as namespace:
        if _libc.setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"entering {host.namespace}")
    return TcxLink(program, socket.if_nametoindex("eth0"), TCX_INGRESS)


def injected(pairs: Sequence[tuple[Host, Host]], n: int = 1) -> tuple[float, float]:
    """Packets/s delivered when one generator a pair sends as fast as it can, of `n` flows each, all of which
    had a packet before; and the CPU time (ns) of a packet."""
    with ExitStack() as sinks:
        for _, b in pairs:
            sinks.enter_context(sink(b))
        return _injected(pairs, n)


def _injected(pairs: Sequence[tuple[Host, Host]], n: int) -> tuple[float, float]:
    generators = [Generator(a, b, n) for a, b in pairs]
    try:
        at_first = [b.received_packets() for _, b in pairs]
        for one in generators:
            one.shoot(max(2000, n))
        for (_, b), old in zip(pairs, at_first, strict=True):
            # The first of a flow waits for the switch, which waits for the CPU.
            wait_for(f"the first packets to {b.address}", lambda b=b, old=old: b.received_packets() > old)
        time.sleep(0.2)
        before = [b.received_packets() for _, b in pairs]
        began = time.monotonic()
        with ThreadPoolExecutor(len(pairs)) as pool:
            used = sum(pool.map(lambda one: one.shoot(max(FRAMES, n)), generators))
        took = time.monotonic() - began
        time.sleep(0.1)
        arrived = sum(b.received_packets() - old for (_, b), old in zip(pairs, before, strict=True))
        return arrived / took, 1e9 * used / arrived
    finally:
        for one in generators:
            one.close()


def many_flows(a: Host, b: Host) -> dict[str, float]:
    """What passes with one flow in the datapath, and with `MANY` flows under `MASKS` masks: of one flow, of
    `CACHED` and of all. The datapath alone, without a switch around it."""
    dpif = EbpfDpif("vsbench", Clock())
    try:
        into, out = (dpif.port_add(host.port, "system") for host in (a, b))
        generator = Generator(a, b)
        base = Flow()
        extract(generator.frame, base, Parser())
        generator.close()
        base.words[at.W_IN_PORT] = into
        dpif.operate([_put(base, 0, out)])
        alone = [injected([(a, b)])[0] for _ in range(ROUNDS)]
        for first in range(0, MANY, 1000):
            dpif.operate([_put(base, n, out) for n in range(first, first + 1000)])
        if len(dpif.offload.flows) != MANY or len(dpif.offload.tables.subtables) != MASKS:
            raise RuntimeError(f"the kernel has not taken all flows: {set(dpif.offload.reasons.values())}")
        found: dict[str, list[float]] = {"in place": [], "cached": [], "all": []}
        for _ in range(ROUNDS):
            for name, n in (("in place", 1), ("cached", CACHED), ("all", MANY)):
                found[name].append(injected([(a, b)], n)[0])
        return {"one": statistics.median(alone), **{name: statistics.median(n) for name, n in found.items()}}
    finally:
        dpif.destroy()


SOURCE: Final = bytes((10, 77, 0, 1))
"""Whom packets come from, and those behind it."""
TARGET: Final = bytes((10, 77, 9, 9))
"""Whom they are for: nobody, and they end where they arrive (`sink`)."""


def _put(base: Flow, n: int, out: int) -> FlowPut:
    """The flow of the n-th source; which bits of the destination count makes one mask of `MASKS`."""
    mask = Flow()
    mask.words[at.W_IN_PORT] = -1
    mask.words[at.W_ETH_TYPE] |= 0xFFFF
    mask.words[at.W_VLAN_TCI] |= 0x1FFF
    mask.words[at.W_NW_SRC] |= -1 << 32 | n % MASKS
    key = base.copy()
    key.nw_src = int.from_bytes(SOURCE, "big") + n
    return FlowPut(key.masked(mask), mask, (Output(out),), n.to_bytes(16, "big"))


def flood_ping(a: Host, b: Host) -> float:
    """Mean round trip of `ping -f`, in us."""
    said = run(*a.command("ping", "-q", "-f", "-c", "5000", b.address), check=False)
    found = re.search(r"= [\d.]+/([\d.]+)/", said)
    if found is None:
        raise RuntimeError(f"no ping came back:\n{said}")
    return float(found[1]) * 1000


def measure(running: Running, made: Sequence[Host], small: bool = False) -> dict[str, float]:
    """All quantities of the switch that joins three hosts; `small`: without what needs no seven rounds."""
    a, b, third = made
    values = {"tcp": tcp(a, b, TCP_SECONDS)}
    if not small:
        values |= {"first": new_pair(a, b, third), "flood": flood_ping(a, b)}
        before, began = cpu_seconds(running.pid) if running.pid else 0.0, time.monotonic()
        values["udp"], values["offered"] = udp(a, b, 1)
        used = cpu_seconds(running.pid) - before if running.pid else 0.0
        values["cpu"] = used / (time.monotonic() - began)
    return values


def settle(made: Sequence[Host]) -> float:
    """Until all know each other; then what new masks cost."""
    a, b, third = made
    reach(a, b)
    reach(third, b)
    ping(a, b, 20)
    return new_mask(a, b)


def _median(results: Sequence[dict[str, float]], name: str) -> float:
    return statistics.median(r[name] for r in results if name in r)


def bench(pairs: int = PAIRS) -> list[Row]:
    """Rows of the eBPF datapath beside the bridge; then what the others do, for comparison."""
    got: dict[str, list[dict[str, float]]] = {name: [] for name in SWITCHES}
    ours: list[dict[str, float]] = []
    least: list[dict[str, float]] = []
    bridge: list[dict[str, float]] = []
    bare: list[dict[str, float]] = []
    with hosts(6, "vse") as made:
        for n in range(min(pairs, ROUNDS)):
            least.append(measure_injected(redirect, made[:4]))
            bridge.append(measure_injected(linux_bridge, made[:4]))
            if not n:
                bare.append(measure_injected(bare_bridge, made[:4]))
            ours.append(measure_injected(SWITCHES["ebpf"], made[:4]))
        many = many_flows(made[0], made[1])
        # Both stand at the same time, each with hosts of its own, and carry traffic in turn.
        sides = {"bridge": made[:3], "ebpf": made[3:]}
        with ExitStack() as standing:
            running = {name: standing.enter_context(SWITCHES[name]([host.port for host in sides[name]]))
                       for name in sides}
            masks = {name: settle(sides[name]) for name in sides}
            for n in range(pairs):
                for name in sides:
                    found = measure(running[name], sides[name], n >= ROUNDS)
                    got[name].append({"mask": masks[name], **found})
        for name in ("userspace", "peer"):
            if name == "peer":
                for host in made[:3]:
                    run(*host.command("ethtool", "-K", "eth0", "tx", "off"))
            with SWITCHES[name]([host.port for host in made[:3]]) as there:
                mask = settle(made[:3])
                got[name].append({"mask": mask, **measure(there, made[:3])})

    def row(what: str, unit: str, name: str, better: str = "higher", goal: str = "") -> Row:
        others = ", ".join(f"{k} {got[k][0][name]:,.3g}" for k in ("userspace", "peer"))
        ours, bridge = _median(got["ebpf"], name), _median(got["bridge"], name)
        return Row(what, unit, ours, bridge, better, goal, others)

    two = [r["two"] / r["injected"] for r in ours]
    # The more flows there are, the less may pass: whatever makes one flow alone slower is others' work.
    one = max(many["one"], many["in place"])
    return [
        Row("eBPF: 60-byte UDP, generator in the kernel", "packets/s", _median(ours, "injected"),
            _median(bridge, "injected"), goal=">= 1.8",
            note=f"without netfilter's calls the bridge does {_median(bare, 'injected'):,.0f}; CPU a packet "
            f"{_median(ours, 'ns'):.0f} ns, the bridge's {_median(bridge, 'ns'):.0f}, without these calls "
            f"{_median(bare, 'ns'):.0f}"),
        Row("eBPF: the same beside a bare redirect", "packets/s", _median(ours, "injected"),
            _median(least, "injected"), goal=">= 0.9",
            note="peer: a bare redirect; CPU of a packet "
            f"{_median(ours, 'ns'):.0f} ns to {_median(least, 'ns'):.0f}"),
        Row(f"eBPF: {MANY:,} flows under {MASKS} masks, all in use, to one flow", "times", many["all"] / one,
            goal=">= 0.8",
            note=f"one of them {many['in place'] / one:.2f}, {CACHED:,} of them {many['cached'] / one:.2f}"),
        Row("eBPF: two generators to one", "times", statistics.median(two),
            statistics.median(r["two"] / r["injected"] for r in least), goal=">= 1.6",
            note="peer: a bare redirect"),
        row("eBPF: 64-byte UDP by sockets", "packets/s", "udp", goal=">= 1"),
        row(f"eBPF: TCP, median of {pairs} pairs", "Gbit/s", "tcp", goal=">= 0.95"),
        row("eBPF: ping -f", "us", "flood", "lower", ">= 1"),
        row("eBPF: first ping of a pair, two new flows", "ms", "first", "lower", "6 ms"),
        row("eBPF: first ping of a new mask", "ms", "mask", "lower", "10 ms"),
        Row("eBPF: CPU of the daemon under UDP", "CPUs", _median(got["ebpf"], "cpu"), goal="0"),
    ]
