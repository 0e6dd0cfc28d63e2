"""Mininet, as Debian has it and unmodified, on our daemon: hosts reach each other, and nothing is left."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.own_tools import programs
from tests.stack import REAL, Stack, until

pytestmark = pytest.mark.system


@pytest.fixture
def stack(require: Callable[..., None], tmp_path: Path) -> Iterator[Stack]:
    """Our daemon and the real database, nothing configured."""
    require("root", "netns", "command:mn", "command:ovsdb-server", "command:ovs-vsctl", "command:iperf")
    stack = Stack(tmp_path)
    try:
        stack.start()
        yield stack
    finally:
        stack.close()


def devices(stack: Stack) -> set[str]:
    return set(re.findall(r"^\d+: ([^:@]+)", stack.run("ip", "link", "show"), re.MULTILINE))


def mininet(stack: Stack, *args: str) -> str:
    """Run `mn`, Mininet's command, to its end; what it said. Everything that it made must be gone then."""
    before = devices(stack)
    # When it fails it kills whatever has certain names: it shall not see others' processes.
    ran = stack.ask("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "mn", *args, timeout=60)
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, f"{said}\n{stack.log('vswitchd')[-3000:]}"
    assert stack.run("ovs-vsctl", "list-br") == ""
    until("taking every device away", lambda: devices(stack) - {"ovs-netdev", "ovs-ebpf"} <= before)
    return said


def loss(said: str) -> list[int]:
    """The percentages of lost pings that `pingall` reported."""
    return [int(n) for n in re.findall(r"\*\*\* Results: (\d+)% dropped", said)]


def with_our_tools(stack: Stack, tmp_path: Path) -> None:
    """From now on what is called ovs-vsctl, ovs-ofctl and ovs-appctl is `vswitch vsctl`..."""
    stack.environment["PATH"] = f"{programs(tmp_path)}:{stack.environment['PATH']}"


TOPOLOGIES = ("single,4", "linear,4", "tree,2,3")


@pytest.mark.parametrize("topology", TOPOLOGIES)
# "ovs" leaves the datapath to the switch, which takes the eBPF one where the kernel has no module.
@pytest.mark.parametrize("switch", ["ovs", "ovs,datapath=user"])
def test_all_hosts_reach_each_other(
    stack: Stack, switch: str, topology: str, require: Callable[..., None]
) -> None:
    said = mininet(stack, "--switch", switch, "--topo", topology, "--controller", "ovsc", "--test", "pingall")
    assert loss(said) == [0], said
    if switch == "ovs" and not Path("/sys/module/openvswitch").exists():
        require("ebpf")
        assert "use the eBPF datapath (ebpf)" in stack.log("vswitchd")


# Mininet 2.3's own tests don't understand what Debian's iperf 2.1 says, on any switch.
TCP = """\
def iperf_tcp(net):
    client, server = net.get("h1"), net.get("h3")
    server.cmd("iperf -s >/dev/null 2>&1 &")
    said = client.cmd("sleep 0.5; iperf -f k -t 2 -c", server.IP())
    print("rate %s Kbits/sec" % said.split("Kbits/sec")[0].split()[-1])
    server.cmd("kill %1")

tests = {"tcp": iperf_tcp}
"""


def test_iperf_runs_through_a_switch_that_stands_alone(stack: Stack, tmp_path: Path) -> None:
    custom = tmp_path / "tcp.py"
    custom.write_text(TCP)
    said = mininet(
        stack, "--custom", str(custom), "--switch", "ovs,failMode=standalone", "--topo", "single,3",
        "--controller", "none", "--test", "pingall+tcp",
    )  # fmt: skip
    assert loss(said) == [0], said
    assert float(re.findall(r"rate ([0-9.]+) Kbits/sec", said)[0]) > 1000, said


def test_an_os_ken_controller(stack: Stack) -> None:
    controller = stack.spawn(sys.executable, "-m", "tests.controllers.apps", "learning", "1.3", "6653")
    until("listening", lambda: ":6653" in stack.run("ss", "-tln"))
    try:
        said = mininet(
            stack, "--switch", "ovs,protocols=OpenFlow13", "--topo", "linear,3", "--controller",
            "remote,ip=127.0.0.1,port=6653", "--test", "pingall+pingall",
        )  # fmt: skip
    finally:
        controller.terminate()
        controller.wait(10)
    assert loss(said)[-1] == 0, said


VLANS = """\
def ping_vlans(net):
    for number, vlan in ((1, 100), (2, 200), (3, 100), (4, 200)):
        net.get("s%d" % number).cmd("ovs-vsctl set port s%d-eth1 tag=%d" % (number, vlan))
    for one, other in (("h1", "h3"), ("h2", "h4"), ("h1", "h2")):
        said = net.get(one).cmd("ping -c 2 -i 0.2 -W 1", net.get(other).IP())
        print("%s-%s answered %d" % (one, other, said.count("bytes from")))

tests = {"vlans": ping_vlans}
"""


@pytest.mark.parametrize("own", [False, True], ids=["its own tools", "our tools"])
def test_hosts_in_vlans_reach_those_in_their_own(stack: Stack, tmp_path: Path, own: bool) -> None:
    """Access ports at the ends, trunks between the switches (not every kernel has VLAN devices for hosts)."""
    if own:
        with_our_tools(stack, tmp_path)
    custom = tmp_path / "vlans.py"
    custom.write_text(VLANS)
    said = mininet(
        stack, "--custom", str(custom), "--switch", "ovs,failMode=standalone", "--topo", "linear,4",
        "--controller", "none", "--test", "vlans",
    )  # fmt: skip
    answered = re.findall(r"(h\d-h\d) answered (\d)", said)
    assert answered == [("h1-h3", "2"), ("h2-h4", "2"), ("h1-h2", "0")], said


def test_a_tree_of_the_real_switch_is_made_by_our_tools(
    require: Callable[..., None], tmp_path: Path
) -> None:
    """Mininet has ovs-vsctl make its bridges and ovs-ofctl their flows: here both are ours."""
    require("root", "netns", "command:mn", "command:ovsdb-server", "command:ovs-vswitchd")
    stack = Stack(tmp_path, REAL)
    try:
        stack.start()
        with_our_tools(stack, tmp_path)
        said = mininet(
            stack, "--switch", "ovs,datapath=user,failMode=standalone", "--topo", "tree,2,2", "--controller",
            "none", "--test", "pingall",
        )  # fmt: skip
    finally:
        stack.close()
    assert loss(said) == [0], said
