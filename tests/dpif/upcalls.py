"""Conformance cases: upcalls, meters and the rest."""

from __future__ import annotations

import errno

from tests.dpif.cases import case, readable
from tests.dpif.lab import (
    Lab,
    errno_of,
    execute,
    key_of,
    put,
    stats_of,
    udp,
)
from vswitch.dpif.actions import Meter, Output, PushVlan, Userspace
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import MeterBand, MeterConfig, UpcallType


def has_pids(dpif: Dpif) -> bool:
    """Whether upcalls come by Netlink; those of a datapath in this process don't."""
    return dpif.type == "system"


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
    assert (pid != 0) == has_pids(dpif)
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
    assert (dpif.port_get_pid(port) != 0) == has_pids(dpif)
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
