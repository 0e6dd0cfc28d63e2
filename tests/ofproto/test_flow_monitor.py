"""Flow monitors: what a connection is told, and what it is spared while it doesn't read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ofproto.ends import OurEnd
from vswitch import Switch
from vswitch.ofproto.flow_monitor import MAX_WAITING
from vswitch.openflow.flow_text import parse_flow_line
from vswitch.openflow.messages import flow as f
from vswitch.openflow.wire.codec import decode
from vswitch.openflow.wire.version import OFP10, OFP13, OFP14, VERSIONS

ALL = f.OFPFMF_ADD | f.OFPFMF_REMOVED | f.OFPFMF_MODIFY | f.OFPFMF_INSTRUCTIONS


@pytest.fixture
def sw() -> Iterator[Switch]:
    with Switch(ports=["p1", "p2"]) as switch:
        yield switch


def updates(end: OurEnd) -> list[tuple[int, str]]:
    """(event, match) of all updates since the last call."""
    replies = [decode(data).body for data in end.exchange()]
    return [(u.event, str(u.match)) for reply in replies for u in getattr(reply, "updates", ())]


@pytest.mark.parametrize("version", VERSIONS)
def test_changes_by_others_are_told_in_full_and_own_ones_abbreviated(sw: Switch, version: int) -> None:
    end, other = OurEnd(sw, version), OurEnd(sw, OFP14)
    end.ask(f.FlowMonitorRequest((f.FlowMonitor(1, flags=ALL),)))
    other.ask(parse_flow_line("table=0,tcp,actions=output:1"), parse_flow_line("modify table=0,actions=drop"),
              parse_flow_line("delete table=0"))
    assert updates(end) == [(f.OFPFME_ADDED, "tcp"), (f.OFPFME_MODIFIED, "tcp"), (f.OFPFME_REMOVED, "tcp")]
    (reply,) = end.ask(parse_flow_line("udp,actions=drop"))
    assert reply.updates == (f.FlowUpdate(f.OFPFME_ABBREV, xid=7),)


def test_flows_that_expire_are_told(sw: Switch) -> None:
    end = OurEnd(sw, OFP14)
    end.ask(f.FlowMonitorRequest((f.FlowMonitor(1, flags=ALL),)))
    end.ask(parse_flow_line("udp,hard_timeout=2,actions=drop"))
    sw.advance(4)
    assert updates(end) == [(f.OFPFME_REMOVED, "udp")]


def test_a_modification_that_changes_nothing_is_not_told(sw: Switch) -> None:
    end = OurEnd(sw, OFP14)
    sw.add_flow("table=0,cookie=1,tcp,actions=output:1")
    end.ask(f.FlowMonitorRequest((f.FlowMonitor(1, flags=ALL),)))
    sw.mod_flows("table=0,cookie=1,tcp,actions=output:1")
    assert updates(end) == []
    sw.mod_flows("table=0,cookie=2,tcp,actions=output:1")
    assert updates(end) == [(f.OFPFME_MODIFIED, "tcp")]


def pause(sw: Switch, end: OurEnd) -> list[Any]:
    """Make `end` one that does not read, and change a flow: what it is told."""
    end.peer.waiting, end.peer.waiting_bytes = 1, MAX_WAITING + 1
    sw.add_flow("table=5,actions=drop")
    return [decode(data).body for data in end.exchange()]


@pytest.mark.parametrize(("version", "paused", "resumed"), [
    (OFP10, f.FlowMonitorPaused(), f.FlowMonitorResumed()),
    (OFP13, f.FlowMonitorPaused(), f.FlowMonitorResumed()),
    (OFP14, f.FlowMonitorReply((f.FlowUpdate(f.OFPFME_PAUSED),)),
     f.FlowMonitorReply((f.FlowUpdate(f.OFPFME_RESUMED),))),
])  # fmt: skip
def test_who_does_not_read_is_paused_and_told_the_rest_later(
    sw: Switch, version: int, paused: Any, resumed: Any
) -> None:
    end = OurEnd(sw, version)
    sw.add_flows("table=0,tcp,actions=drop\ntable=0,udp,actions=drop")
    end.ask(f.FlowMonitorRequest((f.FlowMonitor(1, flags=ALL),)))
    sw.add_flow("table=1,tcp,actions=drop")
    assert updates(end) == [(f.OFPFME_ADDED, "tcp")]
    assert pause(sw, end)[1:] == [paused]
    sw.add_flows("table=2,arp,actions=drop\ntable=2,ip,actions=drop")
    sw.mod_flows("table=0,tcp,actions=output:1")
    sw.del_flows("table=2,arp")
    sw.del_flows("table=0,udp")
    # Only the removal of a flow that was known is told now.
    assert updates(end) == [(f.OFPFME_REMOVED, "udp")]
    end.peer.waiting = end.peer.waiting_bytes = 0
    replies = [decode(data).body for data in end.exchange()]
    told = sorted((u.event, str(u.match)) for u in replies[0].updates)
    assert told == [(f.OFPFME_ADDED, "ip"), (f.OFPFME_MODIFIED, "tcp")]
    assert replies[1:] == [resumed]
    sw.add_flow("table=3,icmp,actions=drop")
    assert updates(end) == [(f.OFPFME_ADDED, "icmp")]
