"""Encodings of `messages/queue.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from vswitch.openflow.constants import OFPP_ALL, OFPP_ANY
from vswitch.openflow.errors import OfpError
from vswitch.openflow.messages import queue as q
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.messages_base import (
    Layout,
    Row,
    Space,
    begin_property,
    end_property,
    get_port,
    get_properties,
    plain,
    put_port,
)
from vswitch.openflow.wire.version import OFP10, OFP11, OFP12, OFP13, OFP14, OFP15

OFPQT_MIN_RATE: Final = 1
OFPQT_MAX_RATE: Final = 2


def _put_request(w: Writer, m: q.QueueGetConfigRequest, version: int) -> None:
    put_port(w, m.port_no, version)
    if version == OFP10:
        w.pad(2)
    elif version < OFP14:
        w.pad(4)
    else:
        w.u32(m.queue_id)


def _get_request(r: Reader, version: int) -> q.QueueGetConfigRequest:
    port_no = get_port(r, version)
    if version == OFP10:
        r.skip(2)
        return q.QueueGetConfigRequest(port_no)
    queue_id = int(r.u32())
    return q.QueueGetConfigRequest(port_no, queue_id if version >= OFP14 else q.OFPQ_ALL)


def _put_rate(w: Writer, kind: int, rate: int | None, version: int) -> None:
    if rate is None:
        return
    start = begin_property(w, kind)
    if version < OFP14:
        w.pad(4)
        w.u16(rate)
        w.pad(6)
    else:
        w.u16(rate)
        w.pad(2)
    end_property(w, start)


def _get_rates(r: Reader, version: int) -> tuple[int | None, int | None]:
    rates: list[int | None] = [None, None]
    for kind, body in get_properties(r):
        if kind not in (OFPQT_MIN_RATE, OFPQT_MAX_RATE):
            continue
        if version < OFP14:
            body.skip(4)
        rates[kind - OFPQT_MIN_RATE] = int(body.u16())
    return rates[0], rates[1]


def _put_reply(w: Writer, m: q.QueueGetConfigReply, version: int) -> None:
    if version < OFP14:
        put_port(w, m.port_no, version)
        w.pad(6 if version == OFP10 else 4)
    for queue in m.queues:
        start = w.position()
        if version < OFP12:
            w.u32(queue.queue_id)
            w.u16(0)
            w.pad(2)
            length_at = start + 4
        else:
            first, second = (queue.queue_id, queue.port_no)
            if version < OFP14:
                w.u32(first)
                put_port(w, second, version)
            else:
                put_port(w, second, version)
                w.u32(first)
            w.u16(0)
            w.pad(6)
            length_at = start + 8
        _put_rate(w, OFPQT_MIN_RATE, queue.min_rate, version)
        _put_rate(w, OFPQT_MAX_RATE, queue.max_rate, version)
        w.patch_u16(length_at, w.position() - start)


def _get_reply(r: Reader, version: int) -> q.QueueGetConfigReply:
    port_no = OFPP_ANY
    if version < OFP14:
        port_no = get_port(r, version)
        r.skip(6 if version == OFP10 else 4)
    queues = []
    while r.left:
        of_port = port_no
        head = 8 if version < OFP12 else 16
        if version >= OFP14:
            of_port = get_port(r, version)
        queue_id = int(r.u32())
        if OFP12 <= version < OFP14:
            of_port = get_port(r, version)
        length = r.u16()
        r.skip(2 if version < OFP12 else 6)
        if length < head:
            raise OfpError("OFPBRC_BAD_LEN", f"queue of {length} bytes")
        low, high = _get_rates(r.sub(length - head), version)
        queues.append(q.QueueConfig(of_port, queue_id, low, high))
    return q.QueueGetConfigReply(port_no, tuple(queues))


def _put_stats_request10(w: Writer, m: q.QueueStatsRequest, version: int) -> None:
    """1.0 says OFPP_ALL where later versions say OFPP_ANY."""
    w.u16(OFPP_ALL if m.port_no == OFPP_ANY else m.port_no)
    w.pad(2)
    w.u32(m.queue_id)


def _get_stats_request10(r: Reader, version: int) -> q.QueueStatsRequest:
    port_no = int(r.u16())
    r.skip(2)
    return q.QueueStatsRequest(OFPP_ANY if port_no == OFPP_ALL else port_no, int(r.u32()))


_COUNTERS = "queue_id:u32 tx_bytes:u64 tx_packets:u64 tx_errors:u64"
_TIMED = f"port_no:port32 {_COUNTERS} duration_sec:u32 duration_nsec:u32"
_STATS: Final = {
    OFP10: Layout(f"port_no:port16 pad2 {_COUNTERS}"),
    OFP11: Layout(f"port_no:port32 {_COUNTERS}"),
    OFP12: Layout(f"port_no:port32 {_COUNTERS}"),
    OFP13: Layout(_TIMED),
    OFP14: Layout(_TIMED),
    OFP15: Layout(_TIMED),
}


def _timed_stats(stats: q.QueueStats) -> q.QueueStats:
    """Statistics whose duration is told."""
    return stats if stats.duration_sec is not None else replace(stats, duration_sec=0)


def _put_stats(w: Writer, m: q.QueueStatsReply, version: int) -> None:
    for queue in m.queues:
        if version >= OFP14:
            w.u16(48)
            w.pad(6)
        _STATS[version].put(w, _timed_stats(queue))


def _get_stats(r: Reader, version: int) -> q.QueueStatsReply:
    found = []
    while r.left:
        length = 0
        if version >= OFP14:
            length = int(r.u16())
            r.skip(6)
            if length < 48:
                raise OfpError("OFPBRC_BAD_LEN", f"queue statistics of {length} bytes")
        head = _STATS[version].get(r)
        if length:
            for _ in get_properties(r.sub(length - 48)):
                pass
        found.append(q.QueueStats(**head))
    return q.QueueStatsReply(tuple(found))


_Q: Final = Space.OFPST_REQUEST
_A: Final = Space.OFPST_REPLY

ROWS: Final[tuple[Row, ...]] = (
    Row(Space.OFPT, OFP10, OFP10, 20, q.QueueGetConfigRequest, _get_request, _put_request),
    Row(Space.OFPT, OFP11, OFP13, 22, q.QueueGetConfigRequest, _get_request, _put_request),
    Row(_Q, OFP14, OFP15, 15, q.QueueGetConfigRequest, _get_request, _put_request),
    Row(Space.OFPT, OFP10, OFP10, 21, q.QueueGetConfigReply, _get_reply, _put_reply),
    Row(Space.OFPT, OFP11, OFP13, 23, q.QueueGetConfigReply, _get_reply, _put_reply),
    Row(_A, OFP14, OFP15, 15, q.QueueGetConfigReply, _get_reply, _put_reply),
    Row(_Q, OFP10, OFP10, 5, q.QueueStatsRequest, _get_stats_request10, _put_stats_request10),
    plain(_Q, OFP11, OFP15, 5, q.QueueStatsRequest, "port_no:port32 queue_id:u32"),
    Row(_A, OFP10, OFP15, 5, q.QueueStatsReply, _get_stats, _put_stats),
)
