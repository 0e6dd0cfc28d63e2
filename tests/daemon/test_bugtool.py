"""ovs-bugtool collects of our switch what it collects of the real one.

Of Debian's openvswitch-test 3.1.0, ovs-test is Python 2 and ovs-vlan-test mixes up str and bytes of Python 3
over any switch; ovs-parse-backtrace reads stack traces of C, which ours has none of.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.stack import OURS, REAL, Stack

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def stacks(
    require: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, Stack]]:
    """The real switch and ours, each with hosts 1 and 2 on bridges br0 and br1, which a trunk joins: eth0 is
    in the network without a tag, eth1 (10.1.0.N) in VLAN 10."""
    require("root", "netns", "tun", "command:ovs-vswitchd", "command:ovs-bugtool")
    made = []
    try:
        for switch in (REAL, OURS):
            stack = Stack(tmp_path_factory.mktemp("stack"), switch, ("--log-file",))
            made.append(stack)
            stack.start()
            for n in (1, 2):
                bridge, patch = f"br{n - 1}", f"set interface to{n} type=patch options:peer=to{3 - n}"
                stack.run("ovs-vsctl", "add-br", bridge, "--", "set", "bridge", bridge,
                          "datapath_type=netdev", f"other_config:datapath-id={n:016x}",
                          f"other_config:hwaddr=02:00:00:00:01:0{n}",
                          "--", "add-port", bridge, f"to{n}", "--", *patch.split())  # fmt: skip
                host = stack.host(n)
                for device, tag in ((f"h{n}", ()), (f"v{n}", ("tag=10",))):
                    if tag:
                        peer = ("peer", "name", "eth1", "netns", host)
                        stack.run("ip", "link", "add", device, "type", "veth", *peer)
                        stack.run("ip", "link", "set", device, "up")
                        stack.inside(host, "ip", "addr", "add", f"10.1.0.{n}/24", "dev", "eth1")
                        stack.inside(host, "ip", "link", "set", "eth1", "up")
                    stack.run("ovs-vsctl", "-t", "20", "add-port", bridge, device, *tag)
        yield made[0], made[1]
    finally:
        for stack in made:
            stack.close()


NUMBERS = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|([0-9a-f]{2}:){5}[0-9a-f]{2}|[0-9.]+(m?s)?"
    r"|xid=0x[0-9a-f]+|st[0-9a-fx]+|UTC"
)
SAME = (
    "get_other_config", "ovs-appctl-bfd-show", "ovs-appctl-bond-show",
    "ovs-appctl-cfm-show", "ovs-appctl-conntrack-dump", "ovs-appctl-fdb-show",
    "ovs-appctl-lacp-show", "ovs-appctl-dpctl-show-s",
    "dpif-show", "ovs-ofctl-dump-flows", "ovs-ofctl-dump-group-stats", "ovs-ofctl-dump-groups",
    "ovs-ofctl-dump-ports", "ovs-ofctl-dump-tlv-map", "ovs-ofctl-show", "ovs_bridge_datapath_type",
    "ovs_version", "pmd-rxq-show", "qos_configs", "ovs-appctl-dpctl-dump-flows-system", "tc-class-show",
)  # fmt: skip
"""What the tool's plugins ask the switch for, and what depends on nothing else."""
MOUNTED = ("/run/openvswitch", "/etc/openvswitch", "/var/log/openvswitch")
"""Where the tool looks, and nowhere else."""


def collected(stack: Stack) -> dict[str, str]:
    """What ovs-bugtool finds, by the file's name without its extension."""
    place, archive = stack.directory, stack.directory / "bug.tar"
    mounts = " && ".join(f"mkdir -p {where} && mount --bind {place} {where}" for where in MOUNTED)
    tool = f"ovs-bugtool -y --ovs --delay=1 --output=tar --outfile={archive}"
    environment = {name: v for name, v in stack.environment.items() if not name.startswith("OVS_")}
    command = stack.command("unshare", "-m", "sh", "-c", f"{mounts} && exec {tool}")
    ran = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = {}
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            file = tar.extractfile(member)
            if file is not None:
                name = member.name.split("/", 1)[1].replace("/", "_").removesuffix(".out")
                found[name] = file.read().decode(errors="replace")
    return found


def told(text: str) -> list[str]:
    """Lines without numbers, addresses and names of chance, in some order; each once, for what is asked again
    a second later may have changed."""
    return sorted({" ".join(NUMBERS.sub("N", line).split()) for line in text.splitlines()})


def test_bugtool_collects_what_it_collects_of_the_real_one(stacks: tuple[Stack, Stack]) -> None:
    for stack in stacks:
        assert stack.pings(stack.hosts[0], "10.0.0.2") == 3
        assert stack.inside(stack.hosts[0], "ping", "-c", "2", "-i", "0.2", "10.1.0.2").returncode == 0
    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(collected, stacks)
    # What is empty isn't kept. The journal has a file of each day.
    assert theirs.keys() - ours.keys() == set()
    both_told = {name: (told(theirs[name]), told(ours[name])) for name in SAME}
    assert {name: (real, own) for name, (real, own) in both_told.items() if real != own} == {}
    assert "vswitchd" in ours["ovs_vswitchd_cmdline"]
    assert "Bridge br0" in ours["ovs-vsctl-show"]
    assert "bridge br0: using datapath ID" in ours["var_log_openvswitch_ovs-vswitchd.log"]
    assert "Traceback" not in "".join(ours.values())
