"""Messages of family ovs_vport: ports made, found, given their upcall pid, deleted, listed."""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping, Sequence
from typing import Final

from vswitch.base.records import dataclass, field
from vswitch.dpif.kernel.family import OVS_ATTRS_OFFSET, OVS_HEADER_OFFSET, OVS_VERSION
from vswitch.netlink.attrs import Builder, NlAttrError, parse, text, u32_at, u64_at
from vswitch.netlink.errors import NlError
from vswitch.netlink.message import NLM_F_ECHO
from vswitch.netlink.socket import NlSocket

OVS_VPORT_CMD_NEW: Final = 1
OVS_VPORT_CMD_DEL: Final = 2
OVS_VPORT_CMD_GET: Final = 3
OVS_VPORT_CMD_SET: Final = 4

OVS_VPORT_ATTR_PORT_NO: Final = 1
OVS_VPORT_ATTR_TYPE: Final = 2
OVS_VPORT_ATTR_NAME: Final = 3
OVS_VPORT_ATTR_OPTIONS: Final = 4
OVS_VPORT_ATTR_UPCALL_PID: Final = 5
OVS_VPORT_ATTR_STATS: Final = 6
OVS_VPORT_ATTR_UPCALL_STATS: Final = 10
"""Since Linux 6.3: upcalls sent, and those that failed."""

OVS_VPORT_UPCALL_ATTR_FAIL: Final = 2

OVS_TUNNEL_ATTR_DST_PORT: Final = 1
OVS_TUNNEL_ATTR_EXTENSION: Final = 2
OVS_VXLAN_EXT_GBP: Final = 1

TYPES: Final[Mapping[str, int]] = {"system": 1, "internal": 2, "gre": 3, "vxlan": 4, "geneve": 5}
"""Port type -> `enum ovs_vport_type`."""
_TYPE_NAMES: Final = {number: name for name, number in TYPES.items()}
_DEFAULT_DST_PORT: Final = {"vxlan": 4789, "geneve": 6081}

COUNTERS: Final = (
    "rx_packets", "tx_packets", "rx_bytes", "tx_bytes",
    "rx_errors", "tx_errors", "rx_dropped", "tx_dropped",
)  # fmt: skip
"""The 64-bit members of `struct ovs_vport_stats`, in order."""


@dataclass(frozen=True)
class VportInfo:
    """What the kernel says of one port, in a reply or a notification."""

    cmd: int
    dp_ifindex: int
    port_no: int
    type: str
    name: str
    upcall_pids: tuple[int, ...]
    stats: dict[str, int] = field(default_factory=dict)
    dst_port: int = 0
    upcalls_failed: int | None = None
    """Upcalls of this port that the kernel could not deliver, where it counts them."""


def parse_vport(payload: bytes) -> VportInfo:
    """An ovs_vport message, from its `struct genlmsghdr` on. NlAttrError if it is malformed."""
    if len(payload) < OVS_ATTRS_OFFSET:
        raise NlAttrError(f"an ovs_vport message of {len(payload)} bytes")
    attrs = parse(payload, OVS_ATTRS_OFFSET)
    port_no = attrs.get(OVS_VPORT_ATTR_PORT_NO, b"")
    type_number = attrs.get(OVS_VPORT_ATTR_TYPE, b"")
    if len(port_no) != 4 or len(type_number) != 4 or OVS_VPORT_ATTR_NAME not in attrs:
        raise NlAttrError("an ovs_vport message without number, type or name")
    number = int(u32_at(type_number, 0))
    counters = attrs.get(OVS_VPORT_ATTR_STATS, b"")
    stats = {n: u64_at(counters, 8 * i) for i, n in enumerate(COUNTERS)} if len(counters) >= 64 else {}
    pids = attrs.get(OVS_VPORT_ATTR_UPCALL_PID, b"")
    dst_port = parse(attrs.get(OVS_VPORT_ATTR_OPTIONS, b"")).get(OVS_TUNNEL_ATTR_DST_PORT, b"")
    failed = parse(attrs.get(OVS_VPORT_ATTR_UPCALL_STATS, b"")).get(OVS_VPORT_UPCALL_ATTR_FAIL, b"")
    return VportInfo(
        cmd=payload[0],
        dp_ifindex=int(u32_at(payload, OVS_HEADER_OFFSET)),
        port_no=int(u32_at(port_no, 0)),
        type=_TYPE_NAMES.get(number, f"unknown({number})"),
        name=text(attrs[OVS_VPORT_ATTR_NAME]),
        upcall_pids=struct.unpack(f"={len(pids) // 4}I", pids[: len(pids) & ~3]),
        stats=stats,
        dst_port=struct.unpack("=H", dst_port)[0] if len(dst_port) == 2 else 0,
        upcalls_failed=u64_at(failed, 0) if len(failed) == 8 else None,
    )


def _begin(cmd: int, dp_ifindex: int) -> Builder:
    b = Builder()
    b.genl_header(cmd, OVS_VERSION)
    b.append_u32(dp_ifindex)
    return b


def _pids(b: Builder, pids: Sequence[int]) -> None:
    b.raw(OVS_VPORT_ATTR_UPCALL_PID, struct.pack(f"={len(pids)}I", *pids))


def _options(b: Builder, port_type: str, options: Mapping[str, str]) -> None:
    """Tunnel options: `dst_port` in decimal; `exts` "gbp" for VXLAN's group policy."""
    port = options.get("dst_port") or str(_DEFAULT_DST_PORT.get(port_type, 0))
    if not port.isdigit() or int(port) > 65535:
        raise NlError(errno.EINVAL, "add port", f"dst_port {port!r} is no UDP port")
    nest = b.begin(OVS_VPORT_ATTR_OPTIONS)
    b.u16(OVS_TUNNEL_ATTR_DST_PORT, int(port))
    if "gbp" in options.get("exts", "").split(","):
        extension = b.begin(OVS_TUNNEL_ATTR_EXTENSION)
        b.flag(OVS_VXLAN_EXT_GBP)
        b.end(extension)
    b.end(nest)


def _parse_reply(reply: bytes, request: str) -> VportInfo:
    try:
        return parse_vport(reply)
    except NlAttrError as e:
        raise NlError(errno.EPROTO, request, str(e)) from e


def create(
    sock: NlSocket,
    family: int,
    dp_ifindex: int,
    name: str,
    port_type: str,
    port_no: int | None,
    upcall_pid: int,
    options: Mapping[str, str],
) -> VportInfo:
    """Attach or make device `name`. NlError: EBUSY, EEXIST, ENODEV, EFBIG, EINVAL (the type)."""
    number = TYPES.get(port_type)
    if number is None:
        raise NlError(errno.EINVAL, "add port", f"the kernel has no ports of type {port_type}")
    b = _begin(OVS_VPORT_CMD_NEW, dp_ifindex)
    b.u32(OVS_VPORT_ATTR_TYPE, number)
    b.string(OVS_VPORT_ATTR_NAME, name)
    _pids(b, (upcall_pid,))
    if port_no is not None:
        b.u32(OVS_VPORT_ATTR_PORT_NO, port_no)
    if port_type in _DEFAULT_DST_PORT:
        _options(b, port_type, options)
    return _parse_reply(sock.transact(family, NLM_F_ECHO, b.getvalue(), "add port", True), "add port")


def set_pids(sock: NlSocket, family: int, dp_ifindex: int, pids: Mapping[int, int]) -> dict[int, int]:
    """Tell each port of `pids` (port number -> pid) where its upcalls go; port number -> errno."""
    errors: dict[int, int] = {}
    ports = list(pids)
    for first in range(0, len(ports), 50):
        some = ports[first : first + 50]
        batch = sock.new_batch()
        for port_no in some:
            batch.begin(family, 0, False)
            batch.builder.genl_header(OVS_VPORT_CMD_SET, OVS_VERSION)
            batch.builder.append_u32(dp_ifindex)
            batch.builder.u32(OVS_VPORT_ATTR_PORT_NO, port_no)
            _pids(batch.builder, (pids[port_no],))
            batch.end()
        sock.transact_multiple(batch)
        errors.update({p: batch.error(i) for i, p in enumerate(some)})
    return errors


def delete(sock: NlSocket, family: int, dp_ifindex: int, port_no: int) -> None:
    """Detach a port. NlError: ENODEV if there is none, EINVAL for the local port."""
    b = _begin(OVS_VPORT_CMD_DEL, dp_ifindex)
    b.u32(OVS_VPORT_ATTR_PORT_NO, port_no)
    sock.transact(family, 0, b.getvalue(), "delete port")


def get(
    sock: NlSocket, family: int, dp_ifindex: int, port_no: int | None = None, name: str | None = None
) -> VportInfo:
    """One port, by its number or its name. NlError: ENODEV if there is none."""
    b = _begin(OVS_VPORT_CMD_GET, 0 if name is not None else dp_ifindex)
    if name is not None:
        b.string(OVS_VPORT_ATTR_NAME, name)
    if port_no is not None:
        b.u32(OVS_VPORT_ATTR_PORT_NO, port_no)
    return _parse_reply(sock.transact(family, NLM_F_ECHO, b.getvalue(), "query port", True), "query port")


def dump(sock: NlSocket, family: int, dp_ifindex: int) -> list[VportInfo]:
    """All ports of a datapath, by number."""
    messages = sock.dump_all(family, _begin(OVS_VPORT_CMD_GET, dp_ifindex).getvalue(), "dump ports")
    ports = [_parse_reply(m.payload(), "dump ports") for m in messages]
    return sorted(ports, key=lambda port: port.port_no)
