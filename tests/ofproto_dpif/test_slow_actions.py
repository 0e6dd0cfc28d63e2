"""Actions that the datapath can't do: its packets come up and are forwarded right all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.ofproto_dpif.lab import Counted, Lab, udp
from vswitch.dpif import actions as act
from vswitch.dpif.ops import Execute, FlowPut, Op
from vswitch.flow import key_attr
from vswitch.flow.compose import flow_compose
from vswitch.flow.match_text import parse_match
from vswitch.netdev import dummy
from vswitch.netdev.frame import GSO_TCPV4, VNET_NEEDS_CSUM, Frame
from vswitch.openflow.flow_text import parse_flow

MakeLab = Callable[..., Lab]

ARP = "arp,arp_op=1,arp_spa=10.0.0.1,arp_tpa=10.0.0.2"
PING = "icmp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,icmp_type=8,icmp_code=1"
SOLICIT = ("icmp6,ipv6_src=fd00::1,ipv6_dst=fd00::2,nw_ttl=255,icmp_type=135,nd_target=fd00::2,"
           "nd_sll=02:00:00:00:00:0a")


def packet(text: str) -> bytes:
    return flow_compose(parse_match(text).flow, b"")


def can_it(action: act.Action) -> bool:
    """A datapath like the kernel's, and an old one."""
    if isinstance(action, act.Set | act.SetMasked):
        return action.attr not in (key_attr.ARP, key_attr.ND, key_attr.ICMP, key_attr.ICMPV6)
    return not isinstance(action, act.Trunc | act.Clone | act.Sample | act.CheckPktLen)


@pytest.fixture
def made(lab: MakeLab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A switch over a datapath that can little."""
    made = lab(4)
    dpif = made.backer.dpif
    support = made.backer.support
    support.trunc = support.clone = support.check_pkt_len = support.masked_set = False
    support.sample_nesting = 0
    really = dpif.operate

    def operate(ops: Sequence[Op]) -> None:
        for op in ops:
            if isinstance(op, Execute | FlowPut) and not all(map(can_it, op.actions)):
                op.error = 22
        really([op for op in ops if not op.error])

    monkeypatch.setattr(dpif, "operate", operate)
    return made


@pytest.mark.parametrize(("flow", "sent", "wanted"), [
    ("arp,actions=set_field:10.0.0.9->arp_spa,set_field:2->arp_op,output:2", ARP,
     "arp,arp_op=2,arp_spa=10.0.0.9,arp_tpa=10.0.0.2"),
    ("icmp,actions=set_field:0->icmp_type,output:2", PING,
     "icmp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,icmp_type=0,icmp_code=1"),
    ("icmp6,icmp_type=135,actions=set_field:fd00::9->nd_target,output:2", SOLICIT,
     SOLICIT.replace("nd_target=fd00::2", "nd_target=fd00::9")),
], ids=["arp", "icmp", "nd"])  # fmt: skip
def test_headers_that_the_datapath_cannot_set(made: Lab, flow: str, sent: str, wanted: str) -> None:
    made.flow(flow)
    happened = Counted("drop_execute_failed", "dpif_execute_with_help", "slow_path_action")
    made.send("p1", packet(sent))
    made.send("p1", packet(sent))
    assert made.packets("p2") == [packet(wanted)] * 2
    assert (happened["drop_execute_failed"], happened["dpif_execute_with_help"]) == (0, 2)
    assert happened["slow_path_action"] == 2
    assert "actions:userspace(pid=" in made.ask("dpctl/dump-flows")
    assert ",slow_path(action))" in made.ask("dpctl/dump-flows")


def test_outputs_before_and_after_a_change_each_have_their_packet(made: Lab) -> None:
    made.flow("arp,actions=output:2,set_field:10.0.0.9->arp_spa,output:3,mod_vlan_vid:5,output:4")
    made.send("p1", packet(ARP))
    changed = ARP.replace("arp_spa=10.0.0.1", "arp_spa=10.0.0.9")
    assert made.packets("p2") == [packet(ARP)]
    assert made.packets("p3") == [packet(changed)]
    assert made.packets("p4") == [packet(changed + ",dl_vlan=5")]


def test_packets_that_the_datapath_cannot_cut(made: Lab) -> None:
    made.flow("actions=output(port=2,max_len=40),output:3")
    sent = udp(payload=bytes(100))
    made.send("p1", sent)
    assert made.packets("p2") == [sent[:40]]
    assert made.packets("p3") == [sent]


def test_a_segment_keeps_its_offload(made: Lab) -> None:
    made.flow("tcp,actions=output(port=2,max_len=60),mod_nw_dst:10.0.0.9,mod_vlan_vid:7,output:3")
    dummy.find("p3").set_config({"offload": "true"})
    header = packet("tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,nw_ttl=64,tp_src=1,tp_dst=2")[:54]
    data = header[:16] + (2040).to_bytes(2, "big") + header[18:] + bytes(2000)
    dummy.find("p1").receive(Frame(data, VNET_NEEDS_CSUM, GSO_TCPV4, 54, 1000, 34, 16))
    made.run()
    assert made.packets("p2") == [data[:60]]
    (frame,) = dummy.find("p3").frames
    assert (frame.gso_type, frame.gso_size, frame.hdr_len) == (GSO_TCPV4, 1000, 58)
    assert (frame.csum_start, frame.csum_offset, frame.flags) == (38, 16, VNET_NEEDS_CSUM)
    assert frame.data[12:16] == bytes.fromhex("81000007")
    assert frame.data[34:38] == bytes([10, 0, 0, 9])


def test_packet_outs_get_the_same_help(made: Lab) -> None:
    happened = Counted("drop_packet_out_failed", "dpif_execute_with_help")
    actions = parse_flow("arp,actions=set_field:10.0.0.9->arp_spa,output:2").actions
    made.bridge.packet_out(packet(ARP), 1, actions)
    made.run()
    assert made.packets("p2") == [packet(ARP.replace("arp_spa=10.0.0.1", "arp_spa=10.0.0.9"))]
    assert (happened["drop_packet_out_failed"], happened["dpif_execute_with_help"]) == (0, 1)
