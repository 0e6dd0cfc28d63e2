"""The space-saving sketch: its bounds hold for every stream."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vswitch.dpif.kernel.sketch import SpaceSaving


def sketch_of(stream: list[int], capacity: int = 8) -> SpaceSaving:
    sketch = SpaceSaving(capacity)
    for key in stream:
        sketch.update(key)
    return sketch


def test_few_keys_are_counted_exactly() -> None:
    assert sketch_of([1, 2, 1, 3, 1, 2]).top() == [(1, 3, 0), (2, 2, 0), (3, 1, 0)]


def test_a_new_key_takes_the_place_of_the_least_and_its_count_as_error() -> None:
    assert sketch_of([1, 1, 1, 2, 2, 3], 2).top() == [(1, 3, 0), (3, 3, 2)]


def test_halving_ages_and_clear_forgets() -> None:
    sketch = sketch_of([1] * 100 + [2] * 10)
    sketch.halve()
    assert sketch.top() == [(1, 50, 0), (2, 5, 0)]
    for _ in range(30):
        sketch.update(2)
    assert sketch.top()[1] == (2, 35, 0)
    sketch.clear()
    assert sketch.top() == []


@given(st.lists(st.integers(0, 20), max_size=300), st.integers(1, 8))
def test_the_true_count_lies_within_the_bounds(stream: list[int], capacity: int) -> None:
    truth = Counter(stream)
    sketch = sketch_of(stream, capacity)
    top = sketch.top()
    for key, hits, error in top:
        assert hits - error <= truth[key] <= hits
    assert sum(hits for _, hits, _ in top) == len(stream)
    # Whoever has more than its share of the stream is reported.
    reported = {key for key, _, _ in top}
    assert all(key in reported for key, n in truth.items() if n > len(stream) / capacity)


@given(st.lists(st.lists(st.integers(0, 12), max_size=60), max_size=5))
def test_the_bounds_hold_after_halvings(rounds: list[list[int]]) -> None:
    sketch = SpaceSaving(4)
    aged: dict[int, float] = {}
    for stream in rounds:
        for key in stream:
            sketch.update(key)
            aged[key] = aged.get(key, 0) + 1
        for key, hits, error in sketch.top():
            assert hits - error <= aged.get(key, 0) <= hits
        sketch.halve()
        aged = {key: n / 2 for key, n in aged.items()}
