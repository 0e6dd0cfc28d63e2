"""Continuations: a paused translation for a controller to keep and to send back (`openflow/continuation.py`
has their layout)."""

from __future__ import annotations

import uuid
from typing import Final, cast

from vswitch.ofproto_dpif.xlate.freeze import Unroll
from vswitch.ofproto_dpif.xlate.recirc import FrozenState
from vswitch.openflow.actions import Action, Actions
from vswitch.openflow.continuation import (
    INSTRUCTIONS,
    NXCPT_ACTION_SET,
    NXCPT_ACTIONS,
    NXCPT_BRIDGE,
    NXCPT_CONNTRACKED,
    NXCPT_COOKIE,
    NXCPT_MIRRORS,
    NXCPT_ODP_PORT,
    NXCPT_STACK,
    NXCPT_TABLE_ID,
    read_continuation,
    swapped,
)
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.actions import put_actions
from vswitch.openflow.wire.buffer import Writer
from vswitch.openflow.wire.instructions import is_instruction, put_instructions
from vswitch.openflow.wire.messages_base import begin_property, end_property, put_u32_property
from vswitch.openflow.wire.version import OFP15

_NAMESPACE: Final = uuid.UUID("6f6e0c1c-5a0b-4f0e-9d0e-0a6d3c5f7b11")


def bridge_uuid(name: str) -> uuid.UUID:
    """The id that continuations have for bridge `name`."""
    return uuid.uuid5(_NAMESPACE, name)


def encode(state: FrozenState, odp_port: int) -> bytes:
    """`state` as a continuation; `odp_port` is the datapath port where the packet came in."""
    w = Writer()
    w.pad(4)
    _put_bytes(w, NXCPT_BRIDGE, swapped(bridge_uuid(state.bridge).bytes))
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
    if len(data) < 4:
        raise OfpError("NXR_STALE", "there is no continuation")
    found = read_continuation(data)
    if found.unknown is not None:
        raise OfpError("OFPBPC_BAD_TYPE", f"continuation property {found.unknown:#x}")
    if found.bridge is None or found.bridge not in bridges:
        raise OfpError("NXR_STALE", "the continuation's bridge is gone")
    actions: list[object] = []
    for at, group in found.actions:
        if at is not None:
            actions.append(Unroll(*at))
        actions.extend(group)
    return FrozenState(
        bridge=bridges[found.bridge],
        table_id=0,
        metadata=b"",
        stack=tuple(found.stack),
        mirrors=found.mirrors,
        conntracked=found.conntracked,
        actions=tuple(actions),  # type: ignore[arg-type]
        action_set=found.action_set,
    )
