"""Multicast snooping: what IGMP and MLD messages say, and the table that is made of it."""

from __future__ import annotations

import ipaddress
import random

import pytest
from scapy.layers.inet6 import (
    ICMPv6MLDMultAddrRec,
    ICMPv6MLDone,
    ICMPv6MLQuery,
    ICMPv6MLReport,
    ICMPv6MLReport2,
    IPv6,
)

from tests.l2.igmp_messages import v2, v3
from vswitch.l2 import igmp, mld
from vswitch.l2.igmp import Membership
from vswitch.l2.mcast_snooping import McastSnooping

GROUP = int(ipaddress.IPv4Address("225.1.1.1"))
GROUP6 = int(ipaddress.IPv6Address("ff05::5"))


def v6(message: object) -> bytes:
    return bytes(IPv6(src="fe80::1", dst="ff02::16") / message)[40:]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (v2(0x12, "225.1.1.1"), [Membership(GROUP, True, "IGMPv1")]),
        (v2(0x16, "225.1.1.1"), [Membership(GROUP, True, "IGMPv2")]),
        (v2(0x17, "225.1.1.1"), [Membership(GROUP, False, "IGMPv2")]),
        (v2(0x11, "0.0.0.0"), []),
        (v3((4, "225.1.1.1")), [Membership(GROUP, True, "IGMPv3")]),
        (v3((3, "225.1.1.1")), [Membership(GROUP, False, "IGMPv3")]),
        (v3((3, "225.1.1.1", "10.0.0.1")),
         [Membership(GROUP, True, "IGMPv3")]),
        (v3((4, "225.1.1.2"), (1, "225.1.1.1")),
         [Membership(GROUP + 1, True, "IGMPv3"), Membership(GROUP, False, "IGMPv3")]),
        (v3((9, "225.1.1.1")), []),
        (v3((4, "225.1.1.1"))[:-4], None),
        (b"\x16\0\0\0" + bytes(4), None),
        (b"", None),
    ],
)  # fmt: skip
def test_igmp(data: bytes, said: list[Membership] | None) -> None:
    assert igmp.decode(data) == said


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (ICMPv6MLReport(mladdr="ff05::5"), [Membership(GROUP6, True, "MLDv1")]),
        (ICMPv6MLDone(mladdr="ff05::5"), [Membership(GROUP6, False, "MLDv1")]),
        (ICMPv6MLQuery(), []),
        (ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec(rtype=4, dst="ff05::5")], records_number=1),
         [Membership(GROUP6, True, "MLDv2")]),
        (ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec(rtype=3, dst="ff05::5")], records_number=1),
         [Membership(GROUP6, False, "MLDv2")]),
    ],
)  # fmt: skip
def test_mld(message: object, said: list[Membership]) -> None:
    data = v6(message)
    assert mld.decode(data) == said
    assert mld.decode(data[:7]) is None


def test_no_mutated_message_does_harm() -> None:
    rng = random.Random(3)
    seeds = [
        v3((4, "225.1.1.1"), (3, "225.1.1.2")),
        v6(ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec(rtype=4, dst="ff05::5")], records_number=1)),
        v6(ICMPv6MLReport(mladdr="ff05::5")),
    ]
    outcomes = {False: 0, True: 0}
    for _ in range(200_000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        cut = bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.2 else data)
        said = (igmp.records(cut, 4, "") if len(cut) >= 8 else None) if data[0] == 0x22 else mld.decode(cut)
        outcomes[said is None] += 1
    assert min(outcomes.values()) > 0


def ports_of(table: McastSnooping, group: int = GROUP) -> list[object]:
    found = table.lookup(0, False, group)
    return [] if found is None else list(found.ports)


def test_ports_join_and_leave() -> None:
    table = McastSnooping()
    assert table.join(0, False, GROUP, "p1", "IGMPv2", 0)
    assert not table.join(0, False, GROUP, "p1", "IGMPv2", 1000)
    assert table.join(0, False, GROUP, "p2", "IGMPv3", 0)
    assert ports_of(table) == ["p1", "p2"]
    assert table.lookup(5, False, GROUP) is None
    assert table.leave(0, False, GROUP, "p1")
    assert not table.leave(0, False, GROUP, "p1")
    assert ports_of(table) == ["p2"]
    assert table.leave(0, False, GROUP, "p2")
    assert ports_of(table) == []
    assert table.lookup(0, False, GROUP) is not None, "it is not flooded at once"
    assert table.expire(1000)
    assert table.groups() == []


def test_only_multicast_addresses_are_groups() -> None:
    table = McastSnooping()
    assert not table.join(0, False, 0x0A000001, "p1", "IGMPv2", 0)
    assert not table.join(0, True, 0, "p1", "MLDv1", 0)
    assert table.groups() == []


def test_members_that_nobody_renews_go_after_the_idle_time() -> None:
    table = McastSnooping()
    table.idle = 20
    table.join(0, False, GROUP, "p1", "IGMPv2", 0)
    table.join(0, False, GROUP, "p2", "IGMPv2", 0)
    table.join(0, False, GROUP, "p1", "IGMPv2", 10_000)
    assert not table.expire(19_900)
    assert table.expire(20_000)
    assert ports_of(table) == ["p1"]
    assert table.expire(30_000)
    assert table.groups() == []


def test_routers_go_after_three_minutes_without_a_query() -> None:
    table = McastSnooping()
    assert table.add_router(3, "r", 0)
    assert not table.add_router(3, "r", 100_000)
    assert table.routers(3) == ["r"]
    assert table.routers(4) == []
    assert not table.expire(279_000)
    assert table.expire(280_000)
    assert table.routers(3) == []


def test_the_group_that_was_renewed_longest_ago_makes_room() -> None:
    table = McastSnooping()
    table.set_max_entries(10)
    for i in range(10):
        table.join(0, False, GROUP + i, "p1", "IGMPv2", i)
    table.join(0, False, GROUP, "p1", "IGMPv2", 100)
    table.join(0, False, GROUP + 99, "p1", "IGMPv2", 200)
    assert ports_of(table, GROUP) == ["p1"]
    assert ports_of(table, GROUP + 1) == []
    assert table.set_max_entries(3)
    assert len(table.groups()) == 3


def test_a_port_that_goes_takes_its_groups_and_routers_along() -> None:
    table = McastSnooping()
    table.join(0, False, GROUP, "p1", "IGMPv2", 0)
    table.join(0, False, GROUP + 1, "p2", "IGMPv2", 0)
    table.add_router(0, "p1", 0)
    assert table.forget_port("p1")
    assert not table.forget_port("p1")
    assert (ports_of(table), ports_of(table, GROUP + 1), table.routers(0)) == ([], ["p2"], [])


def test_a_port_that_gets_all_reports_is_left_by_silence_only() -> None:
    table = McastSnooping()
    table.join(0, False, GROUP, "p1", "IGMPv2", 0)
    assert table.set_flood("p1", False, True)
    assert not table.leave(0, False, GROUP, "p1")
    assert ports_of(table) == ["p1"]
    assert table.expire(300_000)


def test_ports_that_get_everything_are_no_members() -> None:
    table = McastSnooping()
    table.add_router(0, "r", 0)
    table.set_flood("f", True, False)
    assert not table.join(0, False, GROUP, "r", "IGMPv2", 0)
    assert not table.join(0, False, GROUP, "f", "IGMPv2", 0)
    assert table.join(5, False, GROUP, "r", "IGMPv2", 0)
