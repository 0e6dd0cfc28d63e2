"""1,000 random pairs of flow table and packet from fixed seeds, over every writable field and the larger
actions: ours answers as the real switch does."""

from __future__ import annotations

import os

import pytest

from tests.oracle.action_generator import random_action_setup
from tests.oracle.compare import difference, differences
from tests.oracle.real import RealSwitch
from tests.whole import seeds

N_TABLES = int(os.environ.get("VSWITCH_ORACLE_ACTION_TABLES", "50"))
"""Flow tables to try, with 20 packets each."""
CHUNK = 10


@pytest.mark.parametrize("first", range(0, N_TABLES, CHUNK))
def test_random_actions_and_packets(real: RealSwitch, first: int) -> None:
    found = differences(real, seeds(first, min(first + CHUNK, N_TABLES)), random_action_setup, difference)
    assert not found, f"{len(found)} differ\n" + "\n".join(found[:5])
