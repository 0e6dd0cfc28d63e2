"""Hosts in namespaces, and our daemon between them, inside user-mode Linux."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.cli.sandbox import answers
from tests.uml.inside.lab import ip


def wait_until(what: str, condition: Callable[[], bool], timeout: float = 30.0) -> None:
    """Wait until `condition()`; AssertionError naming `what` after `timeout` s."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout} s"
        time.sleep(0.05)


def output_of(command: str, check: bool = True, timeout: float = 60.0) -> str:
    """What `command` prints; AssertionError with all of it if it fails and `check`."""
    done = subprocess.run(command.split(), capture_output=True, text=True, timeout=timeout, check=False)
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


class Hosts:
    """Namespaces h1..hN, each with eth0 (10.0.0.N, 02:00:00:00:00:0N) to our pN."""

    def __init__(self, n: int) -> None:
        self.n = n
        if not os.path.isdir("/proc/sys/net/ipv6"):
            output_of("modprobe ipv6 disable_ipv6=1")
        for i in range(1, n + 1):
            ip(f"netns add h{i}")
            self.plug(i)

    def plug(self, i: int) -> None:
        """Make host i's cable, with every other host known."""
        ip(f"link add p{i} type veth peer name eth0 netns h{i}")
        ip(f"link set p{i} up")
        ip(f"-n h{i} link set eth0 address 02:00:00:00:00:0{i}")
        ip(f"-n h{i} link set eth0 up")
        ip(f"-n h{i} addr add 10.0.0.{i}/24 dev eth0")

    def unplug(self, i: int) -> None:
        """Take host i's cable away."""
        ip(f"link del p{i}")

    def ping(self, a: int, b: int, count: int = 3) -> int:
        """Ping from host a to host b, ten a second; how many answers came."""
        said = output_of(f"ip netns exec h{a} ping -c {count} -i 0.1 -W 1 10.0.0.{b}", check=False)
        m = re.search(r"(\d+) received", said)
        return int(m[1]) if m else 0

    def close(self) -> None:
        for i in range(1, self.n + 1):
            ip(f"link del p{i}")
            ip(f"netns del h{i}")


class Daemon:
    """`vswitch run` on the kernel's datapath."""

    def __init__(self, *ports: str, flows: tuple[str, ...] = ()) -> None:
        self.dir = Path(f"/run/vswitch-{time.monotonic_ns()}")
        self.dir.mkdir()
        self.log_path = self.dir / "log"
        self.ctl = self.dir / "ctl"
        command = [sys.executable, "-m", "vswitch", "run", "--datapath", "system", "--bridge", "br0"]
        for port in ports:
            command += ["--port", port]
        for flow in flows:
            command += ["--flow", flow]
        command += ["--unixctl", str(self.ctl), "--pidfile", str(self.dir / "pid")]
        env = {**os.environ, "OVS_RUNDIR": str(self.dir)}
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        try:
            wait_until("the daemon is up", lambda: answers(self.ctl) or self.process.poll() is not None)
            assert self.process.poll() is None, self.log()
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        return self.log_path.read_text()

    def appctl(self, *words: str) -> str:
        """What the real ovs-appctl gets from us."""
        return output_of(f"ovs-appctl -t {self.ctl} {' '.join(words)}")

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(20)

    def kill(self) -> None:
        """SIGKILL: no chance to clean up."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
