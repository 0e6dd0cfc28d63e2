"""Actions as text: `actions.txt` are good ones and how they print, `bad_actions.txt` the others."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vswitch.flow.fields import by_name
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow import actions as a
from vswitch.openflow.action_query import flattened, outputs_to_port
from vswitch.openflow.action_text import format_actions, parse_actions
from vswitch.openflow.constants import OFPP_CONTROLLER

HERE = Path(__file__).parent


def lines(name: str) -> list[str]:
    return [x for x in (HERE / name).read_text().splitlines() if x and not x.startswith("#")]


GOOD = [tuple(line.split(" => ")) if " => " in line else (line, line) for line in lines("actions.txt")]
BAD = [tuple(line.split(" | ")) for line in lines("bad_actions.txt")]


@pytest.mark.parametrize(("text", "printed"), GOOD)
def test_actions_print_as_in_ovs_ofctl(text: str, printed: str) -> None:
    actions = parse_actions(text)
    assert format_actions(actions) == printed
    assert format_actions(parse_actions(printed)) == printed
    hash(actions)


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_bad_action_is_explained_as_by_ovs_ofctl(text: str, message: str) -> None:
    with pytest.raises(FlowSyntaxError) as caught:
        parse_actions(text)
    assert caught.value.message == message
    assert 0 <= caught.value.position <= len(text)


def test_the_error_points_at_the_bad_word() -> None:
    with pytest.raises(FlowSyntaxError) as caught:
        parse_actions("output:1,clone(output:2,resubmit(,foo)),NORMAL")
    assert caught.value.pointed().splitlines() == [
        "foo: resubmit to unknown table",
        "  output:1,clone(output:2,resubmit(,foo)),NORMAL",
        "                                    ^^^",
    ]
    with pytest.raises(FlowSyntaxError) as caught:
        parse_actions("ct(commit,exec(set_field:1->ct_mark,load:9->ct_mark[0]))")
    assert caught.value.position == len("ct(commit,exec(set_field:1->ct_mark,load:")


def test_ports_go_by_name() -> None:
    ports = {"uplink": 7, "eth-1": 8}
    actions = parse_actions('uplink,output:"eth-1",enqueue:uplink:3', ports)
    assert format_actions(actions) == "output:7,output:8,enqueue:7:3"
    assert format_actions(actions, {7: "uplink"}) == "output:uplink,output:8,enqueue:uplink:3"


def test_a_subfield_is_bits_of_a_field() -> None:
    (action,) = parse_actions("load:5->reg1[4..7]")
    assert action == a.SetField(by_name("reg1"), 0x50, 0xF0, load=True)


def test_deep_nesting_is_refused_not_followed() -> None:
    text = "clone(" * 5000 + "drop"
    with pytest.raises(FlowSyntaxError, match="nested too deeply"):
        parse_actions(text)


def test_where_actions_output() -> None:
    actions = parse_actions("clone(output:3),CONTROLLER:10,write_actions(output:4)")
    assert outputs_to_port(actions, 3)
    assert outputs_to_port(actions, 4)
    assert outputs_to_port(actions, OFPP_CONTROLLER)
    assert not outputs_to_port(actions, 5)
    assert len(list(flattened(actions))) == 5


def test_every_action_is_frozen() -> None:
    for name in a.__dict__:
        cls = getattr(a, name)
        if dataclasses.is_dataclass(cls):
            assert cls.__dataclass_params__.frozen, name  # type: ignore[union-attr]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([*(t for t, _ in GOOD), *(t for t, _ in BAD), "(", ")", "[", "->", ":"]),
                max_size=6), st.data())
def test_no_text_crashes_the_parser(parts: list[str], data: st.DataObject) -> None:
    text = ",".join(parts)
    for _ in range(3):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(st.text("()[]:=,>-0x9a \t\n\x00é", max_size=2)) + text[at + 1 :]
    try:
        actions = parse_actions(text)
    except FlowSyntaxError:
        return
    printed = format_actions(actions)
    assert format_actions(parse_actions(printed)) == printed


WIRE_CHANGES = (
    "mod_nw_ttl", "mod_nw_ecn", "set_vlan", "pop_vlan", "goto_table", "write_", "clear_", "meter", "encap",
    "decap", "set_field", "push_vlan", "exec(", "resubmit(3,4,ct)", "nat(", "dec_mpls", "set_mpls", "fe80",
    "check_pkt_larger(", "controller(reason=no_match",
)  # fmt: skip
"""What OpenFlow 1.0 writes in another way than it was read."""


SAME_ON_THE_WIRE = [g for g in GOOD if not any(word in g[0] for word in WIRE_CHANGES)]


@pytest.mark.parametrize(("text", "printed"), SAME_ON_THE_WIRE)
def test_the_real_ovs_ofctl_prints_the_same(require: Callable[[str], None], text: str, printed: str) -> None:
    require("command:ovs-ofctl")
    ran = subprocess.run(["ovs-ofctl", "parse-flow", f"tcp,actions={text}"], capture_output=True, text=True,
                         check=False)
    assert ran.stdout.strip().rpartition("actions=")[2] == printed, ran.stderr


@pytest.mark.parametrize(("text", "message"), BAD)
def test_the_real_ovs_ofctl_says_the_same(require: Callable[[str], None], text: str, message: str) -> None:
    require("command:ovs-ofctl")
    ran = subprocess.run(["ovs-ofctl", "-O", "OpenFlow15", "parse-flow", f"ip,actions={text}"],
                         capture_output=True, text=True, check=False)
    assert f"ovs-ofctl: {message}" in ran.stderr.splitlines()
