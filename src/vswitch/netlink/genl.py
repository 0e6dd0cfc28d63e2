"""Generic Netlink: which number a family has today, and its multicast groups.

Families get their numbers when their module is loaded, so they are asked for by name from the
controller (`GENL_ID_CTRL`, <linux/genetlink.h>). Asking makes the kernel load the module where
it can (`net-pf-16-proto-16-family-NAME`).
"""

from __future__ import annotations

import errno
from typing import Final

from vswitch.base.records import dataclass, field
from vswitch.netlink.attrs import Builder, NlAttrError, attributes, parse, text, u16_at, u32_at
from vswitch.netlink.errors import NlError
from vswitch.netlink.socket import NETLINK_GENERIC, NlSocket

GENL_ID_CTRL: Final = 0x10
GENL_HDRLEN: Final = 4
CTRL_CMD_GETFAMILY: Final = 3
CTRL_ATTR_FAMILY_ID: Final = 1
CTRL_ATTR_FAMILY_NAME: Final = 2
CTRL_ATTR_VERSION: Final = 3
CTRL_ATTR_HDRSIZE: Final = 4
CTRL_ATTR_MAXATTR: Final = 5
CTRL_ATTR_MCAST_GROUPS: Final = 7
CTRL_ATTR_MCAST_GRP_NAME: Final = 1
CTRL_ATTR_MCAST_GRP_ID: Final = 2


@dataclass(frozen=True)
class GenlFamily:
    """A Generic Netlink family as this kernel has it: `groups` are its multicast groups by name."""

    name: str
    id: int
    version: int = 1
    hdrsize: int = 0
    maxattr: int = 0
    groups: dict[str, int] = field(default_factory=dict)


def parse_family(payload: bytes) -> GenlFamily:
    """A CTRL_CMD_NEWFAMILY message (after `struct nlmsghdr`). NlAttrError if it is malformed."""
    attrs = parse(payload, GENL_HDRLEN)
    family_id = attrs.get(CTRL_ATTR_FAMILY_ID, b"")
    if len(family_id) != 2:
        raise NlAttrError("a Generic Netlink family without a number")
    groups: dict[str, int] = {}
    for _, offset, length in attributes(attrs.get(CTRL_ATTR_MCAST_GROUPS, b"")):
        group = parse(attrs[CTRL_ATTR_MCAST_GROUPS], offset, offset + length)
        number = group.get(CTRL_ATTR_MCAST_GRP_ID, b"")
        if len(number) == 4:
            groups[text(group.get(CTRL_ATTR_MCAST_GRP_NAME, b""))] = int(u32_at(number, 0))

    def u32(attr: int) -> int:
        value = attrs.get(attr, b"")
        return int(u32_at(value, 0)) if len(value) == 4 else 0

    return GenlFamily(
        name=text(attrs.get(CTRL_ATTR_FAMILY_NAME, b"")),
        id=int(u16_at(family_id, 0)),
        version=u32(CTRL_ATTR_VERSION),
        hdrsize=u32(CTRL_ATTR_HDRSIZE),
        maxattr=u32(CTRL_ATTR_MAXATTR),
        groups=groups,
    )


def lookup_family(name: str, sock: NlSocket | None = None) -> GenlFamily:
    """The family called `name`. NlError(ENOENT) if this kernel hasn't got it."""
    own = sock is None
    sock = sock or NlSocket(NETLINK_GENERIC)
    try:
        b = Builder()
        b.genl_header(CTRL_CMD_GETFAMILY, 1)
        b.string(CTRL_ATTR_FAMILY_NAME, name)
        reply = sock.transact(GENL_ID_CTRL, 0, b.getvalue(), f"look up family {name}", want_reply=True)
        return parse_family(reply)
    except NlAttrError as e:
        raise NlError(errno.EPROTO, f"look up family {name}", str(e)) from e
    finally:
        if own:
            sock.close()


def lookup_group(family: str, group: str, sock: NlSocket | None = None) -> int:
    """The number of multicast group `group` of `family`; NlError(ENOENT)."""
    number = lookup_family(family, sock).groups.get(group)
    if number is None:
        raise NlError(errno.ENOENT, f"look up multicast group {group} of family {family}")
    return number
