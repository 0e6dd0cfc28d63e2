"""Instructions on the wire (OpenFlow 1.1 and later, 7.2.4 of 1.3): an action list in its frame.

A flow's actions and instructions are one tuple (`openflow/actions.py`): plain actions are what
apply_actions holds. The order is that of execution: meter, apply, clear, write, metadata, goto.
Compiled by mypyc.
"""

from __future__ import annotations

from typing import Final, final

from vswitch.flow.match import Match
from vswitch.openflow import actions as a
from vswitch.openflow.actions import Action, Actions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.actions import check_list, get_action_list, put_action_list
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.put import Put
from vswitch.openflow.wire.version import OFP10, OFP13, OFP14, OFP15

OFPIT_GOTO_TABLE: Final = 1
OFPIT_WRITE_METADATA: Final = 2
OFPIT_WRITE_ACTIONS: Final = 3
OFPIT_APPLY_ACTIONS: Final = 4
OFPIT_CLEAR_ACTIONS: Final = 5
OFPIT13_METER: Final = 6
OFPIT_EXPERIMENTER: Final = 0xFFFF
SIZES: Final = (0, 8, 24, -8, -8, 8, 8)
"""Instruction type -> its length (negative: the least that it may be)."""
ORDER: Final = (OFPIT13_METER, 4, 5, 3, 2, 1)

MAX_KNOWN: Final = 1024
MAX_KNOWN_LEN: Final = 256
_KNOWN: Final[tuple[dict[bytes, Actions], ...]] = ({}, {}, {}, {}, {}, {}, {})
"""By version, what bytes that came lately say, up to `MAX_KNOWN`: flows by the thousand have the same few
actions, which are then decoded once and kept once. (Actions never change.)"""


_BY_ITSELF: Final = frozenset((
    a.Output, a.OutputReg, a.Controller, a.Group, a.Resubmit, a.SetTunnel, a.SetQueue, a.SetEthSrc,
    a.SetEthDst, a.DecTtl, a.GotoTable, a.Meter, a.WriteMetadata,
))  # fmt: skip
"""Actions that are written the same whatever the flow matches."""


@final
class Said:
    """The bytes that say `actions`."""

    def __init__(self, actions: Actions, data: bytes) -> None:
        self.actions: Actions = actions
        self.data: bytes = data


_SAID: Final[tuple[dict[int, Said], ...]] = ({}, {}, {}, {}, {}, {}, {})
"""By version, what was written lately, up to `MAX_KNOWN`: by id() of actions, which are kept for that."""


def is_instruction(action: Action) -> bool:
    """Whether `action` is an instruction of its own rather than part of apply_actions."""
    return isinstance(
        action, a.Meter | a.ClearActions | a.WriteActions | a.WriteMetadata | a.GotoTable
    )


def put_instructions(w: Writer, actions: Actions, version: int, match: Match | None = None) -> None:
    """`actions` as instructions of `version`; in 1.0 as actions. `match` as for `put_actions`.

    A meter is an instruction in 1.3 and 1.4, an action in 1.5, and falls away before.
    """
    said = _SAID[version].get(id(actions))
    if said is not None:
        w.raw(said.data)
        return
    for action in actions:
        if type(action) not in _BY_ITSELF:
            _put_instructions(w, actions, version, match)
            return
    alone = Writer()
    _put_instructions(alone, actions, version, None)
    data = alone.getvalue()
    if len(_SAID[version]) >= MAX_KNOWN:
        _SAID[version].clear()
    _SAID[version][id(actions)] = Said(actions, data)
    w.raw(data)


def _put_instructions(w: Writer, actions: Actions, version: int, match: Match | None) -> None:
    ctx = Put(version, match)
    if version == OFP10:
        put_action_list(w, actions, ctx)
        return
    apply: list[Action] = []
    for action in actions:
        if isinstance(action, a.Meter):
            if OFP13 <= version <= OFP14:
                w.u16(OFPIT13_METER)
                w.u16(8)
                w.u32(action.meter_id)
            elif version >= OFP15:
                apply.append(action)
        elif not is_instruction(action):
            apply.append(action)
    if apply:
        _put_list(w, OFPIT_APPLY_ACTIONS, tuple(apply), ctx)
    for action in actions:
        _put_instruction(w, action, ctx)


def _put_list(w: Writer, type_: int, actions: Actions, ctx: Put) -> None:
    start = w.position()
    w.u16(type_)
    w.u16(0)
    w.pad(4)
    put_action_list(w, actions, ctx)
    w.patch_u16(start + 2, w.position() - start)


def _put_instruction(w: Writer, action: Action, ctx: Put) -> None:
    """What stands after apply_actions."""
    if isinstance(action, a.ClearActions):
        w.u16(OFPIT_CLEAR_ACTIONS)
        w.u16(8)
        w.pad(4)
    elif isinstance(action, a.WriteActions):
        if action.actions:  # writing nothing needs no instruction
            _put_list(w, OFPIT_WRITE_ACTIONS, action.actions, ctx)
    elif isinstance(action, a.WriteMetadata):
        w.u16(OFPIT_WRITE_METADATA)
        w.u16(24)
        w.pad(4)
        w.u64(action.metadata)
        w.u64(action.mask)
    elif isinstance(action, a.GotoTable):
        w.u16(OFPIT_GOTO_TABLE)
        w.u16(8)
        w.u8(action.table_id)
        w.pad(3)


def get_instructions(r: Reader, length: int, version: int) -> Actions:
    """The instructions in the next `length` bytes, in order of execution; in 1.0 the actions.

    OfpError: OFPBIC_BAD_LEN, OFPBIC_UNKNOWN_INST, OFPBIC_BAD_EXPERIMENTER, OFPBIC_DUP_INST, and those
    of `get_actions` and `check_list`.
    """
    if length > MAX_KNOWN_LEN or length > r.end - r.pos:
        return _get_instructions(r, length, version)
    known = _KNOWN[version]
    start = r.pos
    data = r.raw(length)
    actions = known.get(data)
    if actions is None:
        r.pos = start
        actions = _get_instructions(r, length, version)
        if len(known) >= MAX_KNOWN:
            known.clear()
        known[data] = actions
    return actions


def _get_instructions(r: Reader, length: int, version: int) -> Actions:
    if version == OFP10:
        if length & 7:
            raise OfpError("OFPBRC_BAD_LEN", f"actions of {length} bytes")
        in_flow = get_action_list(r.sub(length), version, 0)
        check_list(in_flow, None, True)
        return in_flow
    if length & 7:
        raise OfpError("OFPBIC_BAD_LEN", f"instructions of {length} bytes")
    body = r.sub(length, "OFPBIC_BAD_LEN")
    found: list[Reader | None] = [None, None, None, None, None, None, None]
    while body.pos < body.end:
        if body.end - body.pos < 8:
            raise OfpError("OFPBIC_BAD_LEN", "instruction")
        type_: int = body.u16()
        size: int = body.u16()
        if size < 8 or size & 7 or size - 4 > body.end - body.pos:
            raise OfpError("OFPBIC_BAD_LEN", f"instruction of {size} bytes")
        _check_type(type_, size, version)
        if found[type_] is not None:
            raise OfpError("OFPBIC_DUP_INST", f"instruction {type_}")
        found[type_] = body.sub(size - 4, "OFPBIC_BAD_LEN")
    actions: list[Action] = []
    for wanted in ORDER:
        inner = found[wanted]
        if inner is not None:
            _get_instruction(inner, wanted, version, actions)
    return tuple(actions)


def _check_type(type_: int, size: int, version: int) -> None:
    if type_ == OFPIT_EXPERIMENTER:
        raise OfpError("OFPBIC_BAD_EXPERIMENTER")
    if not 0 < type_ < len(SIZES) or (type_ == OFPIT13_METER and version > OFP14):
        raise OfpError("OFPBIC_UNKNOWN_INST", f"instruction {type_}")
    wanted = SIZES[type_]
    if size != wanted if wanted > 0 else size < -wanted:
        raise OfpError("OFPBIC_BAD_LEN", f"instruction {type_} of {size} bytes")


def _get_instruction(r: Reader, type_: int, version: int, actions: list[Action]) -> None:
    if type_ == OFPIT13_METER:
        actions.append(a.Meter(r.u32()))
    elif type_ == OFPIT_APPLY_ACTIONS:
        r.skip(4)
        found = get_action_list(r, version, 0)
        check_list(found, None)
        actions.extend(found)
    elif type_ == OFPIT_CLEAR_ACTIONS:
        actions.append(a.ClearActions())
    elif type_ == OFPIT_WRITE_ACTIONS:
        r.skip(4)
        written = a.WriteActions(get_action_list(r, version, 0))
        check_list(written.actions, written)
        actions.append(written)
    elif type_ == OFPIT_WRITE_METADATA:
        r.skip(4)
        metadata = r.u64()
        actions.append(a.WriteMetadata(metadata, r.u64()))
    else:
        actions.append(a.GotoTable(r.u8()))
