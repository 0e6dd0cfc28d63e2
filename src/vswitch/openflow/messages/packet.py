"""Packets to and from controllers: packet-in, packet-out, resume."""

from __future__ import annotations

from mypy_extensions import mypyc_attr

from vswitch.base.records import dataclass
from vswitch.flow.match import Match
from vswitch.openflow.actions import Actions
from vswitch.openflow.constants import OFPR_NO_MATCH


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(init=False)
class PacketIn:
    """A packet for the controller, with what the pipeline knew of it.

    `total_len` is the packet's own length, `packet` may be only its beginning. `metadata` matches
    in_port and whatever else isn't in the packet; 1.0 and 1.1 tell in_port only. `table_id` and
    `cookie` (None: not told) are those of the flow that sent it; `buffer_id` None is no buffer.
    `userdata` and `continuation` (the state of a paused pipeline, opaque) need NXT_PACKET_IN2.
    """

    packet: bytes
    total_len: int
    reason: int
    metadata: Match
    table_id: int
    cookie: int | None
    buffer_id: int | None
    userdata: bytes
    continuation: bytes

    # Written out, here and below, since mypyc compiles it then.
    def __init__(
        self,
        packet: bytes = b"",
        total_len: int = 0,
        reason: int = OFPR_NO_MATCH,
        metadata: Match | None = None,
        table_id: int = 0,
        cookie: int | None = None,
        buffer_id: int | None = None,
        userdata: bytes = b"",
        continuation: bytes = b"",
    ) -> None:
        self.packet = packet
        self.total_len = total_len
        self.reason = reason
        self.metadata = Match() if metadata is None else metadata
        self.table_id = table_id
        self.cookie = cookie
        self.buffer_id = buffer_id
        self.userdata = userdata
        self.continuation = continuation


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(init=False)
class PacketOut:
    """Run `actions` on `packet` (or on the buffered packet `buffer_id`).

    `metadata` matches in_port (OFPP_CONTROLLER or another) and, in 1.5, other pipeline fields.
    """

    packet: bytes
    actions: Actions
    metadata: Match
    buffer_id: int | None

    def __init__(
        self,
        packet: bytes = b"",
        actions: Actions = (),
        metadata: Match | None = None,
        buffer_id: int | None = None,
    ) -> None:
        self.packet = packet
        self.actions = actions
        self.metadata = Match() if metadata is None else metadata
        self.buffer_id = buffer_id


@dataclass(frozen=True)
class Resume:
    """NXT_RESUME: go on with the pipeline that `packet_in` was paused in."""

    packet_in: PacketIn
