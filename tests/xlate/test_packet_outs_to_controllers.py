"""A packet-out that goes to a controller as it is comes up without the datapath, as it would through it."""

from __future__ import annotations

from typing import Any

import pytest

from vswitch import Switch
from vswitch.ofproto.packet_metadata import metadata_of
from vswitch.ofproto_dpif.upcall.upcall import upcall_action

TCP = "tcp,nw_src=10.0.0.1,nw_dst=10.0.0.2,tcp_src=1,tcp_dst=80,dl_vlan=5"
ARP = "arp,arp_spa=10.0.0.1,arp_tpa=10.0.0.2,arp_op=1"
FLOWS = [
    ("actions=controller", "TABLE"),
    ("cookie=7,priority=3,actions=controller(max_len=20,reason=no_match,id=0,userdata=01.02)", "TABLE"),
    ("priority=0,actions=controller", "TABLE"),
    ("actions=load:5->NXM_NX_REG3[],set_field:9->metadata,set_field:3->tun_id,controller,output:2", "TABLE"),
    ("actions=resubmit(,4)\ntable=4,cookie=9,actions=controller,controller(reason=action)", "TABLE"),
    ("actions=set_queue:7,controller", "TABLE"),
    ("actions=controller", "load:0x77->NXM_NX_REG0[],TABLE,output:2"),
    ("actions=drop", "controller"),
    ("actions=drop", "CONTROLLER:40,output:2"),
    ("ip,actions=dec_ttl,dec_ttl,dec_ttl", "TABLE"),
    ("ip,actions=mod_nw_tos:4,controller", "TABLE"),
    ("actions=output:2,controller", "TABLE"),
    ("actions=clone(controller),mod_dl_dst:00:00:00:00:00:09,clone(controller)", "TABLE"),
    ("actions=check_pkt_larger(30)->NXM_NX_REG0[0],controller", "TABLE"),
    ("ip,actions=ct(table=3),controller\ntable=3,actions=controller", "TABLE"),
    ("actions=write_actions(controller),goto_table:3\ntable=3,actions=output:2", "TABLE"),
    ("actions=group:1", "TABLE"),
]  # fmt: skip


def _came_of(flows: str, actions: str, packet: str, by_datapath: bool) -> dict[str, Any]:
    """What controllers, ports and counters have of a packet-out."""
    with Switch("br0", ("p1", "p2", "p3")) as sw:
        sw.add_group("group_id=1,type=all,bucket=controller,bucket=output:2")
        sw.add_flows(flows)
        if by_datapath:
            sw.ofproto.xbridge.controllers = None
        sw.packet_out(packet, actions, "p1")
        sw.advance(0.001)
        return {
            "packet-ins": [
                (p.packet, metadata_of(p.flow), p.flow.dl_type, p.table_id, p.cookie, p.reason, p.max_len,
                 p.controller_id, p.userdata, p.continuation)
                for p in sw.packet_ins()
            ],
            "sent": sw.received_all(),
            "flows": sw.dump_flows(),
            "recirculation ids": len(sw.ofproto.backer.dp.recirc_ids),
        }  # fmt: skip


@pytest.mark.parametrize("packet", [TCP, ARP])
@pytest.mark.parametrize(("flows", "actions"), FLOWS)
def test_it_is_as_if_it_had_come_through_the_datapath(flows: str, actions: str, packet: str) -> None:
    ours = _came_of(flows, actions, packet, by_datapath=False)
    datapath = _came_of(flows, actions, packet, by_datapath=True)
    # States of what came through the datapath are kept for a moment.
    assert ours.pop("recirculation ids") <= datapath.pop("recirculation ids")
    assert ours == datapath


def test_it_needs_no_state_and_no_upcall() -> None:
    with Switch("br0", ("p1", "p2")) as sw:
        sw.add_flow("actions=controller")
        before = upcall_action.total
        sw.packet_out(TCP, "TABLE", "p1")
        assert len(sw.packet_ins()) == 1
        assert upcall_action.total == before
        assert len(sw.ofproto.backer.dp.recirc_ids) == 0


def test_a_meter_of_the_controllers_still_holds_it_up() -> None:
    with Switch("br0", ("p1", "p2")) as sw:
        sw.add_meter("meter=controller,pktps,burst,band=type=drop,rate=1,burst_size=1")
        sw.add_flow("actions=controller")
        for _ in range(5):
            sw.packet_out(TCP, "TABLE", "p1")
        sw.advance(0.001)
        assert len(sw.packet_ins()) == 1


def test_what_is_no_frame_goes_nowhere() -> None:
    with Switch("br0", ("p1", "p2")) as sw:
        sw.add_flow("actions=controller")
        sw.packet_out(bytes(13), "TABLE", "p1")
        sw.advance(0.001)
        assert sw.packet_ins() == []
        sw.packet_out(bytes(14), "TABLE", "p1")
        assert len(sw.packet_ins()) == 1


def test_a_port_that_only_learns_tells_nobody() -> None:
    with Switch("br0", ("p1", "p2")) as sw:
        sw.add_flow("actions=controller")
        port = sw.ofproto.ports_by_name["p1"]
        port.forwards = False
        sw.packet_out(TCP, "TABLE", "p1")
        sw.advance(0.001)
        assert sw.packet_ins() == []
