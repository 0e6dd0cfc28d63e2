"""BFD sessions talking to each other in virtual time, and to packets that nobody would send."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.monitor.bfd import BfdSession, BfdSettings, parse_settings
from vswitch.monitor.bfd_packet import FLAG_POLL, Control, Diag, State, frame
from vswitch.packet.headers import PacketError

OFFSET = 42
"""Bytes of Ethernet, IPv4 and UDP in front of a control packet."""


class Link:
    """Two sessions with a cable between them; `cut` holds the names of those whose packets are lost."""

    def __init__(self, a: BfdSettings, b: BfdSettings) -> None:
        self.now = 1000
        self.ends = [BfdSession("a", a, set(), self.now), BfdSession("b", b, set(), self.now)]
        self.sent: dict[str, list[tuple[int, Control]]] = {"a": [], "b": []}
        self.cut: set[str] = set()
        self.data = {"a": 0, "b": 0}
        """Data packets received by either end."""

    def advance(self, ms: int) -> None:
        end = self.now + ms
        while self.now < end:
            for i, session in enumerate(self.ends):
                peer = self.ends[1 - i]
                received = self.data[session.name] + len(self.sent[peer.name])
                session.run(received, self.now)
                packet = session.packet(0x020000000001, self.now)
                if packet is not None:
                    self.sent[session.name].append((self.now, Control.unpack(packet[OFFSET:])))
                    if session.name not in self.cut:
                        peer.receive(packet[OFFSET:], 255, self.now)
            self.now += 10

    @property
    def states(self) -> tuple[str, str]:
        return self.ends[0].state.text, self.ends[1].state.text

    def gaps(self, name: str, count: int) -> list[int]:
        times = [t for t, _ in self.sent[name][-count - 1 :]]
        return [b - a for a, b in pairwise(times)]


def test_two_sessions_come_up_and_keep_the_slower_of_both_rates() -> None:
    link = Link(BfdSettings(min_tx=300, min_rx=400), BfdSettings())
    link.advance(20_000)
    assert link.states == ("up", "up")
    assert all(750 <= gap <= 1010 for gap in link.gaps("a", 10)), "b is willing to receive once a second"
    assert all(300 <= gap <= 410 for gap in link.gaps("b", 10))
    status = link.ends[0].status(link.now)
    assert status == {
        "forwarding": "true", "state": "up", "diagnostic": "No Diagnostic", "remote_state": "up",
        "remote_diagnostic": "No Diagnostic", "flap_count": "1",
    }  # fmt: skip


def test_silence_takes_the_session_down_after_the_detection_time() -> None:
    link = Link(BfdSettings(min_tx=100, min_rx=100), BfdSettings(min_tx=100, min_rx=100))
    link.advance(10_000)
    link.cut.add("b")
    link.advance(200)
    assert link.states == ("up", "up")
    link.advance(200)
    assert link.ends[0].state is State.DOWN
    assert link.ends[0].diag == Diag.EXPIRED
    link.advance(1200)
    assert link.ends[1].state is not State.UP, "the peer heard that we are down"
    assert link.ends[1].diag == Diag.RMT_DOWN
    link.cut.clear()
    link.advance(5000)
    assert link.states == ("up", "up")
    assert link.ends[0].status(link.now)["flap_count"] == "3"


def test_new_intervals_are_announced_and_hold_when_the_peer_has_confirmed_them() -> None:
    link = Link(BfdSettings(min_tx=500, min_rx=500), BfdSettings(min_tx=500, min_rx=300))
    link.advance(10_000)
    a = link.ends[0]
    a.configure(BfdSettings(min_tx=200, min_rx=2000), link.now)
    assert a.polling
    assert a.min_rx == 500
    before = len(link.sent["a"])
    link.advance(1000)
    assert not a.polling
    assert (a.min_tx, a.min_rx) == (200, 2000)
    first = link.sent["a"][before][1]
    assert first.flags & FLAG_POLL
    assert first.min_rx == 2_000_000
    link.advance(20_000)
    assert link.states == ("up", "up")
    assert all(gap >= 1500 for gap in link.gaps("b", 5))
    assert all(220 <= gap <= 310 for gap in link.gaps("a", 5))


def test_concatenated_path_down_stops_the_peer_from_forwarding() -> None:
    link = Link(BfdSettings(), BfdSettings())
    link.advance(10_000)
    link.ends[0].configure(BfdSettings(cpath_down=True), link.now)
    link.advance(3000)
    assert link.states == ("up", "up")
    assert link.ends[0].forwarding(link.now)
    assert not link.ends[1].forwarding(link.now)
    assert link.ends[1].status(link.now)["remote_diagnostic"] == "Concatenated Path Down"
    link.ends[0].configure(BfdSettings(), link.now)
    link.advance(3000)
    assert link.ends[1].forwarding(link.now)


def test_a_quiet_interface_decays_and_traffic_brings_it_back() -> None:
    settings = BfdSettings(min_tx=500, min_rx=500, decay_min_rx=3000)
    link = Link(settings, BfdSettings(min_tx=500, min_rx=300))
    link.advance(15_000)
    a = link.ends[0]
    assert a.in_decay
    assert a.min_rx == 3000
    assert all(gap >= 2250 for gap in link.gaps("b", 2))
    for _ in range(60):
        link.data["a"] += 50
        link.advance(100)
    assert not a.in_decay
    assert a.min_rx == 500
    assert link.states == ("up", "up")


def test_received_traffic_speaks_for_the_interface_while_control_packets_are_lost() -> None:
    fast = BfdSettings(min_tx=100, min_rx=100)
    link = Link(replace(fast, forwarding_if_rx=True), fast)
    link.advance(10_000)
    link.cut.add("b")
    for _ in range(90):
        link.data["a"] += 10
        link.advance(100)
    assert link.ends[0].state is State.DOWN
    assert link.ends[0].forwarding(link.now)
    for _ in range(20):
        link.data["a"] += 10
        link.advance(100)
    assert not link.ends[0].forwarding(link.now), "no control packet for 100 times min_rx"


def test_an_operator_may_say_what_forwarding_is() -> None:
    link = Link(BfdSettings(), BfdSettings())
    link.advance(10_000)
    a = link.ends[0]
    a.set_override(False, link.now)
    assert a.status(link.now)["forwarding"] == "false"
    assert a.status(link.now)["state"] == "up"
    a.set_override(None, link.now)
    assert a.status(link.now)["forwarding"] == "true"


def test_show_has_the_real_ones_form() -> None:
    link = Link(BfdSettings(min_tx=300, min_rx=400), BfdSettings())
    text = link.ends[0].show(link.now)
    assert re.sub(r"0x[0-9a-f]{2,}", "0xD", text) == """\
  Forwarding: false
  Detect Multiplier: 3
  Concatenated Path Down: false
  TX Interval: Approx 1000ms
  RX Interval: Approx 400ms
  Detect Time: now -1000ms
  Next TX Time: now +0ms
  Last TX Time: now -1000ms

  Local Flags: none
  Local Session State: down
  Local Diagnostic: No Diagnostic
  Local Discriminator: 0xD
  Local Minimum TX Interval: 1000ms
  Local Minimum RX Interval: 400ms

  Remote Flags: none
  Remote Session State: down
  Remote Diagnostic: No Diagnostic
  Remote Discriminator: 0x0
  Remote Minimum TX Interval: 0ms
  Remote Minimum RX Interval: 1ms
  Remote Detect Multiplier: 0
"""


def test_the_column_is_read_and_its_mistakes_are_named() -> None:
    assert parse_settings({}) == (None, [])
    assert parse_settings({"enable": "true"}) == (BfdSettings(), [])
    settings, errors = parse_settings({
        "enable": "true", "min_rx": "0", "mult": "5", "bfd_dst_ip": "10.0.0.300", "bfd_local_dst_mac": "x",
        "bfd_src_ip": "10.0.0.1", "decay_min_rx": "10",
    })  # fmt: skip
    assert settings == BfdSettings(mult=5, src_ip=0x0A000001)
    assert errors == [
        'min_rx="0" is no number from 1 to 4294967, 1000 is used',
        "decay_min_rx 10 is less than min_rx 1000, no decay",
        'bfd_local_dst_mac="x" is no Ethernet address',
        'bfd_dst_ip="10.0.0.300" is no IPv4 address',
    ]


def test_a_packet_is_ours_by_its_addresses() -> None:
    ours = BfdSession("a", BfdSettings(src_ip=0x0A000001, remote_dst_mac=0x020000000001), set(), 0)
    assert ours.takes(0x020000000001, 0x0A000001, 0)
    assert not ours.takes(0x020000000001, 0x0A000002, 0)
    assert not ours.takes(0x020000000002, 0x0A000001, 0)
    assert BfdSession("b", BfdSettings(), set(), 0).takes(1, 0x0A000001, 5)
    assert not BfdSession("b", BfdSettings(check_tnl_key=True), set(), 0).takes(1, 0x0A000001, 5)


GOOD = Control(State.DOWN, 0, 0, 3, 7, 0, 1_000_000, 1_000_000)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({0: 0x40}, "BFD version 2 instead of 1"),
        ({1: 0x44}, "authentication"),
        ({3: 23}, "length 23 instead of 24"),
        ({2: 0}, "multiplier of 0"),
        ({1: 0x41}, "multipoint"),
        ({7: 0}, "no discriminator of the sender's"),
        ({1: 0xC0}, "no discriminator of ours in state up"),
    ],
)
def test_a_packet_with_a_bad_field_is_refused_by_name(change: dict[int, int], says: str) -> None:
    data = bytearray(GOOD.pack())
    for at, value in change.items():
        data[at] = value
    with pytest.raises(PacketError, match=says):
        Control.unpack(bytes(data))


def test_a_refused_packet_changes_nothing() -> None:
    session = BfdSession("a", BfdSettings(), set(), 0)
    session.receive(GOOD.pack(), 254, 10)
    session.receive(GOOD.pack()[:20], 255, 10)
    session.receive(Control(State.DOWN, 0, 0, 3, 7, session.disc ^ 1, 1, 1).pack(), 255, 10)
    assert session.state is State.DOWN
    assert session.rmt_disc == 0
    session.receive(GOOD.pack(), 255, 10)
    assert session.state is State.INIT


@given(
    st.builds(
        Control, st.sampled_from([State.DOWN, State.ADMIN_DOWN]), st.integers(0, 31),
        st.sampled_from([0, 0x20, 0x10, 0x30, 2, 8]), st.integers(1, 255), st.integers(1, 0xFFFFFFFF),
        st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF),
        st.integers(0, 0xFFFFFFFF),
    )
)  # fmt: skip
def test_a_control_packet_survives_the_wire(control: Control) -> None:
    assert Control.unpack(frame(control, 1, 2, 3, 4)[OFFSET:]) == control


def test_no_packet_harms_a_session() -> None:
    """200,000 mutated packets: the session answers questions all the time and stays itself."""
    chance = random.Random(5880)
    session = BfdSession("a", BfdSettings(), set(), 0)
    base = GOOD.pack()
    for n in range(200_000):
        data = bytearray(base)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.getrandbits(8)
        if chance.random() < 0.1:
            data = data[: chance.randrange(len(data))]
        session.receive(bytes(data), 255, n)
        if n % 1000 == 0:
            session.run(n, n)
            session.packet(1, n)
            session.show(n)
            assert session.status(n)["state"] in ("down", "init", "up")
            assert session.wakeup() >= 0
