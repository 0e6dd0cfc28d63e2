"""NORMAL: a learning switch with VLANs, by what comes out where."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.switch.packets import A, B, C, flow_of, frame, tagged, vlan_of
from vswitch import Switch

Make = Callable[..., Switch]
BROADCAST = "ff:ff:ff:ff:ff:ff"


def outputs(sw: Switch, port: str, packet: str) -> list[str]:
    sw.received_all()
    sw.send(port, packet)
    return sorted(name for name in sw.received_all() if name != "br0")


def vlans(sw: Switch, port: str, packet: str) -> dict[str, int | None]:
    """Where a packet comes out, and with which VLAN tag."""
    sw.received_all()
    sw.send(port, packet)
    return {name: vlan_of(p[0]) for name, p in sorted(sw.received_all().items()) if name != "br0"}


@pytest.fixture
def lan(switch: Make) -> Switch:
    return switch("actions=NORMAL")


def test_an_unknown_destination_floods_and_a_known_one_does_not(lan: Switch) -> None:
    assert outputs(lan, "p1", frame(A, B)) == ["p2", "p3"]
    assert outputs(lan, "p2", frame(B, A)) == ["p1"]
    assert outputs(lan, "p1", frame(A, B)) == ["p2"]
    assert lan.command("fdb/show") == (
        " port  VLAN  MAC                Age\n"
        "    1     0  00:00:00:00:00:0a    0\n"
        "    2     0  00:00:00:00:00:0b    0\n"
    )


def test_a_packet_to_its_own_port_is_dropped(lan: Switch) -> None:
    lan.send("p1", frame(A, C), frame(B, C))
    assert outputs(lan, "p1", frame(A, B)) == []


def test_mac_moves_to_the_new_port(lan: Switch) -> None:
    lan.send("p1", frame(A, B))
    assert outputs(lan, "p3", frame(C, A)) == ["p1"]
    lan.send("p2", frame(A, B))
    assert outputs(lan, "p3", frame(C, A)) == ["p2"]


def test_an_address_is_forgotten_after_300_s_of_silence(lan: Switch) -> None:
    lan.send("p1", frame(A, B))
    lan.advance(299)
    assert outputs(lan, "p3", frame(C, A)) == ["p1"]
    lan.advance(2)
    assert outputs(lan, "p3", frame(C, A)) == ["p1", "p2"]


def test_an_address_whose_packets_the_datapath_forwards_stays_known(lan: Switch) -> None:
    for _ in range(80):
        lan.send("p1", frame(A, B))
        lan.advance(5)
    assert outputs(lan, "p3", frame(C, A)) == ["p1"]


def test_flush_forgets(lan: Switch) -> None:
    lan.send("p1", frame(A, B))
    lan.command("fdb/flush", "br0")
    assert outputs(lan, "p3", frame(C, A)) == ["p1", "p2"]
    assert "Current/maximum MAC entries in the table: 1/8192" in lan.command("fdb/stats-show")


def test_broadcast_and_multicast_flood(lan: Switch) -> None:
    assert outputs(lan, "p1", frame(A, BROADCAST)) == ["p2", "p3"]
    assert outputs(lan, "p1", frame(A, "01:00:5e:00:00:05")) == ["p2", "p3"]


def test_reserved_addresses_are_not_forwarded(lan: Switch) -> None:
    assert outputs(lan, "p1", frame(A, "01:80:c2:00:00:00")) == []
    assert outputs(lan, "p1", frame(A, "01:80:c2:00:00:0e")) == []


def test_a_port_set_no_flood_gets_no_floods_but_what_is_for_it(lan: Switch) -> None:
    lan.set_port("p3", flood=False)
    assert outputs(lan, "p1", frame(A, BROADCAST)) == ["p2"]
    lan.send("p3", frame(C, A))
    assert outputs(lan, "p1", frame(A, C)) == ["p3"]


def test_a_port_that_goes_takes_its_addresses_along(lan: Switch) -> None:
    lan.send("p1", frame(A, B))
    lan.del_port("p1")
    assert outputs(lan, "p3", frame(C, A)) == ["p2"]
    lan.add_port("p1")
    assert outputs(lan, "p3", frame(C, A)) == ["p1", "p2"]


# VLANs.


@pytest.fixture
def vlan_lan(switch: Make) -> Switch:
    """Access ports a10, b10 (VLAN 10), a20 (VLAN 20), and a trunk."""
    sw = switch("actions=NORMAL", ports=())
    sw.add_port("a10", tag=10)
    sw.add_port("b10", tag=10)
    sw.add_port("a20", tag=20)
    sw.add_port("trunk")
    return sw


def test_vlans_are_apart_and_tagged_on_the_trunk(vlan_lan: Switch) -> None:
    assert vlans(vlan_lan, "a10", frame(A, BROADCAST)) == {"b10": None, "trunk": 10}
    assert vlans(vlan_lan, "a20", frame(A, BROADCAST)) == {"trunk": 20}
    assert vlans(vlan_lan, "trunk", tagged(B, BROADCAST, 10)) == {"a10": None, "b10": None}
    assert vlans(vlan_lan, "trunk", tagged(B, BROADCAST, 30)) == {}


def test_an_access_port_takes_no_tagged_packets(vlan_lan: Switch) -> None:
    assert vlans(vlan_lan, "a10", tagged(A, BROADCAST, 10)) == {}
    assert vlans(vlan_lan, "a10", tagged(A, BROADCAST, 20)) == {}


def test_a_priority_tag_is_no_vlan_and_the_priority_stays_on_the_trunk(vlan_lan: Switch) -> None:
    vlan_lan.send("a10", tagged(A, BROADCAST, 0, pcp=5))
    assert flow_of(vlan_lan.received("trunk")[0]).vlan_tci == 0xB00A
    assert vlan_of(vlan_lan.received("b10")[0]) is None


def test_addresses_are_learned_by_vlan(vlan_lan: Switch) -> None:
    vlan_lan.send("a10", frame(A, BROADCAST))
    vlan_lan.send("a20", frame(A, BROADCAST))
    assert outputs(vlan_lan, "trunk", tagged(B, A, 10)) == ["a10"]
    assert outputs(vlan_lan, "trunk", tagged(B, A, 20)) == ["a20"]


@pytest.mark.parametrize(("settings", "untagged", "native", "other"), [
    ({}, 0, 10, 30),
    ({"trunks": (10, 20)}, None, 10, None),
    ({"tag": 10, "vlan_mode": "native-untagged"}, 10, 10, 30),
    ({"tag": 10, "vlan_mode": "native-tagged"}, 10, 10, 30),
    ({"tag": 10, "vlan_mode": "native-tagged", "trunks": (20,)}, 10, 10, None),
    ({"tag": 10}, 10, None, None),
])  # fmt: skip
def test_which_vlan_a_packet_is_in(switch: Make, settings: dict[str, object], untagged: int | None,
                                   native: int | None, other: int | None) -> None:
    sw = switch("actions=NORMAL", ports=("trunk",))
    sw.add_port("x", **settings)  # type: ignore[arg-type]

    def seen(packet: str) -> int | None:
        found = vlans(sw, "x", packet)
        return (found["trunk"] or 0) if "trunk" in found else None

    assert seen(frame(A, BROADCAST)) == untagged
    assert seen(tagged(A, BROADCAST, 10)) == native
    assert seen(tagged(A, BROADCAST, 30)) == other


@pytest.mark.parametrize(("settings", "vlan10", "vlan20"), [
    ({}, 10, 20),
    ({"tag": 10, "vlan_mode": "native-untagged"}, None, 20),
    ({"tag": 10, "vlan_mode": "native-tagged"}, 10, 20),
    ({"tag": 10}, None, -1),
    ({"trunks": (20,)}, -1, 20),
])  # fmt: skip
def test_how_a_packet_leaves(switch: Make, settings: dict[str, object], vlan10: int | None,
                             vlan20: int | None) -> None:
    sw = switch("actions=NORMAL", ports=("trunk",))
    sw.add_port("x", **settings)  # type: ignore[arg-type]
    assert vlans(sw, "trunk", tagged(A, BROADCAST, 10)).get("x", -1) == vlan10
    assert vlans(sw, "trunk", tagged(A, BROADCAST, 20)).get("x", -1) == vlan20


def test_vlan_changes_take_effect_on_cached_traffic(vlan_lan: Switch) -> None:
    assert vlans(vlan_lan, "a10", frame(A, BROADCAST)) == {"b10": None, "trunk": 10}
    vlan_lan.set_port("b10", tag=20)
    assert vlans(vlan_lan, "a10", frame(A, BROADCAST)) == {"trunk": 10}


# More than one bridge; mirrors.


def test_patch_ports_join_two_bridges(switch: Make) -> None:
    sw = switch("actions=NORMAL", ports=("p1",))
    sw.add_bridge("br1")
    sw.add_flow("actions=NORMAL", bridge="br1")
    sw.add_port("x1", bridge="br1")
    sw.add_port("to-br1", peer="to-br0")
    sw.add_port("to-br0", peer="to-br1", bridge="br1")
    assert "x1" in outputs(sw, "p1", frame(A, B))
    assert "p1" in outputs(sw, "x1", frame(B, A))
    assert sw.stats("to-br1")["tx_packets"] == 1
    assert sw.stats("to-br0")["rx_packets"] == 1


def test_a_mirror_copies_what_it_selects(switch: Make) -> None:
    sw = switch("actions=NORMAL")
    sw.add_mirror("m0", "p3", srcs=["p1"])
    sw.send("p2", frame(B, BROADCAST))
    sw.received_all()
    assert outputs(sw, "p1", frame(A, B)) == ["p2", "p3"]
    assert outputs(sw, "p2", frame(B, A)) == ["p1"]
