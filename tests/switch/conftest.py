"""A switch for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from vswitch import Switch


@pytest.fixture
def switch() -> Iterator[Callable[..., Switch]]:
    """Makes switches with ports p1, p2, p3 (or those given), and closes them."""
    made: list[Switch] = []

    def make(flows: str = "", ports: tuple[str, ...] = ("p1", "p2", "p3")) -> Switch:
        made.append(Switch("br0", ports, flows))
        return made[-1]

    yield make
    for one in made:
        one.close()
