"""What the collector of cycles is shown, and when."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from vswitch.daemon.collector import INTERVAL_MS, Collector, spare_the_living


class Node:
    """Something that can be in a cycle."""

    def __init__(self) -> None:
        self.other: object = self


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    threshold, callbacks = gc.get_threshold(), list(gc.callbacks)
    yield
    gc.callbacks[:] = callbacks
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_a_cycle_that_died_late_is_found_when_much_has_come() -> None:
    spare_the_living()
    collector = Collector(0)
    node = Node()
    gone = weakref.ref(node)
    gc.freeze()
    del node
    gc.collect()
    assert gone() is not None, "out of the collector's sight"
    collector.run(INTERVAL_MS)
    assert gone() is not None, "little has come since"
    kept = [[n] for n in range(3 * gc.get_freeze_count())]
    gc.freeze()
    collector.run(2 * INTERVAL_MS - 1)
    assert gone() is not None, "not yet"
    collector.run(2 * INTERVAL_MS)
    assert gone() is None
    assert kept
    assert collector.wakeup(0) == 3 * INTERVAL_MS


def test_a_cycle_that_dies_young_is_found_at_once() -> None:
    spare_the_living()
    node = Node()
    gone = weakref.ref(node)
    del node
    kept = [[n] for n in range(20_000)]
    assert gone() is None
    assert kept
