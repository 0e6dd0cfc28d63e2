"""The two ways to change a packet agree, and a change that went wrong is found."""

from __future__ import annotations

import pytest

from tests.flow.test_extract import FRAMES
from vswitch import Switch
from vswitch.dpif.actions import AddMpls
from vswitch.dpif.autovalidator import compared, differed, difference, run_validated
from vswitch.dpif.odp_compile import compile_actions
from vswitch.dpif.odp_execute import Executor, Packet
from vswitch.dpif.odp_text import parse_actions
from vswitch.flow.flow import Flow
from vswitch.netdev.frame import Frame
from vswitch.packet.checksum import fold, partial_sum, pseudo_sum6

ACTIONS = (
    "set(eth(src=02:00:00:00:00:07,dst=02:00:00:00:00:08))",
    "set(eth(dst=01:00:00:00:00:00/01:00:00:00:00:00))",
    "set(ipv4(src=10.9.8.7,tos=0x4/0xfc,ttl=3))", "set(ipv6(dst=2001:db8::99,label=0x5,hlimit=7))",
    "set(tcp(src=81,dst=8080))", "set(udp(dst=53))", "set(sctp(src=7))", "set(icmp(type=3))",
    "push_vlan(vid=7,pcp=3)", "pop_vlan", "push_mpls(label=9,tc=1,ttl=6,bos=1,eth_type=0x8847)", "pop_eth",
    "set(vlan(vid=77,pcp=2))", "set(vlan(vid=0x10/0x30,pcp=0/0))", "set(mpls(label=5,tc=1,ttl=3,bos=1))",
    "pop_mpls(eth_type=0x800)", "pop_mpls(eth_type=0x8847)",
    "add_mpls(label=3,tc=1,ttl=7,bos=0,eth_type=0x8847)",
    "push_nsh(flags=1,ttl=9,mdtype=1,np=3,spi=0x777,si=5,c1=0x1,c2=0x2,c3=0x3,c4=0x4)",
    "set(nsh(flags=2,ttl=7,spi=0x12345,si=8,c1=0x99))",
    "set(arp(sip=1.2.3.4,tip=5.6.7.8,op=2,sha=02:00:00:00:00:07,tha=02:00:00:00:00:08))",
    "set(nd(target=fe80::77,sll=02:00:00:00:00:07,tll=02:00:00:00:00:08))",
    "set(nd_ext(nd_reserved=0x80000000))", "set(nd_ext(nd_options_type=2))",
    "set(icmpv6(type=1,code=3))",
)  # fmt: skip


TAGGED = {
    f"{name}, {outer:#x} and {inner:#x}":
        frame[:12] + outer.to_bytes(2) + b"\x60\x05" + inner.to_bytes(2) + b"\x20\x07" + frame[12:]
    for name, frame in FRAMES.items() for outer in (0x8100, 0x88A8) for inner in (0x8100, 0x88A8)
    if frame[12:14] not in (b"\x81\0", b"\x88\xa8") and name != "llc"
}  # fmt: skip
"""Frames with two tags."""


def neighbor(kind: int, *options: bytes) -> bytes:
    """A neighbor solicitation (135) or advertisement (136) with these options."""
    target = bytes.fromhex("fe80") + bytes(13) + b"\1"
    body = bytes((kind, 0, 0, 0, 0x20, 0, 0, 1)) + target + b"".join(options)
    source, destination = (bytes.fromhex("fe80") + bytes(13) + bytes((n,)) for n in (1, 2))
    start = pseudo_sum6(source, destination, 58, len(body))
    total = int(fold(start + partial_sum(body, 0, len(body)))) ^ 0xFFFF
    body = body[:2] + total.to_bytes(2) + body[4:]
    ip = b"\x60\0\0\0" + len(body).to_bytes(2) + bytes((58, 255)) + source + destination
    return b"\2\0\0\0\0\1\2\0\0\0\0\2\x86\xdd" + ip + body


def option(kind: int, units: int = 1) -> bytes:
    return bytes((kind, units)) + bytes(range(8 * max(units, 1) - 2))


NEIGHBORS = {
    f"{kind} {names}": neighbor(kind, *options)
    for kind in (135, 136)
    for names, options in {
        "no option": (), "source": (option(1),), "target": (option(2),), "both": (option(1), option(2)),
        "two sources": (option(1), option(1)), "MTU, then source": (option(5), option(1)),
        "prefix, then target": (option(3, 4), option(2)), "a long source": (option(1, 2),),
        "of length 0": (option(1, 0),), "cut off": (option(1)[:6],), "type 0": (option(0), option(2)),
    }.items()
}  # fmt: skip
ND_ACTIONS = (
    "set(nd_ext(nd_reserved=0x80000000))", "set(nd_ext(nd_options_type=2))", "set(nd_ext(nd_options_type=1))",
    "set(nd_ext(nd_options_type=5/0x4))", "set(nd_ext(nd_reserved=0xf/0xff,nd_options_type=2))",
    "set(nd(target=fe80::77,sll=02:00:00:00:00:07,tll=02:00:00:00:00:08))", "set(nd(sll=02:00:00:00:00:07))",
    "set(nd(tll=02:00:00:00:00:07/ff:00:00:00:00:00))",
)  # fmt: skip


@pytest.mark.parametrize("text", ACTIONS)
def test_both_ways_agree_on_two_tags(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: list[str] = []
    monkeypatch.setattr("vswitch.dpif.autovalidator.log.err", lambda *args: wrong.append(str(args)))
    before, seen = compared.total, 0
    for frame in TAGGED.values():
        (step,) = compile_actions(parse_actions(text))
        packet = Packet(Frame(frame), Flow(), 1)
        assert run_validated(Executor(), step, packet)
        seen += packet.frame.data != frame
    assert wrong == []
    assert seen > 0 or text == "pop_eth"
    assert compared.total - before > len(TAGGED) // 2 or text == "pop_eth"


@pytest.mark.parametrize("text", ND_ACTIONS)
def test_both_ways_agree_on_options_of_neighbor_discovery(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: list[str] = []
    monkeypatch.setattr("vswitch.dpif.autovalidator.log.err", lambda *args: wrong.append(str(args)))
    before, seen = compared.total, 0
    for frame in NEIGHBORS.values():
        (step,) = compile_actions(parse_actions(text))
        packet = Packet(Frame(frame), Flow(), 1)
        assert run_validated(Executor(), step, packet)
        seen += packet.frame.data != frame
    assert wrong == []
    assert seen > 0
    assert compared.total - before == len(NEIGHBORS)


@pytest.mark.parametrize("text", ACTIONS)
def test_both_ways_agree(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: list[str] = []
    seen = 0
    monkeypatch.setattr("vswitch.dpif.autovalidator.log.err", lambda *args: wrong.append(str(args)))
    for frame in FRAMES.values():
        (step,) = compile_actions(parse_actions(text))
        packet = Packet(Frame(frame), Flow(), 1)
        assert run_validated(Executor(), step, packet)
        seen += packet.frame.data != frame
    assert wrong == []
    assert seen > 0


SEQUENCES = (
    "push_nsh(flags=1,ttl=9,mdtype=1,np=3,spi=0x777,si=5,c1=0x1,c2=0x2,c3=0x3,c4=0x4),set(nsh(ttl=7,si=4,c2=7)),"
    "push_eth(src=02:00:00:00:00:07,dst=02:00:00:00:00:08),set(nsh(flags=2,spi=0x1)),pop_eth,pop_nsh()",
    "push_nsh(flags=0,ttl=9,mdtype=2,np=3,spi=0x777,si=5,md2=0x10000a0412345678),pop_nsh()",
    "pop_eth,push_mpls(label=9,tc=1,ttl=6,bos=1,eth_type=0x8847),set(mpls(label=5,tc=1,ttl=3,bos=1)),"
    "pop_mpls(eth_type=0x800),push_eth(src=02:00:00:00:00:07,dst=02:00:00:00:00:08)",
    "add_mpls(label=3,tc=1,ttl=7,bos=0,eth_type=0x8847),pop_mpls(eth_type=0x6558)",
)


@pytest.mark.parametrize("text", SEQUENCES)
def test_both_ways_agree_on_packets_without_ethernet(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: list[str] = []
    monkeypatch.setattr("vswitch.dpif.autovalidator.log.err", lambda *args: wrong.append(str(args)))
    steps = compile_actions(parse_actions(text))
    before = compared.total
    for name in ("tcp", "udp over ipv6"):
        packet = Packet(Frame(FRAMES[name]), Flow(), 1)
        for step in steps:
            assert run_validated(Executor(), step, packet)
    assert wrong == []
    assert compared.total - before == 2 * len(steps)


def test_a_label_behind_ethernet() -> None:
    (step,) = compile_actions((AddMpls(0x5140, 0x8847, 1),))
    packet = Packet(Frame(FRAMES["vlan"]), Flow(), 1)
    run_validated(Executor(), step, packet)
    assert difference(step, FRAMES["vlan"], packet.frame.data, Flow()) == ""
    assert difference(step, FRAMES["vlan"], FRAMES["vlan"], Flow()) != ""


@pytest.mark.parametrize(("text", "frame"), [
    ("set(ipv4(src=10.9.8.7))", "tcp"), ("set(tcp(src=81))", "tcp"), ("push_vlan(vid=7,pcp=3)", "tcp"),
    ("set(eth(src=02:00:00:00:00:07))", "vlan"),
])  # fmt: skip
def test_every_wrong_bit_of_a_header_is_found(text: str, frame: str) -> None:
    before = FRAMES[frame]
    (step,) = compile_actions(parse_actions(text))
    packet = Packet(Frame(before), Flow(), 1)
    run_validated(Executor(), step, packet)
    after = packet.frame.data
    assert after != before
    assert difference(step, before, after, Flow()) == ""
    assert difference(step, before, before, Flow()) != ""
    for at in range(12):
        assert difference(step, before, after[:at] + bytes([after[at] ^ 1]) + after[at + 1 :], Flow()) != ""


def test_a_switch_compares_while_it_is_told_to() -> None:
    def counts() -> tuple[int, int]:
        return compared.total, differed.total

    with Switch(ports=["p1", "p2"]) as sw:
        sw.add_flow("tcp,in_port=p1,actions=mod_nw_src:10.9.8.7,mod_tp_dst:99,output:p2,push_vlan:0x8100,output:p2")
        before = counts()
        sw.send("p1", "tcp,tp_dst=80")
        assert counts() == before
        assert sw.command("odp-execute/action-impl-set autovalidator") == (
            "Action implementation set to autovalidator.\n"
        )
        sw.send("p1", "tcp,tp_dst=80")
        assert counts() == (before[0] + 3, before[1])
        sw.command("odp-execute/action-impl-set scalar")
        sw.send("p1", "tcp,tp_dst=80")
        assert counts() == (before[0] + 3, before[1])
        assert len(sw.received("p2")) == 6
