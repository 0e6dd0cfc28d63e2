"""Encodings of `messages/packet.py`."""

from __future__ import annotations

from typing import Any, Final

from vswitch.flow.fields import by_name
from vswitch.flow.match import Match
from vswitch.openflow import constants as c
from vswitch.openflow.action_check import check_port
from vswitch.openflow.actions import Output
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import packet as p
from vswitch.openflow.wire.actions import get_actions, put_actions
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.match import get_match, put_match
from vswitch.openflow.wire.messages_base import (
    Form,
    Row,
    Space,
    begin_property,
    done,
    end_property,
    get_port,
    get_properties,
    port_to_32,
    put_port,
    put_u32_property,
)
from vswitch.openflow.wire.oxm import get_nxm, get_oxm_match, get_oxm_raw, put_nxm, put_oxm_raw
from vswitch.openflow.wire.version import OFP10, OFP11, OFP13, OFP14, OFP15

NO_BUFFER: Final = 0xFFFFFFFF
NO_COOKIE: Final = 0xFFFFFFFFFFFFFFFF
IN_PORT: Final = by_name("in_port")


def _buffer(number: int) -> int | None:
    return None if number == NO_BUFFER else number


def _in_port(port: int) -> Match:
    match = Match()
    match.set(IN_PORT, port)
    return match


def wire_reason(reason: int, version: int) -> int:
    """The reason as `version` can tell it: 1.4 told apart what were one reason before."""
    if reason in (c.OFPR_ACTION_SET, c.OFPR_GROUP, c.OFPR_PACKET_OUT):
        return reason if version >= OFP14 else c.OFPR_ACTION
    if reason == c.OFPR_EXPLICIT_MISS:
        return c.OFPR_ACTION if version < OFP13 else c.OFPR_NO_MATCH
    return c.OFPR_NO_MATCH if reason == c.OFPR_IMPLICIT_MISS else reason


def _put_in(w: Writer, m: p.PacketIn, version: int) -> None:
    w.u32(NO_BUFFER if m.buffer_id is None else m.buffer_id)
    in_port = m.metadata.flow.get(IN_PORT)
    reason = wire_reason(m.reason, version)
    if version == OFP10:
        w.u16(m.total_len)
        w.u16(in_port)
        w.u8(reason)
        w.pad(1)
    elif version == OFP11:
        w.u32(port_to_32(in_port))
        w.u32(port_to_32(in_port))
        w.u16(m.total_len)
        w.u8(reason)
        w.u8(m.table_id)
    else:
        w.u16(m.total_len)
        w.u8(reason)
        w.u8(m.table_id)
        if version >= OFP13:
            w.u64(NO_COOKIE if m.cookie is None else m.cookie)
        put_match(w, m.metadata, version)
        w.pad(2)
    w.raw(m.packet)


def _get_in(r: Reader, version: int) -> p.PacketIn:
    buffer_id = _buffer(int(r.u32()))
    table_id = 0
    cookie = NO_COOKIE
    if version == OFP10:
        total_len = int(r.u16())
        metadata = _in_port(int(r.u16()))
        reason = int(r.u8())
        r.skip(1)
    elif version == OFP11:
        metadata = _in_port(get_port(r, version))
        r.skip(4)
        total_len, reason, table_id = int(r.u16()), int(r.u8()), int(r.u8())
    else:
        total_len, reason, table_id = int(r.u16()), int(r.u8()), int(r.u8())
        if version >= OFP13:
            cookie = r.u64()
        metadata = get_match(r, version, False)
        r.skip(2)
    return p.PacketIn(
        r.rest(), total_len, reason, metadata, table_id, None if cookie == NO_COOKIE else cookie, buffer_id
    )


def _put_nx_in(w: Writer, m: p.PacketIn, version: int) -> None:
    w.u32(NO_BUFFER if m.buffer_id is None else m.buffer_id)
    w.u16(m.total_len)
    w.u8(wire_reason(m.reason, version))
    w.u8(m.table_id)
    w.u64(NO_COOKIE if m.cookie is None else m.cookie)
    length_at = w.position()
    w.pad(8)
    w.patch_u16(length_at, put_nxm(w, m.metadata))
    w.pad(2)
    w.raw(m.packet)


def _get_nx_in(r: Reader, version: int) -> p.PacketIn:
    buffer_id = _buffer(int(r.u32()))
    total_len, reason, table_id = int(r.u16()), int(r.u8()), int(r.u8())
    cookie = r.u64()
    match_len = r.u16()
    r.skip(6)
    metadata, _, _ = get_nxm(r, match_len, False)
    r.skip(2)
    return p.PacketIn(
        r.rest(), total_len, reason, metadata, table_id, None if cookie == NO_COOKIE else cookie, buffer_id
    )


# Properties of NXT_PACKET_IN2 and NXT_RESUME.
NXPINT_PACKET: Final = 0
NXPINT_FULL_LEN: Final = 1
NXPINT_BUFFER_ID: Final = 2
NXPINT_TABLE_ID: Final = 3
NXPINT_COOKIE: Final = 4
NXPINT_REASON: Final = 5
NXPINT_METADATA: Final = 6
NXPINT_USERDATA: Final = 7
NXPINT_CONTINUATION: Final = 8


def _put_bytes(w: Writer, kind: int, data: bytes) -> None:
    start = begin_property(w, kind)
    w.raw(data)
    end_property(w, start)


def _put_in2(w: Writer, m: p.PacketIn, version: int) -> None:
    _put_bytes(w, NXPINT_PACKET, m.packet)
    if m.total_len != len(m.packet):
        put_u32_property(w, NXPINT_FULL_LEN, m.total_len)
    if m.buffer_id is not None:
        put_u32_property(w, NXPINT_BUFFER_ID, m.buffer_id)
    _put_bytes(w, NXPINT_TABLE_ID, bytes((m.table_id,)))
    if m.cookie is not None:
        _put_bytes(w, NXPINT_COOKIE, bytes(4) + m.cookie.to_bytes(8, "big"))
    _put_bytes(w, NXPINT_REASON, bytes((wire_reason(m.reason, version),)))
    start = begin_property(w, NXPINT_METADATA)
    put_oxm_raw(w, m.metadata, version)
    end_property(w, start)
    if m.userdata:
        _put_bytes(w, NXPINT_USERDATA, m.userdata)
    if m.continuation:
        _put_bytes(w, NXPINT_CONTINUATION, m.continuation)


def _get_in2(r: Reader, version: int) -> p.PacketIn:
    found: dict[str, Any] = {}
    for kind, body in get_properties(r):
        if kind == NXPINT_PACKET:
            found["packet"] = body.rest()
        elif kind == NXPINT_FULL_LEN:
            found["total_len"] = int(body.u32())
        elif kind == NXPINT_BUFFER_ID:
            found["buffer_id"] = _buffer(int(body.u32()))
        elif kind == NXPINT_TABLE_ID:
            found["table_id"] = int(body.u8())
        elif kind == NXPINT_COOKIE:
            body.skip(4)
            found["cookie"] = body.u64()
        elif kind == NXPINT_REASON:
            found["reason"] = int(body.u8())
        elif kind == NXPINT_METADATA:
            found["metadata"] = get_oxm_raw(body, False)
        elif kind == NXPINT_USERDATA:
            found["userdata"] = body.rest()
        elif kind == NXPINT_CONTINUATION:
            found["continuation"] = body.rest()
        else:
            raise OfpError("OFPBPC_BAD_TYPE", f"packet-in property {kind}")
        done(body)
    packet = found.get("packet")
    if not packet:
        raise OfpError("OFPBRC_BAD_LEN", "NXT_PACKET_IN2 lacks packet")
    if found.setdefault("total_len", len(packet)) < len(packet):
        raise OfpError("OFPBRC_BAD_LEN", "NXT_PACKET_IN2 claims to be longer than the packet")
    return p.PacketIn(**found)


def _put_out(w: Writer, m: p.PacketOut, version: int) -> None:
    w.u32(NO_BUFFER if m.buffer_id is None else m.buffer_id)
    if version < OFP15:
        put_port(w, m.metadata.flow.get(IN_PORT), version)
    length_at = w.position()
    w.u16(0)
    if version == OFP15:
        w.pad(2)
        put_match(w, m.metadata, version)
    elif version > OFP10:
        w.pad(6)
    start = w.position()
    put_actions(w, m.actions, version)
    w.patch_u16(length_at, w.position() - start)
    w.raw(m.packet)


def _get_out(r: Reader, version: int) -> p.PacketOut:
    buffer_id = _buffer(int(r.u32()))
    if version == OFP15:
        actions_len = int(r.u16())
        r.skip(2)
        start = r.pos
        if r.left < 4 or r.u32() & 0xFFFF < 4:
            # Whatever its type.
            raise OfpError("OFPBMC_BAD_LEN", "match of a packet-out")
        r.pos = start
        metadata = get_oxm_match(r, False)
        if not metadata.mask.get(IN_PORT):
            raise OfpError("OFPBRC_BAD_PORT", "packet-out without in_port")
    else:
        metadata = _in_port(get_port(r, version))
        actions_len = int(r.u16())
        if version > OFP10:
            r.skip(6)
    actions = get_actions(r, actions_len, version)
    port = metadata.flow.get(IN_PORT)
    if port >= c.OFPP_MAX and port not in (c.OFPP_LOCAL, c.OFPP_NONE, c.OFPP_CONTROLLER):
        for action in actions:
            if isinstance(action, Output):  # An error of the actions comes first.
                check_port(action.port, action, c.OFPP_MAX)
        raise OfpError("OFPBRC_BAD_PORT", f"packet-out with in_port {port}")
    data = r.rest()
    return p.PacketOut(data if buffer_id is None else b"", actions, metadata, buffer_id)


_T: Final = Space.OFPT

ROWS: Final[tuple[Row, ...]] = (
    Row(_T, OFP10, OFP15, 10, p.PacketIn, _get_in, _put_in),
    Row(Space.NXT, OFP10, OFP15, 17, p.PacketIn, _get_nx_in, _put_nx_in, Form.EXTENSION),
    Row(Space.NXT, OFP10, OFP15, 30, p.PacketIn, _get_in2, _put_in2, Form.EXTENSION2),
    Row(_T, OFP10, OFP15, 13, p.PacketOut, _get_out, _put_out),
    Row(
        Space.NXT,
        OFP10,
        OFP15,
        28,
        p.Resume,
        lambda r, v: p.Resume(_get_in2(r, v)),
        lambda w, m, v: _put_in2(w, m.packet_in, v),
    ),
)
