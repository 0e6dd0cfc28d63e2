"""`vswitchd` on the kernel's datapath ends and comes back, while hosts talk through it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.vswitchd import Stack, alive, eventually, words
from tests.uml.inside.daemon import Hosts, output_of

TALKER = r"""
import socket, sys, time
s = socket.create_connection((sys.argv[1], 5001), timeout=30)
n = 0
while True:
    s.sendall(b"%9d\n" % n)
    got = b""
    while len(got) < 10:
        more = s.recv(10 - len(got))
        assert more, "the connection ended"
        got += more
    assert int(got) == n
    n += 1
    with open(sys.argv[2], "w") as f:
        f.write(str(n))
    time.sleep(0.01)
"""
ECHO = r"""
import socket
l = socket.create_server(("0.0.0.0", 5001))
c, _ = l.accept()
while data := c.recv(65536):
    c.sendall(data)
"""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Hosts h1 and h2 on bridge br0 of the kernel's datapath."""
    hosts = Hosts(2)
    stack = Stack(tmp_path)
    try:
        stack.start_database()
        start(stack)
        stack.run("ovs-vsctl", "-t", "20", *words("add-br br0 -- add-port br0 p1 -- add-port br0 p2"))
        yield stack
    finally:
        stack.close()
        subprocess.run(["ovs-dpctl", "del-dp", "ovs-system"], capture_output=True, check=False)
        hosts.close()


def start(stack: Stack) -> int:
    ran = stack.vswitchd("--detach", "--no-chdir", "--pidfile", "--log-file", "-vconsole:off")
    assert ran.returncode == 0, ran.stderr + stack.log()
    return stack.pid()


class Talk:
    """A TCP connection between the hosts on which every message is answered before the next."""

    def __init__(self, directory: Path) -> None:
        self.count = directory / "count"
        self.processes = []
        for host, program, args in (("h2", ECHO, ()), ("h1", TALKER, ("10.0.0.2", str(self.count)))):
            command = ["ip", "netns", "exec", host, sys.executable, "-c", program, *args]
            self.processes.append(subprocess.Popen(command, stderr=subprocess.PIPE))
            if host == "h2":
                eventually("h2 listens", lambda: ":5001" in output_of("ip netns exec h2 ss -Hltn"))

    def answered(self) -> int:
        """Messages so far."""
        text = self.count.read_text() if self.count.exists() else ""
        return int(text or 0)

    def goes_on(self) -> None:
        """More messages get through on the same connection."""
        before = self.answered()
        eventually("the connection goes on", lambda: self.answered() > before + 20)
        assert all(process.poll() is None for process in self.processes)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def test_a_connection_outlives_the_daemon_and_its_restart(stack: Stack) -> None:
    talk = Talk(stack.directory)
    try:
        talk.goes_on()
        pid = stack.pid()
        stack.run("ovs-appctl", "exit")
        eventually("the daemon ends", lambda: not alive(pid))
        flows = stack.run("ovs-dpctl", "dump-flows", "system@ovs-system")
        assert re.search(r"eth_type\(0x0800\).*packets:[1-9]", flows)
        assert "port 1: br0 (internal)" in stack.run("ovs-dpctl", "show")
        talk.goes_on()
        # As `ovs-ctl restart` does: flows are restored before the old ones are given up.
        stack.run("ovs-vsctl", "--no-wait", "set", "open_vswitch", ".", "other_config:flow-restore-wait=true")
        start(stack)
        talk.goes_on()
        stack.run("ovs-ofctl", "add-flow", "br0", "priority=7,actions=normal")
        stack.run("ovs-vsctl", *words("-t 20 remove open_vswitch . other_config flow-restore-wait"))
        talk.goes_on()
        stack.run("ovs-appctl", "revalidator/wait")
        assert re.search(r"n_packets=[1-9].*priority=7", stack.run("ovs-ofctl", "dump-flows", "br0"))
        # And without: the flows are flushed, and what misses is forwarded at once.
        stack.run("ovs-appctl", "exit")
        start(stack)
        talk.goes_on()
        pid = stack.pid()
        subprocess.run(["kill", "-9", str(pid)], check=True)
        eventually("it dies", lambda: not alive(pid))
        talk.goes_on()
        start(stack)
        talk.goes_on()
    finally:
        talk.close()


def test_exit_with_cleanup_takes_the_datapath_along(stack: Stack) -> None:
    assert "ovs-system" in stack.run("ovs-dpctl", "dump-dps")
    stack.run("ovs-appctl", "exit", "--cleanup")
    assert stack.run("ovs-dpctl", "dump-dps") == ""


def test_dpctl_tells_what_the_real_ovs_dpctl_does(stack: Stack) -> None:
    # This kernel's connections have no zones but 0.
    # In a datapath that no bridge is on, where nobody but us removes flows.
    stack.run("ovs-appctl", "dpctl/add-dp", "system@dp9")
    stack.run("ovs-appctl", "dpctl/add-flow", "system@dp9", "in_port(0),eth(),eth_type(0x9001)", "0")
    flows = "recirc_id(0),in_port(0),eth(),eth_type(0x9001), packets:0, bytes:0, used:never, actions:0\n"
    assert stack.run("ovs-dpctl", "dump-flows", "system@dp9") == flows
    assert stack.run("ovs-appctl", "dpctl/dump-flows", "system@dp9", "filter=dl_type=0x9001") == flows
    stack.run("ovs-appctl", "dpctl/del-flow", "system@dp9", "in_port(0),eth(),eth_type(0x9001)")
    assert stack.run("ovs-dpctl", "dump-flows", "system@dp9") == ""
    stack.run("ovs-appctl", "dpctl/del-dp", "system@dp9")
    stack.run("ovs-appctl", "dpctl/ct-set-limits", "default=9", "zone=0,limit=900")
    stack.run("ovs-ofctl", "add-flow", "br0", "priority=9,tcp,actions=ct(commit),normal")
    talk = Talk(stack.directory)
    try:
        talk.goes_on()
        wanted, got = [], []
        for command in (
            "dump-dps", "show", "cache-get-size", "cache-set-size system@ovs-system masks-cache 512",
            "cache-set-size system@ovs-system masks-cache 3", "cache-set-size system@ovs-system x 4",
            "cache-set-size system@ovs-system masks-cache y", "show",
            "ct-get-limits zone=0", "ct-get-limits zone=0,5",
            "dump-conntrack zone=0", "ct-stats-show zone=0",
        ):  # fmt: skip
            name, *args = command.split()
            real = stack.attempt("ovs-dpctl", name, *args)
            told = _steady(real.stdout + real.stderr.replace("ovs-dpctl", "ovs-vswitchd"))
            wanted.append(f"$ {command}\n{told}")
            ours = stack.attempt("ovs-appctl", f"dpctl/{name}", *args)
            got.append(f"$ {command}\n{_steady(ours.stdout + ours.stderr)}")
        wrong = [f"{ours}\nnot {real}" for ours, real in zip(got, wanted, strict=True) if ours != real]
        assert not wrong, "\n".join(wrong)
        assert "tcp" in stack.run("ovs-appctl", "dpctl/dump-conntrack", "zone=0")
        stack.run("ovs-appctl", "dpctl/flush-conntrack", "zone=0", "ct_nw_proto=17")
        assert "tcp" in stack.run("ovs-appctl", "dpctl/dump-conntrack", "zone=0")
    finally:
        talk.close()
    eventually("the connection's flows are gone", lambda: _flushed(stack))


def _steady(text: str) -> str:
    """Without counters that move, what ovs-appctl says of errors, and blank ends of lines."""
    text = text.replace("ovs-appctl: ovs-vswitchd: server returned an error\n", "").strip()
    return re.sub(r"(hit|missed|lost|total|flows|hit/pkt|hit-rate):? ?[0-9.]+%?", r"\1:?", text)


def _flushed(stack: Stack) -> bool:
    tuple = "ct_nw_src=10.0.0.1,ct_nw_proto=6,ct_tp_dst=5001"
    stack.run("ovs-appctl", "dpctl/flush-conntrack", "zone=0", tuple)
    return "dport=5001),reply" not in stack.run("ovs-dpctl", "dump-conntrack")
