"""Token buckets."""

from hypothesis import given
from hypothesis import strategies as st

from vswitch.base.ratelimit import RateLimit


def test_burst_then_one_every_second() -> None:
    rl = RateLimit(60, 5)
    assert [rl.allow(1000) for _ in range(7)] == [True] * 5 + [False] * 2
    assert not rl.allow(1900)
    assert rl.allow(2000)
    assert not rl.allow(2001)


def test_suppressed_events_are_counted_with_their_age() -> None:
    rl = RateLimit(60, 1)
    assert rl.allow(0)
    for now in (100, 200, 300):
        assert not rl.allow(now)
    assert rl.allow(5300)
    assert rl.taken(5300) == (3, 5, 5)
    assert rl.suppressed == 0
    assert rl.total_suppressed == 3


@given(st.lists(st.integers(0, 2000), max_size=200), st.integers(1, 600), st.integers(1, 20))
def test_never_more_than_burst_plus_rate(steps: list[int], rate: int, burst: int) -> None:
    rl = RateLimit(rate, burst)
    now = 0
    allowed = 0
    for step in steps:
        now += step
        allowed += rl.allow(now)
    assert allowed <= burst + now * rate / 60_000
    assert allowed + rl.total_suppressed == len(steps)
