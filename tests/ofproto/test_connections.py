"""What connections hear of: roles, asynchronous messages, packet-ins and their limits; without sockets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.ofproto.ends import OurEnd, RecordingPeer, encoded
from vswitch import Switch
from vswitch.base import coverage
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Destination, Level, set_levels
from vswitch.ofproto.connmgr import ConnKind
from vswitch.ofproto.ofconn import MAX_ASYNC, MAX_QUEUED, MAX_REPLIES
from vswitch.ofproto.pinsched import PacketInQueues
from vswitch.openflow.constants import (
    OFPPC_NO_FWD,
    OFPPS_LINK_DOWN,
    OFPPS_LIVE,
    OFPRR_DELETE,
    OFPRR_EVICTION,
    OFPRR_GROUP_DELETE,
    OFPRR_IDLE_TIMEOUT,
)
from vswitch.openflow.flow_text import parse_flow_line
from vswitch.openflow.messages import bundle as b
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import nicira as n
from vswitch.openflow.messages import packet as pk
from vswitch.openflow.messages import port as p
from vswitch.openflow.messages import session as s
from vswitch.openflow.messages import table as t
from vswitch.openflow.wire.codec import decode, encode
from vswitch.openflow.wire.version import OFP10, OFP13, OFP14, OFP15, VERSIONS

UDP = "udp,dl_src=00:00:00:00:00:01,dl_dst=00:00:00:00:00:02,nw_src=10.0.0.1,nw_dst=10.0.0.2"


@pytest.fixture
def sw() -> Iterator[Switch]:
    with Switch(ports=["p1", "p2", "p3"]) as switch:
        yield switch


def controller(sw: Switch, version: int) -> OurEnd:
    """A primary connection."""
    return OurEnd(sw, version, ConnKind.PRIMARY)


def heard(end: OurEnd) -> list[Any]:
    """What a connection was sent since it was asked last."""
    return [decode(message).body for message in end.exchange()]


# Roles.


def test_a_new_primary_makes_the_old_one_secondary_and_tells_it(sw: Switch) -> None:
    old, new = controller(sw, OFP14), controller(sw, OFP14)
    old.ask(s.SetAsync(((s.OFPACPT_ROLE_STATUS, 1), (s.OFPACPT_ROLE_STATUS + 1, 1))))
    assert old.ask(s.RoleRequest(s.ROLE_PRIMARY, 1)) == [s.RoleReply(s.ROLE_PRIMARY, 1)]
    assert new.ask(s.RoleRequest(s.ROLE_PRIMARY, 2)) == [s.RoleReply(s.ROLE_PRIMARY, 2)]
    assert heard(old) == [s.RoleStatus(s.ROLE_SECONDARY, 0, 2)]
    assert old.ask(s.RoleRequest(s.ROLE_NOCHANGE)) == [s.RoleReply(s.ROLE_SECONDARY, 2)]


def test_a_claim_older_than_the_last_one_is_stale(sw: Switch) -> None:
    first, second = controller(sw, OFP13), controller(sw, OFP13)
    first.ask(s.RoleRequest(s.ROLE_PRIMARY, 7))
    (error,) = second.ask(s.RoleRequest(s.ROLE_PRIMARY, 6))
    assert error.name == "OFPRRFC_STALE"
    assert first.conn.role == s.ROLE_PRIMARY


def test_a_secondary_reads_but_does_not_write(sw: Switch) -> None:
    end = controller(sw, OFP13)
    end.ask(s.RoleRequest(s.ROLE_SECONDARY, 1))
    (error,) = end.ask(parse_flow_line("actions=drop"))
    assert error.name == "OFPBRC_IS_SECONDARY"
    assert end.ask(f.FlowStatsRequest()) == [f.FlowStatsReply()]


# Asynchronous messages.


def test_a_service_connection_hears_nothing_until_it_sets_a_miss_send_len(sw: Switch) -> None:
    service = OurEnd(sw, OFP13)
    sw.add_flow("actions=CONTROLLER")
    sw.send("p1", UDP)
    assert heard(service) == []
    service.ask(s.SetConfig(0, 128))
    sw.send("p1", UDP)
    (packet_in,) = heard(service)
    assert isinstance(packet_in, pk.PacketIn)
    assert packet_in.metadata.flow.in_port == 1


def test_packet_ins_go_to_the_controller_that_the_action_names(sw: Switch) -> None:
    ends = [controller(sw, OFP13) for _ in range(3)]
    for number, end in enumerate(ends):
        end.ask(n.SetControllerId(number))
    sw.add_flow("actions=controller(id=2)")
    sw.send("p1", UDP)
    assert [len(heard(end)) for end in ends] == [0, 0, 1]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_miss_is_for_controllers_of_old_versions(sw: Switch, version: int) -> None:
    end = controller(sw, version)
    sw.send("p1", UDP)
    assert [type(body) for body in heard(end)] == ([pk.PacketIn] if version < OFP13 else [])
    end.close()
    sw.send("p1", UDP)
    assert not sw.ofproto.wants_packet_in_on_miss


def test_a_table_can_be_told_what_to_do_with_misses(sw: Switch) -> None:
    end = controller(sw, 2)
    sw.add_flow("table=1,actions=output:2")
    for config, packet_ins, out in ((t.OFPTC_TABLE_MISS_DROP, 0, 0), (t.OFPTC_TABLE_MISS_CONTINUE, 0, 1),
                                    (t.OFPTC_TABLE_MISS_CONTROLLER, 1, 0)):  # fmt: skip
        assert end.ask(t.TableMod(t.TableConfig(0, config))) == []
        sw.send("p1", UDP)
        assert (len(heard(end)), len(sw.received("p2"))) == (packet_ins, out)


def test_ports_are_told_to_whom_wants_it(sw: Switch) -> None:
    end, deaf = controller(sw, OFP13), controller(sw, OFP13)
    deaf.ask(s.SetAsync(((s.OFPACPT_PACKET_IN + 1, 3),)))
    sw.add_port("p9", 9)
    live, down = OFPPS_LIVE, OFPPS_LINK_DOWN
    added, alive = heard(end)
    assert (added.reason, added.port.port_no, added.port.name, added.port.state) == (p.OFPPR_ADD, 9, "p9", 0)
    assert (alive.reason, alive.port.state) == (p.OFPPR_MODIFY, live)
    sw.set_port("p9", carrier=False)
    assert [(m.reason, m.port.state) for m in heard(end)] == [(p.OFPPR_MODIFY, 0), (p.OFPPR_MODIFY, down)]
    sw.del_port("p9")
    (gone,) = heard(end)
    assert (gone.reason, gone.port.port_no) == (p.OFPPR_DELETE, 9)
    assert heard(deaf) == []


def test_a_port_mod_is_told_to_all(sw: Switch) -> None:
    end, other = controller(sw, OFP13), controller(sw, OFP15)
    end.ask(p.PortMod(1, end.mac(1), OFPPC_NO_FWD, OFPPC_NO_FWD))
    for each in (other,):
        (status,) = heard(each)
        assert (status.reason, status.port.config) == (p.OFPPR_MODIFY, OFPPC_NO_FWD)


def test_removed_flows_are_told_with_exact_counts(sw: Switch) -> None:
    end = controller(sw, OFP14)
    sw.add_flow("cookie=5,send_flow_rem,idle_timeout=3,udp,actions=output:2")
    sw.add_flow("arp,actions=output:2")
    sw.send("p1", UDP, UDP, UDP)
    end.ask(parse_flow_line("delete arp"))
    removed = end.ask(parse_flow_line("delete udp"))
    told = [(r.reason, r.cookie, r.packet_count, r.byte_count) for r in removed]
    assert told == [(OFPRR_DELETE, 5, 3, 3 * 106)]
    sw.add_flow("send_flow_rem,idle_timeout=3,udp,actions=output:2")
    sw.send("p1", UDP)
    sw.advance(5)
    (expired,) = heard(end)
    assert (expired.reason, expired.packet_count, expired.idle_timeout) == (OFPRR_IDLE_TIMEOUT, 1, 3)


def test_a_deleted_group_takes_its_flows_along(sw: Switch) -> None:
    end, other = controller(sw, OFP14), controller(sw, OFP14)
    other.ask(s.SetAsync(((s.OFPACPT_REQUESTFORWARD + 1, 1),)))
    end.ask(g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 1))
    end.ask(parse_flow_line("send_flow_rem,udp,actions=group:1"))
    (removed,) = end.ask(g.GroupMod(g.OFPGC_DELETE, 0, 1))
    assert removed.reason == OFPRR_GROUP_DELETE
    forwarded = [body for body in heard(other) if isinstance(body, b.RequestForward)]
    assert [decode(body.message).body.command for body in forwarded] == [g.OFPGC_ADD, g.OFPGC_DELETE]


def test_a_table_tells_when_it_gets_full_and_when_it_has_room_again(sw: Switch) -> None:
    end = controller(sw, OFP14)
    end.ask(s.SetAsync(((s.OFPACPT_TABLE_STATUS + 1, 0b11000),)))
    sw.ofproto.tables[0].max_flows = 10
    end.ask(t.TableMod(t.TableConfig(0, t.OFPTC_VACANCY_EVENTS, None, t.Vacancy(30, 60))))
    for i in range(10):
        sw.add_flow(f"priority={i + 1},actions=drop")
    (down,) = heard(end)
    assert (down.reason, down.table.vacancy) == (t.OFPTR_VACANCY_DOWN, t.Vacancy(30, 60, 20))
    for i in range(10):
        sw.del_flows(f"table=0,priority={i + 1}", strict=True)
    (up,) = heard(end)
    assert (up.reason, up.table.vacancy) == (t.OFPTR_VACANCY_UP, t.Vacancy(30, 60, 70))
    for i in range(10):
        sw.add_flow(f"priority={i + 1},actions=drop")
    sw.del_flows("table=0")
    _, again = heard(end)
    assert again == up  # as if each had gone by itself


def test_a_full_table_evicts_when_a_controller_asks_for_it(sw: Switch) -> None:
    end = controller(sw, OFP14)
    sw.ofproto.tables[0].max_flows = 2
    sw.add_flow("priority=1,send_flow_rem,importance=5,idle_timeout=10,actions=drop")
    sw.add_flow("priority=2,send_flow_rem,importance=1,idle_timeout=100,actions=drop")
    (error,) = end.ask(parse_flow_line("table=0,priority=3,actions=drop"))
    assert error.name == "OFPFMFC_TABLE_FULL"
    end.ask(t.TableMod(t.TableConfig(0, t.OFPTC_EVICTION)))
    (removed,) = end.ask(parse_flow_line("table=0,priority=3,actions=drop"))
    assert (removed.reason, removed.priority) == (OFPRR_EVICTION, 2)


# Limits.


def test_asynchronous_messages_for_who_does_not_read_are_dropped_and_counted(sw: Switch) -> None:
    end = controller(sw, OFP13)
    sw.add_flow("actions=CONTROLLER")
    before = coverage.counter("drop_async_queue_full").total
    end.peer.waiting = MAX_ASYNC
    sw.send("p1", UDP, UDP)
    assert (heard(end), end.conn.n_async_dropped) == ([], 2)
    assert coverage.counter("drop_async_queue_full").total == before + 2
    end.peer.waiting = 0
    sw.send("p1", UDP)
    assert len(heard(end)) == 1


def test_who_does_not_read_replies_is_not_read_from_and_in_the_end_disconnected(sw: Switch) -> None:
    end = controller(sw, OFP13)
    assert end.conn.may_receive()
    end.peer.waiting = MAX_REPLIES
    assert not end.conn.may_receive()
    assert end.ask(s.EchoRequest(b"x")) == [s.EchoReply(b"x")]
    end.peer.waiting = MAX_QUEUED
    assert end.ask(s.EchoRequest(b"x")) == []
    assert end.peer.closed == "too many replies waiting"


def test_a_barrier_waits_and_what_follows_with_it(sw: Switch) -> None:
    end, other = controller(sw, OFP13), controller(sw, OFP13)
    sw.command("ofproto/clog")
    assert end.ask(s.BarrierRequest(), s.EchoRequest(b"behind")) == []
    assert not end.conn.may_receive()
    assert other.ask(s.EchoRequest(b"not stalled")) == [s.EchoReply(b"not stalled")]
    sw.command("ofproto/unclog")
    sw.advance(0.1)
    assert heard(end) == [s.BarrierReply(), s.EchoReply(b"behind")]


def packet_in(port: int, number: int) -> pk.PacketIn:
    body = pk.PacketIn(bytes([number]))
    body.metadata.flow.in_port = port
    return body


def test_the_rate_limit_serves_ports_in_turn_and_drops_from_the_longest_queue() -> None:
    queues = PacketInQueues(0)
    queues.set_limit(10, 4)
    passed = [i for i in range(4) if queues.take(packet_in(1, i), 1, 0)]
    assert passed == [0, 1, 2, 3]
    for i in range(6):
        assert not queues.take(packet_in(1, 10 + i), 1, 0)
    assert not queues.take(packet_in(2, 20), 2, 0)
    assert (len(queues), queues.n_dropped) == (4, 3)
    assert queues.wakeup(0) == 100
    assert list(queues.run(99)) == []
    sent = [pin.packet[0] for now in range(100, 500, 100) for pin in queues.run(now)]
    assert sent == [13, 20, 14, 15]
    assert (queues.n_normal, queues.n_limited, len(queues)) == (4, 7, 0)


def test_packet_ins_beyond_the_rate_wait_for_their_turn(sw: Switch) -> None:
    end = controller(sw, OFP13)
    end.conn.set_rate_limit(100, 2)
    sw.add_flow("actions=CONTROLLER")
    sw.send("p1", UDP, UDP, UDP, UDP)
    assert len(heard(end)) == 2
    sw.advance(1)
    assert len(heard(end)) == 2


# Wrong input.


def test_every_message_that_is_no_request_is_refused(sw: Switch) -> None:
    end = controller(sw, OFP13)
    (error,) = end.ask(s.EchoReply(b""), s.FeaturesReply(1))
    assert (error.name, error.data) == ("OFPBRC_BAD_TYPE", encode(s.FeaturesReply(1), OFP13, 7))


def test_a_message_of_another_version_is_refused(sw: Switch) -> None:
    end = controller(sw, OFP13)
    (error,) = end.ask(encode(s.FeaturesRequest(), OFP10, 7))
    assert error.name == "OFPBRC_BAD_VERSION"
    assert end.ask(s.EchoRequest(b"y")) == [s.EchoReply(b"y")]


@pytest.mark.parametrize("data", [
    "0404001000000007000023200000ffff", "0404001000000007deadbeef00000001", "04630008 00000007",
    "0412001000000007abcd000000000000", "0412001800000007ffff0000000000000000232000001234",
    "040e001000000007ffff000000000000", "04 0e 0008 00000007",
])  # fmt: skip
def test_garbage_costs_one_error(sw: Switch, data: str) -> None:
    end = controller(sw, OFP13)
    message = bytes.fromhex(data)
    (error,) = end.ask(message)
    assert error.data == message
    assert error.name.startswith("OFPBRC_")


def test_arbitrary_bytes_never_raise(sw: Switch) -> None:
    import random

    rnd = random.Random(1)
    for version in VERSIONS:
        end = OurEnd(sw, version)
        for _ in range(400):
            body = bytearray(encoded(rnd.choice(REQUESTS), version))
            for _ in range(rnd.randrange(1, 4)):
                body[rnd.randrange(4, len(body))] = rnd.randrange(256)
            end.exchange(bytes(body))
        assert end.ask(s.EchoRequest(b"alive"))[-1:] == [s.EchoReply(b"alive")]
        end.close()
        sw.ofproto.tables.flow_mod(parse_flow_line("delete"), 0)


REQUESTS = [
    parse_flow_line("priority=5,tcp,tp_dst=80,actions=output:1,dec_ttl,output:2"),
    f.FlowStatsRequest(), p.PortMod(1), s.SetConfig(), pk.PacketOut(b"\0" * 60), s.EchoRequest(b"abcd"),
    n.SetControllerId(1), (s.RoleRequest(s.ROLE_EQUAL), 1), n.TlvTableMod(0, (n.TlvMap(1, 1, 4, 0),)),
]  # fmt: skip


def test_a_request_in_parts_is_answered_when_it_is_whole(sw: Switch) -> None:
    end = controller(sw, OFP14)
    table = t.TableFeatures(0, properties=(t.TableProperty(t.OFPTFPT_INSTRUCTIONS, (1,)),))
    first = encode(t.TableFeaturesRequest((table,), more=True), OFP14, 7)
    last = encode(t.TableFeaturesRequest((replace(table, table_id=1),)), OFP14, 7)
    assert end.ask(first) == []
    assert end.ask(s.EchoRequest(b"between")) == [s.EchoReply(b"between")]
    (error,) = end.ask(last)
    assert error.name == "OFPTFFC_EPERM"
    assert end.ask(first) == []
    (error,) = end.ask(f.FlowStatsRequest())
    assert error.name == "OFPBRC_BAD_STAT"
    assert end.ask(f.FlowStatsRequest()) == [f.FlowStatsReply()]
    assert end.ask(first) == []
    sw.advance(2)
    (error,) = heard(end)
    assert error.name == "OFPBRC_MULTIPART_REQUEST_TIMEOUT"


def test_tables_are_renamed_by_a_request_of_many_parts(sw: Switch) -> None:
    end = controller(sw, OFP14)

    def told() -> list[t.TableFeatures]:
        return [table for reply in end.ask(t.TableFeaturesRequest()) for table in reply.tables]

    tables = told()
    assert len(tables) == 254
    tables[3] = replace(tables[3], name="three")
    for at in range(0, 250, 10):
        part = t.TableFeaturesRequest(tuple(tables[at : at + 10]), more=True)
        assert end.ask(encode(part, OFP14, 9)) == []
    # More than one message can hold, altogether.
    replies = end.ask(encode(t.TableFeaturesRequest(tuple(tables[250:])), OFP14, 9))
    assert [table for reply in replies for table in reply.tables] == tables == told()
    (error,) = end.ask(t.TableFeaturesRequest(tuple(tables[:10])))
    assert error.name == "OFPTFFC_EPERM"


def test_a_connection_that_ends_leaves_nothing(sw: Switch) -> None:
    end = OurEnd(sw, OFP14)
    end.ask(f.FlowMonitorRequest((f.FlowMonitor(1, flags=0x1F),)))
    end.ask(b.BundleControl(1, b.OFPBCT_OPEN_REQUEST, 1))
    connmgr = sw.ofproto.connmgr
    assert (len(connmgr.conns), connmgr.n_monitors) == (1, 1)
    end.close()
    assert (len(connmgr.conns), connmgr.n_monitors) == (0, 0)
    sw.add_flow("actions=drop")
    assert isinstance(end.peer, RecordingPeer)
    assert end.peer.sent == []


# What is logged.


def test_ten_errors_a_minute_are_logged(
    sw: Switch, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the real switch does, whose clock a trial can't stop."""
    monkeypatch.setattr("vswitch.ofproto.ofconn.error_rl", RateLimit(10, 10))
    end = controller(sw, OFP13)
    bad = encode(parse_flow_line("actions=group:93"), OFP13, 5)
    set_levels("connmgr", Destination.CONSOLE, Level.INFO)
    try:
        end.exchange(*[bad] * 12)
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 10
        text = "sending OFPBAC_BAD_OUT_GROUP error reply to OFPT_FLOW_MOD message"
        assert all(line.endswith(text) for line in said)
        sw.clock.warp(60_000)
        end.exchange(bad)
        dropped, sent = capsys.readouterr().err.splitlines()
        assert "|INFO|Dropped 2 log messages in last 60 seconds" in dropped
        assert "sending OFPBAC_BAD_OUT_GROUP" in sent
    finally:
        set_levels("connmgr", Destination.CONSOLE, Level.WARN)
