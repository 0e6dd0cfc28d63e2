"""NAT beyond what the real switch can be compared in: it chooses from ranges by a hash of its own."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.conntrack.pair import OurTracker
from vswitch.base import coverage

FLOWS = """\
table=0,in_port=1,ip,actions=ct(commit,table=1,nat({}))
table=0,in_port=2,ip,actions=ct(nat,table=1)
table=1,in_port=1,actions=2
table=1,in_port=2,actions=1
"""


def sent(
    tracker: OurTracker, host: int, sport: int = 1000, dst: str = "10.0.0.2"
) -> tuple[str, int, str, int] | None:
    """Where a packet comes from and goes to when it has been translated; None if it was dropped."""
    packet = Ether() / IP(src=f"10.0.1.{host}", dst=dst) / UDP(sport=sport, dport=53)
    out = tracker.send(1, bytes(packet))
    if not out:
        return None
    ip = Ether(out[0][1])[IP]
    return ip.src, ip[UDP].sport, ip.dst, ip[UDP].dport


@pytest.fixture
def ours(our_tracker: OurTracker, request: pytest.FixtureRequest) -> OurTracker:
    our_tracker.flows(FLOWS.format(request.param))
    return our_tracker


def nat(text: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("ours", [text], indirect=True)


@nat("src=10.0.0.9:5000-5003")
def test_a_range_of_ports_is_used_up_and_then_packets_are_dropped_and_counted(ours: OurTracker) -> None:
    before = coverage.counter("datapath_drop_nat_exhausted").total
    found = [sent(ours, host) for host in range(1, 5)]
    assert sorted(f[1] for f in found if f) == [5000, 5001, 5002, 5003]
    assert sent(ours, 5) is None
    assert coverage.counter("datapath_drop_nat_exhausted").total == before + 1
    assert sent(ours, 5, dst="10.0.0.3") is not None, "another destination can have the same source"
    assert sent(ours, 1) == found[0]


@nat("src=10.0.0.8-10.0.0.9:7000")
def test_all_addresses_of_a_range_are_used(ours: OurTracker) -> None:
    found = [sent(ours, host) for host in range(1, 3)]
    assert sorted(f[0] for f in found if f) == ["10.0.0.8", "10.0.0.9"]
    assert sent(ours, 3) is None


@nat("src=10.0.0.16-10.0.0.31,persistent")
def test_a_host_keeps_its_address(ours: OurTracker) -> None:
    sources = {found[0] for port in range(1000, 1020) if (found := sent(ours, 1, port))}
    assert len(sources) == 1


@nat("src=10.0.0.16-10.0.0.31,random")
def test_random_spreads_over_the_range(ours: OurTracker) -> None:
    sources = {found[0] for port in range(1000, 1100) if (found := sent(ours, 1, port))}
    assert len(sources) > 8


@nat("src=10.0.0.16-10.0.0.31,hash")
def test_hash_spreads_over_the_range(ours: OurTracker) -> None:
    sources = {found[0] for port in range(1000, 1100) if (found := sent(ours, 1, port))}
    assert len(sources) > 4


@nat("dst=10.0.0.16-10.0.0.19:80-81")
def test_destinations_spread_over_addresses_and_ports(ours: OurTracker) -> None:
    found = [sent(ours, host, port) for host in range(1, 20) for port in (1000, 1001)]
    assert {f[2] for f in found if f} == {f"10.0.0.{n}" for n in range(16, 20)}
    assert {f[3] for f in found if f} == {80, 81}


@nat("src=10.0.0.9")
def test_an_address_serves_as_many_connections_as_it_has_ports(ours: OurTracker) -> None:
    found = {sent(ours, host, port) for host in range(1, 30) for port in range(2000, 2020)}
    assert len(found) == 29 * 20
    assert None not in found
