"""`ofproto/trace`: what would happen to a packet, step by step, in Open vSwitch's layout.

The lines of the translation itself are `xlate/trace.py`'s.
"""

from __future__ import annotations

import string
from collections import deque
from typing import TYPE_CHECKING, Final

from vswitch.base.records import dataclass, field
from vswitch.base.unixctl import CommandError
from vswitch.dpif.odp_text import OdpSyntaxError, parse_key
from vswitch.dpif.types import ODPP_NONE
from vswitch.flow.compose import DEFAULT_PAYLOAD, flow_compose
from vswitch.flow.extract import extract
from vswitch.flow.fields import N_WORDS
from vswitch.flow.flow import Flow
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
from vswitch.openflow import actions as of
from vswitch.openflow.action_check import check_actions
from vswitch.openflow.action_parse import INSTRUCTIONS
from vswitch.openflow.action_text import parse_actions
from vswitch.openflow.constants import OFPP_NONE
from vswitch.openflow.errors import OfpError
from vswitch.packet.parse import Parser

if TYPE_CHECKING:
    from vswitch.ofproto_dpif.commands.bridges import Bridges
    from vswitch.ofproto_dpif.xlate.bridge import XBridge
    from vswitch.openflow.actions import Actions

MAX_PAYLOAD: Final = 64000
"""The longest payload that a generated packet can have, in bytes."""
_CONSISTENT: Final = ("-consistent", "--consistent")


@dataclass
class TraceRequest:
    """What a trace command asks for. `packet` is None without one; `names`: print ports by name."""

    bridge: XBridge
    flow: Flow
    packet: bytes | None = None
    names: bool = False
    actions: Actions = ()
    ct_next: list[int] = field(default_factory=list)


def trace_command(ofprotos: Bridges, args: list[str]) -> str:
    """`ofproto/trace {[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]`."""
    return run(parse_request(ofprotos, args), ofprotos.clock.now())


def trace_packet_out_command(ofprotos: Bridges, args: list[str]) -> str:
    """`ofproto/trace-packet-out [-consistent] {...} [OPTIONS...] [-generate|packet] actions`.

    Actions that don't fit the packet are refused; with -consistent also those that only OpenFlow 1.1 and
    later have fit.
    """
    consistent = any(arg in _CONSISTENT for arg in args)
    args = [arg for arg in args if arg not in _CONSISTENT]
    text = args.pop()
    try:
        actions = parse_actions(text)
    except FlowSyntaxError as error:
        raise CommandError(error.message) from error
    for action in actions:
        found = INSTRUCTIONS.get(type(action))
        if found is not None and not isinstance(action, of.Meter):
            raise CommandError(f"{found[1]} instruction not allowed here")
    request = parse_request(ofprotos, args)
    try:
        exact = Flow()
        for word in range(N_WORDS):
            exact.words[word] = -1
        check_actions(actions, Match(request.flow.copy(), exact), strict=consistent)
        # `_flow` has found the bridge among these.
        ofprotos.all_ofproto_dpifs[request.bridge.name].check_references(actions)
    except OfpError as error:
        raise CommandError(f"Bad actions: {error.name}") from error
    request.actions = actions
    return run(request, ofprotos.clock.now())


def parse_request(ofprotos: Bridges, args: list[str]) -> TraceRequest:
    """Read a trace command's arguments. CommandError says what is wrong with them."""
    generate = False
    names = False
    ct_next: list[int] = []
    words: list[str] = []
    unknown = ""
    payload = DEFAULT_PAYLOAD
    rest = iter(args)
    for arg in rest:
        if not arg.startswith("-"):
            words.append(arg)
        elif arg in ("-generate", "--generate"):
            generate = True
        elif arg in ("-names", "--names"):
            names = True
        elif arg in ("-no-names", "--no-names"):
            names = False
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
            unknown = unknown or arg
    if len(words) > 3:
        raise CommandError("too many arguments")
    if unknown:
        raise CommandError(f"{unknown}: unknown option")
    packet: bytes | None = None
    if len(words) == 3 or (len(words) == 2 and _is_packet(words[1])):
        if generate:
            raise CommandError("Syntax error")
        packet = _packet(words.pop())
    if not words:
        raise CommandError("missing flow")
    bridge, flow = _flow(ofprotos, words)
    if packet is not None:
        extract(packet, flow, Parser(ofprotos.all_ofproto_dpifs[bridge.name].vlan_limit))
    elif generate:
        packet = flow_compose(flow, payload)
    return TraceRequest(bridge, flow, packet, names, (), ct_next)


def _is_packet(text: str) -> bool:
    """Whether `text` is a frame of 14 bytes and more in hexadecimal."""
    digits = "".join(text.split())
    return len(digits) >= 28 and len(digits) % 2 == 0 and set(digits) <= set(string.hexdigits)


def _is_odp_flow(text: str) -> bool:
    """Datapath flows have parentheses where OpenFlow ones have an equals sign; nothing is one too."""
    return not text or ("(" in text and "=" not in text.partition("(")[0])


def _flow(ofprotos: Bridges, words: list[str]) -> tuple[XBridge, Flow]:
    text = words[-1]
    if _is_odp_flow(text):
        return _odp_flow(ofprotos, words[0] if len(words) == 2 else None, text)
    if len(words) == 1:
        raise CommandError(f"syntax error at {text} (or the bridge name was omitted)")
    ofproto = ofprotos.all_ofproto_dpifs.get(words[0])
    if ofproto is None:
        raise CommandError(f"{words[0]}: unknown bridge")
    ports = {port.name: port.ofp_port for port in ofproto.ports.values()}
    try:
        return ofproto.xbridge, parse_exact_flow(text, ports, ofproto.tlv.options)
    except FlowSyntaxError as error:
        raise CommandError(f"Bad openflow flow syntax: {text}: {error.message}") from error


def _odp_flow(ofprotos: Bridges, dp: str | None, text: str) -> tuple[XBridge, Flow]:
    if dp is not None:
        backer = next((b for b in ofprotos.backers.values() if dp in (b.name, b.type)), None)
        if backer is None:
            try:
                parse_key(text, packet=True)
            except OdpSyntaxError as error:
                raise CommandError(f"{dp}: unknown bridge") from error
            raise CommandError("Cannot find the datapath")
    else:
        if len(ofprotos.backers) != 1:
            raise CommandError("More than one datapath; specify one" if ofprotos.backers else "No datapaths")
        backer = next(iter(ofprotos.backers.values()))
    try:
        flow, _mask = parse_key(text, backer.port_numbers(), packet=True)
    except OdpSyntaxError as error:
        place = error.rest or text
        raise CommandError(f"syntax error at {place} (or the bridge name was omitted)") from error
    recirc_id = flow.recirc_id
    if recirc_id and backer.dp.recirc_ids.lookup(recirc_id) is None:
        raise CommandError(f"no recirculation data for recirc_id {recirc_id:#x}")
    port = backer.port_of(flow)
    if port is None and outer_destination(flow):
        raise CommandError("no OpenFlow tunnel port for this packet")
    if port is None:
        number = ODPP_NONE if flow.in_port == OFPP_NONE else flow.in_port
        raise CommandError(f"no OpenFlow port for datapath port {number}")
    flow.in_port = port.ofp_port
    if not options_from_datapath(port.bridge.tlv, flow):
        raise CommandError("Failed to parse Geneve options")
    return port.bridge, flow


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
    return explain(xin, out, trace, flow, odp_names)
