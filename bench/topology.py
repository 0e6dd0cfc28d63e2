"""Two hosts in network namespaces, joined by the switch under test.

`hosts()` makes the namespaces and veth pairs; `our_switch` and `peer_switch` are context
managers that forward between the two outer ends until they are left.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


def run(*args: str, check: bool = True, env: dict[str, str] | None = None, timeout: float = 60) -> str:
    """Run a command; its standard output. CalledProcessError carries what it said."""
    return subprocess.run(args, check=check, text=True, env=env, timeout=timeout, capture_output=True).stdout


@dataclass(frozen=True)
class Host:
    """A namespace with an inner interface `eth0`; `port` is the end that the switch gets."""

    namespace: str
    port: str
    address: str
    mac: str

    def command(self, *args: str) -> list[str]:
        """`args` as a command that runs inside this host."""
        return ["ip", "netns", "exec", self.namespace, *args]

    def received_packets(self) -> int:
        """Packets that arrived at the inner interface so far."""
        return int(run(*self.command("cat", "/sys/class/net/eth0/statistics/rx_packets")))

    def sent_packets(self) -> int:
        """Packets that left the inner interface so far."""
        return int(run(*self.command("cat", "/sys/class/net/eth0/statistics/tx_packets")))


@contextmanager
def hosts(count: int = 2, prefix: str = "vsb") -> Iterator[list[Host]]:
    """`count` hosts 10.77.0.1 and up; everything is removed at the end."""
    made = [Host(f"{prefix}{n}", f"{prefix}p{n}", f"10.77.0.{n}", f"02:00:00:00:77:{n:02x}")
            for n in range(1, count + 1)]
    try:
        for host in made:
            run("ip", "netns", "add", host.namespace)
            run("ip", "link", "add", host.port, "type", "veth", "peer", "name", "eth0",
                "address", host.mac, "netns", host.namespace)
            run(*host.command("ip", "addr", "add", f"{host.address}/24", "dev", "eth0"))
            run(*host.command("ip", "link", "set", "eth0", "up"))
            run(*host.command("ip", "link", "set", "lo", "up"))
            run("ip", "link", "set", host.port, "up")
        yield made
    finally:
        for host in made:
            run("ip", "netns", "del", host.namespace, check=False)
            run("ip", "link", "del", host.port, check=False)


def wait_for(what: str, ready: object, timeout: float = 20) -> None:
    """Poll the callable `ready` until it is true; TimeoutError names `what`."""
    assert callable(ready)
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not after {timeout:.0f} s")
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL if it does not end."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End a process started with `start_new_session` and its children: trafgen's workers, which send
    the packets, outlive it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    process.wait(10)


def cpu_seconds(pid: int) -> float:
    """User and system CPU time of `pid` so far, all threads (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Running:
    """A switch that forwards: its process id and what to call it."""

    name: str
    pid: int
    control: str


@contextmanager
def our_switch(
    ports: Sequence[str], datapath: str = "netdev", flows: Sequence[str] = ()
) -> Iterator[Running]:
    """`vswitch run` over `ports`: NORMAL for everything, and `flows` above it."""
    with tempfile.TemporaryDirectory(prefix="vswitch-bench-") as rundir:
        control = f"{rundir}/vswitch.ctl"
        arguments = [sys.executable, "-m", "vswitch", "run", "--datapath", datapath, "--bridge", "vsbr0",
                     f"--unixctl={control}"]
        for port in ports:
            arguments += ["--port", port]
        for flow in flows:
            arguments += ["--flow", flow]
        if flows:
            arguments += ["--flow", "priority=0,actions=NORMAL"]
        with open(f"{rundir}/log", "wb") as log:
            env = dict(os.environ, OVS_RUNDIR=rundir)
            process = subprocess.Popen(arguments, stdout=log, stderr=log, env=env)
        try:
            wait_for("our switch", lambda: process.poll() is not None or os.path.exists(control))
            if process.poll() is not None:
                raise RuntimeError(f"our switch ended at once:\n{Path(f'{rundir}/log').read_text()}")
            time.sleep(0.5)
            yield Running("vswitch", process.pid, control)
        finally:
            stop(process)


@contextmanager
def peer_switch(
    ports: Sequence[str], datapath: str = "netdev", flows: Sequence[str] = ()
) -> Iterator[Running]:
    """The real ovs-vswitchd with its own database over `ports`, with `flows` above NORMAL."""
    # ovs-vswitchd 3.1 counts CPUs anew only 10 s after it last did, on a clock that starts at
    # boot: in the first 10 s of a kernel it finds none, and starts no handler threads.
    uptime = time.clock_gettime(time.CLOCK_MONOTONIC)
    if datapath == "system" and uptime < 11:
        time.sleep(11 - uptime)
    with ExitStack() as stack:
        rundir = stack.enter_context(tempfile.TemporaryDirectory(prefix="vswitch-peer-"))
        env = dict(os.environ, OVS_RUNDIR=rundir, OVS_LOGDIR=rundir, OVS_DBDIR=rundir)
        sock = f"unix:{rundir}/db.sock"
        run("ovsdb-tool", "create", f"{rundir}/conf.db", SCHEMA, env=env)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        database = subprocess.Popen(
            ["ovsdb-server", f"{rundir}/conf.db", f"--remote=p{sock}", f"--unixctl={rundir}/db.ctl"],
            env=env, **quiet)
        stack.callback(stop, database)
        wait_for("ovsdb-server", lambda: os.path.exists(f"{rundir}/db.sock"))
        run("ovs-vsctl", f"--db={sock}", "--no-wait", "init", env=env)
        control = f"{rundir}/vswitchd.ctl"
        command = ["ovs-vswitchd", sock, f"--unixctl={control}", "--pidfile"]
        daemon = subprocess.Popen(command, env=env, **quiet)
        stack.callback(stop, daemon)
        wait_for("ovs-vswitchd", lambda: os.path.exists(control))
        bridge = ["add-br", "pebr0", "--", "set", "bridge", "pebr0", f"datapath_type={datapath}",
                  "--", "set-fail-mode", "pebr0", "standalone"]
        for port in ports:
            bridge += ["--", "add-port", "pebr0", port]
        run("ovs-vsctl", f"--db={sock}", "--timeout=20", *bridge, env=env)
        for flow in flows:
            run("ovs-ofctl", "add-flow", f"unix:{rundir}/pebr0.mgmt", flow, env=env)
        try:
            yield Running("ovs-vswitchd", daemon.pid, control)
        finally:
            run("ovs-vsctl", f"--db={sock}", "--timeout=20", "del-br", "pebr0", check=False, env=env)


def missing(*commands: str) -> list[str]:
    """Which of `commands` this machine lacks."""
    return [command for command in commands if shutil.which(command) is None]
