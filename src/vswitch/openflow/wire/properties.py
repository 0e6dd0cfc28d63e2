"""Actions that are lists of properties: NXAST_CONTROLLER2, NXAST_ENCAP. Compiled by mypyc.

A property of a controller action is type, length and value, padded to 8 bytes; one of an encap has a
class before them.
"""

from __future__ import annotations

from typing import Final

from vswitch.openflow import actions as a
from vswitch.openflow.constants import OFPP_CONTROLLER, OFPR_ACTION
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.ports import put_output
from vswitch.openflow.wire.put import Put, begin_nx, end_action

NXAST_CONTROLLER: Final = 20
NXAST_CONTROLLER2: Final = 37
NXAST_ENCAP: Final = 46
NXAST_DECAP: Final = 47

MAX_LEN: Final = 0
CONTROLLER_ID: Final = 1
REASON: Final = 2
USERDATA: Final = 3
PAUSE: Final = 4
METER_ID: Final = 5

LEAST_SIZE: Final = (2, 2, 1, 0, 0, 4)
"""Bytes of each property's value. More are passed over, as what pads it is."""

CLASS_NSH: Final = 4
NSH_MD_TYPE: Final = 1
NSH_TLV: Final = 2
ENCAPS: Final = {0x1894F: "nsh", 0: "ethernet", 0x18847: "mpls", 0x18848: "mpls_mc"}
"""What can be pushed: packet type -> its word."""


def put_controller(w: Writer, action: a.Controller, ctx: Put) -> None:
    """An output to OFPP_CONTROLLER, NXAST_CONTROLLER or NXAST_CONTROLLER2: the least that says it, unless it
    came as more."""
    least = _least(action.reason, action.controller_id, action.userdata, action.pause, action.meter_id)
    told_as = max(least, action.told_as)
    if told_as == NXAST_CONTROLLER2:
        _put_controller2(w, action)
    elif told_as == NXAST_CONTROLLER:
        begin_nx(w, NXAST_CONTROLLER, 16)
        w.u16(action.max_len)
        w.u16(action.controller_id)
        w.u8(action.reason)
        w.pad(1)
    else:
        put_output(w, OFPP_CONTROLLER, action.max_len, ctx.version)


def _least(reason: int, controller_id: int, userdata: bytes, pause: bool, meter_id: int | None) -> int:
    """The least action that says this; 0 is an output."""
    if userdata or pause or meter_id is not None:
        return NXAST_CONTROLLER2
    return NXAST_CONTROLLER if reason != OFPR_ACTION or controller_id else 0


def _put_controller2(w: Writer, action: a.Controller) -> None:
    start = begin_nx(w, NXAST_CONTROLLER2)
    w.pad(6)
    if action.max_len != 0xFFFF:
        _put_property(w, MAX_LEN, action.max_len << 16, 4)
    if action.controller_id:
        _put_property(w, CONTROLLER_ID, action.controller_id << 16, 4)
    if action.reason != OFPR_ACTION:
        _put_property(w, REASON, action.reason, 1)
    if action.userdata:
        w.u16(USERDATA)
        w.u16(4 + len(action.userdata))
        w.raw(action.userdata)
        w.pad_to(8, start)
    if action.pause:
        w.u16(PAUSE)
        w.u16(4)
        w.pad(4)
    if action.meter_id is not None:
        _put_property(w, METER_ID, action.meter_id, 4)
    end_action(w, start)


def _put_property(w: Writer, kind: int, value: int, size: int) -> None:
    w.u16(kind)
    w.u16(4 + size)
    w.uint(value, size)
    w.pad(4 - size)


def get_controller(r: Reader) -> a.Action:
    """NXAST_CONTROLLER."""
    max_len: int = r.u16()
    controller_id: int = r.u16()
    reason: int = r.u8()
    r.skip(1)
    least = _least(reason, controller_id, b"", False, None)
    told_as = 0 if least == NXAST_CONTROLLER else NXAST_CONTROLLER
    return a.Controller(max_len, reason, controller_id, told_as=told_as)


def get_controller2(r: Reader) -> a.Action:
    """NXAST_CONTROLLER2. OfpError: NXBRC_MUST_BE_ZERO, OFPBPC_*."""
    if not r.zeros(6):
        raise OfpError("NXBRC_MUST_BE_ZERO", "controller2")
    max_len, reason, controller_id, meter_id = 0xFFFF, OFPR_ACTION, 0, -1
    userdata = b""
    pause = False
    while r.left:
        kind, body = get_property(r)
        size = body.left
        if kind == USERDATA:
            userdata = body.rest()
            continue
        if kind > METER_ID:
            raise OfpError("OFPBPC_BAD_TYPE", f"controller property {kind}")
        if size < LEAST_SIZE[kind] or (kind == METER_ID and size != 4):
            raise OfpError("OFPBPC_BAD_LEN", f"controller property {kind}")
        if kind == MAX_LEN:
            max_len = body.u16()
        elif kind == CONTROLLER_ID:
            controller_id = body.u16()
        elif kind == REASON:
            reason = body.u8()
        elif kind == PAUSE:
            pause = True
        else:
            meter_id = body.u32() or -1
    meter = None if meter_id < 0 else meter_id
    least = _least(reason, controller_id, userdata, pause, meter)
    told_as = 0 if least == NXAST_CONTROLLER2 else NXAST_CONTROLLER2
    return a.Controller(max_len, reason, controller_id, userdata, pause, meter, told_as)


def get_property(r: Reader) -> tuple[int, Reader]:
    """A property's type and value (OpenFlow 1.4, 7.2.1); the reader passes its padding to 8 bytes.

    OfpError OFPBPC_BAD_LEN.
    """
    if r.left < 4:
        raise OfpError("OFPBPC_BAD_LEN", "property")
    kind: int = r.u16()
    length = r.u16()
    padded = (length + 7) & ~7
    if length < 4 or padded - 4 > r.left:
        raise OfpError("OFPBPC_BAD_LEN", f"property of {length} bytes")
    body = r.sub(length - 4, "OFPBPC_BAD_LEN")
    r.skip(padded - length)
    return kind, body


def put_encap(w: Writer, action: a.Encap, _ctx: Put) -> None:
    """NXAST_ENCAP, which only OpenFlow 1.3 and later can read."""
    start = begin_nx(w, NXAST_ENCAP)
    w.pad(2)
    w.u32(action.packet_type)
    for p in action.properties:
        w.u16(CLASS_NSH)
        if p.type == "md_type":
            w.u8(NSH_MD_TYPE)
            w.u8(5)
            w.u8(p.value)
        else:
            w.u8(NSH_TLV)
            w.u8((8 + len(p.data) + 7) & ~7)
            w.u16(p.tlv_class)
            w.u8(p.tlv_type)
            w.u8(len(p.data))
            w.raw(p.data)
        w.pad_to(8, start)
    end_action(w, start)


def get_encap(r: Reader) -> a.Action:
    """NXAST_ENCAP. OfpError: NXBAC_BAD_HEADER_TYPE, NXBAC_UNKNOWN_ED_PROP, NXBAC_BAD_ED_PROP."""
    r.skip(2)
    packet_type: int = r.u32()
    name = ENCAPS.get(packet_type)
    if name is None:
        raise OfpError("NXBAC_BAD_HEADER_TYPE", f"packet type {packet_type:#x}")
    properties = []
    while r.left:
        properties.append(_get_encap_property(r))
    return a.Encap(packet_type, name, tuple(properties))


def _get_encap_property(r: Reader) -> a.EncapProperty:
    if r.left < 4:
        raise OfpError("OFPBAC_BAD_LEN", "encap property")
    class_ = r.u16()
    kind = r.u8()
    length = r.u8()
    padded = (length + 7) & ~7
    if length < 4 or padded - 4 > r.left:
        raise OfpError("OFPBAC_BAD_LEN", f"encap property of {length} bytes")
    body = r.sub(padded - 4, "NXBAC_BAD_ED_PROP")
    if class_ != CLASS_NSH:
        raise OfpError("NXBAC_UNKNOWN_ED_PROP", f"property class {class_}")
    if kind == NSH_MD_TYPE:
        value: int = body.u8()
        if length != 5 or value not in (1, 2):
            raise OfpError("NXBAC_BAD_ED_PROP", f"md_type {value}")
        return a.EncapProperty("nsh", "md_type", value)
    if kind != NSH_TLV:
        raise OfpError("NXBAC_UNKNOWN_ED_PROP", f"NSH property {kind}")
    tlv_class: int = body.u16()
    tlv_type: int = body.u8()
    size = body.u8()
    if length != (8 + size + 7) & ~7:
        raise OfpError("NXBAC_BAD_ED_PROP", f"TLV of {size} bytes")
    return a.EncapProperty("nsh", "tlv", 0, tlv_class, tlv_type, body.raw(size))


def put_decap(w: Writer, action: a.Decap, _ctx: Put) -> None:
    """NXAST_DECAP."""
    begin_nx(w, NXAST_DECAP, 16)
    w.pad(2)
    w.u32(a.USE_NEXT_PROTO if action.packet_type is None else action.packet_type)


def get_decap(r: Reader) -> a.Action:
    """NXAST_DECAP."""
    r.skip(2)
    packet_type: int = r.u32()
    if r.left:
        raise OfpError("NXBAC_UNKNOWN_ED_PROP", "decap has a property")
    return a.Decap(None if packet_type == a.USE_NEXT_PROTO else packet_type)
