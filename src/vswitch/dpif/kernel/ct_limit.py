"""Messages of family ovs_ct_limit: how many connections each conntrack zone may have."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from typing import Final

from vswitch.dpif.kernel.family import OVS_ATTRS_OFFSET, OVS_VERSION
from vswitch.dpif.types import CtLimit
from vswitch.netlink.attrs import Builder, NlAttrError, parse
from vswitch.netlink.errors import NlError
from vswitch.netlink.socket import NlSocket

OVS_CT_LIMIT_CMD_SET: Final = 1
OVS_CT_LIMIT_CMD_DEL: Final = 2
OVS_CT_LIMIT_CMD_GET: Final = 3
OVS_CT_LIMIT_ATTR_ZONE_LIMIT: Final = 1
OVS_ZONE_LIMIT_DEFAULT_ZONE: Final = -1

_ZONE_LIMIT: Final = struct.Struct("=iII")
"""`struct ovs_zone_limit`: zone, limit, count."""


def _compose(cmd: int, dp_ifindex: int, limits: Sequence[CtLimit]) -> bytes:
    b = Builder()
    b.genl_header(cmd, OVS_VERSION)
    b.append_u32(dp_ifindex)
    if limits:
        packed = b"".join(
            _ZONE_LIMIT.pack(OVS_ZONE_LIMIT_DEFAULT_ZONE if c.zone is None else c.zone, c.limit, 0)
            for c in limits
        )
        b.raw(OVS_CT_LIMIT_ATTR_ZONE_LIMIT, packed)
    return b.getvalue()


def set_limits(sock: NlSocket, family: int, dp_ifindex: int, limits: Sequence[CtLimit]) -> None:
    """Set the limit of each zone given, or the default (zone None). NlError: EINVAL."""
    payload = _compose(OVS_CT_LIMIT_CMD_SET, dp_ifindex, limits)
    sock.transact(family, 0, payload, "set conntrack limits", want_reply=True)


def del_limits(sock: NlSocket, family: int, dp_ifindex: int, zones: Sequence[int]) -> None:
    """Give `zones` back to the default limit. NlError."""
    payload = _compose(OVS_CT_LIMIT_CMD_DEL, dp_ifindex, [CtLimit(zone, 0) for zone in zones])
    sock.transact(family, 0, payload, "delete conntrack limits", want_reply=True)


def get_limits(sock: NlSocket, family: int, dp_ifindex: int, zones: Sequence[int]) -> list[CtLimit]:
    """Limit and count of `zones`, or of all that have a limit; the default comes first. NlError."""
    payload = _compose(OVS_CT_LIMIT_CMD_GET, dp_ifindex, [CtLimit(zone, 0) for zone in zones])
    reply = sock.transact(family, 0, payload, "get conntrack limits", want_reply=True)
    try:
        packed = parse(reply, OVS_ATTRS_OFFSET).get(OVS_CT_LIMIT_ATTR_ZONE_LIMIT, b"")
    except NlAttrError as e:
        raise NlError(errno.EPROTO, "get conntrack limits", str(e)) from e
    whole = packed[: len(packed) - len(packed) % _ZONE_LIMIT.size]
    limits = [
        CtLimit(None if zone == OVS_ZONE_LIMIT_DEFAULT_ZONE else zone, limit, count)
        for zone, limit, count in _ZONE_LIMIT.iter_unpack(whole)
    ]
    return sorted(limits, key=lambda c: -1 if c.zone is None else c.zone)
