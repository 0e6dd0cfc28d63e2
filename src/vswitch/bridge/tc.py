"""Traffic control by rtnetlink(7): the messages that make disciplines and their classes.

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
TCA_HFSC_RSC, TCA_HFSC_FSC, TCA_HFSC_USC = 1, 2, 3
TCA_CODEL_TARGET, TCA_CODEL_LIMIT, TCA_CODEL_INTERVAL = 1, 2, 3
TCA_FQ_CODEL_FLOWS, TCA_FQ_CODEL_QUANTUM = 5, 6
TC_H_ROOT: Final = 0xFFFFFFFF
ROOT_HANDLE: Final = 1 << 16
ROOT_CLASS: Final = 0x1FFFE
TICKS_A_SECOND: Final = 15_625_000
LINKLAYER_ETHERNET: Final = 1
MAX32: Final = 0xFFFFFFFF

_TCMSG: Final = struct.Struct("=BxxxiIII")
_HTB_GLOB: Final = struct.Struct("=IIIII")
_RATESPEC: Final = struct.Struct("=BBHhHI")
_HTB_REST: Final = struct.Struct("=IIIII")
_CURVE: Final = struct.Struct("=III")
"""struct tc_service_curve: m1 (bytes a second), d (microseconds), m2."""


def queue_class(queue: int) -> int:
    """The class of a queue."""
    return ROOT_HANDLE | (queue + 1)


def _request(kind: int, flags: int, ifindex: int, handle: int, parent: int, options: bytes, what: str,
             discipline: str = "") -> None:
    payload = _TCMSG.pack(0, ifindex, handle, parent, 0)
    if discipline:
        attributes = Builder()
        attributes.string(TCA_KIND, discipline)
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


def add_htb(ifindex: int, rate: int, burst: int) -> None:
    """Make HTB the device's discipline, with a root class of `rate` and `burst`. NlError."""
    options = Builder()
    options.raw(TCA_HTB_INIT, _HTB_GLOB.pack(3, 10, 1, 0, 0))
    add_root(ifindex, "htb", options.getvalue())
    _add(ifindex, ROOT_CLASS, ROOT_HANDLE, rate, rate, burst, 0)


def add_root(ifindex: int, discipline: str, options: bytes) -> None:
    """Make `discipline` with its TCA_OPTIONS the device's. NlError: the kernel may not have it."""
    create = NLM_F_CREATE | NLM_F_EXCL
    _request(RTM_NEWQDISC, create, ifindex, ROOT_HANDLE, TC_H_ROOT, options, f"add {discipline} qdisc",
             discipline)


def add_hfsc(ifindex: int, rate: int) -> None:
    """Make HFSC the device's discipline (tc-hfsc(7)), with a root class of `rate`. NlError."""
    add_root(ifindex, "hfsc", struct.pack("=H", 1))
    _add_hfsc(ifindex, ROOT_CLASS, ROOT_HANDLE, rate, rate)


def add_hfsc_class(ifindex: int, queue: int, min_rate: int, max_rate: int) -> None:
    """Make the class of a queue: real-time and link-sharing curves of `min_rate`, no more than `max_rate`.
    NlError."""
    _add_hfsc(ifindex, queue_class(queue), ROOT_CLASS, min_rate, max_rate)


def _add_hfsc(ifindex: int, handle: int, parent: int, min_rate: int, max_rate: int) -> None:
    low, high = (_CURVE.pack(0, 0, min(max(rate // 8, 1), MAX32)) for rate in (min_rate, max_rate))
    options = Builder()
    options.raw(TCA_HFSC_RSC, low)
    options.raw(TCA_HFSC_FSC, low)
    options.raw(TCA_HFSC_USC, high)
    create = NLM_F_CREATE | NLM_F_EXCL
    _request(RTM_NEWTCLASS, create, ifindex, handle, parent, options.getvalue(), "add hfsc class", "hfsc")


def sfq_options(perturb: int, quantum: int) -> bytes:
    """struct tc_sfq_qopt: seconds, of which the kernel takes those of 31 bits, and bytes; the rest is the
    kernel's to choose."""
    return struct.pack("=IIIII", quantum & MAX32, perturb & MAX32, 0, 0, 0)


def codel_options(target: int, limit: int, interval: int) -> bytes:
    """Attributes of codel: microseconds, packets, microseconds."""
    return _codel(target, limit, interval).getvalue()


def fq_codel_options(target: int, limit: int, interval: int, flows: int, quantum: int) -> bytes:
    """Attributes of fq_codel; `quantum` in bytes."""
    options = _codel(target, limit, interval)
    options.u32(TCA_FQ_CODEL_FLOWS, flows)
    options.u32(TCA_FQ_CODEL_QUANTUM, quantum)
    return options.getvalue()


def _codel(target: int, limit: int, interval: int) -> Builder:
    options = Builder()
    options.u32(TCA_CODEL_TARGET, target)
    options.u32(TCA_CODEL_LIMIT, limit)
    options.u32(TCA_CODEL_INTERVAL, interval)
    return options


def netem_options(latency: int, limit: int, loss: int, jitter: int) -> bytes:
    """struct tc_netem_qopt: microseconds, packets, percent; `latency` is that plus or minus `jitter`.
    NlError: the loss is no percentage."""
    if loss > 100:
        raise NlError(errno.EINVAL, "add netem qdisc", f"loss of {loss} percent")
    delay, varies = (min(us * TICKS_A_SECOND // 1_000_000, MAX32) for us in (latency, jitter))
    return struct.pack("=IIIIII", delay, limit, loss * MAX32 // 100, 0, 0, varies)


def add_class(ifindex: int, queue: int, min_rate: int, max_rate: int, burst: int, priority: int) -> None:
    """Make the class of a queue. NlError."""
    _add(ifindex, queue_class(queue), ROOT_CLASS, min_rate, max_rate, burst, priority)


def _add(ifindex: int, handle: int, parent: int, min_rate: int, max_rate: int, burst: int,
         priority: int) -> None:
    options = Builder()
    rates = (max(min_rate // 8, 1), max(max_rate // 8, 1))
    packed = b"".join(
        _RATESPEC.pack(0, LINKLAYER_ETHERNET, 0, 0, 0, min(rate, MAX32)) for rate in rates
    )
    buffers = [min(burst * TICKS_A_SECOND // rate, MAX32) for rate in rates]
    options.raw(TCA_HTB_PARMS, packed + _HTB_REST.pack(*buffers, 0, 0, priority))
    for attribute, rate in zip((TCA_HTB_RATE64, TCA_HTB_CEIL64), rates, strict=True):
        if rate > MAX32:
            options.u64(attribute, rate)
    create = NLM_F_CREATE | NLM_F_EXCL
    _request(RTM_NEWTCLASS, create, ifindex, handle, parent, options.getvalue(), "add htb class", "htb")


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
