"""Statistics twice and expiration once a second: idle datapath flows, rules with timeouts, MAC addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ofproto_dpif.lab import Counted, Lab, from_host, udp
from vswitch.dpif.ops import DpifFlow
from vswitch.ofproto.rule import Rule
from vswitch.ofproto.tables import RuleListener
from vswitch.ofproto_dpif.facets.expiration import (
    BUCKET_WIDTH,
    MAX_IDLE,
    adapted_flow_limit,
    subfacet_max_idle,
)
from vswitch.openflow.constants import OFPRR_HARD_TIMEOUT, OFPRR_IDLE_TIMEOUT

MakeLab = Callable[..., Lab]


class Removed(RuleListener):
    """The rules that leave the bridge's tables, with the reason."""

    def __init__(self, lab: Lab) -> None:
        self.rules: list[tuple[Rule, int]] = []
        lab.bridge.tables.listeners.append(self)

    def rules_deleted(self, rules: list[Rule], reason: int) -> None:
        """Note them."""
        self.rules.extend((rule, reason) for rule in rules)


def test_few_flows_live_five_seconds_without_packets() -> None:
    assert subfacet_max_idle([0] * 2500, 2500) == MAX_IDLE == 5000


def test_of_many_flows_the_threshold_of_most_recent_ones_stays() -> None:
    idle_times = [50] * 2000 + [450] * 1000 + [4000] * 5000
    assert subfacet_max_idle(idle_times, 2500) == 500


def test_one_percent_may_stay_if_that_is_more_than_the_threshold() -> None:
    assert subfacet_max_idle([0] * 500 + [1000] * 99_500, 10) == 1100


@given(st.lists(st.integers(-1000, 20_000), max_size=200), st.integers(1, 100))
def test_the_idle_time_is_a_whole_number_of_buckets_and_never_zero(idle: list[int], threshold: int) -> None:
    limit = subfacet_max_idle(idle, threshold)
    assert BUCKET_WIDTH <= limit <= MAX_IDLE
    assert limit % BUCKET_WIDTH == 0


@pytest.mark.parametrize(
    ("limit", "n_flows", "dump_ms", "then"),
    [
        (10_000, 0, 0, 10_000),
        (10_000, 2_000, 1, 10_000),
        (10_000, 2_001, 1, 11_000),
        (10_000, 2_001, 300, 10_000),
        (199_500, 150_000, 100, 200_000),
        (10_000, 9_000, 1_301, 7_500),
        (10_000, 9_000, 5_100, 2_000),
        (1_100, 9_000, 5_100, 1_000),
        (5, 0, 0, 1_000),
        (500_000, 0, 0, 200_000),
    ],
)
def test_the_flow_limit_follows_what_a_dump_takes(limit: int, n_flows: int, dump_ms: int, then: int) -> None:
    assert adapted_flow_limit(limit, 200_000, n_flows, dump_ms) == then
    assert adapted_flow_limit(limit, 20, n_flows, dump_ms) == 20


def test_statistics_come_up_twice_a_second(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    made.send("p1", udp())
    made.seconds(1)
    dumped = Counted("dumped_datapath_flow")
    for _ in range(8):
        made.clock.warp(250)
        made.run()
    assert dumped["dumped_datapath_flow"] == 4
    made.backer.expiration.dump_interval = 250
    made.seconds(1)
    dumped = Counted("dumped_datapath_flow")
    for _ in range(8):
        made.clock.warp(250)
        made.run()
    assert dumped["dumped_datapath_flow"] == 8


def test_dumps_that_take_long_come_once_a_second(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    made.send("p1", udp())
    dump, made.backer.dpif.flow_dump = made.backer.dpif.flow_dump, None  # type: ignore[method-assign, assignment]

    def slow(terse: bool) -> Iterator[DpifFlow]:
        made.clock.warp(60)
        return dump(terse)

    made.backer.dpif.flow_dump = slow  # type: ignore[method-assign, assignment]
    made.seconds(1)
    dumped = Counted("dumped_datapath_flow")
    for _ in range(20):
        made.clock.warp(100)
        made.run()
    assert dumped["dumped_datapath_flow"] == 2


def test_an_unused_datapath_flow_goes_after_five_seconds(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    made.send("p1", udp())
    made.seconds(5)
    assert len(made.dp_flows()) == 1
    made.seconds(1)
    assert made.dp_flows() == []
    assert made.facets() == []


def test_a_used_one_stays(lab: MakeLab) -> None:
    made = lab(2, "actions=output:2")
    for _ in range(10):
        made.send("p1", udp())
        made.seconds(3)
    assert len(made.dp_flows()) == 1
    assert made.backer.dpif.stats().n_missed == 1


def test_too_many_flows_are_idled_out_sooner(lab: MakeLab) -> None:
    made = lab(2, "priority=9,dl_src=02:00:00:00:01:ff,actions=drop", "priority=1,actions=output:2")
    made.backer.flow_eviction_threshold = made.backer.max_flow_limit = 20
    for host in range(20):
        made.send("p1", from_host(host))
    made.clock.warp(600)
    for host in range(20, 40):
        made.send("p1", from_host(host))
    made.clock.warp(400)
    made.run()
    assert made.backer.expiration.max_idle == 500
    assert sorted(facet.flow().dl_src & 0xFF for facet in made.facets()) == list(range(20, 40))


def test_a_rule_goes_when_it_has_been_idle(lab: MakeLab) -> None:
    made = lab(2, "idle_timeout=3,actions=output:2")
    removed = Removed(made)
    made.send("p1", udp())
    for _ in range(4):
        made.seconds(2)
        made.send("p1", udp())
    assert removed.rules == []
    made.seconds(5)
    assert [reason for _, reason in removed.rules] == [OFPRR_IDLE_TIMEOUT]


def test_a_rule_goes_at_its_hard_timeout_with_all_its_packets(lab: MakeLab) -> None:
    made = lab(2, "hard_timeout=4,actions=output:2")
    removed = Removed(made)
    happened = Counted("rule_hard_timeout")
    for _ in range(8):
        made.send("p1", udp())
        made.clock.warp(500)
        made.run()
    made.seconds(1)
    ((rule, reason),) = removed.rules
    assert reason == OFPRR_HARD_TIMEOUT
    assert rule.n_packets == 8
    assert happened["rule_hard_timeout"] == 1
    made.received()
    made.send("p1", udp())
    assert made.received() == {}


def test_flows_that_are_not_worth_it_are_forwarded_without_a_datapath_flow(lab: MakeLab) -> None:
    made = lab(2, "priority=9,dl_src=02:00:00:00:01:ff,actions=drop", "priority=1,actions=output:2")
    made.backer.flow_eviction_threshold = made.backer.max_flow_limit = 5
    for host in range(100):
        made.send("p1", from_host(host))
    assert made.received() == {"p2": 100}
    assert made.bridge.governor is not None
    installed = len(made.facets())
    assert installed < 20
    for _ in range(4):
        made.send("p1", from_host(201))
    assert len(made.facets()) == installed
    made.send("p1", from_host(201))
    assert len(made.facets()) == installed + 1
    made.seconds(2)
    assert made.rule().n_packets == 105


def test_the_governor_goes_when_misses_are_rare_again(lab: MakeLab) -> None:
    made = lab(2, "priority=9,dl_src=02:00:00:00:01:ff,actions=drop", "priority=1,actions=output:2")
    made.backer.flow_eviction_threshold = made.backer.max_flow_limit = 5
    for host in range(100):
        made.send("p1", from_host(host))
    before = made.bridge.governor
    made.seconds(12)
    assert before is not None
    assert made.bridge.governor is None
    made.send("p1", from_host(202))
    assert len(made.facets()) == 1


def test_wakeup_is_the_next_dump_or_round_of_expiration(lab: MakeLab) -> None:
    made = lab(0)
    now = made.clock.now()
    assert made.ofprotos.wakeup(now) == now + 500
    made.backer.expiration.dump_interval = 3000
    made.clock.warp(500)
    made.run()
    assert made.ofprotos.wakeup(now) == now + 1000
