"""500 random pairs of flow table and packet that use ct, nat, encap, check_pkt_larger: traced alike."""

from __future__ import annotations

import pytest

from tests.oracle.compare import difference, differences
from tests.oracle.generator_ct import random_ct_setup
from tests.oracle.real import RealSwitch
from tests.whole import seeds

N_TABLES = 25
"""Flow tables to try, with 20 packets each."""
CHUNK = 5


@pytest.mark.parametrize("first", range(0, N_TABLES, CHUNK))
def test_random_tables_that_track_and_encapsulate(real: RealSwitch, first: int) -> None:
    found = differences(real, seeds(first, first + CHUNK), random_ct_setup, difference)
    assert not found, f"{len(found)} differ\n" + "\n".join(found[:5])
