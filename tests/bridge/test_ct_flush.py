"""Connections that `ovs-ofctl ct-flush` forgets, on both switches."""

from __future__ import annotations

import pytest
from scapy.layers.inet import ICMP

from tests.bridge.pair import Side
from tests.conntrack.packets import ethernet, ip

pytestmark = pytest.mark.system

SETUP = (
    "add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure"
    " -- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1"
)
PING = bytes(ethernet(1) / ip(1, 2) / ICMP(type=8, code=0, id=7))
REQUESTS = (
    "ct_nw_proto=1,icmp_type=8,icmp_code=0,icmp_id=7",  # Asked for like this, neither forgets a ping.
    "ct_nw_proto=1",
    "zone=3 ct_nw_proto=1,icmp_type=8",
    f"zone=3 ct_nw_src={ip(1, 2).src}",
    f"ct_nw_src={ip(1, 2).src}",
)


def left(side: Side) -> list[list[str]]:
    """Connections of zones 0 and 3 after each request, made anew before each."""
    side.vsctl(SETUP)
    side.run("ovs-ofctl", "add-flow", "br0", "ip,actions=ct(commit,zone=3),ct(commit)")
    found = []
    for request in REQUESTS:
        side.appctl("netdev-dummy/receive", "p1", PING.hex())
        side.wait(lambda: side.appctl("dpctl/dump-conntrack").count("icmp,") == 2, "two connections")
        code, out, err = side.try_run("ovs-ofctl", "ct-flush", "br0", *request.split())
        assert code == 0, out + err
        found.append(sorted(side.appctl("dpctl/dump-conntrack").splitlines()))
    return found


def test_flushed_connections_are_those_of_the_real_switch(real: Side, ours: Side) -> None:
    expected = left(real)
    assert left(ours) == expected
    assert [len(lines) for lines in expected[-2:]] == [1, 0]
