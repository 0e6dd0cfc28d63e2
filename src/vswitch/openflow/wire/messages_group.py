"""Encodings of `messages/group.py`: 1.1 to 1.4, and 1.5's, which Nicira's extension has in 1.0 too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from vswitch.flow.field import Field
from vswitch.openflow.constants import OFPG_ANY, OFPP_ANY
from vswitch.openflow.errors import OfpError
from vswitch.openflow.group_check import check_group, check_selection
from vswitch.openflow.messages import group as g
from vswitch.openflow.wire.actions import get_actions, put_actions
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.messages_base import (
    OFPPROP_EXPERIMENTER,
    Form,
    Layout,
    NotInVersion,
    Row,
    Space,
    begin_property,
    end_property,
    get_port,
    get_properties,
    get_text,
    plain,
    put_port,
    put_text,
    put_u32_property,
    void,
)
from vswitch.openflow.wire.oxm import NXM, OxmTlv, get_oxm_tlv, put_oxm_field
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP13, OFP14, OFP15

NTR_VENDOR_ID: Final = 0x0000154D
NTR_COMPAT_VENDOR_ID: Final = 0x00001540
"""What Open vSwitch before 2.4.1 wrote in its place, and later ones take."""
NTRT_SELECTION_METHOD: Final = 1
OFPGBPT_WEIGHT: Final = 0
OFPGBPT_WATCH_PORT: Final = 1
OFPGBPT_WATCH_GROUP: Final = 2


def _is15(version: int) -> bool:
    return version in (OFP10, OFP15)


def _put_bucket11(w: Writer, bucket: g.Bucket, version: int) -> None:
    start = w.position()
    w.u16(0)
    w.u16(bucket.weight)
    put_port(w, bucket.watch_port, OFP11)
    w.u32(bucket.watch_group)
    w.pad(4)
    put_actions(w, bucket.actions, version)
    w.patch_u16(start, w.position() - start)


def _get_watch_port(r: Reader) -> int:
    """OfpError OFPGMFC_BAD_WATCH: no port has such a number."""
    try:
        return get_port(r, OFP11)
    except OfpError as error:
        raise OfpError("OFPGMFC_BAD_WATCH", error.detail) from None


def _get_bucket11(r: Reader, version: int) -> g.Bucket:
    r.error = "OFPGMFC_BAD_BUCKET"
    length = r.u16()
    if length < 16 or length - 2 > r.left:
        raise OfpError("OFPGMFC_BAD_BUCKET", f"bucket of {length} bytes")
    body = r.sub(length - 2)
    weight = int(body.u16())
    watch_port = _get_watch_port(body)
    watch_group = int(body.u32())
    body.skip(4)
    return g.Bucket(get_actions(body, body.left, version), weight, watch_port, watch_group)


def _put_bucket15(w: Writer, bucket: g.Bucket, group_type: int, version: int) -> None:
    start = w.position()
    w.u16(0)
    w.u16(0)
    w.u32(bucket.bucket_id)
    put_actions(w, bucket.actions, version)
    w.patch_u16(start + 2, w.position() - start - 8)
    if bucket.weight or group_type == g.OFPGT_SELECT:
        w.u16(OFPGBPT_WEIGHT)
        w.u16(8)
        w.u16(bucket.weight)
        w.pad(2)
    if bucket.watch_port != OFPP_ANY:
        w.u16(OFPGBPT_WATCH_PORT)
        w.u16(8)
        put_port(w, bucket.watch_port, OFP15)
    if bucket.watch_group != OFPG_ANY:
        put_u32_property(w, OFPGBPT_WATCH_GROUP, bucket.watch_group)
    w.patch_u16(start, w.position() - start)


def _get_bucket15(r: Reader, group_type: int, version: int) -> g.Bucket:
    r.error = "OFPGMFC_BAD_BUCKET"
    length = r.u16()
    if length < 8 or length % 8 or length - 2 > r.left:
        raise OfpError("OFPGMFC_BAD_BUCKET", f"bucket of {length} bytes")
    body = r.sub(length - 2)
    actions_len = int(body.u16())
    bucket_id = int(body.u32())
    if actions_len > body.left:
        raise OfpError("OFPGMFC_BAD_BUCKET", f"{actions_len} bytes of actions in a bucket of {length} bytes")
    actions = get_actions(body, actions_len, version)
    found: dict[str, Any] = {"weight": 1 if group_type == g.OFPGT_SELECT else 0}
    for kind, value in get_properties(body):
        if kind == OFPGBPT_WEIGHT:
            found["weight"] = int(value.u16())
        elif kind == OFPGBPT_WATCH_PORT:
            found["watch_port"] = _get_watch_port(value)
        elif kind == OFPGBPT_WATCH_GROUP:
            found["watch_group"] = int(value.u32())
        else:
            raise OfpError("OFPBPC_BAD_TYPE", f"bucket property {kind}")
    return g.Bucket(actions, bucket_id=bucket_id, **found)


def _put_buckets(w: Writer, buckets: tuple[g.Bucket, ...], group_type: int, version: int) -> None:
    for bucket in buckets:
        if _is15(version):
            _put_bucket15(w, bucket, group_type, version)
        else:
            _put_bucket11(w, bucket, version)


def _get_buckets(r: Reader, group_type: int, version: int) -> tuple[g.Bucket, ...]:
    found: list[g.Bucket] = []
    ids: set[int] = set()
    while r.left:
        if not _is15(version):
            found.append(replace(_get_bucket11(r, version), bucket_id=len(found)))
            continue
        bucket = _get_bucket15(r, group_type, version)
        if bucket.bucket_id > g.OFPG_BUCKET_MAX:
            raise OfpError("OFPGMFC_BAD_BUCKET", f"bucket {bucket.bucket_id:#x}")
        ids.add(bucket.bucket_id)
        found.append(bucket)
    if ids and len(ids) < len(found):
        raise OfpError("OFPGMFC_BAD_BUCKET", "a bucket number twice")
    return tuple(found)


def _put_selection(w: Writer, selection: g.SelectionMethod | None, version: int) -> None:
    if selection is None:
        return
    start = begin_property(w, OFPPROP_EXPERIMENTER)
    w.u32(NTR_VENDOR_ID)
    w.u32(NTRT_SELECTION_METHOD)
    w.pad(4)
    put_text(w, selection.method, 16)
    w.u64(selection.param)
    for field, mask in selection.fields:
        # All of a field is all of its bytes.
        sent = (1 << 8 * field.n_bytes) - 1 if mask == _all_of(field) and field.option < 0 else mask
        put_oxm_field(w, field, sent, None, NXM if version == OFP10 else version)
    end_property(w, start)


def _all_of(field: Field) -> int:
    """The mask of a whole field, as messages have it."""
    return (1 << int(field.n_bits)) - 1


def _get_group_properties(r: Reader, strict: bool) -> g.SelectionMethod | None:
    selection = None
    for kind, body in get_properties(r):
        if (
            kind != OFPPROP_EXPERIMENTER
            or body.u32() not in (NTR_VENDOR_ID, NTR_COMPAT_VENDOR_ID)
            or body.u32() != NTRT_SELECTION_METHOD
        ):
            if strict:
                raise OfpError("OFPBPC_BAD_TYPE", f"group property {kind}")
            continue
        body.skip(4)
        method = get_text(body, 16)
        param = body.u64()
        fields: list[tuple[Field, int]] = []
        tlv = OxmTlv()
        while body.left:
            get_oxm_tlv(body, tlv)
            if tlv.field is None:
                raise OfpError("OFPBMC_BAD_FIELD")
            if not tlv.exact:
                raise OfpError("OFPBMC_BAD_MASK", "a group's field has its mask as its value")
            whole = tlv.value == (1 << 8 * int(tlv.size)) - 1
            if not whole and not tlv.field.maskable:
                raise OfpError("OFPBMC_BAD_MASK", f"part of {tlv.field.name}")
            fields.append((tlv.field, _all_of(tlv.field) if whole and tlv.field.option < 0 else tlv.value))
        selection = g.SelectionMethod(method, param, tuple(fields))
    return selection


_COMMANDS: Final = (g.OFPGC_ADD, g.OFPGC_MODIFY, g.OFPGC_DELETE, g.OFPGC_ADD_OR_MOD)
_COMMANDS15: Final = (*_COMMANDS, g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET)


def _put_mod(w: Writer, m: g.GroupMod, version: int) -> None:
    if m.command not in (_COMMANDS15 if _is15(version) else _COMMANDS):
        raise NotInVersion("groups of this version have no commands for buckets")
    w.u16(m.command)
    w.u8(m.type)
    w.pad(1)
    w.u32(m.group_id)
    if not _is15(version):
        _put_buckets(w, m.buckets, m.type, version)
        return
    length_at = w.position()
    w.u32(0)
    w.u32(m.command_bucket_id)
    start = w.position()
    _put_buckets(w, m.buckets, m.type, version)
    w.patch_u16(length_at, w.position() - start)
    _put_selection(w, m.selection, version)


def _get_mod(r: Reader, version: int) -> g.GroupMod:
    command = int(r.u16())
    group_type = int(r.u8())
    r.skip(1)
    group_id = int(r.u32())
    selection = None
    command_bucket_id = g.OFPG_BUCKET_ALL
    if not _is15(version):
        buckets = _get_buckets(r, group_type, version)
    else:
        length = r.u16()
        r.skip(2)
        command_bucket_id = int(r.u32())
        if length > r.left:
            raise OfpError("OFPBRC_BAD_LEN", f"{length} bytes of buckets")
        _check_place(command, command_bucket_id)
        buckets = _get_buckets(r.sub(length), group_type, version)
        selection = _get_group_properties(r, strict=True)
        check_selection(group_type, selection, command)
    if group_type > g.OFPGT_FF:
        raise OfpError("OFPGMFC_BAD_TYPE", f"group type {group_type}")
    if command not in (_COMMANDS15 if _is15(version) else _COMMANDS):
        if group_type == g.OFPGT_INDIRECT and len(buckets) != 1:
            raise OfpError("OFPGMFC_INVALID_GROUP", "an indirect group has one bucket")
        raise OfpError("OFPGMFC_BAD_COMMAND", f"group command {command}")
    check_group(group_type, buckets, command)
    if command == g.OFPGC_DELETE and buckets and OFP13 <= version <= OFP14:
        raise OfpError("OFPGMFC_INVALID_GROUP", "buckets to delete")
    if command == g.OFPGC_REMOVE_BUCKET and buckets:
        raise OfpError("OFPGMFC_BAD_BUCKET", "buckets to remove")
    return g.GroupMod(command, group_type, group_id, buckets, command_bucket_id, selection)


def _check_place(command: int, bucket_id: int) -> None:
    """Whether the command has the bucket that it is about (OpenFlow 1.5, 7.3.4.3)."""
    if command in (g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET):
        if bucket_id == g.OFPG_BUCKET_ALL and command == g.OFPGC_INSERT_BUCKET:
            raise OfpError("OFPGMFC_BAD_BUCKET", "insert at all buckets")
        if g.OFPG_BUCKET_MAX < bucket_id < g.OFPG_BUCKET_FIRST:
            raise OfpError("OFPGMFC_BAD_BUCKET", f"bucket {bucket_id:#x}")
    elif bucket_id != g.OFPG_BUCKET_ALL:
        raise OfpError("OFPGMFC_BAD_BUCKET", "a command bucket for a command about the group")


_STATS: Final = "group_id:u32 ref_count:u32 pad4 packet_count:u64 byte_count:u64"
_STATS11: Final = Layout(f"pad2 {_STATS}")
_STATS13: Final = Layout(f"pad2 {_STATS} duration_sec:u32 duration_nsec:u32")


def _timed_stats(stats: g.GroupStats) -> g.GroupStats:
    """Statistics whose duration is told."""
    return stats if stats.duration_sec is not None else replace(stats, duration_sec=0)


def _timed(version: int) -> bool:
    return version == OFP10 or version >= OFP13


def _put_stats(w: Writer, m: g.GroupStatsReply, version: int) -> None:
    for group in m.groups:
        start = w.position()
        w.u16(0)
        if _timed(version):
            _STATS13.put(w, _timed_stats(group))
        else:
            _STATS11.put(w, group)
        for packets, octets in group.buckets:
            w.u64(packets)
            w.u64(octets)
        w.patch_u16(start, w.position() - start)


def _get_stats(r: Reader, version: int) -> g.GroupStatsReply:
    layout = _STATS13 if _timed(version) else _STATS11
    found = []
    while r.left:
        length = r.u16()
        if length < layout.size + 2:
            raise OfpError("OFPBRC_BAD_LEN", f"group statistics of {length} bytes")
        body = r.sub(length - 2)
        head = layout.get(body)
        buckets = []
        while body.left:
            buckets.append((body.u64(), body.u64()))
        found.append(g.GroupStats(buckets=tuple(buckets), **head))
    return g.GroupStatsReply(tuple(found))


def _put_descs(w: Writer, m: g.GroupDescReply, version: int) -> None:
    for group in m.groups:
        start = w.position()
        w.u16(0)
        w.u8(group.type)
        w.pad(1)
        w.u32(group.group_id)
        if _is15(version):
            w.pad(8)
        at = w.position()
        _put_buckets(w, group.buckets, group.type, version)
        if _is15(version):
            w.patch_u16(start + 8, w.position() - at)
            _put_selection(w, group.selection, version)
        w.patch_u16(start, w.position() - start)


def _get_descs(r: Reader, version: int) -> g.GroupDescReply:
    head = 16 if _is15(version) else 8
    found = []
    while r.left:
        length = r.u16()
        if length < head:
            raise OfpError("OFPBRC_BAD_LEN", f"group description of {length} bytes")
        body = r.sub(length - 2)
        group_type = int(body.u8())
        body.skip(1)
        group_id = int(body.u32())
        if _is15(version):
            buckets_len = body.u16()
            body.skip(6)
            buckets = _get_buckets(body.sub(buckets_len), group_type, version)
            found.append(
                g.GroupDesc(group_id, group_type, buckets, _get_group_properties(body, strict=False))
            )
        else:
            found.append(g.GroupDesc(group_id, group_type, _get_buckets(body, group_type, version)))
    return g.GroupDescReply(tuple(found))


def _put_features(w: Writer, m: g.GroupFeaturesReply, version: int) -> None:
    for number in (m.types, m.capabilities, *m.max_groups, *m.actions):
        w.u32(number)


def _get_features(r: Reader, version: int) -> g.GroupFeaturesReply:
    types, capabilities = int(r.u32()), int(r.u32())
    numbers = [int(r.u32()) for _ in range(8)]
    return g.GroupFeaturesReply(
        types,
        capabilities,
        (numbers[0], numbers[1], numbers[2], numbers[3]),
        (numbers[4], numbers[5], numbers[6], numbers[7]),
    )


_Q: Final = Space.OFPST_REQUEST
_A: Final = Space.OFPST_REPLY
_NXQ: Final = Space.NXST_REQUEST
_NXA: Final = Space.NXST_REPLY
_X: Final = Form.EXTENSION
_ONE: Final = "group_id:u32 pad4"

ROWS: Final[tuple[Row, ...]] = (
    Row(Space.OFPT, OFP11, OFP15, 15, g.GroupMod, _get_mod, _put_mod),
    Row(Space.NXT, OFP10, OFP10, 31, g.GroupMod, _get_mod, _put_mod, _X),
    plain(_Q, OFP11, OFP15, 6, g.GroupStatsRequest, _ONE),
    plain(_NXQ, OFP10, OFP10, 7, g.GroupStatsRequest, _ONE, _X),
    Row(_A, OFP11, OFP15, 6, g.GroupStatsReply, _get_stats, _put_stats),
    Row(_NXA, OFP10, OFP10, 7, g.GroupStatsReply, _get_stats, _put_stats, _X),
    Row(_Q, OFP11, OFP14, 7, g.GroupDescRequest, lambda r, v: g.GroupDescRequest(), lambda w, m, v: None),
    plain(_Q, OFP15, OFP15, 7, g.GroupDescRequest, _ONE),
    plain(_NXQ, OFP10, OFP10, 8, g.GroupDescRequest, _ONE, _X),
    Row(_A, OFP11, OFP15, 7, g.GroupDescReply, _get_descs, _put_descs),
    Row(_NXA, OFP10, OFP10, 8, g.GroupDescReply, _get_descs, _put_descs, _X),
    void(_Q, OFP12, OFP15, 8, g.GroupFeaturesRequest),
    void(_NXQ, OFP10, OFP11, 9, g.GroupFeaturesRequest, _X),
    Row(_A, OFP12, OFP15, 8, g.GroupFeaturesReply, _get_features, _put_features),
    Row(_NXA, OFP10, OFP11, 9, g.GroupFeaturesReply, _get_features, _put_features, _X),
)
