"""The kernel's timeout policies of connection tracking: named objects over nfnetlink, one a protocol.

A policy of ours is six of them, "ovs_tp_NUMBER_PROTOCOL", named as Open vSwitch names them. Constants are
those of <linux/netfilter/nfnetlink_cttimeout.h>.
"""

from __future__ import annotations

import errno
import re
import socket
import struct
from collections.abc import Mapping
from typing import Final

from vswitch.netlink.attrs import Builder, NlAttrError, parse, text
from vswitch.netlink.errors import NlError
from vswitch.netlink.message import NLM_F_CREATE, NLM_F_REPLACE
from vswitch.netlink.socket import NETLINK_NETFILTER, NlSocket, collect
from vswitch.packet.numbers import (
    ETH_TYPE_IP,
    ETH_TYPE_IPV6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
)

NFNL_SUBSYS_CTNETLINK_TIMEOUT: Final = 8
TIMEOUT_NEW: Final = NFNL_SUBSYS_CTNETLINK_TIMEOUT << 8 | 0
TIMEOUT_GET: Final = NFNL_SUBSYS_CTNETLINK_TIMEOUT << 8 | 1
TIMEOUT_DELETE: Final = NFNL_SUBSYS_CTNETLINK_TIMEOUT << 8 | 2

CTA_TIMEOUT_NAME: Final = 1
CTA_TIMEOUT_L3PROTO: Final = 2
CTA_TIMEOUT_L4PROTO: Final = 3
CTA_TIMEOUT_DATA: Final = 4

_TCP: Final = {
    "tcp_syn_sent": 1, "tcp_syn_recv": 2, "tcp_established": 3, "tcp_fin_wait": 4, "tcp_close_wait": 5,
    "tcp_last_ack": 6, "tcp_time_wait": 7, "tcp_close": 8, "tcp_syn_sent2": 9, "tcp_retransmit": 10,
    "tcp_unack": 11,
}  # fmt: skip
# The kernel has one time before an answer and one after, of ICMP only one.
_UDP: Final = {"udp_single": 1, "udp_multiple": 2}
_ICMP: Final = {"icmp_first": 1}
KINDS: Final = (
    ("tcp4", ETH_TYPE_IP, IPPROTO_TCP, _TCP),
    ("tcp6", ETH_TYPE_IPV6, IPPROTO_TCP, _TCP),
    ("udp4", ETH_TYPE_IP, IPPROTO_UDP, _UDP),
    ("udp6", ETH_TYPE_IPV6, IPPROTO_UDP, _UDP),
    ("icmp4", ETH_TYPE_IP, IPPROTO_ICMP, _ICMP),
    ("icmpv6", ETH_TYPE_IPV6, IPPROTO_ICMPV6, _ICMP),
)
"""End of the name, Ethernet type, IP protocol, and the kernel's attribute for each key of the database."""

_OURS: Final = re.compile(r"ovs_tp_(\d+)_\w+")
_NFGENMSG: Final = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)


def names(number: int) -> dict[tuple[int, int], str]:
    """What policy `number` is called for packets of each (Ethernet type, IP protocol)."""
    return {(eth_type, proto): f"ovs_tp_{number}_{end}" for end, eth_type, proto, _ in KINDS}


def compose_new(number: int, timeouts: Mapping[str, int]) -> list[bytes]:
    """The messages that make policy `number`; states that `timeouts` (seconds by key) leaves out keep the
    kernel's own time."""
    messages = []
    named = names(number)
    for _, eth_type, proto, attributes in KINDS:
        b = Builder()
        b.append(_NFGENMSG)
        b.string(CTA_TIMEOUT_NAME, named[eth_type, proto])
        b.be16(CTA_TIMEOUT_L3PROTO, socket.AF_INET if eth_type == ETH_TYPE_IP else socket.AF_INET6)
        b.u8(CTA_TIMEOUT_L4PROTO, proto)
        nested = b.begin(CTA_TIMEOUT_DATA)
        for key, attribute in attributes.items():
            if key in timeouts:
                b.be32(attribute, timeouts[key])
        b.end(nested)
        messages.append(b.getvalue())
    return messages


def _open() -> NlSocket:
    try:
        return NlSocket(NETLINK_NETFILTER)
    except OSError as e:
        raise NlError(e.errno or errno.EIO, "open timeout policy socket") from e


def set_policy(number: int, timeouts: Mapping[str, int]) -> None:
    """Make policy `number`, or have one that is there keep these times. NlError: EINVAL or EOPNOTSUPP
    where the kernel has no such policies."""
    sock = _open()
    try:
        for message in compose_new(number, timeouts):
            sock.transact(TIMEOUT_NEW, NLM_F_CREATE | NLM_F_REPLACE, message, "set timeout policy")
    finally:
        sock.close()


def del_policy(number: int) -> None:
    """Take policy `number` away; NlError(EBUSY) while a flow asks for it, of which nothing more is taken.

    Connections that have it go on with the times they have, and then with the kernel's own.
    """
    sock = _open()
    try:
        for name in names(number).values():
            b = Builder()
            b.append(_NFGENMSG)
            b.string(CTA_TIMEOUT_NAME, name)
            try:
                sock.transact(TIMEOUT_DELETE, 0, b.getvalue(), "delete timeout policy")
            except NlError as e:
                if e.errno != errno.ENOENT:
                    raise
    finally:
        sock.close()


def numbers_of(messages: list[bytes]) -> set[int]:
    """The numbers of our policies in the messages of a dump."""
    found = set()
    for payload in messages:
        try:
            match = _OURS.fullmatch(text(parse(payload, len(_NFGENMSG)).get(CTA_TIMEOUT_NAME, b"")))
        except NlAttrError:
            continue
        if match:
            found.add(int(match[1]))
    return found


def dump_policies() -> set[int]:
    """The numbers of the policies that the kernel has of ours, or of a switch before us. NlError."""
    sock = _open()
    try:
        messages, _ = collect(sock.dump(TIMEOUT_GET, _NFGENMSG, "dump timeout policies"))
    finally:
        sock.close()
    return numbers_of([message.payload() for message in messages])
