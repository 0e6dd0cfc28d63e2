"""Messages as text: what `ovs-ofctl ofp-print` of Debian prints of the same bytes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.openflow_messages.test_real_messages import REAL
from vswitch.openflow.messages.bundle import RequestForward
from vswitch.openflow.messages.group import Bucket, GroupMod
from vswitch.openflow.messages.meter import MeterBand, MeterConfig, MeterMod
from vswitch.openflow.messages.nicira import FlowAge, SetControllerId, TlvTableMod
from vswitch.openflow.messages.port import RFC2819, Port, PortMod, PortStats, PortStatsReply, PortStatus
from vswitch.openflow.messages.queue import QueueConfig, QueueGetConfigReply, QueueStats, QueueStatsReply
from vswitch.openflow.messages.session import (
    Error,
    Hello,
    RoleReply,
    RoleRequest,
    RoleStatus,
    SetAsync,
    SetConfig,
)
from vswitch.openflow.messages.table import TableConfig, TableStatus, Vacancy
from vswitch.openflow.print import format_bytes
from vswitch.openflow.wire.codec import encode

require_ofctl = pytest.mark.usefixtures("ofctl")
ETH0 = Port(7, 0x112233445566, "eth0", 0x65, 5, 0x2840, 0xFFFF, 0x20, 0, 1000000, 10000000)
MADE = [
    (Hello(0x7E), 6),
    (Hello(), 4),
    (Error("OFPHFC_INCOMPATIBLE", b"no common version"), 1),
    (Error("OFPBRC_BAD_TYPE", bytes.fromhex("01fe000800000001")), 1),
    (RoleRequest(2, 5), 4),
    (RoleRequest(2), 1),
    (RoleRequest(0), 4),
    (RoleReply(3, 7), 4),
    (RoleReply(1), 3),
    (RoleStatus(3, 0, 7), 5),
    (SetAsync(((1, 1), (0, 0), (3, 7), (2, 7), (5, 15), (4, 0))), 4),
    (SetAsync(((0, 0x3F), (3, 7), (5, 15), (8, 8))), 5),
    (SetAsync(((1, 1), (0, 0), (3, 7), (2, 7), (5, 15), (4, 0))), 1),
    (SetConfig(6, 128), 3),
    (FlowAge(), 1),
    (SetControllerId(5), 1),
    (TlvTableMod(2, ()), 1),
    (PortStatus(0, ETH0), 4),
    (PortStatus(1, ETH0), 1),
    (PortMod(1, 5, 0x24, 0x65, 0x2800), 4),
    (TableStatus(3, TableConfig(3, 8, None, Vacancy(20, 80, 10))), 5),
    (QueueGetConfigReply(1, (QueueConfig(1, 5, 100), QueueConfig(1, 6, 500, 1000))), 4),
    (QueueStatsReply((QueueStats(1, 2, 3, 4, 5, 6, 700000000),), more=True), 4),
    (PortStatsReply((PortStats(1, *range(1, 13), 13, 14, RFC2819(tuple(range(21)))),)), 5),
    (GroupMod(3, 0, 5, (), 0xFFFFFFFE), 6),
    (GroupMod(2, 0, 0xFFFFFFFC), 4),
    (GroupMod(0x8000, 1, 7, (Bucket((), 0, bucket_id=0),)), 4),
    (MeterMod(2, MeterConfig(0xFFFFFFFF)), 4),
    (MeterMod(0, MeterConfig(3, 5, (MeterBand(1, 10, 20),))), 6),
    (RequestForward(encode(MeterMod(2, MeterConfig(5)), 5, 9)), 5),
]


@pytest.fixture
def ofctl(require: Callable[[str], None]) -> None:
    require("command:ovs-ofctl")


def ofp_print(data: bytes) -> str:
    command = ["ovs-ofctl", "ofp-print", data.hex()]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@require_ofctl
@pytest.mark.system
def test_real_messages_print_as_ovs_ofctl_prints_them() -> None:
    with ThreadPoolExecutor(2) as pool:
        for data, text in zip(REAL, pool.map(ofp_print, REAL), strict=True):
            assert format_bytes(data) == text


@require_ofctl
@pytest.mark.system
@pytest.mark.parametrize(("body", "version"), MADE, ids=lambda value: type(value).__name__)
def test_messages_of_our_own_print_as_ovs_ofctl_prints_them(body: object, version: int) -> None:
    data = encode(body, version, 2)
    assert format_bytes(data) == ofp_print(data)


def test_a_flow_list_reads_as_dump_flows_prints_it() -> None:
    lists = [format_bytes(data) for data in REAL if data[:2] == b"\x04\x13" and data[8:10] == b"\0\x01"]
    assert any(
        ", table=0, n_packets=0, n_bytes=0, priority=100,tcp,in_port=1,tp_dst=80 actions=output:2\n" in text
        for text in lists
    )


def test_what_is_no_message_is_dumped() -> None:
    assert format_bytes(bytes.fromhex("01fe000800000001")) == (
        "***decode error: OFPBRC_BAD_TYPE***\n"
        "00000000  01 fe 00 08 00 00 00 01-                        |........        |\n"
    )
