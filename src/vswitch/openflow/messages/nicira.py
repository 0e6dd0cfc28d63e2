"""Nicira's extension messages that have no counterpart in OpenFlow."""

from __future__ import annotations

from vswitch.base.records import dataclass

NXFF_OPENFLOW10 = 0
NXFF_NXM = 2

NXPIF_STANDARD = 0
NXPIF_NXT_PACKET_IN = 1
NXPIF_NXT_PACKET_IN2 = 2

NXTTMC_ADD = 0
NXTTMC_DELETE = 1
NXTTMC_CLEAR = 2


@dataclass(frozen=True)
class SetFlowFormat:
    """Describe flows in this format (NXFF_*); 1.0 only."""

    format: int


@dataclass(frozen=True)
class FlowModTableId:
    """Whether the upper byte of a flow mod's command is a table number, in 1.0 and Nicira's form."""

    enable: bool


@dataclass(frozen=True)
class SetPacketInFormat:
    """Send packet-ins in this format (NXPIF_*)."""

    format: int


@dataclass(frozen=True)
class FlowAge:
    """Tell idle and hard ages in Nicira's flow statistics."""


@dataclass(frozen=True)
class SetControllerId:
    """This connection is controller `controller_id`."""

    controller_id: int


@dataclass(frozen=True)
class TlvMap:
    """A tunnel option (class, type, length in bytes) that tun_metadata field number `index` stands for."""

    option_class: int
    option_type: int
    option_len: int
    index: int


@dataclass(frozen=True)
class TlvTableMod:
    """Add, delete (NXTTMC_*) mappings, or clear the table."""

    command: int
    mappings: tuple[TlvMap, ...] = ()


@dataclass(frozen=True)
class TlvTableRequest:
    """Which mappings are there?"""


@dataclass(frozen=True)
class TlvTableReply:
    """The mappings; how many bytes of options and how many fields there may be."""

    max_option_space: int = 0
    max_fields: int = 0
    mappings: tuple[TlvMap, ...] = ()


@dataclass(frozen=True)
class CtFlushZone:
    """Forget all connections of a zone."""

    zone_id: int


@dataclass(frozen=True)
class CtTuple:
    """What is known of one direction of a connection; None: anything.

    Addresses have 128 bits, those of IPv4 mapped into IPv6 (::ffff:a.b.c.d).
    """

    src: int | None = None
    dst: int | None = None
    src_port: int | None = None
    dst_port: int | None = None
    icmp_id: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


@dataclass(frozen=True)
class CtFlush:
    """Forget the connections that fit: of protocol `nw_proto` (0: any), with these tuples, in this zone."""

    nw_proto: int = 0
    orig: CtTuple = CtTuple()
    reply: CtTuple = CtTuple()
    zone_id: int | None = None


@dataclass(frozen=True)
class IpfixBridgeStatsRequest:
    """What did the bridge's IPFIX exporter count?"""


@dataclass(frozen=True)
class IpfixFlowStatsRequest:
    """What did the exporters of sample actions count?"""


@dataclass(frozen=True)
class IpfixStats:
    """Counters of one exporter."""

    collector_set_id: int = 0
    total_flows: int = 0
    current_flows: int = 0
    total_pkts: int = 0
    ipv4_pkts: int = 0
    ipv6_pkts: int = 0
    error_pkts: int = 0
    ipv4_error_pkts: int = 0
    ipv6_error_pkts: int = 0
    tx_pkts: int = 0
    tx_errors: int = 0


@dataclass(frozen=True)
class IpfixBridgeStatsReply:
    """The exporter's counters."""

    stats: IpfixStats


@dataclass(frozen=True)
class IpfixFlowStatsReply:
    """Each exporter's counters."""

    stats: tuple[IpfixStats, ...] = ()
    more: bool = False
