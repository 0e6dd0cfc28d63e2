"""What one can write into the columns of links and exports, right, at the limits and wrong, beside the real
switch: the database afterwards, what the commands say, and what is logged (`settings_cases.py`).

`VSWITCH_TEST_ALL=1` tries every value of every setting, and a thousand settings of several at random.
"""

from __future__ import annotations

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from difflib import unified_diff
from typing import Any

import pytest

from tests.bridge.pair import Side
from tests.bridge.settings_cases import FEATURES, database, differ, looks, seen, several, single
from tests.whole import ALL, sample

pytestmark = [pytest.mark.system, pytest.mark.stopped_clock]
TRIES = 4
"""Seconds of the switches' time after which both must have come to rest."""


def compare(sides: tuple[Side, Side], cases: list[tuple[str, str]]) -> None:
    """Carry every case out on both; all that differ in one error."""
    wrong = []
    for side in sides:
        side.own_tools = False
        side.appctl("time/stop")
    try:
        with ThreadPoolExecutor(2) as both:
            for case in cases:
                real, ours = both.map(seen, sides, (case, case))
                for _ in range(TRIES):
                    if not differ(case, real, ours):
                        break
                    time.sleep(0.1)
                    for side, found in zip(sides, (real, ours), strict=True):
                        side.appctl("time/warp", "1000")
                        found |= {"looks": looks(side, FEATURES[case[0]]), "database": database(side)}
                else:
                    wrong.append("\n".join([*case, *difference(real, ours)]))
    finally:
        sides[1].own_tools = True
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n\n".join(wrong)


def difference(real: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    texts = [
        json.dumps(found | {"refused": []}, indent=1, sort_keys=True).replace("\\n", "\n").splitlines()
        for found in (real, ours)
    ]
    return list(unified_diff(*texts, "real", "ours", n=0, lineterm=""))


def test_each_value_of_each_setting(real: Side, ours: Side) -> None:
    compare((real, ours), sample(single(), 80))


def test_several_settings_at_random(real: Side, ours: Side) -> None:
    rng = random.Random(11)
    compare((real, ours), [several(rng) for _ in range(1000 if ALL else 20)])
