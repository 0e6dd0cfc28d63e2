"""packet-out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vswitch.cli.ofctl.formats import of_versions, require, usable_list
from vswitch.cli.ofctl.switch import OfctlError, Switch
from vswitch.flow.syntax import FlowSyntaxError
from vswitch.flow.values import parse_port
from vswitch.openflow.packet_out_text import packet_bytes, parse_packet_out
from vswitch.openflow.packet_out_text import packet_out as packet_out_of
from vswitch.openflow.wire.messages_base import Form


def packet_out(switch: Switch, args: Sequence[str]) -> None:
    """`packet-out SWITCH IN_PORT ACTIONS PACKET...` or `packet-out SWITCH "in_port=... actions=..."`"""
    bodies: list[Any] = []
    try:
        if len(args) == 1:
            bodies.append(parse_packet_out(args[0], switch.port_names))
        elif len(args) == 2:
            raise OfctlError("Too many arguments (4)")
        else:
            number = parse_port(args[0], switch.port_names)
            if number is None:
                raise OfctlError(f"{switch.name}: unknown port `{args[0]}'")
            bodies += [
                packet_out_of(packet_bytes(text), args[1], number, switch.port_names) for text in args[2:]
            ]
    except FlowSyntaxError as error:
        raise OfctlError(error.message) from error
    for body in bodies:
        require(usable_list(body.actions), of_versions((switch.version,)))
    switch.do([(body, Form.OPENFLOW) for body in bodies])
