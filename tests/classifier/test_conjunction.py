"""Conjunctive matches against their definition, by brute force over random rules and packets."""

from __future__ import annotations

import random

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.classifier.test_classifier import flow_of, match_of, packets, terms
from vswitch.classifier.classifier import Classifier
from vswitch.classifier.conjunction import Conjunctions
from vswitch.classifier.rule import ClsRule
from vswitch.flow import fields, layout
from vswitch.flow.flow import Flow

Spec = tuple[dict[str, tuple[int, int]], int, int | None, list[tuple[int, int]]]

SIZES = {1: 2, 2: 2, 3: 3}
"""Conjunction -> how many clauses it has."""
memberships = st.lists(
    st.integers(1, 3).flatmap(lambda i: st.tuples(st.just(i), st.integers(0, SIZES[i] - 1))), max_size=3
)
specs = st.lists(
    st.tuples(terms(), st.integers(0, 3), st.sampled_from([None, None, 1, 2, 3]), memberships), max_size=16
)


class Reference:
    """What the rules mean, one by one."""

    def __init__(self, cls: Classifier, clauses: dict[int, list[tuple[int, int]]]) -> None:
        self.rules = list(cls)
        self.clauses = clauses

    def matching(self, flow: Flow) -> list[ClsRule]:
        return [r for r in self.rules if r.match.flow.equal_in(flow, r.match.mask)]

    def plain(self, flow: Flow) -> list[ClsRule]:
        """The best of the rules that are not conjunctive nor hidden by one of the same match."""
        heads: dict[bytes, ClsRule] = {}
        for rule in sorted(self.matching(flow), key=lambda r: -r.priority):
            heads.setdefault(rule.match.key(), rule)
        hard = [r for r in heads.values() if r.conj is None]
        top = max((r.priority for r in hard), default=-1)
        return [r for r in hard if r.priority == top]

    def answers(self, flow: Flow) -> list[ClsRule]:
        """The rules of which one is the right answer; none: no match."""
        matching = self.matching(flow)
        for priority in sorted({r.priority for r in matching}, reverse=True):
            here = [r for r in matching if r.priority == priority]
            hard = [r for r in here if r.conj is None]
            if hard:
                return hard
            satisfied: dict[int, set[int]] = {}
            for rule in here:
                for conj_id, clause in self.clauses[id(rule)]:
                    satisfied.setdefault(conj_id, set()).add(clause)
            found: list[list[ClsRule]] = []
            for conj_id, clauses in satisfied.items():
                # Each clause needs a soft match of its own, or there are too few to ask.
                if len(clauses) == SIZES[conj_id] <= len(here):
                    with_id = flow.copy()
                    with_id.conj_id = conj_id
                    found.append(self.plain(with_id))
            # Of several that are complete any may count, also one that there is no rule for.
            assume(all(found) or not any(found))
            if any(found):
                return [rule for rules in found for rule in rules]
        return []


def prepared(chosen: list[Spec]) -> tuple[Classifier, Reference]:
    cls = Classifier()
    clauses_of: dict[int, list[tuple[int, int]]] = {}
    for spec, priority, conj_id, clauses in chosen:
        match = match_of(spec)
        if conj_id is not None and not clauses:
            match.set(fields.by_name("conj_id"), conj_id)
        rule = ClsRule(match, priority)
        if clauses:
            rule.conj = Conjunctions(tuple((i, clause, SIZES[i]) for i, clause in clauses))
            clauses_of[id(rule)] = clauses
        cls.insert(rule)
    return cls, Reference(cls, clauses_of)


@settings(max_examples=300, deadline=None)
@given(specs, packets)
def test_finds_what_the_definition_says(chosen, values):
    cls, reference = prepared(chosen)
    flow = flow_of(values)
    expected = reference.answers(flow)
    before = flow.copy()
    for wc in (None, Flow()):
        found = cls.lookup(flow, wc)
        assert (found in expected) if expected else found is None
        assert flow == before


@settings(max_examples=300, deadline=None)
@given(specs, packets, packets, st.integers(0, 2**32))
def test_packets_that_agree_on_the_wildcards_get_the_same_rule(chosen, values, others, seed):
    cls, _ = prepared(chosen)
    flow = flow_of(values)
    wc = Flow()
    wc.set_ones(fields.by_name("dl_type"))
    found = cls.lookup(flow, wc)
    noises = [flow_of(others), Flow()]
    rnd = random.Random(seed)
    for w in range(layout.N_WORDS):
        noises[1].words[w] = rnd.getrandbits(64) - 2**63
    for noise in noises:
        other = Flow()
        for w in range(layout.N_WORDS):
            other.words[w] = (flow.words[w] & wc.words[w]) | (noise.words[w] & ~wc.words[w])
        other.conj_id = 0
        assert cls.lookup(other) is found


def soft(spec: dict[str, tuple[int, int]], *clauses: tuple[int, int, int]) -> ClsRule:
    rule = ClsRule(match_of(spec), 5)
    rule.conj = Conjunctions(clauses)
    return rule


def test_a_conjunction_of_64_clauses_needs_all_of_them():
    names = ["reg0", "dl_src", "nw_src", "nw_dst", "tp_src", "tp_dst"]
    masks = [1 << n for n in range(64)]
    cls = Classifier([])
    rules = []
    for n, mask in enumerate(masks):
        # 64 matches that all hold for the packet of zeros, each with a mask of its own.
        spec = {names[n // 11]: (0, mask >> (n // 11 * 11) & 0xFFFF or 1)}
        rules.append(soft(spec, (9, n, 64)))
        cls.insert(rules[-1])
    by_id = ClsRule(match_of({}), 5)
    by_id.match.set(fields.by_name("conj_id"), 9)
    cls.insert(by_id)
    assert cls.lookup(Flow(), Flow()) is by_id
    for n in (0, 31, 62, 63):
        cls.remove(rules[n])
        assert cls.lookup(Flow()) is None
        cls.insert(rules[n])
    assert cls.lookup(Flow()) is by_id


def test_a_clause_that_is_missing_is_missed_however_many_there_are():
    cls = Classifier([])
    for n in range(41):
        # Of 40 clauses the 34th is missing; the second and the fourth are there twice.
        clause = {33: 1, 40: 3}.get(n, n)
        name = ("reg0", "dl_src", "nw_src", "nw_dst")[n // 11]
        cls.insert(soft({name: (0, 1 << n % 11)}, (9, clause, 40)))
    by_id = ClsRule(match_of({}), 5)
    by_id.match.set(fields.by_name("conj_id"), 9)
    cls.insert(by_id)
    assert cls.lookup(Flow()) is None
    cls.insert(soft({"tp_src": (0, 1)}, (9, 33, 40)))
    assert cls.lookup(Flow()) is by_id


def test_what_a_rule_contributes_may_change_where_it_is():
    cls = Classifier()
    one, other = soft({"in_port": (1, 0xFFFF)}, (4, 0, 2)), soft({"nw_src": (7, 0xFFFFFFFF)}, (4, 0, 2))
    by_id = ClsRule(match_of({}), 5)
    by_id.match.set(fields.by_name("conj_id"), 4)
    for rule in (one, other, by_id):
        cls.insert(rule)
    flow = flow_of({"in_port": 1, "nw_src": 7})
    assert cls.lookup(flow) is None
    other.conj = Conjunctions(((4, 1, 2),))
    assert cls.lookup(flow) is by_id
    one.conj = None
    assert cls.lookup(flow) is one
