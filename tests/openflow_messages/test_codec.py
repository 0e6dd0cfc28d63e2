"""Every message class, in every version that has it: decode(encode(x)) == x, and ovs-ofctl can read it."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.openflow_messages.test_print import MADE
from tests.openflow_messages.test_real_messages import REAL, mutated
from vswitch.flow.match_text import parse_match
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.flow_text import parse_flow
from vswitch.openflow.messages import bundle as b
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages import group as g
from vswitch.openflow.messages import meter as m
from vswitch.openflow.messages import nicira as n
from vswitch.openflow.messages import packet as p
from vswitch.openflow.messages import port as po
from vswitch.openflow.messages import queue as q
from vswitch.openflow.messages import session as s
from vswitch.openflow.messages import table as t
from vswitch.openflow.messages.switch import DescReply, DescRequest
from vswitch.openflow.print import format_bytes
from vswitch.openflow.wire.codec import ROWS, decode, encodable, encode
from vswitch.openflow.wire.framing import Framing
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP13, OFP14, OFP15, VERSIONS, version_name

TCP = parse_match("tcp,tp_dst=80")
IN_1 = parse_match("in_port=1")
IN_LOCAL = parse_match("in_port=LOCAL")
ACTIONS = parse_flow("actions=output:2").actions
FRAME = bytes.fromhex("ffffffffffff0a00000000010800") + bytes(46)
PORT = po.Port(3, 0x0A0000000001, "eth0", 1, 1, 0x20, 0x3F, 0x3F)
FLOW = f.FlowStats(TCP, ACTIONS, 7, 2, 9, 3, 500, 60, 300, packet_count=1, byte_count=60)
BUCKET = g.Bucket(ACTIONS, bucket_id=0)
LOSSY = (po.PortStatus,)
INNER = encode(parse_flow("tcp,actions=2"), OFP14, 5)

EXAMPLES: list[tuple[Any, int, int]] = [
    *((body, v, v) for body, v in MADE if not (isinstance(body, LOSSY) and v == OFP10)),
    *((cls(), OFP10, OFP15) for cls in (
        s.FeaturesRequest, s.GetConfigRequest, s.BarrierRequest, s.BarrierReply, s.GetAsyncRequest,
        DescRequest,
        po.PortDescRequest, t.TableStatsRequest, t.TableFeaturesRequest, t.TableDescRequest,
        g.GroupDescRequest,
        g.GroupFeaturesRequest, m.MeterFeaturesRequest, n.TlvTableRequest, n.IpfixBridgeStatsRequest,
        n.IpfixFlowStatsRequest, f.FlowMonitorPaused, f.FlowMonitorResumed,
    )),
    (s.EchoRequest(b"abc"), OFP10, OFP15),
    (s.EchoReply(b""), OFP10, OFP15),
    (s.Error("OFPBRC_BAD_LEN", b"\1\2\3"), OFP10, OFP15),
    (s.Error("", b"\1\2\3", (0, 77, 5)), OFP10, OFP15),
    (s.Error("", b"\1\2\3", (0xABCDEF, 77, 0)), OFP10, OFP15),
    (s.FeaturesReply(0xABCD, 256, 254, 0, s.OFPC_FLOW_STATS | s.OFPC_STP, 0xFFF, (PORT,)), OFP10, OFP10),
    (s.FeaturesReply(0xABCD, 256, 254, 0, s.OFPC_GROUP_STATS, 0, (PORT,)), OFP11, OFP12),
    (s.FeaturesReply(0xABCD, 256, 254, 3, s.OFPC_GROUP_STATS), OFP13, OFP15),
    (s.GetConfigReply(1, 65535), OFP10, OFP15),
    (s.GetAsyncReply(((1, 1), (0, 2), (3, 3), (2, 4), (5, 5), (4, 6))), OFP13, OFP15),
    (DescReply("Nicira", "hw", "sw", "12", "a switch"), OFP10, OFP15),
    (p.PacketIn(FRAME, 100, 1, IN_1), OFP10, OFP12),
    (p.PacketIn(FRAME, 60, 0, IN_LOCAL, 7, None, 5), OFP11, OFP15),
    (p.PacketIn(FRAME, 60, 0, parse_match("in_port=1,metadata=5,tun_id=3"), 7, 9), OFP13, OFP15),
    (p.PacketOut(FRAME, ACTIONS, IN_1), OFP10, OFP15),
    (p.PacketOut(b"", ACTIONS, IN_LOCAL, 5), OFP10, OFP15),
    (p.PacketOut(FRAME, ACTIONS, parse_match("in_port=1,metadata=5")), OFP15, OFP15),
    (p.Resume(p.PacketIn(FRAME, 60, 1, IN_1, 3, 4, None, b"u", bytes(4) + b"\0\1\0\4")), OFP10, OFP15),
    (f.FlowRemoved(TCP, 5, 9, 1, 255, 3, 4, 60, 0, 7, 8), OFP10, OFP10),
    (f.FlowRemoved(TCP, 5, 9, 1, 3, 3, 4, 60, 300, 7, 8), OFP11, OFP15),
    (f.FlowRemoved(parse_match("reg0=1"), 5, 9, 1, 3, 3, 4, 60, 0, 7, 8), OFP10, OFP11),
    (f.FlowStatsRequest(TCP, 3, 5), OFP10, OFP15),
    (f.FlowStatsRequest(TCP, 3, 5, 6, 1, 3), OFP11, OFP15),
    (f.FlowStatsRequest(parse_match("reg0=5"), 3, 5, cookie=1, cookie_mask=3), OFP10, OFP10),
    (f.AggregateStatsRequest(TCP), OFP10, OFP15),
    (f.FlowStatsReply((FLOW, FLOW), more=True), OFP10, OFP15),
    (f.FlowStatsReply((f.FlowStats(parse_match("reg0=1"), idle_age=4, hard_age=0),)), OFP10, OFP10),
    (f.AggregateStatsReply(1, 2, 3), OFP10, OFP15),
    (f.FlowMonitorRequest((f.FlowMonitor(5, TCP, 0x5F, 0, 3, 7),)), OFP10, OFP15),
    (f.FlowMonitorCancel(5), OFP10, OFP13),
    (f.FlowMonitorReply((
        f.FlowUpdate(f.OFPFME_ADDED, TCP, ACTIONS, 0, 5, 3, 9, 60, 300),
        f.FlowUpdate(f.OFPFME_REMOVED, TCP, (), 2, 5, 3, 9), f.FlowUpdate(f.OFPFME_ABBREV, xid=77),
    )), OFP10, OFP15),
    (f.FlowMonitorReply((f.FlowUpdate(f.OFPFME_INITIAL, TCP, ACTIONS), f.FlowUpdate(f.OFPFME_PAUSED),
                         f.FlowUpdate(f.OFPFME_RESUMED))), OFP14, OFP15),
    (po.PortDescReply((PORT,), more=True), OFP10, OFP15),
    (po.PortDescRequest(4), OFP15, OFP15),
    (po.PortStatsRequest(4), OFP10, OFP15),
    (po.PortStatsReply((po.PortStats(0xFFFE, *range(1, 13)),)), OFP10, OFP12),
    (po.PortStatsReply((po.PortStats(1, *range(1, 13), 5, 6),)), OFP13, OFP15),
    (po.PortStatsReply((po.PortStats(1, duration_sec=0, custom=(po.CustomStat("r", 5),)),)), OFP14, OFP15),
    (q.QueueGetConfigRequest(5), OFP10, OFP15),
    (q.QueueGetConfigRequest(5, 6), OFP14, OFP15),
    (q.QueueGetConfigReply(5, (q.QueueConfig(5, 6, 100, 200),)), OFP10, OFP13),
    (q.QueueGetConfigReply(0xFFFF, (q.QueueConfig(5, 6, 100), q.QueueConfig(6, 7))), OFP14, OFP15),
    (q.QueueStatsRequest(), OFP10, OFP15),
    (q.QueueStatsReply((q.QueueStats(5, 6, 7, 8, 9),)), OFP10, OFP12),
    (q.QueueStatsReply((q.QueueStats(5, 6, 7, 8, 9, 1, 2),)), OFP13, OFP15),
    (t.TableMod(t.TableConfig(3, 2)), OFP11, OFP15),
    (t.TableMod(t.TableConfig(3, 12, 7, t.Vacancy(10, 20))), OFP14, OFP15),
    (t.TableDescReply((t.TableConfig(3, 12, 7, t.Vacancy(10, 20, 15)), t.TableConfig(4))), OFP14, OFP15),
    (t.TableStatsReply((t.TableStats(3, 1, 2, 3, "x", 9, wildcards=5),)), OFP10, OFP12),
    (t.TableStatsReply((t.TableStats(3, 1, 2, 3),), more=True), OFP13, OFP15),
    (t.TableFeaturesReply((t.TableFeatures(3, "x", 1, 2, 3, 4, properties=(
        t.TableProperty(0, (1, 2)), t.TableProperty(2, (4, 5, 6)), t.TableProperty(4, (0, 22)),
        t.TableProperty(6, (0, 22)), t.TableProperty(8, (0x80000A02,)), t.TableProperty(10, ()),
        t.TableProperty(12, (0x80000A02,)), t.TableProperty(14, (0x80000A02,)))),)), OFP13, OFP15),
    (g.GroupMod(g.OFPGC_ADD, g.OFPGT_ALL, 5, (BUCKET, g.Bucket(bucket_id=1))), OFP10, OFP15),
    (g.GroupStatsRequest(5), OFP10, OFP15),
    (g.GroupStatsReply((g.GroupStats(5, 1, 2, 3, 4, 5, ((6, 7),)),)), OFP13, OFP15),
    (g.GroupStatsReply((g.GroupStats(5, 1, 2, 3, buckets=((6, 7),)),)), OFP11, OFP12),
    (g.GroupDescReply((g.GroupDesc(5, 2, (BUCKET,)),)), OFP10, OFP15),
    (g.GroupFeaturesReply(15, 7, (1, 2, 3, 4), (5, 6, 7, 8)), OFP10, OFP15),
    (m.MeterStatsRequest(5), OFP13, OFP15),
    (m.MeterStatsReply((m.MeterStats(1, 2, 3, 4, 5, 6, ((7, 8),)),)), OFP13, OFP15),
    (m.MeterConfigRequest(), OFP13, OFP15),
    (m.MeterConfigReply((m.MeterConfig(1, 1, (m.MeterBand(2, 5, 6, 1),)), m.MeterConfig(2)),), OFP13, OFP15),
    (m.MeterFeaturesReply(1, 6, 15, 8, 0), OFP13, OFP15),
    (b.BundleControl(5, 0, 3), OFP13, OFP15),
    (b.BundleAdd(5, INNER, 3), OFP14, OFP14),
    (n.SetFlowFormat(2), OFP10, OFP10),
    (n.FlowModTableId(True), OFP10, OFP15),
    (n.SetPacketInFormat(1), OFP10, OFP15),
    (n.TlvTableReply(256, 64, (n.TlvMap(1, 2, 4, 3),)), OFP10, OFP15),
    (n.CtFlushZone(5), OFP10, OFP15),
    (n.CtFlush(), OFP10, OFP15),
    (n.CtFlush(6, n.CtTuple(0xFFFF0A000001, None, 1, 2), n.CtTuple(dst=0xFFFF0A000002), 5), OFP10, OFP15),
    (n.CtFlush(58, n.CtTuple(0xFE80 << 112 | 1, icmp_id=9, icmp_type=8, icmp_code=1), n.CtTuple(icmp_id=0)),
     OFP10, OFP15),
    (n.IpfixBridgeStatsReply(n.IpfixStats(1, 2, 3)), OFP10, OFP15),
    (n.IpfixFlowStatsReply((n.IpfixStats(1, 2, 3), n.IpfixStats(4))), OFP10, OFP15),
]  # fmt: skip

READABLE = [example for example in EXAMPLES if not isinstance(example[0], (s.Error, p.Resume))]
"""Those that don't carry bytes which nobody is to understand."""


def _versions(example: tuple[Any, int, int]) -> list[int]:
    body, first, last = example
    return [version for version in VERSIONS if first <= version <= last and encodable(body, version)]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: type(example[0]).__name__)
def test_what_is_written_is_read_again(example: tuple[Any, int, int]) -> None:
    versions = _versions(example)
    assert versions
    for version in versions:
        found = decode(encode(example[0], version, 5))
        assert (found.version, found.xid) == (version, 5)
        assert found.body == example[0], version_name(version)


@pytest.fixture
def ofctl(require: Callable[[str], None]) -> None:
    require("command:ovs-ofctl")


@pytest.mark.usefixtures("ofctl")
@pytest.mark.system
@pytest.mark.parametrize("example", READABLE, ids=lambda example: type(example[0]).__name__)
def test_ovs_ofctl_reads_what_is_written_and_prints_it_as_we_do(example: tuple[Any, int, int]) -> None:
    for version in _versions(example):
        data = encode(example[0], version, 5)
        command = ["ovs-ofctl", "ofp-print", data.hex()]
        text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        assert "decode error" not in text, text
        assert format_bytes(data, 2) == text


def test_there_is_an_example_of_every_class() -> None:
    assert {row.cls for row in ROWS} - {type(body) for body, _, _ in EXAMPLES} == {FlowMod}


@pytest.mark.parametrize("version", VERSIONS, ids=version_name)
@pytest.mark.parametrize(
    "text",
    [
        "table=0,priority=5,in_port=1,tcp,tp_dst=80,actions=output:2",
        "table=0,ip,nw_src=10.0.0.0/8,idle_timeout=5,hard_timeout=6,send_flow_rem,actions=normal",
        "table=0,actions=drop",
        "table=0,dl_vlan=5,actions=strip_vlan,output:3",
        "table=0,reg0=5,ct_state=+trk,actions=resubmit(,4),load:5->NXM_NX_REG1[]",
        "table=0,ipv6,ipv6_src=2001:db8::/32,actions=controller",
    ],
)
def test_a_flow_mod_is_read_again(text: str, version: int) -> None:
    fm = parse_flow(text)
    found = decode(encode(fm, version, 5, flow_mod_table_id=True), flow_mod_table_id=True).body
    assert isinstance(found, FlowMod)
    assert (found.match, found.priority, found.table_id, found.idle_timeout, found.hard_timeout) == (
        fm.match, fm.priority, fm.table_id, fm.idle_timeout, fm.hard_timeout
    )  # fmt: skip
    again = decode(encode(found, version, 5, flow_mod_table_id=True), flow_mod_table_id=True).body
    assert again == found


@pytest.mark.parametrize("seed", range(3))
def test_what_is_read_can_be_written_and_read_again(seed: int) -> None:
    rng = random.Random(100 + seed)
    for _ in range(1500):
        data = mutated(rng, rng.choice(REAL))
        try:
            found = decode(data, flow_mod_table_id=True)
        except OfpError:
            continue
        if isinstance(found.body, FlowMod) and found.body.table_id == 0xFF:
            continue  # an addition to "all tables" is written as one to table 0
        for _ in range(2):  # the first time, actions of an old version may become the newer ones
            before = found
            data = encode(found.body, found.version, found.xid, found.form, flow_mod_table_id=True)
            found = decode(data, flow_mod_table_id=True)
        assert found == before


@given(st.integers(0, 7), st.integers(0, 40), st.binary(max_size=80))
@settings(max_examples=500, deadline=None)
def test_any_body_is_understood_or_refused(version: int, kind: int, body: bytes) -> None:
    data = bytes((version, kind)) + (8 + len(body)).to_bytes(2, "big") + bytes(4) + body
    try:
        decode(data)
    except OfpError as error:
        assert error.name.startswith(("OFP", "NX"))  # noqa: PT017


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("01fe000800000001", "OFPBRC_BAD_TYPE"),
        ("0105000900000001ff", "OFPBRC_BAD_LEN"),
        ("0105000900000001", "OFPBRC_BAD_LEN"),
        ("09050008 00000001", "OFPBRC_BAD_VERSION"),
        ("0104001000000001 0000abcd 00000001", "OFPBRC_BAD_VENDOR"),
        ("0104001000000001 00002320 000000ff", "OFPBRC_BAD_SUBTYPE"),
        ("0412001000000001 00ff000000000000", "OFPBRC_BAD_STAT"),
        ("0418002000000001 00000007 00000000 0000000000000000", "OFPRRFC_BAD_ROLE"),
    ],
)
def test_a_bad_message_gets_the_error_that_its_specification_names(data: str, name: str) -> None:
    raw = bytes.fromhex(data)
    if name == "OFPRRFC_BAD_ROLE":
        raw = raw[:2] + len(raw).to_bytes(2, "big") + raw[4:]
    with pytest.raises(OfpError) as refused:
        decode(raw)
    assert refused.value.name == name
    assert refused.value.data == raw[:64]


@given(st.integers(1, 100))
@settings(max_examples=50, deadline=None)
def test_a_stream_is_cut_into_its_messages_however_it_arrives(size: int) -> None:
    stream = b"".join(REAL[:40])
    framing = Framing()
    found = []
    for at in range(0, len(stream), size):
        found += framing.feed(stream[at : at + size])
    assert found == REAL[:40]
    assert framing.pending == 0


def test_a_length_below_the_header_ends_the_stream() -> None:
    framing = Framing()
    good = encode(s.BarrierRequest(), OFP13, 1)
    assert framing.feed(good + b"\4\0\0\7\0\0\0\0") == [good]
    with pytest.raises(OfpError, match="OFPBRC_BAD_LEN"):
        framing.feed(b"")
