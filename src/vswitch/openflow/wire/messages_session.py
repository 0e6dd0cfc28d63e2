"""Encodings of `messages/session.py`, and of the description in `messages/switch.py`."""

from __future__ import annotations

from typing import Final

from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import session as s
from vswitch.openflow.messages.port import Port
from vswitch.openflow.messages.switch import DescReply, DescRequest
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.errors import NXET_VENDOR, OFPET12_EXPERIMENTER, get_error, put_error
from vswitch.openflow.wire.messages_base import (
    OFPPROP_EXPERIMENTER,
    Form,
    NotInVersion,
    Row,
    Space,
    done,
    get_properties,
    plain,
    put_u32_property,
    void,
)
from vswitch.openflow.wire.messages_port import get_port_desc, put_port_desc
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP13, OFP14, OFP15

OFPHET_VERSIONBITMAP: Final = 1
NO_GENERATION: Final = 0xFFFFFFFFFFFFFFFF


def _put_hello(w: Writer, m: s.Hello, version: int) -> None:
    if m.bitmap:
        w.u16(OFPHET_VERSIONBITMAP)
        w.u16(8)
        w.u32(m.bitmap)


def _get_hello(r: Reader, version: int) -> s.Hello:
    """The first 32 versions of the first sound bitmap. What else there is, or is wrong, is passed over."""
    bitmap = 0
    unknown = False
    while r.left >= 4:
        kind = r.u16()
        length = r.u16()
        if length < 4 or length - 4 + -length % 8 > r.left:
            unknown = True
            break
        body = r.sub(length - 4)
        unknown = unknown or kind != OFPHET_VERSIONBITMAP or length == 4 or length % 4 != 0
        if kind == OFPHET_VERSIONBITMAP and length > 4 and length % 4 == 0 and not bitmap:
            bitmap = body.u32()
        r.skip(min(-length % 8, r.left))
    unknown = unknown or bool(r.left)
    r.rest()
    return s.Hello(int(bitmap), unknown)


def _put_error(w: Writer, m: s.Error, version: int) -> None:
    if m.name:
        put_error(w, m.name, version, m.data)
        return
    vendor, type_, code = m.numbers
    if not vendor and (version < OFP12 or type_ != OFPET12_EXPERIMENTER):
        w.u16(type_)
        w.u16(code)
    elif version < OFP12:
        w.u16(NXET_VENDOR)
        w.u16(0)
        w.u32(vendor)
        w.u16(type_)
        w.u16(code)
    else:
        w.u16(OFPET12_EXPERIMENTER)
        w.u16(type_)
        w.u32(vendor)
    w.raw(m.data)


def _get_error(r: Reader, version: int) -> s.Error:
    numbers, name, data = get_error(r, version)
    return s.Error(name, data, (0, 0, 0) if name else (int(numbers[0]), int(numbers[1]), int(numbers[2])))


_CAPABILITIES: Final = {OFP10: 0xE7, OFP11: 0xEF, OFP12: 0x16F, OFP13: 0x16F, OFP14: 0x76F, OFP15: 0x76F}
"""The bits that a version has, apart from STP."""


def _put_features(w: Writer, m: s.FeaturesReply, version: int) -> None:
    w.u64(m.datapath_id)
    w.u32(m.n_buffers)
    w.u8(m.n_tables)
    w.u8(m.auxiliary_id if version >= OFP13 else 0)
    w.pad(2)
    capabilities = m.capabilities & _CAPABILITIES[version]
    if version == OFP10 and m.capabilities & s.OFPC_STP:
        capabilities |= s.OFPC_GROUP_STATS
    w.u32(capabilities)
    w.u32(m.actions if version == OFP10 else 0)
    if version < OFP13:
        for port in m.ports:
            put_port_desc(w, port, version)


def _get_features(r: Reader, version: int) -> s.FeaturesReply:
    datapath_id = r.u64()
    n_buffers = r.u32()
    n_tables = r.u8()
    auxiliary_id = r.u8()
    r.skip(2)
    wire = int(r.u32())
    capabilities = wire & _CAPABILITIES[version]
    if version == OFP10 and wire & s.OFPC_GROUP_STATS:
        capabilities |= s.OFPC_STP
    actions = r.u32()
    ports: list[Port] = []
    if version < OFP13:
        while r.left:
            ports.append(get_port_desc(r, version))
    return s.FeaturesReply(
        datapath_id,
        int(n_buffers),
        int(n_tables),
        int(auxiliary_id) if version >= OFP13 else 0,
        capabilities,
        int(actions) if version == OFP10 else 0,
        tuple(ports),
    )


_NX_ROLES: Final = (s.ROLE_EQUAL, s.ROLE_PRIMARY, s.ROLE_SECONDARY)


def _put_role(w: Writer, m: s.RoleRequest | s.RoleReply, version: int) -> None:
    w.u32(m.role)
    w.pad(4)
    none = 0 if isinstance(m, s.RoleRequest) else NO_GENERATION
    w.u64(none if m.generation_id is None else m.generation_id)


def _get_role(r: Reader) -> int:
    role = int(r.u32())
    if role > s.ROLE_SECONDARY:
        raise OfpError("OFPRRFC_BAD_ROLE", f"role {role}")
    return role


def _get_role_request(r: Reader, version: int) -> s.RoleRequest:
    role = _get_role(r)
    r.skip(4)
    generation = r.u64()
    return s.RoleRequest(role, generation if role != s.ROLE_NOCHANGE else None)


def _generation(r: Reader) -> int | None:
    generation = r.u64()
    return None if generation == NO_GENERATION else generation


def _get_role_reply(r: Reader, version: int) -> s.RoleReply:
    role = _get_role(r)
    r.skip(4)
    return s.RoleReply(role, _generation(r))


def _put_nx_role(w: Writer, m: s.RoleRequest | s.RoleReply, version: int) -> None:
    if m.role not in _NX_ROLES:
        raise NotInVersion("Nicira's role request can't ask for no change")
    w.u32(m.role - s.ROLE_EQUAL)


def _get_nx_role(r: Reader) -> int:
    role = int(r.u32())
    if role >= len(_NX_ROLES):
        raise OfpError("OFPRRFC_BAD_ROLE", f"role {role}")
    return _NX_ROLES[role]


def _put_role_status(w: Writer, m: s.RoleStatus, version: int) -> None:
    w.u32(m.role)
    w.u8(m.reason)
    w.pad(3)
    w.u64(NO_GENERATION if m.generation_id is None else m.generation_id)


def _get_role_status(r: Reader, version: int) -> s.RoleStatus:
    role = _get_role(r)
    reason = r.u8()
    if reason > 2:
        raise OfpError("OFPBRC_BAD_LEN", f"role status of reason {reason}")
    r.skip(3)
    generation = _generation(r)
    for _ in get_properties(r):
        pass
    return s.RoleStatus(role, int(reason), generation)


_ASYNC13: Final = (1, 0, 3, 2, 5, 4)
"""The properties that OpenFlow 1.3's and Nicira's struct has, in its order."""


def _put_async13(w: Writer, m: s.SetAsync | s.GetAsyncReply, version: int) -> None:
    masks = dict(m.properties)
    for kind in _ASYNC13:
        w.u32(masks.get(kind, 0))


def _get_async13(r: Reader) -> tuple[tuple[int, int], ...]:
    return tuple((kind, int(r.u32())) for kind in _ASYNC13)


def _put_async14(w: Writer, m: s.SetAsync | s.GetAsyncReply, version: int) -> None:
    for kind, mask in m.properties:
        put_u32_property(w, kind, mask)


def _get_async14(r: Reader) -> tuple[tuple[int, int], ...]:
    found = []
    for kind, body in get_properties(r):
        if kind == OFPPROP_EXPERIMENTER:
            raise OfpError("OFPBPC_BAD_EXP_TYPE", f"experimenter {body.u32():#x}")
        if kind > s.OFPACPT_REQUESTFORWARD + 1:
            raise OfpError("OFPACFC_UNSUPPORTED", f"asynchronous configuration property {kind}")
        mask = int(body.u32())
        done(body)
        if mask & ~s.ASYNC_REASONS[kind & ~1]:
            raise OfpError("OFPACFC_INVALID", f"asynchronous configuration {kind}: {mask:#x}")
        found.append((kind, mask))
    return tuple(found)


_CONFIG: Final = "flags:u16 miss_send_len:u16"
_DESC: Final = "mfr_desc:s256 hw_desc:s256 sw_desc:s256 serial_num:s32 dp_desc:s256"
_T: Final = Space.OFPT
_NX: Final = Space.NXT
_X: Final = Form.EXTENSION

ROWS: Final[tuple[Row, ...]] = (
    Row(_T, OFP10, OFP15, 0, s.Hello, _get_hello, _put_hello),
    Row(_T, OFP10, OFP15, 1, s.Error, _get_error, _put_error),
    Row(
        _T,
        OFP10,
        OFP15,
        2,
        s.EchoRequest,
        lambda r, v: s.EchoRequest(r.rest()),
        lambda w, m, v: w.raw(m.data),
    ),
    Row(_T, OFP10, OFP15, 3, s.EchoReply, lambda r, v: s.EchoReply(r.rest()), lambda w, m, v: w.raw(m.data)),
    void(_T, OFP10, OFP15, 5, s.FeaturesRequest),
    Row(_T, OFP10, OFP15, 6, s.FeaturesReply, _get_features, _put_features),
    void(_T, OFP10, OFP15, 7, s.GetConfigRequest),
    plain(_T, OFP10, OFP15, 8, s.GetConfigReply, _CONFIG),
    plain(_T, OFP10, OFP15, 9, s.SetConfig, _CONFIG),
    void(_T, OFP10, OFP10, 18, s.BarrierRequest),
    void(_T, OFP11, OFP15, 20, s.BarrierRequest),
    void(_T, OFP10, OFP10, 19, s.BarrierReply),
    void(_T, OFP11, OFP15, 21, s.BarrierReply),
    Row(_T, OFP12, OFP15, 24, s.RoleRequest, _get_role_request, _put_role),
    Row(_NX, OFP10, OFP15, 10, s.RoleRequest, lambda r, v: s.RoleRequest(_get_nx_role(r)), _put_nx_role, _X),
    Row(_T, OFP12, OFP15, 25, s.RoleReply, _get_role_reply, _put_role),
    Row(_NX, OFP10, OFP15, 11, s.RoleReply, lambda r, v: s.RoleReply(_get_nx_role(r)), _put_nx_role, _X),
    Row(Space.ONFT, OFP13, OFP13, 1911, s.RoleStatus, _get_role_status, _put_role_status, _X),
    Row(_T, OFP14, OFP15, 30, s.RoleStatus, _get_role_status, _put_role_status),
    void(_T, OFP13, OFP15, 26, s.GetAsyncRequest),
    Row(_T, OFP13, OFP13, 27, s.GetAsyncReply, lambda r, v: s.GetAsyncReply(_get_async13(r)), _put_async13),
    Row(_T, OFP14, OFP15, 27, s.GetAsyncReply, lambda r, v: s.GetAsyncReply(_get_async14(r)), _put_async14),
    Row(_T, OFP13, OFP13, 28, s.SetAsync, lambda r, v: s.SetAsync(_get_async13(r)), _put_async13),
    Row(_T, OFP14, OFP15, 28, s.SetAsync, lambda r, v: s.SetAsync(_get_async14(r)), _put_async14),
    Row(_NX, OFP10, OFP15, 19, s.SetAsync, lambda r, v: s.SetAsync(_get_async13(r)), _put_async13, _X),
    Row(
        _NX,
        OFP10,
        OFP13,
        27,
        s.SetAsync,
        lambda r, v: s.SetAsync(_get_async14(r)),
        _put_async14,
        Form.EXTENSION2,
    ),
    void(Space.OFPST_REQUEST, OFP10, OFP15, 0, DescRequest),
    plain(Space.OFPST_REPLY, OFP10, OFP15, 0, DescReply, _DESC),
)
