"""LLDP agents: what they say, whom they remember, and what they survive."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.monitor.lldp import LldpAgent
from vswitch.monitor.lldp_packet import LLDP_ADDRESS, Element, Lldpdu, Mapping, frame
from vswitch.packet.headers import PacketError

MAC = 0xAA55AA55000F

REAL = bytes.fromhex(
    "0180c200000eaa55aa55000f88cc020704aa55aa55000f040305703006020078"
    "0a03736e310c116f70656e7673776974636820332e312e300e0400040004fe32"
    "00040d0b" + "00" * 32 + "38000000aa55aa55000f00000000fe2900040d0c" + "00" * 32 + "00140003e80000"
)
"""What Open vSwitch 3.1.0 sends with these settings."""


def agent() -> LldpAgent:
    one = LldpAgent("p0", 0)
    one.configure("sn1", "openvswitch 3.1.0", {1000: 20})
    return one


def server(status: int, ttl: int = 120) -> bytes:
    """What an Auto Attach server says of our mapping."""
    return Lldpdu(
        bytes.fromhex("aabbccddeeff"), b"eth7", ttl, system_name="server1", system_description="a server",
        element=Element(4, 0xAABBCCDDEEFF, bytes((1, 2, 0, 3))), mappings=(Mapping(1000, 20, status),),
    ).pack()  # fmt: skip


def test_the_frame_is_the_real_ones() -> None:
    sent = agent().packet(MAC, 0)
    assert sent == REAL


def test_a_frame_goes_every_five_seconds() -> None:
    one = agent()
    times = [now for now in range(0, 20_000, 100) if one.packet(MAC, now) is not None]
    assert times == [0, 5000, 10_000, 15_000]


def test_the_server_says_what_becomes_of_a_mapping() -> None:
    one = agent()
    assert "1000     20   Switch      Pending    \n" in one.show_isid()
    says = {2: "Active     ", 3: "Reject (Generic)", 6: "Reject (Invalid)", 1: "Undefined  "}
    for status, text in says.items():
        one.receive(LLDP_ADDRESS, server(status), 100)
        assert one.show_isid().endswith(f"1000     20   Switch      {text}\n")
    one.configure("sn1", "", {1000: 21})
    assert one.show_isid().endswith("1000     21   Switch      Pending    \n")


def test_status_names_the_server() -> None:
    one = agent()
    assert one.show_status() == "LLDP: p0\n"
    one.receive(LLDP_ADDRESS, server(2), 100)
    assert one.show_status() == (
        "LLDP: p0\n"
        "  Auto Attach Primary Server Id: aa:bb:cc:dd:ee:ff\n"
        "  Auto Attach Primary Server Descr: a server\n"
        "  Auto Attach Primary Server System Id: aa:bb:cc:dd:ee:ff:00:00:02:01:00:03\n"
    )


def test_neighbours_are_forgotten_when_their_time_is_over_or_they_say_farewell() -> None:
    one = agent()
    one.receive(LLDP_ADDRESS, server(2, ttl=10), 0)
    one.run(9999)
    assert len(one.neighbours) == 1
    one.run(10_000)
    assert not one.neighbours
    other = LldpAgent("p1", 0)
    sent = other.packet(MAC, 0)
    assert sent is not None
    one.receive(LLDP_ADDRESS, sent[14:], 20_000)
    assert len(one.neighbours) == 1
    one.receive(LLDP_ADDRESS, other.farewell(MAC)[14:], 21_000)
    assert not one.neighbours
    assert one.show_statistics() == """\
Statistics: p0
  tx cnt: 0
  rx cnt: 3
  rx discarded cnt: 0
  rx unrecognized cnt: 0
  ageout cnt: 1
  insert cnt: 2
  delete cnt: 1
  drop cnt: 0
"""


def test_a_flood_of_neighbours_is_bounded() -> None:
    one = agent()
    for n in range(1000):
        one.receive(LLDP_ADDRESS, Lldpdu(n.to_bytes(6, "big"), b"x", 120).pack(), 0)
    assert (len(one.neighbours), one.drops) == (32, 968)


SHORT = Lldpdu(b"123456", b"x", 1).pack()[:-2]
"""The least that a data unit has, without its end."""


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "ends without an end TLV"),
        (bytes.fromhex("0405056574683700"), "TLV 1 is of type 2 instead of the chassis id"),
        (bytes.fromhex("020704aabb"), "type 1 says it has 7 bytes, 3 are there"),
        (bytes.fromhex("020104"), "chassis id of 1 bytes"),
        (SHORT + bytes.fromhex("0602000a0000"), "type 3 comes twice"),
        (SHORT + bytes.fromhex("0e0200040000"), "capabilities of 2 bytes"),
        (SHORT + bytes.fromhex("fe0400040d0b0000"), "element of 0 bytes"),
        (SHORT + bytes.fromhex("fe0400040d0c0000"), "assignments of 0 bytes"),
    ],
)
def test_what_is_no_data_unit_is_refused_by_name(data: bytes, says: str) -> None:
    with pytest.raises(PacketError, match=says):
        Lldpdu.unpack(data)


def test_only_the_nearest_bridges_address_is_listened_to() -> None:
    one = agent()
    one.receive(LLDP_ADDRESS + 1, server(2), 0)
    assert (one.discarded, len(one.neighbours)) == (1, 0)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)


@given(
    st.builds(
        Lldpdu, st.binary(min_size=1, max_size=255), st.binary(min_size=1, max_size=255),
        st.integers(0, 0xFFFF), st.integers(0, 255), st.integers(0, 255), texts, texts, texts,
        st.integers(1, 0xFFFF), st.integers(0, 0xFFFF),
        st.none() | st.builds(
            Element, st.integers(0, 63), st.integers(0, (1 << 48) - 1), st.binary(min_size=4, max_size=4),
            st.integers(0, 0xFFF),
        ),
        st.lists(
            st.builds(Mapping, st.integers(0, 0xFFFFFF), st.integers(0, 0xFFF), st.integers(0, 15)),
            max_size=20,
        ).map(tuple),
    )
)  # fmt: skip
def test_a_data_unit_survives_the_wire(unit: Lldpdu) -> None:
    assert Lldpdu.unpack(frame(unit, 1)[14:]) == unit


def test_no_packet_harms_an_agent() -> None:
    """200,000 mutated packets leave a bounded agent that still answers."""
    chance = random.Random(8021)
    one = agent()
    base = server(2)
    for n in range(200_000):
        data = bytearray(base)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.getrandbits(8)
        one.receive(LLDP_ADDRESS, bytes(data[: chance.randrange(len(data))] if n % 10 == 0 else data), n)
        if n % 1000 == 0:
            one.run(n)
            assert len(one.neighbours) <= 32
            assert one.show_status().startswith("LLDP: p0\n")
