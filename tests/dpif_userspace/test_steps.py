"""`Core.run` sends runs of step numbers to one function each: a number in the wrong run would go astray."""

from __future__ import annotations

import re
from pathlib import Path

from vswitch.dpif import odp_step as op

STEPS = {name: number for name, number in vars(op).items() if name.startswith("STEP_")}
SOURCE = Path(__file__).parents[2] / "src/vswitch/dpif/userspace/core.py"
BY_NAME = set(re.findall(r"number == op\.(STEP_\w+)", SOURCE.read_text()))
"""Steps that have a branch of their own."""


def test_every_step_has_a_number_of_its_own() -> None:
    assert len(set(STEPS.values())) == len(STEPS)
    assert sorted(STEPS.values()) == list(range(1, len(STEPS) + 1))


def test_what_sets_a_field_is_one_run() -> None:
    run = {name for name, number in STEPS.items() if op.is_set(number)}
    assert run == {name for name in STEPS if name.startswith("STEP_SET_")} - BY_NAME


def test_what_pushes_and_pops_is_one_run() -> None:
    run = {name for name, number in STEPS.items() if op.FIRST_PUSH_POP <= number <= op.LAST_PUSH_POP}
    assert run == {name for name in STEPS if re.match(r"STEP_(PUSH|POP)_", name)}


def test_every_other_step_has_a_branch() -> None:
    runs = {*range(op.FIRST_SET, op.LAST_SET + 1), *range(op.FIRST_PUSH_POP, op.LAST_PUSH_POP + 1)}
    rest = {name for name, number in STEPS.items() if number not in runs and not op.is_set(number)}
    assert rest == BY_NAME
