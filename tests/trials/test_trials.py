"""What trials beside the real switch found: each as its smallest input, with the real one's answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.oracle.real import RealSwitch
from tests.trials.trial import Bench, read_trials

pytestmark = pytest.mark.system

TRIALS = {
    name: lines
    for path in sorted(Path(__file__).parent.glob("*.txt"))
    for name, lines in read_trials(path).items()
}


@pytest.mark.parametrize("name", TRIALS)
def test_the_real_switch_and_ours_say_the_same(switches: tuple[RealSwitch, RealSwitch], name: str) -> None:
    def results(switch: RealSwitch) -> list[str]:
        bench = Bench(switch)
        bench.prepare()
        return [bench.run(line) for line in TRIALS[name]]

    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(results, switches)
    differ = [
        f"{line}\n--- theirs: {real}\n--- ours: {mine}"
        for line, real, mine in zip(TRIALS[name], theirs, ours, strict=True)
        if real != mine
    ]
    assert not differ, f"{len(differ)} of {len(theirs)} differ:\n" + "\n".join(differ)
