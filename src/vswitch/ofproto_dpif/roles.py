"""What the rooms below ask of a bridge and of its datapath: `OfprotoDpif` and `Backer` play these parts.

Ports, upcalls and protocols work on both, which are made of them and stand above them. An attribute
is here because they use it; who needs another adds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from vswitch.base.clock import Clock
from vswitch.base.tags import TagSet
from vswitch.dpif.cookie import FlowSampleCookie, IpfixCookie, SflowCookie
from vswitch.dpif.ops import Upcall
from vswitch.dpif.provider import Dpif
from vswitch.dpif.types import DpifPort
from vswitch.flow.flow import Flow
from vswitch.flow.match import Match
from vswitch.l2.mac_learning import MacLearning
from vswitch.l2.mcast_snooping import McastSnooping
from vswitch.netdev.scope import Scope
from vswitch.netdev.tunnel_options import TunnelConfig
from vswitch.ofproto.connmgr import ConnMgr
from vswitch.ofproto.ports import PortNumbers
from vswitch.ofproto.rule import Rule
from vswitch.ofproto.tables import Tables
from vswitch.ofproto.tlv import TlvTable
from vswitch.ofproto_dpif.completions import Completions
from vswitch.ofproto_dpif.facets.changed import ChangedRules
from vswitch.ofproto_dpif.facets.facet import FacetTable
from vswitch.ofproto_dpif.facets.install import Installer
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.learned import LearnedCookies
from vswitch.ofproto_dpif.settings import BundleSettings, PortSpec
from vswitch.ofproto_dpif.stats import SwitchStats
from vswitch.ofproto_dpif.xlate.bridge import XBridge, XBundle, XDatapath, XMirror, XPort
from vswitch.ofproto_dpif.xlate.queued_packet_in import QueuedPacketIn
from vswitch.ofproto_dpif.xlate.special import PacketReceiver
from vswitch.openflow.actions import Actions


class BridgeProtocol(Protocol):
    """A protocol that a bridge speaks itself, such as a spanning tree: one object, however many ports take
    part, registered with `BridgeRole.add_protocol` and driven by the process's one clock (so
    `time/warp` drives it, too)."""

    def run(self, now: int) -> None:
        """Do what is due at clock ms `now`: timers, and what the packets that came in call for.

        It is called in every turn of the main loop, after the upcalls of the turn, so it must be
        cheap when nothing is due. This is the place to send (`BridgeRole.send_packet`) and to
        ask for revalidation (`DatapathRole.need`), which follows in the next turn at once.
        """

    def wakeup(self, now: int) -> int:
        """Clock ms of the next turn that is needed, not later than the next timer; `now` or earlier:
        at once. Timers of 10 ms and more are met."""


class SFlowReceiver(Protocol):
    """Who gets the packets that a bridge samples for sFlow."""

    def received(self, upcall: Upcall, cookie: SflowCookie) -> None:
        """A sampled packet came up."""


class IpfixReceiver(Protocol):
    """Who gets the packets that a bridge and its `sample` actions sample for IPFIX."""

    def received(self, upcall: Upcall, cookie: IpfixCookie) -> None:
        """A packet came up that the bridge samples."""

    def received_of_flow(self, upcall: Upcall, cookie: FlowSampleCookie) -> None:
        """A packet came up that a `sample` action took."""


class PortWatches(Protocol):
    """What is watched on ports."""

    def forget(self, name: str) -> None:
        """Port `name` goes for good."""


class TunnelPorts(Protocol):
    """The datapath's ports for tunnels, each with the number of interfaces that share it."""

    def take(self, config: TunnelConfig, initial: dict[str, DpifPort]) -> int:
        """The datapath port for a tunnel; made if it is not there. DpifError."""

    def frames_of(self) -> dict[int, int]:
        """Which datapath port receives the frames of which other one (`TunnelMatcher.frames_of`)."""

    def give(self, config: TunnelConfig) -> bool:
        """One tunnel less. Whether it was the last of its port."""


class DatapathRole(Protocol):
    """The datapath that bridges share."""

    dpif: Dpif
    scope: Scope
    """Where the devices of its ports are open, if they are this process's."""
    dp: XDatapath
    installer: Installer
    odp_to_ofport: dict[int, XPort]
    initial_ports: dict[str, DpifPort]
    need_revalidate: int
    revalidate_set: TagSet
    changed_rules: ChangedRules
    port_changes: int
    """Goes up when a device of a port goes, returns or changes."""
    vlan_limit: int
    megaflows: bool

    @property
    def ofprotos(self) -> Mapping[str, BridgeRole]:
        """The bridges, by name."""

    @property
    def tunnel_devices(self) -> TunnelPorts:
        """Its ports for tunnels."""

    def port_of(self, flow: Flow) -> XPort | None:
        """The bridge port that a packet came in at: `flow` has datapath port and tunnel fields."""

    def need(self, reason: RevReason) -> None:
        """Ask that all facets be translated anew."""

    def is_settled(self) -> bool:
        """Whether nothing asks for revalidation."""

    def has_facets(self) -> bool:
        """Whether there is a facet, in any bridge."""

    def should_install(self, flow_hash: int, n_packets: int, now: int) -> bool:
        """Whether a flow that just missed gets a datapath flow."""

    def refine(self, flow: Flow, packet: bytes) -> None:
        """Fill in what the datapath's key lacks, from the packet itself."""

    def handle_waiting(self, now: int) -> int:
        """Handle the packets that wait."""

    def ports_changed(self) -> None:
        """A datapath port came or went."""


class BridgeRole(Protocol):
    """One bridge."""

    name: str
    clock: Clock
    xbridge: XBridge
    tables: Tables
    tlv: TlvTable
    connmgr: ConnMgr
    facets: FacetTable
    mac_learning: MacLearning
    completions: Completions
    learned: LearnedCookies
    stats: SwitchStats
    port_numbers: PortNumbers
    ports: dict[int, XPort]
    ports_by_name: dict[str, XPort]
    port_specs: dict[str, PortSpec]
    bundles: dict[object, XBundle]
    bundle_settings: dict[object, BundleSettings]
    mirrors: list[XMirror | None]
    has_mirrors: bool
    mcast_snooping: McastSnooping | None
    has_bonded_bundles: bool
    has_bundle_action: bool
    vlandev_map: dict[int, tuple[int, int]]
    realdev_vid_map: dict[tuple[int, int], int]
    link_changes: int
    datapath_id: int

    @property
    def backer(self) -> DatapathRole:
        """Its datapath."""

    @property
    def ipfix_export(self) -> IpfixReceiver | None:
        """Who exports its packets by IPFIX."""

    @property
    def sflow(self) -> SFlowReceiver | None:
        """Who samples its packets for sFlow."""

    @property
    def revalidate_set(self) -> TagSet:
        """Tags of the facets that the next revalidation must look at."""

    @property
    def vlan_limit(self) -> int:
        """How many VLAN tags a packet can have to flow tables."""

    @property
    def monitors(self) -> PortWatches:
        """What is watched on its ports."""

    def now(self) -> int:
        """Clock ms."""

    def push_stats(self) -> None:
        """Bring the counters of rules, and of what else is credited, up to date with the datapath."""

    def add_internal_rule(self, match: Match, priority: int, actions: Actions, now: int) -> Rule:
        """Add a rule of the switch's own to the last table."""

    def expire(self, now: int) -> None:
        """One second's round of rules and MAC addresses."""

    def flush_mac_table(self) -> None:
        """Forget all learned addresses."""

    def multicast_changed(self) -> None:
        """What depends on the multicast snooping table is translated anew."""

    def flush_multicast(self) -> None:
        """Forget all multicast groups and routers."""

    def groups_may_choose_anew(self) -> None:
        """A port or a link came up or went down."""

    def ports_polled(self, names: set[str] | None) -> None:
        """The datapath says that devices changed."""

    def send_packet(self, port: XPort, packet: bytes, oam: bool = False) -> bool:
        """Send a packet that the switch itself made; whether it went."""

    def send_packet_in(self, packet_in: QueuedPacketIn) -> None:
        """Give a packet to the controllers."""

    def listen(self, port: XPort, reason: int, receiver: PacketReceiver | None) -> None:
        """Give the packets of a protocol that come in at `port` to `receiver`."""

    def add_protocol(self, protocol: BridgeProtocol) -> None:
        """Give `protocol` its turns from now on."""

    def remove_protocol(self, protocol: BridgeProtocol) -> None:
        """No more turns for `protocol`."""
