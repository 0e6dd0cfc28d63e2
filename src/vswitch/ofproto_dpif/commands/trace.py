"""`ofproto/trace`: what would happen to a packet, step by step, in Open vSwitch's layout.

The lines of the translation itself are `xlate/trace.py`'s.
"""

from __future__ import annotations

import string
from collections import deque
from typing import TYPE_CHECKING, Final

from vswitch.base.records import dataclass, field
from vswitch.base.unixctl import CommandError
from vswitch.dpif.odp_text import NoKeyError, OdpSyntaxError, key_of, parse_key_attrs
from vswitch.dpif.types import ODPP_NONE
from vswitch.flow.compose import DEFAULT_PAYLOAD, flow_compose
from vswitch.flow.extract import extract, limit_vlans
from vswitch.flow.fields import N_WORDS
from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    W_CONJ_ID,
    W_CT_LABEL,
    W_CT_MARK,
    W_CT_NW_SRC,
    W_CT_TP_SRC,
    W_METADATA,
    W_ND_TARGET,
    W_REGS,
    W_TUN_ID,
)
from vswitch.flow.match import Match
from vswitch.flow.match_text import parse_exact_flow
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.ofproto.geneve import options_from_datapath
from vswitch.ofproto_dpif.commands.trace_ct import parse_ct_state, resume
from vswitch.ofproto_dpif.xlate.effects import credit
from vswitch.ofproto_dpif.xlate.said import explain
from vswitch.ofproto_dpif.xlate.trace import Recirculation, Trace
from vswitch.ofproto_dpif.xlate.translate import xlate
from vswitch.ofproto_dpif.xlate.tunnel_match import outer_destination
from vswitch.ofproto_dpif.xlate.types import XlateIn
from vswitch.openflow.action_check import check_actions
from vswitch.openflow.action_text import parse_plain_actions
from vswitch.openflow.constants import OFPP_NONE
from vswitch.openflow.errors import OfpError
from vswitch.packet.parse import Parser

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.commands.bridges import Bridges
    from vswitch.ofproto_dpif.xlate.bridge import XBridge
    from vswitch.openflow.actions import Actions

MAX_PAYLOAD: Final = 64000
"""The longest payload that a generated packet can have, in bytes."""


@dataclass
class TraceRequest:
    """What a trace command asks for. `packet` is None without one, `extracted`: the flow is the packet's;
    `names`: print ports by name; `consistent`: insist on what OpenFlow 1.1 and later do of `actions`."""

    bridge: XBridge
    flow: Flow
    packet: bytes | None = None
    names: bool = False
    actions: Actions = ()
    ct_next: list[int] = field(default_factory=list)
    consistent: bool = False
    extracted: bool = False


def trace_command(ofprotos: Bridges, args: list[str]) -> str:
    """`ofproto/trace {[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]`."""
    return run(parse_request(ofprotos, args), ofprotos.clock.now())


def trace_packet_out_command(ofprotos: Bridges, args: list[str]) -> str:
    """`ofproto/trace-packet-out [-consistent] {...} [OPTIONS...] [-generate|packet] actions`.

    Actions that don't fit the packet are refused; with -consistent also those that only OpenFlow 1.1 and
    later have fit.
    """
    try:
        actions = parse_plain_actions(args.pop())
    except FlowSyntaxError as error:
        raise CommandError(error.message) from error
    request = parse_request(ofprotos, args, packet_out=True)
    try:
        exact = Flow()
        for word in range(N_WORDS):
            exact.words[word] = -1
        check_actions(actions, Match(request.flow.copy(), exact), strict=request.consistent)
        # `_flow` has found the bridge among these.
        ofprotos.all_ofproto_dpifs[request.bridge.name].check_references(actions)
    except OfpError as error:
        raise CommandError(f"Bad actions: {error.name}") from error
    request.actions = actions
    return run(request, ofprotos.clock.now())


def parse_request(ofprotos: Bridges, args: list[str], packet_out: bool = False) -> TraceRequest:
    """Read a trace command's arguments, those of a `packet_out` without its actions. CommandError says what
    is wrong with them."""
    generate = False
    consistent = False
    names = False
    ct_next: list[int] = []
    words: list[str] = []
    payload = DEFAULT_PAYLOAD
    rest = iter(args)
    for arg in rest:
        if not arg.startswith("-"):
            if len(words) == 3:
                raise CommandError("too many arguments")
            words.append(arg)
        elif arg in ("-generate", "--generate"):
            generate = True
        elif arg in ("-names", "--names"):
            names = True
        elif packet_out and arg in ("-consistent", "--consistent"):
            consistent = True
        elif arg == "--ct-next":
            state = next(rest, None)
            if state is None:
                raise CommandError(f"Missing argument for option {arg}")
            ct_next.append(parse_ct_state(state))
        elif arg in ("--l7", "--l7-len"):
            value = next(rest, None)
            if value is None:
                raise CommandError(f"Missing argument for option {arg}")
            payload = _hex(value) if arg == "--l7" else bytes(_payload_length(value))
        else:
            raise CommandError(f"{arg}: unknown option")
    packet: bytes | None = None
    if not generate and (len(words) == 3 or (len(words) == 2 and _is_packet(words[1]))):
        packet = _packet(words.pop())
    if not 1 <= len(words) <= 2:
        raise CommandError("Syntax error")
    bridge, flow = _flow(ofprotos, words)
    extracted = packet is not None
    if packet is not None:
        _keep_metadata(flow)
        extract(packet, flow, Parser(ofprotos.all_ofproto_dpifs[bridge.name].vlan_limit))
    elif generate:
        packet = flow_compose(flow, payload)
    return TraceRequest(bridge, flow, packet, names, (), ct_next, consistent, extracted)


def _is_packet(text: str) -> bool:
    """Whether `text` is a frame of 14 bytes and more in hexadecimal."""
    digits = "".join(text.split())
    return len(digits) >= 28 and len(digits) % 2 == 0 and set(digits) <= set(string.hexdigits)


def _flow(ofprotos: Bridges, words: list[str]) -> tuple[XBridge, Flow]:
    text = words[-1]
    try:
        return _odp_flow(ofprotos, words[0] if len(words) == 2 else None, text)
    except NoKeyError as error:
        raise CommandError(error.message) from None
    except OdpSyntaxError as error:
        # Then it is a flow of OpenFlow.
        if len(words) == 1:
            raise CommandError(f"syntax error at {error.rest} (or the bridge name was omitted)") from None
    ofproto = ofprotos.all_ofproto_dpifs.get(words[0])
    if ofproto is None:
        raise CommandError(f"{words[0]}: unknown bridge")
    ports = {port.name: port.ofp_port for port in ofproto.ports.values()}
    try:
        return ofproto.xbridge, parse_exact_flow(text, ports, ofproto.tlv.options)
    except FlowSyntaxError as error:
        raise CommandError(f"Bad openflow flow syntax: {text}: {error.message}") from error


def _odp_flow(ofprotos: Bridges, name: str | None, text: str) -> tuple[XBridge, Flow]:
    """The packet that a datapath flow describes, and the bridge it comes to; in the datapath `name`, or the
    only one. OdpSyntaxError: it is no such flow."""
    backers = list(ofprotos.backers.values())
    if name is not None:
        backers = [b for b in backers if name in (b.name, b.type)]
    backer = backers[0] if len(backers) == 1 else None
    value, masks = parse_key_attrs(text, None if backer is None else backer.port_numbers())
    if backer is None:
        raise CommandError("Cannot find the datapath")
    flow, _mask = key_of(value, masks, text, packet=True)
    recirc_id = flow.recirc_id
    if recirc_id and backer.dp.recirc_ids.lookup(recirc_id) is None:
        raise CommandError(f"no recirculation data for recirc_id {recirc_id:#x}")
    port = backer.port_of(flow)
    tunneled = outer_destination(flow) and not recirc_id
    if tunneled and (port is None or port.tunnel is None):
        raise CommandError("no OpenFlow tunnel port for this packet")
    if port is None:
        number = ODPP_NONE if flow.in_port == OFPP_NONE else flow.in_port
        raise CommandError(f"no OpenFlow port for datapath port {number}")
    flow.in_port = port.ofp_port
    if not options_from_datapath(port.bridge.tlv, flow):
        raise CommandError("Failed to parse Geneve options")
    limit_vlans(flow, backer.vlan_limit)
    return port.bridge, flow


def _keep_metadata(flow: Flow) -> None:
    """Leave of `flow` what comes with a packet, and what is in the packet's bytes: not what tables add."""
    for word in (*range(W_REGS, W_TUN_ID), W_METADATA, W_CONJ_ID):
        flow.words[word] = 0
    if not outer_destination(flow):
        for word in (*range(W_REGS), *range(W_TUN_ID, W_METADATA)):
            flow.words[word] = 0
    flow.packet_type = 0
    if not flow.ct_state:
        flow.words[W_CT_MARK] = 0  # and the zone
        for word in (W_CT_LABEL, W_CT_LABEL + 1, *range(W_CT_NW_SRC, W_ND_TARGET)):
            flow.words[word] = 0
        flow.words[W_CT_TP_SRC] &= ~0xFFFFFFFF


def _hex(text: str) -> bytes:
    digits = "".join(text.split())
    if len(digits) % 2 or any(c not in string.hexdigits for c in digits):
        raise CommandError("Trailing garbage in packet data")
    return bytes.fromhex(digits)


def _payload_length(text: str) -> int:
    """A length of payload; what is no number is 0."""
    n = int(text) if text.lstrip("-").isdigit() else 0
    if not 0 <= n <= MAX_PAYLOAD:
        raise CommandError(f"{text}: too much L7 data")
    return n


def _packet(text: str) -> bytes:
    packet = _hex(text)
    if len(packet) < 14:
        raise CommandError("Packet data too short for Ethernet")
    return packet


def run(request: TraceRequest, now: int) -> str:
    """Trace one packet and print all of it, with what happens to it after each recirculation. With a
    packet, addresses are learned from it."""
    recirc_ids = request.bridge.dp.recirc_ids
    held: list[int] = []
    waiting: deque[Recirculation] = deque()
    ct_next = list(request.ct_next)
    text = _pass(request, request.flow, request.actions or None, waiting, held, now)
    while waiting:
        back = waiting.popleft()
        text += resume(back, ct_next) + _pass(request, back.flow, None, waiting, held, now)
    for used in held:
        recirc_ids.unref(used, now)
    return text


def _pass(request: TraceRequest, flow: Flow, actions: Actions | None, waiting: deque[Recirculation],
          held: list[int], now: int) -> str:
    """One translation, as text. `waiting` gets the recirculations to go on with, `held` the ids that
    are to be given back at the end."""
    bridge = request.bridge
    bridges = bridge.dp.bridges
    ofp_names = odp_names = None
    if request.names:
        ofp_names = {port.ofp_port: port.name for port in bridge.ports.values()}
        odp_names = {port.odp_port: port.name for b in bridges.values() for port in b.ports.values()}
    trace = Trace(ofp_names)
    packet = request.packet
    xin = XlateIn(
        bridge, flow, packet, flow.tcp_flags, actions=actions, trace=trace, now=now,
        side_effects=packet is not None,
    )  # fmt: skip
    recirc_id = flow.recirc_id
    if recirc_id:
        frozen = bridge.dp.recirc_ids.lookup(recirc_id)
        xin.frozen = frozen
        if frozen is not None:
            trace.bridge = bridge.name
            xin.bridge = bridges.get(frozen.bridge, bridge)
    out = xlate(xin)
    waiting.extend(trace.recircs)
    held.extend(out.recircs)
    if packet is not None:
        credit(out.effects, 0, 0, now, flow.tcp_flags)
        for effect in out.packet_effects:
            effect.apply(packet, now)
    return explain(xin, out, trace, flow, odp_names, request.extracted)
