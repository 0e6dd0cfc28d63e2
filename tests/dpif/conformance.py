"""The conformance suite of the dpif interface: what every provider must do, case by case.

A case is a function `(lab, dpif)` that asserts; `CASES` lists them. `test_userspace.py` runs
them against the userspace datapath; inside user-mode Linux, with a `Lab` over veth or tap
devices, they run against the kernel's (`run_all` needs no pytest).
"""

from __future__ import annotations

import errno
import select
import time
import traceback
from collections.abc import Callable

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
from vswitch.dpif.actions import Meter, Output, PopVlan, PushVlan, Set, Userspace
from vswitch.dpif.provider import MAX_OPS, Dpif
from vswitch.dpif.types import (
    DpifFlow,
    FlowDel,
    FlowGet,
    MeterBand,
    MeterConfig,
    Op,
    PutFlags,
    UpcallType,
)

Case = Callable[[Lab, Dpif], None]
CASES: list[Case] = []
CREATE, MODIFY = PutFlags.CREATE, PutFlags.MODIFY


def case(fn: Case) -> Case:
    CASES.append(fn)
    return fn


def readable(fd: int, timeout: float = 0) -> bool:
    return bool(select.select([fd], [], [], timeout)[0])


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


# Upcalls.


@case
def a_miss_comes_up_with_its_packet_and_key(lab: Lab, dpif: Dpif) -> None:
    name, port = lab.attach(dpif)
    dpif.recv_set(True)
    lab.inject(name, udp(sport=7))
    (upcall,) = lab.upcalls(dpif)
    assert upcall.type == UpcallType.MISS
    assert upcall.packet == udp(sport=7)
    assert upcall.key == key_of(udp(sport=7), port)
    assert upcall.userdata == b""


@case
def a_userspace_action_comes_up_with_its_cookie(lab: Lab, dpif: Dpif) -> None:
    name, port = lab.attach(dpif)
    dpif.recv_set(True)
    cookie = bytes(range(24))
    put(dpif, udp(), port, (Userspace(dpif.port_get_pid(port), cookie),))
    lab.inject(name, udp())
    (upcall,) = lab.upcalls(dpif)
    assert (upcall.type, upcall.packet, upcall.userdata) == (UpcallType.ACTION, udp(), cookie)
    assert upcall.key == key_of(udp(), port)
    assert upcall.actions == ()


@case
def a_userspace_action_can_bring_the_actions_along(lab: Lab, dpif: Dpif) -> None:
    name, port = lab.attach(dpif)
    dpif.recv_set(True)
    actions = (Userspace(dpif.port_get_pid(port), b"cookie!!", include_actions=True), Output(0))
    put(dpif, udp(), port, actions)
    lab.inject(name, udp())
    (upcall,) = lab.upcalls(dpif)
    assert upcall.actions == actions


@case
def an_upcall_action_sees_the_packet_as_changed_so_far(lab: Lab, dpif: Dpif) -> None:
    name, port = lab.attach(dpif)
    dpif.recv_set(True)
    put(dpif, udp(), port, (PushVlan(0x8100, 0x1005), Userspace(dpif.port_get_pid(port), b"12345678")))
    lab.inject(name, udp())
    (upcall,) = lab.upcalls(dpif)
    assert upcall.packet == udp()[:12] + bytes.fromhex("81000005") + udp()[12:]
    assert upcall.key.vlan_tci == 0x1005


@case
def a_miss_answered_with_a_flow_and_an_execute_is_a_hit_next_time(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    dpif.recv_set(True)
    lab.inject(a, udp())
    (upcall,) = lab.upcalls(dpif)
    put(dpif, udp(), port_a, (Output(port_b),))
    assert execute(dpif, upcall.packet, (Output(port_b),), port_a).error == 0
    assert lab.sent(dpif, b) == [udp()]
    assert stats_of(dpif, udp(), port_a).n_packets == 0
    lab.inject(a, udp())
    assert lab.sent(dpif, b) == [udp()]
    assert stats_of(dpif, udp(), port_a).n_packets == 1
    assert dpif.recv(50) == []


@case
def receiving_turned_on_and_off_twice_is_the_same_as_once(lab: Lab, dpif: Dpif) -> None:
    name, port = lab.attach(dpif)
    assert dpif.recv_fd() == -1
    assert dpif.port_get_pid(port) == 0
    assert dpif.recv(50) == []
    dpif.recv_set(True)
    fd, pid = dpif.recv_fd(), dpif.port_get_pid(port)
    assert fd >= 0
    assert pid != 0
    dpif.recv_set(True)
    assert (dpif.recv_fd(), dpif.port_get_pid(port)) == (fd, pid)
    dpif.recv_set(False)
    dpif.recv_set(False)
    assert dpif.recv_fd() == -1
    assert dpif.port_get_pid(port) == 0
    lab.inject(name, udp())
    lab.settle(dpif)
    assert dpif.recv(50) == []
    dpif.recv_set(True)
    assert lab.upcalls(dpif, 0) == []
    lab.inject(name, udp(sport=3))
    (upcall,) = lab.upcalls(dpif)
    assert upcall.key.tp_src == 3


@case
def a_port_added_while_receiving_has_its_pid_at_once(lab: Lab, dpif: Dpif) -> None:
    dpif.recv_set(True)
    name, port = lab.attach(dpif)
    assert dpif.port_get_pid(port) != 0
    lab.inject(name, udp())
    assert len(lab.upcalls(dpif)) == 1


@case
def the_descriptor_is_readable_while_upcalls_wait(lab: Lab, dpif: Dpif) -> None:
    name, _ = lab.attach(dpif)
    dpif.recv_set(True)
    lab.settle(dpif)
    dpif.recv_purge()
    assert not readable(dpif.recv_fd())
    lab.inject(name, udp(sport=1))
    lab.inject(name, udp(sport=2))
    lab.settle(dpif)
    assert readable(dpif.recv_fd(), 3)
    (first,) = dpif.recv(1)
    assert readable(dpif.recv_fd(), 3)
    (second,) = dpif.recv(50)
    assert (first.key.tp_src, second.key.tp_src) == (1, 2)
    assert dpif.recv(50) == []
    assert not readable(dpif.recv_fd())


@case
def purge_discards_what_waits(lab: Lab, dpif: Dpif) -> None:
    name, _ = lab.attach(dpif)
    dpif.recv_set(True)
    for n in range(10):
        lab.inject(name, udp(sport=n + 1))
    lab.settle(dpif, 20)
    dpif.recv_purge()
    assert dpif.recv(50) == []
    assert not readable(dpif.recv_fd())


@case
def a_flooding_port_does_not_hide_another(lab: Lab, dpif: Dpif) -> None:
    (a, _), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    dpif.recv_set(True)
    for n in range(150):
        lab.inject(a, udp(sport=n + 1))
    lab.inject(b, udp(sport=5))
    lab.settle(dpif, 20)
    early = dpif.recv(50) + dpif.recv(50)
    assert any(upcall.key.in_port == port_b for upcall in early)


@case
def upcalls_of_one_port_keep_their_order(lab: Lab, dpif: Dpif) -> None:
    name, _ = lab.attach(dpif)
    dpif.recv_set(True)
    for n in range(20):
        lab.inject(name, udp(sport=n + 1))
    assert [upcall.key.tp_src for upcall in lab.upcalls(dpif, 20)] == list(range(1, 21))


# Meters, connection tracking, the rest.


@case
def meters_are_set_read_and_deleted(lab: Lab, dpif: Dpif) -> None:
    features = dpif.meter_features()
    if features.max_meters == 0:
        assert errno_of(dpif.meter_get, 1) in (errno.ENOENT, errno.EOPNOTSUPP)
        return
    assert "drop" in features.band_types
    assert features.max_bands >= 1
    assert errno_of(dpif.meter_get, 1) == errno.ENOENT
    assert errno_of(dpif.meter_del, 1) == errno.ENOENT
    dpif.meter_set(1, MeterConfig("pktps", (MeterBand("drop", 1, 1),), burst=True))
    assert dpif.meter_get(1).packets_in == 0
    dpif.meter_set(1, MeterConfig("kbps", (MeterBand("drop", 1000, 1000),), burst=True))
    assert dpif.meter_del(1).packets_in == 0
    assert errno_of(dpif.meter_get, 1) == errno.ENOENT


@case
def a_meter_drops_what_exceeds_its_rate(lab: Lab, dpif: Dpif) -> None:
    if dpif.meter_features().max_meters == 0:
        return
    (a, port_a), (b, port_b) = lab.attach(dpif), lab.attach(dpif)
    dpif.meter_set(1, MeterConfig("pktps", (MeterBand("drop", 2, 2),), burst=True))
    put(dpif, udp(), port_a, (Meter(1), Output(port_b)))
    for _ in range(30):
        lab.inject(a, udp())
    lab.settle(dpif, 10)
    passed = len(lab.transmitted(b))
    assert 1 <= passed < 15
    stats = dpif.meter_get(1)
    assert stats.packets_in == 30
    assert stats.bands[0][0] == 30 - passed


@case
def connection_tracking_answers_or_says_it_cannot(lab: Lab, dpif: Dpif) -> None:
    def dump() -> None:
        assert list(dpif.ct_dump()) == []

    assert errno_of(dump) in (0, errno.EOPNOTSUPP)
    assert errno_of(dpif.ct_flush, 77) in (0, errno.EOPNOTSUPP)


@case
def queues_map_to_skb_priorities(lab: Lab, dpif: Dpif) -> None:
    # The kernel's are TC handles, 1:queue + 1.
    assert dpif.queue_to_priority(5) == (5 if dpif.type == "netdev" else 0x10006)


@case
def a_flow_without_actions_drops(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (b, _) = lab.attach(dpif), lab.attach(dpif)
    dpif.recv_set(True)
    put(dpif, udp(), port_a, ())
    lab.inject(a, udp())
    lab.settle(dpif)
    assert lab.transmitted(b) == []
    assert dpif.recv(50) == []
    assert stats_of(dpif, udp(), port_a).n_packets == 1


@case
def output_to_several_ports_sends_copies(lab: Lab, dpif: Dpif) -> None:
    (a, port_a), (b, port_b), (c, port_c) = lab.attach(dpif), lab.attach(dpif), lab.attach(dpif)
    put(dpif, udp(), port_a, (Output(port_b), PushVlan(0x8100, 0x1003), Output(port_c)))
    lab.inject(a, udp())
    assert lab.sent(dpif, b) == [udp()]
    assert lab.sent(dpif, c) == [udp()[:12] + bytes.fromhex("81000003") + udp()[12:]]


@case
def what_is_cached_can_be_asked(lab: Lab, dpif: Dpif) -> None:
    assert all(isinstance(n, int) for n in dpif.cached().values())


@case
def closing_twice_is_closing_once(lab: Lab, dpif: Dpif) -> None:
    dpif.recv_set(True)
    dpif.close()
    dpif.close()


def run_all(make_lab: Callable[[], Lab], cases: list[Case] | None = None) -> dict[str, str]:
    """Run the cases, each with a fresh lab; what failed, by name, with its traceback."""
    failed: dict[str, str] = {}
    for one in cases or CASES:
        lab = make_lab()
        try:
            dpif = lab.open()
            try:
                one(lab, dpif)
            finally:
                dpif.close()
        except Exception:
            failed[one.__name__] = traceback.format_exc()
        finally:
            lab.close()
    return failed
