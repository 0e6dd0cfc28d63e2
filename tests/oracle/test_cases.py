"""The written-out cases: ours must print what the real switch prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oracle.compare import difference
from tests.oracle.ours import OurSwitch
from tests.oracle.real import RealSwitch
from tests.oracle.setup import Query, Setup, read_setups

SETUPS = [
    setup for path in sorted(Path(__file__).with_name("cases").glob("*.txt")) for setup in read_setups(path)
]
CASES = [(setup, query) for setup in SETUPS for query in setup.queries]


class Pair:
    """Both switches, configured alike."""

    def __init__(self, real: RealSwitch) -> None:
        self.real = real
        self.ours = OurSwitch()
        self.setup: Setup | None = None

    def configure(self, setup: Setup) -> None:
        """Give both `setup`, unless they have it; what packets taught them is forgotten."""
        if self.setup is not setup:
            self.setup = None
            self.real.configure(setup)
            self.ours.configure(setup)
            self.setup = setup


@pytest.fixture(scope="module")
def pair(real: RealSwitch) -> Iterator[Pair]:
    pair = Pair(real)
    yield pair
    pair.ours.close()


def test_there_are_two_hundred_cases() -> None:
    assert len(CASES) >= 200
    assert len({str(setup.name) for setup in SETUPS}) == len(SETUPS)


@pytest.mark.parametrize(("setup", "query"), CASES, ids=[f"{s.name}: {q}"[:100] for s, q in CASES])
def test_trace(pair: Pair, setup: Setup, query: Query) -> None:
    pair.configure(setup)
    found = difference(pair.real, pair.ours, query)
    assert not found, found
