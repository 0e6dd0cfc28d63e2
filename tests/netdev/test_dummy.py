"""Dummy and patch devices: what arrives, what is transmitted, what is dropped and why."""

from __future__ import annotations

import errno
import select
from collections.abc import Iterator

import pytest

from vswitch.base.unixctl import Commands
from vswitch.netdev import registry
from vswitch.netdev.dummy import DummyNetdev, register_commands
from vswitch.netdev.frame import GSO_TCPV4, VNET_NEEDS_CSUM, Frame
from vswitch.netdev.memory import RX_QUEUE
from vswitch.netdev.patch import PatchNetdev
from vswitch.netdev.provider import NetdevError
from vswitch.netdev.registry import netdev_close, netdev_open
from vswitch.netdev.scope import PROCESS, Scope

PACKET = bytes.fromhex("02000000000b02000000000a88b5") + bytes(50)


@pytest.fixture
def dummy() -> Iterator[DummyNetdev]:
    netdev = netdev_open("d0", "dummy")
    assert isinstance(netdev, DummyNetdev)
    yield netdev
    netdev_close(netdev)


@pytest.fixture
def pair() -> Iterator[tuple[PatchNetdev, PatchNetdev]]:
    a, b = netdev_open("pa", "patch"), netdev_open("pb", "patch")
    assert isinstance(a, PatchNetdev)
    assert isinstance(b, PatchNetdev)
    a.set_config({"peer": "pb"})
    b.set_config({"peer": "pa"})
    yield a, b
    netdev_close(a)
    netdev_close(b)


def readable(netdev: DummyNetdev | PatchNetdev) -> bool:
    return bool(select.select([netdev.fileno()], [], [], 0)[0])


def test_every_type_is_known_by_name() -> None:
    assert {"system", "internal", "tap", "dummy", "dummy-internal", "patch"} <= set(registry.types())
    assert all(registry.kind(type).type == type for type in registry.types())
    assert registry.kind("") is registry.kind("system")


def test_a_dummy_stands_in_for_devices_only() -> None:
    world = Scope()
    registry.enable_dummy("override", world)
    assert world.dummy_instead == {"system", "tap"}
    assert registry.open_type("", world) == "dummy"
    assert registry.open_type("patch", world) == "patch"
    assert registry.open_type("", Scope()) == "system"


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(NetdevError, match="unknown type gre77") as e:
        netdev_open("x", "gre77")
    assert e.value.errno == errno.EAFNOSUPPORT


def test_a_device_opened_twice_is_one_device_until_the_last_close(dummy: DummyNetdev) -> None:
    again = netdev_open("d0", "dummy")
    assert again is dummy
    netdev_close(again)
    assert PROCESS.find("d0") is dummy
    with pytest.raises(NetdevError) as e:
        netdev_open("d0", "patch")
    assert e.value.errno == errno.EEXIST


def test_a_received_packet_makes_the_descriptor_readable_until_it_is_taken(dummy: DummyNetdev) -> None:
    assert not readable(dummy)
    dummy.inject(PACKET)
    dummy.inject(PACKET)
    assert readable(dummy)
    assert [f.data for f in dummy.recv(1)] == [PACKET]
    assert readable(dummy)
    assert len(dummy.recv(32)) == 1
    assert not readable(dummy)
    assert dummy.recv(32) == []
    assert (dummy.stats().rx_packets, dummy.stats().rx_bytes) == (2, 2 * len(PACKET))


def test_a_full_receive_queue_drops_with_a_reason(dummy: DummyNetdev) -> None:
    for _ in range(RX_QUEUE + 3):
        dummy.inject(PACKET)
    assert dummy.stats().rx_dropped == 3
    assert dummy.stats().custom == {"rx_queue_full": 3}


def test_a_downed_dummy_neither_receives_nor_sends(dummy: DummyNetdev) -> None:
    seq = dummy.change_seq()
    dummy.set_up(False)
    assert dummy.change_seq() != seq
    assert not dummy.inject(PACKET)
    assert dummy.send([Frame(PACKET)]) == 0
    assert dummy.transmitted() == []
    assert dummy.stats().custom == {"rx_down": 1, "tx_down": 1}


def test_a_dummy_finishes_what_a_device_with_offloads_would(dummy: DummyNetdev) -> None:
    head = PACKET[:12] + bytes.fromhex("0800 450000900001000040060000 0a0000010a000002")
    tcp = bytes.fromhex("03e80050 00000000 00000000 50101000 00000000")
    frame = Frame(head + tcp + bytes(104), VNET_NEEDS_CSUM, GSO_TCPV4, 54, 40, 34, 16)
    dummy.send([frame])
    assert [len(p) for p in dummy.transmitted()] == [54 + 40, 54 + 40, 54 + 24]
    dummy.set_config({"offload": "true"})
    dummy.send([frame])
    assert dummy.transmitted() == [frame.data]


def test_mtu_has_a_range(dummy: DummyNetdev) -> None:
    dummy.set_mtu(9000)
    assert dummy.mtu() == 9000
    for bad in (0, 67, 65536):
        with pytest.raises(NetdevError) as e:
            dummy.set_mtu(bad)
        assert e.value.errno == errno.EINVAL
    assert dummy.mtu() == 9000


def test_carrier_changes_are_counted_and_told(dummy: DummyNetdev) -> None:
    told: list[int] = []
    dummy.on_change = lambda: told.append(dummy.change_seq())
    dummy.set_carrier(False)
    dummy.set_carrier(False)
    dummy.set_carrier(True)
    assert dummy.carrier_resets() == 2
    assert len(told) == 2


def test_commands_feed_and_switch_dummies(dummy: DummyNetdev) -> None:
    commands = Commands()

    def compose(text: str, size: int | None) -> bytes:
        if text != "arp()":
            raise ValueError(text)
        return PACKET + bytes((size or len(PACKET)) - len(PACKET))

    register_commands(commands, compose)
    assert commands.run("netdev-dummy/receive", ["d0", PACKET.hex(), "arp()"]) == (True, "")
    assert [f.data for f in dummy.recv(9)] == [PACKET, PACKET]
    assert commands.run("netdev-dummy/receive", ["d0", "--qid", "0", "arp()", "--len", "100"])[0]
    assert [len(f.data) for f in dummy.recv(9)] == [100]
    for words in (["arp()", "--len", "59"], ["arp()", "--len", "x"], ["arp()", "--len"], ["--len", "60"],
                  [PACKET.hex(), "--len", "100"], ["--qid", "1", "arp()"]):  # fmt: skip
        assert not commands.run("netdev-dummy/receive", ["d0", *words])[0]
    # What comes before the word that is wrong has been received by then, as the real switch has it.
    assert [f.data for f in dummy.recv(9)] == [PACKET]
    ok, text = commands.run("netdev-dummy/receive", ["nope", PACKET.hex()])
    assert not ok
    assert "no such dummy netdev" in text
    ok, text = commands.run("netdev-dummy/receive", ["d0", "zz"])
    assert not ok
    assert commands.run("netdev-dummy/set-admin-state", ["d0", "down"]) == (True, "OK")
    assert not dummy.up()
    assert commands.run("netdev-dummy/set-admin-state", ["up"]) == (True, "OK")
    assert dummy.up()
    assert commands.run("netdev-dummy/conn-state", ["d0"]) == (True, "d0: unknown\n")


def test_what_is_sent_to_one_patch_arrives_at_its_peer(pair: tuple[PatchNetdev, PatchNetdev]) -> None:
    a, b = pair
    assert a.carrier()
    assert a.send([Frame(PACKET)]) == 1
    assert readable(b)
    assert [f.data for f in b.recv(32)] == [PACKET]
    assert (a.stats().tx_packets, b.stats().rx_packets) == (1, 1)


def test_a_patch_without_a_willing_peer_drops_with_a_reason(pair: tuple[PatchNetdev, PatchNetdev]) -> None:
    a, b = pair
    b.set_config({"peer": "other"})
    assert not a.carrier()
    assert a.send([Frame(PACKET)]) == 0
    assert a.stats().custom == {"tx_no_peer": 1}


@pytest.mark.parametrize("options", [{}, {"peer": ""}, {"peer": "pa"}, {"peer": "pb", "key": "1"}])
def test_a_patch_takes_one_option_the_name_of_another_device(
    pair: tuple[PatchNetdev, PatchNetdev], options: dict[str, str]
) -> None:
    with pytest.raises(NetdevError) as e:
        pair[0].set_config(options)
    assert e.value.errno == errno.EINVAL
