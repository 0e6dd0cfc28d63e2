"""The kernel's bonding driver: with LACP it and our bond agree, and traffic survives a link that fails."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack import Stack, until
from tests.whole import ALL

LACP = "802.3ad lacp_rate fast xmit_hash_policy layer3+4"
WITHOUT_LACP = ("active-backup", "balance-tlb", "balance-alb")
"""Modes of the driver that want ports of their own: such a host shows each of its addresses at one port at a
time. The others (balance-rr, balance-xor, broadcast) want a switch that aggregates without LACP, which no
bond of Open vSwitch does: broadcasts are taken from its active member only."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    try:
        stack.start()
        yield stack
    finally:
        stack.close()


def connect(stack: Stack, mode: str = LACP) -> Callable[[str], list[str]]:
    """A host whose bond `kb` of `mode` has the two links of our bond. Returns what the driver says behind a
    label."""
    host = stack.host(9)
    for n in (1, 2):
        stack.run("ip", "link", "add", f"o{n}", "type", "veth", "peer", "name", f"k{n}", "netns", host)
        stack.run("ip", "link", "set", f"o{n}", "up")
    # The kernel is not to answer for br0 by the devices that the switch takes packets from.
    stack.run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1")
    inside = stack.inside
    for words in (
        f"link add kb type bond mode {mode} miimon 100",
        "link set k1 master kb", "link set k2 master kb", "link set kb up", "addr add 10.1.0.2/24 dev kb",
    ):  # fmt: skip
        ran = inside(host, "ip", *words.split())
        assert ran.returncode == 0, f"{words}: {ran.stderr}"

    def said(label: str) -> list[str]:
        text = inside(host, "cat", "/proc/net/bonding/kb").stdout
        return re.findall(rf"^[ \t]*{label}: (.*)$", text, re.MULTILINE | re.IGNORECASE)

    return said


@pytest.mark.parametrize("mode", ["balance-tcp", "active-backup"])
@pytest.mark.parametrize("lacp", ["active", "passive"])
def test_a_bond_with_the_kernels_driver(stack: Stack, lacp: str, mode: str) -> None:
    said = connect(stack)
    stack.run(
        "ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "--",
        "add-bond", "br0", "bond0", "o1", "o2", f"bond_mode={mode}", f"lacp={lacp}",
        "other_config:lacp-time=fast", "other_config:lb-output-action=true",
    )  # fmt: skip
    stack.run("ip", "addr", "add", "10.1.0.1/24", "dev", "br0")
    stack.run("ip", "link", "set", "br0", "up")

    def show() -> str:
        return stack.run("ovs-appctl", "lacp/show", "bond0")

    def members(n: int) -> bool:
        return show().count("current attached") == n and said("Number of ports") == [str(n)]

    until("both links aggregated at both ends", lambda: members(2), 60)
    ours = re.search(r"^  sys_id: (\S+)$", show(), re.MULTILINE)
    assert ours is not None
    assert said("Partner Mac Address") == [ours[1]]
    theirs = said("System MAC address")[0]
    assert show().count(f"partner sys_id: {theirs}") == 2
    assert f"  status: {lacp} negotiated\n" in show()
    # Either end has the partner's state: it collects and distributes, as its next LACPDU says.
    until(
        "partners that collect and distribute",
        lambda: len(re.findall(r"partner state:.*collecting distributing", show())) == 2, 40,
    )  # fmt: skip
    assert ("lb_output action: enabled" in stack.run("ovs-appctl", "bond/show", "bond0")) == (
        mode == "balance-tcp"
    )
    host = stack.hosts[0]
    until("an answered ping", lambda: stack.pings(host, "10.1.0.1", 1) == 1)
    assert stack.pings(host, "10.1.0.1", 5) == 5
    for cut in (1, 2) if ALL else (1,):
        assert stack.inside(host, "ip", "link", "set", f"k{cut}", "down").returncode == 0
        until("one link left", lambda: show().count("current attached") == 1, 30)
        until("an answered ping over it", lambda: stack.pings(host, "10.1.0.1", 1) == 1)
        assert stack.pings(host, "10.1.0.1", 5) == 5
        assert stack.inside(host, "ip", "link", "set", f"k{cut}", "up").returncode == 0
        until("both links again", lambda: members(2), 60)


@pytest.mark.parametrize("theirs", WITHOUT_LACP)
def test_a_bond_of_the_kernels_without_lacp(stack: Stack, theirs: str) -> None:
    said = connect(stack, theirs)
    stack.run("ovs-vsctl", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev",
              "--", "add-port", "br0", "o1", "--", "add-port", "br0", "o2")  # fmt: skip
    stack.run("ip", "addr", "add", "10.1.0.1/24", "dev", "br0")
    stack.run("ip", "link", "set", "br0", "up")
    host = stack.hosts[0]
    until("both links", lambda: said("MII Status") == ["up"] * 3)
    until("an answered ping", lambda: stack.pings(host, "10.1.0.1", 1) == 1)
    assert stack.pings(host, "10.1.0.1", 10) == 10
    for cut in (1, 2):
        assert stack.inside(host, "ip", "link", "set", f"k{cut}", "down").returncode == 0
        until("a link less", lambda: said("MII Status").count("down") == 1)
        until("an answered ping over the other", lambda: stack.pings(host, "10.1.0.1", 1) == 1)
        assert stack.pings(host, "10.1.0.1", 10) == 10
        assert stack.inside(host, "ip", "link", "set", f"k{cut}", "up").returncode == 0
        until("both links again", lambda: said("MII Status") == ["up"] * 3)
        until("an answered ping", lambda: stack.pings(host, "10.1.0.1", 1) == 1)
