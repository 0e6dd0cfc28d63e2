"""Mininet, as Debian has it and unmodified, on our daemon: hosts reach each other, and nothing is left."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack import Stack, until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def stack(require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Our daemon and the real database, nothing configured."""
    require("root", "netns", "command:mn", "command:ovsdb-server", "command:ovs-vsctl", "command:iperf")
    stack = Stack(tmp_path_factory.mktemp("mininet"))
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
    until("taking every device away", lambda: devices(stack) - {"ovs-netdev"} <= before)
    return said


def loss(said: str) -> list[int]:
    """The percentages of lost pings that `pingall` reported."""
    return [int(n) for n in re.findall(r"\*\*\* Results: (\d+)% dropped", said)]


TOPOLOGIES = ("single,4", "linear,4", "tree,2,3")


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("switch", ["ovs", "ovs,datapath=user"])
def test_all_hosts_reach_each_other(stack: Stack, switch: str, topology: str) -> None:
    said = mininet(stack, "--switch", switch, "--topo", topology, "--controller", "ovsc", "--test", "pingall")
    assert loss(said) == [0], said


def test_iperf_runs_through_a_switch_that_stands_alone(stack: Stack) -> None:
    said = mininet(
        stack, "--switch", "ovs,failMode=standalone", "--topo", "single,3", "--controller", "none", "--test",
        "pingall+iperf",
    )  # fmt: skip
    assert loss(said) == [0], said
    rates = re.findall(r"\*\*\* Results: \['([0-9.]+) (\w+)/sec', '([0-9.]+) (\w+)/sec'\]", said)
    assert rates, said
    assert float(rates[0][0]) > 0


def test_an_os_ken_controller(stack: Stack) -> None:
    controller = stack.spawn(sys.executable, "-m", "tests.controllers.apps", "learning", "1.3", "6653")
    try:
        said = mininet(
            stack, "--switch", "ovs,protocols=OpenFlow13", "--topo", "linear,3", "--controller",
            "remote,ip=127.0.0.1,port=6653", "--test", "pingall+pingall",
        )  # fmt: skip
    finally:
        controller.terminate()
        controller.wait(10)
    assert loss(said)[-1] == 0, said


VLAN_HOSTS = """\
from mininet.node import Host

class VlanHost(Host):
    "A host whose interface is a VLAN's; odd hosts are in VLAN 100, even ones in 200."

    def config(self, **params):
        result = super().config(**params)
        device = self.defaultIntf()
        vlan = 100 if int(self.name[1:]) % 2 else 200
        self.cmd("ip addr flush dev", device.name)
        self.cmd("ip link add link", device.name, "name vlan%d type vlan id %d" % (vlan, vlan))
        self.cmd("ip addr add", params["ip"], "dev vlan%d" % vlan)
        self.cmd("ip link set vlan%d up" % vlan)
        return result

hosts = {"vlan": VlanHost}

def ping_vlans(net):
    for one, other in (("h1", "h3"), ("h2", "h4"), ("h1", "h2")):
        said = net.get(one).cmd("ping -c 2 -i 0.2 -W 1", net.get(other).params["ip"].split("/")[0])
        print("%s-%s answered %d" % (one, other, said.count("bytes from")))

tests = {"vlans": ping_vlans}
"""


def test_hosts_in_vlans_reach_those_in_their_own(stack: Stack, tmp_path: Path) -> None:
    custom = tmp_path / "vlans.py"
    custom.write_text(VLAN_HOSTS)
    said = mininet(
        stack, "--custom", str(custom), "--host", "vlan", "--switch", "ovs,failMode=standalone", "--topo",
        "single,4", "--controller", "none", "--test", "vlans",
    )  # fmt: skip
    answered = re.findall(r"(h\d-h\d) answered (\d)", said)
    assert answered == [("h1-h3", "2"), ("h2-h4", "2"), ("h1-h2", "0")], said
