"""Our `vswitchd` beside the real ovsdb-server, in a directory of its own; the real tools talk to both."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.oracle.real import SCHEMA, UnixctlClient
from tests.own_tools import TOOLS, run_both

PROGRAM = [sys.executable, "-c", "from vswitch.cli.vswitchd import main; main()"]
WAIT_S = 20.0


def eventually(what: str, condition: Callable[[], bool]) -> None:
    """Poll until `condition` holds; an AssertionError that names `what` if it never does."""
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Stack:
    """A database server, and what a test starts beside it, until `close`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = dict(
            os.environ,
            OVS_RUNDIR=str(directory),
            OVS_DBDIR=str(directory),
            OVS_LOGDIR=str(directory),
            OVS_SYSCONFDIR=str(directory),
            OVS_SYSLOG_METHOD="null",
            PATH=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
        )
        self.pids: set[int] = set()
        self.database: subprocess.Popen[bytes] | None = None

    def start_database(self, *options: str) -> None:
        """Start ovsdb-server on a database of its own, which goes on after a restart."""
        file = self.directory / "conf.db"
        if not file.exists():
            self.run("ovsdb-tool", "create", str(file), SCHEMA)
        remote = self.directory / "db.sock"
        self.database = subprocess.Popen(
            ["ovsdb-server", f"--remote=punix:{remote}", f"--unixctl={self.directory}/db.ctl", str(file),
             *options],
            env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        eventually("the database serves", lambda: self.ok("ovs-vsctl", "--no-wait", "-t", "1", "init"))

    def ok(self, *args: str) -> bool:
        """Whether a command succeeds."""
        return self.attempt(*args).returncode == 0

    def attempt(self, *args: str, timeout: float = WAIT_S) -> subprocess.CompletedProcess[str]:
        """Run a command whatever comes of it: our own tool for what it stands for."""
        if args[0] in TOOLS:
            return run_both(args, self.environment)
        return subprocess.run(
            args, env=self.environment, capture_output=True, text=True, check=False, timeout=timeout
        )

    def run(self, *args: str) -> str:
        """Run a command, which must succeed; what it prints."""
        ran = self.attempt(*args)
        assert ran.returncode == 0, f"{' '.join(args)}: {ran.stderr}{ran.stdout}"
        return ran.stdout

    def vswitchd(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run our `vswitchd` until it ends or has detached."""
        ran = self.attempt(*PROGRAM, *options)
        self.note_pid()
        return ran

    def detach(self, *options: str) -> int:
        """Start our `vswitchd` in the background, with dummies; its pid."""
        ran = self.vswitchd(
            "--detach", "--no-chdir", "--pidfile", "--log-file", "--enable-dummy=override",
            "--disable-system", "-vconsole:off", *options,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr + self.log()
        return self.pid()

    def foreground(self, *options: str) -> subprocess.Popen[str]:
        """Start our `vswitchd` as a child of the test."""
        child = subprocess.Popen(
            [*PROGRAM, *options], env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.pids.add(child.pid)
        return child

    def pid(self) -> int:
        """What the pidfile says."""
        return int((self.directory / "ovs-vswitchd.pid").read_text() or "0")

    def note_pid(self) -> None:
        """Remember who is to be ended."""
        file = self.directory / "ovs-vswitchd.pid"
        if file.exists():
            pid = int(file.read_text() or "0")
            self.pids.add(pid)
            parent = Path(f"/proc/{pid}/stat")
            if parent.exists():
                self.pids.add(int(parent.read_text().rpartition(")")[2].split()[1]))

    def log(self) -> str:
        """The log file."""
        file = self.directory / "ovs-vswitchd.log"
        return file.read_text() if file.exists() else ""

    def logged(self) -> list[str]:
        """The log's messages: "MODULE|LEVEL|TEXT"."""
        return [line.split("|", 2)[2] for line in self.log().splitlines() if line.count("|") > 2]

    def client(self) -> UnixctlClient:
        """A connection to the daemon's control socket."""
        return UnixctlClient(str(self.directory / f"ovs-vswitchd.{self.pid()}.ctl"))

    def kill_database(self) -> None:
        """The database dies."""
        assert self.database is not None
        self.database.kill()
        self.database.wait()

    def close(self) -> None:
        """End everything."""
        self.note_pid()
        for pid in self.pids - {0, 1, os.getpid()}:
            if _is_ours(pid):
                os.kill(pid, 9)
        if self.database is not None and self.database.poll() is None:
            self.kill_database()


def _is_ours(pid: int) -> bool:
    """Whether `pid` is a process that a test here started: pids are used again."""
    try:
        return b"vswitch.cli.vswitchd" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def words(line: str) -> Sequence[str]:
    """A command line of a test, quoted as a shell wants it."""
    import shlex

    return shlex.split(line)
