"""A whole switch on the eBPF datapath, configured by the real tools: bridges, patch ports, mirrors, groups,
the local port, and what can be asked of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack import Stack, until

pytestmark = pytest.mark.system
VSWITCH = (sys.executable, "-m", "vswitch")


@pytest.fixture
def stack(require: Callable[..., None], tmp_path: Path) -> Iterator[Stack]:
    require("root", "netns", "tun", "ebpf", "command:ovsdb-server", "command:ovs-vsctl", "command:ping")
    stack = Stack(tmp_path)
    try:
        stack.start()
        yield stack
    finally:
        stack.close()


def bridge(stack: Stack, name: str, *ports: str) -> None:
    words = ["add-br", name, "--", "set", "bridge", name, "datapath_type=ebpf"]
    for port in ports:
        words += ["--", "add-port", name, port]
    stack.run("ovs-vsctl", *words)


def appctl(stack: Stack, *args: str) -> str:
    """What the switch says. Once, by our own tool: counters move while packets pass."""
    return stack.run(*VSWITCH, "appctl", "-t", str(next(stack.directory.glob("ovs-vswitchd.*.ctl"))), *args)


def in_kernel(stack: Stack) -> int:
    """Packets that the kernel found a flow for."""
    paths = re.search(r"paths: kernel cache:(\d+), kernel lookup:(\d+)", appctl(stack, "dpctl/show"))
    assert paths
    return int(paths[1]) + int(paths[2])


def test_two_bridges_joined_by_patch_ports_with_a_mirror(stack: Stack) -> None:
    one, two, watcher = stack.host(1), stack.host(2), stack.host(3)
    bridge(stack, "br0", "h1", "h3")
    bridge(stack, "br1", "h2")
    for own, port, peer in (("br0", "to1", "to0"), ("br1", "to0", "to1")):
        stack.run("ovs-vsctl", "add-port", own, port, "--", "set", "interface", port, "type=patch",
                  f"options:peer={peer}")
    stack.run("ovs-vsctl", "--", "--id=@p", "get", "port", "h3", "--", "--id=@m", "create", "mirror",
              "name=m", "select-all=true", "output-port=@p", "--", "set", "bridge", "br0", "mirrors=@m")

    def seen() -> int:
        return int(stack.inside(watcher, "cat", "/sys/class/net/eth0/statistics/rx_packets").stdout)

    assert stack.pings(one, "10.0.0.2", 2) == 2
    before, mirrored = in_kernel(stack), seen()
    assert stack.pings(one, "10.0.0.2", 10) == 10
    assert in_kernel(stack) - before >= 18
    assert seen() - mirrored >= 20
    flows = appctl(stack, "dpctl/dump-flows", "-m")
    assert "offloaded:yes, dp:ebpf" in flows
    assert stack.pings(two, "10.0.0.1", 2) == 2


def test_the_local_port_is_part_of_the_host(stack: Stack) -> None:
    one = stack.host(1)
    bridge(stack, "br0", "h1")
    stack.run("ip", "addr", "add", "10.0.0.100/24", "dev", "br0")
    stack.run("ip", "link", "set", "br0", "up")
    assert stack.pings(one, "10.0.0.100", 2) == 2
    before = in_kernel(stack)
    assert stack.pings(one, "10.0.0.100", 10) == 10
    assert in_kernel(stack) - before >= 18

    def counters() -> dict[str, int]:
        said = stack.run("ovs-vsctl", "--columns=statistics", "--format=json", "list", "interface", "br0")
        return dict(json.loads(said)["data"][0][0][1])

    until("the local port's counters", lambda: counters().get("rx_packets", 0) >= 10)
    assert counters()["tx_packets"] >= 10


def test_what_is_in_the_kernel_and_why_can_be_asked(stack: Stack) -> None:
    one = stack.host(1)
    stack.host(2)
    # Asking takes a while where others are busy, too.
    stack.run("ovs-vsctl", "set", "Open_vSwitch", ".", "other_config:max-idle=120000")
    bridge(stack, "br0", "h1", "h2")
    target = f"unix:{stack.directory}/br0.mgmt"
    stack.run("ovs-ofctl", "add-flow", target, "priority=9,icmp,actions=ct(commit),output:2")
    stack.pings(one, "10.0.0.2", 2)
    ctl = str(next(stack.directory.glob("ovs-vswitchd.*.ctl")))

    def vswitch(*args: str) -> str:
        return stack.run(*VSWITCH, "ebpf", *args, "-t", ctl)

    stack.inside(one, "ip", "neigh", "add", "10.0.0.2", "lladdr", "02:00:00:00:00:02", "dev", "eth0")
    stack.pings(one, "10.0.0.2", 2)
    flows = appctl(stack, "dpctl/dump-flows", "-m")
    ufid = re.search(r"(ufid:[-0-9a-f]+), .*eth_type\(0x0800\).*icmp", flows)
    assert ufid, flows
    why = appctl(stack, "ebpf/why", ufid[1])
    assert "in userspace only: it tracks connections" in why
    shown = vswitch("show")
    assert re.search(r"ebpf@ovs-ebpf:\n  packets: kernel cache:\d+, ", shown)
    assert re.search(r"port \d+ \(h1\): at the ingress of interface \d+; sent up [1-9]", shown)
    said = json.loads(vswitch("show", "--json"))["ebpf@ovs-ebpf"]
    assert said["flows"]["userspace_only"] == sum(said["reasons"].values()) >= 1
    assert {"br0", "h1", "h2"} <= {port["name"] for port in said["ports"]}
    (explained,) = json.loads(vswitch("why", ufid[1], "--json"))
    assert (explained["kernel"], explained["reason"]) == (False, "it tracks connections")
    listing = vswitch("dump", "classify")
    (program,) = json.loads(vswitch("dump", "classify", "--json"))
    assert program["program"] == "classify"
    assert "; the cache" in program["listing"]
    assert "; the cache" in listing
    assert re.search(r"^ +\d+: call skb_pull_data$", listing, re.MULTILINE)
    refused = stack.ask(*VSWITCH, "ebpf", "why", "ufid:00000000-0000-0000-0000-000000000000", "-t", ctl)
    assert refused.returncode != 0
    assert "no datapath flow is like" in refused.stderr + refused.stdout


def test_a_group_and_a_controller_action_work(stack: Stack) -> None:
    one, two = stack.host(1), stack.host(2)
    bridge(stack, "br0", "h1", "h2")
    target = f"unix:{stack.directory}/br0.mgmt"
    stack.run("ovs-ofctl", "-O", "OpenFlow13", "add-group", target,
              "group_id=1,type=select,bucket=output:2,bucket=output:2")
    stack.run("ovs-ofctl", "-O", "OpenFlow13", "add-flow", target, "in_port=1,actions=group:1")
    assert stack.pings(one, "10.0.0.2", 5) == 5
    assert stack.pings(two, "10.0.0.1", 2) == 2


def test_an_internal_port_goes_into_a_container_and_comes_back(stack: Stack) -> None:
    """No program reaches it there: userspace carries its packets. Back here it is the kernel's again, and
    when the container ends with it there is a new one."""
    one, container = stack.host(1), stack.host(3)
    bridge(stack, "br0", "h1", "in1")
    stack.run("ovs-vsctl", "set", "interface", "in1", "type=internal")
    until("the port", lambda: stack.ask("ip", "link", "show", "in1").returncode == 0)
    assert stack.inside(container, "ip", "addr", "flush", "dev", "eth0").returncode == 0

    def use_it() -> int:
        """Packets that the kernel forwards of ten pings."""
        assert stack.pings(one, "10.0.0.50", 2) == 2
        before = in_kernel(stack)
        assert stack.pings(one, "10.0.0.50", 10) == 10
        return in_kernel(stack) - before

    def settle(run: Callable[..., object]) -> None:
        run("ip", "addr", "add", "10.0.0.50/24", "dev", "in1")
        run("ip", "link", "set", "in1", "up")

    def within(*args: str) -> None:
        assert stack.inside(container, *args).returncode == 0

    stack.run("ip", "link", "set", "in1", "netns", container)
    settle(within)
    assert use_it() < 5
    within("ip", "link", "set", "in1", "netns", stack.name)
    settle(stack.run)
    assert use_it() >= 18
    stack.run("ip", "link", "set", "in1", "netns", container)
    stack.hosts.remove(container)
    subprocess.run(["ip", "netns", "del", container], check=True)
    until("a new one", lambda: stack.ask("ip", "link", "show", "in1").returncode == 0)
    settle(stack.run)
    # Its address is another one.
    assert stack.inside(one, "ip", "neigh", "flush", "dev", "eth0").returncode == 0
    assert use_it() >= 18
    assert "Traceback" not in stack.log("vswitchd")
