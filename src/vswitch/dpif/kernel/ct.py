"""The kernel's connection tracking over ctnetlink: tracked connections listed and forgotten.

Constants are those of <linux/netfilter/nfnetlink_conntrack.h> and nf_conntrack_common.h.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Final

from vswitch.dpif.types import CtEntry
from vswitch.netlink.attrs import NLA_F_NESTED, Builder, NlAttrError, be16_at, be32_at, parse, text
from vswitch.netlink.errors import NlError
from vswitch.netlink.message import Batch, NlMessage
from vswitch.netlink.socket import NETLINK_NETFILTER, NlSocket, collect

NFNL_SUBSYS_CTNETLINK: Final = 1
IPCTNL_MSG_CT_GET: Final = 1
IPCTNL_MSG_CT_DELETE: Final = 2
CT_GET: Final = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET
CT_DELETE: Final = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE

CTA_TUPLE_ORIG: Final = 1
CTA_TUPLE_REPLY: Final = 2
CTA_STATUS: Final = 3
CTA_PROTOINFO: Final = 4
CTA_HELP: Final = 5
CTA_TIMEOUT: Final = 7
CTA_MARK: Final = 8
CTA_ID: Final = 12
CTA_ZONE: Final = 18
CTA_LABELS: Final = 22

CTA_TUPLE_IP: Final = 1
CTA_TUPLE_PROTO: Final = 2
CTA_IP_V4_SRC: Final = 1
CTA_IP_V4_DST: Final = 2
CTA_IP_V6_SRC: Final = 3
CTA_IP_V6_DST: Final = 4
CTA_PROTO_NUM: Final = 1
CTA_PROTO_SRC_PORT: Final = 2
CTA_PROTO_DST_PORT: Final = 3
CTA_PROTO_ICMP_ID: Final = 4
CTA_PROTO_ICMP_TYPE: Final = 5
CTA_PROTO_ICMP_CODE: Final = 6
CTA_PROTO_ICMPV6_ID: Final = 7
CTA_PROTO_ICMPV6_TYPE: Final = 8
CTA_PROTO_ICMPV6_CODE: Final = 9
CTA_PROTOINFO_TCP: Final = 1
CTA_PROTOINFO_TCP_STATE: Final = 1
CTA_HELP_NAME: Final = 1

TCP_STATES: Final = (
    "NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT",
    "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2",
)  # fmt: skip
"""`enum tcp_conntrack`."""

_NFGENMSG_LEN: Final = 4
Tuple5 = tuple[str, str, int, int]


def _nfgenmsg(family: int) -> bytes:
    return struct.pack("=BBH", family, 0, 0)


def _be16(attrs: dict[int, bytes], attr: int) -> int:
    value = attrs.get(attr, b"")
    return int(be16_at(value, 0)) if len(value) == 2 else 0


def _be32(attrs: dict[int, bytes], attr: int) -> int:
    value = attrs.get(attr, b"")
    return int(be32_at(value, 0)) if len(value) == 4 else 0


def _u8(attrs: dict[int, bytes], attr: int) -> int:
    return (attrs.get(attr) or b"\0")[0]


def _address(ip: dict[int, bytes], v4: int, v6: int) -> str:
    raw = ip.get(v4) or ip.get(v6) or b""
    return str(ipaddress.ip_address(raw)) if len(raw) in (4, 16) else ""


def _parse_tuple(data: bytes) -> tuple[int, Tuple5]:
    """(protocol, (source, destination, source port or ICMP id, destination port or type << 8 | code))."""
    attrs = parse(data)
    ip = parse(attrs.get(CTA_TUPLE_IP, b""))
    proto = parse(attrs.get(CTA_TUPLE_PROTO, b""))
    number = _u8(proto, CTA_PROTO_NUM)
    source, destination = _be16(proto, CTA_PROTO_SRC_PORT), _be16(proto, CTA_PROTO_DST_PORT)
    for id_attr, type_attr, code_attr in (
        (CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMP_CODE),
        (CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_ICMPV6_CODE),
    ):
        if type_attr in proto:
            source = _be16(proto, id_attr)
            destination = _u8(proto, type_attr) << 8 | _u8(proto, code_attr)
    return number, (
        _address(ip, CTA_IP_V4_SRC, CTA_IP_V6_SRC),
        _address(ip, CTA_IP_V4_DST, CTA_IP_V6_DST),
        source,
        destination,
    )


def parse_entry(payload: bytes) -> CtEntry:
    """One connection of a dump, from its `struct nfgenmsg` on. NlAttrError if it is malformed."""
    if len(payload) < _NFGENMSG_LEN:
        raise NlAttrError(f"a conntrack message of {len(payload)} bytes")
    attrs = parse(payload, _NFGENMSG_LEN)
    if CTA_TUPLE_ORIG not in attrs or CTA_TUPLE_REPLY not in attrs:
        raise NlAttrError("a connection without its tuples")
    proto, orig = _parse_tuple(attrs[CTA_TUPLE_ORIG])
    _, reply = _parse_tuple(attrs[CTA_TUPLE_REPLY])
    tcp = parse(parse(attrs.get(CTA_PROTOINFO, b"")).get(CTA_PROTOINFO_TCP, b""))
    state = ""
    if CTA_PROTOINFO_TCP_STATE in tcp:
        number = _u8(tcp, CTA_PROTOINFO_TCP_STATE)
        state = TCP_STATES[number] if number < len(TCP_STATES) else str(number)
    labels = attrs.get(CTA_LABELS, b"")
    return CtEntry(
        proto=proto,
        orig=orig,
        reply=reply,
        zone=_be16(attrs, CTA_ZONE),
        mark=_be32(attrs, CTA_MARK),
        # The kernel's labels are an array of words in host order, the datapath's ct_label the same bytes.
        labels=int.from_bytes(labels, "big") if len(labels) == 16 else 0,
        timeout=_be32(attrs, CTA_TIMEOUT),
        state=state,
        helper=text(parse(attrs.get(CTA_HELP, b"")).get(CTA_HELP_NAME, b"")),
        id=_be32(attrs, CTA_ID),
        status=_be32(attrs, CTA_STATUS),
    )


def _open() -> NlSocket:
    try:
        return NlSocket(NETLINK_NETFILTER)
    except OSError as e:
        raise NlError(e.errno or errno.EIO, "open conntrack socket") from e


def _messages(sock: NlSocket) -> list[NlMessage]:
    """One message for each connection, none twice, even if the dump was interrupted."""
    messages, _ = collect(sock.dump(CT_GET, _nfgenmsg(socket.AF_UNSPEC), "dump connections"))
    return messages


def dump(zone: int | None = None) -> Iterator[CtEntry]:
    """The tracked connections of this network namespace, of `zone` or all. NlError.

    EOPNOTSUPP or EPROTONOSUPPORT: this kernel has no ctnetlink.
    """
    sock = _open()
    try:
        messages = _messages(sock)
    finally:
        sock.close()
    seen: set[tuple[int, Tuple5, int]] = set()
    for m in messages:
        try:
            entry = parse_entry(m.payload())
        except NlAttrError:
            continue
        identity = (entry.proto, entry.orig, entry.zone)
        if identity not in seen and (zone is None or entry.zone == zone):
            seen.add(identity)
            yield entry


def flush(zone: int | None = None, wanted: Callable[[CtEntry], bool] | None = None) -> None:
    """Forget all connections, or those of `zone` that are `wanted`. NlError.

    Kernels before 6.10 take a deletion by zone for a deletion of all, so a zone is listed and
    its connections are deleted one by one.
    """
    sock = _open()
    try:
        if zone is None and wanted is None:
            sock.transact(CT_DELETE, 0, _nfgenmsg(socket.AF_UNSPEC), "flush connections")
            return
        batch = sock.new_batch()
        for m in _messages(sock):
            payload = m.payload()
            attrs = parse(payload, _NFGENMSG_LEN)
            if CTA_TUPLE_ORIG not in attrs or (zone is not None and _be16(attrs, CTA_ZONE) != zone):
                continue
            if wanted is not None and not wanted(parse_entry(payload)):
                continue
            batch.begin(CT_DELETE, 0, False)
            b: Builder = batch.builder
            b.append(payload[:_NFGENMSG_LEN])
            b.raw(CTA_TUPLE_ORIG | NLA_F_NESTED, attrs[CTA_TUPLE_ORIG])
            if CTA_ZONE in attrs:  # A kernel built without zones refuses even zone 0.
                b.raw(CTA_ZONE, attrs[CTA_ZONE])
            if CTA_ID in attrs:
                b.raw(CTA_ID, attrs[CTA_ID])
            batch.end()
            if batch.count == 50:
                _delete(sock, batch)
                batch = sock.new_batch()
        _delete(sock, batch)
    except NlAttrError as e:
        raise NlError(errno.EPROTO, "flush connections", str(e)) from e
    finally:
        sock.close()


def _delete(sock: NlSocket, batch: Batch) -> None:
    """Send deletions; a connection that ended by itself meanwhile (ENOENT) is no error."""
    sock.transact_multiple(batch)
    for i in range(batch.count):
        code = batch.error(i)
        if code not in (0, errno.ENOENT):
            raise NlError(code, "delete connection", batch.detail(i))
