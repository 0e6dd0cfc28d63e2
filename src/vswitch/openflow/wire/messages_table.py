"""Encodings of `messages/table.py`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import table as t
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.messages_base import (
    Layout,
    Row,
    Space,
    begin_property,
    done,
    end_property,
    get_array,
    get_properties,
    put_u32_property,
    void,
)
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP13, OFP14, OFP15

OFPTMPT_EVICTION: Final = 2
OFPTMPT_VACANCY: Final = 3


def _put_properties(w: Writer, table: t.TableConfig) -> None:
    if table.eviction is not None:
        put_u32_property(w, OFPTMPT_EVICTION, table.eviction)
    if table.vacancy is not None:
        w.u16(OFPTMPT_VACANCY)
        w.u16(8)
        w.u8(table.vacancy.down)
        w.u8(table.vacancy.up)
        w.u8(table.vacancy.now)
        w.pad(1)


PERCENT: Final = 100


def _get_properties(r: Reader, found: dict[str, Any], strict: bool) -> None:
    for kind, body in get_properties(r):
        if kind == OFPTMPT_EVICTION:
            found["eviction"] = int(body.u32())
        elif kind == OFPTMPT_VACANCY:
            down, up, now = body.u8(), body.u8(), body.u8()
            body.skip(1)
            if down > up or up > PERCENT or (strict and now):
                raise OfpError("OFPBPC_BAD_VALUE", f"vacancy down {down}, up {up}, now {now}")
            found["vacancy"] = t.Vacancy(int(down), int(up), int(now))
        elif strict:
            raise OfpError("OFPBRC_BAD_TYPE", f"table property {kind}")
        else:
            continue
        done(body)


def _put_mod(w: Writer, m: t.TableMod, version: int) -> None:
    w.u8(m.table.table_id)
    w.pad(3)
    w.u32(m.table.config)
    if version >= OFP14:
        _put_properties(w, m.table)


def _get_mod(r: Reader, version: int) -> t.TableMod:
    found: dict[str, Any] = {"table_id": int(r.u8())}
    r.skip(3)
    found["config"] = int(r.u32())
    if version >= OFP14:
        _get_properties(r, found, strict=True)
    return t.TableMod(t.TableConfig(**found))


def _put_desc(w: Writer, table: t.TableConfig) -> None:
    start = w.position()
    w.u16(0)
    w.u8(table.table_id)
    w.pad(1)
    w.u32(table.config)
    _put_properties(w, table)
    w.patch_u16(start, w.position() - start)


def _get_desc(r: Reader) -> t.TableConfig:
    length = r.u16()
    if length < 8:
        raise OfpError("OFPBRC_BAD_LEN", f"table description of {length} bytes")
    body = r.sub(length - 2)
    found: dict[str, Any] = {"table_id": int(body.u8())}
    body.skip(1)
    found["config"] = int(body.u32())
    _get_properties(body, found, strict=False)
    return t.TableConfig(**found)


def _put_descs(w: Writer, m: t.TableDescReply, version: int) -> None:
    for table in m.tables:
        _put_desc(w, table)


def _get_descs(r: Reader, version: int) -> t.TableDescReply:
    found = []
    while r.left:
        found.append(_get_desc(r))
    return t.TableDescReply(tuple(found))


def _put_status(w: Writer, m: t.TableStatus, version: int) -> None:
    w.u8(m.reason)
    w.pad(7)
    _put_desc(w, m.table)


def _get_status(r: Reader, version: int) -> t.TableStatus:
    reason = int(r.u8())
    if reason not in (t.OFPTR_VACANCY_DOWN, t.OFPTR_VACANCY_UP):
        raise OfpError("NXBRC_BAD_REASON", f"table status of reason {reason}")
    r.skip(7)
    return t.TableStatus(reason, _get_desc(r))


_COUNTS = "active_count:u32 lookup_count:u64 matched_count:u64"
_STATS: Final = {
    OFP10: Layout(f"table_id:u8 pad3 name:s32 wildcards:u32 max_entries:u32 {_COUNTS}"),
    OFP11: Layout(
        "table_id:u8 pad7 name:s32 wildcards:u32 match:u32 instructions:u32 write_actions:u32 "
        f"apply_actions:u32 config:u32 max_entries:u32 {_COUNTS}"
    ),
    OFP12: Layout(
        "table_id:u8 pad7 name:s32 match:u64 wildcards:u64 write_actions:u32 apply_actions:u32 "
        "write_setfields:u64 apply_setfields:u64 metadata_match:u64 metadata_write:u64 "
        f"instructions:u32 config:u32 max_entries:u32 {_COUNTS}"
    ),
    OFP13: Layout(f"table_id:u8 pad3 {_COUNTS}"),
}
"""ofp_table_stats by the first version that has it so."""


def _put_stats(w: Writer, m: t.TableStatsReply, version: int) -> None:
    layout = _STATS[min(version, OFP13)]
    for table in m.tables:
        layout.put(w, table)


def _get_stats(r: Reader, version: int) -> t.TableStatsReply:
    return t.TableStatsReply(get_array(r, _STATS[min(version, OFP13)], t.TableStats))


_FEATURES13: Final = Layout(
    "table_id:u8 pad5 name:s32 metadata_match:u64 metadata_write:u64 capabilities:u32 max_entries:u32"
)
_FEATURES15: Final = Layout(
    "table_id:u8 command:u8 features:u32 name:s32 metadata_match:u64 "
    "metadata_write:u64 capabilities:u32 max_entries:u32"
)
_NEXT_TABLES: Final = (t.OFPTFPT_NEXT_TABLES, t.OFPTFPT_NEXT_TABLES + 1, t.OFPTFPT_TABLE_SYNC_FROM)
_TYPES: Final = (
    t.OFPTFPT_INSTRUCTIONS,
    t.OFPTFPT_INSTRUCTIONS + 1,
    t.OFPTFPT_WRITE_ACTIONS,
    t.OFPTFPT_WRITE_ACTIONS + 1,
    t.OFPTFPT_APPLY_ACTIONS,
    t.OFPTFPT_APPLY_ACTIONS + 1,
)
_OXMS: Final = (
    t.OFPTFPT_MATCH,
    t.OFPTFPT_WILDCARDS,
    t.OFPTFPT_WRITE_SETFIELD,
    t.OFPTFPT_WRITE_SETFIELD + 1,
    t.OFPTFPT_APPLY_SETFIELD,
    t.OFPTFPT_APPLY_SETFIELD + 1,
    t.OFPTFPT_WRITE_COPYFIELD,
    t.OFPTFPT_WRITE_COPYFIELD + 1,
    t.OFPTFPT_APPLY_COPYFIELD,
    t.OFPTFPT_APPLY_COPYFIELD + 1,
)


def _put_property(w: Writer, prop: t.TableProperty) -> None:
    start = begin_property(w, prop.type)
    if prop.type in _NEXT_TABLES:
        w.raw(bytes(prop.items))
    else:
        w.raw(_items(prop.items, prop.type in _TYPES))
    end_property(w, start)


@lru_cache(64)
def _items(items: tuple[int, ...], types: bool) -> bytes:
    """A property's list of types of instructions or actions, or of OXM headers. A switch's 254 tables have
    the same few: tools ask for all of them before they change flows."""
    w = Writer()
    for item in items:
        if not types:
            w.uint(item, 4 if item <= 0xFFFFFFFF else 8)
        elif item <= 0xFFFF:
            w.u16(item)
            w.u16(4)
        else:
            w.u16(0xFFFF)
            w.u16(8)
            w.u32(item)
    return w.getvalue()


def _get_items(kind: int, r: Reader) -> tuple[int, ...]:
    items: list[int] = []
    while r.left:
        if kind in _NEXT_TABLES:
            items.append(int(r.u8()))
        elif kind in _TYPES:
            number = r.u16()
            length = r.u16()
            if length < 4:
                raise OfpError("OFPTFFC_BAD_FEATURES", f"element of {length} bytes")
            body = r.sub(length - 4)
            items.append(0xFFFF << 32 | int(body.u32()) if number == 0xFFFF else int(number))
        else:
            header = int(r.u32())
            items.append(header << 32 | int(r.u32()) if header >> 16 == 0xFFFF else header)
    return tuple(items)


def _put_table(w: Writer, table: t.TableFeatures, version: int) -> None:
    start = w.position()
    w.u16(0)
    (_FEATURES15 if version >= OFP15 else _FEATURES13).put(w, table)
    for prop in table.properties:
        _put_property(w, prop)
    w.patch_u16(start, w.position() - start)


def _get_table(r: Reader, version: int) -> t.TableFeatures:
    length = r.u16()
    if length < 64:
        raise OfpError("OFPTFFC_BAD_FEATURES", f"table features of {length} bytes")
    body = r.sub(length - 2)
    found = (_FEATURES15 if version >= OFP15 else _FEATURES13).get(body)
    properties = []
    for kind, value in get_properties(body):
        if kind in _NEXT_TABLES or kind in _TYPES or kind in _OXMS:
            properties.append(t.TableProperty(kind, _get_items(kind, value)))
    return t.TableFeatures(properties=tuple(properties), **found)


def _put_tables(w: Writer, m: t.TableFeaturesRequest | t.TableFeaturesReply, version: int) -> None:
    for table in m.tables:
        _put_table(w, table, version)


def _get_tables(r: Reader, version: int) -> tuple[t.TableFeatures, ...]:
    found = []
    while r.left:
        found.append(_get_table(r, version))
    return tuple(found)


_Q: Final = Space.OFPST_REQUEST
_A: Final = Space.OFPST_REPLY

ROWS: Final[tuple[Row, ...]] = (
    Row(Space.OFPT, OFP11, OFP15, 17, t.TableMod, _get_mod, _put_mod),
    Row(Space.OFPT, OFP14, OFP15, 31, t.TableStatus, _get_status, _put_status),
    void(_Q, OFP10, OFP15, 3, t.TableStatsRequest),
    Row(_A, OFP10, OFP15, 3, t.TableStatsReply, _get_stats, _put_stats),
    Row(
        _Q,
        OFP13,
        OFP15,
        12,
        t.TableFeaturesRequest,
        lambda r, v: t.TableFeaturesRequest(_get_tables(r, v)),
        _put_tables,
    ),
    Row(
        _A,
        OFP13,
        OFP15,
        12,
        t.TableFeaturesReply,
        lambda r, v: t.TableFeaturesReply(_get_tables(r, v)),
        _put_tables,
    ),
    void(_Q, OFP14, OFP15, 14, t.TableDescRequest),
    Row(_A, OFP14, OFP15, 14, t.TableDescReply, _get_descs, _put_descs),
)
