"""Packets to and from controllers: packet-in, packet-out, resume."""

from __future__ import annotations

from dataclasses import dataclass, field

from vswitch.flow.match import Match
from vswitch.openflow.actions import Actions
from vswitch.openflow.constants import OFPR_NO_MATCH


@dataclass(frozen=True)
class PacketIn:
    """A packet for the controller, with what the pipeline knew of it.

    `total_len` is the packet's own length, `packet` may be only its beginning. `metadata` matches
    in_port and whatever else isn't in the packet; 1.0 and 1.1 tell in_port only. `table_id` and
    `cookie` (None: not told) are those of the flow that sent it; `buffer_id` None is no buffer.
    `userdata` and `continuation` (the state of a paused pipeline, opaque) need NXT_PACKET_IN2.
    """

    packet: bytes = b""
    total_len: int = 0
    reason: int = OFPR_NO_MATCH
    metadata: Match = field(default_factory=Match)
    table_id: int = 0
    cookie: int | None = None
    buffer_id: int | None = None
    userdata: bytes = b""
    continuation: bytes = b""


@dataclass(frozen=True)
class PacketOut:
    """Run `actions` on `packet` (or on the buffered packet `buffer_id`).

    `metadata` matches in_port (OFPP_CONTROLLER or another) and, in 1.5, other pipeline fields.
    """

    packet: bytes = b""
    actions: Actions = ()
    metadata: Match = field(default_factory=Match)
    buffer_id: int | None = None


@dataclass(frozen=True)
class Resume:
    """NXT_RESUME: go on with the pipeline that `packet_in` was paused in."""

    packet_in: PacketIn
