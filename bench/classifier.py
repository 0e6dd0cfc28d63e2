"""Classifier lookups with 1, 10 and 50 masks, with and without tracking of wildcards.

Rules have random values under masks of growing prefix lengths and port bits; the packet
matches the rule of lowest priority, so that every subtable is looked at.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from bench.report import Row
from vswitch.classifier.classifier import Classifier
from vswitch.classifier.rule import ClsRule
from vswitch.flow.flow import Flow
from vswitch.flow.match_text import parse_match

RULES_PER_MASK = 100
LOOKUPS = 20_000


def table(n_masks: int, seed: int = 1) -> tuple[Classifier, Flow]:
    """A classifier with `n_masks` masks, and a flow that only its last rule matches."""
    rng = random.Random(seed)
    classifier = Classifier()
    for n in range(n_masks):
        bits, port_mask = 8 + n % 25, (0xFFFF << (n % 16)) & 0xFFFF
        for _ in range(RULES_PER_MASK):
            address = f"172.{rng.randrange(16, 32)}.{rng.randrange(256)}.{rng.randrange(256)}"
            text = f"tcp,nw_dst={address}/{bits},tp_dst={rng.randrange(65536) & port_mask:#x}/{port_mask:#x}"
            classifier.insert(ClsRule(parse_match(text), 100 + n))
    classifier.insert(ClsRule(parse_match("tcp,tp_dst=80"), 1))
    return classifier, parse_match("tcp,in_port=1,nw_src=10.0.0.1,nw_dst=10.0.0.2,tp_src=1234,tp_dst=80").flow


def nanoseconds(work: Callable[[], object], times: int = LOOKUPS) -> float:
    """The best of five runs: a machine that does something else only makes it slower."""
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter_ns()
        for _ in range(times):
            work()
        best = min(best, (time.perf_counter_ns() - begin) / times)
    return best


def bench() -> list[Row]:
    """Nanoseconds a lookup, the call from Python included."""
    rows: list[Row] = []
    for n_masks in (1, 10, 50):
        classifier, flow = table(n_masks)
        if classifier.lookup(flow) is None:
            raise RuntimeError("the benchmark's packet matches no rule")
        wc = Flow()
        plain = nanoseconds(lambda c=classifier, f=flow: c.lookup(f))  # type: ignore[misc]
        tracked = nanoseconds(lambda c=classifier, f=flow, w=wc: c.lookup(f, w))  # type: ignore[misc]
        rows.append(Row(f"classifier lookup, {n_masks} masks", "ns", plain))
        rows.append(Row(f"the same, tracking wildcards, {n_masks} masks", "ns", tracked))
    return rows
