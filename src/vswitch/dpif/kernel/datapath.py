"""Messages of family ovs_datapath: datapaths made, found, set, deleted, listed."""

from __future__ import annotations

import errno
from typing import Final

from vswitch.base.records import dataclass
from vswitch.dpif.kernel.family import OVS_ATTRS_OFFSET, OVS_DATAPATH_VERSION, OVS_HEADER_OFFSET
from vswitch.dpif.types import DpifStats
from vswitch.netlink.attrs import Builder, NlAttrError, parse, text, u32_at, u64_at
from vswitch.netlink.errors import NlError
from vswitch.netlink.message import NLM_F_CREATE, NLM_F_ECHO
from vswitch.netlink.socket import NlSocket

OVS_DP_CMD_NEW: Final = 1
OVS_DP_CMD_DEL: Final = 2
OVS_DP_CMD_GET: Final = 3
OVS_DP_CMD_SET: Final = 4

OVS_DP_ATTR_NAME: Final = 1
OVS_DP_ATTR_UPCALL_PID: Final = 2
OVS_DP_ATTR_STATS: Final = 3
OVS_DP_ATTR_MEGAFLOW_STATS: Final = 4
OVS_DP_ATTR_USER_FEATURES: Final = 5
OVS_DP_ATTR_MASKS_CACHE_SIZE: Final = 7

OVS_DP_F_UNALIGNED: Final = 1 << 0
OVS_DP_F_VPORT_PIDS: Final = 1 << 1
OVS_DP_F_DISPATCH_UPCALL_PER_CPU: Final = 1 << 3

USER_FEATURES: Final = OVS_DP_F_UNALIGNED | OVS_DP_F_VPORT_PIDS
"""What this switch tells the kernel it understands: a last attribute without padding, several
pids a vport. Not per-CPU dispatch, which would bypass the channels: setting these turns it off
where an earlier process had it on."""


@dataclass(frozen=True)
class DatapathInfo:
    """What the kernel says of one datapath."""

    name: str
    dp_ifindex: int
    user_features: int
    masks_cache_size: int
    stats: DpifStats


def _compose(cmd: int, dp_ifindex: int, name: str | None, features: int | None = None) -> bytes:
    b = Builder()
    b.genl_header(cmd, OVS_DATAPATH_VERSION)
    b.append_u32(dp_ifindex)
    if name is not None:
        b.string(OVS_DP_ATTR_NAME, name)
    if cmd == OVS_DP_CMD_NEW:
        # The local port sends nothing up before `recv_set` gives it the pid of its channel.
        b.u32(OVS_DP_ATTR_UPCALL_PID, 0)
    if features is not None:
        b.u32(OVS_DP_ATTR_USER_FEATURES, features)
    return b.getvalue()


def parse_datapath(payload: bytes) -> DatapathInfo:
    """An ovs_datapath message, from its `struct genlmsghdr` on. NlAttrError if it is malformed."""
    if len(payload) < OVS_ATTRS_OFFSET:
        raise NlAttrError(f"an ovs_datapath message of {len(payload)} bytes")
    attrs = parse(payload, OVS_ATTRS_OFFSET)
    stats = DpifStats()
    counters = attrs.get(OVS_DP_ATTR_STATS, b"")
    if len(counters) >= 32:
        stats.n_hit, stats.n_missed, stats.n_lost, stats.n_flows = (
            u64_at(counters, at) for at in (0, 8, 16, 24)
        )
    megaflow = attrs.get(OVS_DP_ATTR_MEGAFLOW_STATS, b"")
    if len(megaflow) >= 24:
        stats.n_mask_hit = u64_at(megaflow, 0)
        stats.n_masks = int(u32_at(megaflow, 8))
        stats.n_cache_hit = u64_at(megaflow, 16)

    def u32(attr: int) -> int:
        value = attrs.get(attr, b"")
        return int(u32_at(value, 0)) if len(value) == 4 else 0

    return DatapathInfo(
        name=text(attrs.get(OVS_DP_ATTR_NAME, b"")),
        dp_ifindex=int(u32_at(payload, OVS_HEADER_OFFSET)),
        user_features=u32(OVS_DP_ATTR_USER_FEATURES),
        masks_cache_size=u32(OVS_DP_ATTR_MASKS_CACHE_SIZE),
        stats=stats,
    )


def _transact(sock: NlSocket, family: int, flags: int, payload: bytes, request: str) -> DatapathInfo:
    reply = sock.transact(family, flags, payload, request, want_reply=True)
    try:
        return parse_datapath(reply)
    except NlAttrError as e:
        raise NlError(errno.EPROTO, request, str(e)) from e


def create(sock: NlSocket, family: int, name: str) -> DatapathInfo:
    """Make datapath `name`. NlError: EEXIST if there is one, or any device of that name."""
    payload = _compose(OVS_DP_CMD_NEW, 0, name, USER_FEATURES)
    return _transact(sock, family, NLM_F_CREATE | NLM_F_ECHO, payload, "create datapath")


def get(sock: NlSocket, family: int, name: str | None = None, dp_ifindex: int = 0) -> DatapathInfo:
    """The datapath called `name`, or numbered `dp_ifindex`. NlError: ENODEV if there is none."""
    return _transact(
        sock, family, NLM_F_ECHO, _compose(OVS_DP_CMD_GET, dp_ifindex, name), "get datapath"
    )


def set_features(sock: NlSocket, family: int, dp_ifindex: int, features: int) -> DatapathInfo:
    """Tell the kernel which features its user understands. NlError: EOPNOTSUPP for unknown ones."""
    payload = _compose(OVS_DP_CMD_SET, dp_ifindex, None, features)
    return _transact(sock, family, NLM_F_ECHO, payload, "set datapath features")


def set_masks_cache_size(sock: NlSocket, family: int, dp_ifindex: int, features: int, size: int) -> None:
    """Let the cache of masks have `size` entries: a power of two, or 0 for none. NlError. The kernel
    takes `features` anew with every setting, so they have to be those that it has."""
    b = Builder()
    b.append(_compose(OVS_DP_CMD_SET, dp_ifindex, None, features))
    b.u32(OVS_DP_ATTR_MASKS_CACHE_SIZE, size)
    _transact(sock, family, NLM_F_ECHO, b.getvalue(), "set size of the cache of masks")


def delete(sock: NlSocket, family: int, dp_ifindex: int) -> None:
    """Delete a datapath with its ports and flows. NlError: ENODEV."""
    sock.transact(family, 0, _compose(OVS_DP_CMD_DEL, dp_ifindex, None), "delete datapath")


def dump(sock: NlSocket, family: int) -> list[DatapathInfo]:
    """All datapaths of this network namespace."""
    messages = sock.dump_all(family, _compose(OVS_DP_CMD_GET, 0, None), "dump datapaths")
    try:
        return [parse_datapath(m.payload()) for m in messages]
    except NlAttrError as e:
        raise NlError(errno.EPROTO, "dump datapaths", str(e)) from e
