"""A whole daemon process: pidfile, socket, commands, signals."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vswitch.daemon.process import Pidfile, rundir

PROGRAM = """
import sys
from vswitch.base import vlog
from vswitch.base.clock import Clock
from vswitch.daemon.daemon import Daemon

class Part:
    expired = 0
    next = 10_000
    def run(self, now):
        if now >= start + self.next:
            self.next += 10_000
            self.expired += 1
        return False
    def wakeup(self, now):
        return start + self.next
    def fds(self):
        return []

    def write_fds(self):
        return []

def begin(daemon):
    daemon.memory.register(lambda: {"rules": 5})
    daemon.commands.register("expired", "", 0, 0, lambda _args: str(part.expired))
    return part

clock = Clock()
start = clock.now()
part = Part()
vlog.init("test", clock.wall)
vlog.set_log_file(sys.argv[1] + "/test.log")
daemon = Daemon(version="test 1", clock=clock, unixctl_path=sys.argv[1] + "/test.ctl",
                pidfile_path=sys.argv[1] + "/test.pid")
daemon.run(begin, lambda: print("closed", flush=True))
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(400):
        log = tmp_path / "test.log"
        ready = log.exists() and (tmp_path / "test.ctl").exists() and (tmp_path / "test.pid").exists()
        if ready or process.poll() is not None:
            break
        time.sleep(0.01)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def _appctl(tmp_path: Path, *args: str) -> str:
    ran = subprocess.run(
        ["ovs-appctl", "-t", str(tmp_path / "test.ctl"), *args], capture_output=True, text=True, timeout=10
    )
    return ran.stdout if ran.returncode == 0 else "error: " + ran.stderr.splitlines()[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(
    number: signal.Signals, daemon: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert (tmp_path / "test.pid").read_text() == f"{daemon.pid}\n"
    daemon.send_signal(number)
    out, err = daemon.communicate(timeout=10)
    assert (daemon.returncode, out) == (0, "closed\n")
    lines = [re.sub(r"^[-0-9T:]+Z\|\d+\|", "", line) for line in err.splitlines()]
    assert lines == [
        f"vlog|INFO|opened log file {tmp_path}/test.log",
        f"fatal_signal|WARN|terminating with signal {number.value} ({signal.strsignal(number)})",
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["test.log"]


@pytest.mark.system
def test_runtime_commands_of_the_process(
    daemon: subprocess.Popen[str], tmp_path: Path, require: Callable[..., None]
) -> None:
    require("command:ovs-appctl")
    assert _appctl(tmp_path, "version") == "test 1\n"
    assert _appctl(tmp_path, "memory/show") == "rules:5\n"
    assert _appctl(tmp_path, "coverage/show").startswith("Event coverage, avg rate")
    assert _appctl(tmp_path, "coverage/read-counter", "unixctl_received") == "4\n"
    assert _appctl(tmp_path, "coverage/read-counter", "x") == "error: No such counter"
    assert "vswitchd          INFO        OFF       INFO\n" in _appctl(tmp_path, "vlog/list")
    assert _appctl(tmp_path, "time/warp", "x") == "error: invalid MSECS"
    assert _appctl(tmp_path, "time/stop") == ""
    assert _appctl(tmp_path, "time/warp", "25000") == "warped\n"
    assert _appctl(tmp_path, "expired") in ("1\n", "2\n")
    assert _appctl(tmp_path, "time/warp", "40000", "5000") == "warped\n"
    assert _appctl(tmp_path, "expired") == "6\n"
    assert _appctl(tmp_path, "exit") == ""
    assert daemon.communicate(timeout=10)[0] == "closed\n"
    assert not (tmp_path / "test.ctl").exists()


@pytest.mark.system
def test_ovs_appctl_finds_it_by_name(
    daemon: subprocess.Popen[str], tmp_path: Path, require: Callable[..., None]
) -> None:
    require("command:ovs-appctl")
    (tmp_path / f"test.{daemon.pid}.ctl").symlink_to("test.ctl")
    ran = subprocess.run(
        ["ovs-appctl", "-t", "test", "version"],
        env=dict(os.environ, OVS_RUNDIR=str(tmp_path)),
        capture_output=True,
        text=True,
    )
    assert ran.stdout == "test 1\n"


def test_a_second_one_is_refused_and_a_dead_ones_pidfile_is_taken(
    daemon: subprocess.Popen[str], tmp_path: Path
) -> None:
    path = str(tmp_path / "test.pid")
    with pytest.raises(BlockingIOError, match=f"already running as pid {daemon.pid}"):
        Pidfile(path)
    daemon.kill()
    daemon.wait()
    pidfile = Pidfile(path)
    assert Path(path).read_text() == f"{os.getpid()}\n"
    pidfile.close()
    pidfile.close()
    assert not os.path.exists(path)


def test_run_directory_follows_ovs_rundir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OVS_RUNDIR", str(tmp_path))
    assert rundir() == tmp_path
