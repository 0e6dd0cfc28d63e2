"""Ports as the datapath switch sees them, and the bundles that NORMAL forwards between.

A bundle is one or more ports that act as one: the ports of a bond, or (usually) one port,
together with how it treats VLANs. `OfportDpif` is what `ofproto.ports.OfPort` becomes once
it has a datapath port: the OpenFlow part is `up`, the rest belongs to this layer.

Both are plain records. `OfprotoDpif` fills them in when the configuration changes;
translation reads them and never writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

if TYPE_CHECKING:
    from vswitch.ofproto.ports import OfPort
    from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
    from vswitch.ofproto_dpif.xlate.special import PacketReceiver

# VLAN modes of a bundle (ovs-vswitchd.conf.db(5), Port table, vlan_mode).
VLAN_ACCESS: Final = 0
VLAN_TRUNK: Final = 1
VLAN_NATIVE_TAGGED: Final = 2
VLAN_NATIVE_UNTAGGED: Final = 3
VLAN_DOT1Q_TUNNEL: Final = 4

VLAN_MODES: Final = {
    "access": VLAN_ACCESS,
    "trunk": VLAN_TRUNK,
    "native-tagged": VLAN_NATIVE_TAGGED,
    "native-untagged": VLAN_NATIVE_UNTAGGED,
    "dot1q-tunnel": VLAN_DOT1Q_TUNNEL,
}

# When an untagged frame leaves with an 802.1p-only tag (other_config:priority-tags).
PRIORITY_TAGS_NEVER: Final = 0
PRIORITY_TAGS_IF_NONZERO: Final = 1
PRIORITY_TAGS_ALWAYS: Final = 2

PRIORITY_TAGS: Final = {
    "never": PRIORITY_TAGS_NEVER,
    "no": PRIORITY_TAGS_NEVER,
    "false": PRIORITY_TAGS_NEVER,
    "if-nonzero": PRIORITY_TAGS_IF_NONZERO,
    "true": PRIORITY_TAGS_IF_NONZERO,
    "always": PRIORITY_TAGS_ALWAYS,
}

# OpenFlow port configuration bits that translation obeys (OpenFlow 1.0, ofp_port_config).
OFPPC_PORT_DOWN: Final = 1 << 0
OFPPC_NO_STP: Final = 1 << 1
OFPPC_NO_RECV: Final = 1 << 2
OFPPC_NO_RECV_STP: Final = 1 << 3
OFPPC_NO_FLOOD: Final = 1 << 4
OFPPC_NO_FWD: Final = 1 << 5
OFPPC_NO_PACKET_IN: Final = 1 << 6

ODPP_NONE: Final = 0xFFFFFFFF
"""The datapath port number of a port that the datapath does not know (patch ports)."""


@final
class Bundle:
    """A set of ports that NORMAL treats as one.

    `vlan` is the access or native VLAN, -1 for a trunk; `trunks` the allowed VLANs, None for
    all; `cvlans` the customer VLANs of a dot1q-tunnel port, None for all. `protected` bundles
    do not forward to each other. `floodable` is false when some port has OFPPC_NO_FLOOD (or
    a spanning tree says so). `bond` and `lacp` stay None without a bond. `mirror_out` is the
    bit map of mirrors that output here; such a bundle is otherwise left alone.
    """

    def __init__(self, ofproto: OfprotoDpif | None, name: str) -> None:
        self.ofproto = ofproto
        self.name: str = name
        self.aux: object = None
        self.ports: list[OfportDpif] = []
        self.vlan_mode: int = VLAN_TRUNK
        self.vlan: int = -1
        self.trunks: frozenset[int] | None = None
        self.cvlans: frozenset[int] | None = None
        self.qinq_ethtype: int = 0x88A8
        self.priority_tags: int = PRIORITY_TAGS_NEVER
        self.protected: bool = False
        self.floodable: bool = True
        self.bond: Any = None
        self.lacp: Any = None
        self.src_mirrors: int = 0
        self.dst_mirrors: int = 0
        self.mirror_out: int = 0

    def trunks_vlan(self, vid: int) -> bool:
        """Whether frames tagged with `vid` (0: untagged) may pass here as they are.

        A native VLAN is always trunked, and then VLAN 0 never is.
        """
        native = self.vlan
        if native > 0:
            if vid == native:
                return True
            if vid == 0:
                return False
        return self.trunks is None or vid in self.trunks

    def allows_cvlan(self, vid: int) -> bool:
        """Whether a dot1q-tunnel port takes customer VLAN `vid`."""
        return self.cvlans is None or vid in self.cvlans

    def includes_vlan(self, vid: int, cvid: int) -> bool:
        """Whether frames of VLAN `vid`, with customer VLAN `cvid` inside, may leave here."""
        mode = self.vlan_mode
        if mode == VLAN_ACCESS:
            return vid == self.vlan
        if mode == VLAN_DOT1Q_TUNNEL:
            return vid == self.vlan and self.allows_cvlan(cvid)
        return self.trunks_vlan(vid)


@final
class OfportDpif:
    """One port of one switch, with what this layer knows of it.

    `ofp_port` is the OpenFlow number, `odp_port` the datapath's (ODPP_NONE: none, as for a
    patch port). `peer` is the other end of a patch port. `config` and `state` repeat `up`'s
    bits where translation reads them. Patch ports have no device of their own to count packets,
    so the counters here are theirs.
    """

    def __init__(self, up: OfPort | None, ofproto: OfprotoDpif | None, name: str, ofp_port: int,
                 odp_port: int = ODPP_NONE, type: str = "system") -> None:
        self.up = up
        self.ofproto = ofproto
        self.name: str = name
        self.type: str = type
        self.ofp_port: int = ofp_port
        self.odp_port: int = odp_port
        self.bundle: Bundle | None = None
        self.peer: OfportDpif | None = None
        self.config: int = 0
        self.state: int = 0
        self.tag: int = 0
        self.may_enable: bool = True
        self.is_tunnel: bool = False
        self.is_layer3: bool = False
        self.stp_port: Any = None
        self.rstp_port: Any = None
        self.cfm: Any = None
        self.bfd: Any = None
        self.dscp_of_queue: dict[int, int] = {}
        self.listens: int = 0
        """The SLOW_* bits of the protocols that have a receiver here."""
        self.receivers: dict[int, PacketReceiver] = {}
        """SLOW_* bit -> who gets the packets of that protocol (`xlate/special.py`)."""
        self.rx_packets: int = 0
        self.rx_bytes: int = 0
        self.tx_packets: int = 0
        self.tx_bytes: int = 0
