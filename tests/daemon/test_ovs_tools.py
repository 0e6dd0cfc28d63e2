"""What comes with Open vSwitch beside its main tools works on our switch: ovs-save, ovs-tcpdump,
ovs-pcap, ovs-tcpundump, ovs-dpctl-top."""

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
from tests.trials.trial import PACKETS, Bench

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


def test_packets_of_a_file_are_traced(switches: tuple[RealSwitch, RealSwitch]) -> None:
    """ovs-pcap and ovs-tcpundump turn what a port received into what ofproto/trace takes."""
    frames = [PACKETS[name].lower() for name in ("TCP", "ARP", "QINQ")]

    def traced(switch: RealSwitch) -> list[str]:
        bench = Bench(switch)
        bench.prepare()
        file = switch.directory / "received.pcap"
        bench.tool("ovs-vsctl", "set", "interface", "e31", f"options:rxq_pcap={file}")
        bench.tool("ovs-ofctl", "add-flow", "sw", "arp,actions=output:2")
        for frame in frames:
            bench.appctl("netdev-dummy/receive", "e31", frame)
        dumped = subprocess.run(["tcpdump", "-xx", "-r", str(file)], capture_output=True, check=True).stdout
        undumped = subprocess.run(["ovs-tcpundump"], input=dumped, capture_output=True, check=True).stdout
        found = bench.tool("ovs-pcap", str(file))
        assert undumped.decode() == found
        bench.tool("ovs-vsctl", "remove", "interface", "e31", "options", "rxq_pcap")
        traces = [bench.appctl("ofproto/trace", "sw", "in_port=1", line) for line in found.split()]
        return [found, *traces]

    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(traced, switches)
    assert theirs[0].split() == frames
    assert "output:2" in theirs[2]
    assert ours == theirs


def test_dpctl_top_sums_up_the_flows(switches: tuple[RealSwitch, RealSwitch]) -> None:
    def summed(switch: RealSwitch) -> list[str]:
        bench = Bench(switch)
        bench.prepare()
        bench.tool("ovs-ofctl", "add-flow", "sw", "ip,nw_dst=192.168.0.0/24,actions=output:2")
        bench.tool("ovs-ofctl", "add-flow", "sw", "arp,actions=output:3")
        for frame in ("TCP", "TCP", "ARP", "QINQ"):
            bench.appctl("netdev-dummy/receive", "e31", PACKETS[frame])
            bench.appctl("revalidator/wait")
        file = switch.directory / "flows"
        file.write_text(bench.appctl("dpctl/dump-flows"))
        said = bench.tool("ovs-dpctl-top", "-s", "-f", str(file)).splitlines()
        return [line for line in said if "Duration" not in line]

    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(summed, switches)
    assert any("in_port(31)" in line for line in theirs)
    assert sorted(ours) == sorted(theirs)


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
