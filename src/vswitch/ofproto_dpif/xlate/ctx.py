"""`Ctx`: one translation under way, and the small steps that every part of it takes.

`flow` is the packet as OpenFlow sees it now; `base` the packet as the datapath has it, after the
actions composed so far. They differ by what `commit.py` will still have to tell the datapath.
`wc` collects the bits that were looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from mypy_extensions import i64, mypyc_attr

from vswitch.flow.flow import Flow
from vswitch.ofproto_dpif.xlate.trace import OFT_ERROR, OFT_WARN
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


@mypyc_attr(acyclic=True, free_list_len=1)
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
        self.whole: list[OdpAction] = self.odp
        """The translation's own actions: `odp`, except inside of an action that has some inside."""
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
        self.unrolled_place: Any = None
        """The last `Unroll` among them."""
        self.conntracked: bool = False
        self.ct_nat_action: Any = None
        self.pending_encap: bool = False
        self.pending_decap: bool = False
        self.encap_data: bytes = b""
        self.n_headers: int = 0
        """How many headers have been put around the packet or taken off."""
        self.dp_hash: Any = None
        """The datapath's `Hash` to be made before a recirculation, for a select group."""
        self.bucket_at: i64 = -1
        """`resubmits` when the bucket was entered whose own actions run; -1 outside of buckets."""
        self.was_mpls: bool = False
        self.mirrors: int = 0
        self.mirror_snaplen: int = 0
        self.n_outputs: int = 0
        self.n_outer: int = 0
        """Of these, those of outer packets, which are not the packet's own."""
        self.last_output: int = 0
        """The datapath port of the last output."""
        self.sflow_at: int = -1
        """The index of sFlow's action in `odp`; -1 without one."""
        self.n_sized: i64 = 0
        """Of the datapath actions, those that `odp_size` counts in bytes."""
        self.odp_size: i64 = 0

    def saved(self) -> Saved:
        """The packet as it is now, to come back to after something inside something."""
        return Saved(self)


@mypyc_attr(acyclic=True)
@final
class Saved:
    """A packet on its way, kept while something is translated inside something: a clone, a bucket, a
    patch port, one of two ways on.

    What is put back differs, as it does in Open vSwitch, and shows in datapath flows: so each part
    has its own method, and who goes in says which.
    """

    def __init__(self, ctx: Ctx) -> None:
        self._flow: Flow = ctx.flow.copy()
        self._n_headers: int = ctx.n_headers
        self._stack: list[tuple[int, int]] = list(ctx.stack)
        self._action_set: list[OfpAction] = list(ctx.action_set)
        self.was_mpls: bool = ctx.was_mpls
        self.conntracked: bool = ctx.conntracked

    def restore_flow(self, ctx: Ctx) -> None:
        """Headers and metadata are as they were; the next commit undoes what the datapath has."""
        ctx.flow.assign(self._flow)

    def restore_headers(self, ctx: Ctx) -> None:
        """A header that was put around or taken off since, but not in the datapath yet, never will be."""
        if ctx.n_headers != self._n_headers:
            ctx.pending_encap = False
            ctx.pending_decap = False
            ctx.encap_data = b""

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
    ctx.out.warnings.append(f"{text} on bridge {ctx.bridge.name}")


def report_remark(ctx: Ctx, text: str) -> None:
    """Something that the operator may wonder about: in the trace, and among `out.remarks`."""
    trace = ctx.trace
    if trace is not None:
        trace.add(OFT_WARN, text)
    ctx.out.remarks.append(f"{text} on bridge {ctx.bridge.name}")
