"""Random command lines (`trace_lines.py`, `dpctl_lines.py`): ours answers as the real switch does, errors and
all, or for a reason that `command_lines.py` gives. VSWITCH_TEST_ALL=1 tries 2,000 of each family."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oracle import dpctl_lines
from tests.oracle.command_lines import FAMILIES, FRESH, Difference, Family, reply
from tests.oracle.ours import OurSwitch
from tests.oracle.real import RealSwitch
from tests.whole import ALL, SEED

pytestmark = pytest.mark.system

CASES = Path(__file__).with_name("command_cases.txt")
N_LINES = 2_000 if ALL else 400


def differences(real: RealSwitch, family: Family, n_lines: int) -> Iterator[Difference]:
    """The unexplained ones among `n_lines`. What one line changed may change the next ones' replies, so both
    switches begin again after a difference."""
    lines = family.lines(SEED)
    ours: OurSwitch | None = None
    try:
        for i in range(n_lines):
            if i % FRESH == 0 or ours is None:
                if ours is not None:
                    ours.close()
                ours = OurSwitch("dummy")
                for side in (real, ours):
                    side.configure(family.setup)
                    family.prepare(side)
            line = lines.line()
            found = Difference(line, reply(real, line), reply(ours, line))
            if found.real != found.ours:
                ours.close()
                ours = None
                if not family.explained(found):
                    yield found
    finally:
        if ours is not None:
            ours.close()
        family.finish(real)


@pytest.mark.parametrize("family", FAMILIES)
def test_random_command_lines_are_answered_as_by_the_real_switch(real: RealSwitch, family: str) -> None:
    found = list(differences(real, FAMILIES[family], N_LINES))
    shown = "\n".join(f"{d.line}\n--- real\n{d.real}--- ours\n{d.ours}" for d in found[:10])
    assert not found, f"{len(found)} differ\n{shown}"


def test_what_once_differed(real: RealSwitch) -> None:
    ours = OurSwitch("dummy")
    differ: list[str] = []
    try:
        for side in (real, ours):
            side.configure(FAMILIES["trace"].setup)
            dpctl_lines.prepare(side)
        for text in CASES.read_text().splitlines():
            line = shlex.split(text, comments=True)
            if line:
                wanted, got = reply(real, line), reply(ours, line)
                if wanted != got:
                    differ.append(f"{text}\n--- real\n{wanted}--- ours\n{got}")
    finally:
        dpctl_lines.finish(real)
        ours.close()
    assert not differ, "\n".join(differ)
