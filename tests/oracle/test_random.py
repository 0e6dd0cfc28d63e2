"""2,000 random pairs of flow table and packet from fixed seeds: ours answers as the real switch does."""

from __future__ import annotations

import os

import pytest

from tests.oracle.compare import difference, differences
from tests.oracle.generator import random_setup
from tests.oracle.real import RealSwitch
from tests.whole import seeds

N_TABLES = int(os.environ.get("VSWITCH_ORACLE_TABLES", "100"))
"""Flow tables to try, with 20 packets each."""
CHUNK = 10


@pytest.mark.parametrize("first", range(0, N_TABLES, CHUNK))
def test_random_tables_and_packets(real: RealSwitch, first: int) -> None:
    found = differences(real, seeds(first, min(first + CHUNK, N_TABLES)), random_setup, difference)
    assert not found, f"{len(found)} differ\n" + "\n".join(found[:5])
