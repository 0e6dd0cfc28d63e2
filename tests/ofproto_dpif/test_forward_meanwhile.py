"""Packets of known flows pass while the tables are being changed, and are counted once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from vswitch.base.clock import Clock
from vswitch.netdev import dummy
from vswitch.netdev.dummy import DummyNetdev
from vswitch.netdev.registry import Scope, enable_dummy
from vswitch.ofproto.bundle import Bundle, Entry
from vswitch.ofproto.bundles import BundleError, commit
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.openflow.flow_mod import FlowMod, FlowModCommand
from vswitch.openflow.flow_text import parse_flow

PACKET = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP() / UDP(sport=1, dport=2) / b"x")
MANY = 3000
"""Flows that take longer than a millisecond to change, whatever machine and build."""
FACETS = 300
"""Likewise, of translations to be looked at again."""


def device(bridge: OfprotoDpif, name: str) -> DummyNetdev:
    """The device of a port."""
    return dummy.find(name, bridge.backer.scope)


@pytest.fixture
def bridge() -> Iterator[OfprotoDpif]:
    """A bridge with ports p1 and p2 in running time, which forwards `PACKET` by a flow of its datapath."""
    scope = Scope()
    enable_dummy("override", scope)
    ofprotos = Ofprotos(Clock(), scope=scope)
    made = ofprotos.create("br0", "netdev")
    for number, name in enumerate(("p1", "p2"), 1):
        made.port_add(name, "dummy", number)
    made.flow_mod(parse_flow("priority=10,in_port=1,udp,actions=output:2"))
    run(made)
    device(made, "p1").inject(PACKET)
    run(made)
    assert device(made, "p2").transmitted() == [PACKET]
    yield made
    ofprotos.close()


def run(bridge: OfprotoDpif) -> None:
    """Turns of the main loop until there is no more to do."""
    for _ in range(10):
        bridge.backer.run(bridge.clock.now())


def many(port: int = 2) -> list[FlowMod]:
    flow = "priority=5,ip,nw_dst=10.0.{}.{},actions=output:{}"
    return [parse_flow(flow.format(n >> 8, n & 255, port)) for n in range(MANY)]


def bundle_of(mods: list[FlowMod]) -> Bundle:
    bundle = Bundle(1, 0, b"", 0)
    for mod in mods:
        bundle.add(Entry(mod, b"", 4))
    return bundle


def count(bridge: OfprotoDpif) -> int:
    """Packets of the flow that forwards."""
    run(bridge)
    bridge.backer.settle(bridge.clock.now())
    return sum(rule.n_packets for rule in bridge.tables.rules() if rule.priority == 10)


def test_a_bundle_is_committed(bridge: OfprotoDpif) -> None:
    device(bridge, "p1").inject(PACKET)
    commit(bridge, bundle_of(many()), bridge.clock.now())
    assert device(bridge, "p2").transmitted() == [PACKET]
    assert len(bridge.tables[0]) == MANY + 1
    assert count(bridge) == 2


def test_a_bundle_is_undone(bridge: OfprotoDpif) -> None:
    mods = [*many(), parse_flow("priority=5,ip,actions=group:77")]
    device(bridge, "p1").inject(PACKET)
    with pytest.raises(BundleError):
        commit(bridge, bundle_of(mods), bridge.clock.now())
    assert device(bridge, "p2").transmitted() == [PACKET]
    assert len(bridge.tables[0]) == 1
    assert count(bridge) == 2


def test_flows_are_deleted(bridge: OfprotoDpif) -> None:
    for mod in many():
        bridge.flow_mod(mod)
    run(bridge)
    device(bridge, "p2").transmitted()
    device(bridge, "p1").inject(PACKET)
    bridge.flow_mod(FlowMod(command=FlowModCommand.DELETE,
                            match=parse_flow("ip,nw_dst=10.0.0.0/8,actions=drop").match))
    assert device(bridge, "p2").transmitted() == [PACKET]
    assert len(bridge.tables[0]) == 1


def test_datapath_flows_are_revalidated(bridge: OfprotoDpif) -> None:
    for n in range(FACETS):
        bridge.flow_mod(parse_flow(f"priority=20,in_port=1,udp,tp_dst={100 + n},actions=drop"))
    run(bridge)
    for n in range(FACETS):
        packet = bytes(Ether() / IP() / UDP(sport=1, dport=100 + n) / b"x")
        device(bridge, "p1").inject(packet)
        run(bridge)
    assert len(bridge.facets) >= FACETS
    device(bridge, "p1").inject(PACKET)
    run(bridge)
    device(bridge, "p2").transmitted()
    device(bridge, "p1").inject(PACKET)
    bridge.backer.need(RevReason.RECONFIGURE)
    bridge.backer.next_catch_up = 0
    bridge.catch_up()
    assert device(bridge, "p2").transmitted() == [PACKET]
