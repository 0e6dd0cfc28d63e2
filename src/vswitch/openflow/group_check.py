"""What a group must be by itself: the checks of OpenFlow 1.5, 7.3.4.3, in Open vSwitch's order.

A decoder asks before it takes a group mod, and the group table asks of those that no wire brought.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from vswitch.openflow.constants import OFPG_ANY, OFPP_ANY
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import group as g

METHODS: Final = ("hash", "dp_hash")
"""The selection methods of ovs-ofctl(8), "Group Syntax"."""
_BY_BUCKET: Final = (g.OFPGC_DELETE, g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET)
"""Commands that have no say in how a group chooses."""


def in_order(selection: g.SelectionMethod | None) -> g.SelectionMethod | None:
    """`selection` with its fields in the order that their hash depends on."""
    if selection is None or len(selection.fields) < 2:
        return selection
    return replace(selection, fields=tuple(sorted(selection.fields, key=lambda pair: pair[0].index)))


def check_selection(type: int, selection: g.SelectionMethod | None, command: int = g.OFPGC_ADD) -> None:
    """OfpError: OFPGMFC_BAD_TYPE, OFPBPC_BAD_VALUE."""
    if selection is None:
        return
    if type > g.OFPGT_FF:
        raise OfpError("OFPGMFC_BAD_TYPE", f"group type {type}")
    if type != g.OFPGT_SELECT or command in _BY_BUCKET or selection.method not in METHODS:
        raise OfpError("OFPBPC_BAD_VALUE", f"selection method {selection.method!r}")


def check_group(type: int, buckets: tuple[g.Bucket, ...], command: int = g.OFPGC_ADD) -> None:
    """OfpError: OFPGMFC_BAD_TYPE, OFPGMFC_INVALID_GROUP, OFPGMFC_WATCH_UNSUPPORTED."""
    if type > g.OFPGT_FF:
        raise OfpError("OFPGMFC_BAD_TYPE", f"group type {type}")
    if type == g.OFPGT_INDIRECT and command != g.OFPGC_DELETE and len(buckets) != 1:
        raise OfpError("OFPGMFC_INVALID_GROUP", "an indirect group has one bucket")
    for bucket in buckets:
        if bucket.weight and type != g.OFPGT_SELECT and command != g.OFPGC_INSERT_BUCKET:
            raise OfpError("OFPGMFC_INVALID_GROUP", "only buckets of a select group have weights")
        watches = bucket.watch_port != OFPP_ANY or bucket.watch_group != OFPG_ANY
        if type in (g.OFPGT_ALL, g.OFPGT_INDIRECT) and watches:
            raise OfpError("OFPGMFC_WATCH_UNSUPPORTED", "all and indirect groups run buckets dead or alive")
        if type == g.OFPGT_FF and not watches:
            raise OfpError("OFPGMFC_INVALID_GROUP", "a bucket of a fast failover group watches something")
