"""Continuations: a paused translation as bytes, for a controller to keep and to send back.

They go out in NXT_PACKET_IN2 and come back in NXT_RESUME. Controllers take them for opaque; the
layout, four zeros and a list of properties, is the one that Open vSwitch 3.1's tools print (found
by pausing a packet in the real switch and looking at what it sent). The actions in it are in
OpenFlow 1.5's form, whatever the connection speaks.
"""

from __future__ import annotations

import uuid
from typing import Final, cast

from vswitch.ofproto_dpif.xlate.freeze import Unroll
from vswitch.ofproto_dpif.xlate.recirc import FrozenState
from vswitch.openflow.actions import Action, Actions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.actions import get_actions, put_actions
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.instructions import get_instructions, is_instruction, put_instructions
from vswitch.openflow.wire.messages_base import begin_property, end_property, get_properties, put_u32_property
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

_NAMESPACE: Final = uuid.UUID("6f6e0c1c-5a0b-4f0e-9d0e-0a6d3c5f7b11")


def bridge_uuid(name: str) -> uuid.UUID:
    """The id that continuations have for bridge `name`."""
    return uuid.uuid5(_NAMESPACE, name)


def _swapped(data: bytes) -> bytes:
    """`data` with the bytes of each 32-bit word exchanged: the tools take a UUID for host words."""
    return b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4))


def encode(state: FrozenState, odp_port: int) -> bytes:
    """`state` as a continuation; `odp_port` is the datapath port where the packet came in."""
    w = Writer()
    w.pad(4)
    _put_bytes(w, NXCPT_BRIDGE, _swapped(bridge_uuid(state.bridge).bytes))
    for value, n_bits in state.stack:
        n_bytes = max((n_bits + 7) // 8, 1)
        _put_bytes(w, NXCPT_STACK, value.to_bytes(n_bytes, "big"))
    if state.mirrors:
        put_u32_property(w, NXCPT_MIRRORS, state.mirrors)
    if state.conntracked:
        _put_bytes(w, NXCPT_CONNTRACKED, b"")
    group: list[Action] = []
    frozen: tuple[object, ...] = state.actions
    for action in (*frozen, None):
        if isinstance(action, Unroll) or action is None:
            if group:
                _put_actions(w, NXCPT_ACTIONS, tuple(group))
            group = []
            if isinstance(action, Unroll):
                _put_bytes(w, NXCPT_TABLE_ID, bytes((action.table_id,)))
                _put_bytes(w, NXCPT_COOKIE, bytes(4) + action.cookie.to_bytes(8, "big"))
        else:
            group.append(cast("Action", action))
    if state.action_set:
        _put_actions(w, NXCPT_ACTION_SET, state.action_set)
    put_u32_property(w, NXCPT_ODP_PORT, odp_port)
    return w.getvalue()


def _put_bytes(w: Writer, kind: int, data: bytes) -> None:
    start = begin_property(w, kind)
    w.raw(data)
    end_property(w, start)


def _put_actions(w: Writer, kind: int, actions: Actions) -> None:
    instructions = kind == NXCPT_ACTIONS and any(is_instruction(action) for action in actions)
    start = begin_property(w, INSTRUCTIONS if instructions else kind)
    w.pad(4)
    if instructions:
        put_instructions(w, actions, OFP15)
    else:
        put_actions(w, actions, OFP15)
    end_property(w, start)


def decode(data: bytes, bridges: dict[uuid.UUID, str]) -> FrozenState:
    """What `encode` made `data` of, without metadata. `bridges` are the names of those there are.

    OfpError: OFPBPC_* and the errors of actions: that is no continuation; NXR_STALE: its bridge
    is gone.
    """
    bridge: uuid.UUID | None = None
    stack: list[tuple[int, int]] = []
    actions: list[object] = []
    action_set: Actions = ()
    mirrors = table_id = cookie = 0
    conntracked = moved = False
    if len(data) < 4:
        raise OfpError("NXR_STALE", "there is no continuation")
    for kind, body in get_properties(Reader(data, 4)):
        if kind == NXCPT_BRIDGE:
            bridge = uuid.UUID(bytes=_swapped(_exactly(body, 16)))
        elif kind == NXCPT_STACK:
            value = body.rest()
            stack.append((int.from_bytes(value, "big"), 8 * len(value)))
        elif kind == NXCPT_MIRRORS:
            mirrors = int.from_bytes(_exactly(body, 4), "big")
        elif kind == NXCPT_CONNTRACKED:
            conntracked = True
        elif kind == NXCPT_TABLE_ID:
            table_id = _exactly(body, 1)[0]
            moved = True
        elif kind == NXCPT_COOKIE:
            cookie = int.from_bytes(_exactly(body, 12)[4:], "big")
            moved = True
        elif kind in (NXCPT_ACTIONS, INSTRUCTIONS):
            if moved:
                actions.append(Unroll(table_id, cookie))
                moved = False
            actions.extend(_get_actions(body, kind == INSTRUCTIONS))
        elif kind == NXCPT_ACTION_SET:
            action_set = _get_actions(body)
        elif kind != NXCPT_ODP_PORT:
            raise OfpError("OFPBPC_BAD_TYPE", f"continuation property {kind:#x}")
    if bridge is None or bridge not in bridges:
        raise OfpError("NXR_STALE", "the continuation's bridge is gone")
    return FrozenState(
        bridge=bridges[bridge],
        table_id=0,
        metadata=(),
        stack=tuple(stack),
        mirrors=mirrors,
        conntracked=conntracked,
        actions=tuple(actions),  # type: ignore[arg-type]
        action_set=action_set,
    )


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
