"""Tunnel options, set and deleted (set_field, delete_field): traces as the real switch prints them."""

from __future__ import annotations

from tests.oracle.compare import difference
from tests.oracle.ours import OurSwitch
from tests.oracle.real import RealSwitch
from tests.oracle.setup import Bridge, Port, Query, Setup
from vswitch.openflow.messages.nicira import NXTTMC_ADD, TlvMap, TlvTableMod

OPTIONS = "{class=0xffff,type=0,len=4}->tun_metadata0,{class=0xffff,type=1,len=4}->tun_metadata1"
MAPS = (TlvMap(0xFFFF, 0, 4, 0), TlvMap(0xFFFF, 1, 4, 1))
FLOWS = [
    "in_port=1,tcp actions=set_field:0x5->tun_metadata0,move:tun_metadata0[0..15]->reg0[0..15],"
    "delete_field:tun_metadata0,move:tun_metadata0[0..15]->reg1[0..15],output:2",
    "in_port=1,udp actions=set_field:10.0.0.1->tun_dst,set_field:0x5->tun_metadata0,"
    "set_field:0x70000/0xf0000->tun_metadata1,output:2",
    "in_port=1,icmp actions=set_field:10.0.0.1->tun_dst,set_field:0x5->tun_metadata0,"
    "delete_field:tun_metadata0,output:2",
]
SETUP = Setup("options", [Bridge("br0", {}, [Port("p1"), Port("p2")], [], [], "OpenFlow13")])


def test_options_are_set_and_deleted(real: RealSwitch) -> None:
    ours = OurSwitch()
    try:
        real.configure(SETUP)
        ours.configure(SETUP)
        real.run("ovs-ofctl", "add-tlv-map", "br0", OPTIONS)
        ours.ofprotos.all_ofproto_dpifs["br0"].tlv.mod(TlvTableMod(NXTTMC_ADD, MAPS))
        for switch in (real, ours):
            switch.set_flows("br0", FLOWS, "OpenFlow13")
        for packet in ("in_port=1,tcp", "in_port=1,udp", "in_port=1,icmp"):
            found = difference(real, ours, Query("br0", packet))
            assert not found, found
    finally:
        ours.close()
