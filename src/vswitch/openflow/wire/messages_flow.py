"""Encodings of `messages/flow.py` but for monitors. `messages_flow_mod.py` has those of `FlowMod`."""

from __future__ import annotations

from typing import Any, Final

from vswitch.flow.match import Match
from vswitch.openflow import constants as c
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import flow as f
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.instructions import get_instructions, put_instructions
from vswitch.openflow.wire.match import get_match, put_match
from vswitch.openflow.wire.match_shape import put_listed
from vswitch.openflow.wire.messages_base import Form, Row, Space, get_port, plain, put_port
from vswitch.openflow.wire.messages_flow_mod import FLAGS
from vswitch.openflow.wire.oxm import NXM, OFPMT_OXM, get_nxm, put_nxm, put_oxm_raw
from vswitch.openflow.wire.version import OFP10, OFP11, OFP13, OFP14, OFP15

# OpenFlow 1.5's statistics (7.2.5): TLVs of class 0x8002.

_OXS_BASIC: Final = 0x80020000
OXS_DURATION: Final = 0
OXS_IDLE_TIME: Final = 1
OXS_FLOW_COUNT: Final = 3
OXS_PACKET_COUNT: Final = 4
OXS_BYTE_COUNT: Final = 5
_OXS_SIZES: Final = {
    OXS_DURATION: 8,
    OXS_IDLE_TIME: 8,
    OXS_FLOW_COUNT: 4,
    OXS_PACKET_COUNT: 8,
    OXS_BYTE_COUNT: 8,
}


def put_stats(w: Writer, values: tuple[tuple[int, int], ...]) -> None:
    """An ofp_stats of (OXS field, value), padded to 8 bytes."""
    start = w.position()
    w.u32(0)
    for number, value in values:
        size = _OXS_SIZES[number]
        w.u32(_OXS_BASIC | number << 9 | size)
        w.uint(value, size)
    w.patch_u16(start + 2, w.position() - start)
    w.pad_to(8, start)


def get_stats(r: Reader) -> dict[int, int]:
    """And back; unknown fields are passed over. OfpError: OFPBMC_BAD_LEN."""
    r.skip(2)
    length = r.u16()
    padded = (length + 7) & ~7
    if length < 4 or padded - 4 > r.left:
        raise OfpError("OFPBMC_BAD_LEN", f"statistics of {length} bytes")
    body = r.sub(length - 4, "OFPBMC_BAD_LEN")
    r.skip(padded - length)
    found: dict[int, int] = {}
    while body.left:
        header = int(body.u32())
        size = header & 0xFF
        value = body.uint(size)
        number = header >> 9 & 0x7F
        if header & 0xFFFF0000 == _OXS_BASIC and number in _OXS_SIZES:
            if size != _OXS_SIZES[number]:
                raise OfpError("OFPBMC_BAD_LEN", f"statistics field {number} of {size} bytes")
            found[number] = value
    return found


def _times(found: dict[int, int]) -> dict[str, Any]:
    """What OpenFlow 1.5's statistics tell of a flow."""
    duration = found.get(OXS_DURATION, 0)
    return {
        "duration_sec": duration >> 32,
        "duration_nsec": duration & 0xFFFFFFFF,
        "packet_count": found.get(OXS_PACKET_COUNT, f.COUNT_UNKNOWN),
        "byte_count": found.get(OXS_BYTE_COUNT, f.COUNT_UNKNOWN),
    }


def _known(values: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    return tuple((n, v) for n, v in values if v != f.COUNT_UNKNOWN)


def _idle(m: f.FlowRemoved | f.FlowStats) -> int:
    age = m.idle_age if isinstance(m, f.FlowStats) else None
    return f.COUNT_UNKNOWN if age is None else age << 32


def _flow_oxs(m: f.FlowRemoved | f.FlowStats) -> tuple[tuple[int, int], ...]:
    return _known(
        (
            (OXS_DURATION, m.duration_sec << 32 | m.duration_nsec),
            (OXS_IDLE_TIME, _idle(m)),
            (OXS_PACKET_COUNT, m.packet_count),
            (OXS_BYTE_COUNT, m.byte_count),
        )
    )


# Flow removed.


def _put_removed(w: Writer, m: f.FlowRemoved, version: int) -> None:
    if version == OFP15:
        w.u8(m.table_id)
        w.u8(m.reason)
        w.u16(m.priority)
        w.u16(m.idle_timeout)
        w.u16(m.hard_timeout)
        w.u64(m.cookie)
        put_match(w, m.match, version)
        put_stats(w, _flow_oxs(m))
        return
    if version == OFP10:
        put_match(w, m.match, version)
    w.u64(m.cookie)
    w.u16(m.priority)
    w.u8(m.reason)
    w.u8(m.table_id if version > OFP10 else 0)
    w.u32(m.duration_sec)
    w.u32(m.duration_nsec)
    w.u16(m.idle_timeout)
    w.u16(m.hard_timeout if version > OFP10 else 0)
    w.u64(m.packet_count)
    w.u64(m.byte_count)
    if version > OFP10:
        put_match(w, m.match, version)


def _get_removed(r: Reader, version: int) -> f.FlowRemoved:
    found: dict[str, Any] = {}
    if version == OFP15:
        for name, size in (
            ("table_id", 1),
            ("reason", 1),
            ("priority", 2),
            ("idle_timeout", 2),
            ("hard_timeout", 2),
            ("cookie", 8),
        ):
            found[name] = r.uint(size)
        found["match"] = get_match(r, version)
        return f.FlowRemoved(**found, **_times(get_stats(r)))
    if version == OFP10:
        found["match"] = get_match(r, version)
    for name, size in _REMOVED:
        found[name] = r.uint(size)
    if version == OFP10:
        found["table_id"] = c.OFPTT_ALL
        found["hard_timeout"] = 0
    else:
        found["match"] = get_match(r, version)
    return f.FlowRemoved(**found)


_REMOVED: Final = (
    ("cookie", 8),
    ("priority", 2),
    ("reason", 1),
    ("table_id", 1),
    ("duration_sec", 4),
    ("duration_nsec", 4),
    ("idle_timeout", 2),
    ("hard_timeout", 2),
    ("packet_count", 8),
    ("byte_count", 8),
)


def _put_nx_removed(w: Writer, m: f.FlowRemoved, version: int) -> None:
    w.u64(m.cookie)
    w.u16(m.priority)
    w.u8(m.reason)
    w.u8(m.table_id + 1 if m.table_id < c.OFPTT_ALL else 0)
    w.u32(m.duration_sec)
    w.u32(m.duration_nsec)
    w.u16(m.idle_timeout)
    length_at = w.position()
    w.u16(0)
    w.u64(m.packet_count)
    w.u64(m.byte_count)
    w.patch_u16(length_at, put_nxm(w, m.match))


def _get_nx_removed(r: Reader, version: int) -> f.FlowRemoved:
    found = {name: r.uint(size) for name, size in _REMOVED}
    found["table_id"] = (found["table_id"] - 1) & 0xFF
    match_len = found.pop("hard_timeout")
    match, _, _ = get_nxm(r, match_len)
    return f.FlowRemoved(match=match, **found)


# Statistics.

_Request = f.FlowStatsRequest | f.AggregateStatsRequest


def _put_request(w: Writer, m: _Request, version: int) -> None:
    if version == OFP10:
        put_match(w, m.match, version)
        w.u8(m.table_id)
        w.pad(1)
        w.u16(m.out_port)
        return
    w.u8(m.table_id)
    w.pad(3)
    put_port(w, m.out_port, version)
    w.u32(m.out_group)
    w.pad(4)
    w.u64(m.cookie)
    w.u64(m.cookie_mask)
    put_match(w, m.match, version)


def _get_request(r: Reader, version: int) -> dict[str, Any]:
    if version == OFP10:
        match = get_match(r, version)
        table_id = int(r.u8())
        r.skip(1)
        return {"match": match, "table_id": table_id, "out_port": int(r.u16())}
    found: dict[str, Any] = {"table_id": int(r.u8())}
    r.skip(3)
    found["out_port"] = get_port(r, version)
    found["out_group"] = int(r.u32())
    r.skip(4)
    found["cookie"] = r.u64()
    found["cookie_mask"] = r.u64()
    found["match"] = get_match(r, version)
    r.rest()  # Open vSwitch passes over what comes behind the match
    return found


def _put_nx_request(w: Writer, m: _Request, version: int) -> None:
    w.u16(m.out_port)
    length_at = w.position()
    w.u16(0)
    w.u8(m.table_id)
    w.pad(3)
    w.patch_u16(length_at, put_nxm(w, m.match, m.cookie, m.cookie_mask))


def _get_nx_request(r: Reader, version: int) -> dict[str, Any]:
    found: dict[str, Any] = {"out_port": int(r.u16())}
    match_len = r.u16()
    found["table_id"] = int(r.u8())
    r.skip(3)
    found["match"], found["cookie"], found["cookie_mask"] = get_nxm(r, match_len)
    return found


def _put_flows(w: Writer, m: f.FlowStatsReply, version: int) -> None:
    for flow in m.flows:
        start = w.position()
        w.u16(0)
        if version == OFP15:
            _put_flow15(w, flow)
        else:
            w.u8(flow.table_id)
            w.pad(1)
            if version == OFP10:
                put_match(w, flow.match, version)
            w.u32(flow.duration_sec)
            w.u32(flow.duration_nsec)
            w.u16(flow.priority)
            w.u16(flow.idle_timeout)
            w.u16(flow.hard_timeout)
            w.u16(flow.flags & FLAGS[version] if version >= OFP13 else 0)
            w.u16(flow.importance if version >= OFP14 else 0)
            w.pad(2)
            w.u64(flow.cookie)
            w.u64(flow.packet_count)
            w.u64(flow.byte_count)
            if version == OFP11:
                _put_nxm_match(w, flow.match)
            elif version > OFP10:
                put_listed(w, flow.match, version)
        put_instructions(w, flow.actions, version, flow.match)
        w.patch_u16(start, w.position() - start)


def _put_nxm_match(w: Writer, match: Match) -> None:
    """A match of 1.1 that can say everything: Open vSwitch lists flows so."""
    start = w.position()
    w.u16(OFPMT_OXM)
    w.u16(0)
    put_oxm_raw(w, match, OFP11)
    w.patch_u16(start + 2, w.position() - start)
    w.pad_to(8, start)


def _put_flow15(w: Writer, flow: f.FlowStats) -> None:
    w.pad(2)
    w.u8(flow.table_id)
    w.pad(1)
    w.u16(flow.priority)
    w.u16(flow.idle_timeout)
    w.u16(flow.hard_timeout)
    w.u16(flow.flags & FLAGS[OFP15])
    w.u16(flow.importance)
    w.u64(flow.cookie)
    put_listed(w, flow.match, OFP15)
    put_stats(w, _flow_oxs(flow))


def _get_flows(r: Reader, version: int) -> f.FlowStatsReply:
    found = []
    while r.left:
        length = r.u16()
        if length < 4:
            raise OfpError("OFPBRC_BAD_LEN", f"flow of {length} bytes")
        found.append(_get_flow(r.sub(length - 2), version))
    return f.FlowStatsReply(tuple(found))


_FLOW15: Final = (
    ("priority", 2),
    ("idle_timeout", 2),
    ("hard_timeout", 2),
    ("flags", 2),
    ("importance", 2),
    ("cookie", 8),
)
_FLOW: Final = (
    ("duration_sec", 4),
    ("duration_nsec", 4),
    ("priority", 2),
    ("idle_timeout", 2),
    ("hard_timeout", 2),
    ("flags", 2),
    ("importance", 2),
    ("", 2),
    ("cookie", 8),
    ("packet_count", 8),
    ("byte_count", 8),
)


def _get_flow(r: Reader, version: int) -> f.FlowStats:
    found: dict[str, Any] = {}
    if version == OFP15:
        r.skip(2)
    found["table_id"] = int(r.u8())
    r.skip(1)
    if version == OFP15:
        for name, size in _FLOW15:
            found[name] = r.uint(size)
        found["match"] = get_match(r, version)
        stats = get_stats(r)
        found.update(_times(stats))
        if OXS_IDLE_TIME in stats:
            found["idle_age"] = stats[OXS_IDLE_TIME] >> 32
    else:
        if version == OFP10:
            found["match"] = get_match(r, version)
        for name, size in _FLOW:
            found[name] = r.uint(size)
        del found[""]
        if version < OFP13:
            found["flags"] = 0
        if version < OFP14:
            found["importance"] = 0
        if version > OFP10:
            found["match"] = get_match(r, version)
    found["flags"] &= FLAGS[version]
    return f.FlowStats(actions=get_instructions(r, r.left, version), **found)


def _put_nx_flows(w: Writer, m: f.FlowStatsReply, version: int) -> None:
    for flow in m.flows:
        start = w.position()
        w.u16(0)
        w.u8(flow.table_id)
        w.pad(1)
        w.u32(flow.duration_sec)
        w.u32(flow.duration_nsec)
        w.u16(flow.priority)
        w.u16(flow.idle_timeout)
        w.u16(flow.hard_timeout)
        w.u16(0)
        w.u16(0 if flow.idle_age is None else min(flow.idle_age + 1, 0xFFFF))
        w.u16(0 if flow.hard_age is None else min(flow.hard_age + 1, 0xFFFF))
        w.u64(flow.cookie)
        w.u64(flow.packet_count)
        w.u64(flow.byte_count)
        w.patch_u16(start + 18, put_listed(w, flow.match, NXM))
        put_instructions(w, flow.actions, version, flow.match)
        w.patch_u16(start, w.position() - start)


def _get_nx_flows(r: Reader, version: int) -> f.FlowStatsReply:
    found = []
    while r.left:
        length = r.u16()
        if length < 48:
            raise OfpError("OFPBRC_BAD_LEN", f"flow of {length} bytes")
        body = r.sub(length - 2)
        table_id = int(body.u8())
        body.skip(1)
        head = {name: body.uint(size) for name, size in _NX_FLOW}
        match_len = head.pop("match_len")
        ages = {name: (head.pop(name) or 0) - 1 for name in ("idle_age", "hard_age")}
        match, _, _ = get_nxm(body, match_len)
        actions = get_instructions(body, body.left, version)
        idle, hard = (None if age < 0 else age for age in ages.values())
        found.append(f.FlowStats(match, actions, table_id=table_id, idle_age=idle, hard_age=hard, **head))
    return f.FlowStatsReply(tuple(found))


_NX_FLOW: Final = (
    ("duration_sec", 4),
    ("duration_nsec", 4),
    ("priority", 2),
    ("idle_timeout", 2),
    ("hard_timeout", 2),
    ("match_len", 2),
    ("idle_age", 2),
    ("hard_age", 2),
    ("cookie", 8),
    ("packet_count", 8),
    ("byte_count", 8),
)


def _put_sum15(w: Writer, m: f.AggregateStatsReply, version: int) -> None:
    values = (
        (OXS_PACKET_COUNT, m.packet_count),
        (OXS_BYTE_COUNT, m.byte_count),
        (OXS_FLOW_COUNT, m.flow_count),
    )
    put_stats(w, _known(values))


def _get_sum15(r: Reader, version: int) -> f.AggregateStatsReply:
    found = get_stats(r)
    return f.AggregateStatsReply(
        found.get(OXS_PACKET_COUNT, f.COUNT_UNKNOWN),
        found.get(OXS_BYTE_COUNT, f.COUNT_UNKNOWN),
        found.get(OXS_FLOW_COUNT, 0),
    )


_SUM: Final = "packet_count:u64 byte_count:u64 flow_count:u32 pad4"
_T: Final = Space.OFPT
_Q: Final = Space.OFPST_REQUEST
_A: Final = Space.OFPST_REPLY
_X: Final = Form.EXTENSION

ROWS: Final[tuple[Row, ...]] = (
    Row(_T, OFP10, OFP15, 11, f.FlowRemoved, _get_removed, _put_removed),
    Row(Space.NXT, OFP10, OFP15, 14, f.FlowRemoved, _get_nx_removed, _put_nx_removed, _X),
    Row(
        _Q,
        OFP10,
        OFP15,
        1,
        f.FlowStatsRequest,
        lambda r, v: f.FlowStatsRequest(**_get_request(r, v)),
        _put_request,
    ),
    Row(
        Space.NXST_REQUEST,
        OFP10,
        OFP10,
        0,
        f.FlowStatsRequest,
        lambda r, v: f.FlowStatsRequest(**_get_nx_request(r, v)),
        _put_nx_request,
        _X,
    ),
    Row(_A, OFP10, OFP15, 1, f.FlowStatsReply, _get_flows, _put_flows),
    Row(Space.NXST_REPLY, OFP10, OFP10, 0, f.FlowStatsReply, _get_nx_flows, _put_nx_flows, _X),
    Row(
        _Q,
        OFP10,
        OFP15,
        2,
        f.AggregateStatsRequest,
        lambda r, v: f.AggregateStatsRequest(**_get_request(r, v)),
        _put_request,
    ),
    Row(
        Space.NXST_REQUEST,
        OFP10,
        OFP10,
        1,
        f.AggregateStatsRequest,
        lambda r, v: f.AggregateStatsRequest(**_get_nx_request(r, v)),
        _put_nx_request,
        _X,
    ),
    plain(_A, OFP10, OFP14, 2, f.AggregateStatsReply, _SUM),
    Row(_A, OFP15, OFP15, 2, f.AggregateStatsReply, _get_sum15, _put_sum15),
    plain(Space.NXST_REPLY, OFP10, OFP10, 1, f.AggregateStatsReply, _SUM, _X),
)
