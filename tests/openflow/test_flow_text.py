"""Flows as text: `parse_flow` and what dump-flows prints."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.action_text import format_actions
from vswitch.openflow.constants import OFPFF_CHECK_OVERLAP, OFPFF_SEND_FLOW_REM, OFPP_ANY
from vswitch.openflow.flow_mod import COOKIE_NONE, FlowModCommand
from vswitch.openflow.flow_text import format_duration, format_flow, parse_flow, parse_flow_file


def test_a_flow_has_all_that_its_text_says() -> None:
    fm = parse_flow(
        "table=3, priority=7,cookie=0x12 idle_timeout=5,hard_timeout=10,importance=3,send_flow_rem,"
        "check_overlap,tcp,tp_dst=80,actions=load:1->reg0[3],output:4"
    )
    assert (fm.table_id, fm.priority, fm.new_cookie) == (3, 7, 0x12)
    assert (fm.idle_timeout, fm.hard_timeout, fm.importance) == (5, 10, 3)
    assert fm.flags == OFPFF_SEND_FLOW_REM | OFPFF_CHECK_OVERLAP
    assert str(fm.match) == "tcp,tp_dst=80"
    assert format_actions(fm.actions) == "load:0x1->NXM_NX_REG0[3],output:4"
    assert fm.out_port == OFPP_ANY


def test_a_flow_to_delete_needs_no_actions_and_selects_by_cookie_and_port() -> None:
    fm = parse_flow("cookie=0x10/0xf0,out_port=3,ip", FlowModCommand.DELETE)
    assert (fm.cookie, fm.cookie_mask, fm.out_port, fm.table_id) == (0x10, 0xF0, 3, 255)
    assert parse_flow("cookie=1/-1", FlowModCommand.DELETE).cookie_mask == 0xFFFFFFFFFFFFFFFF


def test_a_modification_by_cookie_leaves_cookies_alone() -> None:
    assert parse_flow("cookie=1/-1,actions=drop", FlowModCommand.MODIFY).new_cookie == COOKIE_NONE
    fm = parse_flow("cookie=1/-1,cookie=5,actions=drop", FlowModCommand.MODIFY)
    assert (fm.cookie, fm.new_cookie, fm.modify_cookie) == (1, 5, True)


def test_a_dumped_flow_can_be_read_again() -> None:
    text = " cookie=0x0, duration=3.5s, table=2, n_packets=1, n_bytes=14, priority=3,ip actions=drop"
    fm = parse_flow(text)
    assert (fm.table_id, fm.priority, str(fm.match), fm.actions) == (2, 3, "ip", ())


BAD = [
    ("tcp,tp_dst=80", "must specify an action", ""),
    ("bogus=1,actions=drop", "unknown keyword bogus", "bogus"),
    ("priority=foo,actions=drop", 'invalid priority "foo"', "foo"),
    ("priority=65536,actions=drop", 'invalid priority "65536"', "65536"),
    ("table=256,actions=drop", 'unknown table "256"', "256"),
    ("idle_timeout=x,actions=drop", 'invalid idle_timeout "x"', "x"),
    ("cookie=zz,actions=drop", "invalid numeric format zz", "zz"),
    ("ip,nw_src=1.2.3.x,actions=drop", "1.2.3.x: invalid IP address", "1.2.3.x"),
    ("ip,actions=outptu:1", "unknown action outptu", "outptu"),
    ("ip,actions=output:1,set_field:1->foo", "foo is not a valid OXM field name", "foo"),
    ("cookie=1/2,actions=drop", "flow additions cannot use a cookie mask", "1/2"),
]


@pytest.mark.parametrize(("text", "message", "word"), BAD)
def test_a_bad_flow_gets_an_error_that_points_at_the_word(text: str, message: str, word: str) -> None:
    with pytest.raises(FlowSyntaxError) as caught:
        parse_flow(text)
    error = caught.value
    assert error.message == message
    assert error.text == text
    assert text[error.position :].startswith(word)


@pytest.mark.parametrize(("text", "message", "word"), BAD)
def test_the_real_ovs_ofctl_says_the_same(require: Callable[[str], None], text: str, message: str,
                                          word: str) -> None:
    require("command:ovs-ofctl")
    ran = subprocess.run(["ovs-ofctl", "parse-flow", text], capture_output=True, text=True, check=False)
    assert f"ovs-ofctl: {message}" in ran.stderr.splitlines()


def test_a_file_of_flows_has_comments_and_commands() -> None:
    mods = parse_flow_file("""
        # the uplink
        in_port=1,actions=output:2   # back and forth
        delete ip
        modify_strict priority=5,arp,actions=NORMAL
    """)
    assert [m.command.name for m in mods] == ["ADD", "DELETE", "MODIFY_STRICT"]
    with pytest.raises(FlowSyntaxError, match="line 2: unknown action foo"):
        parse_flow_file("actions=drop\nactions=foo\n")


def test_a_flow_prints_as_dump_flows_prints_it() -> None:
    fm = parse_flow("priority=3,ip,actions=drop")
    assert format_flow(fm.match, fm.actions, 3, table_id=2, cookie=0x12, idle_timeout=5, hard_timeout=10,
                       flags=OFPFF_SEND_FLOW_REM, importance=3, duration_ms=1500, idle_age=0) == (
        " cookie=0x12, duration=1.5s, table=2, n_packets=0, n_bytes=0, idle_timeout=5, hard_timeout=10, "
        "send_flow_rem importance=3, idle_age=0, priority=3,ip actions=drop"
    )
    fm = parse_flow("actions=NORMAL")
    assert format_flow(fm.match, fm.actions, 0, stats=False) == " priority=0 actions=NORMAL"
    assert format_flow(fm.match, fm.actions, stats=False) == " actions=NORMAL"
    assert format_duration(3012) == "3.012s"
