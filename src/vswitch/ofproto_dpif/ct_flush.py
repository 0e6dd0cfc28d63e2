"""Which tracked connections a controller's flush request means (NXT_CT_FLUSH, NXT_CT_FLUSH_ZONE)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vswitch.openflow.messages.nicira import CtFlush, CtTuple

if TYPE_CHECKING:
    from vswitch.dpif.types import CtEntry

ICMP: Final = (1, 58)
_MAPPED: Final = 0xFFFF << 32
"""An IPv4 address in 128 bits has these above its own."""


def wanted(request: CtFlush) -> Callable[[CtEntry], bool] | None:
    """Whether a connection fits; None: all do. The zone is not looked at."""
    if not request.nw_proto and request.orig == request.reply == CtTuple():
        return None

    def fits(entry: CtEntry) -> bool:
        return (
            request.nw_proto in (0, entry.proto)
            and _tuple_fits(request.orig, entry.orig, entry.proto)
            and _tuple_fits(request.reply, entry.reply, entry.proto)
        )

    return fits


def _tuple_fits(asked: CtTuple, has: tuple[str, str, int, int], proto: int) -> bool:
    ports = [(asked.src, _number(has[0])), (asked.dst, _number(has[1]))]
    if proto in ICMP:
        ports += [(asked.icmp_id, has[2]), (asked.icmp_type, has[3] >> 8), (asked.icmp_code, has[3] & 0xFF)]
    else:
        ports += [(asked.src_port, has[2]), (asked.dst_port, has[3])]
    return all(value is None or value == actual for value, actual in ports)


def _number(text: str) -> int:
    """An address as 128 bits."""
    address = ipaddress.ip_address(text)
    return int(address) | (_MAPPED if address.version == 4 else 0)
