"""Whole messages: `decode(bytes) -> Message` and `encode(body, version, xid) -> bytes`.

The messages, by module: hello, error, echo, features, config, barrier, role, async configuration and
description (`messages_session.py`); packet-in, packet-out, resume (`messages_packet.py`); flow mod
(`messages_flow_mod.py`); flow removed, flow and aggregate statistics (`messages_flow.py`); flow monitors
(`messages_monitor.py`); ports (`messages_port.py`); tables (`messages_table.py`); groups
(`messages_group.py`); meters (`messages_meter.py`); queues (`messages_queue.py`); bundles and request-forward
(`messages_bundle.py`); flow and packet-in formats, controller id, TLV table, ct_flush_zone, IPFIX statistics
(`messages_nicira.py`).
Each module's `ROWS` say which of them stands where in which versions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from mypy_extensions import mypyc_attr

from vswitch.base.records import dataclass
from vswitch.openflow.errors import OfpError
from vswitch.openflow.flow_mod import FlowMod
from vswitch.openflow.messages import flow as f
from vswitch.openflow.messages.bundle import BundleControl
from vswitch.openflow.messages.group import GroupMod
from vswitch.openflow.messages.meter import MeterMod
from vswitch.openflow.messages.nicira import CtFlush, FlowModTableId, TlvTableMod
from vswitch.openflow.messages.packet import Resume
from vswitch.openflow.messages.session import SetAsync
from vswitch.openflow.messages.table import TableFeaturesRequest
from vswitch.openflow.wire import (
    messages_bundle,
    messages_flow,
    messages_flow_mod,
    messages_group,
    messages_meter,
    messages_monitor,
    messages_nicira,
    messages_packet,
    messages_port,
    messages_queue,
    messages_session,
    messages_table,
)
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.errors import NX_VENDOR_ID, ONF_VENDOR_ID
from vswitch.openflow.wire.lengths import length_fits
from vswitch.openflow.wire.match import fits_match
from vswitch.openflow.wire.messages_base import REPLIES, REQUESTS, VENDOR, Form, NotInVersion, Row, Space
from vswitch.openflow.wire.version import OFP10, OFP15, VERSIONS, version_name

OFPT_VENDOR: Final = 4
OFPST_VENDOR: Final = 0xFFFF
OFPSF_MORE: Final = 1
TABLE_ID_NONE: Final = 0xFF

ROWS: Final[tuple[Row, ...]] = (
    *messages_session.ROWS,
    *messages_packet.ROWS,
    *messages_flow_mod.ROWS,
    *messages_flow.ROWS,
    *messages_monitor.ROWS,
    *messages_port.ROWS,
    *messages_table.ROWS,
    *messages_group.ROWS,
    *messages_meter.ROWS,
    *messages_queue.ROWS,
    *messages_bundle.ROWS,
    *messages_nicira.ROWS,
)

_BY_NUMBER: Final[dict[tuple[int, Space, int], Row]] = {}
_BY_CLASS: Final[dict[tuple[int, type], list[Row]]] = {}
for _row in ROWS:
    for _version in range(_row.first, _row.last + 1):
        _BY_NUMBER[_version, _row.space, _row.number] = _row
        _BY_CLASS.setdefault((_version, _row.cls), []).append(_row)
_PLAIN: Final[dict[int, tuple[Row, bool]]] = {
    version << 8 | number: (row, row is _BY_CLASS[version, row.cls][0])
    for (version, space, number), row in _BY_NUMBER.items()
    if space is Space.OFPT
}
"""Version and type of a message that is neither statistics nor an extension -> its row, and whether that
is the first of its class."""
_IN_EIGHTS: Final = frozenset((
    FlowMod, GroupMod, MeterMod, FlowModTableId, TlvTableMod, BundleControl, SetAsync, TableFeaturesRequest,
    Resume, CtFlush, f.FlowStatsRequest, f.AggregateStatsRequest, f.FlowMonitorRequest,
))  # fmt: skip
"""Requests whose parts all are as long as 8 bytes or some times that: another length is refused at once."""
OFPT10_FLOW_MOD: Final = 14
_COMMAND10_AT: Final = 56
"""Where the upper byte of a flow mod's command is in OpenFlow 1.0."""
ANY_VERSION: Final = 4
"""Message types below this one are decoded in any version: they open the connection."""


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(init=False)
class Message:
    """A message as it came: who wrote it how (`version`, `xid`, `form`), and what it says (`body`)."""

    version: int
    xid: int
    body: Any
    form: Form

    def __init__(self, version: int, xid: int, body: Any, form: Form = Form.OPENFLOW) -> None:
        self.version = version
        self.xid = xid
        self.body = body
        self.form = form


def decode(data: bytes, flow_mod_table_id: bool = False, assembled: bool = False) -> Message:
    """The message that `data` is, all of it; `assembled` from several, it tells another length.

    With `flow_mod_table_id` (the connection has seen NXT_FLOW_MOD_TABLE_ID) the upper byte of a flow mod's
    command is a table number in 1.0; in the NXT_FLOW_MOD of later versions it always is. OfpError: what is
    wrong, `data` its beginning.
    """
    try:
        return _decode(data, flow_mod_table_id, assembled)
    except OfpError as error:
        if not assembled and error.name != "OFPBRC_BAD_LEN" and not decodable_length(data):
            error = OfpError("OFPBRC_BAD_LEN", f"{len(data)} bytes, and so: {error}")
            error.data = data[:64]
            raise error from None
        if not error.data:
            error.data = data[:64]
        raise


def _decode(data: bytes, flow_mod_table_id: bool, assembled: bool) -> Message:
    r = Reader(data)
    version = int(r.u8())
    kind = int(r.u8())
    length = int(r.u16())
    xid = int(r.u32())
    if assembled:
        length = len(data)
    if length != len(data):
        raise OfpError("OFPBRC_BAD_LEN", f"message of {len(data)} bytes tells a length of {length}")
    known = version
    if version not in VERSIONS:
        if kind >= ANY_VERSION or not version:
            raise OfpError("OFPBRC_BAD_VERSION", f"version {version_name(version)}")
        known = OFP15
    more = False
    plain = _PLAIN.get(known << 8 | kind)
    if plain is not None:
        row, only = plain
    else:
        row, more = _row_of(r, known, kind)
        only = row is _BY_CLASS[known, row.cls][0]
    if length & 7 and row.cls in _IN_EIGHTS and (known > OFP10 or row.form or kind == OFPT10_FLOW_MOD):
        raise OfpError("OFPBRC_BAD_LEN", f"{row.cls.__name__} of {length} bytes")
    if known == OFP10 and kind == OFPT10_FLOW_MOD and not flow_mod_table_id and length > _COMMAND10_AT \
            and data[_COMMAND10_AT]:
        raise OfpError("OFPFMFC_BAD_COMMAND", f"flow mod command {data[_COMMAND10_AT]:#x}..")
    body = row.get(r, known)
    if r.left:
        raise OfpError("OFPBRC_BAD_LEN", f"{r.left} bytes after {row.cls.__name__}")
    if isinstance(body, FlowMod) and (version == OFP10 or row.form):
        if not flow_mod_table_id and version == OFP10:
            if body.table_id:
                raise OfpError("OFPFMFC_BAD_COMMAND", f"flow mod command {body.table_id << 8 | body.command}")
            body.table_id = TABLE_ID_NONE
    elif more and hasattr(body, "more"):
        body = replace(body, more=True)
    return Message(version, xid, body, Form.OPENFLOW if only else row.form)


def check_head(data: bytes) -> None:
    """OfpError: by its header alone `data` is no message, nor the first part of one."""
    r = Reader(data)
    version = int(r.u8())
    kind = int(r.u8())
    r.skip(6)
    row, _ = _row_of(r, version, kind)
    if r.left and not length_fits(version, row.space, row.number, r.left):
        raise OfpError("OFPBRC_BAD_LEN", f"{row.cls.__name__} of {len(data)} bytes")


def decodable_length(data: bytes) -> bool:
    """Whether the kind of message that `data` begins with can be so long; True if there is no such kind."""
    try:
        r = Reader(data)
        version = int(r.u8())
        kind = int(r.u8())
        r.skip(6)
        row, _ = _row_of(r, version, kind)
    except OfpError:
        return True
    return length_fits(version, row.space, row.number, r.left)


def row_of_bytes(data: bytes) -> Row | None:
    """The row of a message by its header alone; None: there is no such message."""
    try:
        r = Reader(data)
        version = int(r.u8())
        kind = int(r.u8())
        r.skip(6)
        return _row_of(r, version, kind)[0]
    except OfpError:
        return None


def class_of(data: bytes) -> type | None:
    """The class of a message by its header alone; None: there is no such message."""
    row = row_of_bytes(data)
    return None if row is None else row.cls


def _vendor_of(r: Reader) -> tuple[int, int]:
    """Vendor and subtype of an extension. OfpError: its header is cut."""
    if r.left < 8:
        raise OfpError("OFPBRC_BAD_LEN", f"{r.left} bytes of an extension's header")
    return int(r.u32()), int(r.u32())


def _vendor_space(vendor: int, spaces: tuple[Space, Space]) -> Space:
    if vendor == NX_VENDOR_ID:
        return spaces[0]
    if vendor == ONF_VENDOR_ID:
        return spaces[1]
    raise OfpError("OFPBRC_BAD_VENDOR", f"vendor {vendor:#x}")


def _row_of(r: Reader, version: int, kind: int) -> tuple[Row, bool]:
    """The row of the message whose header is read, and whether another part of it follows."""
    more = False
    stats = 16 if version == OFP10 else 18
    if kind == OFPT_VENDOR:
        vendor, number = _vendor_of(r)
        space = _vendor_space(vendor, (Space.NXT, Space.ONFT))
        missing = "OFPBRC_BAD_SUBTYPE"
    elif kind in (stats, stats + 1):
        reply = kind == stats + 1
        number = int(r.u16())
        more = bool(r.u16() & OFPSF_MORE)
        if version > OFP10:
            r.skip(4)
        space = Space.OFPST_REPLY if reply else Space.OFPST_REQUEST
        missing = "OFPBRC_BAD_STAT"
        if number == OFPST_VENDOR:
            spaces = (REPLIES if reply else REQUESTS)[1:]
            space = _vendor_space(int(r.u32()), (spaces[0], spaces[1]))
            number = int(r.u32())
            if version == OFP10:
                r.skip(4)
            missing = "OFPBRC_BAD_SUBTYPE"
    else:
        space, number, missing = Space.OFPT, kind, "OFPBRC_BAD_TYPE"
    row = _BY_NUMBER.get((version, space, number))
    if row is None:
        raise OfpError(missing, f"{space.value} {number} of {version_name(version)}")
    return row, more


def encodable(body: Any, version: int) -> bool:
    """Whether `version` has a form of `body`'s class at all."""
    return (version, type(body)) in _BY_CLASS


def row_of_body(body: Any, version: int, form: Form) -> Row:
    """The row of `body` as `encode` would write it: its space and number. NotInVersion."""
    return _choose(body, version if version in VERSIONS else OFP15, form)


def _choose(body: Any, version: int, form: Form) -> Row:
    rows = _BY_CLASS.get((version, type(body)))
    if rows is None:
        raise NotInVersion(f"{version_name(version)} has no {type(body).__name__}")
    if form:
        for row in rows:
            if row.form == form:
                return row
        raise NotInVersion(f"{version_name(version)} has no such form of {type(body).__name__}")
    row = rows[0]
    if len(rows) > 1 and not row.form and _needs_extension(body, version):
        return rows[1]
    return row


def _needs_extension(body: Any, version: int) -> bool:
    """Whether OpenFlow's own form can't say what a flow's message says, but Nicira's can."""
    if isinstance(body, (FlowMod, f.FlowRemoved)):
        return not fits_match(body.match, version) or (
            version == OFP10 and isinstance(body, FlowMod) and body.cookie_mask != 0
        )
    if version == OFP10 and isinstance(body, (f.FlowStatsRequest, f.AggregateStatsRequest)):
        return body.cookie_mask != 0 or not fits_match(body.match, version)
    if version == OFP10 and isinstance(body, f.FlowStatsReply):
        return any(not fits_match(flow.match, version) for flow in body.flows)
    return False


def encode(
    body: Any, version: int, xid: int, form: Form = Form.OPENFLOW, flow_mod_table_id: bool = False
) -> bytes:
    """`body` as a message of `version`; in `form`, else in the plainest that can say it.

    `flow_mod_table_id` as for `decode`. NotInVersion (a ValueError): `version` has no such message.
    ValueError: longer than a message can be. OfpError: an action or a field that `version` lacks.
    """
    known = version
    if version not in VERSIONS:
        known = OFP15
    row = _choose(body, known, form)
    w = Writer()
    space = row.space
    w.u8(version)
    w.u8(row.number if space is Space.OFPT else 0)
    w.u16(0)
    w.u32(xid)
    vendor = VENDOR.get(space)
    if space in REQUESTS or space in REPLIES:
        w.patch_u8(1, (16 if known == OFP10 else 18) + (space in REPLIES))
        w.u16(row.number if vendor is None else OFPST_VENDOR)
        w.u16(OFPSF_MORE if getattr(body, "more", False) else 0)
        if known > OFP10:
            w.pad(4)
        if vendor is not None:
            w.u32(vendor)
            w.u32(row.number)
            if known == OFP10:
                w.pad(4)
    elif vendor is not None:
        w.patch_u8(1, OFPT_VENDOR)
        w.u32(vendor)
        w.u32(row.number)
    start = w.position()
    row.put(w, body, known)
    if isinstance(body, FlowMod) and (flow_mod_table_id if known == OFP10 else bool(row.form)):
        w.patch_u8(start + (8 if row.form else 48), body.table_id)
    length = int(w.position())
    if length > 0xFFFF:
        raise ValueError(f"{type(body).__name__} of {length} bytes: a message has up to 65535")
    w.patch_u16(2, length)
    return w.getvalue()
