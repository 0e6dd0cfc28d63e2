"""BFD and CFM on a bridge's ports: whose packets they take, and what follows from what they find."""

from __future__ import annotations

from collections.abc import Callable

from tests.ofproto_dpif.lab import Lab, udp
from vswitch.monitor.bfd import BfdSession, BfdSettings
from vswitch.monitor.cfm import CfmSettings
from vswitch.monitor.cfm_packet import Ccm
from vswitch.monitor.cfm_packet import frame as ccm_frame
from vswitch.openflow.group_text import parse_group

MakeLab = Callable[..., Lab]
PEER_MAC = 0x02000000AA01
UDP_PAYLOAD = 42


class Peer:
    """The other end of a port's BFD session."""

    def __init__(self, made: Lab, port: str) -> None:
        self.made = made
        self.port = port
        self.session = BfdSession("peer", BfdSettings(min_tx=300, min_rx=300), set(), made.clock.now())

    def tick(self, packets: list[bytes]) -> None:
        """100 ms pass; `packets` are what the bridge sent out of the port."""
        now = self.made.clock.now()
        for packet in packets:
            if packet[:6].hex() == "002320000001":
                self.session.receive(packet[UDP_PAYLOAD:], packet[22], now)
        self.session.run(0, now)
        sent = self.session.packet(PEER_MAC, now)
        if sent is not None:
            self.made.send(self.port, sent)


def let_pass(made: Lab, ms: int, peer: Peer | None = None) -> None:
    for _ in range(ms // 100):
        made.clock.warp(100)
        made.run()
        packets = made.packets("p2")
        if peer is not None:
            peer.tick(packets)


def test_a_watched_bucket_lives_as_long_as_its_ports_session(lab: MakeLab) -> None:
    made = lab(3)
    group = "group_id=1,type=ff,bucket=watch_port:2,output:2,bucket=watch_port:3,output:3"
    made.bridge.groups.mod(parse_group(group), made.clock.now())
    made.flow("udp,in_port=1,actions=group:1")
    made.bridge.monitors.set_bfd("p2", BfdSettings(min_tx=300, min_rx=300))
    let_pass(made, 500)
    made.send("p1", udp())
    assert made.received().get("p3") == 1, "no session yet"

    peer = Peer(made, "p2")
    let_pass(made, 6000, peer)
    assert made.bridge.ports[2].may_enable
    made.send("p1", udp())
    assert [p for p in made.packets("p2") if p[:6].hex() != "002320000001"] == [udp()]

    let_pass(made, 2000)
    assert not made.bridge.ports[2].may_enable
    made.send("p1", udp())
    assert made.received().get("p3") == 1
    made.bridge.monitors.set_bfd("p2", None)
    assert made.bridge.ports[2].may_enable
    assert made.bridge.monitors.watches == {}
    assert made.bridge.protocols == []


def test_only_a_sessions_own_packets_are_taken(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    session = BfdSession("peer", BfdSettings(src_ip=0x0A000002, dst_ip=0x0A000001), set(), 0)
    packet = session.packet(PEER_MAC, 0)
    assert packet is not None
    made.send("p1", packet)
    assert made.received() == {"p2": 1}, "no session: an ordinary packet"
    made.bridge.monitors.set_bfd("p1", BfdSettings(src_ip=0x0A000001))
    made.run()
    made.send("p1", packet)
    assert "p2" not in made.received()
    made.bridge.monitors.set_bfd("p1", BfdSettings(src_ip=0x0A000009))
    made.run()
    made.received()
    made.send("p1", packet)
    assert made.received()["p2"] == 1


def test_a_port_with_a_cfm_fault_is_not_used(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    made.bridge.monitors.set_cfm("p1", CfmSettings(10, interval=100))
    let_pass(made, 1000)
    assert not made.bridge.ports[1].may_enable
    for n in range(10):
        made.send("p1", ccm_frame(Ccm(n, 11, 3), False, PEER_MAC, 0, 0))
        let_pass(made, 100)
    assert made.bridge.ports[1].may_enable
    assert made.ask("cfm/show p1").startswith("---- p1 ----\nMPID 10:\n")
    assert made.ask("cfm/set-fault p1 true") == "OK"
    made.run()
    assert not made.bridge.ports[1].may_enable


def test_a_port_that_goes_takes_its_sessions_along(lab: MakeLab) -> None:
    made = lab(2)
    made.bridge.monitors.set_bfd("p1", BfdSettings())
    made.bridge.monitors.set_lldp("p1", True)
    made.bridge.port_del("p1")
    assert made.bridge.monitors.watches == {}
    assert made.ask("bfd/show") == ""
