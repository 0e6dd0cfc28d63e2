"""Forwarding in the midst of long work: never within itself, nor in stopped time."""

from __future__ import annotations

import itertools
import time

from vswitch.base.clock import Clock
from vswitch.base.respite import AT_ONCE, Respite


def test_long_work_forwards_once_a_millisecond() -> None:
    respite, times = Respite(Clock()), []
    respite.forward.append(lambda: times.append(time.monotonic()))
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        respite.give()
    assert len(times) >= 2
    assert all(after - before >= 0.001 for before, after in itertools.pairwise(times))


def test_all_datapaths_have_their_turn() -> None:
    respite, seen = Respite(Clock()), []
    respite.forward += [lambda: seen.append("system"), lambda: seen.append("netdev")]
    respite.give()
    assert seen == ["system", "netdev"]


def test_nothing_moves_in_stopped_time() -> None:
    respite, seen = Respite(Clock(virtual=True)), []
    respite.forward.append(lambda: seen.append(1))
    respite.give()
    assert not seen


def test_forwarding_is_not_entered_twice() -> None:
    respite, depth = Respite(Clock()), []

    def forward() -> None:
        depth.append(len(depth))
        time.sleep(0.002)
        respite.give()

    respite.forward.append(forward)
    respite.give()
    assert depth == [0]


def test_a_long_list_is_emptied_with_forwarding_between() -> None:
    respite, seen = Respite(Clock()), []
    objects = [object() for _ in range(3 * AT_ONCE + 7)]
    respite.forward.append(lambda: seen.append(len(objects)))
    respite.drop(objects)
    assert objects == []
    assert seen[0] == 2 * AT_ONCE + 7
