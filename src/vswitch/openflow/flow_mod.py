"""`FlowMod`: a request to change flow tables, whatever it was written in."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

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


COOKIE_NONE = 0xFFFFFFFFFFFFFFFF
"""`new_cookie` of a modification that leaves cookies alone."""


@dataclass
class FlowMod:
    """Add, modify or delete flows.

    `table_id` 255 is every table, for a deletion; for an addition the switch chooses table 0.
    `cookie`/`cookie_mask` select flows to modify or delete; `new_cookie` is what added and
    (with `modify_cookie`) modified flows get. Timeouts are in seconds, 0 for never.
    `out_port` and `out_group` select flows to delete by where they output.
    """

    match: Match = field(default_factory=Match)
    priority: int = OFP_DEFAULT_PRIORITY
    command: FlowModCommand = FlowModCommand.ADD
    table_id: int = OFPTT_ALL
    actions: Actions = ()
    cookie: int = 0
    cookie_mask: int = 0
    new_cookie: int = 0
    modify_cookie: bool = False
    idle_timeout: int = 0
    hard_timeout: int = 0
    importance: int = 0
    flags: int = 0
    out_port: int = OFPP_ANY
    out_group: int = OFPG_ANY
    buffer_id: int = 0xFFFFFFFF
