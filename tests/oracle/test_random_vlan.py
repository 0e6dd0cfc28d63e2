"""600 random frames between ports of random VLAN modes (`vlan_generator.py`): traced as by the real switch.
VSWITCH_ORACLE_VLAN=1000 tries that many sets of ports."""

from __future__ import annotations

import os

import pytest

from tests.oracle.compare import difference, differences
from tests.oracle.real import RealSwitch
from tests.oracle.vlan_generator import random_vlan_setup
from tests.whole import seeds

N_SETUPS = int(os.environ.get("VSWITCH_ORACLE_VLAN", "20"))
"""Sets of ports to try, with 30 frames each."""
CHUNK = 10


@pytest.mark.parametrize("first", range(0, N_SETUPS, CHUNK))
def test_random_ports_and_frames(real: RealSwitch, first: int) -> None:
    found = differences(real, seeds(first, min(first + CHUNK, N_SETUPS)), random_vlan_setup, difference)
    assert not found, f"{len(found)} differ\n" + "\n".join(found[:5])
