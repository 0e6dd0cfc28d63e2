"""Conjunctive flows on a switch that forwards: their changes reach cached translations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vswitch import Switch
from vswitch.flow.match import Match
from vswitch.openflow.action_check import check_actions
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.actions import Conjunction
from vswitch.openflow.errors import OfpError

FLOWS = """
    priority=9,ip,nw_src=10.0.0.1,actions=conjunction(1,1/2)
    priority=9,ip,nw_src=10.0.0.2,actions=conjunction(1,1/2)
    priority=9,tcp,tp_dst=80,actions=conjunction(1,2/2)
    priority=9,conj_id=1,ip,actions=output:p2
    priority=1,actions=output:p3
"""


@pytest.fixture
def sw() -> Iterator[Switch]:
    with Switch("br0", ("p1", "p2", "p3"), FLOWS) as made:
        yield made


def sent(sw: Switch, last: int, port: int = 80) -> list[str]:
    """Where a packet from 10.0.0.`last` to TCP port `port` goes."""
    sw.received_all()
    sw.send("p1", f"tcp,nw_src=10.0.0.{last},nw_dst=10.0.0.9,tcp_src=1,tcp_dst={port}")
    return sorted(sw.received_all())


def test_flows_match_together(sw: Switch) -> None:
    assert [sent(sw, 1), sent(sw, 2), sent(sw, 3), sent(sw, 1, 81)] == [["p2"], ["p2"], ["p3"], ["p3"]]
    assert sw.n_packets("conj_id=1") == 2
    assert sw.n_packets("tcp,tp_dst=80") == 0


def test_another_source_counts_at_once(sw: Switch) -> None:
    assert sent(sw, 3) == ["p3"]
    sw.add_flow("priority=9,ip,nw_src=10.0.0.3,actions=conjunction(1,1/2)")
    assert sent(sw, 3) == ["p2"]
    sw.del_flows("ip,nw_src=10.0.0.3")
    assert sent(sw, 3) == ["p3"]


def test_a_modified_flow_joins_and_leaves(sw: Switch) -> None:
    assert sent(sw, 1) == ["p2"]
    sw.mod_flows("tcp,tp_dst=80,actions=conjunction(2,2/2)")
    assert sent(sw, 1) == ["p3"]
    sw.mod_flows("tcp,tp_dst=80,actions=conjunction(1,2/2)")
    assert sent(sw, 1) == ["p2"]
    sw.mod_flows("tcp,tp_dst=80,actions=output:p1,output:p3")
    assert sent(sw, 1) == ["p3"]


def test_without_the_flow_for_its_id_a_conjunction_is_nothing(sw: Switch) -> None:
    assert sent(sw, 1) == ["p2"]
    sw.del_flows("conj_id=1,ip")
    assert sent(sw, 1) == ["p3"]


def test_only_notes_go_beside_conjunctions() -> None:
    check_actions(parse_actions("conjunction(1,1/2),note:01,conjunction(2,1/3)"), Match())
    with pytest.raises(OfpError, match="NXBAC_BAD_CONJUNCTION"):
        check_actions((Conjunction(1, 0, 2), *parse_actions("output:1")), Match())
