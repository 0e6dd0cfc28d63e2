"""`vswitch up` to `vswitch down`: two hosts talk with no other package, and nothing is left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.sandbox import VSWITCH, Sandbox, wait_until
from tests.ovsdb.pair import real_server
from vswitch.cli import processes
from vswitch.ovsdb.client import Client
from vswitch.ovsdb.vswitch_schema import VSWITCH as SCHEMA

pytestmark = pytest.mark.system


class Place:
    """A network namespace, another for hosts, and a directory for all files of a switch."""

    def __init__(self, home: Path, user: bool) -> None:
        self.home = home
        self.sandbox = Sandbox(user)
        self.hosts = [Sandbox(outer=self.sandbox) for _ in range(2)]
        for n, host in enumerate(self.hosts, 1):
            self.sandbox.sh(
                f"ip link add p{n} type veth peer name eth0 netns {host.holder.pid}; ip link set p{n} up"
            )
            host.sh(f"ip link set lo up; ip link set eth0 up; ip addr add 10.1.1.{n}/24 dev eth0")

    def vswitch(self, *args: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return self.sandbox.run(*VSWITCH, *args, timeout=timeout)

    def said(self, *args: str) -> str:
        ran = self.vswitch(*args)
        assert ran.returncode == 0, f"{args}: {ran.stdout}{ran.stderr}"
        return ran.stdout

    def close(self) -> None:
        for name in (processes.SWITCH, processes.DATABASE):
            if pid := processes.running(name, self.home):
                os.kill(pid, signal.SIGKILL)
        for sandbox in (*self.hosts, self.sandbox):
            sandbox.close()


@pytest.fixture
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: Any
) -> Iterator[Place]:
    kind = getattr(request, "param", "root")
    require("root" if kind == "root" else "userns", "netns", "tun", "command:ping")
    for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    made = Place(tmp_path, kind != "root")
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("place", ["root", "user namespace"], indirect=True)
def test_up_brings_two_hosts_together_and_down_leaves_nothing(place: Place) -> None:
    said = place.said("up", "--bridge", "br0", "--datapath", "netdev", "--port", "p1", "--port", "br0:p2")
    assert said.startswith("vswitch is up (processes: ovsdb-server ")
    assert "5 packets transmitted, 5 received" in place.hosts[0].sh("ping -c 5 -i 0.2 10.1.1.2")
    assert place.said("vsctl", "list-ports", "br0") == "p1\np2\n"
    assert " 1(p1): addr:" in place.said("ofctl", "show", "br0")
    assert "NORMAL" in place.said("ofctl", "dump-flows", "br0")
    assert re.search(r"ovs-vswitchd .*\d", place.said("appctl", "version"))
    assert place.said("up").startswith("vswitch was up already")

    place.said("ofctl", "add-flow", "br0", "priority=5,in_port=p1,actions=drop")
    assert "Datapath actions: drop" in place.said("trace", "br0", "in_port=1,tcp")
    traced = json.loads(place.said("trace", "br0", "in_port=p2,icmp", "--json"))
    assert traced["final_flow"] == "unchanged"
    told = json.loads(place.said("status", "--json"))
    assert [p["name"] for p in told["bridges"]["br0"]] == ["br0", "p1", "p2"]
    assert told["bridges"]["br0"][1]["rx_packets"] >= 5
    bad = ("--", "add-br", "br2", "--", "set", "bridge", "br2", "datapath_type=no")
    place.said("vsctl", "add-br", "br1", *bad)
    shown = place.said("status")
    assert "br0 uses datapath type netdev: as datapath_type asks for\n" in shown
    assert re.search(r"\nbr1 uses datapath type (ebpf|netdev): the kernel has no openvswitch datapath", shown)
    assert re.search(r"\nbr2 has no datapath: .* \(no datapaths of type no, only ebpf, netdev, sys", shown)
    place.said("vsctl", "del-br", "br1", "--", "del-br", "br2")
    live = json.loads(place.said("top", "--once", "--json", "--interval", "0.1"))
    assert live["missed"] > 0
    assert {p["name"] for p in live["ports"]} == {"br0", "p1", "p2"}
    assert "busiest flows" in place.said("top", "--once", "--interval", "0.1")

    assert place.said("down").startswith("vswitch is down")
    assert place.vswitch("status").returncode == 3
    assert place.said("down").startswith("vswitch was not up")
    left = {p.name for p in place.home.iterdir()} - {".conf.db.~lock~"}
    assert left == {"conf.db", "ovs-vswitchd.log", "ovsdb-server.log"}
    assert place.sandbox.devices() == {"p1", "p2"}


def test_the_configuration_is_there_again_the_next_time(place: Place) -> None:
    place.said("up", "--bridge", "br0", "--datapath", "netdev", "--port", "p1", "--port", "p2")
    place.said("vsctl", "set", "port", "p1", "tag=5")
    place.said("down")
    place.said("up")
    assert place.said("vsctl", "get", "port", "p1", "tag") == "5\n"
    refused = place.hosts[0].run("ping", "-c", "1", "-W", "1", "10.1.1.2")
    assert "1 packets transmitted, 0 received" in refused.stdout
    place.said("vsctl", "clear", "port", "p1", "tag")
    assert "3 packets transmitted, 3 received" in place.hosts[0].sh("ping -c 3 -i 0.2 10.1.1.2")
    # The switch dies: up brings back what is missing, and nothing else.
    database = processes.running(processes.DATABASE, place.home)
    os.kill(processes.running(processes.SWITCH, place.home), signal.SIGKILL)
    assert wait_until(lambda: not processes.running(processes.SWITCH, place.home))
    place.said("up")
    assert processes.running(processes.DATABASE, place.home) == database
    assert "3 packets transmitted, 3 received" in place.hosts[0].sh("ping -c 3 -i 0.2 10.1.1.2")
    place.said("down", "--wipe")
    assert not (place.home / "conf.db").exists()


def test_in_the_foreground_until_sigterm(place: Place) -> None:
    command = [*VSWITCH, "up", "--foreground", "--bridge", "br0", "--datapath", "netdev", "--port", "p1"]
    with (place.home / "said").open("wb") as out:
        process = subprocess.Popen(place.sandbox.command(*command), stderr=out)
    try:
        assert wait_until(lambda: "vswitch is up" in (place.home / "said").read_text(), 60)
        assert place.said("vsctl", "list-ports", "br0") == "p1\n"
        taken = place.vswitch("up", "--foreground")
        assert taken.returncode == 1
        assert "ovsdb-server runs here already" in taken.stderr
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert not processes.running(processes.DATABASE, place.home)
    assert not processes.running(processes.SWITCH, place.home)
    assert not [p for p in place.home.iterdir() if p.is_socket()]


def test_what_can_not_be_is_said_in_one_line_and_leaves_nothing(place: Place) -> None:
    (place.home / "conf.db").write_text("this is no database\n")
    ran = place.vswitch("up")
    assert ran.returncode == 1
    assert re.fullmatch(r"vswitch: ovsdb-server did not start: .*conf\.db.*\n", ran.stderr), ran.stderr
    assert not processes.running(processes.DATABASE, place.home)
    (place.home / "conf.db").unlink()
    ran = place.vswitch("up", "--port", "p1")
    assert (ran.returncode, ran.stderr) == (1, "vswitch: --port p1: give a --bridge too, or BRIDGE:p1\n")
    assert not processes.running(processes.SWITCH, place.home)
    assert not processes.running(processes.DATABASE, place.home)
    assert place.vswitch("trace", "br0", "in_port=1").returncode == 1
    assert place.vswitch("top", "--once").stderr.startswith("vswitch: no switch is running here (")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(shell: str) -> None:
    ran = subprocess.run(
        [*VSWITCH, "completion", shell], capture_output=True, text=True, check=True, timeout=30
    )
    assert "add-br" in ran.stdout
    assert "dump-flows" in ran.stdout
    if shell == "bash":
        typed = "COMP_WORDS=(vswitch vsctl add-b); COMP_CWORD=2; _vswitch; echo ${COMPREPLY[@]}"
        done = subprocess.run(
            ["bash", "-c", f"{ran.stdout}\n{typed}"], capture_output=True, text=True, check=True, timeout=30
        )
        assert done.stdout.split() == ["add-bond", "add-bond-iface", "add-br"]


def test_another_switch_that_runs_here_is_left_alone(place: Place, require: Any) -> None:
    require("command:ovsdb-server")

    with real_server(place.home / "other.db", SCHEMA, ["--pidfile"]) as sock:
        real = processes.running(processes.DATABASE, place.home)
        assert real
        for command in ("up", "down"):
            ran = place.vswitch(command)
            assert ran.returncode == 1
            assert re.fullmatch(r"vswitch: .*ovsdb-server.*\(pid \d+.*\n", ran.stderr), ran.stderr
        assert processes.running(processes.DATABASE, place.home) == real
        assert Path(sock).is_socket()


def test_the_configuration_has_its_row_before_anybody_asks(place: Place) -> None:
    place.said("up")
    with closing(Client(f"unix:{place.home}/db.sock")) as client:
        select = {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["_uuid"]}
        (first,) = client.call("transact", "Open_vSwitch", select)
        assert len(first["rows"]) == 1
    place.said("up")
    place.said("down")
    place.said("up")
    with closing(Client(f"unix:{place.home}/db.sock")) as client:
        assert client.call("transact", "Open_vSwitch", select) == [first]
    place.said("down", "--wipe")
