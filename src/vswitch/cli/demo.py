"""`vswitch demo`: three hosts on one switch, and where each packet was handled.

Everything happens in a network namespace of its own (in a user namespace too if not root), and
each host is another, held by a process that dies with this one. So nothing on the machine is
touched, and nothing can stay behind.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NoReturn, final

from rich import box
from rich.console import Console
from rich.table import Table

from vswitch.base.records import dataclass
from vswitch.base.unixctl import CommandError
from vswitch.cli.appctl import TargetError, ask, control_socket
from vswitch.cli.datapath import choose
from vswitch.cli.errors import CliError
from vswitch.cli.processes import SWITCH
from vswitch.cli.version import version_text

N_HOSTS: Final = 3
PINGS: Final = 3
PORT: Final = 5001
SHOWN_FLOWS: Final = 12

_DIES_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "KILL")
_SELF: Final = (sys.executable, "-m", "vswitch")


def enter_namespace(datapath: str, seconds: float) -> NoReturn:
    """Begin the demonstration again in a network namespace of its own; doesn't return."""
    flags = "-n" if os.geteuid() == 0 else "-Urn"
    can = subprocess.run(["unshare", flags, "true"], capture_output=True, text=True, check=False)
    if can.returncode:
        raise CliError(f"can't make a network namespace: {can.stderr.strip()}")
    inside = ["demo", "--inside", "--datapath", datapath, "--seconds", str(seconds)]
    os.execvp("unshare", ["unshare", flags, "--fork", "--kill-child", *_SELF, *inside])


@dataclass(frozen=True)
class Host:
    """A host: a network namespace held by process `pid`, its device in the switch `port`."""

    name: str
    address: str
    port: str
    pid: int

    def command(self, *args: str) -> list[str]:
        """The command line that runs `args` on this host."""
        return ["nsenter", "-t", str(self.pid), "-n", *args]


@dataclass
class Lookups:
    """What the datapath counted: packets that it handled alone, and those it sent up."""

    hit: int = 0
    missed: int = 0
    lost: int = 0

    def since(self, before: Lookups) -> Lookups:
        """What happened after `before`."""
        return Lookups(self.hit - before.hit, self.missed - before.missed, self.lost - before.lost)


def parse_lookups(text: str) -> Lookups:
    """The counters of the `lookups:` line of `dpctl/show`."""
    m = re.search(r"lookups: hit:(\d+) missed:(\d+) lost:(\d+)", text)
    if m is None:
        raise CliError(f"no lookups in the switch's answer: {text!r}")
    return Lookups(*map(int, m.groups()))


def parse_ping(text: str) -> list[float]:
    """Round-trip times in ms of the replies in `ping`'s output."""
    return [float(t) for t in re.findall(r"time[=<]([\d.]+) ms", text)]


def _run(*args: str) -> str:
    """Run a command; its output. CliError with its last words if it fails."""
    try:
        ran = subprocess.run(args, capture_output=True, text=True, check=False)
    except FileNotFoundError as e:
        raise CliError(f"this machine lacks the command {args[0]} (make setup installs it)") from e
    if ran.returncode:
        said = (ran.stderr or ran.stdout).strip().splitlines()
        raise CliError(f"{' '.join(args)}: {said[-1] if said else f'exit code {ran.returncode}'}")
    return ran.stdout


def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def _end(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


@final
class Demo:
    """One demonstration, step by step; `undo` takes everything away."""

    def __init__(self, console: Console, datapath: str, seconds: float, undo: ExitStack) -> None:
        self._out = console
        self._datapath = datapath
        self._seconds = seconds
        self._undo = undo
        self._dir = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="vswitch-demo-")))
        self._hosts: list[Host] = []
        self._switch: subprocess.Popen[bytes] | None = None
        self._phases: list[tuple[str, Lookups]] = []
        self._before = Lookups()
        self._box = box.SIMPLE if console.is_terminal else None

    # The steps.

    def hosts(self) -> None:
        """Make the hosts, each with a veth pair to the switch."""
        mine = os.readlink("/proc/self/ns/net")
        for n in range(1, N_HOSTS + 1):
            holder = subprocess.Popen([*_DIES_WITH_PARENT, "unshare", "-n", "sleep", "infinity"])
            self._undo.callback(_end, holder)
            host = Host(f"h{n}", f"10.0.0.{n}", f"port{n}", holder.pid)
            if not _wait_for(lambda pid=holder.pid: _other_netns(pid, mine), 5):  # type: ignore[misc]
                raise CliError(f"host {host.name} got no network namespace")
            self._quiet_ipv6(host)
            _run(
                "ip", "link", "add", host.port, "type", "veth", "peer", "name", "eth0", "netns", str(host.pid)
            )
            _run("ip", "link", "set", host.port, "up")
            for command in ("link set lo up", "link set eth0 up", f"addr add {host.address}/24 dev eth0"):
                _run(*host.command("ip", *command.split()))
            self._hosts.append(host)

    def _quiet_ipv6(self, host: Host) -> None:
        """Keep neighbour discovery out of the counts, where /proc/sys can be written."""
        setting = "for c in all default; do echo 1 >/proc/sys/net/ipv6/conf/$c/disable_ipv6; done"
        subprocess.run(host.command("sh", "-c", setting), capture_output=True, check=False)

    def start_switch(self) -> None:
        """Bring up switch and database with the hosts' ports in a bridge, and wait until all is done."""
        log = self._dir / "log"
        args = ["up", "--foreground", "--bridge", "br0", "--datapath", self._datapath]
        for host in self._hosts:
            args += ["--port", host.port]
        for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"):
            os.environ[name] = str(self._dir)
        with log.open("wb") as out:
            self._switch = subprocess.Popen([*_DIES_WITH_PARENT, *_SELF, *args], stderr=out)
        self._undo.callback(_end, self._switch)
        switch = self._switch
        _wait_for(lambda: "vswitch is up" in log.read_text(errors="replace") or switch.poll() is not None, 30)
        lines = log.read_text(errors="replace").strip().splitlines()
        if switch.poll() is not None or not lines or "vswitch is up" not in lines[-1]:
            raise CliError(f"the switch did not start: {lines[-1] if lines else 'it said nothing'}")
        self._before = self._lookups()

    def pings(self) -> None:
        """Ping from every host to every other."""
        table = self._table("round trips: the first, then the best of the rest")
        for column in ("from \\ to", *(h.name for h in self._hosts)):
            table.add_column(column, justify="left" if column[0] == "f" else "right")
        for source in self._hosts:
            trips = ["-" if target is source else self._ping(source, target) for target in self._hosts]
            table.add_row(f"{source.name} {source.address}", *trips)
        self._out.print(table)
        self._phase("pings between all")

    def _ping(self, source: Host, target: Host) -> str:
        args = source.command("ping", "-n", "-c", str(PINGS), "-i", "0.2", "-W", "2", target.address)
        ran = subprocess.run(args, capture_output=True, text=True, check=False)
        times = parse_ping(ran.stdout)
        if len(times) < PINGS:
            said = (ran.stderr or ran.stdout).strip().splitlines()
            why = said[-1] if said else "ping said nothing"
            raise CliError(f"{source.name} got {len(times)} of {PINGS} replies from {target.name}: {why}")
        return f"{times[0]:.2f} ms, {min(times[1:]):.2f} ms"

    def transfer(self) -> None:
        """One TCP connection from the first host to the second, for a few seconds."""
        source, target = self._hosts[0], self._hosts[1]
        module = (sys.executable, "-m", "vswitch.cli.transfer")
        receiver = subprocess.Popen(
            [*_DIES_WITH_PARENT, *target.command(*module, "receive", str(PORT))],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._undo.callback(_end, receiver)
        assert receiver.stdout is not None
        if receiver.stdout.readline() != "ready\n":
            raise CliError(f"{target.name} can't listen for TCP")
        _run(*source.command(*module, "send", target.address, str(PORT), str(self._seconds)))
        n_bytes, took = receiver.communicate(timeout=30)[0].split()
        rate = int(n_bytes) * 8 / float(took) / 1e9
        self._out.print(
            f"TCP {source.name} -> {target.name}: {int(n_bytes) / 1e6:,.0f} MB in {float(took):.1f} s,"
            f" [bold]{rate:.2f} Gbit/s[/bold], offloads left on\n"
        )
        self._phase("TCP transfer")

    def flows(self) -> None:
        """The flows that the datapath has now."""
        lines = [line for line in self._ask("dpctl/dump-flows", "--names").splitlines() if "actions:" in line]
        self._out.print(f"[bold]flows that the datapath got[/bold] ({len(lines)})")
        lines.sort(key=lambda line: -int(m.group(1)) if (m := re.search(r"packets:(\d+)", line)) else 0)
        for line in lines[:SHOWN_FLOWS]:
            self._out.print("  " + line, markup=False, soft_wrap=True)
        if len(lines) > SHOWN_FLOWS:
            self._out.print(f"  ... and {len(lines) - SHOWN_FLOWS} more")
        self._out.print()

    def handled(self) -> None:
        """Where the packets of each phase were handled."""
        table = self._table("where each packet was handled")
        table.add_column("")
        for column in ("packets", "missed (went up to the switch)", "cached (the datapath alone)", "lost"):
            table.add_column(column, justify="right")
        for name, n in self._phases:
            total = n.hit + n.missed
            share = f" {100 * n.hit / total:6.2f} %" if total else ""
            table.add_row(name, f"{total:,}", f"{n.missed:,}", f"{n.hit:,}{share}", f"{n.lost:,}")
        self._out.print(table)

    def stop_switch(self) -> None:
        """End the switch with SIGTERM and look for what it left."""
        switch = self._switch
        assert switch is not None
        switch.send_signal(signal.SIGTERM)
        try:
            code = switch.wait(20)
        except subprocess.TimeoutExpired:
            raise CliError("the switch didn't end within 20 s of SIGTERM") from None
        ours = {host.port for host in self._hosts} | {"lo"}
        devices = re.findall(r"^\d+: ([^:@]+)", _run("ip", "-o", "link"), re.MULTILINE)
        left = [d for d in devices if d not in ours and not d.startswith(_OTHER_DEVICES)]
        sockets = [p.name for p in self._dir.iterdir() if p.is_socket()]
        if code or left or sockets:
            raise CliError(f"the switch ended with code {code} and left {left or sockets or 'nothing'}")
        for host in self._hosts:
            _run("ip", "link", "del", host.port)

    # What they share.

    def _table(self, title: str) -> Table:
        return Table(title=title, title_justify="left", title_style="bold", box=self._box, pad_edge=False)

    def _ask(self, command: str, *args: str) -> str:
        """The answer to a runtime command, as ovs-appctl gets it."""
        try:
            return ask(control_socket(SWITCH), command, *args)
        except (OSError, CommandError, TargetError) as e:
            raise CliError(f"the switch does not answer {command}: {e}") from e

    def _lookups(self) -> Lookups:
        return parse_lookups(self._ask("dpctl/show"))

    def _phase(self, name: str) -> None:
        now = self._lookups()
        self._phases.append((name, now.since(self._before)))
        self._before = now


_OTHER_DEVICES: Final = ("tunl", "gre", "erspan", "sit", "ip6", "ip_", "teql", "bond", "dummy", "ifb")
"""Devices that some kernels put into every new network namespace."""


def _other_netns(pid: int, mine: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/ns/net") != mine
    except OSError:
        return False


def demo(datapath: str, seconds: float) -> None:
    """Show a switch at work, inside a network namespace that is ours alone."""
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, emoji=False, width=160)
    started = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    dp_type, why = choose(datapath)
    console.print(f"[bold]{version_text()}[/bold]")
    kind = "the kernel's datapath (system)" if dp_type == "system" else "the userspace datapath (netdev)"
    whose = "as root" if _real_root() else "in a user namespace"
    console.print(f"{N_HOSTS} hosts on one switch, {kind}, {whose}: {why}\n")
    with ExitStack() as undo:
        steps = Demo(console, dp_type, seconds, undo)
        for step in (
            steps.hosts,
            steps.start_switch,
            steps.pings,
            steps.transfer,
            steps.flows,
            steps.handled,
            steps.stop_switch,
        ):
            with console.status(f"{(step.__doc__ or '').strip().rstrip('.')} ..."):
                step()
    console.print(
        "[green]the switch ended on SIGTERM; devices, flows, datapath and namespaces are gone[/green]"
        f" ({time.monotonic() - started:.1f} s in all)"
    )


def _real_root() -> bool:
    """Whether this is root outside any user namespace of its own making."""
    try:
        return Path("/proc/self/uid_map").read_text().split() == ["0", "0", "4294967295"]
    except OSError:
        return os.geteuid() == 0
