"""What each action does to the datapath actions and to the megaflow. The expected texts were
checked with Open vSwitch 3.1's `ofproto/trace`."""

from __future__ import annotations

import pytest

from tests.xlate.lab import Bridge, connect

TCP = "in_port=1,tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tcp_src=1000,tcp_dst=80"


@pytest.mark.parametrize(
    ("actions", "packet", "composed", "megaflow"),
    [
        ("output:2", TCP, "2", "recirc_id=0,eth,ip,in_port=1,nw_frag=no"),
        ("output:1", TCP, "drop", "recirc_id=0,eth,ip,in_port=1,nw_frag=no"),
        ("in_port", TCP, "1", "recirc_id=0,eth,ip,in_port=1,nw_frag=no"),
        ("output:9", TCP, "drop", "recirc_id=0,eth,ip,in_port=1,nw_frag=no"),
        ("local", TCP, "100", "recirc_id=0,eth,ip,in_port=1,nw_frag=no"),
        ("all", TCP, "100,2,3,4", "recirc_id=0,eth,ip,in_port=1,nw_frag=no"),
        ("load:3->NXM_NX_REG0[],output:NXM_NX_REG0[]", TCP, "3", "recirc_id=0,eth,ip,in_port=1,nw_frag=no"),
        ("mod_dl_dst:00:00:00:00:00:05,output:2", TCP, "set(eth(dst=00:00:00:00:00:05)),2",
         "recirc_id=0,eth,ip,in_port=1,dl_dst=00:00:00:00:00:00,nw_frag=no"),
        ("mod_dl_dst:00:00:00:00:00:00,output:2", TCP, "2",
         "recirc_id=0,eth,ip,in_port=1,dl_dst=00:00:00:00:00:00,nw_frag=no"),
        ("mod_nw_tos:16,output:2", TCP, "set(ipv4(tos=0x10/0xfc)),2",
         "recirc_id=0,eth,tcp,in_port=1,nw_tos=0,nw_frag=no"),
        ("dec_ttl,output:2", TCP, "set(ipv4(ttl=63)),2",
         "recirc_id=0,eth,tcp,in_port=1,nw_ttl=64,nw_frag=no"),
        ("load:4->NXM_OF_IP_SRC[0..7],output:2", TCP, "set(ipv4(src=0.0.0.4/0.0.0.255)),2",
         "recirc_id=0,eth,tcp,in_port=1,nw_src=0.0.0.1/0.0.0.255,nw_frag=no"),
        ("mod_tp_dst:8080,output:2", TCP, "set(tcp(dst=8080)),2",
         "recirc_id=0,eth,tcp,in_port=1,nw_frag=no,tp_dst=80"),
        ("mod_vlan_vid:7,output:2", TCP, "push_vlan(vid=7,pcp=0),2",
         "recirc_id=0,eth,ip,in_port=1,nw_frag=no"),
        ("mod_vlan_vid:7,output:2,strip_vlan,output:3", TCP, "push_vlan(vid=7,pcp=0),2,pop_vlan,3",
         "recirc_id=0,eth,ip,in_port=1,nw_frag=no"),
        ("strip_vlan,output:2", f"{TCP},dl_vlan=5", "pop_vlan,2",
         "recirc_id=0,eth,ip,in_port=1,dl_vlan=5,dl_vlan_pcp=0,nw_frag=no"),
        ("set_queue:3,output:2,pop_queue,output:3", TCP, "set(skb_priority(0x3)),2,set(skb_priority(0)),3",
         "recirc_id=0,skb_priority=0,eth,ip,in_port=1,nw_frag=no"),
        ("load:7->NXM_NX_PKT_MARK[0..7],output:2", TCP, "set(skb_mark(0x7/0xff)),2",
         "pkt_mark=0/0xff,recirc_id=0,eth,ip,in_port=1,nw_frag=no"),
        ("move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[],output:2", TCP, "set(ipv4(dst=10.0.0.1)),2",
         "recirc_id=0,eth,ip,in_port=1,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_frag=no"),
        ("push:NXM_OF_IP_SRC[0..7],pop:NXM_OF_IP_DST[0..7],output:2", TCP,
         "set(ipv4(dst=0.0.0.1/0.0.0.255)),2",
         "recirc_id=0,eth,ip,in_port=1,nw_src=0.0.0.1/0.0.0.255,nw_dst=0.0.0.2/0.0.0.255,nw_frag=no"),
        ("clone(mod_dl_src:00:00:00:00:00:01,output:3),output:2", TCP,
         "set(eth(src=00:00:00:00:00:01)),3,set(eth(src=00:00:00:00:00:00)),2",
         "recirc_id=0,eth,ip,in_port=1,dl_src=00:00:00:00:00:00,nw_frag=no"),
        ("clone(output(port=2,max_len=100)),output:3", TCP, "clone(trunc(100),2),3",
         "recirc_id=0,eth,ip,in_port=1,nw_frag=no"),
        ("output(port=2,max_len=100),output:3", TCP, "trunc(100),2,3",
         "recirc_id=0,eth,ip,in_port=1,nw_frag=no"),
        ("exit,output:2", TCP, "drop", "recirc_id=0,eth,ip,in_port=1,nw_frag=no"),
        ("push_mpls:0x8847,load:77->OXM_OF_MPLS_LABEL[],output:2", TCP,
         "push_mpls(label=77,tc=0,ttl=64,bos=1,eth_type=0x8847),2",
         "recirc_id=0,eth,ip,in_port=1,nw_tos=0,nw_ttl=64,nw_frag=no"),
        ("load:6->OXM_OF_MPLS_LABEL[],set_mpls_ttl:4,output:3", "in_port=1,mpls,mpls_label=4,mpls_bos=1",
         "set(mpls(label=6,tc=0,ttl=4,bos=1)),3", "recirc_id=0,eth,mpls,in_port=1,mpls_label=4,mpls_ttl=0"),
    ],
)  # fmt: skip
def test_actions(actions: str, packet: str, composed: str, megaflow: str) -> None:
    match = (
        "mpls,"
        if "mpls_ttl" in actions
        else "tcp,"
        if "tp_dst" in actions
        else "ip,"
        if "IP_" in actions
        else ""
    )
    br0 = Bridge().add_flows(f"{match}actions={actions}")
    assert br0.actions(packet) == composed
    if match != "tcp,":
        assert br0.megaflow(packet) == megaflow


def test_a_popped_label_needs_the_packet_again_before_its_ip_header_changes() -> None:
    br0 = Bridge().add_flows("mpls,actions=pop_mpls:0x800,dec_ttl,output:3")
    assert br0.actions("in_port=1,mpls,mpls_label=4,mpls_bos=1") == "pop_mpls(eth_type=0x800),recirc(0x1)"
    again = br0.actions("recirc_id=1,in_port=1,tcp,nw_ttl=9")
    assert again == "set(ipv4(ttl=8)),3"


def test_equal_states_share_a_recirculation_id() -> None:
    br0 = Bridge().add_flows("mpls,actions=pop_mpls:0x800,dec_ttl,output:3")
    first = br0.xlate("in_port=1,mpls,mpls_label=4,mpls_bos=1")
    second = br0.xlate("in_port=1,mpls,mpls_label=5,mpls_bos=1")
    other = br0.xlate("in_port=2,mpls,mpls_label=5,mpls_bos=1")
    assert first.recircs == second.recircs != other.recircs
    ids = br0.x.dp.recirc_ids
    for out in (first, second):
        for recirc_id in out.recircs:
            ids.unref(recirc_id, now=0)
    ids.run(now=100)
    assert ids.lookup(first.recircs[0]) is not None
    ids.run(now=1000)
    assert ids.lookup(first.recircs[0]) is None
    assert ids.lookup(other.recircs[0]) is not None


def test_registers_and_metadata_survive_recirculation() -> None:
    br0 = Bridge().add_flows(
        "table=0,mpls,actions=load:7->NXM_NX_REG3[],pop_mpls:0x800,resubmit(,1)",
        "table=1,reg3=7,ip,actions=output:NXM_NX_REG3[0..1]",
    )
    assert br0.actions("in_port=1,mpls,mpls_label=4,mpls_bos=1") == "pop_mpls(eth_type=0x800),recirc(0x1)"
    assert br0.actions("recirc_id=1,in_port=1,tcp") == "3"


def test_an_unknown_recirculation_id_is_an_error() -> None:
    out = Bridge().add_flows("actions=output:2").xlate("recirc_id=5,in_port=1,tcp")
    assert out.warnings == ["Recirculation context not found for ID 5 on bridge br0"]
    assert out.error


def test_a_datapath_without_masked_set_gets_whole_ones_and_the_megaflow_all_bits() -> None:
    br0 = Bridge().add_flows("ip,actions=mod_nw_tos:16,output:2")
    br0.x.dp.support.masked_set = False
    try:
        assert br0.actions(TCP) == "set(ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,tos=0x10,ttl=64,frag=no)),2"
        assert "nw_src=10.0.0.1,nw_dst=10.0.0.2" in br0.megaflow(TCP)
    finally:
        br0.x.dp.support.masked_set = True


def test_what_the_datapath_cannot_do_is_done_here() -> None:
    br0 = Bridge().add_flows("arp,actions=load:2->NXM_OF_ARP_OP[],output:2", "ip,actions=output:2")
    assert br0.xlate("in_port=1,arp,arp_op=1").slow
    assert not br0.xlate(TCP).slow


def test_a_patch_port_continues_in_the_peer_and_leaves_no_trace() -> None:
    br0 = Bridge().add_flows("in_port=1,actions=load:5->NXM_NX_REG0[],output:9,output:2")
    br1 = Bridge("br1", (7,), br0.x.dp).add_flows(
        "reg0=0,in_port=8,actions=mod_dl_src:00:00:00:00:00:01,output:7"
    )
    connect(br0, 9, br1, 8)
    assert br0.actions(TCP) == "set(eth(src=00:00:00:00:00:01)),7,set(eth(src=00:00:00:00:00:00)),2"


def test_resubmits_are_limited_in_depth_and_number() -> None:
    deep = Bridge().add_flows("actions=resubmit:2,output:3").xlate(TCP)
    assert deep.warnings == ["over max translation depth 64 on bridge br0"]
    wide = (
        Bridge()
        .add_flows(*(f"table={n},actions=resubmit(,{n + 1}),resubmit(,{n + 1})" for n in range(20)))
        .xlate(TCP)
    )
    assert wide.warnings == ["over 4096 resubmit actions on bridge br0"]
    assert wide.error
