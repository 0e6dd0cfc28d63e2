"""VLAN splinters: a VLAN device stands in for one VLAN of a real device whose driver loses tags.

`vlandev_map` and `realdev_vid_map` of a bridge are the two directions of one relation. A packet
from VLAN device eth0.9 is taken as one that came in at eth0 with a tag of VLAN 9; a packet for
eth0 in VLAN 9 goes out of eth0.9 without the tag (`xlate/output.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.flow.layout import VLAN_CFI
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.packet.numbers import ETH_TYPE_VLAN_8021Q

if TYPE_CHECKING:
    from vswitch.flow.flow import Flow
    from vswitch.ofproto_dpif.roles import BridgeRole
    from vswitch.ofproto_dpif.xlate.bridge import XBridge



def add(ofproto: BridgeRole, vlandev: int, realdev: int, vid: int) -> bool:
    """Let OpenFlow port `vlandev` stand for `vid` of port `realdev`; False if either is taken."""
    if vlandev in ofproto.vlandev_map or (realdev, vid) in ofproto.realdev_vid_map:
        return False
    ofproto.vlandev_map[vlandev] = (realdev, vid)
    ofproto.realdev_vid_map[realdev, vid] = vlandev
    ofproto.backer.need(RevReason.RECONFIGURE)
    return True


def remove(ofproto: BridgeRole, vlandev: int) -> None:
    """Forget VLAN device `vlandev`."""
    found = ofproto.vlandev_map.pop(vlandev, None)
    if found is not None:
        ofproto.realdev_vid_map.pop(found, None)
        ofproto.backer.need(RevReason.RECONFIGURE)


def remove_port(ofproto: BridgeRole, ofp_port: int) -> None:
    """Port `ofp_port` is deleted: it stands for no VLAN any more, and no device for one of its VLANs."""
    remove(ofproto, ofp_port)
    for vlandev, (realdev, _) in list(ofproto.vlandev_map.items()):
        if realdev == ofp_port:
            remove(ofproto, vlandev)


def adjust_flow(bridge: XBridge, flow: Flow) -> bool:
    """A packet as it came in: if from a VLAN device, put it on the real one with the tag.

    `flow.in_port` is an OpenFlow port. Whoever executes actions on the packet itself must push
    the same tag first when this returns True.
    """
    found = bridge.vlandev_map.get(flow.in_port)
    if found is None:
        return False
    realdev, vid = found
    flow.in_port = realdev
    flow.vlan_tpid = ETH_TYPE_VLAN_8021Q
    flow.vlan_tci = vid | VLAN_CFI
    return True
