"""Sending a packet through the pipeline from here: packet-outs, and packets of the switch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.base import coverage
from vswitch.dpif.execute_with_help import execute_with_help
from vswitch.dpif.types import Execute
from vswitch.flow.extract import extract
from vswitch.flow.flow import Flow
from vswitch.flow.layout import PORT_NONE, W_METADATA
from vswitch.ofproto_dpif.apply import credit
from vswitch.ofproto_dpif.xlate import xlate
from vswitch.ofproto_dpif.xlate_types import SLOW_ACTION, XlateIn, XlateOut
from vswitch.openflow.actions import Output
from vswitch.openflow.constants import OFPP_NONE
from vswitch.packet.parse import Parser

if TYPE_CHECKING:
    from vswitch.flow.match import Match
    from vswitch.ofproto_dpif.bundle import OfportDpif
    from vswitch.ofproto_dpif.ofproto_dpif import OfprotoDpif
    from vswitch.openflow.actions import Actions

packet_out_executed = coverage.counter("ofproto_packet_out")
packet_out_failed = coverage.counter("drop_packet_out_failed")
packet_out_no_actions = coverage.counter("drop_packet_out_no_actions")

_parser = Parser()


def packet_out(ofproto: OfprotoDpif, packet: bytes, in_port: int, actions: Actions,
               metadata: Match | None = None) -> XlateOut:
    """Run OpenFlow `actions` on `packet` as if it came in at OpenFlow port `in_port` (`OFPP_NONE` for
    none) with the pipeline fields of `metadata`. What the datapath refuses is counted and dropped."""
    backer = ofproto.backer
    now = ofproto.clock.now()
    flow = Flow()
    extract(packet, flow, _parser)
    flow.in_port = in_port
    if metadata is not None:
        for word in range(W_METADATA + 1):
            mask = metadata.mask.words[word]
            if mask:
                flow.words[word] = flow.words[word] & ~mask | metadata.flow.words[word]
    out = xlate(XlateIn(ofproto, flow, packet, flow.tcp_flags, actions=actions, now=now))
    credit(out.effects, 1, len(packet), now, flow.tcp_flags)
    if out.actions:
        key = flow.copy()
        port = ofproto.ports.get(in_port) if in_port != OFPP_NONE else None
        key.in_port = port.odp_port if port is not None else PORT_NONE
        ops = [Execute(packet, key, out.actions)]
        if out.slow & SLOW_ACTION:
            ops = execute_with_help(ops[0])
        backer.dpif.operate(ops)
        if any(op.error for op in ops):
            packet_out_failed.inc()
        else:
            packet_out_executed.inc()
    else:
        packet_out_no_actions.inc()
    for recirc_id in out.recircs:
        backer.recirc_ids.unref(recirc_id, now)
    return out


def send_packet(ofproto: OfprotoDpif, port: OfportDpif, packet: bytes) -> XlateOut:
    """Send a packet that the switch itself made (LACP, STP, CFM) out of `port`."""
    ofproto.stats.made(len(packet))
    return packet_out(ofproto, packet, OFPP_NONE, (Output(port.ofp_port),))
