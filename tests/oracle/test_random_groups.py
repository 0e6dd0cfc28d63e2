"""500 random pairs of group table and packet from fixed seeds: ours answers as the real switch does.

Of a translation that fails the last bits of the mask are not compared: no datapath flow has them.
"""

from __future__ import annotations

import os
import re

import pytest

from tests.oracle.compare import Switch, answer, differences
from tests.oracle.group_generator import random_group_setup
from tests.oracle.real import RealSwitch
from tests.oracle.setup import Query
from tests.whole import seeds

N_SETUPS = int(os.environ.get("VSWITCH_ORACLE_GROUPS", "25"))
"""Group tables to try, with 20 packets each."""
CHUNK = 5


def settled(trace: str) -> str:
    """`trace` without the VLAN of the megaflow if translation failed."""
    if "Translation failed" in trace:
        trace = re.sub(r"^(Megaflow: .*),vlan_tci=0x0000/0x1000(?=,|$)", r"\1", trace, flags=re.MULTILINE)
    return trace


def settled_difference(real: Switch, ours: Switch, query: Query) -> str:
    """Both answers if they differ, else ""."""
    theirs, mine = settled(answer(real, query)), settled(answer(ours, query))
    return "" if theirs == mine else f"{query}\n{theirs[-3000:]}\n--- ours:\n{mine[-3000:]}"


@pytest.mark.parametrize("first", range(0, N_SETUPS, CHUNK))
def test_random_groups_and_packets(real: RealSwitch, first: int) -> None:
    chosen = seeds(first, min(first + CHUNK, N_SETUPS))
    found = differences(real, chosen, random_group_setup, settled_difference)
    assert not found, f"{len(found)} differ\n" + "\n".join(found[:5])
