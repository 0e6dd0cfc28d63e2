"""LACP: negotiation, partners that differ or fall silent, and PDUs on the wire."""

from __future__ import annotations

import random

import pytest
from scapy.contrib.lacp import LACP, SlowProtocol
from scapy.layers.l2 import Ether

from vswitch.l2 import lacpdu
from vswitch.l2.lacp import CURRENT, DEFAULTED, EXPIRED, Lacp
from vswitch.l2.lacpdu import LacpInfo, LacpPdu, frame, from_frame

SAMPLE = LacpPdu(LacpInfo(1, 0x020000000001, 7, 3, 2, 0x3D), LacpInfo(9, 0x020000000002, 8, 4, 5, 0x0F))


def test_scapy_reads_what_we_send() -> None:
    packet = Ether(frame(SAMPLE, 0x0200000000AA))
    assert packet[SlowProtocol].subtype == 1
    pdu = packet[LACP]
    assert (pdu.actor_system_priority, pdu.actor_system, pdu.actor_key) == (1, "02:00:00:00:00:01", 7)
    assert (pdu.actor_port_number, pdu.actor_state) == (2, 0x3D)
    assert (pdu.partner_system, pdu.partner_state) == ("02:00:00:00:00:02", 0x0F)
    assert len(bytes(packet)) == 124


def test_we_read_what_scapy_sends() -> None:
    data = bytes(Ether(dst="01:80:c2:00:00:02") / SlowProtocol() / LACP(
        actor_system="02:00:00:00:00:09", actor_key=5, actor_port_number=4, actor_state=0x47))  # fmt: skip
    pdu = from_frame(data)
    assert pdu is not None
    assert (pdu.actor.sys_id, pdu.actor.key, pdu.actor.port_id, pdu.actor.state) == (
        0x020000000009,
        5,
        4,
        0x47,
    )


def test_no_mutated_pdu_does_harm() -> None:
    rng = random.Random(5)
    seed = frame(SAMPLE, 1)
    lacp = two()[0]
    understood = 0
    for i in range(200_000):
        data = bytearray(seed)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        cut = bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.2 else data)
        understood += from_frame(cut) is not None
        if i % 100 == 0:
            lacp.received(lacp.members["m1"], cut, i)
            lacp.run(i)
    assert 0 < understood < 200_000
    assert lacp.members["m1"].bad_pdus > 0


def bundle(sys_id: int, active: bool, fast: bool = True, fallback: bool = False, n: int = 2) -> Lacp:
    lacp = Lacp("bond")
    lacp.configure(active, fast, sys_id, 0xFFFE, fallback)
    for i in range(1, n + 1):
        lacp.set_carrier(lacp.set_member(f"m{i}", i, 0xFFFF, 0, 0), True, 0)
    return lacp


def two(active: bool = True, fast: bool = True) -> tuple[Lacp, Lacp]:
    return bundle(1, True, fast), bundle(2, active, fast)


def play(bundles: dict[str, tuple[Lacp, str, Lacp, str]], now: int, ms: int) -> int:
    """Let time pass; cables join (bundle, member) pairs. The time at the end."""
    ends = list(bundles.values())
    machines = {id(x): x for end in ends for x in (end[0], end[2])}.values()
    for now in range(now + 100, now + ms + 1, 100):  # noqa: B020
        for _ in range(4):
            for lacp in machines:
                lacp.run(now)
                for name, pdu in lacp.take_sent():
                    for a, am, b, bm in ends:
                        if (a, am) == (lacp, name):
                            b.received(b.members[bm], frame(pdu, 1), now)
                        if (b, bm) == (lacp, name):
                            a.received(a.members[am], frame(pdu, 1), now)
    return now


def cables(a: Lacp, b: Lacp, *members: str) -> dict[str, tuple[Lacp, str, Lacp, str]]:
    return {m: (a, m, b, m) for m in members}


@pytest.mark.parametrize("active", [True, False])
def test_two_bundles_agree(active: bool) -> None:
    a, b = two(active)
    play(cables(a, b, "m1", "m2"), 0, 3000)
    for lacp in (a, b):
        assert all(lacp.may_enable(m) and m.status == CURRENT for m in lacp.members.values())


def test_two_passive_bundles_say_nothing() -> None:
    a, b = bundle(1, False), bundle(2, False)
    play(cables(a, b, "m1", "m2"), 0, 5000)
    assert [m.tx_pdus for m in (*a.members.values(), *b.members.values())] == [0] * 4
    assert not any(a.may_enable(m) for m in a.members.values())


def test_a_silent_partner_is_given_up_in_three_periods_and_forgotten_in_three_more() -> None:
    a, b = two()
    now = play(cables(a, b, "m1", "m2"), 0, 3000)
    member = a.members["m2"]
    now = play(cables(a, b, "m1"), now, 2000)
    assert member.status == CURRENT
    now = play(cables(a, b, "m1"), now, 1500)
    assert (member.status, a.may_enable(member)) == (EXPIRED, False)
    now = play(cables(a, b, "m1"), now, 3000)
    assert (member.status, a.may_enable(member)) == (DEFAULTED, False)
    assert a.may_enable(a.members["m1"])
    assert (member.expired_count, member.defaulted_count) == (1, 1)


def test_a_member_that_leads_elsewhere_is_not_attached() -> None:
    a, b, c = bundle(1, True), bundle(2, True), bundle(3, True)
    play({**cables(a, b, "m1"), "x": (a, "m2", c, "m2")}, 0, 8000)
    assert a.may_enable(a.members["m1"])
    assert not a.may_enable(a.members["m2"])
    assert a.members["m2"].status == CURRENT


def test_a_cable_to_itself_is_not_attached() -> None:
    a = bundle(1, True)
    play({"loop": (a, "m1", a, "m2")}, 0, 8000)
    assert not any(a.may_enable(m) for m in a.members.values())


def test_fallback_uses_links_without_a_partner() -> None:
    a = bundle(1, True, fallback=True)
    b = bundle(1, True)
    for lacp in (a, b):
        for now in range(0, 8000, 500):
            lacp.run(now)
            lacp.take_sent()
    assert all(a.may_enable(m) for m in a.members.values())
    assert not any(b.may_enable(m) for m in b.members.values())


def test_slow_partners_send_every_thirty_seconds() -> None:
    a, b = two(fast=False)
    now = play(cables(a, b, "m1", "m2"), 0, 5000)
    before = a.members["m1"].tx_pdus
    play(cables(a, b, "m1", "m2"), now, 60_000)
    assert a.members["m1"].tx_pdus - before == 2


def test_a_link_that_goes_down_is_in_doubt_at_once() -> None:
    a, b = two()
    now = play(cables(a, b, "m1", "m2"), 0, 3000)
    a.set_carrier(a.members["m1"], False, now)
    assert not a.may_enable(a.members["m1"])
    assert a.members["m1"].carrier_count == 1


def test_markers_are_counted() -> None:
    a = bundle(1, True)
    a.received(a.members["m1"], frame(SAMPLE, 1)[:14] + bytes((lacpdu.SUBTYPE_MARKER,)) + bytes(109), 0)
    assert (a.members["m1"].marker_pdus, a.members["m1"].bad_pdus) == (1, 0)
