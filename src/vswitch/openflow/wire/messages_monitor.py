"""Encodings of the flow monitors in `messages/flow.py`.

OpenFlow 1.4 and later have them, 1.3 as the ONF's extension, 1.0 to 1.2 as Nicira's.
"""

from __future__ import annotations

from typing import Any, Final

from vswitch.flow.match import Match
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import flow as f
from vswitch.openflow.wire.actions import get_actions, put_actions
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.instructions import get_instructions, put_instructions
from vswitch.openflow.wire.match import get_match, put_match
from vswitch.openflow.wire.messages_base import Form, Row, Space, plain, port_from_32, put_port, void
from vswitch.openflow.wire.oxm import get_nxm, put_nxm
from vswitch.openflow.wire.version import OFP10, OFP12, OFP13, OFP14, OFP15

_NX_FLAGS: Final = 0x3F
_NX_OWN: Final = 1 << 5
"""The old forms' bit for what Open vSwitch makes of OFPFMF_ONLY_OWN: own changes in full."""
_FLAGS14: Final = 0x5F
_EVENTS: Final = (f.OFPFME_ADDED, f.OFPFME_REMOVED, f.OFPFME_MODIFIED, f.OFPFME_ABBREV)
"""Nicira's numbers of events; what there is already is told as added."""


def _check_flags(flags: int, valid: int) -> int:
    if not flags & (f.OFPFMF_ADD | f.OFPFMF_REMOVED | f.OFPFMF_MODIFY) or flags & ~valid:
        raise OfpError("OFPMOFC_BAD_FLAGS", f"flow monitor flags {flags:#x}")
    return flags


def _put_old_match(w: Writer, match: Match, version: int) -> int:
    """NXM, or in 1.3 a match of its own kind; its length without padding."""
    if version < OFP13:
        return put_nxm(w, match)
    start = w.position()
    put_match(w, match, version)
    data = w.getvalue()
    return int.from_bytes(data[start + 2 : start + 4], "big")


def _get_old_match(r: Reader, length: int, version: int) -> Match:
    """And back."""
    if version < OFP13:
        return get_nxm(r, length)[0]
    return get_match(r.sub((length + 7) & ~7), version)


def _put_request14(w: Writer, m: f.FlowMonitorRequest, version: int) -> None:
    for monitor in m.monitors:
        w.u32(monitor.monitor_id)
        put_port(w, monitor.out_port, version)
        w.u32(monitor.out_group)
        w.u16(monitor.flags)
        w.u8(monitor.table_id)
        w.u8(monitor.command)
        put_match(w, monitor.match, version)


def _get_request14(r: Reader, version: int) -> f.FlowMonitorRequest:
    found = []
    while r.left:
        monitor_id = int(r.u32())
        port = int(r.u32())
        out_group, flags, table_id, command = int(r.u32()), int(r.u16()), int(r.u8()), int(r.u8())
        if command != f.OFPFMC_DELETE or flags:
            _check_flags(flags, _FLAGS14)
        if command > f.OFPFMC_DELETE:
            raise OfpError("OFPMOFC_BAD_COMMAND", f"flow monitor command {command}")
        out_port = port_from_32(port)
        found.append(
            f.FlowMonitor(monitor_id, get_match(r, version), flags, command, table_id, out_port, out_group)
        )
    return f.FlowMonitorRequest(tuple(found))


def _put_nx_request(w: Writer, m: f.FlowMonitorRequest, version: int) -> None:
    for monitor in m.monitors:
        w.u32(monitor.monitor_id)
        own = _NX_OWN if monitor.flags & f.OFPFMF_ONLY_OWN else 0
        w.u16(monitor.flags & (_NX_OWN - 1) | own)
        if version < OFP13:
            w.u16(monitor.out_port)
        length_at = w.position()
        w.u16(0)
        if version >= OFP13:
            put_port(w, monitor.out_port, version)
        w.u8(monitor.table_id)
        w.pad(5 if version < OFP13 else 3)
        w.patch_u16(length_at, _put_old_match(w, monitor.match, version))


def _get_nx_request(r: Reader, version: int) -> f.FlowMonitorRequest:
    found = []
    while r.left:
        monitor_id = int(r.u32())
        flags = int(r.u16())
        out_port = int(r.u16()) if version < OFP13 else 0
        match_len = r.u16()
        port = int(r.u32()) if version >= OFP13 else 0
        table_id = int(r.u8())
        zeros = r.zeros(5 if version < OFP13 else 3)
        _check_flags(flags, _NX_FLAGS)
        if not zeros:
            raise OfpError("NXBRC_MUST_BE_ZERO", "flow monitor request")
        if version >= OFP13:
            out_port = port_from_32(port)
        if flags & _NX_OWN:
            flags = flags & (_NX_OWN - 1) | f.OFPFMF_ONLY_OWN
        match = _get_old_match(r, int(match_len), version)
        found.append(f.FlowMonitor(monitor_id, match, flags, f.OFPFMC_ADD, table_id, out_port))
    return f.FlowMonitorRequest(tuple(found))


def _put_updates(w: Writer, m: f.FlowMonitorReply, version: int) -> None:
    for update in m.updates:
        start = w.position()
        w.u16(0)
        if version >= OFP14:
            w.u16(update.event)
        else:
            w.u16(0 if update.event == f.OFPFME_INITIAL else _EVENTS.index(update.event))
        if update.event == f.OFPFME_ABBREV:
            w.u32(update.xid)
        elif update.event >= f.OFPFME_PAUSED:
            w.pad(4)
        elif version >= OFP14:
            _put_update14(w, update, version)
        else:
            _put_nx_update(w, update, version)
        w.patch_u16(start, w.position() - start)


def _put_update14(w: Writer, update: f.FlowUpdate, version: int) -> None:
    w.u8(update.table_id)
    w.u8(update.reason)
    w.u16(update.idle_timeout)
    w.u16(update.hard_timeout)
    w.u16(update.priority)
    w.pad(4)
    w.u64(update.cookie)
    put_match(w, update.match, version)
    put_instructions(w, update.actions, version, update.match)


def _put_nx_update(w: Writer, update: f.FlowUpdate, version: int) -> None:
    w.u16(update.reason)
    w.u16(update.priority)
    w.u16(update.idle_timeout)
    w.u16(update.hard_timeout)
    length_at = w.position()
    w.u16(0)
    w.u8(update.table_id)
    w.pad(1)
    w.u64(update.cookie)
    w.patch_u16(length_at, _put_old_match(w, update.match, version))
    if version < OFP13:
        put_actions(w, update.actions, version, update.match)
    else:
        put_instructions(w, update.actions, version, update.match)


def _get_updates(r: Reader, version: int) -> f.FlowMonitorReply:
    found = []
    while r.left:
        length = r.u16()
        if length < 8 or length % 8:
            raise OfpError("OFPBRC_BAD_LEN", f"flow update of {length} bytes")
        body = r.sub(length - 2)
        number = int(body.u16())
        if version < OFP14:
            number = _EVENTS[number] if number < len(_EVENTS) else f.OFPFME_RESUMED + 1
        if number == f.OFPFME_ABBREV:
            update = f.FlowUpdate(number, xid=int(body.u32()))
        elif number in (f.OFPFME_PAUSED, f.OFPFME_RESUMED):
            body.skip(4)
            update = f.FlowUpdate(number)
        elif number > f.OFPFME_RESUMED:
            raise OfpError("NXBRC_FM_BAD_EVENT" if version < OFP14 else "OFPBRC_BAD_LEN", f"event {number}")
        else:
            update = _get_update(body, number, version)
        if body.left:
            raise OfpError("OFPBRC_BAD_LEN", f"flow update of {length} bytes")
        found.append(update)
    return f.FlowMonitorReply(tuple(found))


_UPDATE14: Final = (
    ("table_id", 1),
    ("reason", 1),
    ("idle_timeout", 2),
    ("hard_timeout", 2),
    ("priority", 2),
    ("", 4),
    ("cookie", 8),
)
_NX_UPDATE: Final = (
    ("reason", 2),
    ("priority", 2),
    ("idle_timeout", 2),
    ("hard_timeout", 2),
    ("match_len", 2),
    ("table_id", 1),
    ("", 1),
    ("cookie", 8),
)


def _get_update(r: Reader, event: int, version: int) -> f.FlowUpdate:
    found: dict[str, Any] = {}
    for name, size in _UPDATE14 if version >= OFP14 else _NX_UPDATE:
        found[name] = r.uint(size)
    del found[""]
    if version >= OFP14:
        found["match"] = get_match(r, version)
    else:
        found["match"] = _get_old_match(r, found.pop("match_len"), version)
    if event not in (f.OFPFME_REMOVED,):
        found["reason"] = 0
    get = get_actions if version < OFP13 else get_instructions
    return f.FlowUpdate(event=event, actions=get(r, r.left, version), **found)


_X: Final = Form.EXTENSION
_CANCEL: Final = "monitor_id:u32"

ROWS: Final[tuple[Row, ...]] = (
    Row(Space.NXST_REQUEST, OFP10, OFP12, 2, f.FlowMonitorRequest, _get_nx_request, _put_nx_request, _X),
    Row(Space.ONFST_REQUEST, OFP13, OFP13, 1870, f.FlowMonitorRequest, _get_nx_request, _put_nx_request, _X),
    Row(Space.OFPST_REQUEST, OFP14, OFP15, 16, f.FlowMonitorRequest, _get_request14, _put_request14),
    Row(Space.NXST_REPLY, OFP10, OFP12, 2, f.FlowMonitorReply, _get_updates, _put_updates, _X),
    Row(Space.ONFST_REPLY, OFP13, OFP13, 1870, f.FlowMonitorReply, _get_updates, _put_updates, _X),
    Row(Space.OFPST_REPLY, OFP14, OFP15, 16, f.FlowMonitorReply, _get_updates, _put_updates),
    plain(Space.NXT, OFP10, OFP12, 21, f.FlowMonitorCancel, _CANCEL, _X),
    plain(Space.ONFT, OFP13, OFP13, 1870, f.FlowMonitorCancel, _CANCEL, _X),
    void(Space.NXT, OFP10, OFP12, 22, f.FlowMonitorPaused, _X),
    void(Space.ONFT, OFP13, OFP13, 1871, f.FlowMonitorPaused, _X),
    void(Space.NXT, OFP10, OFP12, 23, f.FlowMonitorResumed, _X),
    void(Space.ONFT, OFP13, OFP13, 1872, f.FlowMonitorResumed, _X),
)
