"""`Ofproto`: an OpenFlow switch without a datapath, and what a datapath under it must do.

What OpenFlow alone decides (tables, flow mods, timeouts, port numbers, the switch's own rules)
is here; a provider (`ofproto_dpif.OfprotoDpif`) fills in the abstract methods. No I/O and no
clock: times come in as `now`, in ms.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Protocol

from vswitch.base.version import OVS_VERSION
from vswitch.flow.fields import by_name
from vswitch.flow.match import Match
from vswitch.ofproto.group_refs import ActionRefs
from vswitch.ofproto.groups import Groups
from vswitch.ofproto.meters import MeterCounts, MeterLimits, Meters
from vswitch.ofproto.ports import PortNumbers
from vswitch.ofproto.rule import Rule
from vswitch.ofproto.tables import FlowModResult, RuleListener, Tables
from vswitch.ofproto.tlv import TlvTable
from vswitch.openflow.actions import Actions
from vswitch.openflow.constants import OFPP_MAX
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.messages.meter import MeterConfig
from vswitch.openflow.messages.nicira import CtFlush, IpfixStats
from vswitch.openflow.messages.packet import PacketIn
from vswitch.openflow.messages.port import Port, PortStats
from vswitch.openflow.messages.queue import QueueConfig, QueueStats
from vswitch.openflow.wire.version import OFP10

_REG0: Final = by_name("reg0")


class StartedPacketOut(Protocol):
    """A packet-out of which it is known what it does. One of the two is called, once."""

    def finish(self) -> object:
        """Do it."""

    def cancel(self) -> None:
        """Don't."""


class Connections(Protocol):
    """The OpenFlow connections of a switch, as the switch sees them: `connmgr.ConnMgr`."""

    @property
    def n_tell_removed(self) -> int:
        """How many flows have OFPFF_SEND_FLOW_REM."""

    def run(self, now: int) -> None:
        """One turn of the main loop."""

    def wakeup(self, now: int) -> int:
        """Clock ms of the next timer."""

    def has_controllers(self) -> bool:
        """Whether a primary connection is there."""

    def hold(self) -> None:
        """Keep what the tables report until `release`."""

    def release(self, happened: bool) -> None:
        """Report what was held since `hold`, or forget it: it has been undone."""

    def send_packet_in(self, pin: PacketIn, max_len: int, controller_id: int, now: int) -> bool:
        """A packet for controllers of `controller_id`; whether anybody wanted it."""

    def send_port_status(
        self, reason: int, port: Port, oldest: int = OFP10, told: Port | None = None
    ) -> None:
        """A port came, went or changed (OFPPR_*) since it was `told`."""


class Ofproto(ABC):
    """One switch. `construct` comes first and calls `init_max_ports` and `init_tables`; `destruct`
    comes last. All methods are called from the main thread."""

    name: str
    """The switch's name, such as "br0"."""
    type: str
    """The datapath type that it runs over: "system", "netdev"."""
    max_ports: int
    """One more than the highest OpenFlow number that a port can have."""
    port_numbers: PortNumbers
    tables: Tables
    groups: Groups
    meters: Meters
    tlv: TlvTable
    """What tun_metadata fields stand for."""
    connmgr: Connections
    """The OpenFlow connections."""
    frag_handling: str
    """"normal", "drop" or "nx-match"."""
    has_in_band: bool = False
    """Whether a controller is reached in-band, through the switch itself."""
    datapath_id: int = 0
    """Who the switch is to its controllers; 64 bits."""
    mfr_desc: str = "Nicira, Inc."
    hw_desc: str = "Open vSwitch"
    sw_desc: str = OVS_VERSION
    serial_desc: str = "None"
    """`other_config:dp-sn`."""
    dp_desc: str = "None"
    """`other_config:dp-desc`."""
    bundle_idle_timeout: int = 10
    """`other_config:bundle-idle-timeout`: s without a message after which a bundle is discarded."""

    @property
    @abstractmethod
    def vlan_limit(self) -> int:
        """How many VLAN tags a packet can have to flow tables, 1 or 2."""

    # Life.

    @abstractmethod
    def construct(self) -> None:
        """Open what is below. An error leaves nothing open that was not open before."""

    @abstractmethod
    def destruct(self) -> None:
        """Give up ports, flows and what else `construct` and later calls took."""

    def init_max_ports(self, max_ports: int) -> None:
        """The limit of ports is the datapath's `max_ports` or OpenFlow's, whichever is smaller."""
        self.max_ports = min(max_ports, OFPP_MAX)
        self.port_numbers = PortNumbers(self.max_ports)

    def init_tables(
        self, n_tables: int, listener: RuleListener, connections: Callable[[Ofproto], Connections]
    ) -> None:
        """`n_tables` empty tables, the last hidden and read-only. `listener` hears of every rule
        that comes, changes or goes, after it did; `connections` makes what controllers connect to."""
        self.tables = Tables(n_tables)
        internal = self.tables[n_tables - 1]
        internal.hidden = True
        internal.readonly = True
        self.tables.listeners.append(listener)
        refs = ActionRefs()
        self.tables.listeners.append(refs)
        self.groups = Groups(self.tables, refs, self)
        self.meters = Meters(self.tables, refs, self)
        refs.groups = self.groups.by_id
        refs.meters = self.meters.by_id
        self.tables.check = refs
        self.tlv = TlvTable()
        self.connmgr = connections(self)
        assert isinstance(self.connmgr, RuleListener)
        self.tables.listeners.append(self.connmgr)

    @abstractmethod
    def now(self) -> int:
        """Clock ms."""

    # Ports.

    @abstractmethod
    def port_add(self, name: str, type: str = "system", ofp_port: int | None = None,
                 options: dict[str, str] | None = None) -> object:
        """Attach device `name`; `ofp_port` asks for a number, OFPP_LOCAL for the local port.

        OSError: EEXIST if the name is taken, EFBIG if no number is free, or what the device says.
        """

    @abstractmethod
    def port_del(self, name: str) -> None:
        """Detach a port. OSError(ENODEV): there is none."""

    @abstractmethod
    def port_set_config(self, name: str, config: int) -> None:
        """Set a port's OFPPC_* bits."""

    @abstractmethod
    def ports_polled(self, names: set[str] | None) -> None:
        """Devices `names` (None: any) changed: follow them."""

    @abstractmethod
    def ofp_ports(self) -> list[Port]:
        """The ports as OpenFlow describes them, the local port first, by number."""

    @abstractmethod
    def ofp_port(self, number: int) -> Port | None:
        """One port as OpenFlow describes it."""

    @abstractmethod
    def ofp_port_stats(self, number: int) -> PortStats | None:
        """What a port counted; None if its device can't tell."""

    def ofp_queues(self, number: int) -> list[QueueConfig]:
        """The queues of a port."""
        return []

    def ofp_queue_stats(self, number: int) -> list[QueueStats]:
        """What the queues of a port counted."""
        return []

    # Rules.

    def add_internal_flow(self, number: int, actions: Actions, now: int) -> Rule:
        """Add a rule of the switch's own to the last table, distinguished from others by reg0 = `number`."""
        match = Match()
        match.set(_REG0, number)
        return self.add_internal_rule(match, 0, actions, now)

    def add_internal_rule(self, match: Match, priority: int, actions: Actions, now: int) -> Rule:
        """Add any rule of the switch's own to the last table."""
        rule = Rule(match, priority, len(self.tables) - 1, actions, now=now)
        rule.hidden = True
        rule.readonly = True
        self.tables.insert(rule)
        return rule

    @abstractmethod
    def flow_mod(self, flow_mod: FlowMod, done: Callable[[], None] | None = None) -> FlowModResult:
        """Change the flow tables; `done` is called when the change is complete everywhere.

        OfpError: it is refused, and nothing changed.
        """

    @abstractmethod
    def tables_reconfigured(self) -> None:
        """What a table does with packets that match no flow has changed."""

    @abstractmethod
    def options_reconfigured(self) -> None:
        """`tlv` has changed: tunnel options lie elsewhere in flows from now on."""

    @abstractmethod
    def check_possible(self, flow_mod: FlowMod) -> None:
        """OfpError: the datapath could not carry out the flow."""

    def check_references(self, actions: Actions) -> None:
        """OfpError: `actions` use a group (OFPBAC_BAD_OUT_GROUP) or a meter (OFPMMFC_INVALID_METER) that
        there is not."""
        self.groups.refs.check_references(actions)

    # Groups and meters: what `groups.GroupListener` and `meters.MeterProvider` ask for.

    @abstractmethod
    def group_changed(self, group_id: int) -> None:
        """A group came, went, or was modified: what was made of it is stale."""

    @abstractmethod
    def meter_limits(self) -> MeterLimits:
        """What meters can do here; all 0 where there are none."""

    @abstractmethod
    def meter_set(self, number: int | None, config: MeterConfig) -> int:
        """Make (None) or change a meter; its number, the provider's own. OfpError: refused."""

    @abstractmethod
    def meter_get(self, number: int) -> MeterCounts:
        """What a meter counted; zeros if it is gone."""

    @abstractmethod
    def meter_del(self, number: int) -> None:
        """Delete a meter."""

    @abstractmethod
    def meter_changed(self, meter_id: int) -> None:
        """A meter came or went, perhaps a virtual one that translations use."""

    # Packets.

    @abstractmethod
    def packet_out(self, packet: bytes, in_port: int, actions: Actions,
                   metadata: Match | None = None) -> object:
        """Run `actions` on a packet as if it had come in at `in_port` (OFPP_NONE: nowhere), with the
        pipeline fields (registers, tunnel...) that `metadata` has."""

    @abstractmethod
    def packet_out_start(self, packet: bytes, in_port: int, actions: Actions,
                         metadata: Match | None = None) -> StartedPacketOut:
        """Find out what `packet_out` would do with the tables as they are, and do it later."""

    def resume(self, packet_in: PacketIn) -> None:
        """Go on where a controller action paused (`packet_in.continuation`).

        OfpError: NXR_STALE: the continuation means nothing, or no longer.
        """
        raise OfpError("NXR_NOT_SUPPORTED", "no pipeline was paused")

    def ct_flush(self, request: CtFlush) -> None:
        """Forget the tracked connections that `request` means. OfpError: there is no connection tracking."""
        raise OfpError("OFPBRC_BAD_TYPE", "no connection tracking")

    # Monitoring.

    def ipfix_bridge_stats(self) -> IpfixStats | None:
        """What the bridge's IPFIX exporter counted; None: there is none."""
        return None

    def ipfix_flow_stats(self) -> list[IpfixStats] | None:
        """What the exporters of sample actions counted; None: there are none."""
        return None

    @abstractmethod
    def set_frag_handling(self, handling: str) -> None:
        """Treat IP fragments as "normal", "drop" or "nx-match" says, from the next packet on."""

    # Controllers.

    @abstractmethod
    def complete(self, done: Callable[[], None]) -> None:
        """Call `done` when all changes so far are complete, at once if they are."""

    @abstractmethod
    def catch_up(self) -> None:
        """Have packets from now on meet the tables as they are."""

    @abstractmethod
    def push_stats(self) -> None:
        """Bring the counters of rules, groups and meters up to date with the datapath."""

    @abstractmethod
    def set_wants_packet_in_on_miss(self, wanted: bool) -> None:
        """Whether packets that match no flow, in a table without a setting of its own, go to
        controllers."""
