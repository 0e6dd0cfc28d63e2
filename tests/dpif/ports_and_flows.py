"""Conformance cases: ports, flows, batches of operations, execute."""

from __future__ import annotations

import errno
import time

from tests.dpif.cases import case, readable
from tests.dpif.lab import (
    ALL_UDP,
    Lab,
    delete,
    errno_of,
    execute,
    flow_put,
    get,
    key_of,
    mask_of,
    put,
    same_mask,
    stats_of,
    tcp,
    udp,
    ufid_of,
)
from vswitch.dpif.actions import Output, PopVlan, PushVlan, Set
from vswitch.dpif.ops import DpifFlow, FlowDel, FlowGet, Op
from vswitch.dpif.provider import MAX_OPS, Dpif
from vswitch.dpif.types import PutFlags

TICK_MS = 20
"""Two jiffies of the slowest kernels."""
CREATE, MODIFY = PutFlags.CREATE, PutFlags.MODIFY


# Ports.


@case
def a_new_datapath_has_its_local_port_and_nothing_else(lab: Lab, dpif: Dpif) -> None:
    assert [(p.type, p.port_no) for p in dpif.port_dump()] == [("internal", 0)]
    assert list(dpif.flow_dump()) == []
    assert dpif.stats().n_flows == 0


@case
def an_added_port_is_found_by_number_by_name_and_in_the_dump(lab: Lab, dpif: Dpif) -> None:
    name, number = lab.attach(dpif)
    assert number > 0
    by_number = dpif.port_query_by_number(number)
    assert (by_number.name, by_number.type, by_number.port_no) == (name, lab.port_type, number)
    assert dpif.port_query_by_name(name) == by_number
    assert [p.port_no for p in dpif.port_dump()] == [0, number]


@case
def a_port_gets_the_number_asked_for(lab: Lab, dpif: Dpif) -> None:
    name = lab.device()
    assert dpif.port_add(name, lab.port_type, 17) == 17
    assert dpif.port_query_by_name(name).port_no == 17


@case
def a_taken_port_number_is_busy(lab: Lab, dpif: Dpif) -> None:
    _, number = lab.attach(dpif)
    other = lab.device()
    assert errno_of(dpif.port_add, other, lab.port_type, number) == errno.EBUSY
    assert errno_of(dpif.port_query_by_name, other) == errno.ENODEV
    assert dpif.port_add(other, lab.port_type) != number


@case
def a_port_cannot_be_added_twice(lab: Lab, dpif: Dpif) -> None:
    name, number = lab.attach(dpif)
    assert errno_of(dpif.port_add, name, lab.port_type) == errno.EEXIST
    assert dpif.port_query_by_name(name).port_no == number


@case
def a_port_without_a_device_is_refused(lab: Lab, dpif: Dpif) -> None:
    before = dpif.port_dump()
    assert errno_of(dpif.port_add, "no-such-dev", "system") == errno.ENODEV
    assert dpif.port_dump() == before


@case
def a_deleted_port_is_gone_and_its_device_can_come_back(lab: Lab, dpif: Dpif) -> None:
    name, number = lab.attach(dpif)
    dpif.port_del(number)
    assert errno_of(dpif.port_query_by_number, number) == errno.ENODEV
    assert errno_of(dpif.port_query_by_name, name) == errno.ENODEV
    assert errno_of(dpif.port_del, number) == errno.ENOENT
    again = dpif.port_add(name, lab.port_type)
    assert dpif.port_query_by_name(name).port_no == again


@case
def the_local_port_cannot_be_deleted(lab: Lab, dpif: Dpif) -> None:
    assert errno_of(dpif.port_del, 0) == errno.EINVAL
    assert dpif.port_query_by_number(0).type == "internal"


@case
def port_changes_are_polled(lab: Lab, dpif: Dpif) -> None:
    def changed(name: str) -> bool:
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            lab.turn(dpif)
            names = dpif.port_poll()
            if names is None or name in names:
                return True
        return False

    dpif.port_poll()
    name, number = lab.attach(dpif)
    assert changed(name), "an added port must be polled"
    lab.settle(dpif)
    while dpif.port_poll():
        pass
    assert dpif.port_poll() == set()
    if dpif.port_poll_fd() >= 0:
        assert not readable(dpif.port_poll_fd())
    dpif.port_del(number)
    if dpif.port_poll_fd() >= 0:
        assert readable(dpif.port_poll_fd(), 3)
    assert changed(name), "a deleted port must be polled"


@case
def a_datapath_has_room_for_ports(lab: Lab, dpif: Dpif) -> None:
    assert dpif.get_max_ports() >= 1024


@case
def port_statistics_count_packets_and_bytes(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    packet = udp()
    put(dpif, packet, port_a, (Output(port_b),))
    before_a, before_b = dpif.port_stats(port_a), dpif.port_stats(port_b)
    lab.inject(a, packet)
    assert lab.sent(dpif, b) == [packet]
    after_a, after_b = dpif.port_stats(port_a), dpif.port_stats(port_b)
    assert after_a["rx_packets"] - before_a["rx_packets"] >= 1
    assert after_a["rx_bytes"] - before_a["rx_bytes"] >= len(packet)
    assert after_b["tx_packets"] - before_b["tx_packets"] >= 1
    assert after_b["tx_bytes"] - before_b["tx_bytes"] >= len(packet)
    assert set(after_a) >= {"rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_errors", "tx_errors",
                            "rx_dropped", "tx_dropped"}
    assert errno_of(dpif.port_stats, 999) == errno.ENODEV


# Flows.


@case
def a_flow_put_is_read_back_whole(lab: Lab, dpif: Dpif) -> None:
    _, port = lab.attach(dpif)
    packet = udp()
    put(dpif, packet, port, (PushVlan(0x8100, 0x1005), Output(0)), fields=ALL_UDP)
    op = get(dpif, packet, port, fields=ALL_UDP)
    flow = op.flow
    assert op.error == 0
    assert flow is not None
    assert flow.key == key_of(packet, port).masked(mask_of(*ALL_UDP))
    assert same_mask(flow.mask, mask_of(*ALL_UDP))
    assert flow.actions == (PushVlan(0x8100, 0x1005), Output(0))
    assert flow.ufid == ufid_of(1)
    assert (flow.stats.n_packets, flow.stats.n_bytes, flow.stats.used) == (0, 0, 0)


@case
def create_refuses_a_flow_that_is_there(lab: Lab, dpif: Dpif) -> None:
    _, port = lab.attach(dpif)
    put(dpif, udp(), port, (Output(0),), flags=CREATE)
    op = flow_put(udp(), port, (), flags=CREATE)
    dpif.operate([op])
    assert op.error == errno.EEXIST
    found = get(dpif, udp(), port).flow
    assert found is not None
    assert found.actions == (Output(0),)


@case
def modify_refuses_a_flow_that_is_not_there(lab: Lab, dpif: Dpif) -> None:
    _, port = lab.attach(dpif)
    op = flow_put(udp(), port, (Output(0),), flags=MODIFY)
    dpif.operate([op])
    assert op.error == errno.ENOENT
    assert list(dpif.flow_dump()) == []


@case
def modify_changes_actions_and_keeps_counters(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    put(dpif, udp(), port_a, (Output(port_b),))
    lab.inject(a, udp())
    assert lab.sent(dpif, b) == [udp()]
    put(dpif, udp(), port_a, (PushVlan(0x8100, 0x1007), Output(port_b)), flags=MODIFY)
    assert stats_of(dpif, udp(), port_a).n_packets == 1
    lab.inject(a, udp())
    packet = udp()
    assert lab.sent(dpif, b) == [packet[:12] + bytes.fromhex("81000007") + packet[12:]]
    assert stats_of(dpif, udp(), port_a).n_packets == 2


@case
def a_put_may_zero_the_counters_and_return_the_old(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    put(dpif, udp(), port_a, (Output(port_b),))
    lab.inject(a, udp())
    lab.sent(dpif, b)
    op = flow_put(udp(), port_a, (Output(port_b),), flags=MODIFY | PutFlags.ZERO_STATS, want_stats=True)
    dpif.operate([op])
    assert op.error == 0
    assert op.stats is not None
    assert stats_of(dpif, udp(), port_a).n_packets == 0


@case
def deleting_a_flow_gives_its_last_counters(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    put(dpif, udp(), port_a, (Output(port_b),))
    for _ in range(3):
        lab.inject(a, udp())
    assert len(lab.sent(dpif, b, 3)) == 3
    op = delete(dpif, udp(), port_a)
    assert op.error == 0
    assert op.stats is not None
    assert (op.stats.n_packets, op.stats.n_bytes) == (3, 3 * len(udp()))
    assert delete(dpif, udp(), port_a).error == errno.ENOENT
    assert get(dpif, udp(), port_a).error == errno.ENOENT


@case
def flush_deletes_every_flow(lab: Lab, dpif: Dpif) -> None:
    _, port = lab.attach(dpif)
    for n in range(5):
        put(dpif, udp(sport=n + 1), port, (Output(0),), n + 1, ALL_UDP)
    assert dpif.stats().n_flows == 5
    dpif.flow_flush()
    assert list(dpif.flow_dump()) == []
    assert dpif.stats().n_flows == 0


@case
def the_dump_has_each_flow_once(lab: Lab, dpif: Dpif) -> None:
    _, port = lab.attach(dpif)
    ops: list[Op] = [flow_put(udp(sport=n + 1), port, (Output(0),), n + 1, ALL_UDP) for n in range(300)]
    dpif.operate(ops)
    assert [op.error for op in ops] == [0] * 300
    dumped: list[DpifFlow] = list(dpif.flow_dump())
    assert sorted(flow.ufid for flow in dumped) == [ufid_of(n + 1) for n in range(300)]
    assert sorted(flow.key.tp_src for flow in dumped) == list(range(1, 301))
    assert all(same_mask(flow.mask, mask_of(*ALL_UDP)) for flow in dumped)


@case
def a_terse_dump_tells_flows_by_their_ufids(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (_, port_b) = lab.attach(dpif), lab.attach(dpif)
    put(dpif, udp(), port_a, (Output(port_b),))
    lab.inject(a, udp())
    lab.settle(dpif)
    (whole,) = dpif.flow_dump()
    (terse,) = dpif.flow_dump(terse=True)
    assert terse.ufid == whole.ufid
    # The kernel makes a time of ticks that have passed, each time anew.
    assert abs(terse.stats.used - whole.stats.used) <= TICK_MS
    assert whole.stats.n_packets == terse.stats.n_packets == 1
    assert whole.stats.n_bytes == terse.stats.n_bytes
    assert whole.stats.tcp_flags == terse.stats.tcp_flags
    assert terse.key.is_zero()
    assert terse.actions == ()


@case
def a_dump_survives_flows_deleted_under_it(lab: Lab, dpif: Dpif) -> None:
    _, port = lab.attach(dpif)
    puts = [flow_put(udp(sport=n + 1), port, (), n + 1, ALL_UDP) for n in range(200)]
    dpif.operate(list(puts))
    seen: list[bytes] = []
    for i, flow in enumerate(dpif.flow_dump()):
        seen.append(flow.ufid)
        if i == 10:
            dpif.operate([FlowDel(op.key, op.ufid) for op in puts if op.key.tp_src > 100])
    assert len(seen) == len(set(seen))
    assert set(seen) >= {ufid_of(n) for n in range(1, 101)}


@case
def flow_statistics_hold_packets_bytes_time_and_tcp_flags(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    put(dpif, tcp(2), port_a, (Output(port_b),))
    lab.inject(a, tcp(0x02))
    lab.inject(a, tcp(0x10))
    assert len(lab.sent(dpif, b, 2)) == 2
    stats = stats_of(dpif, tcp(2), port_a)
    assert (stats.n_packets, stats.n_bytes, stats.tcp_flags) == (2, 2 * len(tcp(2)), 0x12)
    assert stats.used > 0


@case
def a_mask_lets_packets_through_that_differ_in_other_bits(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    dpif.recv_set(True)
    put(dpif, udp(), port_a, (Output(port_b),), fields=("nw_proto", "udp_dst"))
    lab.inject(a, udp(sport=1, dport=2000))
    lab.inject(a, udp(sport=2, dport=2000, src="10.9.9.9"))
    lab.inject(a, udp(sport=1, dport=2001))
    assert len(lab.sent(dpif, b, 2)) == 2
    (upcall,) = lab.upcalls(dpif)
    assert upcall.key.tp_dst == 2001
    assert dpif.stats().n_masks == 1


@case
def a_partial_mask_matches_only_its_bits(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    mask = mask_of()
    mask.nw_dst = 0xFFFFFF00
    op = flow_put(udp(), port_a, (Output(port_b),))
    op.mask = mask
    op.key = key_of(udp(), port_a).masked(mask)
    dpif.operate([op])
    assert op.error == 0
    lab.inject(a, udp(dst="10.0.0.99"))
    lab.inject(a, udp(dst="10.0.1.99"))
    lab.inject(a, udp(dst="10.0.0.98"))
    assert lab.sent(dpif, b, 2) == [udp(dst="10.0.0.99"), udp(dst="10.0.0.98")]


@case
def flows_of_several_masks_live_side_by_side(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b), (c, port_c) = lab.attach(dpif), lab.attach(dpif), lab.attach(dpif)
    put(dpif, udp(dport=1), port_a, (Output(port_b),), 1, ("nw_proto", "udp_dst"))
    put(dpif, tcp(2), port_a, (Output(port_c),), 2, ("nw_proto",))
    assert dpif.stats().n_masks == 2
    lab.inject(a, udp(dport=1))
    lab.inject(a, tcp(2))
    assert lab.sent(dpif, b) == [udp(dport=1)]
    assert lab.sent(dpif, c) == [tcp(2)]


@case
def the_counters_of_the_datapath_tell_hits_from_misses(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    dpif.recv_set(True)
    put(dpif, udp(), port_a, (Output(port_b),), fields=ALL_UDP)
    before = dpif.stats()
    for _ in range(4):
        lab.inject(a, udp())
    lab.inject(a, udp(dport=7))
    assert len(lab.sent(dpif, b, 4)) == 4
    assert len(lab.upcalls(dpif)) == 1
    after = dpif.stats()
    assert after.n_hit - before.n_hit == 4
    assert after.n_missed - before.n_missed == 1


# Operations in batches.


@case
def a_batch_goes_in_order_and_errors_stay_apart(lab: Lab, dpif: Dpif) -> None:
    _, port = lab.attach(dpif)
    key = key_of(udp(), port).masked(mask_of("nw_proto"))
    ops: list[Op] = [
        flow_put(udp(), port, (Output(0),), flags=CREATE),
        flow_put(udp(), port, (Output(0),), flags=CREATE),
        FlowGet(key, ufid_of(1)),
        FlowGet(key, ufid_of(99)),
        FlowDel(key, ufid_of(1)),
        FlowDel(key, ufid_of(1)),
        flow_put(udp(), port, (), flags=MODIFY),
    ]
    dpif.operate(ops)
    assert [op.error for op in ops] == [0, errno.EEXIST, 0, errno.ENOENT, 0, errno.ENOENT, errno.ENOENT]
    found = ops[2]
    assert isinstance(found, FlowGet)
    assert found.flow is not None
    assert found.flow.actions == (Output(0),)


@case
def more_operations_than_one_batch_holds_all_happen(lab: Lab, dpif: Dpif) -> None:
    _, port = lab.attach(dpif)
    count = 3 * MAX_OPS + 7
    ops: list[Op] = [flow_put(udp(sport=n + 1), port, (Output(0),), n + 1, ALL_UDP) for n in range(count)]
    ops[60] = flow_put(udp(sport=1), port, (Output(0),), 1, ALL_UDP, flags=CREATE)
    dpif.operate(ops)
    assert [i for i, op in enumerate(ops) if op.error] == [60]
    assert dpif.stats().n_flows == count - 1


@case
def an_empty_batch_does_nothing(lab: Lab, dpif: Dpif) -> None:
    dpif.operate([])


# Execute.


@case
def execute_runs_actions_on_the_given_packet(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    packet = udp()
    actions = (PushVlan(0x8100, 0x1005), Output(port_a), PopVlan(), Output(port_b))
    assert execute(dpif, packet, actions).error == 0
    assert lab.sent(dpif, a) == [packet[:12] + bytes.fromhex("81000005") + packet[12:]]
    assert lab.sent(dpif, b) == [packet]


@case
def execute_sets_header_fields_with_their_checksum(lab: Lab, dpif: Dpif) -> None:
    name, port = lab.attach(dpif)
    # struct ovs_key_ipv4: src, dst, proto, tos, ttl, frag.
    value = bytes((10, 0, 0, 1, 10, 0, 0, 9, 17, 0, 63, 0))
    assert execute(dpif, udp(), (Set(7, value), Output(port))).error == 0
    assert lab.sent(dpif, name) == [udp(dst="10.0.0.9", ttl=63)]


@case
def execute_to_a_port_that_is_gone_drops_the_packet(lab: Lab, dpif: Dpif) -> None:
    name, port = lab.attach(dpif)
    assert execute(dpif, udp(), (Output(4000), Output(port))).error == 0
    assert lab.sent(dpif, name) == [udp()]
