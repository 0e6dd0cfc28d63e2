"""A switch with its database, in a directory of its own: ours or the real one, mostly on dummy devices.

Everything is asked and told with the real tools, `ovs-vsctl`, `ovs-ofctl` and `ovs-appctl`, so that the
tools' own time is the same on both sides.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.topology import SCHEMA, stop

PEER = "peer"
"""The real ovs-vswitchd on the real ovsdb-server."""
OURS = "ours"
"""Ours on the real ovsdb-server."""
EMBEDDED = "embedded"
"""`vswitch up`: ours on our own database server."""
KINDS = (PEER, OURS, EMBEDDED)

DUMMY = ("--enable-dummy=override", "--disable-system")
QUIET = ("-vconsole:off", "-vsyslog:off")
VSWITCHD = (sys.executable, "-c", "from vswitch.cli.entry import vswitchd; vswitchd()")
POLL_S = 0.002


def until(what: str, ready: Callable[[], object], seconds: float = 60) -> None:
    """Wait until `ready()` is true, which is looked at every few ms; TimeoutError names `what`."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(POLL_S)


def memory_of(pid: int) -> int:
    """Bytes that process `pid` has in RAM (proc(5), VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} tells no VmRSS")


class Stack:
    """One such switch. `start` brings it up, `close` ends it, whatever happened."""

    def __init__(self, kind: str, directory: Path, dummy: bool = True) -> None:
        self.kind = kind
        self.directory = directory
        self.options: tuple[str, ...] = DUMMY if dummy else ("--disable-system",)
        self.datapath = "dummy" if dummy else "netdev"
        self.environment = dict(os.environ, PATH=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        for variable in ("RUNDIR", "DBDIR", "LOGDIR", "SYSCONFDIR"):
            self.environment[f"OVS_{variable}"] = str(directory)
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self, *command: str, stdin: str | None = None, timeout: float = 300) -> str:
        """What `command` prints. CalledProcessError; its text has what the command said."""
        ran = subprocess.run(command, env=self.environment, input=stdin, text=True, capture_output=True,
                             timeout=timeout, check=False)
        if ran.returncode:
            said = (ran.stderr or ran.stdout).strip()[-500:]
            raise RuntimeError(f"{self.kind}: {' '.join(command[:4])}: {said}")
        return ran.stdout

    def vsctl(self, *words: str) -> str:
        """Run ovs-vsctl."""
        return self.run("ovs-vsctl", "--timeout=120", *words)

    def ofctl(self, *words: str, stdin: str | None = None) -> str:
        """Run ovs-ofctl."""
        return self.run("ovs-ofctl", *words, stdin=stdin)

    def appctl(self, *words: str) -> str:
        """Run ovs-appctl."""
        return self.run("ovs-appctl", *words)

    def start_database(self) -> None:
        """A new database, with the server of this kind; returns when it listens."""
        remote = self.directory / "db.sock"
        self.run("ovsdb-tool", "create", str(self.directory / "conf.db"), SCHEMA)
        self._spawn("ovsdb-server", *QUIET, f"--remote=punix:{remote}", "--pidfile",
                    f"--unixctl={self.directory}/db.ctl", str(self.directory / "conf.db"))
        until("the database's socket", remote.exists)
        self.run("ovs-vsctl", "--no-wait", "init")

    def switch_command(self) -> Sequence[str]:
        """What starts the switch, without options."""
        return ("ovs-vswitchd",) if self.kind == PEER else VSWITCHD

    def start_switch(self) -> None:
        """The switch on a running database; returns when it has its pidfile."""
        process = self._spawn(*self.switch_command(), *QUIET, *self.options, "--pidfile",
                              f"unix:{self.directory}/db.sock")
        pidfile = self.directory / "ovs-vswitchd.pid"
        until("the switch's pidfile", lambda: pidfile.exists() or process.poll() is not None)
        if process.poll() is not None:
            raise RuntimeError(f"{self.kind}: the switch ended at once: {self.log()}")

    def start(self) -> None:
        """Database and switch; returns when both have said that they are there."""
        if self.kind == EMBEDDED:
            options = [f"--switch-option={option}" for option in self.options]
            self.run(sys.executable, "-m", "vswitch", "up", *options)
        else:
            self.start_database()
            self.start_switch()

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        with open(self.directory / "out", "ab") as out:
            process = subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=out)
        self.processes.append(process)
        return process

    def log(self) -> str:
        """The last of what the processes printed."""
        out = self.directory / "out"
        return out.read_text(errors="replace")[-2000:] if out.exists() else ""

    def pid(self, program: str = "ovs-vswitchd") -> int:
        """The process id of "ovs-vswitchd" or "ovsdb-server"."""
        return int((self.directory / f"{program}.pid").read_text())

    def memory(self, program: str = "ovs-vswitchd") -> int:
        """Bytes that the program has in RAM."""
        return memory_of(self.pid(program))

    def add_bridge(self, name: str = "br0", ports: Sequence[str] = (), *more: str) -> None:
        """A bridge, without flows, and ports on it numbered from 1."""
        words = ["add-br", name, "--", "set", "bridge", name, f"datapath_type={self.datapath}",
                 "fail-mode=secure", *more]
        for n, port in enumerate(ports, 1):
            words += ["--", "add-port", name, port, "--", "set", "interface", port, f"ofport_request={n}"]
        self.vsctl(*words)

    def mgmt(self, bridge: str = "br0") -> str:
        """The path of a bridge's OpenFlow socket."""
        return str(self.directory / f"{bridge}.mgmt")

    def close(self) -> None:
        """End it all."""
        if self.kind == EMBEDDED:
            self.run(sys.executable, "-m", "vswitch", "down")
        for process in reversed(self.processes):
            stop(process)
        self.processes.clear()


@contextmanager
def stack(kind: str, started: bool = True, dummy: bool = True) -> Iterator[Stack]:
    """A switch of `kind`, running if `started`, on dummies or the userspace datapath; gone at the end."""
    with tempfile.TemporaryDirectory(prefix=f"vswitch-bench-{kind}-") as directory:
        made = Stack(kind, Path(directory), dummy)
        try:
            if started:
                made.start()
            yield made
        finally:
            made.close()
