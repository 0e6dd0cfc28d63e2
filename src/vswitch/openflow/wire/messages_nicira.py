"""Encodings of `messages/nicira.py`."""

from __future__ import annotations

from typing import Final

from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import nicira as n
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.messages_base import (
    Form,
    Layout,
    Row,
    Space,
    begin_property,
    end_property,
    get_array,
    get_properties,
    void,
)
from vswitch.openflow.wire.version import OFP10, OFP15


def _put_table_id(w: Writer, m: n.FlowModTableId, version: int) -> None:
    w.u8(1 if m.enable else 0)
    w.pad(7)


def _get_table_id(r: Reader, version: int) -> n.FlowModTableId:
    enable = r.u8()
    r.skip(7)
    return n.FlowModTableId(enable != 0)


def _put_last16(w: Writer, value: int) -> None:
    """16 bits behind 6 bytes that must be zero."""
    w.pad(6)
    w.u16(value)


def _get_last16(r: Reader) -> int:
    """And back. OfpError NXBRC_MUST_BE_ZERO."""
    if not r.zeros(6):
        raise OfpError("NXBRC_MUST_BE_ZERO", "padding")
    return int(r.u16())


def _get_format(r: Reader, version: int) -> n.SetFlowFormat:
    number = int(r.u32())
    if number not in (n.NXFF_OPENFLOW10, n.NXFF_NXM):
        raise OfpError("OFPBRC_EPERM", f"flow format {number}")
    return n.SetFlowFormat(number)


def _get_packet_in_format(r: Reader, version: int) -> n.SetPacketInFormat:
    number = int(r.u32())
    if number > n.NXPIF_NXT_PACKET_IN2:
        raise OfpError("OFPBRC_EPERM", f"packet-in format {number}")
    return n.SetPacketInFormat(number)


_MAP: Final = Layout("option_class:u16 option_type:u8 option_len:u8 index:u16 pad2")
MAX_OPTION_LEN: Final = 124
N_FIELDS: Final = 64
"""tun_metadata0 to tun_metadata63."""


def _put_maps(w: Writer, maps: tuple[n.TlvMap, ...]) -> None:
    for mapping in maps:
        _MAP.put(w, mapping)


def _get_maps(r: Reader) -> tuple[n.TlvMap, ...]:
    maps: tuple[n.TlvMap, ...] = get_array(r, _MAP, n.TlvMap)
    return maps


def _put_mod(w: Writer, m: n.TlvTableMod, version: int) -> None:
    w.u16(m.command)
    w.pad(6)
    _put_maps(w, m.mappings)


def _get_mod(r: Reader, version: int) -> n.TlvTableMod:
    command = int(r.u16())
    if command > n.NXTTMC_CLEAR:
        raise OfpError("NXTTMFC_BAD_COMMAND", f"TLV table command {command}")
    r.skip(6)
    maps = _get_maps(r)
    for mapping in maps:
        size = mapping.option_len
        if size % 4 or size > MAX_OPTION_LEN:
            raise OfpError("NXTTMFC_BAD_OPT_LEN", f"option of {size} bytes")
        if mapping.index >= N_FIELDS:
            raise OfpError("NXTTMFC_BAD_FIELD_IDX", f"tun_metadata{mapping.index}")
    return n.TlvTableMod(command, maps)


def _put_reply(w: Writer, m: n.TlvTableReply, version: int) -> None:
    w.u32(m.max_option_space)
    w.u16(m.max_fields)
    w.pad(10)
    _put_maps(w, m.mappings)


def _get_reply(r: Reader, version: int) -> n.TlvTableReply:
    space = int(r.u32())
    fields = int(r.u16())
    r.skip(10)
    return n.TlvTableReply(space, fields, _get_maps(r))


_FLUSH_ORIG: Final = 0
_FLUSH_REPLY: Final = 1
_FLUSH_ZONE: Final = 2
_TUPLE: Final = (
    ("src", 16), ("dst", 16), ("src_port", 2), ("dst_port", 2), ("icmp_id", 2), ("icmp_type", 1),
    ("icmp_code", 1),
)  # fmt: skip
"""The properties of a connection's tuple by number: attribute and size."""


def _put_flush(w: Writer, m: n.CtFlush, version: int) -> None:
    w.u8(m.nw_proto)
    w.pad(7)
    for kind, known in ((_FLUSH_ORIG, m.orig), (_FLUSH_REPLY, m.reply)):
        if known == n.CtTuple():
            continue
        start = begin_property(w, kind)
        w.pad(4)
        for number, (name, size) in enumerate(_TUPLE):
            value = getattr(known, name)
            if value is not None:
                inner = begin_property(w, number)
                w.uint(value, size)
                w.pad(size % 4 & 2)  # Numbers of 16 bits count their padding.
                end_property(w, inner)
        end_property(w, start)
    if m.zone_id is not None:
        start = begin_property(w, _FLUSH_ZONE)
        w.u16(m.zone_id)
        w.pad(2)
        end_property(w, start)


def _get_tuple(r: Reader) -> n.CtTuple:
    r.skip(4)
    found: dict[str, int] = {}
    for number, body in get_properties(r):
        if number >= len(_TUPLE):
            raise OfpError("OFPBPC_BAD_TYPE", f"property {number} of a connection's tuple")
        name, size = _TUPLE[number]
        found[name] = body.uint(size)
    return n.CtTuple(**found)


def _get_flush(r: Reader, version: int) -> n.CtFlush:
    nw_proto = int(r.u8())
    if not r.zeros(7):
        raise OfpError("NXBRC_MUST_BE_ZERO", "padding")
    tuples = [n.CtTuple(), n.CtTuple()]
    zone: int | None = None
    for kind, body in get_properties(r):
        if kind in (_FLUSH_ORIG, _FLUSH_REPLY):
            tuples[kind] = _get_tuple(body)
        elif kind == _FLUSH_ZONE:
            zone = int(body.u16())
        else:
            raise OfpError("OFPBPC_BAD_TYPE", f"property {kind} of a connection flush")
    return n.CtFlush(nw_proto, tuples[0], tuples[1], zone)


_IPFIX: Final = Layout(
    "total_flows:u64 current_flows:u64 total_pkts:u64 ipv4_pkts:u64 ipv6_pkts:u64 "
    "error_pkts:u64 ipv4_error_pkts:u64 ipv6_error_pkts:u64 tx_pkts:u64 tx_errors:u64 "
    "collector_set_id:u32 pad4"
)


def _put_ipfix(w: Writer, m: n.IpfixFlowStatsReply, version: int) -> None:
    for stats in m.stats:
        _IPFIX.put(w, stats)


_T: Final = Space.NXT
_Q: Final = Space.NXST_REQUEST
_A: Final = Space.NXST_REPLY
_X: Final = Form.EXTENSION

ROWS: Final[tuple[Row, ...]] = (
    Row(_T, OFP10, OFP10, 12, n.SetFlowFormat, _get_format, lambda w, m, v: w.u32(m.format), _X),
    Row(_T, OFP10, OFP15, 15, n.FlowModTableId, _get_table_id, _put_table_id, _X),
    Row(
        _T, OFP10, OFP15, 16, n.SetPacketInFormat, _get_packet_in_format, lambda w, m, v: w.u32(m.format), _X
    ),
    void(_T, OFP10, OFP15, 18, n.FlowAge, _X),
    Row(_T, OFP10, OFP15, 20, n.SetControllerId, lambda r, v: n.SetControllerId(_get_last16(r)),
        lambda w, m, v: _put_last16(w, m.controller_id), _X),
    Row(_T, OFP10, OFP15, 24, n.TlvTableMod, _get_mod, _put_mod, _X),
    void(_T, OFP10, OFP15, 25, n.TlvTableRequest, _X),
    Row(_T, OFP10, OFP15, 26, n.TlvTableReply, _get_reply, _put_reply, _X),
    Row(_T, OFP10, OFP15, 29, n.CtFlushZone, lambda r, v: n.CtFlushZone(_get_last16(r)),
        lambda w, m, v: _put_last16(w, m.zone_id), _X),
    Row(_T, OFP10, OFP15, 32, n.CtFlush, _get_flush, _put_flush, _X),
    void(_Q, OFP10, OFP15, 3, n.IpfixBridgeStatsRequest, _X),
    Row(
        _A,
        OFP10,
        OFP15,
        3,
        n.IpfixBridgeStatsReply,
        lambda r, v: n.IpfixBridgeStatsReply(n.IpfixStats(**_IPFIX.get(r))),
        lambda w, m, v: _IPFIX.put(w, m.stats),
        _X,
    ),
    void(_Q, OFP10, OFP15, 4, n.IpfixFlowStatsRequest, _X),
    Row(
        _A,
        OFP10,
        OFP15,
        4,
        n.IpfixFlowStatsReply,
        lambda r, v: n.IpfixFlowStatsReply(get_array(r, _IPFIX, n.IpfixStats)),
        _put_ipfix,
        _X,
    ),
)
