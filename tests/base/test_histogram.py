"""Histograms of times."""

from vswitch.base.histogram import BOUNDS_NS, Histogram


def test_each_time_is_in_the_first_bucket_that_is_large_enough() -> None:
    h = Histogram("x", "x")
    for ns in (0, 10_000, 10_001, 999_999_999, 1_000_000_000, 1_000_000_001):
        h.observe(ns)
    assert (h.buckets[0], h.buckets[1], h.buckets[-2], h.buckets[-1]) == (2, 1, 2, 1)
    assert h.count == 6
    assert h.total_ns == 3_000_020_001
    h.observe(30_000, 10)
    assert h.quantile_ns(0.5) == 50_000
    assert h.quantile_ns(1.0) is None
    assert Histogram("y", "y").quantile_ns(0.5) == BOUNDS_NS[0]
