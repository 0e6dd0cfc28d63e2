"""1,000 random pairs of flow table and packet from fixed seeds, over every writable field and the larger
actions: ours answers as the real switch does."""

from __future__ import annotations

import os

import pytest

from tests.oracle.action_generator import random_action_setup
from tests.oracle.compare import difference
from tests.oracle.ours import OurSwitch
from tests.oracle.real import RealSwitch

N_TABLES = int(os.environ.get("VSWITCH_ORACLE_ACTION_TABLES", "50"))
"""Flow tables to try, with 20 packets each."""
CHUNK = 10


@pytest.mark.parametrize("first", range(0, N_TABLES, CHUNK))
def test_random_actions_and_packets(real: RealSwitch, first: int) -> None:
    ours = OurSwitch()
    found = []
    try:
        for seed in range(first, min(first + CHUNK, N_TABLES)):
            setup = random_action_setup(seed)
            real.configure(setup)
            ours.configure(setup)
            for query in setup.queries:
                text = difference(real, ours, query)
                if text:
                    found.append(f"seed {seed}: {text}")
    finally:
        ours.close()
    assert not found, f"{len(found)} differ\n" + "\n".join(found[:5])
