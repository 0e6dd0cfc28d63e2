"""Flows that a datapath could not carry out are refused with the real switch's errors, whatever it lacks."""

from __future__ import annotations

import re

import pytest

from tests.bridge.pair import Side

pytestmark = pytest.mark.system

FEATURES = (
    "ct_state", "ct_zone", "ct_mark", "ct_label", "ct_state_nat", "ct_orig_tuple", "ct_orig_tuple6", "nd_ext",
    "clone",
)  # fmt: skip
ADVERT = "icmp6,icmp_type=136,icmp_code=0"
FLOWS = f"""\
ip,actions=ct(table=1)
ip,actions=ct(zone=0,table=1)
ip,actions=ct(zone=5,table=1)
ip,actions=ct(zone=NXM_NX_REG0[0..15],table=1)
ip,actions=resubmit(,1),ct(commit,exec(set_field:1->ct_mark))
ip,actions=ct(commit,exec(set_field:1->ct_label))
ip,actions=ct(commit,exec(set_field:1->ct_mark,set_field:1->ct_label))
ip,actions=ct(commit,exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]))
ip,actions=ct(commit,exec(load:1->NXM_NX_CT_LABEL[0..31]))
ip,actions=ct(commit,nat(src=1.1.1.1),exec(set_field:1->ct_mark))
ip,actions=ct(nat)
ip,actions=ct_clear
ip,actions=clone(ct(zone=5,nat)),ct(zone=0)
ip,actions=ct(zone=5,table=1),group:77
ip,actions=learn(table=3,NXM_NX_CT_MARK[]),move:NXM_NX_CT_MARK[]->NXM_NX_REG0[]
ip,ct_state=+trk,actions=drop
ip,ct_state=+trk+snat,actions=drop
ip,ct_state=-dnat,actions=drop
ip,ct_zone=5,actions=drop
ip,ct_mark=0/0xf0,actions=drop
ip,ct_label=5/5,actions=ct(zone=2)
ip,ct_state=+trk+est,ct_nw_src=1.1.1.1,actions=drop
ip,ct_state=+trk+est,ct_nw_proto=6,ct_tp_src=9,actions=drop
ipv6,ct_state=+trk+est,ct_ipv6_dst=::1,actions=drop
ipv6,ct_state=+trk+est,ct_nw_proto=6,ct_tp_dst=9,actions=drop
{ADVERT},nd_options_type=2,actions=drop
{ADVERT},nd_reserved=2,actions=drop
{ADVERT},actions=set_field:2->nd_reserved,1
{ADVERT},actions=load:2->ERICOXM_OF_ICMPV6_ND_OPTIONS_TYPE[]
{ADVERT},actions=move:NXM_NX_REG0[]->ERICOXM_OF_ICMPV6_ND_RESERVED[]
{ADVERT},actions=clone(set_field:2->nd_reserved),write_actions(set_field:2->nd_reserved)
"""
OTHERS = (
    "mod-flows br0 table=9,ip,actions=ct(zone=5,nat)",
    "mod-flows br0 table=8,ip,actions=ct(zone=5,nat)",
    "add-flow br0 table=8,ip,actions=ct(zone=5,nat),ct(commit,exec(set_field:1->ct_mark))",
    "--bundle add-flow br0 table=7,ip,ct_zone=5,actions=drop",
    "del-flows br0 table=8,ip,ct_zone=5",
    "add-group br0 group_id=1,type=indirect,bucket=ct(zone=5,nat)",
    "packet-out br0 in_port=1,packet=50540000000a50540000000908004500001c00000000401166cf0a000001"
    "0a0000020001000200080000,actions=ct(zone=5)",
)


def refused(side: Side, feature: str) -> str:
    """What is said of all flows and of the other commands while the datapath lacks a feature."""
    side.vsctl("add-br br0 -- set bridge br0 datapath_type=dummy protocols=[OpenFlow10,OpenFlow15] "
               "-- add-port br0 p1 -- set interface p1 type=dummy ofport_request=1")  # fmt: skip
    control = ("ovs-ofctl", "-O", "OpenFlow15")
    side.run(*control, "add-flow", "br0", "table=8,ip,actions=drop")
    assert side.appctl("dpif/set-dp-features", "br0", feature, "false").strip() == ""
    try:
        said = []
        for flow in FLOWS.splitlines():
            _, out, err = side.try_run(*control, "add-flow", "br0", flow)
            said.append(f"{flow}\n  {out}{err}")
        for words in OTHERS:
            _, out, err = side.try_run(*control, *words.split())
            said.append(f"{words}\n  {out}{err}")
    finally:
        side.appctl("dpif/set-dp-features", "br0", feature, "true")
    side.run(*control, "add-flow", "br0", FLOWS.splitlines()[2])
    return re.sub(r"xid=0x\w+|/\S*/(real|ours)\d", "", "\n".join(said))


@pytest.mark.parametrize("feature", FEATURES)
def test_what_the_datapath_lacks(real: Side, ours: Side, feature: str) -> None:
    theirs = refused(real, feature)
    assert refused(ours, feature) == theirs
    assert ("DATAPATH_SUPPORT" in theirs or "BAD_SET_ARGUMENT" in theirs) == (feature != "clone")
    log = [line for line in ours.log("ovs-vswitchd").splitlines() if "Rejecting" in line]
    assert all("(your kernel module may be out of date)" in line for line in log)


def test_they_are_taken_where_that_is_asked_for(ours: Side) -> None:
    ours.vsctl("add-br br0 -- set bridge br0 datapath_type=dummy")
    ours.appctl("dpif/set-dp-features", "br0", "ct_zone", "false")
    flow = ("ovs-ofctl", "add-flow", "br0", "ip,actions=ct(zone=5,table=1)")
    assert "NXBAC_CT_DATAPATH_SUPPORT" in ours.try_run(*flow)[2]
    ours.vsctl("set open_vswitch . other_config:accept-unsupported-flows=true")
    ours.run(*flow)
    ours.vsctl("remove open_vswitch . other_config accept-unsupported-flows")
    assert "NXBAC_CT_DATAPATH_SUPPORT" in ours.try_run(*flow)[2]
    ours.appctl("dpif/set-dp-features", "br0", "ct_zone", "true")
