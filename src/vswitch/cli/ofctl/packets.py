"""packet-out, and a packet-out as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vswitch.cli.ofctl.formats import of_versions, require, usable_actions
from vswitch.cli.ofctl.switch import OfctlError, Switch
from vswitch.flow.fields import by_name
from vswitch.flow.match import Match
from vswitch.flow.match_text import parse_match_word
from vswitch.flow.syntax import FlowSyntaxError, split_words
from vswitch.flow.values import parse_port
from vswitch.openflow import constants as c
from vswitch.openflow.action_text import parse_plain_actions
from vswitch.openflow.messages.packet import PacketOut
from vswitch.openflow.wire.messages_base import Form

ETHERNET_BYTES = 14


def packet_bytes(text: str) -> bytes:
    """A packet from hexadecimal digits. OfctlError in ovs-ofctl's words."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise OfctlError("Trailing garbage in packet data") from None
    if len(data) < ETHERNET_BYTES:
        raise OfctlError("Packet data too short for Ethernet")
    return data


def packet_out_from(text: str, ports: Mapping[str, int]) -> PacketOut:
    """`in_port=PORT packet=HEX actions=...`. OfctlError, FlowSyntaxError."""
    head, _, actions = text.partition("actions=")
    metadata = Match()
    packet: bytes | None = None
    in_port = c.OFPP_CONTROLLER
    for word in split_words(head):
        if word.key == "packet":
            try:
                packet = packet_bytes(word.value)
            except OfctlError as error:
                raise OfctlError(f"packet: {error}") from error
        elif word.key == "in_port":
            number = parse_port(word.value, ports)
            if number is None:
                raise OfctlError(f"{word.value} is not a valid OpenFlow port")
            in_port = number
        elif not parse_match_word(metadata, word, ports):
            raise OfctlError(f"unknown keyword {word.key}")
    if packet is None:
        raise OfctlError("must specify packet")
    metadata.set(by_name("in_port"), in_port)
    return PacketOut(packet, parse_plain_actions(actions, ports), metadata)


def packet_out(switch: Switch, args: Sequence[str]) -> None:
    """`packet-out SWITCH IN_PORT ACTIONS PACKET...` or `packet-out SWITCH "in_port=... actions=..."`"""
    bodies: list[Any] = []
    try:
        if len(args) == 1:
            bodies.append(packet_out_from(args[0], switch.port_names))
        elif len(args) == 2:
            raise OfctlError("Too many arguments (4)")
        else:
            number = parse_port(args[0], switch.port_names)
            if number is None:
                raise OfctlError(f"{switch.name}: unknown port `{args[0]}'")
            actions = parse_plain_actions(args[1], switch.port_names)
            metadata = Match()
            metadata.set(by_name("in_port"), number)
            bodies += [PacketOut(packet_bytes(text), actions, metadata) for text in args[2:]]
    except FlowSyntaxError as error:
        raise OfctlError(error.message) from error
    for body in bodies:
        require(usable_actions(body.actions), of_versions((switch.version,)))
    switch.do([(body, Form.OPENFLOW) for body in bodies])
