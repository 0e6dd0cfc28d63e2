"""Controllers that know nothing of us, and hosts that talk through the flows that they make."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Stack, until
from tests.whole import datapaths

pytestmark = pytest.mark.system

PORT = "6653"


@pytest.fixture(params=datapaths())
def stack(
    require: Callable[..., None], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Stack]:
    """Bridge br0 without flows, with hosts 1 and 2 at its ports 1 and 2."""
    require("root", "netns", "command:ovsdb-server", "command:ovs-vsctl", "command:ovs-ofctl")
    if request.param == "ebpf":
        require("ebpf")
    stack = Stack(tmp_path)
    try:
        stack.start()
        stack.run(
            "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", f"datapath_type={request.param}",
            "fail_mode=secure", "other_config:disable-in-band=true",
        )  # fmt: skip
        yield stack
    finally:
        stack.close()


def add_hosts(stack: Stack, *addresses: str) -> list[str]:
    hosts = []
    for number, address in enumerate(addresses, 1):
        hosts.append(stack.host(number, address))
        stack.run("ovs-vsctl", "add-port", "br0", f"h{number}", "--", "set", "interface", f"h{number}",
                  f"ofport_request={number}")  # fmt: skip
    return hosts


def point_at_controller(stack: Stack, version: str) -> str:
    """Have the bridge look for a controller and speak `version` with it, which empties its tables; what
    ovs-ofctl calls the version."""
    dialect = f"OpenFlow{version.replace('.', '')}"
    stack.run("ovs-vsctl", "set", "bridge", "br0", f"protocols={dialect}")
    stack.run("ovs-vsctl", "set-controller", "br0", f"tcp:127.0.0.1:{PORT}")
    stack.run("ovs-vsctl", "set", "controller", "br0", "max_backoff=1000")
    return dialect


def control(stack: Stack, app: str, version: str) -> Callable[[], list[dict[str, Any]]]:
    """Start a controller and wait for the bridge; gives what it has said so far."""
    out = stack.spawn(sys.executable, "-m", "tests.controllers.apps", app, version, PORT)

    def said() -> list[dict[str, Any]]:
        assert out.poll() is None, stack.log(Path(sys.executable).name)
        lines = stack.log(Path(sys.executable).name).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    until("the connection", lambda: any("connected" in line for line in said()))
    return said


def keys(said: Callable[[], list[dict[str, Any]]], key: str) -> list[Any]:
    return [line[key] for line in said() if key in line]


@pytest.mark.parametrize("version", ["1.0", "1.3", "1.4", "1.5"])
def test_a_learning_switch_on_os_ken(stack: Stack, version: str) -> None:
    one, _ = add_hosts(stack, "", "")
    dialect = point_at_controller(stack, version)
    said = control(stack, "learning", version)
    assert stack.pings(one, "10.0.0.2", 5) >= 4  # the first may die while addresses are learned
    flows = keys(said, "flow")
    assert ["02:00:00:00:00:02", "02:00:00:00:00:01", 1] in flows
    assert not keys(said, "error")
    dumped = stack.run("ovs-ofctl", "-O", dialect, "dump-flows", "br0")
    assert "dl_src=02:00:00:00:00:02,dl_dst=02:00:00:00:00:01 actions=output:1" in dumped
    assert stack.pings(one, "10.0.0.2", 5) == 5


@pytest.mark.parametrize("version", ["1.3", "1.4", "1.5"])
def test_a_router_of_groups_and_meters_on_os_ken(stack: Stack, version: str) -> None:
    one, two = add_hosts(stack, "10.1.0.2/24", "10.2.0.2/24")
    for host, network in ((one, 1), (two, 2)):
        gateway = f"10.{network}.0.1"
        for words in (("neigh", "add", gateway, "lladdr", "02:00:00:00:00:fe", "dev", "eth0"),
                      ("route", "add", "default", "via", gateway)):  # fmt: skip
            assert stack.inside(host, "ip", *words).returncode == 0
    dialect = point_at_controller(stack, version)
    said = control(stack, "router", version)
    until("the barrier's reply", lambda: keys(said, "barrier"))
    assert not keys(said, "error")
    assert stack.pings(one, "10.2.0.2", 4) == 4

    def routed() -> int:
        groups = stack.run("ovs-ofctl", "-O", dialect, "dump-group-stats", "br0")
        return int(re.findall(r"group_id=2,.*?packet_count=(\d+)", groups)[0])

    until("counting the pings on their group", lambda: routed() >= 4)
    assert routed() == 4
    meters = stack.run("ovs-ofctl", "-O", dialect, "meter-stats", "br0")
    assert "meter:1 flow_count:1" in meters
    assert "packet_in_count:0 " not in meters


@pytest.mark.parametrize("version", ["1.0", "1.3", "1.4", "1.5"])
def test_a_monitor_on_os_ken_gets_every_answer(stack: Stack, version: str) -> None:
    add_hosts(stack, "", "")
    ofctl = ("ovs-ofctl", "-O", point_at_controller(stack, version))
    if version != "1.0":
        stack.run(*ofctl, "add-meter", "br0", "meter=4,kbps,band=type=drop,rate=1000")
        stack.run(*ofctl, "add-group", "br0", "group_id=7,type=all,bucket=output:1,bucket=output:2")
    stack.run(*ofctl, "add-flow", "br0", "cookie=0x99,priority=77,ip,actions=output:2")
    said = control(stack, "monitor", version)
    until("the barrier's reply", lambda: keys(said, "barrier"))
    assert not keys(said, "error")
    assert not keys(said, "lacking")
    replies = {line["reply"]: line for line in said() if "reply" in line}
    wanted = {"Desc", "Aggregate", "Table", "Port"} | ({"Flow"} if version != "1.5" else {"FlowDesc"})
    if version != "1.0":
        wanted |= {"PortDesc", "Group", "GroupFeatures", "Meter", "TableFeatures"}
        wanted |= {"MeterDesc"} if version == "1.5" else {"GroupDesc"}
    assert wanted <= set(replies), set(replies)
    flows = str(replies["FlowDesc" if version == "1.5" else "Flow"]["body"])
    assert replies["Port"]["n"] == 3
    assert "153" in flows or "0x99" in flows
    if version != "1.0":
        assert "7" in str(replies["Group"]["body"])
        assert replies["Meter"]["n"] == 1
    assert "malformed" not in stack.log(Path(sys.executable).name)


def test_hosts_ping_through_the_real_test_controller(stack: Stack, require: Callable[..., None]) -> None:
    require("command:ovs-testcontroller")
    one, two = add_hosts(stack, "", "")
    stack.spawn("ovs-testcontroller", f"ptcp:{PORT}", f"--unixctl={stack.directory}/tc.ctl")
    stack.run("ovs-vsctl", "set-controller", "br0", f"tcp:127.0.0.1:{PORT}")
    connected = ("ovs-vsctl", "get", "controller", "br0", "is_connected")
    until("the connection", lambda: stack.run(*connected).strip() == "true")
    assert stack.pings(one, "10.0.0.2", 5) >= 4
    assert stack.pings(two, "10.0.0.1", 5) == 5
    assert "dl_dst=02:00:00:00:00:01" in stack.run("ovs-ofctl", "dump-flows", "br0")
