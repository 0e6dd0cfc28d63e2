"""A bridge: an OpenFlow switch whose packets a datapath forwards."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from vswitch.base.tags import tag_deterministic

if TYPE_CHECKING:
    from vswitch.base.clock import Clock
    from vswitch.base.tags import TagSet
    from vswitch.flow.flow import Flow
    from vswitch.l2.mac_learning import MacLearning
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto.tables import Tables
    from vswitch.ofproto_dpif.backer import Backer
    from vswitch.ofproto_dpif.bundle import Bundle, OfportDpif
    from vswitch.ofproto_dpif.mirror import Mirror

N_TABLES = 255
"""Tables 0..253 belong to controllers; the last is the switch's own."""
TBL_INTERNAL = N_TABLES - 1
MAX_MIRRORS = 32
MAC_ENTRY_DEFAULT_IDLE_TIME = 300
"""Seconds until an unused MAC address is forgotten."""


class TableDpif:
    """What tag-based revalidation keeps of one table.

    `basis` seeds the tags. `catchall_table` is the mask-less subtable if the table has one,
    `other_table` the single other mask that all remaining rules share; with more masks than
    that the whole table is one tag.
    """

    __slots__ = ("basis", "catchall_table", "other_table")

    def __init__(self, basis: int) -> None:
        self.basis: int = basis
        self.catchall_table: Flow | None = None
        self.other_table: Flow | None = None

    def tag(self, flow: Flow) -> int:
        """The tag of `flow` under the mask of `other_table`."""
        if self.other_table is None:
            return 0
        return tag_deterministic(flow.masked(self.other_table).hash() ^ self.basis)


class OfprotoDpif:
    """One bridge. `Ofprotos.create` makes it, `construct` opens its datapath."""

    name: str
    type: str
    clock: Clock
    backer: Backer
    ports: dict[int, OfportDpif]
    """OpenFlow port number -> port."""
    ports_by_name: dict[str, OfportDpif]
    max_ports: int
    tables: Tables
    """The rules: 255 tables, the last hidden and read-only."""
    table_dpif: list[TableDpif]
    miss_rule: Rule
    """TBL_INTERNAL: a table miss that goes to the controller."""
    no_packet_in_rule: Rule
    """TBL_INTERNAL: a table miss on a port with OFPPC_NO_PACKET_IN."""
    drop_frags_rule: Rule
    """TBL_INTERNAL: fragments while `frag_handling` is "drop"."""
    frag_handling: str
    """"normal", "drop" or "nx-match"."""
    mac_learning: MacLearning
    bundles: dict[object, Bundle]
    """Settings key (as given to `bundle_set`) -> bundle."""
    has_bonded_bundles: bool
    has_bundle_action: bool
    mirrors: list[Mirror | None]
    """MAX_MIRRORS slots; the index is the bit in mirror bitmaps."""
    has_mirrors: bool
    netflow: Any
    sflow: Any
    ipfix: Any
    stp: Any
    rstp: Any
    mcast_snooping: Any
    forward_bpdu: bool
    """Whether NORMAL forwards reserved multicast addresses (01:80:c2:00:00:0x)."""
    vlandev_map: dict[int, tuple[int, int]]
    """VLAN device's OpenFlow port -> (real device's OpenFlow port, VID)."""
    realdev_vid_map: dict[tuple[int, int], int]
    """(real device's OpenFlow port, VID) -> VLAN device's OpenFlow port."""
    packet_ins: deque[Any]
    """`SendPacketIn` effects that controllers take (bounded)."""

    @property
    def need_revalidate(self) -> int:
        return self.backer.need_revalidate

    @property
    def revalidate_set(self) -> TagSet:
        return self.backer.revalidate_set

    def ofport(self, ofp_port: int) -> OfportDpif | None:
        """The port with OpenFlow number `ofp_port`."""
        return self.ports.get(ofp_port)

    def table_tag(self, table_id: int, flow: Flow) -> int:
        """The tag of what a lookup of `flow` in `table_id` depends on; 0 where the table has no tags.

        Translation ors this into its tags for every table that it visits.
        """
        return self.table_dpif[table_id].tag(flow)
