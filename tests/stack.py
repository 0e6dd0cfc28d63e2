"""The real database server, our daemon (or the real one) and hosts, in network namespaces.

The daemons live in one namespace, so that devices, addresses and listening ports are its own; hosts have one
each, with a cable to the first. `close` takes all of it away.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.own_tools import TOOLS, run_both

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
OURS = (sys.executable, "-c", "from vswitch.cli.entry import vswitchd; vswitchd()")
REAL = ("ovs-vswitchd",)


def until(what: str, check: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until `check()` is true; AssertionError names `what` if it doesn't come true in time."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)


class Stack:
    """The daemons in a namespace of their own. `directory` gets their sockets, database and logs."""

    def __init__(
        self, directory: Path, vswitchd: Sequence[str] = OURS, options: Sequence[str] = ()
    ) -> None:
        self.directory = directory
        self.name = f"st{os.getpid()}x{id(self) & 0xFFFF:x}"
        self.hosts: list[str] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        root = Path(__file__).parents[1]
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        self.environment = dict(os.environ, PATH=path)
        for variable in ("RUNDIR", "DBDIR", "LOGDIR", "SYSCONFDIR"):
            self.environment[f"OVS_{variable}"] = str(directory)
        python_path = os.environ.get("PYTHONPATH", "")
        self.environment["PYTHONPATH"] = f"{python_path}:{root}" if python_path else str(root)
        self.vswitchd = (*vswitchd, *options)

    def start(self) -> None:
        """Namespace and daemons."""
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run("ip", "link", "set", "lo", "up")
        database = self.directory / "conf.db"
        self.run("ovsdb-tool", "create", str(database), SCHEMA)
        self.start_database()
        self.run("ovs-vsctl", "--no-wait", "init")
        self.start_switch()

    def start_database(self) -> subprocess.Popen[bytes]:
        """Its server alone, on what is stored; the process."""
        remote = self.directory / "db.sock"
        remote.unlink(missing_ok=True)
        server = self.spawn(
            "ovsdb-server", f"--remote=punix:{remote}",
            f"--unixctl={self.directory}/db.ctl", str(self.directory / "conf.db"),
        )  # fmt: skip
        until("the database's socket", remote.exists)
        return server

    def start_switch(self) -> subprocess.Popen[bytes]:
        """The switch alone; the process."""
        pidfile = self.directory / "ovs-vswitchd.pid"
        arguments = (*self.vswitchd[1:], f"--pidfile={pidfile}", f"unix:{self.directory}/db.sock")
        switch = self.spawn(self.vswitchd[0], *arguments, name="vswitchd")
        until("the switch's pidfile", lambda: pidfile.exists() or switch.poll() is not None)
        assert switch.poll() is None, self.log("vswitchd")
        return switch

    def command(self, *args: str) -> list[str]:
        """The command line that runs `args` in the namespace."""
        return ["ip", "netns", "exec", self.name, *args]

    def spawn(self, program: str, *args: str, name: str = "") -> subprocess.Popen[bytes]:
        """Start a process in the namespace, its output in a file that `log(name)` finds."""
        out = (self.directory / f"{name or Path(program).name}.{len(self.processes)}.out").open("wb")
        process = subprocess.Popen(
            self.command(shutil.which(program, path=self.environment["PATH"]) or program, *args),
            env=self.environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def log(self, name: str) -> str:
        """What processes of that name printed."""
        return "".join(
            p.read_text(errors="replace") for p in sorted(self.directory.glob(f"{name}.*.out"))
        )

    def ask(self, *args: str, stdin: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `args` in the namespace to their end: for our switch our own tool for what it stands for."""
        if args[0] in TOOLS and self.vswitchd[: len(OURS)] == OURS:
            return run_both(args, self.environment, stdin)
        return subprocess.run(
            self.command(*args), env=self.environment, input=stdin, capture_output=True, text=True,
            check=False, timeout=timeout,
        )  # fmt: skip

    def run(self, *args: str, stdin: str = "", timeout: float = 60) -> str:
        """What `args` print; AssertionError with all that is known if they fail."""
        ran = self.ask(*args, stdin=stdin, timeout=timeout)
        assert ran.returncode == 0, (
            f"{' '.join(args)}: {ran.stderr}{ran.stdout}\n{self.log('vswitchd')[-3000:]}"
        )
        return ran.stdout

    def host(self, number: int, address: str = "") -> str:
        """A namespace with eth0 (02:00:00:00:00:0`number`, 10.0.0.`number`/24 unless told) and a cable to
        device h`number` in ours; its name."""
        name, device = f"{self.name}h{number}", f"h{number}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.hosts.append(name)
        self.run("ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name)
        self.run("ip", "link", "set", device, "up")
        for words in (
            ["link", "set", "eth0", "address", f"02:00:00:00:00:{number:02}"],
            ["addr", "add", address or f"10.0.0.{number}/24", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
        ):
            subprocess.run(["ip", "-n", name, *words], check=True)
        return name

    def inside(self, host: str, *args: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """Run `args` on a host."""
        return subprocess.run(
            ["ip", "netns", "exec", host, *args],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def pings(self, host: str, address: str, count: int = 3) -> int:
        """How many of `count` pings from `host` were answered."""
        said = self.inside(host, "ping", "-n", "-i", "0.2", "-c", str(count), "-W", "2", address).stdout
        return said.count("bytes from")

    def close(self) -> None:
        """End every process and take the namespaces away."""
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()
        for name in (*self.hosts, self.name):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)
