"""Bundles of modifications that take effect together, and requests passed on to other controllers."""

from __future__ import annotations

from mypy_extensions import mypyc_attr

from vswitch.base.records import dataclass

OFPBCT_OPEN_REQUEST = 0
OFPBCT_OPEN_REPLY = 1
OFPBCT_CLOSE_REQUEST = 2
OFPBCT_CLOSE_REPLY = 3
OFPBCT_COMMIT_REQUEST = 4
OFPBCT_COMMIT_REPLY = 5
OFPBCT_DISCARD_REQUEST = 6
OFPBCT_DISCARD_REPLY = 7

OFPBF_ATOMIC = 1 << 0
OFPBF_ORDERED = 1 << 1


@dataclass(frozen=True)
class BundleControl:
    """Open, close, commit or discard a bundle (OFPBCT_*), or the answer to it."""

    bundle_id: int
    type: int
    flags: int = 0


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(init=False)
class BundleAdd:
    """Add `message`, a whole encoded message of the same version and xid, to the bundle."""

    bundle_id: int
    message: bytes
    flags: int

    # Written out, since mypyc compiles it then: flow mods come by the hundred thousand.
    def __init__(self, bundle_id: int, message: bytes, flags: int = 0) -> None:
        self.bundle_id = bundle_id
        self.message = message
        self.flags = flags


OFPRFR_GROUP_MOD = 0
OFPRFR_METER_MOD = 1


@dataclass(frozen=True)
class RequestForward:
    """Another controller's successful group or meter modification: the encoded `message`."""

    message: bytes
