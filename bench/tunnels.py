"""Tunnels: TCP and small packets over VXLAN and Geneve between two switches with the userspace datapath, and
TCP between two with the kernel's, in user-mode Linux.

Two hosts, each at a switch in a namespace of its own, and a wire between these two: what a host sends goes
through a bridge into a tunnel, and by the bridge that the wire is in to the other switch. The peer gets each
measurement right before ours, on the same devices.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.report import Row
from bench.stack import OURS, PEER, Stack
from bench.topology import Host, cpu_seconds, hosts, run
from bench.traffic import PAYLOAD, ping, tcp, udp

KINDS = ("vxlan", "geneve")
WIRE_MTU = 1600
"""What a host sends is as long as on any Ethernet, so the wire takes more."""
UNDERLAY = "10.78.0"


class Chassis(Stack):
    """A switch in a namespace: a bridge with the host's port and the tunnel, and one with the wire."""

    def __init__(self, kind: str, directory: Path, namespace: str, datapath: str) -> None:
        super().__init__(kind, directory, dummy=False)
        self.namespace = namespace
        self.datapath = datapath
        if datapath == "system":
            self.options = ()

        self.devices: tuple[str, ...] = ()
        """Devices that outlive the switch."""

    def command(self, *words: str) -> list[str]:
        """`words` as a command that runs in this namespace."""
        return ["ip", "netns", "exec", self.namespace, *words]

    def switch_command(self) -> Sequence[str]:
        return self.command(*super().switch_command())

    def configure(self, n: int, port: str, tunnel: str) -> None:
        """Make both bridges of chassis `n` (1 or 2)."""
        bridges = {f"int{n}": port}
        device = f"wire{n}"
        if self.datapath == "netdev":
            device = f"phy{n}"
            bridges[device] = f"wire{n}"
        self.devices = ("ovs-netdev", *bridges)
        for bridge, member in bridges.items():
            self.vsctl("add-br", bridge, "--", "set", "bridge", bridge, f"datapath_type={self.datapath}",
                       "fail-mode=standalone", "--", "add-port", bridge, member)
        self.vsctl("add-port", f"int{n}", "tunnel", "--", "set", "interface", "tunnel", f"type={tunnel}",
                   f"options:remote_ip={UNDERLAY}.{3 - n}", "options:key=42")
        for words in (f"addr add {UNDERLAY}.{n}/24 dev {device}", f"link set {device} mtu {WIRE_MTU} up"):
            run(*self.command("ip", *words.split()))

    def close(self) -> None:
        """End it all; nothing of it stays in the namespace."""
        if self.datapath == "system":
            for bridge in self.devices[1:]:
                self.vsctl("del-br", bridge)
        super().close()
        for device in self.devices:
            run(*self.command("ip", "link", "del", device), check=False)
        run(*self.command("ip", "addr", "flush", "to", f"{UNDERLAY}.0/24"), check=False)


@contextmanager
def underlay(ends: Sequence[Host]) -> Iterator[list[str]]:
    """Two namespaces with a wire between them, each with the switch's end of a host's cable."""
    names = ["vstun1", "vstun2"]
    try:
        for name, host in zip(names, ends, strict=True):
            run("ip", "netns", "add", name)
            run("ip", "link", "set", host.port, "netns", name)
            run("ip", "-n", name, "link", "set", host.port, "up")
        run("ip", "-n", names[0], "link", "add", "wire1", "type", "veth", "peer", "name", "wire2",
            "netns", names[1])
        for n, name in enumerate(names, 1):
            run("ip", "-n", name, "link", "set", f"wire{n}", "mtu", str(WIRE_MTU), "up")
        yield names
    finally:
        for name in names:
            with suppress(Exception):
                run("ip", "netns", "del", name)


@contextmanager
def joined(
    kind: str, tunnel: str, ends: Sequence[Host], names: Sequence[str], datapath: str
) -> Iterator[list[Chassis]]:
    """The two hosts joined by a tunnel between two switches of `kind`."""
    made: list[Chassis] = []
    with ExitStack() as stack:
        for n, (host, name) in enumerate(zip(ends, names, strict=True), 1):
            directory = stack.enter_context(TemporaryDirectory(prefix=f"vswitch-bench-{kind}-"))
            chassis = Chassis(kind, Path(directory), name, datapath)
            stack.callback(chassis.close)
            made.append(chassis)
            chassis.start()
            chassis.configure(n, host.port, tunnel)
            # The real one's userspace datapath finishes no checksums.
            off = kind == PEER and datapath == "netdev"
            run(*host.command("ethtool", "-K", "eth0", "tx", "off" if off else "on"))
        yield made


def measure(
    kind: str, tunnel: str, ends: Sequence[Host], names: Sequence[str], seconds: float
) -> dict[str, float]:
    """All quantities for one tunnel between switches of one kind."""
    a, b = ends
    with joined(kind, tunnel, ends, names, "netdev") as switches:
        ping(a, b, 20)
        values = {"ping": ping(a, b)}
        pids = [switch.pid() for switch in switches]
        before = sum(map(cpu_seconds, pids))
        values["tcp"] = tcp(a, b, seconds)
        gigabytes = values["tcp"] * seconds / 8
        values["cpu"] = (sum(map(cpu_seconds, pids)) - before) / max(gigabytes, 1e-9)
        values["udp"], values["offered"] = udp(a, b, seconds)
        return values


def inside(seconds: float) -> None:
    """What runs in the user-mode kernel: TCP between two switches with its datapath, results as JSON."""
    run("modprobe", "-a", "vport-vxlan", "vport-geneve")
    # ovs-vswitchd 3.1 finds no CPUs in a kernel's first 10 s (see topology.peer_switch).
    time.sleep(max(0.0, 11 - time.clock_gettime(time.CLOCK_MONOTONIC)))
    results: dict[str, float] = {}
    with hosts(prefix="vstb") as ends, underlay(ends) as names:
        for tunnel in KINDS:
            for kind in (PEER, OURS):
                with joined(kind, tunnel, ends, names, "system"):
                    ping(*ends, 20)
                    results[f"{tunnel} {kind}"] = tcp(*ends, seconds)
    print("RESULT " + json.dumps(results))


def in_user_mode_linux(seconds: float) -> list[Row]:
    """Rows for the kernel's datapath, both switches in one boot of user-mode Linux."""
    from tests.uml import harness

    with TemporaryDirectory(prefix="vswitch-bench-", dir=Path.home()) as exchange:
        result = harness.run(f"from bench.tunnels import inside; inside({seconds})", Path(exchange),
                             interpreter=(sys.executable,), timeout=240, cwd=str(Path.cwd()))
        output = result.check()
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    values = json.loads(line.removeprefix("RESULT "))
    return [
        Row(f"{tunnel}: TCP over the kernel's datapath, in UML", "Gbit/s", values[f"{tunnel} {OURS}"],
            values[f"{tunnel} {PEER}"], goal=">= 1")
        for tunnel in KINDS
    ]


def bench(seconds: float = 5) -> list[Row]:
    """Rows for each kind of tunnel, ours beside the peer's."""
    rows = []
    with hosts(prefix="vstb") as ends, underlay(ends) as names:
        for tunnel in KINDS:
            peer = measure(PEER, tunnel, ends, names, seconds)
            ours = measure(OURS, tunnel, ends, names, seconds)
            rows += [
                Row(f"{tunnel}: TCP, one stream", "Gbit/s", ours["tcp"], peer["tcp"], goal=">= 4",
                    note="peer with tx offload off, ours with it on"),
                Row(f"{tunnel}: CPU of both switches for TCP", "s a GB", ours["cpu"], peer["cpu"],
                    better="lower"),
                Row(f"{tunnel}: UDP, {PAYLOAD}-byte payload", "packets/s", ours["udp"], peer["udp"],
                    goal=">= 1", note=f"offered {ours['offered']:,.0f} and {peer['offered']:,.0f}"),
                Row(f"{tunnel}: ping, median", "ms", ours["ping"], peer["ping"], better="lower", goal=">= 1"),
            ]
    return rows + in_user_mode_linux(seconds)
