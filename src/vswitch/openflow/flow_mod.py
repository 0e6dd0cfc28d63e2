"""`FlowMod`: a request to change flow tables, whatever it was written in."""

from __future__ import annotations

import enum
from typing import Final

from mypy_extensions import mypyc_attr

from vswitch.base.records import dataclass
from vswitch.flow.match import Match
from vswitch.openflow.actions import Actions
from vswitch.openflow.constants import (
    OFP_DEFAULT_PRIORITY,
    OFPG_ANY,
    OFPP_ANY,
    OFPTT_ALL,
)


class FlowModCommand(enum.IntEnum):
    """ofp_flow_mod_command."""

    ADD = 0
    MODIFY = 1
    MODIFY_STRICT = 2
    DELETE = 3
    DELETE_STRICT = 4


COOKIE_NONE: Final = 0xFFFFFFFFFFFFFFFF
"""`new_cookie` of a modification that leaves cookies alone."""


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(init=False)
class FlowMod:
    """Add, modify or delete flows.

    `table_id` 255 is every table, for a deletion; for an addition the switch chooses table 0.
    `cookie`/`cookie_mask` select flows to modify or delete; `new_cookie` is what added and
    (with `modify_cookie`) modified flows get. Timeouts are in seconds, 0 for never.
    `out_port` and `out_group` select flows to delete by where they output.
    """

    match: Match
    priority: int
    command: FlowModCommand
    table_id: int
    actions: Actions
    cookie: int
    cookie_mask: int
    new_cookie: int
    modify_cookie: bool
    idle_timeout: int
    hard_timeout: int
    importance: int
    flags: int
    out_port: int
    out_group: int
    buffer_id: int

    # Written out, since mypyc compiles it then: flow mods come by the hundred thousand.
    def __init__(
        self,
        match: Match | None = None,
        priority: int = OFP_DEFAULT_PRIORITY,
        command: FlowModCommand = FlowModCommand.ADD,
        table_id: int = OFPTT_ALL,
        actions: Actions = (),
        cookie: int = 0,
        cookie_mask: int = 0,
        new_cookie: int = 0,
        modify_cookie: bool = False,
        idle_timeout: int = 0,
        hard_timeout: int = 0,
        importance: int = 0,
        flags: int = 0,
        out_port: int = OFPP_ANY,
        out_group: int = OFPG_ANY,
        buffer_id: int = 0xFFFFFFFF,
    ) -> None:
        self.match = Match() if match is None else match
        self.priority = priority
        self.command = command
        self.table_id = table_id
        self.actions = actions
        self.cookie = cookie
        self.cookie_mask = cookie_mask
        self.new_cookie = new_cookie
        self.modify_cookie = modify_cookie
        self.idle_timeout = idle_timeout
        self.hard_timeout = hard_timeout
        self.importance = importance
        self.flags = flags
        self.out_port = out_port
        self.out_group = out_group
        self.buffer_id = buffer_id
