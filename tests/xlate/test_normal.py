"""NORMAL and mirrors: who gets a frame, and with which tags."""

from __future__ import annotations

from tests.xlate.lab import Bridge
from vswitch.ofproto_dpif.xlate.bridge import VLAN_ACCESS, VLAN_NATIVE_UNTAGGED, XMirror
from vswitch.ofproto_dpif.xlate.effects import CreditMirrors, LearnMac

KNOWN = 0x505400000002
TO_KNOWN = "dl_src=50:54:00:00:00:01,dl_dst=50:54:00:00:00:02"
BROADCAST = "dl_src=50:54:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff"


def switch() -> Bridge:
    return Bridge().add_flows("actions=normal")


def access(br0: Bridge, port: str, vlan: int) -> None:
    br0.x.bundles[port].vlan_mode = VLAN_ACCESS
    br0.x.bundles[port].vlan = vlan


def test_an_unknown_address_floods_and_a_learned_one_does_not() -> None:
    br0 = switch()
    assert br0.actions(f"in_port=1,{TO_KNOWN}") == "100,2,3,4"
    br0.learn(KNOWN, 0, "p2")
    assert br0.actions(f"in_port=1,{TO_KNOWN}") == "2"
    assert br0.actions(f"in_port=2,{TO_KNOWN}") == "drop"


def test_the_source_is_learned_as_an_effect_only() -> None:
    br0 = switch()
    effects = [e for e in br0.xlate(f"in_port=1,dl_vlan=9,{BROADCAST}").effects if isinstance(e, LearnMac)]
    assert [(e.mac, e.vlan, e.bundle.name) for e in effects] == [(0x505400000001, 9, "p1")]
    assert len(br0.x.mac_learning) == 0


def test_access_ports_translate_to_tags_on_trunks() -> None:
    br0 = switch()
    access(br0, "p1", 10)
    access(br0, "p2", 10)
    access(br0, "p3", 20)
    assert (
        br0.actions(f"in_port=1,{BROADCAST}")
        == "push_vlan(vid=10,pcp=0),100,pop_vlan,2,push_vlan(vid=10,pcp=0),4"
    )
    assert br0.actions(f"in_port=4,dl_vlan=20,{BROADCAST}") == "100,pop_vlan,3"
    out = br0.xlate(f"in_port=1,dl_vlan=10,{BROADCAST}")
    assert out.warnings == [
        "dropping VLAN 10 tagged packet received on port p1 configured as VLAN 10 access port"
        " on bridge br0"
    ]


def test_a_native_port_sends_its_vlan_untagged_and_never_carries_vlan_0() -> None:
    br0 = switch()
    br0.x.bundles["p1"].vlan_mode = VLAN_NATIVE_UNTAGGED
    br0.x.bundles["p1"].vlan = 10
    assert br0.actions(f"in_port=4,dl_vlan=10,{BROADCAST}") == "100,pop_vlan,1,push_vlan(vid=10,pcp=0),2,3"
    assert br0.actions(f"in_port=4,{BROADCAST}") == "100,2,3"


def test_reserved_multicast_stays_where_it_is_unless_forward_bpdu() -> None:
    br0 = switch()
    stp = "in_port=1,dl_src=50:54:00:00:00:01,dl_dst=01:80:c2:00:00:00"
    assert br0.actions(stp) == "drop"
    br0.x.forward_bpdu = True
    assert br0.actions(stp) == "100,2,3,4"


def test_protected_ports_do_not_talk_to_each_other() -> None:
    br0 = switch()
    br0.x.bundles["p1"].protected = br0.x.bundles["p2"].protected = True
    assert br0.actions(f"in_port=1,{BROADCAST}") == "100,3,4"


def test_gratuitous_arp_looks_at_what_tells_it() -> None:
    br0 = switch()
    request = f"in_port=1,arp,{BROADCAST},arp_op=1,arp_spa=1.2.3.4,arp_tpa=1.2.3.4"
    learned = next(e for e in br0.xlate(request).effects if isinstance(e, LearnMac))
    assert learned.gratuitous_arp
    assert br0.megaflow(request) == (
        "recirc_id=0,eth,arp,in_port=1,dl_src=50:54:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,"
        "arp_spa=1.2.3.4,arp_tpa=1.2.3.4,arp_op=1"
    )


def mirror(
    br0: Bridge,
    srcs: tuple[str, ...] = (),
    dsts: tuple[str, ...] = (),
    out: str | None = None,
    out_vlan: int = -1,
    idx: int = 0,
) -> XMirror:
    m = XMirror(idx, f"m{idx}")
    m.srcs = {br0.x.bundles[name] for name in srcs}
    m.dsts = {br0.x.bundles[name] for name in dsts}
    m.out = br0.x.bundles[out] if out else None
    m.out_vlan = out_vlan
    br0.add_mirror(m)
    return m


def test_a_mirror_copies_what_comes_in_and_what_goes_out() -> None:
    br0 = Bridge().add_flows("in_port=1,actions=output:2", "in_port=3,actions=drop")
    mirror(br0, srcs=("p1", "p3"), dsts=("p2",), out="p4")
    out = br0.xlate("in_port=1,tcp")
    assert br0.actions("in_port=1,tcp") == "4,2"
    assert br0.actions("in_port=3,tcp") == "4"
    assert br0.actions("in_port=2,tcp") == "drop"
    assert [e.mirrors for e in out.effects if isinstance(e, CreditMirrors)] == [1]


def test_a_mirror_output_port_takes_no_part_in_forwarding() -> None:
    br0 = switch()
    mirror(br0, srcs=("p1",), out="p4")
    assert br0.actions(f"in_port=2,{BROADCAST}") == "100,1,3"
    assert br0.actions(f"in_port=4,{BROADCAST}") == "drop"


def test_a_mirror_of_a_vlan_and_one_into_a_vlan() -> None:
    br0 = Bridge().add_flows("in_port=1,actions=output:2")
    mirror(br0, srcs=("p1",), out="p4").vlans = frozenset({7})
    assert br0.actions("in_port=1,dl_vlan=7") == "4,2"
    assert br0.actions("in_port=1,dl_vlan=8") == "2"
    rspan = Bridge().add_flows("in_port=1,actions=output:2")
    access(rspan, "p3", 99)
    mirror(rspan, srcs=("p1",), out_vlan=99)
    assert rspan.actions("in_port=1").endswith(",2")
    assert "push_vlan(vid=99,pcp=0)" in rspan.actions("in_port=1")


def test_a_mirror_may_cut_its_copies() -> None:
    br0 = Bridge().add_flows("in_port=1,actions=output:2")
    mirror(br0, srcs=("p1",), out="p4").snaplen = 100
    assert br0.actions("in_port=1") == "trunc(100),4,2"
