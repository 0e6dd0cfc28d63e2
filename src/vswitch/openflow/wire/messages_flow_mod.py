"""Encodings of `FlowMod`."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.flow.match import Match
from vswitch.openflow import constants as c
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import COOKIE_NONE, FlowMod, FlowModCommand
from vswitch.openflow.normal import normalize_aloud
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.instructions import get_instructions, put_instructions
from vswitch.openflow.wire.match import get_match, put_match
from vswitch.openflow.wire.match10 import has_upper_layers10
from vswitch.openflow.wire.match_shape import SIZE10, Shapes, shape_of_match10, shape_of_oxm
from vswitch.openflow.wire.messages_base import Form, Row, Space, port_from_32, put_port
from vswitch.openflow.wire.oxm import OFPMT_OXM, get_nxm, put_nxm
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP13, OFP14, OFP15

FLAGS: Final = {OFP10: 0x03, OFP11: 0x03, OFP12: 0x07, OFP13: 0x1F, OFP14: 0x1F, OFP15: 0x1F}
"""The flags of a flow mod that a version has."""
_DELETES: Final = (FlowModCommand.DELETE, FlowModCommand.DELETE_STRICT)
_OFPFF10_EMERG: Final = 1 << 2


_COMMANDS: Final = tuple(FlowModCommand)
"""By number."""


def _command(number: int) -> FlowModCommand:
    if number >= len(_COMMANDS):
        raise OfpError("OFPFMFC_BAD_COMMAND", f"flow mod command {number}")
    return _COMMANDS[number]


def _flags(raw: int, fm: FlowMod, version: int) -> int:
    """The flags of `fm`. OfpError: the version has no such flags, or, of emergency flows (1.0), what was
    said of them before anybody could: that there is no room for any."""
    if raw & ~(FLAGS[version] | (_OFPFF10_EMERG if version == OFP10 else 0)):
        raise OfpError("OFPFMFC_BAD_FLAGS", f"flow mod flags {raw:#x}")
    if version == OFP10 and raw & _OFPFF10_EMERG:
        if fm.idle_timeout or fm.hard_timeout:
            raise OfpError("OFPFMFC_BAD_EMERG_TIMEOUT", "an emergency flow with a timeout")
        raise OfpError("OFPFMFC_TABLE_FULL", "there is no emergency table")
    if version < OFP12 and fm.command == FlowModCommand.ADD:
        return raw | c.OFPFF_RESET_COUNTS
    return raw


def _cookie_is_new(command: int, cookie_mask: int, version: int) -> bool:
    """Whether the one cookie of a 1.1+ flow mod is what flows get, rather than what selects them.

    In 1.1 a modification without a mask is an addition where nothing matches.
    """
    return command == FlowModCommand.ADD or (
        version == OFP11
        and not cookie_mask
        and command in (FlowModCommand.MODIFY, FlowModCommand.MODIFY_STRICT)
    )


def _put_fields10(w: Writer, fm: FlowMod, version: int) -> None:
    """What 1.0 and Nicira's message have alike, from the cookie to the flags."""
    w.u64(fm.new_cookie)
    w.u16(fm.command)
    w.u16(fm.idle_timeout)
    w.u16(fm.hard_timeout)
    w.u16(fm.priority)
    w.u32(fm.buffer_id)
    w.u16(fm.out_port)
    w.u16(fm.flags & FLAGS[version])


def _put_mod10(w: Writer, fm: FlowMod, version: int) -> None:
    put_match(w, fm.match, version)
    _put_fields10(w, fm, version)
    put_instructions(w, fm.actions, version, fm.match)


_SHAPES10: Final = Shapes()
_SHAPES: Final = Shapes()
_NXM_SHAPES: Final = Shapes()


def _get_match10(r: Reader, wildcards: int) -> Match:
    """The match of a flow mod of 1.0.

    What it says without its prerequisites falls away (OpenFlow 1.0.2, 3.4, and Open vSwitch's
    "normalized" flows in ovs-fields(7)); requests for statistics are taken as they are.
    """
    at = r.pos
    if r.end - at >= SIZE10:
        known = _SHAPES10.read(r.data, at, SIZE10)
        if known is not None:
            r.skip(SIZE10)
            return known
    match = get_match(r, OFP10)
    if has_upper_layers10(wildcards) and normalize_aloud(match):
        return match
    if _SHAPES10.worth(SIZE10, at):
        _SHAPES10.learn(shape_of_match10(r.data, at, match), r.data, at, match)
    return match


def _get_match(r: Reader, version: int) -> Match:
    """The match of a flow mod of 1.1 or later."""
    at = r.pos
    data = r.data
    length: i64 = 0
    if r.end - at >= 8:
        length = i64(data[at + 2]) << 8 | i64(data[at + 3])
        if (length + 7) & ~7 <= r.end - at:
            known = _SHAPES.read(data, at, length)
            if known is not None:
                r.skip((length + 7) & ~7)
                return known
    match = get_match(r, version)
    if length >= 4 and data[at + 1] == OFPMT_OXM and _SHAPES.worth(length, at):
        shape = shape_of_oxm(data, at, at + 4, length, match)
        if shape is not None:
            _SHAPES.learn(shape, data, at, match)
    return match


def _get_nxm(r: Reader, length: i64) -> tuple[Match, int, int]:
    """`get_nxm` of a flow mod."""
    at = r.pos
    padded: i64 = (length + 7) & ~7
    if padded <= r.end - at:
        known = _NXM_SHAPES.read(r.data, at, length)
        if known is not None:
            r.skip(padded)
            return known, 0, 0
    found = get_nxm(r, int(length))
    if length > 0 and _NXM_SHAPES.worth(length, at):
        shape = shape_of_oxm(r.data, at, at, length, found[0])
        if shape is not None:
            _NXM_SHAPES.learn(shape, r.data, at, found[0])
    return found


def _get_mod10(r: Reader, version: int) -> FlowMod:
    """The command's upper byte becomes the table number; what it means is the connection's to know."""
    wildcards = Reader(r.data, r.pos, r.pos + 4).u32()
    match = _get_match10(r, wildcards)
    new_cookie = r.u64()
    number = r.u16()
    command = _command(int(number & 0xFF))
    idle_timeout = int(r.u16())
    hard_timeout = int(r.u16())
    priority = int(r.u16())
    buffer_id = int(r.u32())
    out_port = int(r.u16())
    flags = int(r.u16())
    fm = FlowMod(
        match,
        priority if wildcards & 0x3FFFFF else 0xFFFF,
        command,
        int(number >> 8),
        get_instructions(r, r.left, version),
        0,
        0,
        new_cookie,
        new_cookie != COOKIE_NONE,
        idle_timeout,
        hard_timeout,
        0,
        0,
        out_port,
        c.OFPG_ANY,
        buffer_id,
    )
    fm.flags = _flags(flags, fm, version)
    return fm


def _put_mod11(w: Writer, fm: FlowMod, version: int) -> None:
    new = _cookie_is_new(fm.command, fm.cookie_mask, version)
    w.u64(fm.new_cookie if new else fm.cookie)
    w.u64(0 if new else fm.cookie_mask)
    table_id = fm.table_id
    if table_id == c.OFPTT_ALL and (version == OFP11 or fm.command not in _DELETES):
        table_id = 0
    w.u8(table_id)
    w.u8(fm.command)
    w.u16(fm.idle_timeout)
    w.u16(fm.hard_timeout)
    w.u16(fm.priority)
    w.u32(fm.buffer_id)
    put_port(w, fm.out_port, version)
    w.u32(fm.out_group)
    w.u16(fm.flags & FLAGS[version])
    w.u16(fm.importance if version >= OFP14 else 0)
    put_match(w, fm.match, version)
    put_instructions(w, fm.actions, version, fm.match)


def _get_mod11(r: Reader, version: int) -> FlowMod:
    cookie = r.u64()
    cookie_mask = r.u64()
    table_id = int(r.u8())
    number = int(r.u8())
    idle_timeout = int(r.u16())
    hard_timeout = int(r.u16())
    priority = int(r.u16())
    buffer_id = int(r.u32())
    port = int(r.u32())
    out_group = int(r.u32())
    flags = int(r.u16())
    importance = int(r.u16())
    match = _get_match(r, version)
    if table_id == c.OFPTT_ALL and (version == OFP11 or number not in _DELETES):
        raise OfpError("OFPFMFC_BAD_TABLE_ID", "every table")
    out_port = port_from_32(port)
    command = _command(number)
    new = _cookie_is_new(command, cookie_mask, version)
    fm = FlowMod(
        match,
        priority,
        command,
        table_id,
        get_instructions(r, r.left, version),
        0 if new else cookie,
        0 if new else cookie_mask,
        cookie if new else COOKIE_NONE,
        False,
        idle_timeout,
        hard_timeout,
        importance if version >= OFP14 else 0,
        0,
        out_port,
        out_group if command in _DELETES else c.OFPG_ANY,
        buffer_id,
    )
    fm.flags = _flags(flags, fm, version)
    return fm


def _put_nx_mod(w: Writer, fm: FlowMod, version: int) -> None:
    _put_fields10(w, fm, version)
    length_at = w.position()
    w.pad(8)
    w.patch_u16(length_at, put_nxm(w, fm.match, fm.cookie, fm.cookie_mask))
    put_instructions(w, fm.actions, version, fm.match)


def _get_nx_mod(r: Reader, version: int) -> FlowMod:
    fm = FlowMod(new_cookie=r.u64())
    command = r.u16()
    fm.table_id = int(command >> 8)
    fm.command = _command(int(command & 0xFF))
    fm.idle_timeout = int(r.u16())
    fm.hard_timeout = int(r.u16())
    fm.priority = int(r.u16())
    fm.buffer_id = int(r.u32())
    fm.out_port = int(r.u16())
    flags = int(r.u16())
    match_len = r.u16()
    r.skip(6)
    fm.match, fm.cookie, fm.cookie_mask = _get_nxm(r, match_len)
    if fm.command == FlowModCommand.ADD and fm.cookie_mask:
        raise OfpError("NXBRC_NXM_INVALID", "an addition can't select by cookie")
    fm.modify_cookie = fm.new_cookie != COOKIE_NONE
    fm.actions = get_instructions(r, r.left, version)
    fm.flags = _flags(flags, fm, version)
    return fm


ROWS: Final[tuple[Row, ...]] = (
    Row(Space.OFPT, OFP10, OFP10, 14, FlowMod, _get_mod10, _put_mod10),
    Row(Space.OFPT, OFP11, OFP15, 14, FlowMod, _get_mod11, _put_mod11),
    Row(Space.NXT, OFP10, OFP15, 13, FlowMod, _get_nx_mod, _put_nx_mod, Form.EXTENSION),
)
