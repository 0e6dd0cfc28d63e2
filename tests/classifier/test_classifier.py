"""The classifier against a linear search, and the megaflows that it makes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vswitch.classifier.classifier import Classifier
from vswitch.classifier.rule import ClsRule
from vswitch.classifier.trie import Trie
from vswitch.flow import fields, layout
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match

# Few values and few masks for each field, so that random rules and packets meet often.
VALUES = {
    "in_port": ([1, 2, 3], [0xFFFF]),
    "reg0": ([0, 1, 0x80000001], [0xFFFFFFFF, 1, 0x80000000]),
    "dl_src": ([0x000000000001, 0x0000000000FF, 0xFF0000000000], [0xFFFFFFFFFFFF, 0xFF0000000000]),
    "dl_type": ([0x0800, 0x0806, 0x86DD], [0xFFFF]),
    "nw_src": ([0x0A000001, 0x0A000101, 0x0A800001, 0x80000000],
               [0xFFFFFFFF, 0xFFFFFF00, 0xFF000000, 0x80000000, 0x00FF00FF]),
    "nw_dst": ([0x0A000001, 0x0A000101, 0xFFFFFFFF], [0xFFFFFFFF, 0xFFFF0000, 0xF0000000]),
    "ipv6_dst": ([1, 1 << 127, (1 << 127) + (1 << 64), (1 << 64) + (1 << 30), 1 << 64],
                 [(1 << 128) - 1, (1 << 128) - (1 << 64), 1 << 127, (1 << 128) - (1 << 34)]),
    "nw_proto": ([6, 17], [0xFF]),
    "tp_src": ([1, 80, 443, 0x8000], [0xFFFF, 0xFF00, 0x8000, 1]),
    "tp_dst": ([1, 80, 443, 0x8000], [0xFFFF, 0xFFF0]),
}
PLACES = {
    "tp_src": (layout.W_TP_SRC, layout.S_TP_SRC),
    "tp_dst": (layout.W_TP_DST, layout.S_TP_DST),
    "nw_proto": (layout.W_NW_PROTO, layout.S_NW_PROTO),
    "nw_src": (layout.W_NW_SRC, layout.S_NW_SRC),
    "nw_dst": (layout.W_NW_DST, layout.S_NW_DST),
}


def put(flow: Flow, name: str, value: int) -> None:
    """Set a field without regard to prerequisites."""
    if name in ("tp_src", "tp_dst", "nw_src", "nw_dst", "nw_proto"):
        setattr(flow, name, value)
    else:
        flow.set(fields.by_name(name), value)


def match_of(terms: dict[str, tuple[int, int]]) -> Match:
    match = Match()
    for name, (value, mask) in terms.items():
        put(match.mask, name, mask)
        put(match.flow, name, value & mask)
    return match


def flow_of(values: dict[str, int]) -> Flow:
    flow = Flow()
    for name, value in values.items():
        put(flow, name, value)
    return flow


@st.composite
def terms(draw: st.DrawFn) -> dict[str, tuple[int, int]]:
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=4, unique=True))
    return {n: (draw(st.sampled_from(VALUES[n][0])), draw(st.sampled_from(VALUES[n][1]))) for n in names}


packets = st.fixed_dictionaries({name: st.sampled_from(values) for name, (values, _) in VALUES.items()})
rules = st.lists(st.tuples(terms(), st.integers(0, 6)), max_size=14)


def linear(all_rules: list[ClsRule], flow: Flow) -> int:
    """The highest priority that matches, -1 for none."""
    return max((r.priority for r in all_rules if r.match.flow.equal_in(flow, r.match.mask)), default=-1)


def load(specs: list[tuple[dict[str, tuple[int, int]], int]],
         prefix_fields: list[str] | None = None) -> Classifier:
    cls = Classifier(prefix_fields)
    for spec, priority in specs:
        cls.insert(ClsRule(match_of(spec), priority))
    return cls


def priority_of(rule: ClsRule | None) -> int:
    return -1 if rule is None else rule.priority


PREFIX_CHOICES = st.sampled_from([None, [], ["ipv6_dst", "nw_src"], ["nw_src", "nw_dst", "ipv6_dst"]])


@settings(max_examples=100, deadline=None)
@given(rules, packets, PREFIX_CHOICES)
def test_finds_what_a_linear_search_finds(specs, values, prefix_fields):
    cls = load(specs, prefix_fields)
    flow = flow_of(values)
    expected = linear(list(cls), flow)
    assert priority_of(cls.lookup(flow)) == expected
    found = cls.lookup(flow, Flow())
    assert priority_of(found) == expected
    if found is not None:
        assert found.match.flow.equal_in(flow, found.match.mask)


@settings(max_examples=100, deadline=None)
@given(rules, packets, packets, PREFIX_CHOICES, st.integers(0, 2**32))
def test_packets_that_agree_on_the_wildcards_get_the_same_rule(specs, values, others, prefix_fields, seed):
    cls = load(specs, prefix_fields)
    flow = flow_of(values)
    wc = Flow()
    wc.set_ones(fields.by_name("dl_type"))
    found = cls.lookup(flow, wc)
    rnd = random.Random(seed)
    for noise in (flow_of(others), Flow()):
        if noise.is_zero():
            for w in range(layout.N_WORDS):
                noise.words[w] = rnd.getrandbits(64) - 2**63
        other = Flow()
        for w in range(layout.N_WORDS):
            other.words[w] = (flow.words[w] & wc.words[w]) | (noise.words[w] & ~wc.words[w])
        assert cls.lookup(other) is found


@settings(max_examples=60, deadline=None)
@given(rules, rules, packets, st.randoms(use_true_random=False))
def test_removal_leaves_a_classifier_as_if_the_rules_had_never_been_there(first, second, values, rnd):
    cls = load(first)
    gone = list(cls)
    rnd.shuffle(gone)
    kept = [ClsRule(match_of(s), p) for s, p in second]
    for rule in kept:
        cls.insert(rule)
    for rule in gone:
        if cls.find_exactly(rule.match, rule.priority) is rule:
            cls.remove(rule)
    fresh = load(second)
    assert len(cls) == len(fresh)
    flow = flow_of(values)
    assert priority_of(cls.lookup(flow, Flow())) == priority_of(fresh.lookup(flow, Flow()))
    for rule in list(cls):
        cls.remove(rule)
    assert len(cls) == 0
    assert cls.order == []
    assert all(ctx.trie.is_empty() for ctx in cls.tries)


@settings(max_examples=60, deadline=None)
@given(rules, terms(), st.integers(0, 6))
def test_exact_loose_and_overlapping_rules_as_a_linear_search_finds_them(specs, spec, priority):
    cls = load(specs)
    match = match_of(spec)
    every = list(cls)
    same = [r for r in every
            if r.match.mask == match.mask and r.match.flow == match.flow and r.priority == priority]
    assert cls.find_exactly(match, priority) is (same[0] if same else None)
    narrower = [r for r in every
                if r.match.mask.covers(match.mask) and r.match.flow.equal_in(match.flow, match.mask)]
    found = [rule for part in cls.find_loosely(match) for rule in part if rule is not None]
    assert set(map(id, found)) == set(map(id, narrower))
    crossing = [r for r in every if r.priority == priority
                and r.match.flow.equal_in(match.flow, r.match.mask.masked(match.mask))]
    found = cls.find_overlap(match, priority)
    assert (found in crossing) if crossing else found is None


def test_a_rule_of_equal_match_and_priority_is_replaced():
    cls = Classifier()
    spec = {"in_port": (1, 0xFFFF)}
    old, new, high = (ClsRule(match_of(spec), p) for p in (5, 5, 9))
    assert cls.insert(old) is None
    assert cls.insert(high) is None
    assert cls.insert(new) is old
    assert cls.rules() == [high, new]
    with pytest.raises(KeyError):
        cls.remove(old)
    cls.remove(high)
    assert cls.lookup(flow_of({"in_port": 1})) is new


def wc_of(specs: list[tuple[dict[str, tuple[int, int]], int]], values: dict[str, int]) -> dict[str, int]:
    """The fields that a lookup unwildcards, with their masks."""
    wc = Flow()
    load(specs).lookup(flow_of(values), wc)
    found = {}
    for name in VALUES:
        if name in PLACES:
            word, shift = PLACES[name]
            bits = (wc.words[word] >> shift) & (0xFFFFFFFF if name.startswith("nw_s")
                                                or name == "nw_dst" else 0xFFFF)
            if name == "nw_proto":
                bits &= 0xFF
        else:
            bits = wc.bits(fields.by_name(name))
        if bits:
            found[name] = bits
    return found


IP = (0x0800, 0xFFFF)


def test_a_lookup_stops_at_the_stage_that_rules_out_the_subtable():
    rule = {"in_port": (1, 0xFFFF), "dl_src": (1, 0xFFFFFFFFFFFF), "dl_type": IP, "nw_proto": (6, 0xFF)}
    packet = {"in_port": 2, "dl_src": 1, "dl_type": 0x800, "nw_proto": 6}
    assert wc_of([(rule, 1)], packet) == {"in_port": 0xFFFF}
    packet["in_port"] = 1
    packet["dl_src"] = 5
    assert wc_of([(rule, 1)], packet) == {"in_port": 0xFFFF, "dl_src": 0xFFFFFFFFFFFF, "dl_type": 0xFFFF}


def test_subtables_that_cannot_win_are_not_looked_at():
    rules = [({"in_port": (1, 0xFFFF)}, 5), ({"dl_src": (1, 0xFFFFFFFFFFFF)}, 5), ({"reg0": (0, 1)}, 9)]
    assert wc_of(rules, {"in_port": 1, "reg0": 1}) == {"in_port": 0xFFFF, "reg0": 1}


def test_an_address_keeps_only_the_prefix_that_decided():
    rules = [
        ({"dl_type": IP, "nw_dst": (0x0A000001, 0xFFFFFFFF)}, 9),
        ({"dl_type": IP, "nw_dst": (0x0A000000, 0xFF000000)}, 5),
    ]
    found = wc_of(rules, {"dl_type": 0x800, "nw_dst": 0x0A800000})
    assert found == {"dl_type": 0xFFFF, "nw_dst": 0xFF800000}
    found = wc_of(rules, {"dl_type": 0x800, "nw_dst": 0x80000000})
    assert found == {"dl_type": 0xFFFF, "nw_dst": 0x80000000}


def test_ports_keep_only_the_bits_that_rule_out_every_rule():
    rules = [({"dl_type": IP, "nw_proto": (6, 0xFF), "tp_dst": (80, 0xFFFF)}, 9)]
    packet = {"dl_type": 0x800, "nw_proto": 6, "tp_dst": 0x8000}
    assert wc_of(rules, packet) == {"dl_type": 0xFFFF, "nw_proto": 0xFF, "tp_dst": 0x8000}
    packet["tp_dst"] = 81
    assert wc_of(rules, packet) == {"dl_type": 0xFFFF, "nw_proto": 0xFF, "tp_dst": 0xFFFF}


def test_prefix_fields_can_change_while_rules_are_there():
    cls = load([({"dl_type": (0x86DD, 0xFFFF), "ipv6_dst": (1 << 127, (1 << 128) - (1 << 64))}, 1)])
    flow = flow_of({"dl_type": 0x86DD, "ipv6_dst": 1})
    wc = Flow()
    assert cls.lookup(flow, wc) is None
    assert wc.bits(fields.by_name("ipv6_dst")) == (1 << 128) - (1 << 64)
    assert cls.set_prefix_fields(["ipv6_dst"])
    assert not cls.set_prefix_fields(["ipv6_dst"])
    wc = Flow()
    assert cls.lookup(flow, wc) is None
    assert wc.bits(fields.by_name("ipv6_dst")) == 1 << 127
    with pytest.raises(ValueError, match="dl_src"):
        cls.set_prefix_fields(["dl_src"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 32)), max_size=12),
       st.integers(0, 2**32 - 1), st.integers(0, 31))
def test_a_trie_knows_the_prefixes_of_a_value_and_the_bits_that_tell(
    prefixes: list[tuple[int, int]], value: int, flip: int
) -> None:
    if prefixes:
        value = prefixes[0][0] ^ (1 << flip)  # near a prefix
    tries = [Trie(), Trie()]
    for address, plen in prefixes:
        for trie in tries:
            shifted = address << 32
            trie.insert(shifted - ((shifted >> 63) << 64), 0, plen)

    def covering(x: int) -> set[int]:
        return {plen for address, plen in prefixes if (x ^ address) >> (32 - plen) == 0}

    word = (value << 32) - ((value >> 31) << 64)
    for trie, n_bits in zip(tries, (32, 64), strict=True):
        bits = trie.lookup(word, 0, n_bits)
        assert {p for p in range(1, 33) if trie.has_plen(p)} == covering(value)
        unseen = (1 << 32) - 1 >> min(bits, 32)
        assert covering(value ^ unseen) == covering(value ^ (unseen & 0x5A5A5A5A)) == covering(value)
    for address, plen in prefixes:
        shifted = address << 32
        tries[0].remove(shifted - ((shifted >> 63) << 64), 0, plen)
    assert tries[0].is_empty()
