"""Encodings of `messages/bundle.py`: OpenFlow 1.4 and later, and in 1.3 the ONF's extension."""

from __future__ import annotations

from typing import Final

from librt.strings import read_i32_be
from mypy_extensions import i64

from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import bundle as b
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.messages_base import Form, Row, Space
from vswitch.openflow.wire.version import OFP10, OFP12, OFP13, OFP14, OFP15

BUNDLED: Final = (13, 14, 15, 16)
"""The message types that may be in a bundle: packet-out, flow mod, group mod, port mod."""
NXT_FLOW_MOD: Final = bytes.fromhex("04000023200000000d")
"""The other one: its type, vendor and subtype."""


def _put_control(w: Writer, m: b.BundleControl, version: int) -> None:
    w.u32(m.bundle_id)
    w.u16(m.type)
    w.u16(m.flags)


def _get_control(r: Reader, version: int) -> b.BundleControl:
    """Properties, of which there are only experimenters', are passed over."""
    bundle_id, kind, flags = int(r.u32()), int(r.u16()), int(r.u16())
    r.rest()
    return b.BundleControl(bundle_id, kind, flags)


def _put_add(w: Writer, m: b.BundleAdd, version: int) -> None:
    w.u32(m.bundle_id)
    w.pad(2)
    w.u16(m.flags)
    w.raw(m.message)


def _get_add(r: Reader, version: int) -> b.BundleAdd:
    """The inner message has the same version and xid, and is whole; properties behind it are passed over."""
    bundle_id = int(r.u32())
    r.skip(2)
    flags = int(r.u16())
    data = r.data
    at = r.pos
    left = r.end - at
    size: i64 = i64(data[at + 2]) << 8 | i64(data[at + 3]) if left >= 4 else 0
    if left >= 8 and data[at] != version:
        raise OfpError("OFPBFC_BAD_VERSION", f"message in a bundle of version {data[at]}")
    if size < 8 or size > left:
        raise OfpError("OFPBFC_MSG_BAD_LEN", f"message in a bundle of {left} bytes")
    if read_i32_be(data, at + 4) != read_i32_be(data, 4):
        raise OfpError("OFPBFC_MSG_BAD_XID", "message in a bundle of another xid")
    kind = data[at + 1]
    if kind not in BUNDLED and data[at + 1 : at + 2] + data[at + 8 : min(at + 16, r.end)] != NXT_FLOW_MOD:
        raise OfpError("OFPBFC_MSG_UNSUP", f"message type {kind} in a bundle")
    r.rest()
    return b.BundleAdd(bundle_id, data[at : at + size], flags)


def _get_forward(r: Reader, version: int) -> b.RequestForward:
    inner = r.rest()
    if len(inner) < 8 or int.from_bytes(inner[2:4], "big") != len(inner) or inner[0] != version:
        raise OfpError("OFPBRC_BAD_LEN", "the request that is passed on is not one message")
    return b.RequestForward(inner)


_T: Final = Space.OFPT
_ONF: Final = Space.ONFT
_X: Final = Form.EXTENSION

ROWS: Final[tuple[Row, ...]] = (
    Row(_ONF, OFP13, OFP13, 2300, b.BundleControl, _get_control, _put_control, _X),
    Row(_T, OFP14, OFP15, 33, b.BundleControl, _get_control, _put_control),
    Row(_ONF, OFP13, OFP13, 2301, b.BundleAdd, _get_add, _put_add, _X),
    Row(_T, OFP14, OFP15, 34, b.BundleAdd, _get_add, _put_add),
    Row(Space.NXT, OFP10, OFP12, 132, b.RequestForward, _get_forward, lambda w, m, v: w.raw(m.message), _X),
    Row(_ONF, OFP13, OFP13, 2350, b.RequestForward, _get_forward, lambda w, m, v: w.raw(m.message), _X),
    Row(_T, OFP14, OFP15, 32, b.RequestForward, _get_forward, lambda w, m, v: w.raw(m.message)),
)
