"""Upcalls: batches, what goes out for them, and what is counted when a packet ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ofproto_dpif.lab import Counted, Lab, from_host, udp
from vswitch.dpif.actions import Userspace
from vswitch.dpif.cookie import ControllerCookie, SlowPathCookie, decode
from vswitch.dpif.ops import Execute, FlowPut, Op, Upcall
from vswitch.dpif.types import Fitness, UpcallType
from vswitch.flow.flow import Flow
from vswitch.ofproto_dpif.upcall.upcall import handle_upcalls
from vswitch.openflow.actions import Controller, DebugRecirc, DebugSlow, Output
from vswitch.openflow.flow_mod import FlowMod

MakeLab = Callable[..., Lab]


class Recorded:
    """Records what goes to the datapath."""

    def __init__(self, made: Lab) -> None:
        self.batches: list[list[Op]] = []
        self._operate = made.backer.dpif.operate
        made.backer.dpif.operate = made.backer.dpif.answer = self._record  # type: ignore

    def _record(self, ops: list[Op]) -> None:
        self.batches.append(list(ops))
        self._operate(ops)


def test_a_batch_of_misses_goes_out_as_one(lab: MakeLab) -> None:
    made = lab(2, "priority=9,dl_src=02:00:00:00:01:ff,actions=drop", "priority=1,actions=output:2")
    recorded = Recorded(made)
    made.arrive("p1", *[from_host(i) for i in range(20)], from_host(3))
    made.run()
    (batch,) = recorded.batches
    assert sum(isinstance(op, FlowPut) for op in batch) == 20
    assert sum(isinstance(op, Execute) for op in batch) == 21
    assert made.received() == {"p2": 21}


def test_a_packet_leaves_before_its_flow_is_put_so_that_none_overtakes_it(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    recorded = Recorded(made)
    made.send("p1", udp())
    assert [type(op).__name__ for op in recorded.batches[0]] == ["Execute", "FlowPut"]


def test_packets_of_a_flow_leave_in_the_order_in_which_they_came(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    sent = [udp(payload=bytes((i,))) for i in range(80)]
    made.send("p1", *sent)
    assert made.packets("p2") == sent


def test_a_drop_is_installed_and_its_packets_counted(lab: MakeLab) -> None:
    made = lab(2, "actions=drop")
    happened = Counted("drop_action_of_pipeline")
    made.send("p1", udp())
    made.send("p1", udp())
    assert happened["drop_action_of_pipeline"] == 2  # one here, one in the datapath
    assert len(made.dp_flows()) == 1


def test_a_key_that_makes_no_sense_is_counted_and_dropped(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    happened = Counted("drop_upcall_bad_key")
    handle_upcalls(made.backer, [Upcall(UpcallType.MISS, udp(), Flow(), Fitness.ERROR)], made.clock.now())
    assert happened["drop_upcall_bad_key"] == 1
    assert made.facets() == []


def test_a_key_that_says_too_little_is_filled_in_from_the_packet(lab: MakeLab) -> None:
    made = lab(2, "priority=2,udp,udp_dst=2000,actions=output:2", "priority=1,actions=drop")
    key = Flow()
    key.in_port = made.bridge.ports[1].odp_port
    handle_upcalls(made.backer, [Upcall(UpcallType.MISS, udp(), key, Fitness.TOO_LITTLE)], made.clock.now())
    assert made.rule("udp,udp_dst=2000").n_packets == 1


def test_an_unknown_recirculation_id_is_counted_and_dropped(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    happened = Counted("drop_upcall_unknown_recirc_id")
    key = Flow()
    key.in_port = made.bridge.ports[1].odp_port
    key.recirc_id = 999
    handle_upcalls(made.backer, [Upcall(UpcallType.MISS, udp(), key)], made.clock.now())
    assert happened["drop_upcall_unknown_recirc_id"] == 1


def test_a_recirculated_packet_goes_on_where_it_was(lab: MakeLab) -> None:
    made = lab(2)
    made.bridge.flow_mod(FlowMod(actions=(DebugRecirc(), Output(2))))
    made.send("p1", udp())
    assert made.received() == {"p2": 1}
    assert len(made.facets()) == 2
    made.send("p1", udp())
    assert made.received() == {"p2": 1}
    made.seconds(1)
    assert made.rule().n_packets == 2
    assert len(made.backer.dp.recirc_ids) == 1
    made.seconds(7)
    assert made.facets() == []
    assert len(made.backer.dp.recirc_ids) == 0


def test_a_cookie_that_is_none_of_ours_is_counted(lab: MakeLab) -> None:
    made = lab(2)
    happened = Counted("drop_upcall_bad_cookie")
    for userdata in (b"", b"\0", b"\xff" * 8, b"\1", ControllerCookie().pack()[:-1]):
        upcall = Upcall(UpcallType.ACTION, udp(), Flow(), userdata=userdata)
        handle_upcalls(made.backer, [upcall], made.clock.now())
    assert happened["drop_upcall_bad_cookie"] >= 4


def test_slow_path_flows_carry_and_count_their_reason(lab: MakeLab) -> None:
    made = lab(2)
    made.bridge.flow_mod(FlowMod(actions=(DebugSlow(), Output(2))))
    happened = Counted("upcall_slow_path", "upcall_miss", "slow_path_action", "slow_path_match")
    made.send("p1", udp())
    made.send("p1", udp())
    (flow,) = made.backer.dpif.flow_dump()
    (action,) = flow.actions
    assert isinstance(action, Userspace)
    assert decode(action.userdata) == SlowPathCookie(1 << 5)
    assert action.pid == made.backer.dp.port_pid(made.bridge.ports[1].odp_port)
    assert (happened["upcall_miss"], happened["upcall_slow_path"]) == (1, 1)
    assert (happened["slow_path_action"], happened["slow_path_match"]) == (2, 0)
    assert "slow_path(action)" in made.ask("dpctl/dump-flows")
    assert made.received() == {"p2": 2}


def test_packet_ins_say_table_cookie_reason_and_metadata(lab: MakeLab) -> None:
    made = lab(2, "table=0,actions=set_field:0x2a->reg3,resubmit(,5)")
    to_controller = Controller(max_len=64, controller_id=3)
    made.bridge.flow_mod(FlowMod(table_id=5, new_cookie=0xABC, actions=(to_controller,)))
    made.send("p1", udp())
    made.send("p1", udp())
    first, second = made.bridge.packet_ins
    assert (first.table_id, first.cookie, first.reason) == (5, 0xABC, 1)
    assert (first.max_len, first.controller_id) == (64, 3)
    assert first.packet == second.packet == udp()
    assert first.flow.in_port == 1
    assert made.rule(table_id=5).n_packets == 1


def test_packet_ins_that_nobody_takes_are_dropped_and_counted(
    lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vswitch.ofproto_dpif.ofproto_dpif.MAX_PACKET_INS", 3)
    made = lab(2, "actions=controller")
    happened = Counted("drop_packet_in_queue_full")
    for _ in range(5):
        made.send("p1", udp())
    assert len(made.bridge.packet_ins) == 3
    assert happened["drop_packet_in_queue_full"] == 2


def test_revalidation_leaves_packet_ins_working(lab: MakeLab) -> None:
    made = lab(2, "priority=1,actions=controller")
    made.send("p1", udp())
    made.flow("priority=2,dl_src=02:00:00:00:01:ff,actions=drop")
    made.run()
    made.send("p1", udp())
    made.send("p1", udp())
    assert len(made.bridge.packet_ins) == 3


def test_packet_out_runs_its_actions_and_counts_what_it_touches(lab: MakeLab) -> None:
    made = lab(3, "actions=output:3")
    made.bridge.packet_out(udp(), 0xFFFF, (Output(2),))
    assert made.received() == {"p2": 1}
    made.bridge.packet_out(udp(), 1, (Output(0xFFF9),))
    assert made.received() == {"p3": 1}
    assert made.rule().n_packets == 1


def test_packets_that_the_switch_makes_are_counted_for_the_local_port(lab: MakeLab) -> None:
    made = lab(2)
    made.bridge.send_packet(made.bridge.ports[2], udp())
    assert made.received() == {"p2": 1}
    assert (made.bridge.stats.tx_packets, made.bridge.stats.tx_bytes) == (1, len(udp()))
    assert made.bridge.port_stats(made.bridge.ports[0xFFFE])["rx_packets"] == 1
    assert made.bridge.port_stats(made.bridge.ports[2])["tx_packets"] == 1


def test_a_bridge_that_goes_while_its_packets_wait_costs_just_them(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    other = made.add_bridge("br1")
    made.add_port(other, "q1", 1)
    made.flow("actions=local", other)
    made.arrive("q1", udp())
    made.backer.dpif.run()
    made.ofprotos.destroy("br1")
    made.send("p1", udp())
    assert made.received() == {"p2": 1}
