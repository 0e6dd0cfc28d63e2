"""`vswitch run` with controllers and clients, as a person runs it: in a network namespace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.sandbox import VSWITCH, Sandbox, wait_until

pytestmark = pytest.mark.system

TWO_HOSTS = """
for n in 1 2; do
  ip link add p$n type veth peer name q$n
  ip link set p$n up
done
ip link set lo up
"""


class Started:
    """A program in a sandbox, with its sockets in `where`."""

    def __init__(self, box: Sandbox, where: Path, *args: str) -> None:
        self.environment = {**os.environ, "OVS_RUNDIR": str(where)}
        self._log = (where / f"log.{Path(args[0]).name}").open("w+")
        self.process = subprocess.Popen(
            box.command(*args), stdout=self._log, stderr=self._log, env=self.environment, text=True
        )
        self._box = box

    @property
    def log(self) -> str:
        return Path(self._log.name).read_text()

    def ofctl(self, *args: str) -> str:
        command = self._box.command("ovs-ofctl", *args)
        ran = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=20)
        assert ran.returncode == 0, f"{ran.stderr}\n{self.log}"
        return ran.stdout

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()
            self._log.close()


@pytest.fixture
def sandbox(require: Callable[..., None]) -> Iterator[Sandbox]:
    require("root", "netns", "tun", "command:ovs-ofctl")
    box = Sandbox()
    box.sh(TWO_HOSTS)
    yield box
    box.close()


def run(box: Sandbox, where: Path, *args: str) -> Started:
    started = Started(box, where, *VSWITCH, "run", "--datapath", "netdev", *args)
    assert wait_until(lambda: "is up" in started.log or started.process.poll() is not None)
    return started


def test_ovs_ofctl_finds_the_bridge_by_name(sandbox: Sandbox, tmp_path: Path) -> None:
    switch = run(sandbox, tmp_path, "--port", "p1", "--port", "p2", "--listen", "ptcp:6653:127.0.0.1")
    try:
        assert "priority=0 actions=NORMAL" in switch.ofctl("dump-flows", "br0")
        assert "(p1): addr:" in switch.ofctl("-O", "OpenFlow14", "show", "tcp:127.0.0.1")
        switch.ofctl("add-flow", "br0", "priority=7,arp,actions=drop")
        assert "priority=7,arp actions=drop" in switch.ofctl("-O", "OpenFlow13", "dump-flows", "br0")
        assert (tmp_path / "br0.snoop").is_socket()
    finally:
        code = switch.end()
    assert code == 0, switch.log
    assert "Traceback" not in switch.log
    assert not (tmp_path / "br0.mgmt").exists()
    assert not (tmp_path / "br0.snoop").exists()


def test_hosts_ping_through_a_controller_and_not_without_it(
    sandbox: Sandbox, tmp_path: Path, require: Callable[..., None]
) -> None:
    require("command:ovs-testcontroller", "command:ping")
    other = Sandbox(outer=sandbox)
    sandbox.sh(f"ip link set q2 netns {other.holder.pid}; ip addr add 10.9.0.1/24 dev q1; ip link set q1 up")
    other.sh("ip addr add 10.9.0.2/24 dev q2; ip link set q2 up; ip link set lo up")
    where = f"unix:{tmp_path}/tc.sock"
    ports = ("--port", "p1", "--port", "p2")
    switch = run(sandbox, tmp_path, *ports, "--controller", where, "--fail-mode", "secure")
    tester = None
    try:
        assert "priority" not in switch.ofctl("dump-flows", "br0")
        assert not _ping(sandbox), "nobody has said yet what to do"
        control = ("ovs-testcontroller", f"p{where}", f"--unixctl={tmp_path}/tc.ctl", "--max-idle=1")
        tester = Started(sandbox, tmp_path, *control)
        assert wait_until(lambda: _ping(sandbox), 30), switch.log
        assert wait_until(lambda: _ping(sandbox) and "actions=output" in switch.ofctl("dump-flows", "br0"))
        tester.end()
        # Its flows idle out; what comes then goes nowhere.
        assert wait_until(lambda: "actions=output" not in switch.ofctl("dump-flows", "br0"))
        assert not _ping(sandbox)
        assert re.search(r"rconn\|INFO\|br0<->unix:\S+: connected", switch.log)
        assert re.search(r"rconn\|INFO\|br0<->unix:\S+: connection closed by peer", switch.log)
    finally:
        if tester is not None and tester.process.poll() is None:
            tester.end()
        code = switch.end()
        other.close()
    assert code == 0, switch.log
    assert "Traceback" not in switch.log


def _ping(box: Sandbox) -> bool:
    return box.run("ping", "-c", "1", "-W", "1", "10.9.0.2").returncode == 0


def test_a_controller_is_reached_through_the_bridge_itself(
    sandbox: Sandbox, tmp_path: Path, require: Callable[..., None]
) -> None:
    """In band: the only way to the controller is the bridge, which has no flows for it but hidden ones."""
    require("command:ovs-testcontroller", "command:ping")
    other = Sandbox(outer=sandbox)
    sandbox.sh(f"ip link set q1 netns {other.holder.pid}")
    other.sh("ip addr add 10.9.0.2/24 dev q1; ip link set q1 up; ip link set lo up")
    args = ("--port", "p1", "--controller", "tcp:10.9.0.2", "--fail-mode", "secure")
    switch = run(sandbox, tmp_path, *args)
    tester = None
    try:
        sandbox.sh("ip addr add 10.9.0.1/24 dev br0; ip link set br0 up")
        tester = Started(
            other, tmp_path, "ovs-testcontroller", "ptcp:6653:10.9.0.2", f"--unixctl={tmp_path}/tc.ctl"
        )
        assert wait_until(lambda: "tcp:10.9.0.2: connected" in switch.log, 30), switch.log
        assert wait_until(lambda: _ping(sandbox), 30)
        for line in switch.ofctl("dump-flows", "br0").splitlines():
            assert "nw_dst=10.9.0.2,tp_dst=6653" not in line, "hidden"
    finally:
        if tester is not None:
            tester.end()
        code = switch.end()
        other.close()
    assert code == 0, switch.log
    assert "Traceback" not in switch.log


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("--controller", "smoke:signals"), "vswitch: smoke:signals: unknown connection method"),
        (("--controller", "ptcp:1"), "vswitch: ptcp:1: unknown connection method"),
        (("--listen", "ptcp:99999"), "vswitch: ptcp:99999: bad port number 99999"),
        (("--listen", "ptcp:1:192.0.2.1"), "vswitch: can't listen on ptcp:1:192.0.2.1; the log says why"),
    ],
)
def test_targets_that_do_not_work(
    args: tuple[str, ...], error: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    switch = run(sandbox, tmp_path, *args)
    code = switch.process.wait(20)
    switch.end()
    assert code == 1
    assert switch.log.splitlines()[-1] == error
    assert sandbox.devices() >= {"p1", "p2"}
    assert "br0" not in sandbox.devices()
