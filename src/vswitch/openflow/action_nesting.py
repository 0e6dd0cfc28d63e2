"""Which actions `ct` may hold, and which may stand only there. Text and wire alike ask here."""

from __future__ import annotations

from typing import Final

from vswitch.flow.field import Field
from vswitch.openflow import actions as a
from vswitch.openflow.errors import OfpError

CT_FIELDS: Final = ("ct_mark", "ct_label")
"""What belongs to a connection, not to a packet: only `ct` can set it."""


def written_field(action: a.Action) -> Field | None:
    """The field that `action` sets, if setting it is what it is for."""
    if isinstance(action, a.SetField):
        return action.field
    return action.dst.field if isinstance(action, a.RegMove) else None


def check_nesting(action: a.Action, in_ct: bool, name: str = "") -> None:
    """OfpError if `action`, whose word is `name`, may not stand within `ct` (or not outside of it).

    OFPBAC_BAD_ARGUMENT, OFPBAC_BAD_SET_ARGUMENT; `detail` is what ovs-ofctl says.
    """
    field = written_field(action)
    of_connection = field is not None and field.name in CT_FIELDS
    if of_connection and not in_ct:
        raise OfpError("OFPBAC_BAD_SET_ARGUMENT", "cannot set CT fields outside of ct action")
    if isinstance(action, a.Nat):
        if not in_ct:
            raise OfpError("OFPBAC_BAD_SET_ARGUMENT", 'Cannot have NAT action outside of "ct" action')
    elif in_ct and field is None:
        what = name or type(action).__name__.lower()
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"ct action doesn't support nested action {what}")
    elif in_ct and field is not None and not of_connection:
        raise OfpError("OFPBAC_BAD_ARGUMENT",
                       f"ct action doesn't support nested modification of {field.name}")
