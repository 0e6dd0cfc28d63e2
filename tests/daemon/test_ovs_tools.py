"""What comes with Open vSwitch beside its main tools works on our switch: ovs-save, ovs-tcpdump."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ofctl.conftest import switches
from tests.oracle.real import RealSwitch
from tests.stack import Stack, until
from tests.trials.trial import Bench

__all__ = ["switches"]
pytestmark = pytest.mark.system

OVS_SAVE = "/usr/share/openvswitch/scripts/ovs-save"
PLACE = re.compile(r"/tmp/ovs-save\.\w+")


def test_flows_are_saved_and_come_back(switches: tuple[RealSwitch, RealSwitch]) -> None:
    """As `ovs-ctl restart` does it: the script that ovs-save prints, and the files that it names."""

    def saved(switch: RealSwitch) -> list[str]:
        bench = Bench(switch)
        bench.prepare()
        bench.tool("ovs-ofctl", "add-tlv-map", "sw", "{class=0xffff,type=0,len=4}->tun_metadata0")
        for words in (
            ("add-group", "group_id=1,type=select,selection_method=hash,fields(ip_src),bucket=output:1"),
            ("add-flow", "in_port=1,tun_metadata0=5,actions=group:1"),
            ("add-flow", "table=3,cookie=5,idle_timeout=600,tcp,actions=learn(table=4,eth_dst=eth_src),2"),
        ):
            assert bench.tool("ovs-ofctl", "-O", "OpenFlow15", words[0], "sw", words[1]) == ""
        script = subprocess.run([OVS_SAVE, "save-flows", "sw"], env=switch.environment, capture_output=True,
                                text=True, check=True, timeout=60).stdout  # fmt: skip
        place = Path(PLACE.findall(script)[0])
        files = [file.read_text() for file in sorted(place.iterdir())]
        for command in ("del-flows", "del-groups", "del-tlv-map"):
            bench.tool("ovs-ofctl", "-O", "OpenFlow15", command, "sw")
        restored = subprocess.run(["sh"], input=script, env=switch.environment, capture_output=True,
                                  text=True, check=False, timeout=60)  # fmt: skip
        assert (restored.returncode, restored.stderr) == (0, "")
        now = bench.tool("ovs-ofctl", "-O", "OpenFlow15", "--no-stats", "dump-flows", "sw")
        return [PLACE.sub("PLACE", script), *files, now]

    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(saved, switches)
    assert "group:1" in theirs[-1]
    assert ours == theirs


@pytest.fixture
def stack(require: Callable[..., None], tmp_path: Path) -> Iterator[Stack]:
    """Our switch with two hosts."""
    require("root", "netns", "tun", "command:ovs-tcpdump", "command:tcpdump", "command:ovsdb-server")
    made = Stack(tmp_path)
    try:
        made.start()
        made.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        for number in (1, 2):
            made.host(number)
            made.run("ovs-vsctl", "-t", "20", "add-port", "br0", f"h{number}")
        yield made
    finally:
        made.close()


def test_a_port_is_listened_to(stack: Stack) -> None:
    """ovs-tcpdump mirrors a port to a device that it makes, and takes all away again."""
    listening = stack.spawn("ovs-tcpdump", "--db-sock", f"unix:{stack.directory}/db.sock", "-i", "h1", "-n",
                            "-l", "-c", "4", "icmp")  # fmt: skip
    until("it listens", lambda: "listening on" in stack.log("ovs-tcpdump"))
    first, second = (f"{stack.name}h{number}" for number in (1, 2))
    assert stack.pings(first, "10.0.0.2", 5) == 5
    assert listening.wait(20) == 0
    said = stack.log("ovs-tcpdump")
    assert said.count("ICMP echo request") == said.count("ICMP echo reply") == 2
    assert stack.run("ovs-vsctl", "list", "mirror") == ""
    assert stack.run("ovs-vsctl", "list-ports", "br0").split() == ["h1", "h2"]
    assert stack.pings(second, "10.0.0.1", 2) == 2
