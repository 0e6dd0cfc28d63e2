"""Ports of a bridge: numbers, configuration bits, devices that come and go, patch ports, VLANs."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from tests.ofproto_dpif.lab import Counted, Lab, udp
from vswitch.base.clock import Clock
from vswitch.dpif.types import ODPP_NONE
from vswitch.dpif.userspace.provider import UserspaceDpif
from vswitch.netdev import dummy, registry
from vswitch.ofproto_dpif.ofprotos import Ofprotos
from vswitch.ofproto_dpif.ports import splinters
from vswitch.ofproto_dpif.ports.ports import PortError
from vswitch.ofproto_dpif.settings import BundleSettings, MirrorSettings, SettingsError

MakeLab = Callable[..., Lab]


def test_a_port_gets_the_number_it_asks_for_if_that_is_free(lab: MakeLab) -> None:
    bridge = lab(0).bridge
    assert bridge.port_add("a", "dummy", 7).ofp_port == 7
    assert bridge.port_add("b", "dummy", 7).ofp_port != 7
    assert bridge.port_add("c", "dummy").ofp_port not in (7, 0xFFFE)


def test_a_number_that_was_given_back_is_not_given_out_at_once(lab: MakeLab) -> None:
    bridge = lab(0).bridge
    first = bridge.port_add("a", "dummy").ofp_port
    bridge.port_del("a")
    assert bridge.port_add("b", "dummy").ofp_port != first


def test_a_number_of_the_datapath_that_goes_to_another_port_takes_no_old_flows_along(lab: MakeLab) -> None:
    made = lab(3, "in_port=1,actions=output:3", "in_port=8,actions=output:2")
    made.send("p1", udp())
    assert made.received() == {"p3": 1}
    number = made.bridge.xbridge.ports[1].odp_port
    made.bridge.port_del("p1")
    made.bridge.port_add("p1", "dummy", 8)
    assert made.bridge.xbridge.ports[8].odp_port == number
    made.run()
    for _ in range(2):
        made.send("p1", udp())
        assert made.received() == {"p2": 1}


def test_a_full_bridge_says_so(lab: MakeLab) -> None:
    bridge = lab(0).bridge
    bridge.port_numbers.max_ports = 3
    bridge.port_add("a", "dummy")
    bridge.port_add("b", "dummy")
    with pytest.raises(PortError, match="br0: no free OpenFlow port number for c") as raised:
        bridge.port_add("c", "dummy")
    assert raised.value.errno == errno.EFBIG
    assert "c" not in [port.name for port in bridge.backer.dpif.port_dump()]


def test_a_port_is_in_one_bridge_only(lab: MakeLab) -> None:
    made = lab(1)
    other = made.add_bridge("br1")
    with pytest.raises(PortError, match="br0: has a port p1 already"):
        made.bridge.port_add("p1", "dummy")
    with pytest.raises(PortError, match="br1: p1 is a port of br0"):
        other.port_add("p1", "dummy")
    assert "p1" not in other.ports_by_name


def test_deleting_a_port_twice_is_an_error(lab: MakeLab) -> None:
    bridge = lab(1).bridge
    bridge.port_del("p1")
    with pytest.raises(PortError, match="br0: has no port p1"):
        bridge.port_del("p1")


def test_ports_of_an_earlier_life_are_taken_over_and_the_rest_detached() -> None:
    registry.enable_dummy("override")
    clock = Clock(virtual=True)
    earlier = UserspaceDpif("ovs-earlier", clock)
    number = earlier.port_add("p1", "dummy")
    earlier.port_add("p2", "dummy")
    ofprotos = Ofprotos(clock)
    ofprotos.datapath_names["netdev"] = "ovs-earlier"
    bridge = ofprotos.create("br0", "netdev")
    assert bridge.port_add("p1", "dummy", 5).odp_port == number
    ofprotos.delete_garbage_ports()
    assert [port.name for port in bridge.backer.dpif.port_dump()] == ["ovs-earlier", "p1", "br0"]
    ofprotos.close()
    registry.enable_dummy("")


def test_a_port_that_the_datapath_has_already_is_taken_over(lab: MakeLab) -> None:
    made = lab(0)
    number = made.backer.dpif.port_add("old", "dummy")
    assert made.bridge.port_add("old", "dummy").odp_port == number


@pytest.mark.parametrize(
    ("config", "port", "got"),
    [
        (1 << 2, "p1", {}),
        (1 << 4, "p2", {"p3": 1, "br0": 1}),
        (1 << 5, "p2", {"p3": 1, "br0": 1}),
        (1 << 0, "p2", {"p3": 1, "br0": 1}),
    ],
    ids=["no-recv", "no-flood", "no-forward", "port-down"],
)
def test_configuration_bits_keep_packets_in_or_out(
    lab: MakeLab, config: int, port: str, got: dict[str, int]
) -> None:
    made = lab(3, "actions=flood")
    made.bridge.port_set_config(port, config)
    made.send("p1", udp())
    assert made.received() == got
    made.bridge.port_set_config(port, 0)
    made.run()
    made.send("p1", udp())
    assert made.received() == {"br0": 1, "p2": 1, "p3": 1}


def test_a_device_that_disappears_and_returns_keeps_number_and_vlan(lab: MakeLab) -> None:
    made = lab(2, "actions=normal")
    made.add_port(made.bridge, "p3", 3, vlan=5)
    made.add_port(made.bridge, "p4", 4, vlan=5)
    made.run()
    happened = Counted("ofproto_port_lost", "ofproto_port_returned")
    dpif = made.backer.dpif
    dpif.port_del(made.bridge.ports[3].odp_port)
    made.run()
    assert 3 not in made.bridge.ports
    made.send("p4", udp())
    assert made.received() == {"br0": 1, "p1": 1, "p2": 1}
    assert made.bridge.port_return("p3")
    made.run()
    assert (happened["ofproto_port_lost"], happened["ofproto_port_returned"]) == (1, 1)
    assert made.bridge.ports[3].name == "p3"
    made.send("p4", udp())
    assert made.received() == {"br0": 1, "p1": 1, "p2": 1, "p3": 1}


def test_the_last_packets_of_a_port_that_went_teach_no_address_to_the_one_that_returns(lab: MakeLab) -> None:
    made = lab(3, "actions=normal")
    made.send("p2", udp())
    made.send("p2", udp())
    dpif = made.backer.dpif
    dpif.port_del(made.bridge.ports[2].odp_port)
    made.bridge.ports_polled({"p2"})
    assert made.bridge.port_return("p2")
    assert made.bridge.ports[2].bundle in made.bridge.bundles.values()
    made.run()
    assert made.ask("fdb/show br0") == " port  VLAN  MAC                Age\n"


@pytest.mark.parametrize(("actions", "times"), [
    ("normal", 0),
    ("bundle(eth_src,0,active_backup,ofport,members:2,3)", 1),
])  # fmt: skip
def test_a_link_that_goes_down_shows_and_revalidates_where_a_bundle_action_was_seen(
    lab: MakeLab, actions: str, times: int
) -> None:
    made = lab(2, f"actions={actions}")
    made.send("p1", udp())
    assert made.bridge.has_bundle_action == bool(times)
    happened = Counted("rev_port_toggled")
    dummy.find("p2").set_up(False)
    made.run()
    assert happened["rev_port_toggled"] == times
    port = made.bridge.ports[2]
    assert port.state & 1 or port.config & 1
    dummy.find("p2").set_up(True)
    made.run()
    assert not port.state & 1
    assert not port.config & 1


def test_a_changed_mtu_shows(lab: MakeLab) -> None:
    made = lab(1)
    dummy.find("p1").set_mtu(9000)
    made.run()
    up = made.bridge.ports[1].up
    assert up is not None
    assert up.mtu == 9000


def test_a_packet_from_a_port_that_no_bridge_has_is_dropped_in_the_datapath(lab: MakeLab) -> None:
    made = lab(1, "actions=normal")
    made.backer.dpif.port_add("stray", "dummy")
    # As what an earlier life left, which waits for its bridge; other ports don't stay.
    made.backer.initial_ports["stray"] = made.backer.dpif.port_query_by_name("stray")
    made.run()
    happened = Counted("drop_upcall_unknown_port", "facet_unexpected")
    made.send("stray", udp(), udp(sport=2), udp(sport=3))
    made.send("stray", udp(sport=4))
    assert happened["drop_upcall_unknown_port"] == 3
    assert len(made.dp_flows()) == 1
    made.seconds(2)
    assert happened["facet_unexpected"] == 0
    made.bridge.port_add("stray", "dummy", 9)
    made.bridge.bundle_set("stray", BundleSettings("stray", ("stray",)))
    made.run()
    made.send("stray", udp())
    assert made.received() == {"br0": 1, "p1": 1}


def test_a_port_that_somebody_put_into_the_datapath_goes(lab: MakeLab) -> None:
    made = lab(1, "actions=normal")
    made.backer.dpif.port_add("stray", "dummy")
    made.run()
    assert "stray" not in {port.name for port in made.backer.dpif.port_dump()}


def test_patch_ports_join_two_bridges_and_have_no_device(lab: MakeLab) -> None:
    made = lab(1, "actions=normal")
    other = made.add_bridge("br1")
    made.flow("actions=normal", other)
    made.add_port(other, "q1", 1)
    made.add_port(made.bridge, "to1", 10, "patch", peer="to0")
    made.send("p1", udp())
    assert made.received() == {"br0": 1}
    made.add_port(other, "to0", 10, "patch", peer="to1")
    made.run()
    assert made.bridge.ports[10].odp_port == ODPP_NONE
    made.send("p1", udp())
    assert made.received() == {"br0": 1, "br1": 1, "q1": 1}
    other.port_del("to0")
    made.run()
    made.send("p1", udp())
    assert made.received() == {"br0": 1}


def test_destroying_a_bridge_unjoins_its_patch_ports(lab: MakeLab) -> None:
    made = lab(1, "actions=normal")
    other = made.add_bridge("br1")
    made.add_port(made.bridge, "to1", 10, "patch", peer="to0")
    made.add_port(other, "to0", 10, "patch", peer="to1")
    made.ofprotos.destroy("br1")
    made.run()
    assert made.bridge.ports[10].peer is None
    made.send("p1", udp())
    assert made.received() == {"br0": 1}


# Bundles and mirrors.


def test_access_ports_forward_within_their_vlan(lab: MakeLab) -> None:
    made = lab(0, "actions=normal")
    for number, vlan in ((1, 10), (2, 10), (3, 20)):
        made.add_port(made.bridge, f"p{number}", number, vlan=vlan)
    made.run()
    made.send("p1", udp())
    assert made.received() == {"br0": 1, "p2": 1}


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (BundleSettings("x", ("nope",)), "interface nope"),
        (BundleSettings("x", ("p1",), vlan_mode="sideways"), "vlan_mode 'sideways'"),
        (BundleSettings("x", ("p1",), vlan=5000), "VLAN 5000"),
        (BundleSettings("x", ("p1",), trunks=frozenset((1, 4096))), "trunks"),
        (BundleSettings("x", ("p1",), priority_tags="often"), "priority_tags 'often'"),
    ],
)
def test_settings_that_cannot_be_are_refused_and_change_nothing(
    lab: MakeLab, settings: BundleSettings, word: str
) -> None:
    bridge = lab(1).bridge
    before = dict(bridge.bundles)
    with pytest.raises(SettingsError, match=f"br0: port x: invalid {word}"):
        bridge.bundle_set("p1", settings)
    assert bridge.bundles == before
    assert bridge.bundles["p1"].vlan == -1


def test_there_are_at_most_32_mirrors(lab: MakeLab) -> None:
    bridge = lab(2).bridge
    for i in range(32):
        bridge.mirror_set(i, MirrorSettings(f"m{i}", out="p2"))
    assert bridge.has_mirrors
    with pytest.raises(SettingsError, match="maximum of 32 mirrors reached") as raised:
        bridge.mirror_set("one more", MirrorSettings("m32", out="p2"))
    assert raised.value.errno == errno.EFBIG
    for i in range(32):
        bridge.mirror_set(i, None)
    assert not bridge.has_mirrors


# VLAN splinters.


def test_a_vlan_device_stands_in_for_a_vlan_of_its_real_device(lab: MakeLab) -> None:
    made = lab(3, "priority=5,in_port=1,dl_vlan=9,actions=strip_vlan,output:2",
               "priority=5,in_port=3,actions=mod_vlan_vid:9,output:1", "priority=1,actions=drop")
    made.bridge.port_add("p1.9", "dummy", 19)
    assert splinters.add(made.bridge, 19, 1, 9)
    tagged = udp()[:12] + b"\x81\x00\x00\x09" + udp()[12:]
    made.send("p1.9", udp())
    made.send("p1", tagged)
    assert made.packets("p2") == [udp(), udp()]
    assert len(made.facets()) == 1
    assert len(made.facets()[0].subfacets) == 2
    made.send("p1.9", udp())
    made.send("p1", tagged)
    made.seconds(1)
    assert made.packets("p2") == [udp(), udp()]
    assert made.rule("in_port=1,dl_vlan=9").n_packets == 4
    made.send("p3", udp())
    assert made.received() == {"p1.9": 1}


def test_splinters_take_effect_at_once_and_end_with_their_ports(lab: MakeLab) -> None:
    made = lab(3, "in_port=3,actions=mod_vlan_vid:9,output:1")
    bridge = made.bridge
    bridge.port_add("p1.9", "dummy", 19)
    made.send("p3", udp())
    assert made.received() == {"p1": 1}
    assert splinters.add(bridge, 19, 1, 9)
    assert not splinters.add(bridge, 19, 1, 10)
    made.run()
    made.send("p3", udp())
    assert made.received() == {"p1.9": 1}
    bridge.port_del("p1.9")
    made.run()
    made.send("p3", udp())
    assert made.received() == {"p1": 1}
    bridge.port_add("p1.8", "dummy", 19)
    assert splinters.add(bridge, 19, 1, 8)
    bridge.port_del("p1")
    assert (bridge.vlandev_map, bridge.realdev_vid_map) == ({}, {})


def test_a_port_whose_device_is_gone_can_be_deleted_for_good(
    lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lab(2)
    bridge, dpif = made.bridge, made.backer.dpif
    dpif.port_del(bridge.ports[2].odp_port)
    with monkeypatch.context() as gone:
        gone.setattr(dpif, "port_add", lambda *_args: (_ for _ in ()).throw(OSError(errno.ENODEV, "gone")))
        made.run()
        assert "p2" not in bridge.ports_by_name
        bridge.port_del("p2")
    dpif.port_add("p2", "dummy")
    made.run()
    assert "p2" not in bridge.ports_by_name
    with pytest.raises(PortError, match="br0: has no port p2"):
        bridge.port_del("p2")
