"""Upcalls: what happens to the packets that the datapath does not forward by itself.

`handle_upcalls` takes one batch of up to 50. Packets of the same flow share one translation.
Each flow gets a facet and a datapath flow if it is worth one, each packet is carried out, and
all of that goes to the datapath as one `operate`. A packet's `Execute` precedes the `FlowPut`
of its flow, so that packets that follow it stay behind it.

Two kinds of upcalls come here as flows: misses, and packets of flows that the datapath sends up
on purpose (slow path). Packets of a miss are in no datapath counter, so they are counted here;
those of the slow path are counted by their datapath flow. The other upcalls carry a cookie of a
`Userspace` action: packet-ins, which go to the bridge's queue, and samples.

This module is compiled: it is the path that every first packet of a flow takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64, mypyc_attr

from vswitch.base import coverage
from vswitch.base.ratelimit import RateLimit
from vswitch.base.vlog import Vlog
from vswitch.dpif.actions import Actions, Drop, PushVlan
from vswitch.dpif.cookie import SLOW_PATH_PREFIX, SLOW_REASONS
from vswitch.dpif.drop_reasons import drop_counter
from vswitch.dpif.execute_with_help import execute_with_help
from vswitch.dpif.ops import Execute, FlowPut, Op, Upcall
from vswitch.dpif.types import Fitness, UpcallType
from vswitch.flow.exact import exact_mask
from vswitch.flow.extract import limit_vlans
from vswitch.flow.flow import Flow
from vswitch.ofproto.geneve import options_from_datapath
from vswitch.ofproto_dpif.facets.facet import Facet
from vswitch.ofproto_dpif.facets.revalidate import RevReason
from vswitch.ofproto_dpif.ports.splinters import adjust_flow
from vswitch.ofproto_dpif.upcall.packet_in import handle_cookie
from vswitch.ofproto_dpif.xlate.effects import credit
from vswitch.ofproto_dpif.xlate.said import explain, log_remarks
from vswitch.ofproto_dpif.xlate.trace import Trace
from vswitch.ofproto_dpif.xlate.translate import xlate
from vswitch.ofproto_dpif.xlate.types import (
    SLOW_ACTION,
    SLOW_MATCH,
    XLATE_RECURSION_TOO_DEEP,
    XLATE_TOO_MANY_RESUBMITS,
    XlateIn,
    XlateOut,
)

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.roles import BridgeRole, DatapathRole
    from vswitch.ofproto_dpif.xlate.bridge import XBridge, XPort
    from vswitch.ofproto_dpif.xlate.recirc import FrozenState

log: Final = Vlog("ofproto_dpif_upcall")
_failed_rl: Final = RateLimit(1, 1)
"""A trace is long."""
LOOPS: Final = (XLATE_RECURSION_TOO_DEEP, XLATE_TOO_MANY_RESUBMITS)
"""Errors that the log explains by a trace."""

upcall_miss: Final = coverage.counter("upcall_miss")
upcall_slow_path: Final = coverage.counter("upcall_slow_path")
slow_reasons: Final = [coverage.counter(f"slow_path_{name}") for name in SLOW_REASONS]
"""Packets that were handled here, by the bits of the reason."""
upcall_action: Final = coverage.counter("upcall_action")
upcall_bad_key: Final = coverage.counter("drop_upcall_bad_key")
upcall_bad_options: Final = coverage.counter("drop_upcall_bad_tunnel_options")
upcall_no_recirc: Final = coverage.counter("drop_upcall_unknown_recirc_id")
upcall_no_bridge: Final = coverage.counter("drop_upcall_no_bridge")
execute_failed: Final = coverage.counter("drop_execute_failed")
governor_refused: Final = coverage.counter("governor_refused")
xlate_actions: Final = coverage.counter("ofproto_dpif_xlate")


@mypyc_attr(acyclic=True)
@final
class FlowMiss:
    """The packets of one batch that have the same key."""

    def __init__(self, key: Flow, fitness: Fitness) -> None:
        self.key: Flow = key
        self.fitness: Fitness = fitness
        self.upcalls: list[Upcall] = []
        self.n_missed: int = 0
        """Of the packets, those that are in no datapath counter."""
        self.n_bytes: int = 0
        """Bytes of these."""
        self.frozen: FrozenState | None = None
        """Where translation goes on, of packets that come back from a recirculation."""
        self.port: XPort | None = None
        """The bridge port where they came in."""
        self.prefix: Actions = ()
        """What makes of a packet what `flow` takes it for, where a VLAN splinter does."""


def handle_upcalls(backer: DatapathRole, upcalls: list[Upcall], now: int) -> None:
    """Handle one batch of `upcalls`. Nothing raises out of here for what a packet holds."""
    misses: dict[Flow, FlowMiss] = {}
    others: list[Upcall] = []
    n_miss: i64 = 0
    n_slow: i64 = 0
    for upcall in upcalls:
        missed = upcall.type is UpcallType.MISS
        if missed:
            n_miss += 1
        elif upcall.userdata.startswith(SLOW_PATH_PREFIX):
            n_slow += 1
        else:
            others.append(upcall)
            continue
        key = upcall.key
        miss = misses.get(key)
        if miss is None:
            miss = FlowMiss(key, upcall.fitness)
            misses[key] = miss
        miss.upcalls.append(upcall)
        if missed:
            miss.n_missed += 1
            miss.n_bytes += len(upcall.packet)
    ops: list[Op] = []
    for miss in misses.values():
        handle_flow_miss(backer, miss, ops, now)
    if n_miss:
        upcall_miss.inc(n_miss)
    if n_slow:
        upcall_slow_path.inc(n_slow)
    if others:
        upcall_action.inc(len(others))
        for upcall in others:
            handle_cookie(backer, upcall, now)
    if ops:
        backer.dpif.answer(ops)
        for op in ops:
            if isinstance(op, FlowPut):
                backer.installer.put_done(op, now)
            elif op.error:
                execute_failed.inc()


def handle_flow_miss(backer: DatapathRole, miss: FlowMiss, ops: list[Op], now: int) -> None:
    """Translate one flow, and add to `ops` what its packets and the datapath need."""
    ofproto = _find_bridge(backer, miss, ops)
    if ofproto is None:
        return
    bridge = ofproto.xbridge
    flow = _flow_of(backer, miss, bridge)
    if flow is None:
        return
    out = _translate(miss, bridge, flow, now)
    if not backer.megaflows:
        out.wc.or_(exact_mask(flow))
    group = ofproto.facets.group(out.wc)
    masked = group.key_of(flow)
    facet = group.facets.get(masked)
    kept = False
    if facet is not None:
        if facet.actions != out.actions or facet.slow != out.slow:
            if backer.is_settled():
                backer.need(RevReason.INCONSISTENCY)
    elif miss.n_missed:  # otherwise the datapath has a flow that sends these packets here
        if backer.should_install(hash(masked), len(miss.upcalls), now):
            facet = backer.installer.make_facet(bridge, group, masked, flow, out, now)
            kept = True
        else:
            governor_refused.inc()
    _count(miss, facet, flow, out, now)
    _carry_out(miss, out, ops)
    if facet is not None and miss.n_missed:
        put = backer.installer.put(facet, miss.key, miss.key.in_port, miss.prefix, now)
        if put is not None:
            ops.append(put)
    if not kept:
        backer.installer.drop_out(out, now)
        group.table.discard(group)


def _find_bridge(backer: DatapathRole, miss: FlowMiss, ops: list[Op]) -> BridgeRole | None:
    """The bridge that the packets are in: where their recirculation resumes, or whose port they came in
    at. None, counted: there is none; a port that no bridge has gets a flow that drops."""
    key = miss.key
    n_packets = len(miss.upcalls)
    if miss.fitness is Fitness.ERROR:
        upcall_bad_key.inc(n_packets)
        return None
    name = ""
    recirc_id = key.recirc_id
    if recirc_id:
        frozen = backer.dp.recirc_ids.lookup(recirc_id)
        if frozen is None:
            upcall_no_recirc.inc(n_packets)
            return None
        miss.frozen = frozen
        name = frozen.bridge
    port = backer.port_of(key)
    miss.port = port
    if miss.frozen is None:
        if port is None:
            drop = backer.installer.drop_key(key, key.in_port)
            if drop is not None:
                ops.append(drop)
            return None
        name = port.bridge.name
    ofproto = backer.ofprotos.get(name)
    if ofproto is None:
        upcall_no_bridge.inc(n_packets)
    return ofproto


def _flow_of(backer: DatapathRole, miss: FlowMiss, bridge: XBridge) -> Flow | None:
    """The packets as the bridge sees them: its port numbers, its tunnel options, the tag of a VLAN
    splinter (and `miss.prefix`, which puts it on). None, counted: their options make no sense."""
    flow = miss.key.copy()
    if miss.fitness is not Fitness.PERFECT:
        backer.refine(flow, miss.upcalls[0].packet)
    if not options_from_datapath(bridge.tlv, flow):
        upcall_bad_options.inc(len(miss.upcalls))
        return None
    if flow.vlan_tci1:
        limit_vlans(flow, backer.vlan_limit)
    port = miss.port
    if port is not None:
        flow.in_port = port.ofp_port
        if bridge.vlandev_map and adjust_flow(bridge, flow):
            miss.prefix = (PushVlan(flow.vlan_tpid, flow.vlan_tci),)
    return flow


def _translate(miss: FlowMiss, bridge: XBridge, flow: Flow, now: int) -> XlateOut:
    packet = miss.upcalls[0].packet
    xin = XlateIn(bridge, flow, packet, flow.tcp_flags, None, None, None, miss.frozen, now)
    out = xlate(xin)
    xlate_actions.inc()
    if miss.fitness is Fitness.TOO_LITTLE:
        out.slow |= SLOW_MATCH
    if out.slow:
        count_slow(out.slow, len(miss.upcalls))
    if out.warnings or out.remarks:
        log_remarks(xin, out)
        if out.error in LOOPS and _failed_rl.allow(now):
            _log_trace(miss, xin)
    return out


def _log_trace(miss: FlowMiss, xin: XlateIn) -> None:
    """Log how the translation of `xin` came to its error, in full."""
    trace = Trace()
    xin.trace = trace
    xin.side_effects = False
    out = xlate(xin)
    for recirc_id in out.recircs:
        xin.bridge.dp.recirc_ids.unref(recirc_id, xin.now)
    log.warn("%s", explain(xin, out, trace, miss.key))


def _count(miss: FlowMiss, facet: Facet | None, flow: Flow, out: XlateOut, now: int) -> None:
    """Make the translation's effects real: those of packets that no datapath flow counts, and those of
    each packet that is here."""
    if facet is not None:
        facet.n_packets += miss.n_missed
        facet.n_bytes += miss.n_bytes
        facet.tcp_flags |= flow.tcp_flags
        facet.used = now
    credit(out.effects, miss.n_missed, miss.n_bytes, now, flow.tcp_flags)
    if out.packet_effects:
        for upcall in miss.upcalls:
            for effect in out.packet_effects:
                effect.apply(upcall.packet, now)


def _carry_out(miss: FlowMiss, out: XlateOut, ops: list[Op]) -> None:
    """Have the datapath forward the packets, or count what drops them."""
    n_packets = len(miss.upcalls)
    actions = out.actions
    if actions and not isinstance(actions[0], Drop):
        if miss.prefix:
            actions = (*miss.prefix, *actions)
        executions = [
            Execute(u.packet, u.key, actions, u.mru, False, u.offload, u.hash) for u in miss.upcalls
        ]
        if out.slow & SLOW_ACTION:
            for execution in executions:
                ops.extend(execute_with_help(execution))
        else:
            ops.extend(executions)
    elif out.error or not out.packet_effects:
        drop_counter(out.error).inc(n_packets)


def count_slow(slow: i64, n_packets: i64) -> None:
    """Count `n_packets` under each reason of the `SLOW_*` bits `slow`."""
    for bit, counter in enumerate(slow_reasons):
        if slow >> bit & 1:
            counter.inc(n_packets)
