"""Egress policing in userspace: the marker of RFC 4115, queues, and what leaves by a policed port."""

from __future__ import annotations

import errno

import pytest

from vswitch import Switch
from vswitch.base import coverage
from vswitch.dpif.types import DpifError, EgressPolicing, PolicerRates, QueueCounters
from vswitch.dpif.userspace.egress_policer import GREEN, RED, YELLOW, EgressPolicer, Marker
from vswitch.netdev.frame import GSO_TCPV4, VNET_NEEDS_CSUM, Frame
from vswitch.packet.compose import compose
from vswitch.packet.headers import Ethernet, IPv4, Tcp


def colors(marker: Marker, n: int, now: int, color: int = GREEN, size: int = 100) -> list[int]:
    marked = [int(marker.mark(size, color, now)) for _ in range(n)]
    return [marked.count(color) for color in (GREEN, YELLOW, RED)]


def test_what_the_committed_bucket_has_no_room_for_is_yellow_then_red() -> None:
    marker = Marker(PolicerRates(cir=1000, cbs=500, eir=2000, ebs=300), 0)
    assert colors(marker, 20, 0) == [5, 3, 12]
    assert colors(marker, 20, 100) == [1, 2, 17], "100 ms are 100 and 200 bytes"
    assert colors(marker, 20, 90_000) == [5, 3, 12], "no more than the bursts is saved up"


def test_a_packet_gets_no_better_color_than_it_has() -> None:
    marker = Marker(PolicerRates(cir=1000, cbs=500, eir=2000, ebs=300), 0)
    assert colors(marker, 20, 0, YELLOW) == [0, 3, 17]
    assert colors(marker, 20, 0, RED) == [0, 0, 20]
    assert colors(marker, 20, 0) == [5, 0, 15], "neither of them took committed tokens"


def test_an_hour_of_traffic_is_let_out_at_the_rate() -> None:
    policer = EgressPolicer(EgressPolicing(PolicerRates(cir=125_000, cbs=2000)), 0)
    sent = sum(1014 for now in range(0, 3_600_000, 5) if policer.passes(0, 1014, now))
    assert abs(sent * 1000 / 1014 / 3600 / 125_000 - 1) < 0.001


def test_a_queue_marks_before_the_port_does() -> None:
    slow, fast, port = (PolicerRates(cir=1, cbs=size) for size in (200, 10_000, 1000))
    policer = EgressPolicer(EgressPolicing(port, {0: fast, 5: slow}), 0)
    assert sum(policer.passes(5, 114, 0) for _ in range(20)) == 2
    assert sum(policer.passes(0, 114, 0) for _ in range(20)) == 8
    assert not policer.passes(77, 114, 0), "what has no queue of its own is in queue 0"
    assert policer.counters() == {5: QueueCounters(2, 200, 18), 0: QueueCounters(8, 800, 13)}
    assert policer.dropped == 31


def test_excess_of_a_queue_leaves_by_the_excess_of_the_port_only() -> None:
    port, queue = PolicerRates(1, 10_000, 1, 300), PolicerRates(1, 100, 1, 5000)
    policer = EgressPolicer(EgressPolicing(port, {0: queue}), 0)
    assert sum(policer.passes(0, 114, 0) for _ in range(60)) == 1 + 3


def test_a_port_lets_out_what_its_policer_does_and_the_rest_is_counted() -> None:
    dropped = coverage.counter("datapath_drop_egress_policer")
    with Switch() as switch:
        for name in ("p1", "p2", "p3"):
            switch.add_port(name)
        switch.add_flow("priority=1,in_port=1,actions=output:2")
        switch.add_flow("priority=2,in_port=1,dl_vlan=5,actions=set_queue:1,output:2,output:3")
        dpif = switch.ofproto.backer.dpif
        number = switch.ofproto.ports_by_name["p2"].odp_port
        assert dpif.polices_egress()
        dpif.set_egress_policing(number, EgressPolicing(PolicerRates(1, 1000)))
        before = dropped.total
        switch.send("p1", *[bytes(114)] * 30)
        assert (len(switch.received("p2")), dropped.total - before) == (10, 20)
        assert dpif.egress_queues(number) == {}
        queues = {0: PolicerRates(1, 1000), 1: PolicerRates(1, 400)}
        dpif.set_egress_policing(number, EgressPolicing(PolicerRates(1, 5000), queues))
        tagged = bytes(12) + b"\x81\0\0\5" + bytes(98)
        switch.send("p1", *[bytes(114)] * 30, *[tagged] * 30)
        assert (len(switch.received("p2")), len(switch.received("p3"))) == (14, 30)
        assert dpif.egress_queues(number) == {0: QueueCounters(10, 1000, 20), 1: QueueCounters(4, 400, 26)}
        dpif.set_egress_policing(number, None)
        switch.send("p1", *[bytes(114)] * 30)
        assert len(switch.received("p2")) == 30
        with pytest.raises(DpifError) as error:
            dpif.set_egress_policing(9999, EgressPolicing(PolicerRates(1, 1)))
        assert error.value.errno == errno.ENODEV


def test_segments_are_policed_one_by_one() -> None:
    with Switch() as switch:
        switch.add_port("p1")
        switch.add_port("p2")
        core = switch.ofproto.backer.dpif.provider._core  # type: ignore[attr-defined]
        number = switch.ofproto.ports_by_name["p2"].odp_port
        policing = EgressPolicing(PolicerRates(1, 3 * 1040))
        switch.ofproto.backer.dpif.set_egress_policing(number, policing)
        data = compose(Ethernet(7, 5), IPv4(1, 2), Tcp(3, 4), payload=bytes(10_000))
        frame = Frame(data, VNET_NEEDS_CSUM, GSO_TCPV4, 54, 1000, 34, 16)
        core.output(number, frame)
        core.flush()
        assert [len(packet) for packet in switch.received("p2")] == [1054] * 3
