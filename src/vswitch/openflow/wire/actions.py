"""Actions on the wire: `put_actions` and `get_actions` for each version."""

from __future__ import annotations

from vswitch.openflow.actions import Actions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer


def put_actions(w: Writer, actions: Actions, version: int) -> None:
    """`actions` one after the other, each padded to 8 bytes as Open vSwitch 3.1 writes it in `version`."""
    raise OfpError("OFPBAC_BAD_TYPE")


def get_actions(r: Reader, length: int, version: int) -> Actions:
    """The actions in the next `length` bytes. OfpError: OFPBAC_*, OFPBRC_BAD_LEN."""
    raise OfpError("OFPBAC_BAD_TYPE")
