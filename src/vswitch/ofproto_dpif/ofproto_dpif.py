"""A bridge: an OpenFlow switch whose packets a datapath forwards.

`OfprotoDpif` is one bridge: flow tables, ports, bundles, mirrors, MAC table. What happens to its packets is
in `upcall/upcall.py`, how they are translated in `xlate/translate.py`; `ofprotos.py` holds all bridges.
"""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from vswitch.base import coverage
from vswitch.base.clock import Clock
from vswitch.base.tags import TagSet, tag_random
from vswitch.base.vlog import Vlog
from vswitch.dpif.open import dpif_class
from vswitch.dpif.types import DpifError
from vswitch.l2.mac_learning import MAC_ENTRY_DEFAULT_IDLE_TIME, MacLearning
from vswitch.l2.mcast_snooping import McastSnooping
from vswitch.netdev.registry import open_type
from vswitch.ofproto.connmgr import ConnMgr
from vswitch.ofproto.ofproto import Ofproto
from vswitch.ofproto.tables import N_TABLES
from vswitch.ofproto_dpif import ct_flush, ofp_stats
from vswitch.ofproto_dpif import rules as rule_ops
from vswitch.ofproto_dpif.backer import Backer
from vswitch.ofproto_dpif.completions import Clog, Completions
from vswitch.ofproto_dpif.facets.facet import FacetTable
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.flow_limits import Lacks, check, lacking
from vswitch.ofproto_dpif.learned import LearnedCookies
from vswitch.ofproto_dpif.ports import configure as bundle_ops
from vswitch.ofproto_dpif.ports import ports as port_ops
from vswitch.ofproto_dpif.protocols.bonds import BondBridge
from vswitch.ofproto_dpif.protocols.ipfix import IpfixExport
from vswitch.ofproto_dpif.protocols.monitors import PortMonitors
from vswitch.ofproto_dpif.protocols.netflow import NetFlowExport
from vswitch.ofproto_dpif.protocols.rstp import RstpBridge, RstpPortSettings, RstpSettings
from vswitch.ofproto_dpif.protocols.sflow import SFlowExport
from vswitch.ofproto_dpif.protocols.stp import StpBridge, StpPortSettings, StpSettings
from vswitch.ofproto_dpif.settings import BundleSettings, MirrorSettings, PortSpec
from vswitch.ofproto_dpif.stats import SwitchStats
from vswitch.ofproto_dpif.upcall.packet_in import send_to_controllers
from vswitch.ofproto_dpif.upcall.packet_out import (
    StartedPacketOut,
    packet_out,
    packet_out_start,
    resume,
    send_packet,
)
from vswitch.ofproto_dpif.xlate.bridge import XBridge
from vswitch.ofproto_dpif.xlate.special import REASONS
from vswitch.ofproto_dpif.xlate.table_dpif import TableDpif
from vswitch.openflow.messages.meter import OFPM_SLOWPATH
from vswitch.vconn.controllers import Controllers
from vswitch.vconn.in_band import HostNeighbours, Neighbours, NoNeighbours
from vswitch.vconn.poller import Poller
from vswitch.vconn.tls import Tls

if TYPE_CHECKING:
    from vswitch.flow.match import Match
    from vswitch.monitor.ipfix import IpfixSettings
    from vswitch.monitor.netflow import NetFlowSettings
    from vswitch.monitor.sflow import SFlowSettings
    from vswitch.ofproto.meters import MeterCounts, MeterLimits
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto.tables import FlowModResult
    from vswitch.ofproto_dpif.facets.facet import Subfacet
    from vswitch.ofproto_dpif.facets.governor import Governor
    from vswitch.ofproto_dpif.roles import BridgeProtocol
    from vswitch.ofproto_dpif.xlate.bridge import XBundle, XMirror, XPort
    from vswitch.ofproto_dpif.xlate.queued_packet_in import QueuedPacketIn
    from vswitch.ofproto_dpif.xlate.special import PacketReceiver
    from vswitch.ofproto_dpif.xlate.types import XlateOut
    from vswitch.openflow.actions import Actions
    from vswitch.openflow.flow_mod import FlowMod
    from vswitch.openflow.messages.meter import MeterConfig
    from vswitch.openflow.messages.nicira import CtFlush, IpfixStats
    from vswitch.openflow.messages.packet import PacketIn
    from vswitch.openflow.messages.port import Port, PortStats
    from vswitch.openflow.messages.queue import QueueConfig, QueueStats

log = Vlog("ofproto_dpif")

"""Seconds until an unused MAC address is forgotten."""
PUSH_PAUSE: Final = 4
"""Statistics are pulled from the datapath on demand at most a fifth of the time."""
MAX_PACKET_INS: Final = 1000
"""Packet-ins that wait for controllers; more are dropped and counted."""

packet_in_dropped = coverage.counter("drop_packet_in_queue_full")
packet_in_queued = coverage.counter("packet_in_queued")


class Process(Protocol):
    """What the bridges of a process share (`Ofprotos` has it)."""

    clock: Clock
    clog: Clog
    poller: Poller
    tls: Tls
    port_queues: ofp_stats.PortQueues | None

    def backer(self, type: str) -> Backer:
        """The datapath of `type`, opened if it is not yet."""


def _seen(name: str) -> Any:
    """An attribute that translation sees: it lives in `OfprotoDpif.xbridge`."""
    return property(
        lambda self: getattr(self.xbridge, name), lambda self, value: setattr(self.xbridge, name, value)
    )


class OfprotoDpif(Ofproto):
    """One bridge. `Ofprotos.create` makes it; `construct` opens its datapath."""

    connmgr: ConnMgr
    has_bonded_bundles: bool = _seen("has_bonded_bundles")
    has_bundle_action: bool = _seen("has_bundle_action")
    has_mirrors: bool = _seen("has_mirrors")
    mcast_snooping: McastSnooping | None = _seen("mcast_snooping")
    has_in_band: bool = _seen("has_in_band")
    forward_bpdu: bool = _seen("forward_bpdu")
    ipfix: Any = _seen("ipfix")
    frag_handling: str = _seen("frag_handling")
    wants_packet_in_on_miss: bool = _seen("wants_packet_in_on_miss")
    miss_rule: Rule = _seen("miss_rule")
    no_packet_in_rule: Rule = _seen("no_packet_in_rule")
    drop_frags_rule: Rule = _seen("drop_frags_rule")

    def __init__(self, name: str, type: str, ofprotos: Process) -> None:
        self.name: str = name
        self.type: str = type
        self.clock: Clock = ofprotos.clock
        self.ofprotos = ofprotos
        self.backer: Backer
        self.xbridge: XBridge
        """What translation sees of the bridge."""
        self.ports: dict[int, XPort] = {}
        """OpenFlow port number -> port."""
        self.ports_by_name: dict[str, XPort] = {}
        self.port_specs: dict[str, PortSpec] = {}
        """How each port was asked for, also while its device is gone."""
        self.max_ports: int = 0
        self._next_push: int = 0
        self._accepts_unsupported: bool = False

    def construct(self) -> None:
        """Open the datapath and start with nothing in it. DpifError names the datapath; then
        nothing stays open that was not open before."""
        # dpif_create_and_open, dpif_get_max_ports, dpif_flow_flush, dpif_recv_purge and
        # dpif_recv_set, for the first bridge of a type.
        self.backer = self.ofprotos.backer(self.type)
        self.init_max_ports(self.backer.max_ports)
        self.datapath_changed()
        self.netflow: NetFlowExport | None = None
        self.sflow: SFlowExport | None = None
        self.ipfix_export: IpfixExport | None = None
        self.stp: StpBridge | None = None
        self.rstp: RstpBridge | None = None
        self.bonds: BondBridge | None = None
        self.link_changes: int = 0
        """Goes up whenever a port comes, goes, or has its link go up or down."""
        self.bundle_settings: dict[object, BundleSettings] = {}
        """How each bundle was asked for, also while it has no device."""
        self.facets: FacetTable = FacetTable()
        self.table_dpif: list[TableDpif] = [TableDpif(random.getrandbits(31)) for _ in range(N_TABLES)]
        """Per table: `catchall_table`, `other_table`, `basis`."""
        self.completions: Completions = Completions(self.ofprotos.clog)
        self.stats: SwitchStats = SwitchStats()
        """Packets that the switch itself made and ate."""
        self.monitors: PortMonitors = PortMonitors(self)
        """BFD, CFM and LLDP on the ports."""
        self.protocols: list[BridgeProtocol] = []
        """The protocols that the bridge speaks, in the order of their turns."""
        self.packet_ins: deque[QueuedPacketIn] = deque()
        """What controllers are to get, at most `MAX_PACKET_INS`."""
        self.rule_changes: rule_ops.RuleChanges = rule_ops.RuleChanges(self.table_dpif, self.backer)
        self.init_tables(N_TABLES, self.rule_changes, ConnMgr)
        self.tables.respite = self.backer.respite
        self._make_xbridge()
        self.learned: LearnedCookies = LearnedCookies(self.tables, self.clock)
        """Which learned flows go with the flows that made them."""
        self.tables.listeners.append(self.learned)
        self.flow_mods: rule_ops.FlowMods = rule_ops.FlowMods(
            self.tlv, self.tables, self.learned, self.clock
        )
        self.miss_rule, self.no_packet_in_rule, self.drop_frags_rule = (
            rule_ops.add_internal_flows(self, self.clock.now())
        )
        self.controllers: Controllers = Controllers(
            self, self.clock, self.ofprotos.poller, self.ofprotos.tls, self._neighbours()
        )
        """The bridge's OpenFlow connections."""
        self.backer.ofprotos[self.name] = self
        self.backer.dp.bridges[self.name] = self.xbridge

    def _neighbours(self) -> Neighbours:
        """Who knows the way to controllers."""
        opened = dpif_class(self.type).port_open_type("internal")
        is_dummy = open_type(opened, self.backer.scope).startswith("dummy")
        return NoNeighbours() if is_dummy else HostNeighbours()

    def _make_xbridge(self) -> None:
        """Make what translation sees of the bridge. The layers above and outside know its records by
        the names that they have here."""
        x = self.xbridge = XBridge(
            self.name, self.backer.dp, self.tables, self.groups, self.meters, self.tlv, self,
            self.table_dpif, random.getrandbits(31), self.backer.revalidate_set,
        )  # fmt: skip
        x.miss_tag = tag_random()
        x.ports = self.ports
        x.controllers = self
        self.mac_learning: MacLearning = MacLearning(MAC_ENTRY_DEFAULT_IDLE_TIME * 1000)
        x.mac_learning = self.mac_learning
        self.bundles: dict[object, XBundle] = x.bundles
        """Settings key (as given to `bundle_set`) -> bundle."""
        self.mirrors: list[XMirror | None] = x.mirrors
        self.vlandev_map: dict[int, tuple[int, int]] = x.vlandev_map
        self.realdev_vid_map: dict[tuple[int, int], int] = x.realdev_vid_map

    def destruct(self) -> None:
        """Take the bridge's ports and flows out of the datapath."""
        self.controllers.close()
        if self.netflow is not None:
            self.netflow.close()
        if self.sflow is not None:
            self.sflow.close()
        if self.ipfix_export is not None:
            self.ipfix_export.close()
        backer = self.backer
        now = self.clock.now()
        backer.installer.flush(self.facets, now)
        self.meters.close()
        backer.ofprotos.pop(self.name, None)
        backer.dp.bridges.pop(self.name, None)
        backer.dp.recirc_ids.flush(self.name)
        for name in list(self.port_specs):
            if name in self.ports_by_name:
                with contextlib.suppress(OSError):
                    port_ops.port_del(self, name)
        self.protocols.clear()
        backer.need(RevReason.RECONFIGURE)

    # What the backer keeps for all its bridges.

    @property
    def need_revalidate(self) -> int:
        """`RevReason` of the next full revalidation, 0 for none."""
        return self.backer.need_revalidate

    @property
    def revalidate_set(self) -> TagSet:
        """Tags of the facets that the next revalidation must look at."""
        return self.backer.revalidate_set

    @property
    def governor(self) -> Governor | None:
        """There while misses come faster than flows are worth installing."""
        return self.backer.governor

    @property
    def next_expiration(self) -> int:
        """Clock ms of the next round of expiration."""
        return self.backer.expiration.next_expiration

    @property
    def subfacets(self) -> list[Subfacet]:
        """The datapath flows of this bridge."""
        return [s for s in self.backer.subfacets.values() if s.facet.bridge is self.xbridge]

    @property
    def vlan_limit(self) -> int:
        """How many VLAN tags a packet can have to flow tables."""
        return self.backer.vlan_limit

    # Ports.

    def ofport(self, ofp_port: int) -> XPort | None:
        """The port with OpenFlow number `ofp_port`."""
        return self.ports.get(ofp_port)

    def port_add(self, name: str, type: str = "system", ofp_port: int | None = None,
                 options: dict[str, str] | None = None) -> XPort:
        """Add a port (`ports.port_add`)."""
        return port_ops.port_add(self, name, type, ofp_port, options)

    def port_del(self, name: str) -> None:
        """Remove a port (`ports.port_del`)."""
        port_ops.port_del(self, name)

    def port_return(self, name: str) -> bool:
        """Bring back a port that somebody took out of the datapath (`ports.port_return`)."""
        return port_ops.port_return(self, name)

    def port_set_config(self, name: str, config: int) -> None:
        """Set the OFPPC_* bits of a port."""
        port_ops.set_config(self, self.ports_by_name[name], config)

    def port_set_options(self, name: str, options: dict[str, str]) -> None:
        """Change the options of a port, such as a patch port's peer."""
        port_ops.set_options(self, name, options)

    def port_set_dscps(self, name: str, dscps: Mapping[int, int]) -> None:
        """Have packets that leave through port `name` get their queue's DSCP (0 to 63): queue -> DSCP."""
        priority = self.backer.dpif.queue_to_priority
        wanted = {priority(queue): dscp << 2 for queue, dscp in dscps.items()}
        port = self.ports_by_name[name]
        if port.dscp_of_queue != wanted:
            port.dscp_of_queue = wanted
            self.backer.need(RevReason.RECONFIGURE)

    def port_stats(self, port: XPort) -> dict[str, int]:
        """The counters of a port (`ports.port_stats`)."""
        return port_ops.port_stats(self, port)

    def ports_polled(self, names: set[str] | None) -> None:
        """The datapath says that devices changed."""
        port_ops.ports_polled(self, names)

    def set_netflow(self, settings: NetFlowSettings | None) -> None:
        """Export the bridge's flows as `settings` say; None: not at all."""
        if settings is None:
            if self.netflow is not None:
                self.netflow.close()
                self.netflow = None
        elif self.netflow is None:
            self.netflow = NetFlowExport(self, settings)
        else:
            self.netflow.configure(settings)

    def set_sflow(self, settings: SFlowSettings | None) -> None:
        """Sample the bridge's packets as `settings` say; None: not at all."""
        if settings is None:
            if self.sflow is not None:
                self.sflow.close()
                self.sflow = None
        elif self.sflow is None:
            self.sflow = SFlowExport(self, settings)
        else:
            self.sflow.configure(settings)

    def set_ipfix(self, bridge: IpfixSettings | None, flows: Mapping[int, IpfixSettings]) -> None:
        """Export what the bridge samples as `bridge` says, and what its `sample` actions take as `flows` say,
        by the number of the set of collectors."""
        if bridge is None and not flows:
            if self.ipfix_export is not None:
                self.ipfix_export.close()
                self.ipfix_export = None
            return
        if self.ipfix_export is None:
            self.ipfix_export = IpfixExport(self)
        self.ipfix_export.configure(bridge, flows)

    def ipfix_bridge_stats(self) -> IpfixStats | None:
        """What the bridge's IPFIX exporter counted; None: there is none."""
        exporter = self.ipfix_export.bridge if self.ipfix_export is not None else None
        return None if exporter is None else exporter.stats(0)

    def ipfix_flow_stats(self) -> list[IpfixStats] | None:
        """What the exporters of sample actions counted; None: there are none."""
        flows = self.ipfix_export.flows if self.ipfix_export is not None else {}
        return [flows[number].stats(number) for number in sorted(flows)] or None

    # Protocols that the bridge speaks itself.

    def add_protocol(self, protocol: BridgeProtocol) -> None:
        """Give `protocol` its turns from now on."""
        self.protocols.append(protocol)

    def remove_protocol(self, protocol: BridgeProtocol) -> None:
        """No more turns for `protocol`. Its receivers are its own to take away (`listen`)."""
        self.protocols.remove(protocol)

    def listen(self, port: XPort, reason: int, receiver: PacketReceiver | None) -> None:
        """Give the packets of a protocol that come in at `port` to `receiver`, None: to nobody.
        `reason` is the SLOW_* bit of its row in `xlate/special.py`."""
        if reason not in REASONS:
            raise ValueError(f"no row of special packets has reason {reason:#x}")
        if port.receivers.get(reason) is receiver:
            return
        if receiver is None:
            del port.receivers[reason]
            port.listens &= ~reason
        else:
            port.receivers[reason] = receiver
            port.listens |= reason
        self.backer.need(RevReason.RECONFIGURE)

    def send_packet(self, port: XPort, packet: bytes, oam: bool = False) -> bool:
        """Send a packet that the switch itself made out of `port`, past the flow tables; whether it went.
        What doesn't go is counted. `oam` marks it in a tunnel's header."""
        return send_packet(self, port, packet, oam)

    def set_stp(self, settings: StpSettings | None, ports: dict[str, StpPortSettings]) -> None:
        """Speak STP at `ports` (by name), or (None) no longer."""
        if settings is None:
            if self.stp is not None:
                self.stp.close()
                self.stp = None
            return
        if self.stp is None:
            self.stp = StpBridge(self, settings, self.clock.now())
        self.stp.configure(settings, ports, self.clock.now())

    def set_rstp(self, settings: RstpSettings | None, ports: dict[str, RstpPortSettings]) -> None:
        """Speak RSTP at `ports` (by name), or (None) no longer."""
        if settings is None:
            if self.rstp is not None:
                self.rstp.close()
                self.rstp = None
            return
        if self.rstp is None:
            self.rstp = RstpBridge(self, settings, self.clock.now())
        self.rstp.configure(settings, ports, self.clock.now())

    def run(self, now: int) -> bool:
        """One turn of what is the bridge's alone: controllers and protocols. True if there is more to
        do at once."""
        self.connmgr.run(now)
        more = self.controllers.run(now)
        for protocol in list(self.protocols):
            protocol.run(now)
        return more

    def wakeup(self, now: int) -> int:
        """Clock ms of the bridge's next timer."""
        when = min(self.connmgr.wakeup(now), self.controllers.wakeup(now))
        for protocol in self.protocols:
            when = min(when, protocol.wakeup(now))
        return when

    @property
    def port_queues(self) -> ofp_stats.PortQueues | None:
        """What tells of the queues of a port."""
        return self.ofprotos.port_queues

    # Bundles and mirrors.

    def bundle_set(self, aux: object, settings: BundleSettings | None) -> None:
        """Make, change or (None) remove the bundle named by `aux`."""
        bundle_ops.bundle_set(self, aux, settings)
        if self.bonds is None and settings is not None and (settings.bond or settings.lacp):
            self.bonds = BondBridge(self)
        if self.bonds is not None:
            self.bonds.sync(self.clock.now())
            if not self.bonds.bundles:
                self.bonds.close()
                self.bonds = None

    def mirror_set(self, aux: object, settings: MirrorSettings | None) -> None:
        """Make, change or (None) remove the mirror named by `aux`."""
        bundle_ops.mirror_set(self, aux, settings)

    # Rules.

    def flow_mod(self, flow_mod: FlowMod, done: Callable[[], None] | None = None) -> FlowModResult:
        """Change the flow tables; `done` is called when the change is complete. OfpError: it is
        refused, and nothing changed."""
        if self.lacks and flow_mod.command not in rule_ops.DELETES:
            self.tables.check_writable(flow_mod)
            self.check_possible(flow_mod)
        result = self.flow_mods.carry_out(flow_mod)
        if done is not None:
            self.completions.complete(done)
        return result

    def check_possible(self, flow_mod: FlowMod) -> None:
        """OfpError: the datapath lacks something that the flow needs."""
        if self.lacks:
            check(flow_mod, self.lacks, self.clock.now())

    def datapath_changed(self) -> None:
        """What is used of the datapath is other than it was: other flows are refused."""
        self.lacks: Lacks = frozenset() if self._accepts_unsupported else lacking(self.backer.support)

    def accept_unsupported_flows(self, accept: bool) -> None:
        """Take flows that the datapath can't carry out, whose packets are then dropped, or refuse them."""
        self._accepts_unsupported = accept
        self.datapath_changed()

    def expire(self, now: int) -> None:
        """One second's round of rules and MAC addresses."""
        self.tables.expire(now)
        self.learned.flush()
        self.revalidate_set.update(self.mac_learning.expire(now))
        if self.mcast_snooping is not None and self.mcast_snooping.expire(now):
            self.multicast_changed()

    # Groups and meters.

    def group_changed(self, group_id: int) -> None:
        """A group came, went, or was modified: what used it is translated anew."""
        self.revalidate_set.add(self.xbridge.group_tag(group_id))

    def groups_may_choose_anew(self) -> None:
        """A port or a link came up or went down: what chose among watched buckets is translated anew."""
        for group in self.groups.by_id.values():
            if group.watches:
                self.revalidate_set.add(self.xbridge.group_tag(group.group_id))

    def meter_limits(self) -> MeterLimits:
        """What the datapath's meters can do."""
        return self.backer.meters.limits()

    def meter_set(self, number: int | None, config: MeterConfig) -> int:
        """Make (None) or change a meter of the datapath; its number there. OfpError: refused."""
        return self.backer.meters.set(number, config)

    def meter_get(self, number: int) -> MeterCounts:
        """What a meter of the datapath counted."""
        return self.backer.meters.get(number)

    def meter_del(self, number: int) -> None:
        """Delete a meter of the datapath."""
        self.backer.meters.delete(number)

    def meter_changed(self, meter_id: int) -> None:
        """A meter came or went: what asked for it is translated anew."""
        if meter_id == OFPM_SLOWPATH:
            # What the datapath has for a flow of the slow path says nothing of its translation.
            self.backer.installer.flush(self.facets, self.clock.now())
        self.revalidate_set.add(self.xbridge.meter_tag(meter_id))

    # MAC table.

    def flush_mac_table(self) -> None:
        """Forget all learned addresses."""
        self.mac_learning.flush(self.now())
        self.backer.need(RevReason.MAC_LEARNING)

    def set_multicast_snooping(self, enabled: bool) -> None:
        """Snoop on IGMP and MLD, or let multicast packets go to all again."""
        if enabled != (self.mcast_snooping is not None):
            self.mcast_snooping = McastSnooping() if enabled else None
            self.backer.need(RevReason.RECONFIGURE)

    def multicast_changed(self) -> None:
        """What depends on the multicast snooping table is translated anew."""
        self.revalidate_set.add(self.xbridge.mcast_tag)

    def flush_multicast(self) -> None:
        """Forget all multicast groups and routers."""
        if self.mcast_snooping is not None and self.mcast_snooping.flush():
            self.multicast_changed()

    # Controllers.

    def now(self) -> int:
        """Clock ms."""
        return self.clock.now()

    def ofp_ports(self) -> list[Port]:
        """The ports as OpenFlow describes them, by number."""
        return port_ops.ofp_ports(self)

    def ofp_port(self, number: int) -> Port | None:
        """One port as OpenFlow describes it."""
        return port_ops.ofp_port(self, number)

    def ofp_port_stats(self, number: int) -> PortStats | None:
        """What a port counted."""
        return ofp_stats.port_stats(self, number)

    def ofp_queues(self, number: int) -> list[QueueConfig]:
        """The queues of a port."""
        return ofp_stats.queues(self, number)

    def ofp_queue_stats(self, number: int) -> list[QueueStats]:
        """What the queues of a port counted."""
        return ofp_stats.queue_stats(self, number)

    def tables_reconfigured(self) -> None:
        """Misses mean something else from now on."""
        self.backer.need(RevReason.RECONFIGURE)

    def options_reconfigured(self) -> None:
        """What was cached of packets has their tunnel options where they no longer are."""
        self.backer.installer.flush(self.facets, self.clock.now())

    def ct_flush(self, request: CtFlush) -> None:
        """Forget tracked connections."""
        try:
            self.backer.dpif.ct_flush(request.zone_id, ct_flush.wanted(request))
        except DpifError as error:
            log.warn("%s: flushing connections: %s", self.name, error)

    def set_frag_handling(self, handling: str) -> None:
        """Treat IP fragments as `handling` says."""
        self.frag_handling = handling
        self.backer.need(RevReason.RECONFIGURE)

    def complete(self, done: Callable[[], None]) -> None:
        """Call `done` when nothing clogs it, and no packet takes an action that is gone."""
        self.catch_up()
        self.completions.complete(done)

    def catch_up(self) -> None:
        """Have the datapath do what the tables say by now (`Backer.catch_up`)."""
        self.backer.catch_up(self.clock.now())

    def push_stats(self) -> None:
        """Bring the counters of rules up to date with the datapath; those who ask again and again
        get what is known, lest they take all the time."""
        now = self.clock.now()
        if now >= self._next_push:
            self.backer.settle(now)
            self._next_push = now + PUSH_PAUSE * (self.clock.now() - now)

    def set_wants_packet_in_on_miss(self, wanted: bool) -> None:
        """Whether packets that match no flow go to controllers."""
        if wanted != self.wants_packet_in_on_miss:
            self.wants_packet_in_on_miss = wanted
            self.backer.revalidate_set.add(self.xbridge.miss_tag)

    def packet_out(self, packet: bytes, in_port: int, actions: Actions,
                   metadata: Match | None = None) -> XlateOut:
        """Run OpenFlow `actions` on a packet as if it had come in at `in_port` (OFPP_NONE: nowhere),
        with the pipeline fields of `metadata`."""
        return packet_out(self, packet, in_port, actions, metadata)

    def packet_out_start(self, packet: bytes, in_port: int, actions: Actions,
                         metadata: Match | None = None) -> StartedPacketOut:
        """Translate a packet-out; what is returned sends it."""
        return packet_out_start(self, packet, in_port, actions, metadata)

    def resume(self, packet_in: PacketIn) -> None:
        """Go on with a packet where a controller action paused (`packet_out.resume`)."""
        resume(self, packet_in)

    def send_packet_in(self, packet_in: QueuedPacketIn) -> None:
        """Give a packet to the controllers. Without any it is queued for `Switch.packet_ins`, or dropped
        and counted if too many wait."""
        if self.connmgr.conns:
            send_to_controllers(self, packet_in)
            if self.connmgr.has_controllers():
                return
        if len(self.packet_ins) >= MAX_PACKET_INS:
            packet_in_dropped.inc()
            return
        packet_in_queued.inc()
        self.packet_ins.append(packet_in)
