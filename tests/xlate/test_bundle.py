"""The actions bundle and bundle_load. Traces and megaflows were checked with Open vSwitch 3.1's
`ofproto/trace`; that hrw chooses the same member is compared in tests/oracle/cases/hashes.txt."""

from __future__ import annotations

import pytest

from tests.xlate.lab import Bridge
from vswitch.ofproto_dpif.xlate.effects import DependsOnLiveness, credit

TCP = "in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tcp_src=1000,tcp_dst=80"
UDP = TCP.replace("tcp", "udp")
TCP6 = "in_port=1,tcp6,ipv6_src=::1,ipv6_dst=::2,tcp_src=1,tcp_dst=2"
ETH = "dl_src=00:00:00:00:00:00,dl_dst=00:00:00:00:00:00"


def bridge(action: str, dead: tuple[int, ...] = ()) -> Bridge:
    br0 = Bridge().add_flows(f"actions={action}")
    for port in dead:
        br0.x.ports[port].may_enable = False
    return br0


@pytest.mark.parametrize(
    ("members", "dead", "composed"),
    [
        ("2,3", (), "2"),
        ("2,3", (2,), "3"),
        ("2,3", (2, 3), "drop"),
        ("9,4", (), "4"),
        ("9,local", (), "100"),
        ("in_port,3", (), "1"),
        ("1,3", (), "drop"),
        ("", (), "drop"),
    ],
)
@pytest.mark.parametrize("fields", ["eth_src", "nw_src"])
def test_active_backup_takes_the_first_live_member_and_looks_at_nothing(
    fields: str, members: str, dead: tuple[int, ...], composed: str
) -> None:
    br0 = bridge(f"bundle({fields},0,active_backup,ofport,members:{members})", dead)
    assert br0.actions(TCP) == composed
    assert br0.megaflow(TCP) == "recirc_id=0,eth,ip,in_port=1,nw_frag=no"


@pytest.mark.parametrize(("dead", "port", "value"), [((), "2", "0x2"), ((2,), "3", "0x3"),
                                                     ((2, 3), "65535", "0xffff")])  # fmt: skip
def test_bundle_load_sets_the_field_to_the_port(dead: tuple[int, ...], port: str, value: str) -> None:
    load = "bundle_load(nw_dst,7,active_backup,ofport,NXM_NX_REG0[0..15],members:2,3)"
    shown = bridge(f"{load},output:NXM_NX_REG0[]", dead).trace(TCP)
    assert (
        f"    {load}\n"
        f"     -> NXM_NX_REG0[0..15] is now {value}\n"
        "    output:NXM_NX_REG0[]\n"
        f"     -> output port is {port}\n"
    ) in shown
    assert shown.endswith(f"Datapath actions: {'drop' if value == '0xffff' else port}")


@pytest.mark.parametrize(
    ("fields", "packet", "megaflow"),
    [
        ("eth_src", TCP, "eth,ip,in_port=1,dl_src=00:00:00:00:00:00,nw_frag=no"),
        ("symmetric_l4", TCP,
         f"eth,tcp,in_port=1,{ETH},nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_frag=no,tp_src=1000,tp_dst=80"),
        ("symmetric_l4", UDP, f"eth,udp,in_port=1,{ETH},nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_frag=no"),
        ("symmetric_l4", "in_port=1,arp", f"eth,arp,in_port=1,{ETH}"),
        ("symmetric_l3l4", UDP, "eth,udp,in_port=1,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_frag=no"),
        ("symmetric_l3l4", TCP6,
         "eth,tcp6,in_port=1,ipv6_src=::1,ipv6_dst=::2,nw_frag=no,tp_src=1,tp_dst=2"),
        ("symmetric_l3l4+udp", UDP,
         "eth,udp,in_port=1,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_frag=no,tp_src=1000,tp_dst=80"),
        ("symmetric_l3", TCP, "eth,ip,in_port=1,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_frag=no"),
        ("symmetric_l3", "in_port=1,arp", "eth,arp,in_port=1"),
    ],
)  # fmt: skip
def test_hrw_looks_at_the_hashed_fields(fields: str, packet: str, megaflow: str) -> None:
    br0 = bridge(f"bundle({fields},0,hrw,ofport,members:2,3)")
    assert br0.megaflow(packet) == f"recirc_id=0,{megaflow}"


def test_hrw_moves_only_what_went_to_the_member_that_died() -> None:
    action = "bundle(nw_src,0,hrw,ofport,members:2,3,4)"
    packets = [TCP.replace("10.0.0.1", f"10.0.0.{n}") for n in range(1, 100)]
    before = [bridge(action).actions(p) for p in packets]
    after = [bridge(action, (3,)).actions(p) for p in packets]
    assert all(20 < before.count(port) < 50 for port in "234")
    assert "3" not in after
    assert [b for b, a in zip(before, after, strict=True) if b != a] == ["3"] * before.count("3")
    assert bridge(action, (2, 3, 4)).actions(TCP) == "drop"


def test_a_symmetric_hash_sends_both_directions_to_one_port() -> None:
    br0 = bridge("bundle(symmetric_l3l4,5,hrw,ofport,members:2,3,4)")
    for n in range(1, 50):
        there = f"in_port=1,tcp,nw_src=10.0.0.{n},nw_dst=10.0.9.9,tcp_src={n},tcp_dst=80"
        back = f"in_port=1,tcp,nw_src=10.0.9.9,nw_dst=10.0.0.{n},tcp_src=80,tcp_dst={n}"
        assert br0.actions(there) == br0.actions(back)


def test_a_translation_that_depends_on_liveness_says_so_and_changes_nothing() -> None:
    br0 = bridge("bundle(eth_src,0,active_backup,ofport,members:2,3)")
    effects = [e for e in br0.xlate(TCP).effects if isinstance(e, DependsOnLiveness)]
    assert len(effects) == 1
    assert not br0.x.has_bundle_action
    credit(effects, 1, 60, 0)
    assert br0.x.has_bundle_action
