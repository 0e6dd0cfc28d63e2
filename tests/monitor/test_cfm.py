"""Maintenance points talking to each other in virtual time."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.monitor.cfm import RANDOM_VLAN, CfmSession, CfmSettings, fault_names, parse_settings
from vswitch.monitor.cfm_packet import CCM_LENGTH, Ccm, frame, interval_code
from vswitch.packet.headers import PacketError


class Wire:
    """Maintenance points on one segment; `mute` holds the names of those whose frames are lost."""

    def __init__(self, *settings: CfmSettings) -> None:
        self.now = 0
        self.points = [CfmSession(f"p{i}", s, 0) for i, s in enumerate(settings)]
        self.mute: set[str] = set()
        self.frames: list[tuple[int, str, bytes]] = []
        self.received = dict.fromkeys((p.name for p in self.points), 0)

    def advance(self, ms: int) -> None:
        for _ in range(0, ms, 10):
            self.now += 10
            for point in self.points:
                sent = point.packet(0x020000000001, self.now)
                if sent is None:
                    continue
                self.frames.append((self.now, point.name, sent))
                if point.name in self.mute:
                    continue
                for other in self.points:
                    if other is not point and other.takes(int.from_bytes(sent[:6], "big"), 0):
                        self.received[other.name] += 1
                        other.receive(sent[18 if sent[12:14] == b"\x81\0" else 14 :], self.now)
            for point in self.points:
                point.run(self.received[point.name], self.now)

    def faults(self) -> list[list[str]]:
        return [fault_names(p.faults) for p in self.points]


FAST = CfmSettings(10, interval=100)


def test_two_points_that_hear_each_other_are_well() -> None:
    wire = Wire(FAST, replace(FAST, mpid=11))
    wire.advance(5000)
    assert wire.faults() == [[], []]
    assert wire.points[0].health == 100
    assert wire.points[0].remote_mpids == [11]
    assert wire.points[0].flap_count == 0
    assert wire.points[0].show(wire.now) == """\
MPID 10:
  average health: 100
  opstate: up
  remote_opstate: up
  interval: 100ms
  next CCM tx: 100ms
  next fault check: 250ms
Remote MPID 11
  recv since check: true
  opstate: up
"""


def test_silence_is_a_fault_here_and_told_to_the_other_end() -> None:
    wire = Wire(FAST, replace(FAST, mpid=11))
    wire.advance(3000)
    wire.mute.add("p1")
    wire.advance(1500)
    assert wire.faults() == [["recv"], ["rdi"]]
    assert wire.points[0].remote_mpids == []
    wire.mute.clear()
    wire.advance(1500)
    assert wire.faults() == [[], []]
    assert wire.points[0].flap_count == 2


def test_lost_heartbeats_lower_the_health() -> None:
    wire = Wire(FAST, replace(FAST, mpid=11))
    for n in range(100):
        wire.mute = {"p1"} if n % 3 == 0 else set()
        wire.advance(100)
    health = wire.points[0].health
    assert wire.faults()[0] == []
    assert health is not None
    assert 20 < health < 80


def test_health_is_undefined_with_several_remote_points() -> None:
    wire = Wire(FAST, replace(FAST, mpid=11), replace(FAST, mpid=12))
    wire.advance(5000)
    assert wire.points[0].remote_mpids == [11, 12]
    assert wire.points[0].health is None


def test_our_own_id_and_other_intervals_are_faults() -> None:
    wire = Wire(FAST, FAST)
    wire.advance(1000)
    assert "loopback" in wire.faults()[0]
    wire = Wire(FAST, replace(FAST, mpid=11, interval=1000))
    wire.advance(4000)
    assert "interval" in wire.faults()[1]


def test_another_association_is_a_fault() -> None:
    point = CfmSession("p", FAST, 0)
    point.receive(Ccm(1, 11, 3, maid=bytes(48)).pack(), 100)
    point.run(1, 400)
    assert fault_names(point.faults) == ["recv", "maid"]


def test_more_points_than_are_remembered_overflow() -> None:
    point = CfmSession("p", FAST, 0)
    for mpid in range(11, 400):
        point.receive(Ccm(1, mpid, 3).pack(), 100)
    point.run(400, 400)
    assert "overflow" in fault_names(point.faults)
    assert len(point.rmps) == 256


def test_extended_mode_takes_any_interval_and_long_ids_and_says_when_it_is_down() -> None:
    one = CfmSettings(1 << 40, interval=150, extended=True)
    wire = Wire(one, replace(one, mpid=5, opup=False))
    wire.advance(3000)
    assert wire.faults() == [[], []]
    assert not wire.points[0].remote_opup
    assert wire.points[1].remote_opup
    assert wire.points[1].remote_mpids == [1 << 40]
    assert wire.frames[0][2][:6].hex() == "012320000030"


def test_traffic_stands_for_heartbeats_in_demand_mode_but_not_for_ever() -> None:
    one = CfmSettings(1, interval=100, extended=True, demand=True)
    wire = Wire(one, replace(one, mpid=2))
    wire.advance(5000)
    wire.mute.add("p1")
    for _ in range(80):
        wire.received["p0"] += 5
        wire.advance(100)
    assert wire.faults()[0] == []
    for _ in range(60):
        wire.received["p0"] += 5
        wire.advance(100)
    assert wire.faults()[0] == ["recv"], "no CCM for 100 intervals"


def test_the_operator_may_say_what_the_fault_is() -> None:
    wire = Wire(FAST, replace(FAST, mpid=11))
    wire.advance(1000)
    point = wire.points[0]
    point.set_override(True)
    assert wire.faults()[0] == ["override"]
    assert point.show(wire.now).startswith("MPID 10: fault_override\n  fault: override\n")
    wire.mute.add("p1")
    wire.advance(2000)
    point.set_override(False)
    assert wire.faults()[0] == []
    point.set_override(None)
    assert wire.faults()[0] == ["recv"]


def test_heartbeats_carry_the_tag_that_is_configured() -> None:
    assert frame(Ccm(1, 1, 4), False, 1, 7, 3)[12:18].hex() == "810060078902"
    assert frame(Ccm(1, 1, 4), False, 1, 0, 0)[12:14].hex() == "8902"
    tags = {CfmSession("p", replace(FAST, vlan=RANDOM_VLAN), 0).packet(1, 100)[14:16] for _ in range(20)}  # type: ignore[index]
    assert len(tags) > 1


@pytest.mark.parametrize(
    ("ms", "code"), [(1, 1), (3, 1), (9, 1), (10, 2), (300, 3), (1000, 4), (59_999, 5), (700_000, 7)]
)
def test_intervals_are_rounded_down_to_standard_ones(ms: int, code: int) -> None:
    assert interval_code(ms) == code


def test_the_columns_are_read_and_their_mistakes_named() -> None:
    assert parse_settings(None, {}) == (None, [])
    assert parse_settings(0, {})[0] is None
    assert parse_settings(0, {"cfm_extended": "true"})[0] is None
    assert parse_settings(8192, {})[1] == [
        "cfm_mpid 8192 is not from 1 to 8191, CFM is off (cfm_extended takes any but 0)"
    ]
    settings, errors = parse_settings(
        7, {"cfm_interval": "x", "cfm_demand": "true", "cfm_ccm_vlan": "random", "cfm_opstate": "down"}
    )
    assert settings == CfmSettings(7, vlan=RANDOM_VLAN, opup=False)
    assert errors == [
        "cfm_demand needs cfm_extended, no demand mode",
        'cfm_interval="x" is no number from 1 to 600000, 1000 is used',
    ]


@given(
    st.builds(
        Ccm, st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFF), st.integers(0, 7), st.booleans(),
        st.binary(min_size=48, max_size=48), st.integers(0, 0xFFFF), st.integers(0, (1 << 64) - 1),
        st.booleans(),
    )
)  # fmt: skip
def test_a_ccm_survives_the_wire(ccm: Ccm) -> None:
    data = ccm.pack()
    assert len(data) == CCM_LENGTH
    assert Ccm.unpack(data) == ccm


@pytest.mark.parametrize(
    ("at", "value", "says"), [(0, 1, "CFM version 1"), (1, 2, "opcode 2"), (3, 69, "TLVs start at 69")]
)
def test_what_is_no_ccm_is_refused_by_name(at: int, value: int, says: str) -> None:
    data = bytearray(Ccm(1, 2, 3).pack())
    data[at] = value
    with pytest.raises(PacketError, match=says):
        Ccm.unpack(bytes(data))


def test_no_packet_harms_a_maintenance_point() -> None:
    """200,000 mutated packets leave a bounded session that still answers."""
    chance = random.Random(8021)
    point = CfmSession("p", CfmSettings(10, interval=150, extended=True), 0)
    base = Ccm(1, 11, 0, interval_ms=150, mpid64=11).pack()
    for n in range(200_000):
        data = bytearray(base)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.getrandbits(8)
        point.receive(bytes(data[: chance.randrange(len(data))] if n % 10 == 0 else data), n)
        if n % 1000 == 0:
            point.run(n, n)
            assert len(point.rmps) <= 256
            assert point.show(n).startswith("MPID 10: extended\n")
