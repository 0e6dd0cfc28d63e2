"""Instructions on the wire."""

from __future__ import annotations

from vswitch.openflow.actions import Actions
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer


def put_instructions(w: Writer, actions: Actions, version: int) -> None:
    """`actions` as the instructions of `version` (1.1+); in 1.0 just as actions."""
    raise OfpError("OFPBAC_BAD_TYPE")


def get_instructions(r: Reader, length: int, version: int) -> Actions:
    """The instructions in the next `length` bytes as actions. OfpError: OFPBIC_*, OFPBAC_*."""
    raise OfpError("OFPBAC_BAD_TYPE")
