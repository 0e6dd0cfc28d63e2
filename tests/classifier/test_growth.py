"""A table grows while packets go on, and rules of one match come and go by the thousand."""

from __future__ import annotations

import random

import pytest

from vswitch.base.clock import Clock
from vswitch.base.respite import Respite
from vswitch.classifier.classifier import Classifier
from vswitch.classifier.rule import ClsRule
from vswitch.flow.match_text import parse_match


def rule(n: int, priority: int = 1) -> ClsRule:
    return ClsRule(parse_match(f"ip,nw_dst=10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"), priority)


def test_what_was_there_is_found_while_the_table_grows() -> None:
    cls = Classifier()
    cls.respite = Respite(Clock())
    first = rule(0)
    packet = first.match.flow
    seen: list[bool] = []
    cls.insert(first)
    cls.respite.forward.append(lambda: seen.append(cls.lookup(packet) is first))
    rules = [rule(n) for n in range(1, 200)]
    for each in rules:
        cls.insert(each)
    assert seen
    assert all(seen)
    assert all(cls.find_exactly(each.match, 1) is each for each in rules)


def test_what_comes_and_goes_leaves_the_rest() -> None:
    """Random insertions and removals beside a dict of what must be there."""
    dice = random.Random(7)
    cls = Classifier()
    there: dict[tuple[int, int], ClsRule] = {}
    for _ in range(3000):
        key = (dice.randrange(400), dice.randrange(3))
        found = there.pop(key, None)
        if found is None:
            there[key] = rule(*key)
            cls.insert(there[key])
        else:
            cls.remove(found)
    assert len(cls) == len(there)
    for number in range(400):
        best = max((p for n, p in there if n == number), default=None)
        wanted = None if best is None else there[number, best]
        assert cls.lookup(rule(number).match.flow) is wanted
    for each in there.values():
        cls.remove(each)
    assert len(cls) == 0
    assert all(ctx.trie.is_empty() for ctx in cls.tries)


def test_rules_that_go_together_leave_the_rest() -> None:
    """Of several masks and priorities, in any order."""
    dice = random.Random(8)
    cls = Classifier()
    rules = [rule(n, priority) for n in range(300) for priority in (1, 2)]
    rules += [ClsRule(parse_match(f"tcp,tp_dst={n},nw_src=10.0.0.{n % 8}"), 5) for n in range(100)]
    for each in rules:
        cls.insert(each)
    listed = cls.rules()
    gone = dice.sample(rules, 500)
    cls.remove_all(gone)
    left = [each for each in listed if each not in gone]
    assert cls.rules() == left
    for each in rules:
        assert (cls.find_exactly(each.match, each.priority) is each) is (each in left)
    with pytest.raises(KeyError):
        cls.remove_all(gone[:1])
    cls.remove_all(left)
    assert len(cls) == 0
    assert cls.order == []
    assert all(ctx.trie.is_empty() for ctx in cls.tries)
