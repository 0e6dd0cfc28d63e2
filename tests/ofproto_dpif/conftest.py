"""Fixtures: the switch in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.ofproto_dpif.lab import Lab


@pytest.fixture
def lab() -> Iterator[Callable[..., Lab]]:
    """Makes labs and takes them away."""
    made: list[Lab] = []

    def make(ports: int = 3, *flows: str) -> Lab:
        made.append(Lab(ports, *flows))
        return made[-1]

    yield make
    for one in made:
        one.close()
