"""The same requests to the real switch and to ours: the same replies, errors included, in each version."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.ofproto.conftest import DATAPATH_ID
from tests.ofproto.ends import UNREADABLE, End, Form, OurEnd, RealEnd, Request, told
from tests.oracle.real import RealSwitch
from vswitch import Switch
from vswitch.flow.fields import by_name
from vswitch.flow.match import Match
from vswitch.flow.match_text import parse_match
from vswitch.ofproto.table import Table
from vswitch.ofproto.table_features import features
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.actions import Actions, Output
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.flow_text import parse_flow_line
from vswitch.openflow.messages import bundle as b
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import meter as m
from vswitch.openflow.messages import nicira as n
from vswitch.openflow.messages import packet as pk
from vswitch.openflow.messages import port as p
from vswitch.openflow.messages import queue as q
from vswitch.openflow.messages import session as s
from vswitch.openflow.messages import table as t
from vswitch.openflow.messages.switch import DescRequest
from vswitch.openflow.wire.codec import encode
from vswitch.openflow.wire.messages_base import NotInVersion
from vswitch.openflow.wire.version import OFP10, OFP11, OFP13, VERSIONS

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def ours() -> Iterator[Switch]:
    """Our switch with the same ports."""
    with Switch(ports=["p1", "p2", "p3"]) as switch:
        switch.ofproto.datapath_id = DATAPATH_ID
        yield switch


def flow(text: str, actions: str | Actions | None = None) -> FlowMod:
    """A flow mod; `actions` are not checked against the match."""
    fm = parse_flow_line(text)
    if actions is not None:
        fm.actions = parse_actions(actions) if isinstance(actions, str) else actions
    return fm


def in_port(port: int, text: str = "") -> Match:
    match = parse_match(text)
    match.set(by_name("in_port"), port)
    return match


Step = Request | list[Request] | Callable[[End], Request]


def steps_of(step: Step, end: End) -> list[Request]:
    made = step(end) if callable(step) else step
    return made if isinstance(made, list) else [made]


def since(version: int, request: Request) -> Step:
    """`request` in versions from `version` on."""

    def step(end: End) -> Request:
        if end.version < version:
            raise NotInVersion
        return request

    return step


def cleanup(version: int) -> list[Request]:
    """Back to an empty switch."""
    found: list[Request] = [flow("delete" if version != OFP11 else "delete table=0")]
    if version == OFP11:
        found += [flow(f"delete table={i}") for i in (1, 2, 3)]
    if version >= OFP11:
        found.append(g.GroupMod(g.OFPGC_DELETE, 0, g.OFPG_ALL))
    if version >= OFP13:
        found.append(m.MeterMod(m.OFPMC_DELETE, m.MeterConfig(m.OFPM_ALL)))
    return found


def compare(real: RealSwitch, ours: Switch, version: int, steps: list[Step]) -> int:
    """Ask both ends each of `steps` and compare; how many replies were compared."""
    ends: list[End] = [RealEnd(f"{real.directory}/br0.mgmt", version), OurEnd(ours, version)]
    compared = 0
    try:
        for end in ends:
            end.ask(*cleanup(version))
        for number, step in enumerate(steps):
            try:
                wanted, got = (told(end.ask(*steps_of(step, end))) for end in ends)
                deadline = time.monotonic() + 5
                # The real switch notices later what a port mod does to its device.
                while got != wanted and isinstance(step, p.PortDescRequest) and time.monotonic() < deadline:
                    wanted, got = (told(end.ask(step)) for end in ends)
            except NotInVersion:
                continue
            if not any(text == UNREADABLE for text in wanted):
                assert got == wanted, f"step {number}: {step}"
            compared += 1
    finally:
        for end in ends:
            end.close()  # type: ignore[attr-defined]
    return compared


DESCRIBING: list[Step] = [
    s.FeaturesRequest(), s.GetConfigRequest(), DescRequest(), s.EchoRequest(b"hello"), s.GetAsyncRequest(),
    s.SetConfig(1, 77), s.GetConfigRequest(), s.SetConfig(3, 66), s.GetConfigRequest(), s.SetConfig(4, 0),
    s.GetConfigRequest(), s.SetConfig(2, 0), s.GetConfigRequest(), s.SetConfig(0, 0), s.GetConfigRequest(),
    t.TableStatsRequest(), t.TableDescRequest(), t.TableFeaturesRequest(),
    p.PortDescRequest(), p.PortDescRequest(1), p.PortDescRequest(77),
    p.PortStatsRequest(), p.PortStatsRequest(1), p.PortStatsRequest(77),
    q.QueueStatsRequest(), q.QueueStatsRequest(1), q.QueueStatsRequest(1, 3), q.QueueStatsRequest(77),
    q.QueueStatsRequest(77, 3), q.QueueStatsRequest(0xFFFF, 3),
    q.QueueGetConfigRequest(1), q.QueueGetConfigRequest(77), q.QueueGetConfigRequest(0xFFFF),
    q.QueueGetConfigRequest(1, 3), q.QueueGetConfigRequest(1, 0),
    n.TlvTableRequest(), n.IpfixBridgeStatsRequest(), n.IpfixFlowStatsRequest(),
    g.GroupDescRequest(), g.GroupStatsRequest(5), g.GroupStatsRequest(), g.GroupFeaturesRequest(),
    m.MeterConfigRequest(5), m.MeterStatsRequest(5), m.MeterConfigRequest(), m.MeterStatsRequest(),
    f.FlowStatsRequest(table_id=7), f.AggregateStatsRequest(table_id=7),
    s.EchoReply(b"x"), s.Hello(), s.BarrierReply(), s.FeaturesReply(1), s.GetConfigReply(),
    f.FlowStatsReply(), p.PortStatus(0, p.Port(1)), n.FlowAge(), n.CtFlushZone(5),
    n.CtFlush(6, n.CtTuple(src=0xFFFF0A000001, dst_port=80), zone_id=5), n.CtFlush(),
    s.Error("OFPBRC_BAD_TYPE", b"12345678"),
]  # fmt: skip

ROLES: list[Step] = [
    (s.RoleRequest(s.ROLE_EQUAL), Form.EXTENSION), s.RoleRequest(s.ROLE_NOCHANGE),
    s.RoleRequest(s.ROLE_PRIMARY, 1), s.RoleRequest(s.ROLE_NOCHANGE),
    (s.RoleRequest(s.ROLE_SECONDARY), Form.EXTENSION),
    flow("priority=1,actions=drop"), p.PortMod(1), pk.PacketOut(b"\0" * 60, (Output(1),), in_port(0xFFFF)),
    g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 1), m.MeterMod(m.OFPMC_ADD, m.MeterConfig(1)),
    t.TableMod(t.TableConfig(0)), b.BundleControl(1, b.OFPBCT_OPEN_REQUEST), n.TlvTableMod(n.NXTTMC_CLEAR),
    f.FlowStatsRequest(), s.SetConfig(1, 0), s.GetConfigRequest(), s.SetAsync(((0, 1),)),
    lambda end: b.BundleAdd(1, encode(p.PortMod(1), end.version, 7)), n.SetControllerId(3), n.CtFlushZone(1),
    (s.RoleRequest(s.ROLE_EQUAL), Form.EXTENSION), s.SetConfig(0, 0),
    s.RoleRequest(s.ROLE_PRIMARY, 10), s.RoleRequest(s.ROLE_SECONDARY, 9),
    s.RoleRequest(s.ROLE_SECONDARY, 10),
    s.RoleRequest(s.ROLE_PRIMARY, 9), s.RoleRequest(s.ROLE_PRIMARY, 1 << 63),
    s.RoleRequest(s.ROLE_PRIMARY, (1 << 63) + 5), s.RoleRequest(s.ROLE_EQUAL, 3),
    s.RoleRequest(s.ROLE_NOCHANGE),
]  # fmt: skip

ASYNC: list[Step] = [
    s.SetAsync(tuple((kind, 0xFFFF) for kind in range(6))), s.GetAsyncRequest(),
    s.SetAsync(tuple((kind, 3) for kind in range(6))), s.GetAsyncRequest(),
    (s.SetAsync(tuple((kind, 7) for kind in range(6))), Form.EXTENSION), s.GetAsyncRequest(),
    (s.SetAsync(tuple((kind, 0xFFFF) for kind in range(6))), Form.EXTENSION), s.GetAsyncRequest(),
    s.SetAsync(((6, 1), (7, 3), (8, 8), (9, 24), (10, 1), (11, 3))), s.GetAsyncRequest(),
    s.SetAsync(((1, 0xFFFF),)), s.GetAsyncRequest(), s.SetAsync(((8, 1),)), s.GetAsyncRequest(),
    s.SetAsync(((12, 1),)),
]  # fmt: skip

FLOWS: list[Step] = [
    flow("priority=5,tcp,send_flow_rem,check_overlap,actions=output:1"),
    flow("priority=5,ip,check_overlap,actions=output:1"),
    f.FlowStatsRequest(), f.AggregateStatsRequest(), (f.FlowStatsRequest(), Form.EXTENSION),
    (f.AggregateStatsRequest(), Form.EXTENSION),
    flow("table=0,priority=6,ip,actions=drop", "output:60000"), flow("table=0,priority=6,actions=output:77"),
    flow("table=0,priority=6,actions=output:1", (Output(0xFFFF),)),
    flow("table=0,priority=6,actions=output:1", (Output(0xFFF7),)),
    flow("table=0,priority=6,actions=output:1", (Output(0),)),
    flow("table=3,ip,actions=drop", "goto_table:2"), flow("table=3,ip,actions=drop", "goto_table:3"),
    flow("table=3,ip,actions=drop", "goto_table:254"),
    flow("table=254,ip,actions=drop"), flow("delete table=254,ip"), flow("delete table=254"),
    flow("modify table=254,ip,actions=drop"), flow("modify table=254,actions=drop"),
    flow("table=3,ip,actions=group:7"), flow("table=3,ip,actions=drop", "meter:7,output:1"),
    flow("table=3,actions=drop", "mod_nw_src:1.2.3.4,output:1"),
    flow("table=3,actions=drop", "set_field:80->tcp_dst"), flow("table=3,actions=drop", "dec_ttl,output:1"),
    flow("table=3,actions=drop", "strip_vlan,output:1"), flow("table=3,actions=drop", "pop_mpls:0x800"),
    flow("table=3,actions=drop", "load:5->NXM_OF_TCP_DST[],output:1"),
    flow("table=3,actions=drop", "conjunction(1,1/2)"), flow("table=3,conj_id=3,actions=output:1"),
    flow("table=3,tun_metadata7=5,actions=output:1"), f.FlowStatsRequest(),
    flow("modify table=0,udp,actions=output:3"), flow("modify table=0,tcp,actions=output:3"),
    f.FlowStatsRequest(), flow("modify_strict table=0,priority=5,tcp,actions=output:2"),
    flow("modify_strict table=0,priority=7,tcp,actions=output:2"), f.FlowStatsRequest(),
    flow("delete table=0,udp"), flow("delete_strict table=0,priority=5,tcp"), f.FlowStatsRequest(),
    flow("table=255,udp,actions=drop"), flow("modify table=255,udp,actions=drop"),
    f.FlowStatsRequest(table_id=3), f.FlowStatsRequest(table_id=0, out_port=1),
    f.FlowStatsRequest(parse_match("tcp")), f.AggregateStatsRequest(out_port=3),
    f.FlowStatsRequest(cookie=1, cookie_mask=0xFF),
    flow("table=1,cookie=0x11,priority=5,idle_timeout=9,hard_timeout=8,importance=3,actions=output:1"),
    flow("table=1,cookie=0x12,priority=6,no_packet_counts,no_byte_counts,actions=output:1"),
    flow("modify cookie=0x11/-1,actions=output:2"), flow("modify cookie=0x99/-1,actions=output:2"),
    f.FlowStatsRequest(), f.AggregateStatsRequest(),
    flow("delete cookie=0x12/0xff"), f.FlowStatsRequest(),
    flow("table=1,actions=resubmit(,5),learn(table=5,idle_timeout=3,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[])"),
    since(
        OFP11, flow("table=1,actions=clear_actions,write_actions(output:1),write_metadata:5,goto_table:9")
    ),
    f.FlowStatsRequest(),
]  # fmt: skip


def with_buffer(text: str) -> FlowMod:
    fm = flow(text)
    fm.buffer_id = 5
    return fm


BUFFERS: list[Step] = [
    with_buffer("table=0,priority=9,tcp,actions=output:1"), f.FlowStatsRequest(),
    with_buffer("delete table=0,tcp"), f.FlowStatsRequest(),
    pk.PacketOut(b"", (Output(1),), in_port(0xFFFF), 5),
    pk.PacketOut(b"\0" * 60, (Output(1),), in_port(0xFFFF)),
    pk.PacketOut(b"\0" * 60, (Output(1),), in_port(77)),
    pk.PacketOut(b"\0" * 10, (Output(1),), in_port(0xFFFF)), pk.PacketOut(b"", (Output(1),), in_port(0xFFFF)),
    pk.PacketOut(b"\0" * 60, (Output(77),), in_port(1)),
    pk.PacketOut(b"\0" * 60, (Output(0xFFFF),), in_port(1)),
    pk.PacketOut(b"\0" * 60, (), in_port(1)), pk.PacketOut(b"\0" * 60, parse_actions("group:5"), in_port(1)),
    pk.PacketOut(b"\0" * 60, parse_actions("dec_ttl,output:1"), in_port(1)),
    pk.PacketOut(b"\0" * 60, parse_actions("output:1"), in_port(1, "reg0=5,metadata=7")),
    pk.PacketOut(b"\0" * 60, parse_actions("output:1"), in_port(1, "tcp")),
    pk.Resume(pk.PacketIn(b"\0" * 60, 60, 0, in_port(1))),
]  # fmt: skip


def port_mod(number: int, config: int, mask: int, advertise: int = 0) -> Step:
    return lambda end: p.PortMod(number, end.mac(number), config, mask, advertise)


PORTS: list[Step] = [
    p.PortMod(1), p.PortMod(77), p.PortMod(1, 5), p.PortMod(0xFFFE), port_mod(1, 0, 0),
    port_mod(1, 1, 1), p.PortDescRequest(), port_mod(1, 0x7F, 0x7F), p.PortDescRequest(),
    port_mod(1, 0, 0x7F), p.PortDescRequest(), port_mod(1, 0, 0, 1), p.PortDescRequest(),
    port_mod(0xFFFE, 0x10, 0x10), p.PortDescRequest(), port_mod(0xFFFE, 0, 0x10),
]  # fmt: skip

TABLES: list[Step] = [
    *(t.TableMod(t.TableConfig(table, config)) for table in (0, 255, 254) for config in (1, 2, 3, 0)),
    t.TableMod(t.TableConfig(0, 1)), t.TableStatsRequest(), t.TableMod(t.TableConfig(0, 2)),
    t.TableStatsRequest(), t.TableMod(t.TableConfig(255, 0)), t.TableStatsRequest(),
    t.TableMod(t.TableConfig(0, 4)), t.TableDescRequest(), t.TableFeaturesRequest(),
    t.TableMod(t.TableConfig(1, 8, None, t.Vacancy(10, 20))), t.TableDescRequest(),
    t.TableMod(t.TableConfig(1, 8, None, t.Vacancy(30, 20))), t.TableDescRequest(),
    t.TableMod(t.TableConfig(2, 12)),
    t.TableDescRequest(), t.TableMod(t.TableConfig(255, 0)), t.TableDescRequest(),
    lambda end: t.TableFeaturesRequest((features(Table(0), 253, end.version),)),
]  # fmt: skip

NICIRA: list[Step] = [
    n.SetControllerId(5), n.SetPacketInFormat(1), n.SetPacketInFormat(2), n.SetPacketInFormat(0),
    n.SetFlowFormat(2), n.SetFlowFormat(0), n.FlowModTableId(True), n.FlowModTableId(False),
    n.TlvTableMod(n.NXTTMC_ADD, (n.TlvMap(0xFFFF, 1, 4, 0), n.TlvMap(0xFFFF, 2, 8, 7))), n.TlvTableRequest(),
    n.TlvTableMod(n.NXTTMC_ADD, (n.TlvMap(0xFFFF, 3, 4, 7),)),
    n.TlvTableMod(n.NXTTMC_ADD, (n.TlvMap(0xFFFF, 2, 4, 8),)),
    n.TlvTableMod(n.NXTTMC_ADD, (n.TlvMap(0xFFFF, 9, 4, 64),)),
    n.TlvTableMod(n.NXTTMC_ADD, (n.TlvMap(1, 9, 124, 9), n.TlvMap(1, 10, 124, 10), n.TlvMap(1, 11, 4, 11))),
    n.TlvTableRequest(), n.TlvTableMod(n.NXTTMC_DELETE, (n.TlvMap(0xFFFF, 1, 4, 0),)), n.TlvTableRequest(),
    n.TlvTableMod(n.NXTTMC_DELETE, (n.TlvMap(0xFFFF, 1, 4, 33),)),
    n.TlvTableMod(n.NXTTMC_DELETE, (n.TlvMap(0xFFFF, 1, 4, 64),)),
    n.TlvTableMod(n.NXTTMC_CLEAR), n.TlvTableRequest(),
]  # fmt: skip

GROUPS: list[Step] = [
    g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 1, (g.Bucket(parse_actions("output:1"), bucket_id=0),)),
    g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 1), g.GroupMod(g.OFPGC_MODIFY, g.OFPGT_ALL, 9),
    flow("table=0,priority=1,actions=group:1"), flow("table=0,priority=2,actions=group:2"),
    g.GroupDescRequest(), g.GroupStatsRequest(1), f.FlowStatsRequest(out_group=1),
    flow("delete table=0,out_group=1"), f.FlowStatsRequest(), flow("table=0,priority=1,actions=group:1"),
    g.GroupMod(g.OFPGC_DELETE, 0, 1), f.FlowStatsRequest(), g.GroupDescRequest(),
    m.MeterMod(m.OFPMC_ADD, m.MeterConfig(1, m.OFPMF_KBPS, (m.MeterBand(m.OFPMBT_DROP, 100, 100),))),
    flow("table=0,priority=1,actions=drop", "meter:1,output:1"), f.FlowStatsRequest(), m.MeterConfigRequest(),
    m.MeterStatsRequest(1), m.MeterMod(m.OFPMC_DELETE, m.MeterConfig(1)), f.FlowStatsRequest(),
]  # fmt: skip

MONITORS: list[Step] = [
    flow("table=0,priority=5,tcp,actions=output:1"), flow("table=1,priority=5,udp,actions=output:2"),
    f.FlowMonitorRequest((f.FlowMonitor(1, flags=0x1F),)),
    f.FlowMonitorRequest((f.FlowMonitor(1, flags=0x1F),)),
    flow("table=0,priority=6,tcp,actions=output:3"), flow("delete table=1"),
    f.FlowMonitorRequest((f.FlowMonitor(2, flags=0x5F, table_id=1),)),
    flow("table=1,priority=6,tcp,actions=output:3"), flow("table=1,priority=6,tcp,actions=output:2"),
    flow("modify table=1,tcp,actions=output:1"), flow("modify table=1,tcp,actions=output:1"),
    flow("modify table=0,tcp,actions=output:1"), flow("delete table=1,tcp"),
    f.FlowMonitorRequest((f.FlowMonitor(3, flags=0x1F, table_id=77),)),
    f.FlowMonitorRequest((f.FlowMonitor(4, flags=0x01, out_port=1), f.FlowMonitor(2, flags=1))),
    f.FlowMonitorRequest((f.FlowMonitor(4, flags=0x01, out_port=1), f.FlowMonitor(5, flags=0x11))),
    f.FlowMonitorCancel(2), f.FlowMonitorCancel(2), f.FlowMonitorCancel(77),
    f.FlowMonitorRequest((f.FlowMonitor(5, command=f.OFPFMC_DELETE),)),
    f.FlowMonitorRequest((f.FlowMonitor(5, command=f.OFPFMC_DELETE),)),
    f.FlowMonitorRequest((f.FlowMonitor(4, command=f.OFPFMC_MODIFY, flags=0x5F, table_id=2),)),
    f.FlowMonitorRequest((f.FlowMonitor(77, command=f.OFPFMC_MODIFY, flags=0x1F, table_id=2),)),
    flow("table=2,priority=6,tcp,actions=output:2"),
    f.FlowMonitorRequest((f.FlowMonitor(9, flags=0),)), f.FlowMonitorRequest((f.FlowMonitor(9, flags=0x80),)),
]  # fmt: skip


def bundled(bundle_id: int, request: Request, flags: int = 0) -> Step:
    return lambda end: b.BundleAdd(bundle_id, encode(request, end.version, 7), flags)


BUNDLES: list[Step] = [
    *(b.BundleControl(1, kind) for kind in range(8)),
    b.BundleControl(1, b.OFPBCT_OPEN_REQUEST, 1), b.BundleControl(1, b.OFPBCT_OPEN_REQUEST, 1),
    b.BundleControl(1, b.OFPBCT_OPEN_REQUEST, 1), bundled(1, flow("table=0,priority=1,actions=drop"), 3),
    b.BundleControl(1, b.OFPBCT_COMMIT_REQUEST, 1),
    b.BundleControl(2, b.OFPBCT_OPEN_REQUEST, 3), bundled(2, flow("table=0,priority=1,tcp,actions=drop"), 3),
    bundled(2, flow("table=0,priority=2,udp,actions=output:1"), 3), f.FlowStatsRequest(),
    b.BundleControl(2, b.OFPBCT_CLOSE_REQUEST, 3), bundled(2, flow("table=0,priority=1,actions=drop"), 3),
    b.BundleControl(2, b.OFPBCT_OPEN_REQUEST, 3), bundled(2, flow("table=0,priority=1,tcp,actions=drop"), 3),
    b.BundleControl(2, b.OFPBCT_CLOSE_REQUEST, 3), b.BundleControl(2, b.OFPBCT_CLOSE_REQUEST, 3),
    b.BundleControl(2, b.OFPBCT_OPEN_REQUEST, 3), bundled(2, flow("table=0,priority=1,tcp,actions=drop"), 3),
    bundled(2, flow("delete table=0,udp"), 3), b.BundleControl(2, b.OFPBCT_COMMIT_REQUEST, 3),
    f.FlowStatsRequest(), b.BundleControl(2, b.OFPBCT_COMMIT_REQUEST, 3),
    b.BundleControl(3, b.OFPBCT_OPEN_REQUEST), bundled(3, flow("table=0,priority=7,actions=output:1")),
    bundled(3, flow("modify table=0,tcp,actions=output:3")), bundled(3, flow("delete table=0,tcp")),
    bundled(3, flow("table=0,priority=9,actions=group:5")),
    bundled(3, flow("table=0,priority=10,actions=drop")),
    b.BundleControl(3, b.OFPBCT_COMMIT_REQUEST), f.FlowStatsRequest(),
    b.BundleControl(4, b.OFPBCT_OPEN_REQUEST), b.BundleControl(4, b.OFPBCT_DISCARD_REQUEST, 1),
    b.BundleControl(4, b.OFPBCT_OPEN_REQUEST), b.BundleControl(4, b.OFPBCT_DISCARD_REQUEST),
    b.BundleControl(4, b.OFPBCT_DISCARD_REQUEST), b.BundleControl(4, b.OFPBCT_CLOSE_REQUEST),
    bundled(5, flow("table=3,priority=1,actions=drop")), b.BundleControl(5, b.OFPBCT_COMMIT_REQUEST),
    f.FlowStatsRequest(),
    b.BundleControl(6, b.OFPBCT_OPEN_REQUEST), bundled(6, s.EchoRequest()), bundled(6, s.BarrierRequest()),
    bundled(6, flow("table=3,ip,actions=drop", "goto_table:2")),
    bundled(6, flow("table=4,ip,actions=drop", "goto_table:5")),
    bundled(6, g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 5, (g.Bucket(parse_actions("output:1"), bucket_id=0),))),
    bundled(6, flow("table=4,arp,actions=group:5")), b.BundleControl(6, b.OFPBCT_COMMIT_REQUEST),
    f.FlowStatsRequest(), g.GroupDescRequest(),
    b.BundleControl(7, b.OFPBCT_OPEN_REQUEST), bundled(7, g.GroupMod(g.OFPGC_DELETE, 0, 5)),
    bundled(7, flow("table=9,priority=1,actions=drop")),
    b.BundleControl(7, b.OFPBCT_COMMIT_REQUEST), f.FlowStatsRequest(), g.GroupDescRequest(),
    b.BundleControl(8, b.OFPBCT_OPEN_REQUEST),
    bundled(8, pk.PacketOut(b"\0" * 60, (Output(1),), in_port(0xFFFF))),
    bundled(8, pk.PacketOut(b"\0" * 60, parse_actions("group:77"), in_port(0xFFFF))),
    b.BundleControl(8, b.OFPBCT_COMMIT_REQUEST),
]  # fmt: skip

TOPICS: dict[str, list[Step]] = {
    "describing": DESCRIBING, "roles": ROLES, "async": ASYNC, "flows": FLOWS, "buffers": BUFFERS,
    "ports": PORTS, "tables": TABLES, "nicira": NICIRA, "groups": GROUPS, "monitors": MONITORS,
    "bundles": BUNDLES,
}  # fmt: skip
FIRST = {"async": OFP10, "bundles": OFP13, "groups": OFP11, "tables": OFP11}


CASES = [(topic, version) for topic in TOPICS for version in VERSIONS if version >= FIRST.get(topic, OFP10)]


@pytest.mark.parametrize(("topic", "version"), CASES)
def test_replies_are_those_of_the_real_switch(
    real: RealSwitch, ours: Switch, topic: str, version: int
) -> None:
    assert compare(real, ours, version, TOPICS[topic]) > len(TOPICS[topic]) // 4
