"""Protocols that a bridge speaks itself: its packets, its timers, what it sends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ofproto_dpif.lab import Counted, Lab, udp
from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
from vswitch.ofproto_dpif.xlate.types import SLOW_ACTION, SLOW_LACP, SLOW_LLDP, SLOW_STP

MakeLab = Callable[..., Lab]

SOURCE = bytes.fromhex("020000000001")
LACPDU = bytes.fromhex("0180c2000002") + SOURCE + bytes.fromhex("8809") + bytes(50)
BPDU = bytes.fromhex("0180c2000000") + SOURCE + bytes.fromhex("0026424203") + bytes(50)
LLDPDU = bytes.fromhex("0180c200000e") + SOURCE + bytes.fromhex("88cc") + bytes(50)


class Heard:
    """Remembers what came in."""

    def __init__(self) -> None:
        self.packets: list[tuple[int, bytes, int]] = []

    def receive(self, ofp_port: int, packet: bytes, now: int) -> None:
        self.packets.append((ofp_port, packet, now))


class Hello:
    """Sends a packet out of port 2 every 10 ms, and answers what it heard in its own turn."""

    def __init__(self, bridge: OfprotoDpif) -> None:
        self.bridge = bridge
        self.heard = Heard()
        self.next = bridge.clock.now() + 10

    def run(self, now: int) -> None:
        while self.next <= now:
            self.next += 10
            self.bridge.send_packet(self.bridge.ports[2], LACPDU)
        for ofp_port, packet, _ in self.heard.packets:
            self.bridge.send_packet(self.bridge.ports[ofp_port], packet)
        self.heard.packets.clear()

    def wakeup(self, now: int) -> int:
        return self.next


@pytest.mark.parametrize(("reason", "packet", "why"), [
    (SLOW_LACP, LACPDU, "LACP"), (SLOW_STP, BPDU, "STP"), (SLOW_LLDP, LLDPDU, "LLDP"),
])  # fmt: skip
def test_a_protocols_packets_go_to_its_receiver_and_nowhere_else(
    lab: MakeLab, reason: int, packet: bytes, why: str
) -> None:
    made = lab(3, "actions=output:3")
    heard = Heard()
    made.bridge.listen(made.bridge.ports[1], reason, heard)
    counted = Counted(f"slow_path_{why.lower()}", "drop_action_of_pipeline")
    made.send("p1", packet)
    made.send("p1", packet, packet)
    now = made.clock.now()
    assert heard.packets == [(1, packet, now)] * 3
    assert made.received() == {}
    assert (counted[f"slow_path_{why.lower()}"], counted["drop_action_of_pipeline"]) == (3, 0)
    assert f"Consists of {why} packets." in made.ask(f"ofproto/trace br0 in_port=1 {packet.hex()}")
    made.send("p2", packet)
    assert made.received() == {"p3": 1}


def test_a_claimed_packet_counts_on_the_rule_whose_actions_it_is_spared(lab: MakeLab) -> None:
    made = lab(2, "priority=1,actions=output:2", "priority=2,dl_type=0x8809,actions=output:2")
    made.bridge.listen(made.bridge.ports[1], SLOW_LACP, Heard())
    made.send("p1", LACPDU, LACPDU)
    made.seconds(1)
    assert made.rule("dl_type=0x8809").n_packets == 2
    assert made.received() == {}


def test_other_packets_are_forwarded_as_if_nobody_listened(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    heard = Heard()
    made.bridge.listen(made.bridge.ports[1], SLOW_LACP, heard)
    made.bridge.listen(made.bridge.ports[1], SLOW_STP, heard)
    made.send("p1", udp(), LLDPDU)
    assert heard.packets == []
    assert made.received() == {"p2": 2}


def test_flows_follow_when_somebody_begins_or_ceases_to_listen(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    port = made.bridge.ports[1]
    made.send("p1", BPDU)
    assert made.received() == {"p2": 1}
    heard = Heard()
    made.bridge.listen(port, SLOW_STP, heard)
    made.run()
    made.send("p1", BPDU)
    assert (made.received(), len(heard.packets)) == ({}, 1)
    made.bridge.listen(port, SLOW_STP, None)
    made.run()
    made.send("p1", BPDU)
    assert (made.received(), len(heard.packets)) == ({"p2": 1}, 1)


def test_the_end_of_a_patch_port_can_be_listened_at(lab: MakeLab) -> None:
    made = lab(2, "in_port=1,actions=output:9")
    there = made.add_bridge("br1")
    made.add_port(there, "q1", 1)
    made.flow("actions=output:1", there)
    made.add_port(made.bridge, "to1", 9, "patch", peer="to0")
    made.add_port(there, "to0", 9, "patch", peer="to1")
    heard = Heard()
    there.listen(there.ports[9], SLOW_STP, heard)
    made.send("p1", BPDU, udp())
    assert [(port, packet) for port, packet, _ in heard.packets] == [(9, BPDU)]
    assert made.received() == {"q1": 1}


def test_only_rows_of_the_table_can_be_listened_for(lab: MakeLab) -> None:
    made = lab(1)
    with pytest.raises(ValueError, match="0x20"):
        made.bridge.listen(made.bridge.ports[1], SLOW_ACTION, Heard())


def test_timers_of_10_ms_run_under_the_one_clock(lab: MakeLab) -> None:
    made = lab(2)
    hello = Hello(made.bridge)
    made.bridge.add_protocol(hello)
    for _ in range(5):
        when = made.ofprotos.wakeup(made.clock.now())
        assert when == made.clock.now() + 10
        made.clock.warp(when - made.clock.now())
        made.run()
    assert made.packets("p2") == [LACPDU] * 5
    made.bridge.remove_protocol(hello)
    made.clock.warp(50)
    made.run()
    assert made.packets("p2") == []


def test_what_a_packet_calls_for_is_sent_in_the_same_turn(lab: MakeLab) -> None:
    made = lab(2, "actions=drop")
    hello = Hello(made.bridge)
    made.bridge.add_protocol(hello)
    made.bridge.listen(made.bridge.ports[1], SLOW_STP, hello.heard)
    made.send("p1", BPDU)
    assert made.packets("p1") == [BPDU]
    assert made.rule().n_packets == 1


def test_a_packet_that_cannot_go_is_counted(lab: MakeLab) -> None:
    made = lab(1)
    assert made.bridge.send_packet(made.bridge.ports[1], BPDU)
    made.add_port(made.bridge, "nowhere", 7, "patch", peer="nobody")
    made.backer.support.explicit_drop_action = False
    counted = Counted("drop_packet_out_no_actions")
    assert not made.bridge.send_packet(made.bridge.ports[7], BPDU)
    assert counted["drop_packet_out_no_actions"] == 1
    made.backer.support.explicit_drop_action = True
    assert not made.bridge.send_packet(made.bridge.ports[7], BPDU)
