"""Continuations: the real ovs-ofctl prints ours, and we read the real switch's."""

from __future__ import annotations

import subprocess
import uuid

import pytest

from tests.oracle.real import RealSwitch
from tests.xlate.test_pause import as_message
from vswitch import Switch
from vswitch.flow.match_text import parse_match
from vswitch.ofproto_dpif.upcall import continuation
from vswitch.ofproto_dpif.xlate.freeze import Unroll
from vswitch.ofproto_dpif.xlate.recirc import FrozenState
from vswitch.openflow.action_text import format_actions, parse_actions
from vswitch.openflow.messages.packet import PacketIn
from vswitch.openflow.print import format_bytes
from vswitch.openflow.wire.codec import encode
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP15

RECORDED = """
    00000000 80000014 2b73fddff449c71adb60578d8f63ed12 00000000 80010008 00000005
    80060018 00000000 00190010 00010204 00000007 00000000 8004000501000000
    80050010 00000000 0000000000000099
    80060028 00000000 00000010 00000001 0000000000000000 ffff0010 00002320 000efff8 02000000
    8004000500000000 80050010 00000000 0000000000000000
    80060018 00000000 00000010 00000002 0000000000000000 80080008 00000001
"""
"""What Open vSwitch 3.1 sent for push:reg0,resubmit(,1),output:2 where table 1, of cookie 0x99, has
controller(pause),load:7->reg1,output:1,resubmit(,2) and reg0 is 5."""


def test_the_real_tool_prints_a_continuation(real: RealSwitch) -> None:
    with Switch("br0", ("p1", "p2", "p3")) as sw:
        sw.add_flows("""
            table=0,in_port=p1,actions=load:5->reg0,push:reg0,resubmit(,1),output:p3
            table=1,cookie=0x99,actions=controller(pause,userdata=01.02.03),load:7->reg1,output:p2,resubmit(,2)
        """)
        sw.send("p1", "udp,nw_src=1.2.3.4,nw_dst=5.6.7.8,udp_src=1,udp_dst=2")
        (sent,) = sw.packet_ins()
        data = encode(as_message(sent), OFP15, 0, Form.EXTENSION2)
    text = real.run("ovs-ofctl", "ofp-print", data.hex(), "3")
    shown = [line for line in text.splitlines() if line.startswith((" userdata", " continuation"))]
    # The tool names a table and cookie before the first actions, too: 0 where the message has none yet.
    assert shown == [
        " userdata=01.02.03",
        f" continuation.bridge={continuation.bridge_uuid('br0')}",
        " continuation.stack=(top) 0x5 (bottom)",
        " continuation.actions=unroll_xlate(table=0, cookie=0),set_field:0x7->reg1,"
        "unroll_xlate(table=1, cookie=153),output:2,resubmit(,2),unroll_xlate(table=0, cookie=0),output:3",
        " continuation.odp_port=2",
    ]


@pytest.mark.parametrize(
    "end", ["", "8077000861626364", "8008000761626364", "8006001000000000ffff000800000000"]
)
def test_our_tool_prints_continuations_as_the_real_one(end: str) -> None:
    actions = parse_actions("output:1,load:5->reg0,resubmit(,3)")
    state = FrozenState("br0", 0, b"", stack=((5, 32), (7, 64), (0, 8)), mirrors=5, conntracked=True,
                        actions=(*actions, Unroll(4, 5), *actions), action_set=parse_actions("group:5"))  # type: ignore[arg-type]
    data = continuation.encode(state, 7)
    if end:
        data = data[:-8] + bytes.fromhex(end)
    packet_in = PacketIn(bytes(14), 14, 1, parse_match("in_port=1"), cookie=0, continuation=data)
    message = encode(packet_in, OFP15, 0, Form.EXTENSION2)
    command = ["ovs-ofctl", "ofp-print", message.hex(), "1"]
    real = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert format_bytes(message, 2) == real


def test_a_continuation_of_the_real_switch_is_read() -> None:
    bridge = uuid.UUID("dffd732b-1ac7-49f4-8d57-60db12ed638f")
    state = continuation.decode(bytes.fromhex(RECORDED), {bridge: "br0"})
    assert state.bridge == "br0"
    assert state.stack == ((5, 32),)
    actions: tuple[object, ...] = state.actions
    shown = [str(a) if isinstance(a, Unroll) else format_actions((a,)) for a in actions]  # type: ignore[arg-type]
    assert shown == [
        "set_field:0x7->reg1", "unroll_xlate(table=1, cookie=153)", "output:1", "resubmit(,2)",
        "unroll_xlate(table=0, cookie=0)", "output:2",
    ]  # fmt: skip
