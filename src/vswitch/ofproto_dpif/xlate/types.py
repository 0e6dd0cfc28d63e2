"""What translation takes and gives: `XlateIn`, `XlateOut`, and the reasons that go with them.

The contract of `translate.xlate`: the same `XlateIn` over the same tables gives the same `XlateOut`,
and any packet that agrees with `flow` on the bits of `wc` would have given the same actions.

Hence the rule for whoever adds to translation: what you look at, note in `wc`. A bit too many is safe, it
only makes the megaflow narrower and the next packet miss; a bit too few is fatal, for packets that
should have gone elsewhere never come up. Megaflows of a datapath never overlap with different actions
for the same reason: two whose packets have one in common were decided by bits that both have in
their masks, and there they agree. So the datapath may look them up in any order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from mypy_extensions import mypyc_attr

from vswitch.flow.flow import Flow

if TYPE_CHECKING:
    from vswitch.dpif.actions import Actions as OdpActions
    from vswitch.ofproto.rule import Rule
    from vswitch.ofproto_dpif.xlate.bridge import XBridge
    from vswitch.ofproto_dpif.xlate.effects import CreditedEffect, PacketEffect
    from vswitch.ofproto_dpif.xlate.recirc import FrozenState
    from vswitch.ofproto_dpif.xlate.trace import Trace
    from vswitch.openflow.actions import Actions as OfpActions

MAX_DEPTH: Final = 64
"""The deepest nesting of table lookups (resubmit, patch ports) that a translation allows."""
MAX_RESUBMITS: Final = MAX_DEPTH * MAX_DEPTH
"""The most table lookups of one translation."""

# Why packets of a flow must be handled here (bits of `XlateOut.slow`, as in `SlowPathCookie`).
SLOW_CFM: Final = 1 << 0
SLOW_BFD: Final = 1 << 1
SLOW_LACP: Final = 1 << 2
SLOW_STP: Final = 1 << 3
SLOW_LLDP: Final = 1 << 4
SLOW_ACTION: Final = 1 << 5
SLOW_MATCH: Final = 1 << 6

SLOW_EXPLANATIONS: Final = {
    SLOW_CFM: "Consists of CFM packets",
    SLOW_BFD: "Consists of BFD packets",
    SLOW_LACP: "Consists of LACP packets",
    SLOW_STP: "Consists of STP packets",
    SLOW_LLDP: "Consists of LLDP packets",
    SLOW_ACTION: "Uses action(s) not supported by datapath",
    SLOW_MATCH: "Datapath can't match specifically enough",
}

# How a translation went wrong (`XlateOut.error`; also the reasons of datapath `Drop` actions).
XLATE_OK: Final = 0
XLATE_BRIDGE_NOT_FOUND: Final = 1
XLATE_RECURSION_TOO_DEEP: Final = 2
XLATE_TOO_MANY_RESUBMITS: Final = 3
XLATE_STACK_TOO_DEEP: Final = 4
XLATE_NO_RECIRCULATION_CONTEXT: Final = 5
XLATE_RECIRCULATION_CONFLICT: Final = 6
XLATE_TOO_MANY_MPLS_LABELS: Final = 7
XLATE_INVALID_TUNNEL_METADATA: Final = 8
XLATE_UNSUPPORTED_PACKET_TYPE: Final = 9
XLATE_CONGESTION_DROP: Final = 10
XLATE_FORWARDING_DISABLED: Final = 11

LIMITS: Final = (XLATE_RECURSION_TOO_DEEP, XLATE_TOO_MANY_RESUBMITS, XLATE_STACK_TOO_DEEP)
"""The errors that keep a translation from running too long: they end all of it."""

XLATE_ERRORS: Final = {
    XLATE_OK: "OK",
    XLATE_BRIDGE_NOT_FOUND: "Bridge not found",
    XLATE_RECURSION_TOO_DEEP: "Recursion too deep",
    XLATE_TOO_MANY_RESUBMITS: "Too many resubmits",
    XLATE_STACK_TOO_DEEP: "Stack too deep",
    XLATE_NO_RECIRCULATION_CONTEXT: "No recirculation context",
    XLATE_RECIRCULATION_CONFLICT: "Recirculation conflict",
    XLATE_TOO_MANY_MPLS_LABELS: "Too many MPLS labels",
    XLATE_INVALID_TUNNEL_METADATA: "Invalid tunnel metadata",
    XLATE_UNSUPPORTED_PACKET_TYPE: "Unsupported packet type",
    XLATE_CONGESTION_DROP: "Congestion Drop",
    XLATE_FORWARDING_DISABLED: "Forwarding is disabled",
}


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class XlateIn:
    """One flow to translate.

    `flow`: what the packet looks like, `in_port` an OpenFlow number of `bridge`; it is not
    changed. `packet`: the packet itself where there is one (only looked at for what a flow does
    not hold). `rule` or `actions` replace the lookup in table 0 (packet-outs). `frozen` is the
    state to resume from, looked up by `flow`'s `recirc_id`. `side_effects` False says that
    nobody will carry out the effects nor send packet-ins (`ofproto/trace`, revalidation).
    `now` is clock ms.
    """

    def __init__(
        self,
        bridge: XBridge,
        flow: Flow,
        packet: bytes | None = None,
        tcp_flags: int = 0,
        rule: Rule | None = None,
        actions: OfpActions | None = None,
        trace: Trace | None = None,
        frozen: FrozenState | None = None,
        now: int = 0,
        side_effects: bool = True,
    ) -> None:
        self.bridge: XBridge = bridge
        self.flow: Flow = flow
        self.packet = packet
        self.tcp_flags: int = tcp_flags
        self.rule = rule
        self.actions = actions
        self.trace = trace
        self.frozen = frozen
        self.now: int = now
        self.side_effects: bool = side_effects


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class XlateOut:
    """The translation of one flow.

    `actions`: for the datapath; with `slow` nonzero they are for here, and the datapath gets a
    `Userspace` action with the reasons instead (`facets/install.py`). `wc`: the megaflow mask.
    `tags`: what it depends on (`base.tags`). `recircs`: the recirculation ids that the actions
    use, one reference held for each; whoever drops the translation gives them back with
    `backer.recirc_ids.unref`. `flow`: the packet at the end. `rule`: the first rule that
    matched. `mirrors`: bit map of the mirrors that got a copy. `nf_output_iface`: the OpenFlow
    port of a single output, for NetFlow. `effects` are for every packet of the flow, `packet_effects` for
    each that comes up (`xlate/effects.py`); `told` give a packet-out's packet to controllers. `warnings`
    and `remarks`: what the log should hear (`said.py`).
    """

    def __init__(self, actions: OdpActions, wc: Flow, flow: Flow) -> None:
        self.actions = actions
        self.wc: Flow = wc
        self.flow: Flow = flow
        self.slow: int = 0
        self.tags: int = 0
        self.error: int = XLATE_OK
        self.cut_short: bool = False
        """Whether an error came before the action set: then `wc` is as it was at that moment."""
        self.for_packets: bool = False
        """Whether only packets can tell what comes of it (a flow that `learn` has to make anew within its
        limit): translated anew without any, it is not worth keeping."""
        self.as_came: bool = True
        """Whether tables were asked about the packet as it came in only, not what actions made of it."""
        self.effects: list[CreditedEffect] = []
        self.packet_effects: list[PacketEffect] = []
        self.told: list[PacketEffect] = []
        self.recircs: list[int] = []
        self.rule: Rule | None = None
        self.mirrors: int = 0
        self.nf_output_iface: int = NF_OUT_DROP
        self.warnings: list[str] = []
        self.remarks: list[str] = []


NF_OUT_DROP: Final = 0xFFFD
NF_OUT_MULTI: Final = 0xFFFE
NF_OUT_FLOOD: Final = 0xFFFF
