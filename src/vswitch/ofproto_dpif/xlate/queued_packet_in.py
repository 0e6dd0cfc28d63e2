"""A packet for controllers, between the upcall that brought it and the connections."""

from __future__ import annotations

from typing import final

from mypy_extensions import mypyc_attr

from vswitch.flow.flow import Flow


@mypyc_attr(acyclic=True, free_list_len=1)
@final
class QueuedPacketIn:
    """A packet for controllers: `packet` as it looked at the action, and where it came from.

    `flow` has the metadata (in_port, registers, tunnel...), `max_len` bounds the copy (0xffff:
    all of it), `reason` is an OFPR_* number, `userdata` what the action carried. `continuation`
    is not empty if the packet waits for the controller to resume it with that.
    """

    def __init__(self, packet: bytes, flow: Flow, table_id: int, cookie: int, reason: int,
                 max_len: int, controller_id: int, userdata: bytes = b"",
                 continuation: bytes = b"") -> None:
        self.packet: bytes = packet
        self.flow: Flow = flow
        self.table_id: int = table_id
        self.cookie: int = cookie
        self.reason: int = reason
        self.max_len: int = max_len
        self.controller_id: int = controller_id
        self.userdata: bytes = userdata
        self.continuation: bytes = continuation

    def __repr__(self) -> str:
        return f"QueuedPacketIn({len(self.packet)} bytes, reason={self.reason}, table={self.table_id})"
