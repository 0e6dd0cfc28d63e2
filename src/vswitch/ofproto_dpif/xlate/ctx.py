"""`Ctx`: one translation under way, and the small steps that every part of it takes.

`flow` is the packet as OpenFlow sees it now; `base` the packet as the datapath has it, after the
actions composed so far. They differ by what `commit.py` will still have to tell the datapath.
`wc` collects the bits that were looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from mypy_extensions import i64

from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    S_VLAN_TCI1,
    S_VLAN_TPID,
    S_VLAN_TPID1,
    VLAN_CFI,
    W_ETH_TYPE,
    W_MPLS_LSE,
    W_VLAN_TCI,
    W_VLAN_TPID,
)
from vswitch.ofproto_dpif.xlate.trace import OFT_ERROR
from vswitch.ofproto_dpif.xlate.types import XLATE_OK, XlateIn, XlateOut

if TYPE_CHECKING:
    from vswitch.dpif.actions import Action as OdpAction
    from vswitch.dpif.probe import Support
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto_dpif.xlate.bridge import XBridge
    from vswitch.ofproto_dpif.xlate.effects import CreditedEffect
    from vswitch.ofproto_dpif.xlate.trace import Trace
    from vswitch.openflow.actions import Action as OfpAction
    from vswitch.openflow.actions import Controller

ETH_TYPE_IP: Final = 0x0800
ETH_TYPE_ARP: Final = 0x0806
ETH_TYPE_RARP: Final = 0x8035
ETH_TYPE_VLAN: Final = 0x8100
ETH_TYPE_VLAN_QINQ: Final = 0x88A8
ETH_TYPE_IPV6: Final = 0x86DD
ETH_TYPE_MPLS: Final = 0x8847
ETH_TYPE_MPLS_MCAST: Final = 0x8848
ETH_TYPE_NSH: Final = 0x894F

IPPROTO_ICMP: Final = 1
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
IPPROTO_ICMPV6: Final = 58
IPPROTO_SCTP: Final = 132

MPLS_BOS: Final = 0x100
MAX_MPLS_LABELS: Final = 3
"""How many label stack entries a flow holds."""
MAX_VLANS: Final = 2
"""How many VLAN tags a flow holds."""

@final
class Ctx:
    """The state of one translation.

    `bridge` is the one where the packet is now (patch ports change it). `depth` counts
    nested lookups, `resubmits` all of them. `exit` stops the actions; with `freezing` the rest
    (`unrolled`) is kept for after a recirculation. `was_mpls`: a pop uncovered headers that
    `flow` does not have.
    """

    def __init__(self, xin: XlateIn, out: XlateOut) -> None:
        self.xin: XlateIn = xin
        self.out: XlateOut = out
        self.bridge: XBridge = xin.bridge
        self.support: Support = xin.bridge.dp.support
        self.trace: Trace | None = xin.trace
        self.flow: Flow = out.flow
        self.base: Flow = xin.flow.copy()
        self.wc: Flow = out.wc
        self.odp: list[OdpAction] = []
        self.effects: list[CreditedEffect] = out.effects
        self.rule: Rule | None = None
        self.rule_cookie: int = 0xFFFFFFFFFFFFFFFF
        self.table_id: i64 = 0
        self.depth: i64 = 0
        self.resubmits: i64 = 0
        self.stack: list[tuple[int, int]] = []
        self.action_set: list[OfpAction] = []
        self.in_action_set: bool = False
        self.in_packet_out: bool = False
        self.orig_skb_priority: int = xin.flow.skb_priority
        self.exit: bool = False
        self.error: int = XLATE_OK
        self.freezing: bool = False
        self.pause: Controller | None = None
        """The action that the translation waits at, while it is frozen for a controller."""
        self.unrolled: list[Any] = []
        self.conntracked: bool = False
        self.ct_nat_action: Any = None
        self.pending_encap: bool = False
        self.pending_decap: bool = False
        self.encap_data: bytes = b""
        self.dp_hash: Any = None
        """The datapath's `Hash` to be made before a recirculation, for a select group."""
        self.bucket_at: i64 = -1
        """`resubmits` when the bucket was entered whose own actions run; -1 outside of buckets."""
        self.was_mpls: bool = False
        self.mirrors: int = 0
        self.mirror_snaplen: int = 0
        self.n_outputs: int = 0

    def saved(self) -> Saved:
        """The packet as it is now, to come back to after something inside something."""
        return Saved(self)


@final
class Saved:
    """A packet on its way, kept while something is translated inside something: a clone, a bucket, a
    patch port, one of two ways on.

    What is put back differs, as it does in Open vSwitch, and shows in datapath flows: so each part
    has its own method, and who goes in says which.
    """

    def __init__(self, ctx: Ctx) -> None:
        self._flow: Flow = ctx.flow.copy()
        self._stack: list[tuple[int, int]] = list(ctx.stack)
        self._action_set: list[OfpAction] = list(ctx.action_set)
        self.was_mpls: bool = ctx.was_mpls
        self.conntracked: bool = ctx.conntracked

    def restore_flow(self, ctx: Ctx) -> None:
        """Headers and metadata are as they were; the next commit undoes what the datapath has."""
        ctx.flow.assign(self._flow)

    def restore_pipeline(self, ctx: Ctx) -> None:
        """Stack and action set are as they were. Once only: they become the context's own."""
        ctx.stack = self._stack
        ctx.action_set = self._action_set

    def restore_knowledge(self, ctx: Ctx) -> None:
        """What is known of the packet beside its flow: whether it is tracked, and what a pop uncovered."""
        ctx.was_mpls = self.was_mpls
        ctx.conntracked = self.conntracked


def report(ctx: Ctx, kind: int, text: str) -> None:
    """A line of the trace. Call it only where `ctx.trace` is set, so as not to make `text`."""
    trace = ctx.trace
    if trace is not None:
        trace.add(kind, text)


def report_error(ctx: Ctx, text: str) -> None:
    """Something that the operator should hear of: in the trace, and among `out.warnings`."""
    trace = ctx.trace
    if trace is not None:
        trace.add(OFT_ERROR, text)
    ctx.out.warnings.append(text)


def is_ip_any(dl_type: i64) -> bool:
    """IPv4 or IPv6."""
    return dl_type in (ETH_TYPE_IP, ETH_TYPE_IPV6)


def is_mpls(dl_type: i64) -> bool:
    """Either MPLS Ethernet type."""
    return dl_type in (ETH_TYPE_MPLS, ETH_TYPE_MPLS_MCAST)


def is_vlan(dl_type: i64) -> bool:
    """Either VLAN Ethernet type."""
    return dl_type in (ETH_TYPE_VLAN, ETH_TYPE_VLAN_QINQ)


# VLAN tags: tag 0 is the outer one. A tag's "qtag" is TPID << 16 | TCI.


def qtag(flow: Flow, i: i64) -> i64:
    """Tag `i`, 0 if there is none."""
    if i == 0:
        tpid = (flow.words[W_VLAN_TPID] >> S_VLAN_TPID) & 0xFFFF
        return (tpid << 16) | (flow.words[W_VLAN_TCI] & 0xFFFF)
    word = flow.words[W_VLAN_TPID]
    return (((word >> S_VLAN_TPID1) & 0xFFFF) << 16) | ((word >> S_VLAN_TCI1) & 0xFFFF)


def set_qtag(flow: Flow, i: i64, value: i64) -> None:
    """Set tag `i`."""
    words = flow.words
    tpid = (value >> 16) & 0xFFFF
    tci = value & 0xFFFF
    if i == 0:
        words[W_VLAN_TCI] = (words[W_VLAN_TCI] & ~0xFFFF) | tci
        signed = (tpid ^ 0x8000) - 0x8000
        words[W_VLAN_TPID] = (words[W_VLAN_TPID] & 0xFFFFFFFFFFFF) | (signed << S_VLAN_TPID)
    else:
        inner = (tpid << S_VLAN_TPID1) | (tci << S_VLAN_TCI1)
        words[W_VLAN_TPID] = (words[W_VLAN_TPID] & ~0xFFFFFFFF0000) | inner


def n_vlans(flow: Flow) -> i64:
    """How many tags the packet has (as many as the flow holds)."""
    if flow.words[W_VLAN_TCI] & VLAN_CFI == 0:
        return 0
    return 2 if (flow.words[W_VLAN_TPID] >> S_VLAN_TCI1) & VLAN_CFI != 0 else 1


def look_at_tags(ctx: Ctx) -> i64:
    """How many tags the packet has. That there are no more is noted in `wc`, unless that is because
    they were taken off; those that there are will be when they change."""
    n = n_vlans(ctx.flow)
    wc = ctx.wc.words
    if n == 0 and ctx.xin.flow.words[W_VLAN_TCI] & VLAN_CFI == 0:
        wc[W_VLAN_TCI] |= VLAN_CFI
    elif n == 1:
        wc[W_VLAN_TPID] |= VLAN_CFI << S_VLAN_TCI1
    return n


def pop_vlan(ctx: Ctx) -> None:
    """Remove the outer tag; the inner one, if any, comes into its place."""
    flow = ctx.flow
    n = look_at_tags(ctx)
    if n == 2:
        set_qtag(ctx.wc, 1, 0xFFFFFFFF)
        set_qtag(flow, 0, qtag(flow, 1))
        set_qtag(flow, 1, 0)
    elif n == 1:
        set_qtag(flow, 0, 0)


def push_vlan(ctx: Ctx, tpid: i64) -> None:
    """Add an outer tag of VLAN 0."""
    flow = ctx.flow
    n = look_at_tags(ctx)
    if n > 0:
        set_qtag(ctx.wc, 0, 0xFFFFFFFF)
        if n > 1:
            set_qtag(ctx.wc, 1, 0xFFFFFFFF)
    # Also what is no tag, for lack of the CFI bit: a load may have put it there.
    set_qtag(flow, 1, qtag(flow, 0))
    set_qtag(flow, 0, (tpid << 16) | VLAN_CFI)


# MPLS label stack entries: entry 0 is the outermost.


def lse(flow: Flow, i: i64) -> i64:
    """Label stack entry `i`."""
    word = flow.words[W_MPLS_LSE + i // 2]
    return word & 0xFFFFFFFF if i & 1 else (word >> 32) & 0xFFFFFFFF


def set_lse(flow: Flow, i: i64, value: i64) -> None:
    """Set label stack entry `i`."""
    words = flow.words
    w = W_MPLS_LSE + i // 2
    bits = value & 0xFFFFFFFF
    if i & 1:
        words[w] = (words[w] & ~0xFFFFFFFF) | bits
    else:
        words[w] = (words[w] & 0xFFFFFFFF) | (((bits ^ 0x80000000) - 0x80000000) << 32)


def or_lse(wc: Flow, i: i64, bits: i64) -> None:
    """In a mask, add `bits` of entry `i`."""
    set_lse(wc, i, lse(wc, i) | bits)


def n_mpls_labels(flow: Flow, wc: Flow | None) -> i64:
    """How many entries the stack has: up to and with the bottom one, at most MAX_MPLS_LABELS."""
    if not is_mpls(flow.words[W_ETH_TYPE] & 0xFFFF):
        return 0
    count: i64 = 0
    i: i64 = 0
    while i < MAX_MPLS_LABELS:
        if wc is not None:
            or_lse(wc, i, MPLS_BOS)
        entry = lse(flow, i)
        if entry & MPLS_BOS != 0:
            return i + 1
        if entry != 0:
            count += 1
        i += 1
    return count
