"""`ClsactFilter`: a program as a filter of an interface's clsact qdisc, for kernels without tcx.

The filter stays when the process dies. It is known by its place (preference `PREFERENCE`, handle 1), and its
name is the process's mark, by which `remove_stale` knows it for what a dead one left.
The messages are those of rtnetlink(7) and <linux/pkt_cls.h>.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Final

from vswitch.ebpf.owner import is_left, mark
from vswitch.netlink.attrs import Builder, NlAttrError, parse, text
from vswitch.netlink.errors import NlError
from vswitch.netlink.socket import NETLINK_ROUTE, NlSocket

if TYPE_CHECKING:
    from vswitch.ebpf.program import Program

RTM_NEWQDISC, RTM_GETQDISC, RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 36, 38, 44, 45, 46
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
CLSACT: Final = 0xFFFFFFF1
INGRESS: Final = 0xFFFFFFF2
EGRESS: Final = 0xFFFFFFF3
PREFERENCE: Final = 0xC1
ETH_P_ALL: Final = 3
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_BPF_FD, TCA_BPF_NAME, TCA_BPF_FLAGS = 6, 7, 8
DIRECT_ACTION: Final = 1
_TCMSG = struct.Struct("=BxxxiIII")


def _filter_message(ifindex: int, parent: int, handle: int) -> bytes:
    info = PREFERENCE << 16 | socket.htons(ETH_P_ALL)
    return _TCMSG.pack(0, ifindex, handle, parent, info)


def _ask(kind: int, flags: int, payload: bytes, what: str) -> None:
    sock = NlSocket(NETLINK_ROUTE)
    try:
        sock.transact(kind, flags, payload, what)
    finally:
        sock.close()


class ClsactFilter:
    """`program` at interface `ifindex`, at its egress or ingress. NlError as the kernel gives it."""

    def __init__(self, program: Program, ifindex: int, egress: bool) -> None:
        self.ifindex = ifindex
        self.parent = EGRESS if egress else INGRESS
        kind = Builder()
        kind.string(TCA_KIND, "clsact")
        message = _TCMSG.pack(0, ifindex, 0xFFFF0000, CLSACT, 0) + kind.getvalue()
        try:
            _ask(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, message, "adding a clsact qdisc")
        except NlError as e:
            if e.errno != errno.EEXIST:
                raise
        attrs = Builder()
        attrs.string(TCA_KIND, "bpf")
        options = attrs.begin(TCA_OPTIONS)
        attrs.u32(TCA_BPF_FD, program.fd)
        attrs.string(TCA_BPF_NAME, mark())
        attrs.u32(TCA_BPF_FLAGS, DIRECT_ACTION)
        attrs.end(options)
        message = _filter_message(self.ifindex, self.parent, 1) + attrs.getvalue()
        _ask(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_REPLACE, message, "attaching a program")

    def close(self) -> None:
        """Detach. The qdisc stays: others may have filters in it."""
        _remove(self.ifindex, self.parent)


def _remove(ifindex: int, parent: int) -> None:
    try:
        _ask(RTM_DELTFILTER, 0, _filter_message(ifindex, parent, 1), "detaching a program")
    except NlError as e:
        # The device may be gone, and its filters with it.
        if e.errno not in (errno.ENODEV, errno.ENOENT, errno.EINVAL):
            raise


def remove_stale() -> list[int]:
    """Detach what dead processes left at any interface; the indexes of those that had something."""
    found: list[int] = []
    for ifindex in _with_clsact():
        for parent in (INGRESS, EGRESS):
            if is_left(_name(ifindex, parent)):
                _remove(ifindex, parent)
                found.append(ifindex)
    return found


def _with_clsact() -> list[int]:
    """The interfaces that have a clsact qdisc."""
    sock = NlSocket(NETLINK_ROUTE)
    try:
        messages = sock.dump_all(RTM_GETQDISC, _TCMSG.pack(0, 0, 0, 0, 0), "listing qdiscs")
    finally:
        sock.close()
    found: list[int] = []
    for message in messages:
        payload = message.payload()
        try:
            kind = parse(payload, _TCMSG.size).get(TCA_KIND, b"")
            if text(kind) == "clsact":
                found.append(_TCMSG.unpack_from(payload)[1])
        except NlAttrError:
            continue
    return found


def _name(ifindex: int, parent: int) -> str:
    """The name of the program in a filter's place; "" if there is none."""
    sock = NlSocket(NETLINK_ROUTE)
    try:
        messages = sock.dump_all(RTM_GETTFILTER, _TCMSG.pack(0, ifindex, 0, parent, 0), "listing filters")
    except NlError:
        return ""
    finally:
        sock.close()
    for message in messages:
        payload = message.payload()
        if len(payload) < _TCMSG.size or _TCMSG.unpack_from(payload)[4] >> 16 != PREFERENCE:
            continue
        try:
            attrs = parse(payload, _TCMSG.size)
            if text(attrs.get(TCA_KIND, b"")) == "bpf":
                options = parse(attrs.get(TCA_OPTIONS, b""))
                if TCA_BPF_NAME in options:
                    return text(options[TCA_BPF_NAME])
        except NlAttrError:
            continue
    return ""
