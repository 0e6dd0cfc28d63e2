"""ct, nat, encap, decap and check_pkt_larger on datapaths that can do more, or less, than the oracle's."""

from __future__ import annotations

from dataclasses import replace

from tests.xlate.lab import ALL, Bridge, datapath
from vswitch.dpif.actions import Ct, Nat
from vswitch.ofproto_dpif.xlate.types import SLOW_ACTION

TCP = "in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tcp_src=1000,tcp_dst=80"
FIREWALL = (
    "table=0,ip,ct_state=-trk,actions=ct(table=1)",
    "table=1,in_port=1,ip,ct_state=+trk+new,actions=ct(commit),output:2",
    "table=1,ip,ct_state=+trk+est,actions=output:2",
)


def test_a_commit_asks_for_events_where_the_datapath_has_them() -> None:
    flows = ("in_port=1,ip,actions=ct(commit,zone=3),output:2",)
    out = Bridge(dp=datapath(replace(ALL, ct_eventmask=True))).add_flows(*flows).xlate(TCP)
    assert out.actions[0] == Ct(commit=True, zone=3, eventmask=0x487)
    assert Bridge().add_flows(*flows).xlate(TCP).actions[0] == Ct(commit=True, zone=3)


def test_a_tracked_packet_resumes_in_the_table_that_ct_named() -> None:
    bridge = Bridge().add_flows(*FIREWALL)
    assert bridge.actions(TCP) == "ct,recirc(0x1)"
    back = f"{TCP},recirc_id=1"
    assert bridge.actions(f"{back},ct_state=new|trk") == "ct(commit),2"
    assert bridge.actions(f"{back},ct_state=est|trk") == "2"
    assert bridge.actions(f"{back},ct_state=inv|trk") == "drop"


def test_a_packet_that_goes_on_beside_ct_is_untracked() -> None:
    bridge = Bridge().add_flows(
        "table=0,ip,actions=ct(commit,exec(set_field:5->ct_mark),table=1),resubmit(,2)",
        "table=2,ct_mark=0,actions=output:2", "table=2,ct_mark=5,actions=output:3",
    )  # fmt: skip
    assert bridge.actions(TCP) == "ct(commit,mark=0x5/0xffffffff),recirc(0x1),2"


def test_a_nat_range_of_one_has_no_end() -> None:
    bridge = Bridge().add_flows("ip,actions=ct(commit,nat(src=10.0.0.9-10.0.0.9:80-80,random))")
    (action,) = bridge.xlate(TCP).actions
    assert action == Ct(commit=True, nat=Nat("src", bytes((10, 0, 0, 9)), min_port=80, random=True))


def test_without_check_pkt_len_each_packet_is_measured_here() -> None:
    few = datapath(replace(ALL, check_pkt_len=False))
    bridge = Bridge(dp=few).add_flows(
        "table=0,actions=check_pkt_larger(100)->reg0[0],resubmit(,1)",
        "table=1,reg0=0,actions=output:2", "table=1,reg0=1,actions=output:3",
    )  # fmt: skip
    for size, port in ((60, "2"), (100, "2"), (101, "3")):
        out = bridge.xlate("in_port=1", bytes(size))
        assert out.slow & SLOW_ACTION
        assert [str(action.port) for action in out.actions] == [port]  # type: ignore[union-attr]


def test_labels_around_a_packet_need_help_where_the_datapath_has_no_add_mpls() -> None:
    flow = "in_port=1,ip,actions=encap(mpls),set_field:7->mpls_label,encap(ethernet),output:2"
    out = Bridge(dp=datapath(replace(ALL, add_mpls=False))).add_flows(flow).xlate(TCP)
    assert out.slow & SLOW_ACTION
    assert not Bridge(dp=datapath(replace(ALL, add_mpls=True))).add_flows(flow).xlate(TCP).slow


def test_an_action_set_survives_connection_tracking() -> None:
    bridge = Bridge().add_flows(
        "table=0,actions=write_actions(output:3),goto_table:1",
        "table=1,ip,actions=ct(table=2)", "table=2,actions=drop",
    )  # fmt: skip
    assert bridge.actions(TCP) == "ct,recirc(0x1),3"
    assert bridge.actions(f"{TCP},recirc_id=1,ct_state=new|trk") == "3"
