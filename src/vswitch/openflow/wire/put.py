"""What encoding an action needs besides the action: `Put`; an action's frame.

Some actions are written by what the flow's packets are: mod_vlan_vid pushes a tag first where there is
none, mod_tp_src sets the port of the flow's protocol. Compiled by mypyc.
"""

from __future__ import annotations

from typing import Final, final

from mypy_extensions import i64

from vswitch.flow import layout as at
from vswitch.flow.match import Match
from vswitch.openflow.wire.buffer import Writer

OFPAT_EXPERIMENTER: Final = 0xFFFF
NX_VENDOR_ID: Final = 0x00002320


@final
class Put:
    """The version to write for, and what is known of the flow at this action."""

    def __init__(self, version: int, match: Match | None = None) -> None:
        self.version = version
        self.has_vlan = False
        self.nw_proto = 0
        if match is not None:
            self.has_vlan = match.flow.vlan_tci & at.VLAN_CFI != 0
            self.nw_proto = match.flow.nw_proto


def begin_nx(w: Writer, subtype: i64, length: i64 = 0) -> i64:
    """The 10 bytes that begin a Nicira action; where it starts, for `end_action` if `length` is 0."""
    start = w.position()
    w.u16(OFPAT_EXPERIMENTER)
    w.u16(length)
    w.u32(NX_VENDOR_ID)
    w.u16(subtype)
    return start


def end_action(w: Writer, start: i64) -> None:
    """Pad the action that started at `start` to 8 bytes, and write its length into it."""
    w.pad_to(8, start)
    w.patch_u16(start + 2, w.position() - start)
