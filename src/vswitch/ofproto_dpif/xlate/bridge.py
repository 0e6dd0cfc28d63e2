"""What translation sees of a bridge, its bundles, its ports and their datapath: plain records.

`OfprotoDpif` makes them and keeps them current whenever the configuration changes; translation
reads them and never writes. `XPort` and `XBundle` are what Open vSwitch has twice, as ofport_dpif
and xport, ofbundle and xbundle: there translation runs in threads beside the configuration, here
in the same one. What the layers above keep of a port (its statistics, how it was asked for) is
not here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol, final

from vswitch.base.tags import TagSet, tag_deterministic, tag_random
from vswitch.dpif.probe import Support
from vswitch.dpif.types import ODPP_NONE, CtTimeoutNames
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.l2.bond import Bond
from vswitch.l2.lacp import Lacp
from vswitch.l2.mac_learning import MacLearning
from vswitch.l2.mcast_snooping import McastSnooping
from vswitch.monitor.ipfix import IpfixSampling
from vswitch.monitor.local_sample import LocalSample
from vswitch.monitor.netflow import NetFlow
from vswitch.monitor.sflow import SFlow
from vswitch.netdev.scope import Scope
from vswitch.ofproto.groups import Groups
from vswitch.ofproto.meters import Meters
from vswitch.ofproto.rule import Rule
from vswitch.ofproto.tables import Tables
from vswitch.ofproto.tlv import TlvTable
from vswitch.ofproto_dpif.tunnel.underlay import Underlay
from vswitch.ofproto_dpif.xlate.recirc import RecircIds
from vswitch.ofproto_dpif.xlate.table_dpif import TableDpif
from vswitch.ofproto_dpif.xlate.tunnel_match import TunnelMatcher
from vswitch.packet.numbers import ETH_TYPE_VLAN_8021AD

if TYPE_CHECKING:
    from vswitch.netdev.tunnel_options import TunnelConfig
    from vswitch.ofproto.ports import OfPort
    from vswitch.ofproto_dpif.xlate.queued_packet_in import QueuedPacketIn
    from vswitch.ofproto_dpif.xlate.special import PacketReceiver
    from vswitch.openflow.flow_mod import FlowMod

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

MAX_MIRRORS: Final = 32
"""The most mirrors that one bridge has."""


@final
class XBundle:
    """A set of ports that NORMAL treats as one.

    `vlan` is the access or native VLAN, -1 for a trunk; `trunks` the allowed VLANs, None for
    all; `cvlans` the customer VLANs of a dot1q-tunnel port, None for all. `protected` bundles
    do not forward to each other. `floodable` is false when some port has OFPPC_NO_FLOOD (or
    a spanning tree says so). `bond` and `lacp` stay None without a bond. `mirror_out` is the
    bit map of mirrors that output here; such a bundle is otherwise left alone.
    """

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.aux: object = None
        self.ports: list[XPort] = []
        self.vlan_mode: int = VLAN_TRUNK
        self.vlan: int = -1
        self.trunks: frozenset[int] | None = None
        self.cvlans: frozenset[int] | None = None
        self.qinq_ethtype: int = ETH_TYPE_VLAN_8021AD
        self.priority_tags: int = PRIORITY_TAGS_NEVER
        self.protected: bool = False
        self.floodable: bool = True
        self.learns: bool = True
        """Whether spanning trees let addresses be learned here."""
        self.bond: Bond | None = None
        self.lacp: Lacp | None = None
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
            return vid == self.vlan and cvid == 0
        if mode == VLAN_DOT1Q_TUNNEL:
            return vid == self.vlan and self.allows_cvlan(cvid)
        return self.trunks_vlan(vid)


OFPP_NONE_BUNDLE: Final = XBundle("OFPP_NONE")
"""Where packets come from that a controller made up without an input port."""


@final
class XPort:
    """One port of one bridge.

    `ofp_port` is the OpenFlow number, `odp_port` the datapath's (ODPP_NONE: none, as for a
    patch port). `peer` is the other end of a patch port. `up` is what OpenFlow says of the port; `config` and
    `state` repeat its bits where translation reads them. `may_enable`: packets get through, as far as
    link and liveness tell. Patch ports have no device of their own to count packets,
    so the counters here are theirs.
    """

    def __init__(self, bridge: XBridge, name: str, ofp_port: int, odp_port: int = ODPP_NONE,
                 type: str = "system", up: OfPort | None = None) -> None:
        self.bridge: XBridge = bridge
        self.up = up
        self.name: str = name
        self.type: str = type
        self.ofp_port: int = ofp_port
        self.odp_port: int = odp_port
        self.bundle: XBundle | None = None
        self.peer: XPort | None = None
        self.config: int = 0
        self.state: int = 0
        self.tag: int = 0
        self.may_enable: bool = True
        self.aggregated: bool = True
        """What LACP says of the port."""
        self.monitored: bool = True
        """What BFD and CFM say of the port; True without them."""
        self.tunnel: TunnelConfig | None = None
        """What a tunnel's port was asked to be; such ports share datapath ports."""
        self.tree: str = ""
        """"STP" or "RSTP" while a spanning tree decides what the port may do."""
        self.learns: bool = True
        """Whether the spanning tree lets addresses be learned here."""
        self.forwards: bool = True
        """Whether it lets packets in and out."""
        self.sends_bpdus: bool = True
        """Whether it lets the switch's BPDUs out."""
        self.dscp_of_queue: dict[int, int] = {}
        """Priority of a queue (`Dpif.queue_to_priority`) -> nw_tos that packets in it leave with."""
        self.listens: int = 0
        """The SLOW_* bits of the protocols that have a receiver here."""
        self.receivers: dict[int, PacketReceiver] = {}
        """SLOW_* bit -> who gets the packets of that protocol (`xlate/special.py`)."""
        self.rx_packets: int = 0
        self.rx_bytes: int = 0
        self.tx_packets: int = 0
        self.tx_bytes: int = 0


@final
class XMirror:
    """One mirror. `out` is the output bundle, or None for output to `out_vlan` (RSPAN).

    `vlans` None selects every VLAN, `filter` None every flow. `snaplen` 0 copies whole packets, else
    at most so many bytes. `dup_mirrors` is the bit map of mirrors with the same output, itself
    included: one packet goes to an output once.
    """

    def __init__(self, idx: int, name: str) -> None:
        self.idx: int = idx
        self.name: str = name
        self.aux: object = None
        self.srcs: set[XBundle] = set()
        self.dsts: set[XBundle] = set()
        self.vlans: frozenset[int] | None = None
        self.out: XBundle | None = None
        self.out_vlan: int = -1
        self.snaplen: int = 0
        self.filter: Match | None = None
        self.dup_mirrors: int = 1 << idx
        self.packets: int = 0
        self.bytes: int = 0

    @property
    def bit(self) -> int:
        """This mirror's bit in a map of mirrors."""
        return 1 << self.idx


class DatapathQuestions(Protocol):
    """What translation asks of a datapath (`dpif.provider.Dpif` answers): always the same answer."""

    def port_get_pid(self, port_no: int) -> int:
        """Where `Userspace` actions of flows that come in at a datapath port go."""

    def queue_to_priority(self, queue_id: int) -> int:
        """The skb priority that means queue `queue_id`."""


class FlowLearner(Protocol):
    """Who changes a bridge's flow tables when a packet teaches a flow (`OfprotoDpif` does)."""

    def flow_mod(self, flow_mod: FlowMod) -> object:
        """Carry a flow mod out. OfpError: it is refused, and nothing changed."""


class PacketInTaker(Protocol):
    """Who gives packets to a bridge's controllers (`OfprotoDpif` does)."""

    def send_packet_in(self, packet_in: QueuedPacketIn) -> None:
        """Give a packet to the controllers that want it."""


@final
class XDatapath:
    """The datapath that bridges share, as translation sees it."""

    def __init__(self, dpif: DatapathQuestions) -> None:
        self.dpif: DatapathQuestions = dpif
        self.support: Support = Support()
        """What the datapath can do, as probed when it was opened."""
        self.explicit_sampled_drops: bool = False
        """Whether what is only sampled is dropped explicitly, where the datapath can."""
        self.recirc_ids: RecircIds = RecircIds()
        """Recirculation ids and the frozen states they stand for."""
        self.bridges: dict[str, XBridge] = {}
        """The bridges on this datapath, by name."""
        self.ct_timeouts: dict[int, CtTimeoutNames] = {}
        """Zones of connection tracking that have a timeout policy -> the datapath's names for it."""
        self.tunnels: TunnelMatcher = TunnelMatcher()
        """The tunnel ports of its bridges, and which of them a packet came in at."""
        self.underlay: Underlay = Underlay(Scope())
        """What carries them: the process has one for all its datapaths."""
        self._pids: dict[int, int] = {}

    def port_pid(self, odp_port: int) -> int:
        """The upcall pid for `Userspace` actions of flows that come in at `odp_port` (cached)."""
        pid = self._pids.get(odp_port)
        if pid is None:
            pid = self.dpif.port_get_pid(odp_port)
            self._pids[odp_port] = pid
        return pid

    def forget_pids(self) -> None:
        """A port came or went: ask anew."""
        self._pids.clear()


@final
class XBridge:
    """One bridge.

    `ports` is by OpenFlow number, `bundles` by the key of their settings; the index of a mirror is its
    bit in mirror bitmaps. The three rules are the switch's own, for packets that match nothing
    and for fragments. `frag_handling` is "normal", "drop" or "nx-match".
    """

    def __init__(self, name: str, dp: XDatapath, tables: Tables, groups: Groups, meters: Meters,
                 tlv: TlvTable, learner: FlowLearner, table_dpif: list[TableDpif], basis: int,
                 revalidate_set: TagSet) -> None:
        self.name: str = name
        self.dp: XDatapath = dp
        self.tables: Tables = tables
        self.groups: Groups = groups
        self.meters: Meters = meters
        self.tlv: TlvTable = tlv
        self.learner: FlowLearner = learner
        self.controllers: PacketInTaker | None = None
        """Who gives packets to the controllers without the datapath's help; None: nobody."""
        self.table_dpif: list[TableDpif] = table_dpif
        """Per table: the tags of lookups in it."""
        self.basis: int = basis
        """Sets the tags of groups and meters apart from others."""
        self.revalidate_set: TagSet = revalidate_set
        """Tags of the facets that the next revalidation must look at: effects add to it."""
        self.uuid: bytes = os.urandom(16)
        """Names the bridge in cookies of datapath actions."""
        self.ports: dict[int, XPort] = {}
        self.bundles: dict[object, XBundle] = {}
        self.mac_learning: MacLearning = MacLearning()
        self.mcast_snooping: McastSnooping | None = None
        self.mcast_tag: int = tag_random()
        """What depends on the multicast snooping table has this tag."""
        self.mirrors: list[XMirror | None] = [None] * MAX_MIRRORS
        self.has_mirrors: bool = False
        self.has_bonded_bundles: bool = False
        self.has_bundle_action: bool = False
        """Whether some translation depended on which ports are live."""
        self.has_in_band: bool = False
        """Whether a controller is reached through the bridge itself."""
        self.forward_bpdu: bool = False
        """Whether NORMAL forwards reserved multicast addresses (01:80:c2:00:00:0x)."""
        self.netflow: NetFlow | None = None
        """What counts IPv4 flows for export; None: nobody."""
        self.sflow: SFlow | None = None
        """What samples packets for sFlow; None: nobody."""
        self.ipfix: IpfixSampling | None = None
        """What is sampled for IPFIX; None: nothing, not by `sample` actions either."""
        self.local_groups: dict[int, LocalSample] = {}
        """Set of collectors -> where in the kernel's psample its `sample` actions go to as well."""
        self.frag_handling: str = "normal"
        self.wants_packet_in_on_miss: bool = False
        """Whether some controller takes packets that match no rule."""
        self.miss_tag: int = 0
        """Facets that met such a miss: each run of ovs-ofctl may change what becomes of it."""
        self.vlandev_map: dict[int, tuple[int, int]] = {}
        """VLAN device's OpenFlow port -> (real device's OpenFlow port, VID)."""
        self.realdev_vid_map: dict[tuple[int, int], int] = {}
        """(real device's OpenFlow port, VID) -> VLAN device's OpenFlow port."""
        self.miss_rule: Rule = Rule(Match(), 0)
        """A table miss that goes to controllers."""
        self.no_packet_in_rule: Rule = Rule(Match(), 0)
        """A table miss that is dropped."""
        self.drop_frags_rule: Rule = Rule(Match(), 0)
        """Fragments while `frag_handling` is "drop"."""

    def table_tag(self, table_id: int, flow: Flow, wc: Flow) -> int:
        """The tag of what a lookup of `flow` in `table_id` that looked at the bits `wc` depends on; 0
        where the table has no tags. Translation ors it into its tags for every table that it visits."""
        return self.table_dpif[table_id].tag(flow, wc)

    def group_tag(self, group_id: int) -> int:
        """The tag of what depends on a group, there or not."""
        return tag_deterministic(self.basis ^ group_id)

    def meter_tag(self, meter_id: int) -> int:
        """The tag of what asks for a meter, there or not."""
        return tag_deterministic(self.basis ^ ~meter_id)
