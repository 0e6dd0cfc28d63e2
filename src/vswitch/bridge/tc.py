"""Traffic control by rtnetlink(7): the messages that make an HTB discipline and its classes.

Layouts: <linux/rtnetlink.h>, <linux/pkt_sched.h>. Rates in bit/s and bursts in bytes outside, bytes
a second and scheduler ticks (64 ns) on the wire.
"""

from __future__ import annotations

import errno
import struct
from typing import Final

from vswitch.netlink.attrs import Builder, parse
from vswitch.netlink.errors import NlError
from vswitch.netlink.message import NLM_F_CREATE, NLM_F_EXCL
from vswitch.netlink.socket import NETLINK_ROUTE, NlSocket

RTM_NEWQDISC, RTM_DELQDISC = 36, 37
RTM_NEWTCLASS, RTM_GETTCLASS = 40, 42
TCA_KIND, TCA_OPTIONS, TCA_STATS2 = 1, 2, 7
TCA_STATS_BASIC, TCA_STATS_QUEUE = 1, 3
TCA_HTB_PARMS, TCA_HTB_INIT, TCA_HTB_RATE64, TCA_HTB_CEIL64 = 1, 2, 6, 7
TC_H_ROOT: Final = 0xFFFFFFFF
ROOT_HANDLE: Final = 1 << 16
ROOT_CLASS: Final = 0x1FFFE
TICKS_A_SECOND: Final = 15_625_000
LINKLAYER_ETHERNET: Final = 1
MAX_RATE32: Final = 0xFFFFFFFF

_TCMSG: Final = struct.Struct("=BxxxiIII")
_HTB_GLOB: Final = struct.Struct("=IIIII")
_RATESPEC: Final = struct.Struct("=BBHhHI")
_HTB_REST: Final = struct.Struct("=IIIII")


def queue_class(queue: int) -> int:
    """The class of a queue."""
    return ROOT_HANDLE | (queue + 1)


def _request(kind: int, flags: int, ifindex: int, handle: int, parent: int, options: bytes,
             what: str) -> None:
    payload = _TCMSG.pack(0, ifindex, handle, parent, 0)
    if options:
        attributes = Builder()
        attributes.string(TCA_KIND, "htb")
        attributes.raw(TCA_OPTIONS, options)
        payload += attributes.getvalue()
    sock = NlSocket(NETLINK_ROUTE)
    try:
        sock.transact(kind, flags, payload, what)
    finally:
        sock.close()


def delete_root(ifindex: int) -> None:
    """Give the device its default discipline again; it may have it already. NlError."""
    try:
        _request(RTM_DELQDISC, 0, ifindex, 0, TC_H_ROOT, b"", "delete qdisc")
    except NlError as e:
        if e.errno not in (errno.ENOENT, errno.EINVAL):
            raise


def add_htb(ifindex: int, rate: int) -> None:
    """Make HTB the device's discipline, with a root class of `rate`. NlError."""
    options = Builder()
    options.raw(TCA_HTB_INIT, _HTB_GLOB.pack(3, 10, 1, 0, 0))
    create = NLM_F_CREATE | NLM_F_EXCL
    _request(RTM_NEWQDISC, create, ifindex, ROOT_HANDLE, TC_H_ROOT, options.getvalue(), "add htb qdisc")
    _add(ifindex, ROOT_CLASS, ROOT_HANDLE, rate, rate, 1564, 0)


def add_class(ifindex: int, queue: int, min_rate: int, max_rate: int, burst: int, priority: int) -> None:
    """Make the class of a queue. NlError."""
    _add(ifindex, queue_class(queue), ROOT_CLASS, min_rate, max_rate, burst, priority)


def _add(ifindex: int, handle: int, parent: int, min_rate: int, max_rate: int, burst: int,
         priority: int) -> None:
    options = Builder()
    rates = (max(min_rate // 8, 1), max(max_rate // 8, 1))
    packed = b"".join(
        _RATESPEC.pack(0, LINKLAYER_ETHERNET, 0, 0, 0, min(rate, MAX_RATE32)) for rate in rates
    )
    buffers = [burst * TICKS_A_SECOND // rate for rate in rates]
    options.raw(TCA_HTB_PARMS, packed + _HTB_REST.pack(*buffers, 0, 0, priority))
    for attribute, rate in zip((TCA_HTB_RATE64, TCA_HTB_CEIL64), rates, strict=True):
        if rate > MAX_RATE32:
            options.u64(attribute, rate)
    create = NLM_F_CREATE | NLM_F_EXCL
    _request(RTM_NEWTCLASS, create, ifindex, handle, parent, options.getvalue(), "add htb class")


def class_stats(ifindex: int) -> dict[int, tuple[int, int, int]]:
    """Queue -> (packets, bytes, drops). NlError."""
    found: dict[int, tuple[int, int, int]] = {}
    sock = NlSocket(NETLINK_ROUTE)
    try:
        replies = sock.dump_all(RTM_GETTCLASS, _TCMSG.pack(0, ifindex, 0, 0, 0), "dump classes")
    finally:
        sock.close()
    for reply in replies:
        payload = reply.payload()
        _, _, handle, _, _ = _TCMSG.unpack_from(payload)
        stats = parse(parse(payload, _TCMSG.size).get(TCA_STATS2, b""))
        basic, queue = stats.get(TCA_STATS_BASIC, b""), stats.get(TCA_STATS_QUEUE, b"")
        if handle != ROOT_CLASS and len(basic) >= 12 and len(queue) >= 12:
            n_bytes, n_packets = struct.unpack_from("=QI", basic)
            found[(handle & 0xFFFF) - 1] = (n_packets, n_bytes, struct.unpack_from("=III", queue)[2])
    return found
