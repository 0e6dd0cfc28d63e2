"""Tags: wrong yes is allowed, wrong no is not."""

from hypothesis import given
from hypothesis import strategies as st

from vswitch.base.tags import TagSet, intersects, tag_deterministic, tag_random

seeds = st.integers(-(2**63), 2**63 - 1)


@given(seeds)
def test_a_tag_has_two_of_32_bits(seed: int) -> None:
    tag = tag_deterministic(seed)
    assert 0 < tag < 2**32
    assert tag.bit_count() == 2
    assert tag == tag_deterministic(seed)


def test_random_tags_have_two_bits_and_differ() -> None:
    tags = {tag_random() for _ in range(200)}
    assert all(t.bit_count() == 2 for t in tags)
    assert len(tags) > 50


def test_seeds_spread_over_the_tags() -> None:
    assert len({tag_deterministic(i) for i in range(4000)}) > 450


def test_the_empty_tag_intersects_nothing() -> None:
    assert not intersects(0, tag_deterministic(1))
    assert not intersects(0, 0xFFFFFFFF)


@given(st.lists(seeds, max_size=20), st.lists(seeds, max_size=5))
def test_a_set_never_misses_a_tag_that_was_added(added: list[int], others: list[int]) -> None:
    tags = TagSet()
    for seed in added:
        tags.add(tag_deterministic(seed))
    for seed in added:
        union = tag_deterministic(seed)
        for other in others:
            union |= tag_deterministic(other)
        assert tags.intersects(union)
    assert tags.is_empty() == (not added)
    copy = TagSet()
    copy.update(tags)
    assert all(copy.intersects(tag_deterministic(s)) for s in added)
    taken = tags.take()
    assert tags.is_empty()
    assert all(taken.intersects(tag_deterministic(s)) for s in added)
    taken.clear()
    assert taken.is_empty()


def test_a_set_of_one_tag_rarely_hits_another() -> None:
    hits = 0
    for i in range(1000):
        tags = TagSet()
        tags.add(tag_deterministic(i))
        hits += tags.intersects(tag_deterministic(i + 5000))
    assert hits < 20
