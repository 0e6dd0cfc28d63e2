"""The two ways to change a packet agree, and a change that went wrong is found."""

from __future__ import annotations

import pytest

from tests.flow.test_extract import FRAMES
from vswitch import Switch
from vswitch.dpif.autovalidator import compared, differed, difference, run_validated
from vswitch.dpif.odp_compile import compile_actions
from vswitch.dpif.odp_execute import Executor, Packet
from vswitch.dpif.odp_text import parse_actions
from vswitch.flow.flow import Flow
from vswitch.netdev.frame import Frame

ACTIONS = (
    "set(eth(src=02:00:00:00:00:07,dst=02:00:00:00:00:08))",
    "set(eth(dst=01:00:00:00:00:00/01:00:00:00:00:00))",
    "set(ipv4(src=10.9.8.7,tos=0x4/0xfc,ttl=3))", "set(ipv6(dst=2001:db8::99,label=0x5,hlimit=7))",
    "set(tcp(src=81,dst=8080))", "set(udp(dst=53))", "set(sctp(src=7))", "set(icmp(type=3))",
    "push_vlan(vid=7,pcp=3)", "pop_vlan", "push_mpls(label=9,tc=1,ttl=6,bos=1,eth_type=0x8847)", "pop_eth",
)  # fmt: skip


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
