"""The commands on the switch itself, its ports and queues, and fragments."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from vswitch.cli.ofctl.switch import OfctlError, Switch
from vswitch.flow.values import parse_port
from vswitch.openflow import constants as c
from vswitch.openflow.messages.port import Port, PortDescRequest, PortMod, PortStatsRequest
from vswitch.openflow.messages.queue import OFPQ_ALL, QueueGetConfigRequest, QueueStatsRequest
from vswitch.openflow.messages.session import (
    OFPC_FRAG_MASK,
    FeaturesRequest,
    GetConfigRequest,
    SetConfig,
)
from vswitch.openflow.messages.switch import DescRequest
from vswitch.openflow.wire.messages_base import Form
from vswitch.openflow.wire.version import OFP10, OFP13

Args: TypeAlias = Sequence[str]

FRAGS: Final = ("normal", "drop", "reassemble", "nx-match")
PORT_ACTIONS: Final = {
    "up": (c.OFPPC_PORT_DOWN, False), "down": (c.OFPPC_PORT_DOWN, True),
    "stp": (c.OFPPC_NO_STP, False), "no-stp": (c.OFPPC_NO_STP, True),
    "receive": (c.OFPPC_NO_RECV, False), "no-receive": (c.OFPPC_NO_RECV, True),
    "receive-stp": (c.OFPPC_NO_RECV_STP, False), "no-receive-stp": (c.OFPPC_NO_RECV_STP, True),
    "flood": (c.OFPPC_NO_FLOOD, False), "no-flood": (c.OFPPC_NO_FLOOD, True),
    "forward": (c.OFPPC_NO_FWD, False), "no-forward": (c.OFPPC_NO_FWD, True),
    "packet-in": (c.OFPPC_NO_PACKET_IN, False), "no-packet-in": (c.OFPPC_NO_PACKET_IN, True),
}  # fmt: skip
"""What mod-port can do: the bit of the port's configuration, and its value."""


def show(switch: Switch, args: Args) -> None:
    """`show SWITCH`"""
    switch.show(FeaturesRequest())
    if switch.version >= OFP13:
        switch.show(PortDescRequest())
    switch.show(GetConfigRequest())


def dump_desc(switch: Switch, args: Args) -> None:
    """`dump-desc SWITCH`"""
    switch.show(DescRequest())


def _port_number(switch: Switch, text: str) -> int:
    number = parse_port(text, switch.port_names)
    if number is None:
        raise OfctlError(f"{switch.name}: unknown port `{text}'")
    return number


def dump_ports(switch: Switch, args: Args) -> None:
    """`dump-ports SWITCH [PORT]`"""
    switch.show(PortStatsRequest(_port_number(switch, args[0]) if args else c.OFPP_ANY))


def dump_ports_desc(switch: Switch, args: Args) -> None:
    """`dump-ports-desc SWITCH [PORT]`"""
    switch.show(PortDescRequest(_port_number(switch, args[0]) if args else c.OFPP_ANY))


def _queue(text: str) -> int:
    if not text.isdigit():
        raise OfctlError(f"{text}: not a queue number")
    return int(text)


def queue_stats(switch: Switch, args: Args) -> None:
    """`queue-stats SWITCH [PORT [QUEUE]]`"""
    port = _port_number(switch, args[0]) if args and args[0].upper() != "ALL" else c.OFPP_ANY
    queue = _queue(args[1]) if len(args) > 1 and args[1].upper() != "ALL" else OFPQ_ALL
    switch.show(QueueStatsRequest(port, queue))


def queue_get_config(switch: Switch, args: Args) -> None:
    """`queue-get-config SWITCH [PORT [QUEUE]]`"""
    port = _port_number(switch, args[0]) if args and args[0].upper() != "ANY" else c.OFPP_ANY
    queue = _queue(args[1]) if len(args) > 1 and args[1].upper() != "ALL" else OFPQ_ALL
    if port == c.OFPP_ANY and switch.version == OFP10:
        for known in switch.ports():
            if known.port_no < c.OFPP_MAX:
                switch.show(QueueGetConfigRequest(known.port_no, queue))
        return
    switch.show(QueueGetConfigRequest(port, queue))


def mod_port(switch: Switch, args: Args) -> None:
    """`mod-port SWITCH PORT ACTION`"""
    name, action = args
    port = _find_port(switch, name)
    word = action.lower()
    if word.startswith("no") and not word.startswith("no-"):
        word = f"no-{word[2:]}"
    if word not in PORT_ACTIONS:
        raise OfctlError(f"unknown mod-port command '{action}'")
    bit, on = PORT_ACTIONS[word]
    request = PortMod(port.port_no, port.hw_addr, bit if on else 0, bit)
    switch.do([(request, Form.OPENFLOW)])


def _find_port(switch: Switch, name: str) -> Port:
    for port in switch.ports():
        if port.name == name:
            return port
    number = int(name) if name.isascii() and name.isdigit() else -1
    for port in switch.ports():
        if port.port_no == number:
            return port
    raise OfctlError(f"{switch.name}: couldn't find port `{name}'")


def get_frags(switch: Switch, args: Args) -> None:
    """`get-frags SWITCH`"""
    reply = switch.ask(GetConfigRequest())[0]
    if switch.settings.json:
        switch.print_message(reply)
    else:
        sys.stdout.write(FRAGS[reply.body.flags & OFPC_FRAG_MASK] + "\n")


def set_frags(switch: Switch, args: Args) -> None:
    """`set-frags SWITCH MODE`"""
    mode = args[0].lower()
    if mode not in FRAGS:
        raise OfctlError(f"{args[0]}: unknown fragment handling mode")
    config = switch.ask(GetConfigRequest())[0].body
    wanted = SetConfig(config.flags & ~OFPC_FRAG_MASK | FRAGS.index(mode), config.miss_send_len)
    if wanted.flags == config.flags:
        return
    switch.do([(wanted, Form.OPENFLOW)])
    now = replace(wanted, flags=switch.ask(GetConfigRequest())[0].body.flags)
    if now != wanted:
        raise OfctlError(
            f"{switch.name}: setting fragment handling mode failed (this switch probably doesn't support"
            f" mode \"{mode}\")"
        )
