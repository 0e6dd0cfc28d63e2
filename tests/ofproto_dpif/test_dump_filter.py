"""`dpctl/dump-flows` with filter=, type= and pmd=: what ovs-vswitchd 3.1 shows and says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ofproto_dpif.lab import Lab
from vswitch.flow.compose import flow_compose
from vswitch.flow.match_text import parse_match

MakeLab = Callable[..., Lab]


@pytest.fixture
def two(lab: MakeLab) -> Lab:
    """A flow of UDP to 10.0.0.2 and one of ARP, both from p1."""
    made = lab(2, "udp,nw_dst=10.0.0.2,actions=output:2", "arp,actions=drop")
    for text in ("udp,dl_src=50:54:00:00:00:05,nw_src=192.168.0.1,nw_dst=10.0.0.2,tp_src=1,tp_dst=2",
                 "arp,arp_op=1,arp_spa=1.2.3.4,arp_tpa=2.3.4.5"):
        made.send("p1", flow_compose(parse_match(text).flow, b""))
    return made


def kinds(made: Lab, words: str) -> list[str]:
    """Which of the two flows the command shows."""
    ok, text = made.commands.run("dpctl/dump-flows", words.split())
    assert ok, text
    return ["udp" if "0x0800" in line else "arp" for line in text.splitlines() if "recirc_id" in line]


@pytest.mark.parametrize(("words", "shown"), [
    ("filter=udp", ["udp"]),
    ("filter=arp", ["arp"]),
    ("filter=in_port=p1", ["udp", "arp"]),
    ("filter=in_port=p2", []),
    ("filter=ip,nw_dst=10.0.0.2", ["udp"]),
    ("filter=ip,nw_dst=10.0.0.3", []),
    ("filter=dl_src=50:54:00:00:00:06", ["udp", "arp"]),
    ("type=ovs", ["udp", "arp"]),
    ("type=non-offloaded", ["udp", "arp"]),
    ("type=all", ["udp", "arp"]),
    ("type=ovs,tc", ["udp", "arp"]),
    ("type=offloaded", []),
    ("type=tc", []),
    ("type=", []),
    ("pmd=-1", ["udp", "arp"]),
    ("pmd=0", []),
    ("-m filter=arp", ["arp"]),
    ("filter=arp type=ovs", ["arp"]),
])  # fmt: skip
def test_filters_choose_flows(two: Lab, words: str, shown: list[str]) -> None:
    assert sorted(kinds(two, words)) == sorted(shown)


def test_the_datapath_stands_in_front_of_the_filter(two: Lab) -> None:
    name = f"netdev@{two.backer.name}"
    assert kinds(two, f"{name} filter=arp") == ["arp"]
    assert kinds(two, f"--names {name}") == kinds(two, "")


def test_without_flows_nobody_dumped_them(two: Lab) -> None:
    assert two.ask("dpctl/dump-flows filter=in_port=p2") == ""
    assert two.ask("dpctl/dump-flows filter=arp").startswith("flow-dump from the main thread:\n")
    assert two.ask("dpctl/dump-flows pmd=-1").startswith("recirc_id(0)")


@pytest.mark.parametrize(("words", "said"), [
    ("filter=bogus", "ovs-vswitchd: Failed to parse filter (bogus: unknown field bogus)"),
    ("filter=nw_dst=10.0.0.2",
     "ovs-vswitchd: Failed to parse filter (nw_dst=10.0.0.2: prerequisites not met for setting nw_dst)"),
    ("filter=udp,tp_dst=99",
     "ovs-vswitchd: Failed to parse filter (udp,tp_dst=99: prerequisites not met for setting tp_dst)"),
    ("type=bogus", "ovs-vswitchd: Failed to parse type (bogus) (Invalid argument)"),
    ("filter=udp filter=arp", "ovs-vswitchd: datapath not found (Invalid argument)"),
    ("nosuch filter=arp", "ovs-vswitchd: datapath not found (Invalid argument)"),
])  # fmt: skip
def test_bad_filters_are_refused_in_the_words_of_the_real_one(two: Lab, words: str, said: str) -> None:
    assert two.commands.run("dpctl/dump-flows", words.split()) == (False, said)
