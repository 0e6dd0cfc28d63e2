"""Messages of family ovs_flow: flows put, deleted, read, listed, flushed.

Composing a put is part of every miss. Compiled by mypyc; works interpreted.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.dpif.actions import Actions
from vswitch.dpif.actions_nl import decode_actions, put_actions
from vswitch.dpif.key_mask import counting_labels
from vswitch.dpif.odp_key import KEY_CT_IF_SET, decode_key, decode_mask, encode_key, encode_mask
from vswitch.dpif.ops import DpifFlow, FlowStats
from vswitch.dpif.types import Fitness
from vswitch.flow.flow import Flow
from vswitch.flow.layout import VLAN_CFI
from vswitch.netlink.attrs import AttrIndex, Builder, NlAttrError, s64_at

OVS_FLOW_CMD_NEW: Final = 1
OVS_FLOW_CMD_DEL: Final = 2
OVS_FLOW_CMD_GET: Final = 3
OVS_FLOW_CMD_SET: Final = 4

OVS_FLOW_ATTR_KEY: Final = 1
OVS_FLOW_ATTR_ACTIONS: Final = 2
OVS_FLOW_ATTR_STATS: Final = 3
OVS_FLOW_ATTR_TCP_FLAGS: Final = 4
OVS_FLOW_ATTR_USED: Final = 5
OVS_FLOW_ATTR_CLEAR: Final = 6
OVS_FLOW_ATTR_MASK: Final = 7
OVS_FLOW_ATTR_PROBE: Final = 8
OVS_FLOW_ATTR_UFID: Final = 9
OVS_FLOW_ATTR_UFID_FLAGS: Final = 10

OVS_UFID_F_OMIT_ALL: Final = 7
"""OVS_UFID_F_OMIT_KEY | OMIT_MASK | OMIT_ACTIONS: reply with the statistics alone."""

OVS_VERSION: Final = 1
FLOW_ATTRS_OFFSET: Final = 8
"""`struct genlmsghdr` and `struct ovs_header` come before a message's attributes."""


def _begin(b: Builder, cmd: i64, dp_ifindex: i64) -> None:
    b.genl_header(cmd, OVS_VERSION)
    b.append_u32(dp_ifindex)


def compose_put(
    b: Builder,
    cmd: i64,
    dp_ifindex: i64,
    key: Flow,
    mask: Flow,
    actions: Actions,
    ufid: bytes,
    zero_stats: bool,
    probe: bool,
) -> None:
    """OVS_FLOW_CMD_NEW or SET, after `struct nlmsghdr`. NlAttrError if the actions are too long."""
    _begin(b, cmd, dp_ifindex)
    mask = counting_labels(mask, key)
    if ufid:
        b.raw(OVS_FLOW_ATTR_UFID, ufid)
    b.raw(OVS_FLOW_ATTR_KEY, encode_key(key, KEY_CT_IF_SET, mask))
    b.raw(OVS_FLOW_ATTR_MASK, encode_mask(mask, key, KEY_CT_IF_SET))
    nest = b.begin(OVS_FLOW_ATTR_ACTIONS)
    put_actions(b, actions)
    b.end(nest)
    if zero_stats:
        b.flag(OVS_FLOW_ATTR_CLEAR)
    if probe:
        b.flag(OVS_FLOW_ATTR_PROBE)


def compose_named(b: Builder, cmd: i64, dp_ifindex: i64, key: Flow, ufid: bytes, stats_only: bool) -> None:
    """OVS_FLOW_CMD_DEL or GET of one flow: by its `ufid`, or its `key` if that is empty."""
    _begin(b, cmd, dp_ifindex)
    if ufid:
        b.raw(OVS_FLOW_ATTR_UFID, ufid)
        if stats_only:
            b.u32(OVS_FLOW_ATTR_UFID_FLAGS, OVS_UFID_F_OMIT_ALL)
        return
    b.raw(OVS_FLOW_ATTR_KEY, encode_key(key, KEY_CT_IF_SET))


def compose_all(cmd: i64, dp_ifindex: i64, stats_only: bool = False) -> bytes:
    """OVS_FLOW_CMD_DEL of all flows, or GET of all in a dump; `stats_only`: of those that have a UFID, no
    more than that and the statistics."""
    b = Builder()
    _begin(b, cmd, dp_ifindex)
    if stats_only:
        b.u32(OVS_FLOW_ATTR_UFID_FLAGS, OVS_UFID_F_OMIT_ALL)
    return b.getvalue()


def _read_stats(attrs: AttrIndex, data: bytes, age: int) -> FlowStats:
    stats = FlowStats()
    if attrs.has(OVS_FLOW_ATTR_STATS) and attrs.lengths[OVS_FLOW_ATTR_STATS] >= 16:
        at = attrs.offsets[OVS_FLOW_ATTR_STATS]
        stats.n_packets = int(s64_at(data, at))
        stats.n_bytes = int(s64_at(data, at + 8))
    used = attrs.s64(data, OVS_FLOW_ATTR_USED, 0)
    if used:
        stats.used = max(int(used) + age, 1)
    stats.tcp_flags = int(attrs.u8(data, OVS_FLOW_ATTR_TCP_FLAGS, 0))
    return stats


def parse_stats(data: bytes, age: int) -> FlowStats:
    """The statistics in an ovs_flow message that starts at its `struct genlmsghdr`.

    `age` is what to add to the kernel's monotonic ms to get the switch's. NlAttrError.
    """
    attrs = AttrIndex(OVS_FLOW_ATTR_UFID_FLAGS)
    if not attrs.index(data, FLOW_ATTRS_OFFSET, len(data)):
        raise NlAttrError("malformed flow")
    return _read_stats(attrs, data, age)


def parse_flow(data: bytes, start: i64, end: i64, age: int) -> DpifFlow:
    """The flow in an ovs_flow message whose `struct genlmsghdr` is at `start`.

    A flow without a mask matches all of its key; of one without a key only UFID and statistics are known.
    NlAttrError if it is malformed or has a key
    that is none.
    """
    attrs = AttrIndex(OVS_FLOW_ATTR_UFID_FLAGS)
    if not attrs.index(data, start + FLOW_ATTRS_OFFSET, end):
        raise NlAttrError("malformed flow")
    key = Flow()
    if not attrs.has(OVS_FLOW_ATTR_KEY):
        if not attrs.has(OVS_FLOW_ATTR_UFID):
            raise NlAttrError("malformed flow")
        ufid = attrs.payload(data, OVS_FLOW_ATTR_UFID)
        return DpifFlow(key, Flow(), (), _read_stats(attrs, data, age), ufid)
    if decode_key(attrs.payload(data, OVS_FLOW_ATTR_KEY), key) is Fitness.ERROR:
        raise NlAttrError("flow with a malformed key")
    mask = Flow()
    if attrs.has(OVS_FLOW_ATTR_MASK):
        if decode_mask(attrs.payload(data, OVS_FLOW_ATTR_MASK), mask, key) is Fitness.ERROR:
            raise NlAttrError("flow with a malformed mask")
        if not key.vlan_tci & VLAN_CFI:
            # Of an untagged packet the kernel masks the type of the tag that isn't there.
            mask.vlan_tpid = 0
    actions = decode_actions(attrs.payload(data, OVS_FLOW_ATTR_ACTIONS))
    ufid = attrs.payload(data, OVS_FLOW_ATTR_UFID)
    return DpifFlow(key, mask, actions, _read_stats(attrs, data, age), ufid)
