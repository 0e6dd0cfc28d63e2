"""What packet-ins say of connection tracking when the kernel's datapath tracks: what translation knows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.uml.inside.daemon import Daemon, Hosts, wait_until

FLOWS = (
    "table=0,priority=10,arp,actions=normal",
    "table=0,priority=10,udp,in_port=p1,tp_dst=7001,actions=ct(commit),controller",
    "table=0,priority=10,udp,in_port=p1,tp_dst=7002,actions=ct(table=1)",
    "table=1,priority=10,udp,actions=controller",
)
SEND = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('10.0.0.2', {port}))"


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    hosts = Hosts(2)
    yield hosts
    hosts.close()


def test_tracked_packets_are_told_as_translation_knows_them(hosts: Hosts) -> None:
    daemon = Daemon("p1", "p2", flows=FLOWS)
    said = daemon.dir / "monitor"
    with said.open("wb") as out:
        monitor = subprocess.Popen(
            ["ovs-ofctl", "-O", "OpenFlow13", "monitor", "br0", "65534"], stdout=out, stderr=out,
            env={**os.environ, "OVS_RUNDIR": str(daemon.dir)},
        )  # fmt: skip
    try:

        def told(port: int) -> str:
            """The line of metadata of the packet-in that comes of a datagram to `port`."""

            def heard() -> bool:
                send(port)
                return f"tp_dst={port}" in said.read_text()

            wait_until(f"a packet-in of port {port}", heard)
            lines = said.read_text().splitlines()
            return next(lines[i - 1] for i, line in enumerate(lines) if f",tp_dst={port}" in line)

        untracked, tracked = told(7001), told(7002)
        assert "total_len=43 in_port=1 (via action)" in untracked
        assert "table_id=1 cookie=0x0 total_len=43 ct_state=new|trk,ct_nw_src=10.0.0.1," in tracked
        assert ",ip,in_port=1 (via action)" in tracked
    finally:
        monitor.kill()
        monitor.wait()
        assert daemon.stop() == 0, daemon.log()


def send(port: int) -> None:
    """A datagram from host 1."""
    subprocess.run(["ip", "netns", "exec", "h1", sys.executable, "-c", SEND.format(port=port)], check=True)
