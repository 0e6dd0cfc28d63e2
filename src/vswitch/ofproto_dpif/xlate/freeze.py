"""Freezing a translation and thawing it.

How a translation that needs to see the packet again goes on later:

1. Somebody calls `trigger` (an action behind an MPLS pop, ct, a select group that wants the datapath's
   hash, a controller's pause). That sets `ctx.freezing` and `ctx.exit`: nothing more is executed.
2. Each `dispatch.run` on the way out, from the innermost table's actions to the outermost's, hands what it
   had still to do to `unroll`. So `ctx.unrolled` gets the rests in the order in which they are to
   run, with an `Unroll` that says to which table and cookie they belong before actions that want to know.
3. Where the nesting began (the whole translation, a clone, a bucket, the bridge behind a patch port)
   `output.end_pipeline` calls `finish`: everything that the rest of the way depends on becomes a
   `FrozenState` (`recirc.py`), its id goes into a datapath action, and `cancel` ends the freezing. What
   encloses goes on as if the packet had gone out there. The action set is part of the state, and is
   executed when the packet is back.
4. The packet comes back with the id. `translate._thaw` restores registers, stack, action set and the
   rest, and `run` executes the unrolled actions in the place of a lookup.

Each id in `XlateOut.recircs` is a reference that the translation's owner has to give back.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from librt.strings import BytesWriter, read_i64_be, write_i64_be
from mypy_extensions import i64

from vswitch.base.records import dataclass
from vswitch.dpif.actions import Recirc
from vswitch.dpif.cookie import ControllerCookie
from vswitch.flow.fields import by_name
from vswitch.flow.flow import Flow
from vswitch.flow.layout import (
    CT_PORTS,
    W_CT,
    W_CT_ADDRESSES,
    W_CT_ADDRESSES_END,
    W_CT_END,
    W_CT_TP_SRC,
    W_IN_PORT,
    W_METADATA,
)
from vswitch.flow.values import c_hex
from vswitch.ofproto_dpif.xlate.commit import commit
from vswitch.ofproto_dpif.xlate.ctx import Ctx
from vswitch.ofproto_dpif.xlate.recirc import FrozenState
from vswitch.ofproto_dpif.xlate.userspace import to_userspace
from vswitch.openflow import actions as of
from vswitch.openflow.action_text import format_actions

if TYPE_CHECKING:
    from vswitch.openflow.actions import Actions, Controller

N_METADATA: Final = W_METADATA + 1
"""The words from 0 on that a frozen state keeps: tunnel, registers, metadata."""


@dataclass(frozen=True)
class Unroll:
    """Among frozen actions: what follows belongs to `table_id` and a rule with `cookie` again."""

    table_id: int
    cookie: int

    def __str__(self) -> str:
        return f"unroll_xlate(table={self.table_id}, cookie={self.cookie})"

    def restored(self) -> str:
        """What a trace says when it is so again. Open vSwitch prints the cookie as it lies in memory."""
        cookie = int.from_bytes(self.cookie.to_bytes(8, "big"), sys.byteorder)
        return f"restored state: table={self.table_id}, cookie={c_hex(cookie)}"


_TELLING: Final = frozenset((
    of.Output, of.OutputReg, of.OutputTrunc, of.Group, of.Controller, of.DecTtl, of.DecMplsTtl, of.DecNshTtl,
))  # fmt: skip
"""Actions that may tell a controller of the packet, and of the table and cookie that it met."""


_METADATA: Final = by_name("metadata")


def trigger(ctx: Ctx) -> None:
    """Stop here, and go on from here after a recirculation."""
    ctx.exit = True
    ctx.freezing = True


def cancel(ctx: Ctx) -> None:
    """Forget what was to be frozen."""
    if ctx.freezing:
        ctx.freezing = False
        ctx.dp_hash = None
        ctx.unrolled.clear()
        ctx.unrolled_place = None


def freeze_metadata(flow: Flow) -> bytes:
    """What a frozen state keeps of a flow: in_port in 8 bytes, then of each word that is not 0 its number in
    one and it in 8."""
    words = flow.words
    kept = BytesWriter()
    write_i64_be(kept, words[W_IN_PORT] & 0xFFFF)
    i: i64 = 0
    while i < N_METADATA:
        if words[i] != 0:
            kept.append(int(i))
            write_i64_be(kept, words[i])
        i += 1
    return kept.getvalue()


def forget_conntrack(flow: Flow) -> None:
    """Take out of `flow` what connection tracking said of the packet."""
    words = flow.words
    i: i64 = W_CT
    while i < W_CT_END:
        words[i] = 0
        i += 1
    i = W_CT_ADDRESSES
    while i < W_CT_ADDRESSES_END:
        words[i] = 0
        i += 1
    words[W_CT_TP_SRC] &= ~CT_PORTS


def thaw_metadata(kept: bytes, flow: Flow) -> None:
    """Put back what `freeze_metadata` kept."""
    words = flow.words
    i: i64 = 0
    while i < N_METADATA:
        words[i] = 0
        i += 1
    words[W_IN_PORT] = (words[W_IN_PORT] & ~0xFFFFFFFF) | read_i64_be(kept, 0)
    i = 8
    end: i64 = len(kept)
    while i < end:
        at: i64 = kept[i]
        words[at] = read_i64_be(kept, i + 1)
        i += 9


def unroll(ctx: Ctx, rest: Actions) -> None:
    """Keep `rest`, the actions of the present table that are still to run."""
    kept = ctx.unrolled
    here = Unroll(int(ctx.table_id), ctx.rule_cookie)
    actions: tuple[Any, ...] = rest
    for action in actions:
        kind = type(action)
        if kind is of.Note or kind is of.Conjunction:
            continue
        if kind is Unroll:
            here = action
            ctx.unrolled_place = here
        elif kind is of.GotoTable:
            # Among frozen actions there are no instructions.
            kept.append(of.Resubmit(table_id=action.table_id))
            continue
        elif kind is of.WriteMetadata:
            kept.append(of.SetField(_METADATA, action.metadata, action.mask))
            continue
        elif ctx.unrolled_place != here and _wants_place(action):
            ctx.unrolled_place = here
            kept.append(here)
        kept.append(action)


def _wants_place(action: Any) -> bool:
    """Whether `action`, or one inside it, needs to know its table or its rule's cookie."""
    kind = type(action)
    if kind is of.Resubmit:
        return bool(action.table_id == 0xFF)
    if kind is of.Clone:
        return any(_wants_place(inner) for inner in action.actions)
    return kind in _TELLING


def format_frozen(actions: tuple[Any, ...], ports: dict[int, str] | None) -> str:
    """Frozen actions as a trace shows them."""
    return ",".join(str(a) if type(a) is Unroll else format_actions((a,), ports) for a in actions)


def frozen_state(
    ctx: Ctx, actions: tuple[object, ...], action_set: tuple[object, ...], userdata: bytes, told: bool = False
) -> FrozenState:
    """The packet's state at this place, with `actions` and `action_set` still to run, or (`told`)
    only to be shown to a controller."""
    return FrozenState(
        bridge=ctx.bridge.name,
        table_id=int(ctx.table_id),
        metadata=freeze_metadata(ctx.flow),
        stack=tuple(ctx.stack),
        mirrors=ctx.mirrors,
        conntracked=ctx.conntracked,
        was_mpls=ctx.was_mpls,
        actions=actions,  # type: ignore[arg-type]
        action_set=action_set,  # type: ignore[arg-type]
        userdata=userdata,
        rule_cookie=ctx.rule_cookie,
        told=told,
    )


def finish(ctx: Ctx) -> None:
    """Compose what ends a frozen translation: a recirculation, or the way to a controller that will
    resume it."""
    if ctx.pause is None:
        _recirculate(ctx)
    else:
        _pause(ctx, ctx.pause)


def _pause(ctx: Ctx, action: Controller) -> None:
    """Send the packet to a controller with all that the rest of its way depends on. Where nobody
    carries that out there is no way on."""
    commit(ctx)
    if ctx.xin.side_effects:
        # The packet-in is from table 0, as in Open vSwitch, where those who resume it begin.
        table_id, ctx.table_id = ctx.table_id, 0
        state = frozen_state(ctx, tuple(ctx.unrolled), tuple(ctx.action_set), action.userdata)
        ctx.table_id = table_id
        recirc_id = ctx.bridge.dp.recirc_ids.alloc(state)
        ctx.out.recircs.append(recirc_id)
        cookie = ControllerCookie(
            max_len=action.max_len,
            reason=action.reason,
            continuation=True,
            recirc_id=recirc_id,
            rule_cookie=ctx.rule_cookie,
            controller_id=action.controller_id,
        )
        ctx.odp.append(to_userspace(ctx, cookie.pack()))
    ctx.pause = None
    cancel(ctx)


def fork(ctx: Ctx, table_id: int) -> int:
    """A copy of the packet comes back, and goes on in `table_id`; the recirculation's id."""
    old_table = ctx.table_id
    ctx.table_id = table_id
    recirc_id = _recirculate(ctx)
    ctx.table_id = old_table
    return recirc_id


def _recirculate(ctx: Ctx) -> int:
    commit(ctx)
    state = frozen_state(ctx, tuple(ctx.unrolled), tuple(ctx.action_set), b"")
    recirc_id = ctx.bridge.dp.recirc_ids.alloc(state)
    ctx.out.recircs.append(recirc_id)
    if ctx.dp_hash is not None:
        ctx.odp.append(ctx.dp_hash)
    ctx.odp.append(Recirc(recirc_id))
    cancel(ctx)
    return recirc_id
