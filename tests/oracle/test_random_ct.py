"""500 random pairs of flow table and packet that use ct, nat, encap, check_pkt_larger: traced alike."""

from __future__ import annotations

import pytest

from tests.oracle.compare import difference
from tests.oracle.generator_ct import random_ct_setup
from tests.oracle.ours import OurSwitch
from tests.oracle.real import RealSwitch

N_TABLES = 25
"""Flow tables to try, with 20 packets each."""
CHUNK = 5


@pytest.mark.parametrize("first", range(0, N_TABLES, CHUNK))
def test_random_tables_that_track_and_encapsulate(real: RealSwitch, first: int) -> None:
    ours = OurSwitch()
    found = []
    try:
        for seed in range(first, first + CHUNK):
            setup = random_ct_setup(seed)
            real.configure(setup)
            ours.configure(setup)
            for query in setup.queries:
                text = difference(real, ours, query)
                if text:
                    found.append(f"seed {seed}: {text}")
    finally:
        ours.close()
    assert not found, f"{len(found)} differ\n" + "\n".join(found[:5])
