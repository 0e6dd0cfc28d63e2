"""Bundles: all that is in them, or nothing; nothing is heard of before."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.ofproto.ends import OurEnd
from vswitch import Switch
from vswitch.ofproto.connmgr import ConnKind
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.constants import OFPPC_NO_FWD
from vswitch.openflow.flow_text import parse_flow_line
from vswitch.openflow.messages import bundle as b
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import packet as pk
from vswitch.openflow.messages import port as p
from vswitch.openflow.wire.codec import encode
from vswitch.openflow.wire.version import OFP14

UDP = "udp,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02"


@pytest.fixture
def sw() -> Iterator[Switch]:
    with Switch(ports=["p1", "p2", "p3"]) as switch:
        yield switch


@pytest.fixture
def end(sw: Switch) -> OurEnd:
    return OurEnd(sw, OFP14, ConnKind.PRIMARY)


def bundle(end: OurEnd, *bodies: Any, flags: int = 0) -> list[Any]:
    """Put `bodies` into a bundle and commit it; what came back but for the opening."""
    end.ask(b.BundleControl(1, b.OFPBCT_OPEN_REQUEST, flags))
    for body in bodies:
        made = parse_flow_line(body) if isinstance(body, str) else body
        assert end.ask(b.BundleAdd(1, encode(made, OFP14, 7), flags)) == []
    return end.ask(b.BundleControl(1, b.OFPBCT_COMMIT_REQUEST, flags))


def state(sw: Switch) -> tuple[str, str, list[Any]]:
    """All that a bundle can change."""
    groups = "\n".join(map(repr, sw.ofproto.groups.desc()))
    return sw.dump_flows(), groups, [port.config for port in sw.ofproto.ofp_ports()]


COMMITTED = [b.BundleControl(1, b.OFPBCT_COMMIT_REPLY)]


def test_a_bundle_takes_effect_as_a_whole(sw: Switch, end: OurEnd) -> None:
    sw.add_flow("table=0,tcp,actions=output:2")
    group = g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 1, (g.Bucket(parse_actions("output:3")),))
    port = p.PortMod(2, end.mac(2), OFPPC_NO_FWD, OFPPC_NO_FWD)
    assert bundle(end, "delete table=0", group, "table=0,udp,actions=group:1", port)[-1:] == COMMITTED
    assert sw.dump_flows(stats=False) == " udp actions=group:1\n"
    sw.send("p1", UDP)
    assert len(sw.received("p3")) == 1
    assert [port.config for port in sw.ofproto.ofp_ports()] == [0, 0, OFPPC_NO_FWD, 0]


def test_a_bundle_that_fails_leaves_no_trace(sw: Switch, end: OurEnd) -> None:
    sw.add_flows("table=0,priority=5,tcp,actions=output:2\ntable=0,priority=6,udp,actions=output:1\n"
                 "table=1,cookie=3,send_flow_rem,hard_timeout=50,arp,actions=drop")
    end.ask(g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 1, (g.Bucket(parse_actions("output:3")),)))
    sw.add_flow("table=2,actions=group:1")
    sw.send("p1", UDP)
    before = state(sw)
    watcher = OurEnd(sw, OFP14)
    watcher.ask(f.FlowMonitorRequest((f.FlowMonitor(1, flags=0xE),)))
    replies = bundle(
        end, "table=0,priority=6,udp,reset_counts,actions=output:3", "modify table=0,tcp,actions=drop",
        "delete table=1", g.GroupMod(g.OFPGC_DELETE, 0, 1), "table=5,actions=drop",
        g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 2), "delete table=5", "table=6,actions=group:2",
        g.GroupMod(g.OFPGC_MODIFY, g.OFPGT_INDIRECT, 2, (g.Bucket(),)),
        p.PortMod(2, end.mac(2), OFPPC_NO_FWD, OFPPC_NO_FWD), "table=9,actions=group:77",
    )  # fmt: skip
    assert [reply.name for reply in replies] == ["OFPBAC_BAD_OUT_GROUP", "OFPBFC_MSG_FAILED"]
    assert state(sw) == before
    assert end.exchange() == watcher.exchange() == []
    sw.send("p1", UDP)
    assert len(sw.received("p1")) == 0
    assert sw.n_packets("udp") == 2
    sw.advance(60)
    assert [removed.cookie for removed in end.ask() if isinstance(removed, f.FlowRemoved)] == [3]


def test_what_a_bundle_did_is_told_when_it_is_done(sw: Switch, end: OurEnd) -> None:
    sw.add_flow("table=0,send_flow_rem,udp,actions=drop")
    end.ask(f.FlowMonitorRequest((f.FlowMonitor(1, flags=0x4E),)))
    replies = bundle(end, "table=1,arp,actions=drop", "delete table=0", "delete table=1")
    assert [type(reply) for reply in replies] == [f.FlowRemoved, f.FlowMonitorReply, b.BundleControl]
    events = [(update.event, str(update.match)) for update in replies[1].updates]
    assert events == [(f.OFPFME_ADDED, "arp"), (f.OFPFME_REMOVED, "udp"), (f.OFPFME_REMOVED, "arp")]


def test_packets_of_a_bundle_leave_through_its_own_tables(sw: Switch, end: OurEnd) -> None:
    out = pk.PacketOut(b"\0" * 60, parse_actions("output:2"), p_in(1))
    replies = bundle(end, out, "table=0,actions=output:3")
    assert replies == COMMITTED
    assert len(sw.received("p2")) == 1


def p_in(port: int) -> Any:
    from vswitch.flow.fields import by_name
    from vswitch.flow.match import Match

    match = Match()
    match.set(by_name("in_port"), port)
    return match


def test_an_idle_bundle_is_discarded_with_an_error(sw: Switch, end: OurEnd) -> None:
    end.ask(b.BundleControl(4, b.OFPBCT_OPEN_REQUEST, 1))
    sw.advance(sw.ofproto.bundle_idle_timeout - 1)
    assert end.exchange() == []
    sw.advance(2)
    (error,) = end.ask()
    assert error.name == "OFPBFC_TIMEOUT"
    (error,) = end.ask(b.BundleControl(4, b.OFPBCT_COMMIT_REQUEST, 1))
    assert error.name == "OFPBFC_BAD_ID"


@pytest.mark.parametrize("seed", range(6))
def test_random_bundles_that_fail_leave_no_trace(sw: Switch, end: OurEnd, seed: int) -> None:
    rnd = random.Random(seed)

    def mod() -> str:
        text = f"table={rnd.randrange(3)},priority={rnd.randrange(3)}"
        match = rnd.choice(["", ",tcp", ",udp", ",tcp,tp_dst=80", ",arp", ",ip,nw_dst=10.0.0.0/8"])
        timeout = rnd.choice(["", ",idle_timeout=60", ",importance=2,hard_timeout=9"])
        actions = rnd.choice(["output:1", "output:2", "drop", "group:1"])
        kind = rnd.choice(["add", "add", "add", "modify", "modify_strict", "delete", "delete_strict"])
        if kind.startswith("delete"):
            return f"{kind} {text if 'strict' in kind else text.split(',')[0]}{match}"
        if kind == "modify":
            return f"{kind} {text.split(',')[0]},cookie={rnd.randrange(9)}{match},actions={actions}"
        if kind == "modify_strict":
            timeout = timeout.replace(",importance=2", "")
        return f"{kind} {text},cookie={rnd.randrange(9)}{match}{timeout},actions={actions}"

    sw.ofproto.tables[0].max_flows = 8
    sw.ofproto.tables[0].configure_eviction(1, ())
    end.ask(g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 1, (g.Bucket(parse_actions("output:3")),)))
    for _ in range(20):
        end.ask(parse_flow_line(mod()))
    before = state(sw)
    for _ in range(10):
        mods: list[Any] = [mod() for _ in range(rnd.randrange(1, 12))]
        if rnd.random() < 0.5:
            mods.insert(rnd.randrange(len(mods)), g.GroupMod(g.OFPGC_DELETE, 0, 1))
        replies = bundle(end, *mods, "table=9,actions=group:77")
        assert replies[-1].name == "OFPBFC_MSG_FAILED"
        assert state(sw) == before, mods
