"""Policing of what a device receives, by the kernel: an ingress discipline whose filter takes all packets
and has police actions (tc-police(8), tc-matchall(8)).

Layouts: <linux/pkt_cls.h>, <linux/pkt_sched.h>, <linux/rtnetlink.h>. Bits and packets have an action each,
for the kernel refuses both in one.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Final

from vswitch.bridge.tc import (
    LINKLAYER_ETHERNET,
    MAX32,
    RTM_DELQDISC,
    RTM_NEWQDISC,
    TCA_KIND,
    TCA_OPTIONS,
    TICKS_A_SECOND,
)
from vswitch.dpif.types import KBITS_BURST, KPKTS_BURST, Policing
from vswitch.netlink.attrs import Builder
from vswitch.netlink.errors import NlError
from vswitch.netlink.message import NLM_F_CREATE, NLM_F_EXCL
from vswitch.netlink.socket import NETLINK_ROUTE, NlSocket

RTM_NEWTFILTER: Final = 44
INGRESS_HANDLE: Final = 0xFFFF0000
INGRESS_PARENT: Final = 0xFFFFFFF1
PRIORITY: Final = 1
ETH_P_ALL: Final = 3
TCA_MATCHALL_ACT: Final = 2
TCA_ACT_KIND, TCA_ACT_OPTIONS = 1, 2
TCA_POLICE_TBF, TCA_POLICE_RATE, TCA_POLICE_RESULT = 1, 2, 5
TCA_POLICE_RATE64, TCA_POLICE_PKTRATE64, TCA_POLICE_PKTBURST64 = 8, 10, 11
TC_ACT_SHOT, TC_ACT_UNSPEC = 2, 0xFFFFFFFF
MTU: Final = 65535
"""Larger packets, which the kernel has not segmented yet, would not conform."""
CELL_LOG: Final = 8
"""The table of times has an entry for each 256 bytes of a packet's length up to `MTU`."""
KBIT: Final = 1000 // 8
KBIT_OF_BURST: Final = 1024 // 8

_TCMSG: Final = struct.Struct("=BxxxiIII")
_POLICE: Final = struct.Struct("=IIIIIBBHhHIBBHhHIiiI")


def police(ifindex: int, policing: Policing) -> None:
    """Have the kernel drop what the device receives in excess of `policing`; nothing if that has no rate.
    NlError: it can't."""
    sock = NlSocket(NETLINK_ROUTE)
    try:
        message = _TCMSG.pack(0, ifindex, INGRESS_HANDLE, INGRESS_PARENT, 0)
        try:
            sock.transact(RTM_DELQDISC, 0, message, "delete ingress qdisc")
        except NlError as e:
            if e.errno not in (errno.ENOENT, errno.EINVAL):
                raise
        if not policing.kbits and not policing.kpkts:
            return
        attributes = Builder()
        attributes.string(TCA_KIND, "ingress")
        create = NLM_F_CREATE | NLM_F_EXCL
        sock.transact(RTM_NEWQDISC, create, message + attributes.getvalue(), "add ingress qdisc")
        info = PRIORITY << 16 | socket.htons(ETH_P_ALL)
        sock.transact(RTM_NEWTFILTER, create, _TCMSG.pack(0, ifindex, 0, INGRESS_HANDLE, info)
                      + _filter(policing), "add policing filter")  # fmt: skip
    finally:
        sock.close()


def _filter(policing: Policing) -> bytes:
    b = Builder()
    b.string(TCA_KIND, "matchall")
    options = b.begin(TCA_OPTIONS)
    actions = b.begin(TCA_MATCHALL_ACT)
    order = 1
    if policing.kbits:
        rate = policing.kbits * KBIT
        burst = (policing.kbits_burst or KBITS_BURST) * KBIT_OF_BURST
        _action(b, order, rate, burst * TICKS_A_SECOND // rate)
        order += 1
    if policing.kpkts:
        _action(b, order, 0, 0, policing.kpkts * 1000, (policing.kpkts_burst or KPKTS_BURST) * 1000)
    b.end(actions)
    b.end(options)
    return b.getvalue()


def _action(b: Builder, order: int, rate: int, burst: int, packets: int = 0, packet_burst: int = 0) -> None:
    """A police action: bytes a second and a burst in ticks, or packets a second and a burst of packets."""
    action = b.begin(order)
    b.string(TCA_ACT_KIND, "police")
    options = b.begin(TCA_ACT_OPTIONS)
    b.raw(TCA_POLICE_TBF, _POLICE.pack(
        0, TC_ACT_SHOT, 0, min(burst, MAX32), MTU,
        CELL_LOG if rate else 0, LINKLAYER_ETHERNET if rate else 0, 0, 0, 0, min(rate, MAX32),
        0, 0, 0, 0, 0, 0, 0, 0, 0,
    ))  # fmt: skip
    if rate:
        times = [min((i + 1 << CELL_LOG) * TICKS_A_SECOND // rate, MAX32) for i in range(256)]
        b.raw(TCA_POLICE_RATE, struct.pack("=256I", *times))
        if rate > MAX32:
            b.u64(TCA_POLICE_RATE64, rate)
    if packets:
        b.u64(TCA_POLICE_PKTRATE64, packets)
        b.u64(TCA_POLICE_PKTBURST64, packet_burst * TICKS_A_SECOND // packets)
    b.u32(TCA_POLICE_RESULT, TC_ACT_UNSPEC)
    b.end(options)
    b.end(action)
