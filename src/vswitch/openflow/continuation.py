"""Continuations on the wire: a paused translation as a list of properties, and as text.

They go out in NXT_PACKET_IN2 and come back in NXT_RESUME. Controllers take them for opaque; the layout, four
zeros and the properties, is the one that Open vSwitch 3.1's tools print (found by pausing a packet in the
real switch and looking at what it sent). The actions in it are in OpenFlow 1.5's form, whatever the
connection speaks.
"""

from __future__ import annotations

import uuid
from typing import Final

from vswitch.base.records import dataclass, field
from vswitch.openflow.action_format import format_actions
from vswitch.openflow.actions import Actions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.print_base import Ports
from vswitch.openflow.wire.actions import get_actions
from vswitch.openflow.wire.buffer import Reader
from vswitch.openflow.wire.instructions import get_instructions
from vswitch.openflow.wire.messages_base import get_properties
from vswitch.openflow.wire.version import OFP15

NXCPT_BRIDGE: Final = 0x8000
NXCPT_STACK: Final = 0x8001
NXCPT_MIRRORS: Final = 0x8002
NXCPT_CONNTRACKED: Final = 0x8003
NXCPT_TABLE_ID: Final = 0x8004
NXCPT_COOKIE: Final = 0x8005
NXCPT_ACTIONS: Final = 0x8006
NXCPT_ACTION_SET: Final = 0x8007
NXCPT_ODP_PORT: Final = 0x8008
INSTRUCTIONS: Final = 0x80FF
"""Our own, beside Open vSwitch's: actions among which are instructions, which it has no words for."""


def swapped(data: bytes) -> bytes:
    """`data` with the bytes of each 32-bit word exchanged: the tools take a UUID for host words."""
    return b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))


@dataclass
class Continuation:
    """What the properties say."""

    bridge: uuid.UUID | None = None
    stack: list[tuple[int, int]] = field(default_factory=list)
    """(value, bits), the top first."""
    mirrors: int = 0
    conntracked: bool = False
    actions: list[tuple[tuple[int, int] | None, Actions]] = field(default_factory=list)
    """Actions, behind the (table, cookie) of the flow that they are of if it is another than before."""
    action_set: Actions = ()
    odp_port: int | None = None
    unknown: int | None = None
    """A property that has no meaning."""


def read_continuation(data: bytes) -> Continuation:
    """The properties in `data`. OfpError: OFPBPC_* and the errors of actions."""
    found = Continuation()
    table_id = cookie = 0
    moved = False
    for kind, body in get_properties(Reader(data, 4)):
        if kind == NXCPT_BRIDGE:
            found.bridge = uuid.UUID(bytes=swapped(_exactly(body, 16)))
        elif kind == NXCPT_STACK:
            value = body.rest()
            found.stack.append((int.from_bytes(value, "big"), 8 * len(value)))
        elif kind == NXCPT_MIRRORS:
            found.mirrors = int.from_bytes(_exactly(body, 4), "big")
        elif kind == NXCPT_CONNTRACKED:
            found.conntracked = True
        elif kind == NXCPT_TABLE_ID:
            table_id = _exactly(body, 1)[0]
            moved = True
        elif kind == NXCPT_COOKIE:
            cookie = int.from_bytes(_exactly(body, 12)[4:], "big")
            moved = True
        elif kind in (NXCPT_ACTIONS, INSTRUCTIONS):
            at = (table_id, cookie) if moved else None
            found.actions.append((at, _get_actions(body, kind == INSTRUCTIONS)))
            moved = False
        elif kind == NXCPT_ACTION_SET:
            found.action_set = _get_actions(body)
        elif kind == NXCPT_ODP_PORT:
            found.odp_port = int.from_bytes(_exactly(body, 4), "big")
        else:
            found.unknown = kind
    return found


def _exactly(body: Reader, n: int) -> bytes:
    data = body.rest()
    if len(data) != n:
        raise OfpError("OFPBPC_BAD_LEN", f"continuation property of {len(data)} bytes")
    return data


def _get_actions(body: Reader, instructions: bool = False) -> Actions:
    if body.left < 4:
        raise OfpError("OFPBPC_BAD_LEN", "continuation's actions")
    body.skip(4)
    if instructions:
        return get_instructions(body, body.left, OFP15)
    return get_actions(body, body.left, OFP15)


def format_continuation(data: bytes, ports: Ports) -> str:
    """A line for each thing that `data` has. OfpError."""
    found = read_continuation(data)
    lines = []
    if found.bridge is not None:
        lines.append(f"bridge={found.bridge}")
    if found.stack:
        values = " ".join(f"0x{value:x}" if value else "0" for value, _ in found.stack)
        lines.append(f"stack=(top) {values} (bottom)")
    if found.mirrors:
        lines.append(f"mirrors=0x{found.mirrors:x}")
    if found.conntracked:
        lines.append("conntracked=true")
    if found.actions:
        texts = []
        for number, (at, actions) in enumerate(found.actions):
            if at is not None or number == 0:
                table_id, cookie = at or (0, 0)
                texts.append(f"unroll_xlate(table={table_id}, cookie={cookie})")
            texts.append(format_actions(actions, ports))
        lines.append(f"actions={','.join(texts)}")
    if found.action_set:
        lines.append(f"action_set={format_actions(found.action_set, ports)}")
    if found.odp_port is not None:
        lines.append(f"odp_port={found.odp_port}")
    return "".join(f" continuation.{line}\n" for line in lines)
