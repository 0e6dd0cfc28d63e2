"""What trials beside the real switch found: each as its smallest input, with the real one's answer, asked by
the real tools and by our own."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ofctl.test_own_ofctl import LOGGED
from tests.oracle.real import RealSwitch
from tests.trials.trial import Bench, read_trials

pytestmark = pytest.mark.system

TRIALS = {
    name: lines
    for path in sorted(Path(__file__).parent.glob("*.txt"))
    for name, lines in read_trials(path).items()
}


REFUSED = re.compile(r"^(OFPT_ERROR .*\n)OFPT_FLOW_MOD .*\n(?:\d{8}  .*\n)*", re.MULTILINE)
OURS, OWN_TOOLS = "ours", "ours, asked by our own tools"


def told(text: str, whose: str) -> str:
    """`text`; for our own tools without what the real ones log beside what they say, and without the bytes of
    a refused message, which ours tells in words."""
    if whose == OURS:
        return text
    return REFUSED.sub(r"\1", LOGGED.sub("", f"{text}\n")).strip()


@pytest.mark.parametrize("name", TRIALS)
def test_the_real_switch_and_ours_say_the_same(switches: tuple[RealSwitch, RealSwitch], name: str) -> None:
    def results(switch: RealSwitch, own: bool = False) -> list[str]:
        bench = Bench(switch, own)
        bench.prepare()
        return [bench.run(line) for line in TRIALS[name]]

    with ThreadPoolExecutor(2) as both:
        theirs, ours = both.map(results, switches)
    by_own_tools = results(switches[1], own=True)
    differ = [
        f"{line}\n--- theirs: {real}\n--- {whose}: {mine}"
        for whose, said in ((OURS, ours), (OWN_TOOLS, by_own_tools))
        for line, real, mine in zip(TRIALS[name], theirs, said, strict=True)
        if told(real, whose) != told(mine, whose)
    ]
    assert not differ, f"{len(differ)} differ:\n" + "\n".join(differ)
