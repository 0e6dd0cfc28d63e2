"""Two switches with a database each: the real ovs-vswitchd and ours, given the same commands.

Each side has a real ovsdb-server in a directory of its own. `contents` is what a database holds, in a
form in which two of them can be compared: rows by name instead of UUID, without what must differ.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.oracle.real import SCHEMA, UnixctlClient
from tests.own_tools import run_both, run_mixed

DIFFER = {
    "Open_vSwitch": {
        "db_version", "ovs_version", "system_type", "system_version", "iface_types", "statistics", "cur_cfg",
        "next_cfg", "datapath_types",
    },
    "Interface": {"mac_in_use"},
}  # fmt: skip
"""Columns that say who runs, not what is configured; addresses follow from UUIDs."""


def accepts(path: Path) -> bool:
    """Whether somebody serves the Unix socket `path`."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


class Side:
    """A database server and a switch that follows it. `directory` is its run directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = dict(
            os.environ, OVS_RUNDIR=str(directory), OVS_DBDIR=str(directory), OVS_LOGDIR=str(directory),
            OVS_SYSCONFDIR=str(directory), PATH=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
            PYTHONPATH=os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)]),
        )  # fmt: skip
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.control = "vswitchd.ctl"
        """The socket for the switch's runtime commands."""
        self.namespace = ""
        """The network namespace that the switch runs in."""
        self.own_clock = False
        """Whether a test may stop the switch's clock, which nothing starts again."""

    own_tools = False
    """Whether it is our switch, which is not told what to do by the real tools."""

    # Processes.

    def start(self) -> None:
        """Make the database, serve it, start the switch."""
        self.run("ovsdb-tool", "create", str(self.directory / "conf.db"), SCHEMA)
        self.start_server()
        self.run("ovs-vsctl", "--no-wait", "init")
        self.start_switch()

    def start_server(self) -> None:
        """Serve the database."""
        remote = self.directory / "db.sock"
        self.spawn("ovsdb-server", "ovsdb-server", f"--remote=punix:{remote}",
                   f"--unixctl={self.directory}/db.ctl", str(self.directory / "conf.db"))  # fmt: skip
        self.wait(lambda: accepts(remote), "the database's socket")

    def start_switch(self) -> None:
        """Start the switch and wait until it answers."""
        raise NotImplementedError

    def spawn(self, name: str, *args: str) -> None:
        """Start a process, its output in NAME.out."""
        if self.namespace and name == "ovs-vswitchd":
            args = ("ip", "netns", "exec", self.namespace, *args)
        path = shutil.which(args[0], path=self.environment["PATH"])
        assert path is not None, f"no {args[0]}"
        with (self.directory / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [path, *args[1:]], env=self.environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                cwd=self.directory,
            )  # fmt: skip

    def end(self, name: str, kill: bool = False) -> None:
        """End a process."""
        process = self.processes.pop(name)
        if kill:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """End everything, the switch first."""
        for name in reversed(list(self.processes)):
            self.end(name)

    def log(self, name: str) -> str:
        """What a process has said."""
        return (self.directory / f"{name}.out").read_text(errors="replace")

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 15.0) -> Any:
        """Poll until `condition` is true; its value."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > end:
                logs = "".join(p.read_text(errors="replace")[-3000:] for p in self.directory.glob("*.out"))
                raise AssertionError(f"{what}: not within {seconds} s\n{logs}")
            time.sleep(0.02)
        return value

    # Commands.

    def try_run(self, *args: str) -> tuple[int, str, str]:
        """Run a tool: (exit status, output, errors)."""
        ran = (run_both if self.own_tools else run_mixed)(args, self.environment)
        return ran.returncode, ran.stdout, ran.stderr

    def run(self, *args: str) -> str:
        """Run a tool that must succeed; its output."""
        code, out, err = self.try_run(*args)
        assert code == 0, f"{' '.join(args)}: {err}"
        return out

    def vsctl(self, command: str) -> str:
        """ovs-vsctl, which waits for the switch; what it says goes to one text."""
        code, out, err = self.try_run("ovs-vsctl", "-t", "15", *command.split())
        said = [line for line in err.splitlines() if "default log directory" not in line]
        return "\n".join([out, *said, f"exit {code}" if code else ""]).strip()

    def get(self, table: str, row: str, column: str) -> str:
        """A column's value."""
        return self.run("ovs-vsctl", "--no-wait", "get", table, row, column).strip()

    def appctl(self, command: str, *args: str) -> str:
        """A runtime command of the switch."""
        assert self.own_clock or command not in ("time/stop", "time/warp"), "mark the test stopped_clock"
        client = UnixctlClient(str(self.directory / self.control))
        try:
            return client.call(command, *args)
        finally:
            client.close()

    def contents(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Table -> name of a row -> column -> value."""
        server = f"unix:{self.directory}/db.sock"
        dumped = self.run("ovsdb-client", "-f", "json", "dump", server, "Open_vSwitch")
        tables: dict[str, list[dict[str, Any]]] = {}
        names: dict[str, str] = {}
        for line in dumped.splitlines():
            if line.startswith("{"):
                dump = json.loads(line)
                table = dump["caption"].removesuffix(" table")
                rows = [dict(zip(dump["headings"], row, strict=True)) for row in dump["data"]]
                tables[table] = rows
                for n, row in enumerate(rows):
                    labels = [row[c] for c in ("name", "target") if isinstance(row.get(c), str)]
                    names[row["_uuid"][1]] = f"{table} {labels[0] if labels else n}"
        return {
            table: {
                names[row["_uuid"][1]]: {
                    column: _plain(value, names)
                    for column, value in row.items()
                    if column not in ("_uuid", "_version", *DIFFER.get(table, ()))
                }
                for row in rows
            }
            for table, rows in tables.items()
            if rows
        }


def _plain(value: Any, names: dict[str, str]) -> Any:
    """A value of RFC 7047's notation as Python's."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "uuid":
        return names.get(value[1], "a row that is gone")
    if isinstance(value, list) and len(value) == 2 and value[0] == "set":
        return sorted((_plain(v, names) for v in value[1]), key=str)
    if isinstance(value, list) and len(value) == 2 and value[0] == "map":
        return {str(_plain(k, names)): _plain(v, names) for k, v in value[1]}
    return value


class Real(Side):
    """The real ovs-vswitchd."""

    options = ("--enable-dummy=override", "--disable-system")

    def start_switch(self) -> None:
        control = self.directory / self.control
        self.spawn("ovs-vswitchd", "ovs-vswitchd", *self.options, f"--unixctl={control}",
                   f"unix:{self.directory}/db.sock")  # fmt: skip
        self.wait(lambda: accepts(control), "ovs-vswitchd")


class Ours(Side):
    """Our bridges, in a process."""

    options: tuple[str, ...] = ("--dummy=override",)
    own_tools = True

    def start_switch(self) -> None:
        control = self.directory / self.control
        self.spawn("ovs-vswitchd", sys.executable, "-m", "tests.bridge.ours", str(self.directory),
                   f"--unixctl={control}", *self.options)  # fmt: skip
        self.wait(lambda: accepts(control), "our switch")
