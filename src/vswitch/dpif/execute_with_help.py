"""Executing actions that a datapath can't: here, as far as that goes, and by the datapath the rest.

`execute_with_help` runs datapath actions on a packet's bytes in this process (`odp_execute.py`)
and returns what is left for the datapath to do: an `Execute` for each output, upcall and
recirculation, each with the packet as it is by then. So a datapath that cannot set an ARP field, cut
a packet or branch on its length still forwards such packets right, one by one.

What only the datapath can do is handed down in front of the actions that depend on it:

- `Hash`, `CtClear` and a tunnel's `Set` stay in front of all that follow;
- `Meter` goes in front of the next one, so that it counts once. A packet that it drops there may
  still go to later outputs: the datapath doesn't tell how it decided (the same in Open vSwitch);
- `Ct` and all that follows it, which may depend on what it changed, go down as one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, final

from vswitch.base import coverage
from vswitch.dpif import actions as act
from vswitch.dpif.actions import Action, Actions
from vswitch.dpif.drop_reasons import drop_counter
from vswitch.dpif.odp_compile import ActionError, compile_actions
from vswitch.dpif.odp_execute import Executor, Packet
from vswitch.dpif.odp_step import is_set
from vswitch.dpif.ops import Execute
from vswitch.flow import key_attr
from vswitch.flow.flow import Flow
from vswitch.netdev import gso
from vswitch.netdev.frame import GSO_NONE, Frame

ETH_HEADER_LEN: Final = 14

helped: Final = coverage.counter("dpif_execute_with_help")
bad_action: Final = coverage.counter("drop_execute_bad_action")
bad_nsh: Final = coverage.counter("drop_execute_nsh_decap_error")

_executor: Final = Executor()
_CHANGES: Final = (
    act.PushVlan, act.PopVlan, act.PushMpls, act.PopMpls, act.AddMpls, act.PushNsh, act.PopNsh, act.PushEth,
    act.PopEth,
)  # fmt: skip


def execute_with_help(op: Execute, roll: Callable[[int], int] = random.getrandbits) -> list[Execute]:
    """What the datapath must still do for `op` (which has no error yet), in order.

    `roll(32)` gives the random bits that `Sample` decides by. A packet that ends here is counted
    under its reason.
    """
    helped.inc()
    frame = op.offload
    if not isinstance(frame, Frame) or frame.data is not op.packet:
        frame = Frame(op.packet)
    packet = Packet(frame, op.key.copy(), op.key.in_port)
    run = _Help(op, roll)
    try:
        run.actions(op.actions, packet)
    except ActionError:
        bad_action.inc()
    return run.ops


@final
class _Help:
    """One packet's execution."""

    def __init__(self, op: Execute, roll: Callable[[int], int]) -> None:
        self.op = op
        self.roll = roll
        self.ops: list[Execute] = []
        self.standing: dict[str, Action] = {}
        """What the datapath must do in front of everything."""
        self.pending: list[Action] = []
        """What it must do in front of the next."""

    def actions(self, actions: Actions, packet: Packet) -> None:
        """Run `actions`."""
        for i, action in enumerate(actions):
            if isinstance(action, act.Output | act.LbOutput | act.Recirc):
                self.hand_down(packet, (action,))
            elif isinstance(action, act.Userspace):
                self.upcall(packet, action)
            elif isinstance(action, act.Trunc):
                packet.max_len = action.max_len
            elif isinstance(action, act.Ct | act.TnlPush | act.TnlPop):
                self.hand_down(packet, actions[i:])
                return
            elif isinstance(action, act.Meter):
                self.pending.append(action)
            elif isinstance(action, act.Hash | act.CtClear):
                self.standing[type(action).__name__] = action
            elif isinstance(action, act.Psample):
                self.hand_down(packet, (action,))
            elif isinstance(action, act.Drop):
                drop_counter(action.reason).inc()
                return
            elif isinstance(action, act.Sample):
                if action.probability == 0xFFFFFFFF or self.roll(32) < action.probability:
                    self.copy(packet, action.actions)
            elif isinstance(action, act.Clone):
                self.copy(packet, action.actions)
            elif isinstance(action, act.CheckPktLen):
                larger = self.length(packet) > action.pkt_len
                self.copy(packet, action.greater if larger else action.less_equal)
            elif isinstance(action, act.DecTtl):
                if not _executor.edit(packet).dec_ttl():
                    self.actions(action.exceeded, packet)
                    return
            elif not self.change(action, packet):
                return

    def change(self, action: Action, packet: Packet) -> bool:
        """Change the packet's bytes or metadata. False if it is no packet any more."""
        if isinstance(action, act.Set | act.SetMasked) and action.attr == key_attr.TUNNEL:
            self.standing["tunnel"] = action
            return True
        (step,) = compile_actions((action,))
        if isinstance(action, _CHANGES):
            if not _executor.push_pop(step.op, step, packet):
                bad_nsh.inc()
                return False
        elif is_set(step.op):
            _executor.set_field(step.op, step.args, packet)
        return True

    def copy(self, packet: Packet, actions: Actions) -> None:
        """Run `actions` on a copy: nothing that follows sees what they did."""
        standing, pending, n_ops = dict(self.standing), list(self.pending), len(self.ops)
        self.actions(actions, _executor.fork(packet))
        self.standing = standing
        self.pending = pending if len(self.ops) == n_ops else []
        packet.parsed = False

    def length(self, packet: Packet) -> int:
        """The frame's length as `CheckPktLen` takes it: of a segment or fragment that was put
        together, the longest part's."""
        _executor.settle(packet)
        frame = packet.frame
        if frame.gso_type != GSO_NONE:
            return frame.hdr_len + frame.gso_size
        return self.op.mtu + ETH_HEADER_LEN if self.op.mtu else len(frame.data)

    def upcall(self, packet: Packet, action: act.Userspace) -> None:
        """Have the datapath send the packet up; it may have to be cut."""
        if packet.max_len and packet.frame.gso_type != GSO_NONE:
            # Each segment comes up for itself, so each is cut for itself.
            limit = packet.max_len
            packet.max_len = 0
            _executor.settle(packet)
            for data in gso.segments(packet.frame):
                self.add(Frame(data[:limit]), packet.flow.copy(), (action,))
            self.pending = []
        else:
            self.hand_down(packet, (action,))

    def hand_down(self, packet: Packet, actions: Actions) -> None:
        """Have the datapath do `actions` to the packet as it is now."""
        if isinstance(actions[0], act.Output | act.Userspace):
            frame = _executor.take_truncated(packet)
            packet.parsed = packet.parsed and frame is packet.frame
        else:
            _executor.settle(packet)
            frame = packet.frame
            if packet.max_len:
                actions = (act.Trunc(int(packet.max_len)), *actions)
        _executor.extract(packet)
        self.add(frame, packet.flow.copy(), actions)
        self.pending = []

    def add(self, frame: Frame, key: Flow, actions: Actions) -> None:
        """One more operation for the datapath."""
        op = self.op
        actions = (*self.standing.values(), *self.pending, *actions)
        self.ops.append(Execute(frame.data, key, actions, op.mtu, op.probe, frame, op.hash))
