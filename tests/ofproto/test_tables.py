"""Flow tables: what flow mods do, who may do it, and when flows go by themselves."""

from __future__ import annotations

import pytest

from vswitch.flow.fields import by_name
from vswitch.flow.match_text import parse_exact_flow, parse_match
from vswitch.ofproto.ports import PortNumbers
from vswitch.ofproto.rule import Rule
from vswitch.ofproto.table import EVICTION_CLIENT
from vswitch.ofproto.tables import TBL_INTERNAL, FlowModResult, RuleListener, Tables
from vswitch.openflow.action_text import format_actions
from vswitch.openflow.actions import Actions
from vswitch.openflow.constants import (
    OFPFF_RESET_COUNTS,
    OFPRR_DELETE,
    OFPRR_EVICTION,
    OFPRR_HARD_TIMEOUT,
    OFPRR_IDLE_TIMEOUT,
)
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_text import parse_flow_line


class Lab(RuleListener):
    """Tables with a listener that writes down what it hears."""

    def __init__(self, *flows: str) -> None:
        self.tables = Tables()
        self.heard: list[str] = []
        self.tables.listeners.append(self)
        self.now = 0
        for flow in flows:
            self.mod(flow)
        self.heard.clear()

    def mod(self, text: str, flags: int = 0) -> FlowModResult:
        fm = parse_flow_line(text)
        fm.flags |= flags
        return self.tables.flow_mod(fm, self.now)

    def flows(self) -> list[str]:
        return sorted(f"{r.table_id}: {r.match.format(r.priority)} -> {format_actions(r.actions)}"
                      for r in self.tables.rules())

    def rule(self, match: str, table_id: int = 0) -> Rule:
        (rule,) = [r for r in self.tables[table_id] if r.match == parse_match(match)]
        return rule

    def rule_inserted(self, rule: Rule, replaced: Rule | None) -> None:
        self.heard.append(f"{'replaced' if replaced else 'inserted'} {rule.match}")

    def rules_deleted(self, rules: list[Rule], reason: int) -> None:
        self.heard.extend(f"deleted {rule.match} ({reason})" for rule in rules)

    def rule_modified(self, rule: Rule, old_actions: Actions) -> None:
        self.heard.append(f"modified {rule.match} {format_actions(old_actions)}")


BASE = (
    "priority=5,ip,actions=output:1",
    "priority=5,tcp,actions=output:2",
    "priority=6,tcp,tp_dst=80,cookie=0x11,actions=output:3",
    "table=1,tcp,actions=output:2",
)


def test_a_packet_finds_the_flow_of_highest_priority() -> None:
    lab = Lab(*BASE)
    for flow, priority in (("tcp,tp_dst=80", 6), ("udp", 5), ("arp", None)):
        found = lab.tables[0].lookup(parse_exact_flow(flow))
        assert (found.priority if found else None) == priority


def test_adding_the_same_match_and_priority_replaces_the_flow() -> None:
    lab = Lab(*BASE)
    old = lab.rule("ip")
    old.credit(5, 500, 100)
    result = lab.mod("priority=5,ip,actions=drop", OFPFF_RESET_COUNTS)
    assert result.replaced == [old]
    assert old.removed
    assert lab.heard == ["replaced ip"]
    assert (lab.rule("ip").n_packets, lab.rule("ip").used) == (0, 100)
    lab.rule("ip").credit(2, 20, 200)
    lab.mod("priority=5,ip,actions=output:9")
    assert lab.rule("ip").n_packets == 2
    assert len(lab.tables[0]) == 3


def test_a_modification_changes_all_narrower_flows_in_all_tables() -> None:
    lab = Lab(*BASE)
    rule = lab.rule("tcp")
    rule.credit(5, 500, 0)
    lab.now = 7000
    lab.mod("modify tcp,actions=drop")
    assert lab.flows() == [
        "0: priority=5,ip -> output:1",
        "0: priority=5,tcp -> drop",
        "0: priority=6,tcp,tp_dst=80 -> drop",
        "1: tcp -> drop",
    ]
    assert (rule.n_packets, rule.created, rule.modified) == (5, 0, 7000)


def test_a_strict_modification_changes_just_the_one() -> None:
    lab = Lab(*BASE)
    lab.mod("modify_strict table=0,priority=5,tcp,actions=drop")
    assert lab.heard == ["modified tcp output:2"]


def test_a_modification_that_finds_nothing_adds_a_flow_unless_it_goes_by_cookie() -> None:
    lab = Lab()
    lab.mod("modify cookie=1/-1,arp,actions=drop")
    assert lab.flows() == []
    lab.mod("modify table=3,arp,actions=drop")
    assert lab.flows() == ["3: arp -> drop"]


def test_a_modification_changes_the_cookie_only_if_it_gives_one() -> None:
    lab = Lab(*BASE)
    lab.mod("modify table=0,tcp,tp_dst=80,actions=drop")
    assert lab.rule("tcp,tp_dst=80").cookie == 0x11
    lab.mod("modify table=0,cookie=7,tcp,tp_dst=80,actions=drop")
    assert lab.rule("tcp,tp_dst=80").cookie == 7


@pytest.mark.parametrize(("command", "left"), [
    ("delete", 0),
    ("delete tcp", 1),
    ("delete table=0,tcp", 2),
    ("delete udp", 4),
    ("delete_strict table=0,priority=5,tcp", 3),
    ("delete_strict tcp", 3),
    ("delete cookie=0x10/0xf0", 3),
    ("delete cookie=0x11/-1,table=1", 4),
    ("delete out_port=2", 2),
    ("delete out_port=2,table=1", 3),
])  # fmt: skip
def test_a_deletion_takes_what_it_selects(command: str, left: int) -> None:
    lab = Lab(*BASE)
    result = lab.mod(command)
    assert len(lab.flows()) == left
    assert result.n_deleted == 4 - left
    assert all(f"({OFPRR_DELETE})" in heard for heard in lab.heard)


def test_overlapping_flows_are_refused_when_asked() -> None:
    lab = Lab(*BASE)
    with pytest.raises(OfpError, match="OFPFMFC_OVERLAP"):
        lab.mod("check_overlap,priority=5,udp,actions=drop")
    lab.mod("check_overlap,priority=4,udp,actions=drop")
    lab.mod("check_overlap,priority=5,arp,actions=drop")
    lab.mod("check_overlap,priority=5,ip,actions=drop")
    assert lab.heard == ["inserted udp", "inserted arp", "replaced ip"]


def test_the_internal_table_is_hidden_and_read_only() -> None:
    lab = Lab()
    rule = Rule(parse_match("reg0=1"), 0, TBL_INTERNAL)
    rule.hidden = rule.readonly = True
    lab.tables.insert(rule)
    assert lab.flows() == []
    lab.mod("delete")
    for text in ("table=254,actions=drop", "delete table=254", "modify table=254,actions=drop"):
        with pytest.raises(OfpError, match="OFPBRC_EPERM"):
            lab.mod(text)
    assert list(lab.tables.rules(hidden=True)) == [rule]


def test_a_read_only_flow_stays() -> None:
    lab = Lab(*BASE)
    lab.rule("ip").readonly = True
    lab.mod("delete")
    assert lab.flows() == ["0: priority=5,ip -> output:1"]
    with pytest.raises(OfpError, match="OFPBRC_EPERM"):
        lab.mod("delete")


def test_a_hard_timeout_counts_from_the_last_change() -> None:
    lab = Lab("hard_timeout=10,ip,actions=drop")
    lab.tables.expire(10_000)
    assert lab.heard == []
    assert lab.tables.expire(10_001)
    assert lab.heard == [f"deleted ip ({OFPRR_HARD_TIMEOUT})"]


def test_an_idle_timeout_counts_from_the_last_packet() -> None:
    lab = Lab("idle_timeout=5,ip,actions=drop")
    lab.rule("ip").credit(1, 64, 4_000)
    assert lab.tables.expire(9_000) == []
    assert len(lab.tables.expire(9_001)) == 1
    assert lab.heard == [f"deleted ip ({OFPRR_IDLE_TIMEOUT})"]
    assert lab.tables.expirable == {}


def test_a_full_table_refuses_or_evicts_the_least_important_mortal_flow() -> None:
    lab = Lab("ip,actions=drop", "idle_timeout=5,importance=2,arp,actions=drop",
              "idle_timeout=60,importance=1,tcp,actions=drop")
    lab.tables[0].max_flows = 3
    with pytest.raises(OfpError, match="OFPFMFC_TABLE_FULL"):
        lab.mod("udp,actions=drop")
    lab.tables[0].configure_eviction(EVICTION_CLIENT, ())
    lab.mod("udp,actions=drop")
    assert lab.heard == [f"deleted tcp ({OFPRR_EVICTION})", "inserted udp"]


def test_the_largest_eviction_group_loses_a_flow() -> None:
    lab = Lab(*(f"priority={i},idle_timeout={10 + i},in_port={port},actions=drop"
                for i, port in enumerate((1, 2, 2, 2, 1))))
    lab.tables[0].max_flows = 5
    lab.tables[0].configure_eviction(EVICTION_CLIENT, (by_name("in_port"),))
    # in_port=2 has three flows: the one that would expire first goes, then each group has two.
    lab.mod("priority=9,arp,actions=drop")
    assert lab.heard == [f"deleted in_port=2 ({OFPRR_EVICTION})", "inserted arp"]
    assert sorted(r.priority for r in lab.tables[0]) == [0, 2, 3, 4, 9]


def test_packets_put_an_eviction_off() -> None:
    lab = Lab("priority=1,idle_timeout=10,actions=drop", "priority=2,idle_timeout=20,actions=drop")
    lab.tables[0].max_flows = 2
    lab.tables[0].configure_eviction(EVICTION_CLIENT, ())
    (first,) = [r for r in lab.tables[0] if r.priority == 1]
    first.credit(1, 64, 15_000)
    lab.mod("priority=3,actions=drop")
    assert sorted(r.priority for r in lab.tables[0]) == [1, 3]


def test_a_lowered_limit_evicts_what_may_go() -> None:
    lab = Lab(*(f"priority={i},hard_timeout={i},actions=drop" for i in range(5)))
    lab.tables[0].max_flows = 1
    lab.tables.shrink(lab.tables[0])
    assert len(lab.tables[0]) == 5
    lab.tables[0].configure_eviction(EVICTION_CLIENT, ())
    lab.tables.shrink(lab.tables[0])
    assert [r.priority for r in lab.tables[0]] == [0]


def test_other_timeouts_count_at_once() -> None:
    lab = Lab("ip,actions=drop")
    lab.tables.set_timeouts(lab.rule("ip"), 5, 0)
    assert lab.tables.expire(4_000) == []
    assert len(lab.tables.expire(5_001)) == 1


def test_port_numbers_return_as_late_as_possible() -> None:
    numbers = PortNumbers(max_ports=5)
    taken: set[int] = set()
    for expected in (1, 2, 3):
        assert numbers.alloc(taken) == expected
        taken.add(expected)
    taken.discard(1)
    assert numbers.alloc(taken, wanted=9) == 4
    assert numbers.alloc(taken | {4}) == 1
    assert numbers.alloc({1, 2, 3, 4}) is None
    assert numbers.alloc(taken, wanted=1) == 1
