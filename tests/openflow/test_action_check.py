"""Actions that don't fit their match are refused, as by the real ovs-ofctl."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from vswitch.flow.match_text import parse_match
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.openflow.action_check import check_actions
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_text import parse_flow

M = "OFPBAC_MATCH_INCONSISTENT"
CASES = [
    ("tcp", "set_field:80->tcp_dst", ""),
    ("udp", "set_field:80->tcp_dst", M),
    ("ip", "set_field:1.2.3.4->ip_src", ""),
    ("arp", "set_field:1.2.3.4->ip_src", M),
    ("", "move:NXM_OF_IP_SRC[]->NXM_NX_REG0[]", M),
    ("", "push:NXM_NX_REG0[]", ""),
    ("tcp", "push:NXM_OF_TCP_SRC[]", ""),
    ("", "set_field:4101->vlan_vid", M),
    ("dl_vlan=3", "set_field:4101->vlan_vid", ""),
    ("", "push_vlan:0x8100,set_field:4101->vlan_vid", ""),
    ("", "mod_vlan_vid:3,set_field:4101->vlan_vid", ""),
    ("dl_vlan=3", "strip_vlan,set_field:4101->vlan_vid", M),
    ("", "clone(push_vlan:0x8100),set_field:4101->vlan_vid", M),
    ("ip", "push_mpls:0x8847,set_field:3->mpls_label", ""),
    ("tcp", "push_mpls:0x8847,set_field:1->tcp_src", M),
    ("ip", "push_mpls:0x8847,pop_mpls:0x800,set_field:1.2.3.4->ip_src", ""),
    ("arp", "mod_nw_src:1.2.3.4", ""),
    ("", "push_vlan:0x88a8,push_vlan:0x8100,push_vlan:0x8100", "OFPBAC_BAD_TAG"),
    ("", "output:65280", "OFPBAC_BAD_OUT_PORT"),
    ("", "write_actions(set_field:1->tcp_src)", M),
    ("ip", "ct(commit,nat(src=1.2.3.4))", ""),
    ("ipv6", "ct(commit,nat(src=1.2.3.4))", M),
    ("", "resubmit(,1,ct)", M),
    ("ct_state=+trk+est,ip", "resubmit(,1,ct)", ""),
    ("", "learn(table=1,tcp_src=5)", M),
    ("", "learn(table=1,eth_type=0x800,nw_proto=6,tcp_src=5)", ""),
]


def refusal(match: str, actions: str) -> str:
    """The error's name, "" if the flow is taken."""
    try:
        check_actions(parse_actions(actions), parse_match(match))
    except OfpError as error:
        return error.name
    return ""


@pytest.mark.parametrize(("match", "actions", "error"), CASES)
def test_actions_must_fit_the_match(match: str, actions: str, error: str) -> None:
    assert refusal(match, actions) == error


@pytest.mark.parametrize(("match", "actions", "error"), CASES)
def test_the_real_ovs_ofctl_agrees(require: Callable[..., None], match: str, actions: str,
                                   error: str) -> None:
    require("command:ovs-ofctl")
    ran = subprocess.run(["ovs-ofctl", "parse-flow", f"{match},actions={actions}"],
                         capture_output=True, text=True, check=False)
    said = [line for line in ran.stderr.splitlines() if line.startswith("ovs-ofctl: actions are invalid")]
    assert said == ([f"ovs-ofctl: actions are invalid with specified match ({error})"] if error else [])


def test_openflow_11_and_later_insist_on_more() -> None:
    with pytest.raises(OfpError, match=M):
        check_actions(parse_actions("mod_nw_src:1.2.3.4"), parse_match("arp"), strict=True)
    check_actions(parse_actions("mod_nw_src:1.2.3.4"), parse_match("ip"), strict=True)


def test_goto_table_goes_forward_only() -> None:
    parse_flow("table=3,actions=goto_table:4")
    with pytest.raises(FlowSyntaxError, match="OFPBIC_BAD_TABLE_ID"):
        parse_flow("table=3,actions=goto_table:3")
