"""Bridges of a database on the kernel's datapath: described as by the real switch, and forwarding."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.pair import Ours, Real, Side

COMMANDS = (
    "add-br br0",
    "add-port br0 p1 -- set interface p1 ofport_request=1",
    "add-port br0 p2 -- set interface p2 ofport_request=2",
    "add-port br0 i1 -- set interface i1 type=internal ofport_request=3 mac=\"00:00:5e:00:53:09\"",
    "add-port br0 gone -- set interface gone ofport_request=4",
    "add-port br0 a -- set interface a type=patch options:peer=b ofport_request=5",
    "add-br br1 -- add-port br1 b -- set interface b type=patch options:peer=a ofport_request=1",
    "set interface p1 mtu_request=1400",
)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def hosts() -> Iterator[None]:
    """Two hosts in namespaces, on p1 and p2."""
    try:
        for n in (1, 2):
            _ip("netns", "add", f"h{n}")
            _ip("link", "add", f"p{n}", "address", f"00:00:5e:00:53:0{n}", "type", "veth",
                "peer", "name", "eth0", "netns", f"h{n}")  # fmt: skip
            _ip("-n", f"h{n}", "addr", "add", f"10.0.0.{n}/24", "dev", "eth0")
            _ip("-n", f"h{n}", "link", "set", "eth0", "up")
            _ip("link", "set", f"p{n}", "up")
        yield
    finally:
        for n in (1, 2):
            subprocess.run(["ip", "netns", "del", f"h{n}"], check=False)


def _seen(side: Side) -> dict[str, Any]:
    """The database's interfaces and datapath ids, without numbers that the kernel gives."""
    contents = side.contents()
    for interface in contents["Interface"].values():
        interface["statistics"] = sorted(interface["statistics"])
        interface["ifindex"] = interface["ifindex"] != [] and interface["ifindex"] > 0
        interface["link_resets"] = []
        interface["status"].pop("driver_version", None)
    return contents["Interface"] | {"br0's id": contents["Bridge"]["Bridge br0"]["datapath_id"]}


def _configured(side: Side) -> list[Any]:
    """What ovs-vsctl says to each command, and what the database says in the end."""
    said: list[Any] = [side.vsctl(command) for command in COMMANDS]
    if isinstance(side, Ours):
        # The real one starts no handler threads on the one processor that there is here.
        ping = ["ip", "netns", "exec", "h1", "ping", "-c", "1", "-w", "10", "10.0.0.2"]
        assert subprocess.run(ping, check=False).returncode == 0, f"{said}\n{side.log('ovs-vswitchd')}"
    last: Any = None
    end = time.monotonic() + 20
    while (now := _seen(side)) != last and time.monotonic() < end:
        last = now
        time.sleep(1.5)
    return [*said, last]


def test_the_kernel_s_ports_are_described_as_by_the_real_switch(hosts: None, tmp_path: Path) -> None:
    results = []
    for kind in (Real, Ours):
        directory = tmp_path / kind.__name__
        directory.mkdir()
        side = kind(directory)
        side.options = ()
        try:
            side.start()
            results.append(_configured(side))
            if kind is Ours:
                assert "system@ovs-system:" in side.appctl("dpif/show")
                side.vsctl("del-br br0 -- del-br br1")
            else:
                side.appctl("exit", "--cleanup")
        finally:
            side.close()
        _ip("link", "set", "p1", "mtu", "1500")
    real, ours = results
    assert ours[:-1] == real[:-1]
    assert ours[-1].keys() == real[-1].keys()
    assert [(name, ours[-1][name], row) for name, row in real[-1].items() if ours[-1][name] != row] == []
