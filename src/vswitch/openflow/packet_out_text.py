"""Packet-outs and the lines of a bundle as text, as in ovs-ofctl's packet-out and bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vswitch.flow.fields import by_name
from vswitch.flow.match import Match
from vswitch.flow.match_text import field_by_text_name, parse_match_word
from vswitch.flow.syntax import FlowSyntaxError, split_words
from vswitch.flow.values import parse_packet_type, parse_port
from vswitch.openflow.action_text import parse_plain_actions
from vswitch.openflow.constants import OFPP_CONTROLLER, OFPP_LOCAL, OFPP_MAX, OFPP_NONE
from vswitch.openflow.flow_mod import FlowModCommand
from vswitch.openflow.flow_text import parse_flow_line
from vswitch.openflow.group_text import parse_group
from vswitch.openflow.messages.packet import PacketOut

ETHERNET_BYTES: Final = 14
SOURCES: Final = (OFPP_LOCAL, OFPP_CONTROLLER, OFPP_NONE)
"""The reserved ports that a packet-out may come from."""
PIPELINE: Final = ("tun_", "reg", "xreg", "xxreg", "metadata", "in_port_oxm", "packet_type")
"""How the names of fields begin that a packet-out may set: those that are not in the packet."""
_IN_PORT: Final = by_name("in_port")
_PACKET_TYPE: Final = by_name("packet_type")


def packet_bytes(text: str) -> bytes:
    """A packet from hexadecimal digits. FlowSyntaxError in ovs-ofctl's words."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise FlowSyntaxError("Trailing garbage in packet data") from None
    if len(data) < ETHERNET_BYTES:
        raise FlowSyntaxError("Packet data too short for Ethernet")
    return data


def parse_packet_out(text: str, ports: Mapping[str, int] | None = None) -> PacketOut:
    """`in_port=PORT packet=HEX actions=...`; `ports` maps names to numbers. FlowSyntaxError."""
    head, _, actions = text.partition("actions=")
    metadata = Match()
    packet: bytes | None = None
    in_port = OFPP_CONTROLLER
    for word in split_words(head):
        if not word.value:
            raise FlowSyntaxError(f"field {word.key} missing value")
        if word.key == "packet":
            try:
                packet = packet_bytes(word.value)
            except FlowSyntaxError as error:
                raise FlowSyntaxError(f"packet: {error.message}") from error
        elif word.key == "in_port":
            number = parse_port(word.value, ports)
            if number is None:
                raise FlowSyntaxError(f"{word.value} is not a valid OpenFlow port")
            if number > OFPP_MAX and number not in SOURCES:
                raise FlowSyntaxError(f"{word.value} is not a valid OpenFlow port for PACKET_OUT")
            in_port = number
        elif word.key == "packet_type":
            metadata.set(_PACKET_TYPE, _packet_type(word.value))
        else:
            field = field_by_text_name(word.key)
            if field is not None and not field.name.startswith(PIPELINE):
                raise FlowSyntaxError(f"{word.key} is not a valid pipeline field for PACKET_OUT")
            if not parse_match_word(metadata, word, ports):
                raise FlowSyntaxError(f"unknown keyword {word.key}")
    if packet is None:
        raise FlowSyntaxError("must specify packet")
    return packet_out(packet, actions, in_port, ports, metadata)


def _packet_type(text: str) -> int:
    """Namespace and type, in parentheses or not. FlowSyntaxError."""
    inside = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    if "," not in inside:
        raise FlowSyntaxError(f"packet_type({text}) can't be interpreted", text)
    return parse_packet_type(f"({inside})")


def packet_out(packet: bytes, actions: str, in_port: int, ports: Mapping[str, int] | None = None,
               metadata: Match | None = None) -> PacketOut:
    """The packet-out of `packet` that comes from `in_port`. FlowSyntaxError."""
    metadata = metadata or Match()
    metadata.set(_IN_PORT, in_port)
    return PacketOut(packet, parse_plain_actions(actions, ports), metadata)


def parse_bundle_line(line: str, ports: Mapping[str, int] | None = None,
                      tables: Mapping[str, int] | None = None) -> Any:
    """The FlowMod, GroupMod or PacketOut of a line of a bundle ("flow add ...", "group ...",
    "packet-out ..."). FlowSyntaxError."""
    kind, _, rest = line.partition(" ")
    rest = rest.strip()
    if kind == "flow":
        return parse_flow_line(rest, FlowModCommand.ADD, ports, tables)
    if kind == "group":
        return parse_group(rest, ports=ports)
    if kind == "packet-out":
        return parse_packet_out(rest, ports)
    word = line.partition(",")[0].partition(" ")[0]
    raise FlowSyntaxError(f"Unsupported bundle message type: {word}")
