"""Sending a packet through the pipeline from here: packet-outs, packets that a controller resumes, and
packets of the switch's own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64, mypyc_attr

from vswitch.base import coverage
from vswitch.dpif.actions import Drop
from vswitch.dpif.execute_with_help import execute_with_help
from vswitch.dpif.ops import Execute
from vswitch.flow.extract import extract, limit_vlans
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    CT_PORTS,
    TUN_F_OAM,
    W_CT_ADDRESSES,
    W_CT_ADDRESSES_END,
    W_CT_TP_SRC,
    W_METADATA,
    W_PACKET,
    W_PACKET_TYPE,
)
from vswitch.ofproto.geneve import options_to_datapath
from vswitch.ofproto_dpif.upcall import continuation
from vswitch.ofproto_dpif.xlate.effects import credit
from vswitch.ofproto_dpif.xlate.freeze import freeze_metadata
from vswitch.ofproto_dpif.xlate.said import log_remarks
from vswitch.ofproto_dpif.xlate.translate import xlate
from vswitch.ofproto_dpif.xlate.types import SLOW_ACTION, XLATE_ERRORS, XlateIn, XlateOut
from vswitch.openflow.actions import Action, Note, Output, SetField
from vswitch.openflow.constants import OFPP_NONE
from vswitch.openflow.errors import OfpError
from vswitch.packet.parse import Parser

if TYPE_CHECKING:
    from vswitch.flow.match import Match
    from vswitch.ofproto_dpif.roles import BridgeRole
    from vswitch.ofproto_dpif.xlate.bridge import XPort
    from vswitch.openflow.actions import Actions
    from vswitch.openflow.messages.packet import PacketIn

packet_out_executed = coverage.counter("ofproto_packet_out")
resumed = coverage.counter("ofproto_resumed")
packet_out_failed = coverage.counter("drop_packet_out_failed")
packet_out_no_actions = coverage.counter("drop_packet_out_no_actions")

_parser = Parser()


def packet_out(ofproto: BridgeRole, packet: bytes, in_port: int, actions: Actions,
               metadata: Match | None = None) -> XlateOut:
    """Run OpenFlow `actions` on `packet` as if it came in at OpenFlow port `in_port` (`OFPP_NONE` for
    none) with the pipeline fields of `metadata`. What the datapath refuses is counted and dropped.

    OfpError: the actions can't be carried out (recursion too deep...); then nothing was.
    """
    started = packet_out_start(ofproto, packet, in_port, actions, metadata)
    started.finish()
    return started.out


def packet_out_start(ofproto: BridgeRole, packet: bytes, in_port: int, actions: Actions,
                     metadata: Match | None = None) -> StartedPacketOut:
    """The first part of `packet_out`: translate, by the tables as they are. OfpError."""
    now = ofproto.clock.now()
    flow = Flow()
    if metadata is not None:
        flow.packet_type = metadata.flow.packet_type
    extract(packet, flow, _parser)
    limit_vlans(flow, ofproto.vlan_limit)
    flow.in_port = in_port
    # An option that nothing is mapped to stays nobody's, as in Open vSwitch.
    with contextlib.suppress(OfpError):
        actions = ofproto.tlv.bind_actions(actions)
    if metadata is not None:
        ofproto.tlv.bind_match(metadata)
        for word in range(W_METADATA + 1):
            mask = metadata.mask.words[word]
            if mask:
                flow.words[word] = flow.words[word] & ~mask | metadata.flow.words[word]
    xin = XlateIn(ofproto.xbridge, flow, packet, flow.tcp_flags, actions=actions, now=now)
    out = xlate(xin)
    log_remarks(xin, out)
    if out.error:
        _give_back(ofproto, out, now)
        # The real switch has no better name for it.
        raise OfpError("OFPFMFC_UNKNOWN", XLATE_ERRORS[out.error])
    return StartedPacketOut(ofproto, packet, flow, out)


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class StartedPacketOut:
    """A packet-out that is translated. One of `finish` and `cancel` is to be called, once."""

    def __init__(self, ofproto: BridgeRole, packet: bytes, flow: Flow, out: XlateOut) -> None:
        self.ofproto = ofproto
        self.packet: bytes = packet
        self.flow: Flow = flow
        self.out: XlateOut = out

    def finish(self) -> bool:
        """Count the packet and send it; whether the datapath sent something."""
        now = self.ofproto.clock.now()
        credit(self.out.effects, 1, len(self.packet), now, self.flow.tcp_flags)
        for effect in self.out.packet_effects:
            effect.apply(self.packet, now)
        for told in self.out.told:
            told.apply(self.packet, now)
        return _execute(self.ofproto, self.packet, self.flow, self.out, now)

    def cancel(self) -> None:
        """The packet is not sent after all."""
        _give_back(self.ofproto, self.out, self.ofproto.clock.now())


def resume(ofproto: BridgeRole, packet_in: PacketIn) -> XlateOut:
    """Go on with a packet that a controller action with `pause` stopped: NXT_RESUME.

    The controller may have changed the packet, its metadata and nothing else. OfpError: the
    continuation is malformed (OFPBPC_*, OFPBAC_*), or NXR_STALE.
    """
    backer = ofproto.backer
    bridges = {continuation.bridge_uuid(name): name for name in backer.ofprotos}
    state = continuation.decode(packet_in.continuation, bridges)
    bridge = backer.ofprotos[state.bridge]
    now = bridge.clock.now()
    flow = Flow()
    extract(packet_in.packet, flow, _parser)
    limit_vlans(flow, backer.vlan_limit)
    bridge.tlv.bind_match(packet_in.metadata)
    _take_metadata(flow, packet_in.metadata.flow)
    # Without actions translation would begin at table 0: something must be there that does nothing.
    frozen = state.resumed(freeze_metadata(flow), state.actions or (Note(b""),))
    out = xlate(XlateIn(bridge.xbridge, flow, packet_in.packet, flow.tcp_flags, frozen=frozen, now=now))
    credit(out.effects, 1, len(packet_in.packet), now, flow.tcp_flags)
    for effect in out.packet_effects:
        effect.apply(packet_in.packet, now)
    resumed.inc()
    _execute(bridge, packet_in.packet, flow, out, now)
    return out


def _take_metadata(flow: Flow, metadata: Flow) -> None:
    """Give `flow` what isn't in the packet: tunnel, registers, marks, connection state, in_port."""
    words = flow.words
    i: i64 = 0
    while i < W_PACKET:
        if i != W_PACKET_TYPE:
            words[i] = metadata.words[i]
        i += 1
    i = W_CT_ADDRESSES
    while i < W_CT_ADDRESSES_END:
        words[i] = metadata.words[i]
        i += 1
    words[W_CT_TP_SRC] = (words[W_CT_TP_SRC] & ~CT_PORTS) | (metadata.words[W_CT_TP_SRC] & CT_PORTS)
    flow.recirc_id = 0


def _execute(ofproto: BridgeRole, packet: bytes, flow: Flow, out: XlateOut, now: int) -> bool:
    """Carry `out`, the translation of `packet`, out; whether the datapath sent it."""
    sent = False
    backer = ofproto.backer
    if out.actions:
        key = flow.copy()
        options_to_datapath(ofproto.tlv, key)
        port = ofproto.ports.get(flow.in_port) if flow.in_port != OFPP_NONE else None
        key.in_port = port.odp_port if port is not None else OFPP_NONE
        ops = [Execute(packet, key, out.actions)]
        if out.slow & SLOW_ACTION:
            ops = execute_with_help(ops[0])
        backer.dpif.operate(ops)
        if any(op.error for op in ops):
            packet_out_failed.inc()
        else:
            packet_out_executed.inc()
            sent = not isinstance(out.actions[0], Drop)
            if out.recircs:
                # The packet comes back for the rest of its translation. What the controller asks for next
                # is to find it done, as in Open vSwitch.
                backer.handle_waiting(now)
    elif out.told:
        packet_out_executed.inc()
        sent = True
    else:
        packet_out_no_actions.inc()
    _give_back(ofproto, out, now)
    return sent


def _give_back(ofproto: BridgeRole, out: XlateOut, now: int) -> None:
    """Let go of what translation `out` holds."""
    for recirc_id in out.recircs:
        ofproto.backer.dp.recirc_ids.unref(recirc_id, now)


_TUN_FLAGS: Final = by_name("tun_flags")
_OAM: Final = SetField(_TUN_FLAGS, TUN_F_OAM, TUN_F_OAM)


def send_packet(ofproto: BridgeRole, port: XPort, packet: bytes, oam: bool = False) -> bool:
    """Send a packet that the switch itself made (LACP, STP, CFM) out of `port`; whether it went. `oam`: if
    that is a tunnel whose header can say so, the packet is of its operation."""
    ofproto.stats.made(len(packet))
    actions: tuple[Action, ...] = (Output(port.ofp_port),)
    if oam:
        actions = (_OAM, *actions)
    try:
        sent = packet_out_start(ofproto, packet, OFPP_NONE, actions).finish()
    except OfpError:
        # Of a patch port: the bridges behind it send it round and round.
        packet_out_failed.inc()
        return False
    return sent
