"""`vswitchd` as a process: detaching, pidfile, monitor, log, the database's lock, the real tools."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.vswitchd import Stack, alive, eventually

pytestmark = pytest.mark.system

DUMMY_BRIDGE = ("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy")


@pytest.fixture
def stack(require: Callable[..., None], tmp_path: Path) -> Iterator[Stack]:
    """A database server and a place for daemons."""
    require("command:ovsdb-server", "command:ovs-vsctl", "command:ovs-appctl")
    stack = Stack(tmp_path)
    try:
        stack.start_database()
        yield stack
    finally:
        stack.close()


def test_the_real_tools_work_as_soon_as_it_has_detached(stack: Stack) -> None:
    pid = stack.detach()
    assert stack.run("ovs-appctl", "version").startswith("ovs-vswitchd (Open vSwitch) 3.1.0\nvswitch ")
    stack.run("ovs-vsctl", "-t", "15", *DUMMY_BRIDGE)
    assert stack.run("ovs-appctl", "ofproto/list") == "br0\n"
    assert "NXST_FLOW" in stack.run("ovs-ofctl", "dump-flows", "br0")
    version = r"bridge\|INFO\|ovs-vswitchd \(Open vSwitch\) [0-9.]+"
    assert any(re.fullmatch(version, s) for s in stack.logged())
    stack.run("ovs-appctl", "exit")
    eventually("the process ends", lambda: not alive(pid))
    left = {p.name for p in stack.directory.iterdir()}
    assert left == {"conf.db", ".conf.db.~lock~", "db.sock", "db.ctl", "ovs-vswitchd.log"}


def test_a_detached_daemon_lets_go_of_terminal_and_directory(stack: Stack) -> None:
    ran = stack.vswitchd("--detach", "--pidfile", "--enable-dummy", "--disable-system", "-vconsole:off")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    proc = Path(f"/proc/{stack.pid()}")
    assert os.readlink(proc / "cwd") == "/"
    assert {os.readlink(proc / "fd" / n) for n in "012"} == {"/dev/null"}
    assert (proc / "comm").read_text() == "ovs-vswitchd\n"
    fields = (proc / "stat").read_text().rpartition(")")[2].split()
    assert fields[3] == str(stack.pid())  # The leader of a session of its own.
    assert "OFF" in stack.run("ovs-appctl", "vlog/list").splitlines()[2].split()[1]


def test_detaching_waits_for_the_database(stack: Stack) -> None:
    stack.kill_database()
    (stack.directory / "db.sock").unlink()
    child = stack.foreground("--detach", "--pidfile", "--enable-dummy", "--disable-system", "--log-file")
    eventually("the daemon tries", lambda: "connection attempt failed" in stack.log())
    stack.note_pid()
    assert child.poll() is None
    stack.start_database()
    assert child.wait(20) == 0
    assert alive(stack.pid())


def test_a_second_instance_is_refused_by_its_pidfile_unless_it_may_overwrite(stack: Stack) -> None:
    pid = stack.detach()
    path = stack.directory / "ovs-vswitchd.pid"
    for options in (["--pidfile"], ["--pidfile", "--detach"], ["--pidfile", "--detach", "--monitor"]):
        ran = stack.vswitchd(*options, "-vconsole:off")
        assert (ran.returncode, ran.stderr) == (
            1, f"ovs-vswitchd: {path}: already running as pid {pid}, aborting\n",
        )  # fmt: skip
    assert stack.pid() == pid


def test_a_second_instance_on_the_database_waits_until_the_first_is_gone(stack: Stack) -> None:
    stack.detach()
    stack.run("ovs-vsctl", "-t", "15", *DUMMY_BRIDGE)
    log = stack.directory / "second.log"
    second = stack.foreground(
        "--enable-dummy=override", "--disable-system", "--pidfile=second.pid", "--unixctl=second.ctl",
        f"--log-file={log}",
    )  # fmt: skip
    said = "|bridge|ERR|another ovs-vswitchd process is running, disabling this process "
    said += f"(pid {second.pid}) until it goes away"
    eventually("the second one waits", lambda: log.exists() and said in log.read_text())
    control = str(stack.directory / "second.ctl")
    assert stack.run("ovs-appctl", "-t", control, "ofproto/list") == ""
    stack.run("ovs-appctl", "exit")
    bridges = ("ovs-appctl", "-t", control, "ofproto/list")
    eventually("the second one takes over", lambda: stack.run(*bridges) == "br0\n")
    stack.run("ovs-vsctl", "-t", "15", "add-port", "br0", "p1", "--", "set", "interface", "p1", "type=dummy")
    assert "p1" in stack.run("ovs-appctl", "-t", control, "dpif/show")


def test_sigterm_ends_it_as_the_real_one(stack: Stack) -> None:
    child = stack.foreground("--pidfile", "--enable-dummy", "--disable-system", "--log-file")
    eventually("it serves", lambda: any("|INFO|ovs-vswitchd" in line for line in stack.logged()))
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == -signal.SIGTERM
    assert "fatal_signal|WARN|terminating with signal 15 (Terminated)" in stack.logged()
    assert not list(stack.directory.glob("ovs-vswitchd.*[lp]i*"))  # Neither pidfile nor socket.


def test_a_killed_one_leaves_a_pidfile_that_the_next_takes_over(stack: Stack) -> None:
    pid = stack.detach()
    os.kill(pid, signal.SIGKILL)
    eventually("it dies", lambda: not alive(pid))
    assert stack.pid() == pid
    again = stack.detach()
    assert again != pid
    assert stack.ok("ovs-appctl", "version")


def test_the_monitor_restarts_what_a_crash_killed_and_nothing_else(stack: Stack) -> None:
    pid = stack.detach("--monitor")
    monitor = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    stack.pids.add(monitor)
    os.kill(pid, signal.SIGSEGV)
    eventually("another one serves", lambda: stack.pid() != pid and stack.ok("ovs-appctl", "version"))
    again = stack.pid()
    stack.pids.add(again)
    died = [line for line in stack.logged() if "daemon_unix(monitor)" in line]
    assert re.fullmatch(
        rf"daemon_unix\(monitor\)\|ERR\|1 crashes: pid {pid} died, killed \(Segmentation fault\)"
        r"(, core dumped)?, restarting",
        died[0],
    )
    serves = "bridge(ovs-vswitchd)|INFO|ovs-vswitchd"
    eventually("it is configured", lambda: any(line.startswith(serves) for line in stack.logged()))
    os.kill(again, signal.SIGTERM)
    eventually("the monitor ends too", lambda: not alive(monitor))
    assert f"daemon_unix(monitor)|INFO|pid {again} died, killed (Terminated), exiting" in stack.logged()


def test_a_daemon_that_crashes_before_it_serves_tells_by_its_status(stack: Stack) -> None:
    stack.kill_database()
    child = stack.foreground("--detach", "--pidfile", "--enable-dummy", "--disable-system", "--log-file")
    eventually("it has a pidfile", lambda: (stack.directory / "ovs-vswitchd.pid").exists())
    os.kill(stack.pid(), signal.SIGKILL)
    assert child.wait(10) == 1
    assert "daemon_unix|ERR|fork child died before signaling startup (killed (Killed))" in stack.logged()
    assert "daemon_unix|EMER|could not detach from foreground session" in stack.logged()


def test_the_log_is_rotated(stack: Stack) -> None:
    stack.detach()
    log = stack.directory / "ovs-vswitchd.log"
    log.rename(stack.directory / "old.log")
    stack.run("ovs-appctl", "vlog/set", "unixctl:file:dbg")
    stack.run("ovs-appctl", "vlog/reopen")
    assert stack.logged()[0] == f"vlog|INFO|opened log file {log}"
    assert (stack.directory / "old.log").read_text().endswith("|vlog|INFO|closing log file\n")
    stack.run("ovs-appctl", "vlog/close")
    size = log.stat().st_size
    stack.run("ovs-appctl", "version")
    assert log.stat().st_size == size
    assert log.stat().st_mode & 0o777 == 0o640


def test_syslog_messages_go_where_the_options_say(stack: Stack) -> None:
    direct = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    target = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with direct, target:
        direct.bind(str(stack.directory / "log"))
        target.bind(("127.0.0.1", 0))
        for sock in (direct, target):
            sock.settimeout(10)
        port = target.getsockname()[1]
        stack.detach(f"--syslog-method=unix:{stack.directory}/log", f"--syslog-target=127.0.0.1:{port}")
        first = direct.recv(4096)
        assert re.match(rb"<29>ovs\|0000\d\|[a-z_]+\|INFO\|", first)
        sent = target.recv(4096)
        head = rb"<133>1 \d{4}-\d\d-\d\dT[0-9:.]+Z \S+ ovs-vswitchd \d+ - - \xef\xbb\xbfovs\|0000"
        assert re.match(head, sent)
        assert "SYSLOG   <%B>     " in stack.run("ovs-appctl", "vlog/list-pattern")


def test_another_user_runs_it_with_the_rights_of_a_switch(stack: Stack, require: Callable[..., None]) -> None:
    require("root")
    os.chmod(stack.directory, 0o777)
    os.chmod(stack.directory / "db.sock", 0o777)
    for parent in stack.directory.parents:
        if parent.name.startswith("pytest-"):
            os.chmod(parent, 0o755)
    ran = stack.vswitchd(
        "--detach", "--no-chdir", "--pidfile", "--enable-dummy", "--disable-system", "--user=nobody",
        "-vconsole:off",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    lines = Path(f"/proc/{stack.pid()}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert status["Uid"].split() == ["65534"] * 4
    kept = 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14
    assert int(status["CapEff"], 16) == kept
    assert stack.vswitchd("--user=nosuch").stderr.endswith("user nosuch not found, aborting.\n")


def test_no_control_socket_if_none_is_wanted(stack: Stack) -> None:
    stack.detach("--unixctl=none")
    assert not list(stack.directory.glob("ovs-vswitchd*.ctl"))


def test_exit_answers_when_all_is_done(stack: Stack) -> None:
    stack.detach()
    stack.run("ovs-vsctl", "-t", "15", *DUMMY_BRIDGE)
    assert (stack.directory / "br0.mgmt").exists()
    stack.run("ovs-appctl", "exit", "--cleanup")
    assert not (stack.directory / "br0.mgmt").exists()


def test_the_database_may_die_and_return(stack: Stack) -> None:
    stack.detach()
    stack.run("ovs-vsctl", "-t", "15", *DUMMY_BRIDGE)
    stack.kill_database()
    assert stack.run("ovs-appctl", "ofproto/list") == "br0\n"
    stack.start_database()
    stack.run("ovs-vsctl", "-t", "15", "add-br", "br1", "--", "set", "bridge", "br1", "datapath_type=dummy")
    assert stack.run("ovs-appctl", "ofproto/list") == "br0\nbr1\n"


def test_the_database_is_reached_over_tls(stack: Stack, require: Callable[..., None]) -> None:
    require("command:openssl")
    key, certificate = stack.directory / "key.pem", stack.directory / "cert.pem"
    stack.run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
        "-keyout", str(key), "-out", str(certificate),
    )  # fmt: skip
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    control = str(stack.directory / "db.ctl")
    stack.kill_database()
    stack.start_database("-p", str(key), "-c", str(certificate), "-C", str(certificate))
    stack.run("ovs-appctl", "-t", control, "ovsdb-server/add-remote", f"pssl:{port}:127.0.0.1")
    lacking = stack.foreground("--enable-dummy", "--disable-system", f"ssl:127.0.0.1:{port}", "--log-file")
    eventually("it says what it lacks", lambda: "Private key must be configured to use SSL" in stack.log())
    lacking.kill()
    lacking.wait()
    stack.detach("-p", str(key), "-c", str(certificate), "-C", str(certificate), f"ssl:127.0.0.1:{port}")
    assert f"reconnect|INFO|ssl:127.0.0.1:{port}: connected" in stack.logged()
    stack.run("ovs-vsctl", "-t", "15", *DUMMY_BRIDGE)
    assert stack.run("ovs-appctl", "ofproto/list") == "br0\n"
