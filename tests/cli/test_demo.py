"""The demonstration, from its parts to the whole."""

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.sandbox import VSWITCH
from tests.uml import harness
from vswitch.cli.demo import Lookups, parse_lookups, parse_ping


def test_lookups_of_dpctl_show() -> None:
    text = "netdev@ovs-netdev:\n  lookups: hit:19 missed:4 lost:1\n  flows: 3\n  port 0: ovs-netdev (tap)\n"
    assert parse_lookups(text) == Lookups(19, 4, 1)
    assert Lookups(19, 4, 1).since(Lookups(9, 1, 1)) == Lookups(10, 3, 0)


def test_round_trips_of_ping() -> None:
    text = (
        "64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=1.25 ms\n"
        "64 bytes from 10.0.0.2: icmp_seq=2 ttl=64 time=0.081 ms\n"
    )
    assert parse_ping(text) == [1.25, 0.081]


def _processes(mark: str) -> list[str]:
    """Command lines of the processes that were started with `mark` in their environment, at any remove."""
    found = []
    for p in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (p / "environ").read_bytes():
                found.append((p / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.system
@pytest.mark.parametrize("kind", ["root", "user namespace"])
def test_three_hosts_on_one_switch(kind: str, require: Callable[..., None]) -> None:
    require("root" if kind == "root" else "userns", "netns", "tun", "command:ping")
    mark = f"VSWITCH_TEST={os.getpid()}.{time.monotonic_ns()}"
    name, _, value = mark.partition("=")
    enter = [] if kind == "root" else ["unshare", "-Urn"]
    ran = subprocess.run(
        [*enter, *VSWITCH, "demo", "--datapath", "netdev", "--seconds", "1"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, name: value},
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout
    text = ran.stdout
    assert "the userspace datapath (netdev)" in text
    assert len(re.findall(r"[\d.]+ ms, [\d.]+ ms", text)) == 6
    assert re.search(r"TCP h1 -> h2: [\d,]+ MB in 1\.\d s, [\d.]+ Gbit/s", text)
    assert "in_port(port1)" in text
    assert re.search(r"TCP transfer +[\d,]+ +\d+ +[\d,]+ +\d+\.\d+ %", text)
    assert "devices, flows, datapath and namespaces are gone" in text
    # Its namespaces have no names: they are gone with the last process in them.
    assert _processes(mark) == []


@pytest.mark.system
@pytest.mark.slow
def test_the_kernels_datapath_where_there_is_one(tmp_path: Path, require: Callable[..., None]) -> None:
    require("uml")
    ran = harness.run(f"{' '.join(VSWITCH)} demo --seconds 1 | cat; ovs-dpctl show; ip -br link", tmp_path)
    text = ran.check()
    assert (
        "3 hosts on one switch, the kernel's datapath (system), as root:"
        " the kernel has the openvswitch module\n"
    ) in text
    assert re.search(r"TCP transfer +[\d,]+ +\d+ +[\d,]+ +99\.\d+ %|TCP transfer .* 100\.00 %", text)
    *_, last = text.partition("devices, flows, datapath and namespaces are gone")
    # What ovs-dpctl and ip show afterwards.
    assert [line.split()[0] for line in last.splitlines()[1:]] == ["lo"]
