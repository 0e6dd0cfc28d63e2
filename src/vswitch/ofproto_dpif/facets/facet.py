"""Facets: cached translations, and the datapath flows made from them.

A `Facet` is the translation of every packet that agrees with `flow` in the bits of `mask`; a
`Subfacet` is one flow that the datapath holds for it. Usually there is one of each. A facet that
doesn't look at the VLAN has one for each VLAN that its packets come in, because the datapath tells
them apart (`dpif/key_mask.py`); likewise for numbers of MPLS labels, orders of tunnel options, and
VLAN splinters: tagged packets of the real device and packets of the VLAN device are one flow to
OpenFlow and two to the datapath.

Counters go subfacet -> facet -> effects (rules, tables, ports, mirrors, MAC entries), each
packet once: a subfacet remembers what the datapath said last and passes on the difference.

Facets of one bridge live in a `FacetTable`, grouped by mask. A facet has to hold the flow it
was made from, because it may be translated again; packed it takes 9 bytes a non-zero word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, final

from librt.strings import BytesWriter, read_i64_be, write_i64_be
from librt.vecs import vec
from mypy_extensions import i64

from vswitch.dpif.actions import Actions
from vswitch.dpif.ops import FlowStats
from vswitch.flow.flow import Flow
from vswitch.flow.layout import N_WORDS
from vswitch.flow.mask_words import picked, words_with_bits
from vswitch.ofproto_dpif.xlate.effects import CreditedEffect, credit

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.xlate.bridge import XBridge

SF_NOT_INSTALLED: Final = 0
"""The datapath has no flow for the subfacet (any more)."""
SF_FAST_PATH: Final = 1
"""The datapath forwards by itself."""
SF_SLOW_PATH: Final = 2
"""The datapath sends every packet up."""

PATH_NAMES: Final = ("not installed", "fast path", "slow path")


def pack_flow(flow: Flow) -> bytes:
    """The non-zero words of `flow`: a byte of word number, eight of word, for each."""
    out = BytesWriter()
    words = flow.words
    i: i64 = 0
    while i < N_WORDS:
        word = words[i]
        if word != 0:
            out.append(int(i))
            write_i64_be(out, word)
        i += 1
    return out.getvalue()


def unpack_flow(packed: bytes) -> Flow:
    """The flow that `pack_flow` packed."""
    flow = Flow()
    words = flow.words
    at: i64 = 0
    end: i64 = len(packed)
    while at < end:
        index: i64 = packed[at]
        words[index] = read_i64_be(packed, at + 1)
        at += 9
    flow.words = words
    return flow


@final
class Subfacet:
    """A datapath flow: `facet`'s flow as the datapath sees it coming in at `odp_port`."""

    def __init__(self, facet: Facet, odp_port: int, ufid: bytes, now: int) -> None:
        self.facet = facet
        self.odp_port: int = odp_port
        self.ufid: bytes = ufid
        self.path: int = SF_NOT_INSTALLED
        self.actions: Actions = ()
        """What the datapath does; on the slow path one `Userspace` action."""
        self.own_key: bytes = b""
        """The datapath key, packed, where it is not the facet's flow: VLAN splinters, tunnel options,
        and all datapath flows of a facet but the first."""
        self.prefix: Actions = ()
        """For a flow of a VLAN splinter, what puts the tag on."""
        self.dp_packets: int = 0
        """The datapath's counters when they were last read."""
        self.dp_bytes: int = 0
        self.created: int = now
        self.used: int = now
        self.put_at: int = now
        """When the datapath was last updated."""
        self.dumped: int = 0
        """The number of the last dump that had it."""

    def key(self) -> Flow:
        """The flow's key, with datapath port numbers."""
        if self.own_key:
            return unpack_flow(self.own_key)
        flow = unpack_flow(self.facet.packed)
        flow.in_port = self.odp_port
        return flow

    def update_stats(self, stats: FlowStats, now: int) -> None:
        """Pass on what the datapath's counters (`stats`) gained since they were last read.

        Counters that went down belong to a flow that somebody else put in this one's place;
        they are then taken as the start of a new count.
        """
        n_packets = stats.n_packets - self.dp_packets
        n_bytes = stats.n_bytes - self.dp_bytes
        if n_packets < 0 or n_bytes < 0:
            n_packets = stats.n_packets
            n_bytes = stats.n_bytes
        self.dp_packets = stats.n_packets
        self.dp_bytes = stats.n_bytes
        if stats.used > self.used:
            self.used = stats.used
        if n_packets:
            self.facet.credit(n_packets, n_bytes, stats.used if stats.used else now, stats.tcp_flags)


@final
class Facet:
    """One cached translation. Fields from `actions` on are replaced when it is translated anew."""

    def __init__(self, bridge: XBridge, group: FacetGroup, key: bytes, packed: bytes, now: int) -> None:
        self.bridge: XBridge = bridge
        self.group = group
        self.key: bytes = key
        """The masked flow, as `group.key_of` makes it."""
        self.packed: bytes = packed
        """A flow that was seen (`pack_flow`), OpenFlow port numbers."""
        self.subfacets: list[Subfacet] = []
        self.by_key: dict[bytes, Subfacet] | None = None
        """What the datapath tells them apart by (`Installer.put`); there once it had two."""
        self.created: int = now
        self.used: int = now
        """Clock ms of the last packet."""
        self.n_packets: int = 0
        self.n_bytes: int = 0
        self.tcp_flags: int = 0
        self.actions: Actions = ()
        self.slow: int = 0
        """`SLOW_*` bits; nonzero: packets must come up."""
        self.tags: int = 0
        """What a change must touch for this translation to be looked at again."""
        self.as_came: bool = False
        """Whether the tables were asked about the packet as it came in only (`changed.py`)."""
        self.effects: list[CreditedEffect] = []
        self.recircs: list[int] = []
        """Recirculation ids that `actions` use, one reference held for each."""

    def flow(self) -> Flow:
        """The flow that the facet was made from, OpenFlow port numbers."""
        return unpack_flow(self.packed)

    def credit(self, n_packets: int, n_bytes: int, used: int, tcp_flags: int) -> None:
        """Count packets of this facet, here and on all that the translation touched."""
        self.n_packets += n_packets
        self.n_bytes += n_bytes
        self.tcp_flags |= tcp_flags
        if used > self.used:
            self.used = used
        credit(self.effects, n_packets, n_bytes, used, tcp_flags)


@final
class FacetGroup:
    """The facets of one mask."""

    def __init__(self, table: FacetTable, mask: Flow) -> None:
        self.table: FacetTable = table
        self.mask = mask
        """Shared by all facets and datapath flows of the group: never changed."""
        self.plain_mask: Flow | None = None
        """What the datapath flows without tags and labels have as mask, once there was one."""
        self.facets: dict[bytes, Facet] = {}
        self.indices: vec[i64] = words_with_bits(mask.words)
        self.bits: vec[i64] = picked(mask.words, self.indices)

    def key_of(self, flow: Flow) -> bytes:
        """The masked words of `flow`, 8 bytes for each word that the mask has bits in."""
        out = BytesWriter()
        words = flow.words
        indices = self.indices
        bits = self.bits
        i: i64 = 0
        n: i64 = len(indices)
        while i < n:
            write_i64_be(out, words[indices[i]] & bits[i])
            i += 1
        return out.getvalue()

    def fits(self, mask: Flow) -> bool:
        """Whether `mask` is this group's mask."""
        return self.mask is mask or self.mask == mask


@final
class FacetTable:
    """The facets of one bridge."""

    def __init__(self) -> None:
        self.groups: dict[bytes, FacetGroup] = {}
        self.recent: FacetGroup | None = None
        self.n_facets: int = 0

    def __len__(self) -> int:
        return self.n_facets

    def __iter__(self) -> Iterator[Facet]:
        return iter(self.all())

    def all(self) -> list[Facet]:
        """All facets, as they are now: the table may change while the list is walked."""
        out: list[Facet] = []
        for group in self.groups.values():
            out.extend(group.facets.values())
        return out

    def group(self, mask: Flow) -> FacetGroup:
        """The group of `mask`, made if it is not there. The mask is the table's from now on."""
        recent = self.recent
        if recent is not None and recent.fits(mask):
            return recent
        name = pack_flow(mask)
        found = self.groups.get(name)
        if found is None:
            found = FacetGroup(self, mask)
            self.groups[name] = found
        self.recent = found
        return found

    def insert(self, facet: Facet) -> None:
        """Add `facet` to its group."""
        facet.group.facets[facet.key] = facet
        self.n_facets += 1

    def remove(self, facet: Facet) -> None:
        """Take `facet` out, and its group with the last one."""
        group = facet.group
        if group.facets.get(facet.key) is not facet:
            return
        del group.facets[facet.key]
        self.n_facets -= 1
        self.discard(group)

    def discard(self, group: FacetGroup) -> None:
        """Forget `group` if it has no facets."""
        if not group.facets:
            self.groups.pop(pack_flow(group.mask), None)
            if self.recent is group:
                self.recent = None

    def move(self, facet: Facet, mask: Flow) -> bool:
        """Put `facet` under `mask`, which has more bits than its own; False, and nothing changed, if
        another facet is there."""
        group = self.group(mask)
        key = group.key_of(facet.flow())
        if key in group.facets:
            return False
        self.remove(facet)
        facet.group = group
        facet.key = key
        facet.by_key = None
        self.insert(facet)
        return True

    def lookup(self, flow: Flow) -> Facet | None:
        """The facet that covers `flow`, whatever its mask. Costs a probe a mask."""
        for group in self.groups.values():
            facet = group.facets.get(group.key_of(flow))
            if facet is not None:
                return facet
        return None
