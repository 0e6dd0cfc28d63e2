"""Long families of cases: a fixed sample of them as a rule, all with VSWITCH_TEST_ALL=1, others with each
VSWITCH_TEST_SEED."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")
ALL = os.environ.get("VSWITCH_TEST_ALL", "") not in ("", "0")
SEED = int(os.environ.get("VSWITCH_TEST_SEED", "0"))
"""Which of the random families."""


def datapaths(both: bool = False) -> list[str]:
    """The types of datapaths in the switch's own process that a test with traffic runs on: the userspace one,
    and with VSWITCH_TEST_ALL=1, or `both`, the one of BPF programs too."""
    return ["netdev", "ebpf"] if ALL or both else ["netdev"]


def sample(cases: Iterable[T], n: int) -> list[T]:
    """`n` of `cases`, always the same ones and in their order; all of them with VSWITCH_TEST_ALL=1."""
    found = list(cases)
    if ALL or n >= len(found):
        return found
    chosen = random.Random(7).sample(range(len(found)), n)
    return [found[i] for i in sorted(chosen)]


def seeds(first: int, end: int) -> range:
    """The seeds `first` to `end` (not included) of a random family; others with each VSWITCH_TEST_SEED."""
    return range(SEED * 1_000_000 + first, SEED * 1_000_000 + end)
