"""One port of a bridge, as translation and the datapath see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from vswitch.dpif.provider import PORT_NONE

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.bundle import Bundle
    from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif

OFPP_MAX = 0xFF00
"""Ports below this number are ordinary ones."""
OFPP_IN_PORT = 0xFFF8
OFPP_TABLE = 0xFFF9
OFPP_NORMAL = 0xFFFA
OFPP_FLOOD = 0xFFFB
OFPP_ALL = 0xFFFC
OFPP_CONTROLLER = 0xFFFD
OFPP_LOCAL = 0xFFFE
OFPP_NONE = 0xFFFF

OFPPC_PORT_DOWN = 1 << 0
OFPPC_NO_STP = 1 << 1
OFPPC_NO_RECV = 1 << 2
OFPPC_NO_RECV_STP = 1 << 3
OFPPC_NO_FLOOD = 1 << 4
OFPPC_NO_FWD = 1 << 5
OFPPC_NO_PACKET_IN = 1 << 6

OFPPS_LINK_DOWN = 1 << 0
OFPPS_BLOCKED = 1 << 1
OFPPS_LIVE = 1 << 2


@final
class OfPortDpif:
    """A port of one bridge.

    `ofp_port` is the OpenFlow number, `odp_port` the datapath's (`PORT_NONE` for a patch port,
    which no datapath knows). `config` and `state` are OFPPC_* and OFPPS_* bits of OpenFlow 1.0.
    """

    def __init__(self, ofproto: OfprotoDpif, ofp_port: int, name: str, type: str) -> None:
        self.ofproto = ofproto
        self.ofp_port: int = ofp_port
        self.name: str = name
        self.type: str = type
        self.odp_port: int = PORT_NONE
        self.mac: int = 0
        self.mtu: int = 1500
        self.config: int = 0
        self.state: int = 0
        self.features: dict[str, int] = {}
        self.bundle: Bundle | None = None
        self.is_patch: bool = False
        self.peer_name: str = ""
        self.peer: OfPortDpif | None = None
        """The other end of a patch port, while both ends exist."""
        self.is_tunnel: bool = False
        self.may_enable: bool = True
        """Carrier and (later) LACP, CFM and BFD let the port carry traffic."""
        self.stp_state: int = 0
        """0: disabled (forwards); the STP_* state otherwise, when `ofproto.stp` is there."""
        self.carrier_seq: int = 0
        self.change_seq: int = 0
        self.qdscp: dict[int, int] = {}
        """Queue id -> DSCP that packets of the queue are marked with."""
        self.realdev_ofp_port: int = 0
        """For a VLAN splinter: the OpenFlow port of the device that it is a VLAN of, else 0."""
        self.vlandev_vid: int = 0
        self.rx_packets: int = 0
        """Packets credited by translation; meaningful for patch ports, that no device counts."""
        self.rx_bytes: int = 0
        self.tx_packets: int = 0
        self.tx_bytes: int = 0
        self.created: int = 0
        """Clock ms at which the port was added."""

    def __repr__(self) -> str:
        return f"OfPortDpif({self.name}, {self.ofp_port}, odp {self.odp_port})"
