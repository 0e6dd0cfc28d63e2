"""The smaller Nicira extension actions. Compiled by mypyc.

A function get_... has the reader behind the subtype; put_... writes the whole action.
"""

from __future__ import annotations

from typing import Final

from vswitch.openflow import actions as a
from vswitch.openflow.constants import OFPP_NONE
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.oxm import is_tun_metadata
from vswitch.openflow.wire.put import Put, begin_nx, end_action
from vswitch.openflow.wire.subfield import (
    check_subfield,
    from_ofs_nbits,
    get_field_header,
    get_short_header,
    put_field_header,
    put_ofs_nbits,
)

NXAST_SET_TUNNEL: Final = 2
NXAST_NOTE: Final = 8
NXAST_SET_TUNNEL64: Final = 9
NXAST_EXIT: Final = 17
NXAST_FIN_TIMEOUT: Final = 19
NXAST_DEC_TTL_CNT_IDS: Final = 21
NXAST_WRITE_METADATA: Final = 22
NXAST_STACK_PUSH: Final = 27
NXAST_STACK_POP: Final = 28
NXAST_SAMPLE: Final = 29
NXAST_CONJUNCTION: Final = 34
NXAST_SAMPLE2: Final = 38
NXAST_SAMPLE3: Final = 41
NXAST_SAMPLE4: Final = 51
NXAST_CT_CLEAR: Final = 43
NXAST_DEC_NSH_TTL: Final = 48
NXAST_CHECK_PKT_LARGER: Final = 49
NXAST_DELETE_FIELD: Final = 50
NXAST_DEBUG_SLOW: Final = 254
NXAST_DEBUG_RECIRC: Final = 255

SAMPLE_DIRECTIONS: Final = ("", "ingress", "egress")
MAX_CLAUSES: Final = 64


def put_bare(w: Writer, subtype: int) -> None:
    """An action without arguments: 16 bytes."""
    begin_nx(w, subtype, 16)
    w.pad(6)


def put_value(w: Writer, subtype: int, value: int, size: int) -> None:
    """An action of 16 bytes with one value of at most 6 bytes, right after the subtype."""
    begin_nx(w, subtype, 16)
    w.uint(value, size)
    w.pad(6 - size)


def put_set_tunnel(w: Writer, action: a.SetTunnel, _ctx: Put) -> None:
    """NXAST_SET_TUNNEL, or NXAST_SET_TUNNEL64."""
    if action.wide or action.tun_id >> 32:
        begin_nx(w, NXAST_SET_TUNNEL64, 24)
        w.pad(6)
        w.u64(action.tun_id)
    else:
        begin_nx(w, NXAST_SET_TUNNEL, 16)
        w.pad(2)
        w.u32(action.tun_id)


def put_note(w: Writer, action: a.Note, _ctx: Put) -> None:
    """NXAST_NOTE."""
    start = begin_nx(w, NXAST_NOTE)
    w.raw(action.data)
    if not action.data:
        w.pad(6)
    end_action(w, start)


def put_dec_ttl_ids(w: Writer, action: a.DecTtl, _ctx: Put) -> None:
    """NXAST_DEC_TTL_CNT_IDS."""
    start = begin_nx(w, NXAST_DEC_TTL_CNT_IDS)
    w.u16(len(action.ids))
    w.pad(4)
    for id_ in action.ids:
        w.u16(id_)
    end_action(w, start)


def get_dec_ttl_ids(r: Reader) -> a.Action:
    """NXAST_DEC_TTL_CNT_IDS."""
    n: int = r.u16()
    if not r.zeros(4):
        raise OfpError("NXBRC_MUST_BE_ZERO", "dec_ttl")
    if r.left < 2 * n:
        raise OfpError("OFPBAC_BAD_LEN", f"dec_ttl with {n} ids")
    ids: list[int] = [r.u16() for _ in range(n)]
    return a.DecTtl(tuple(ids), True)


def put_fin_timeout(w: Writer, action: a.FinTimeout, _ctx: Put) -> None:
    """NXAST_FIN_TIMEOUT."""
    begin_nx(w, NXAST_FIN_TIMEOUT, 16)
    w.u16(action.idle)
    w.u16(action.hard)
    w.pad(2)


def get_fin_timeout(r: Reader) -> a.Action:
    """NXAST_FIN_TIMEOUT."""
    idle: int = r.u16()
    return a.FinTimeout(idle, r.u16())


def put_write_metadata(w: Writer, action: a.WriteMetadata, _ctx: Put) -> None:
    """NXAST_WRITE_METADATA, where there are no instructions."""
    begin_nx(w, NXAST_WRITE_METADATA, 32)
    w.pad(6)
    w.u64(action.metadata)
    w.u64(action.mask)


def put_stack(w: Writer, subtype: int, sf: a.MfSubfield) -> None:
    """NXAST_STACK_PUSH, NXAST_STACK_POP."""
    start = begin_nx(w, subtype)
    w.u16(sf.ofs)
    put_field_header(w, sf.field)
    w.u16(sf.n_bits)
    w.pad(24 - (w.position() - start))
    end_action(w, start)


def get_stack(r: Reader, pop: bool) -> a.Action:
    """NXAST_STACK_PUSH, NXAST_STACK_POP."""
    ofs: int = r.u16()
    field = get_field_header(r)
    sf = a.MfSubfield(field, ofs, r.u16())
    if not r.zeros(r.left):
        raise OfpError("NXBRC_MUST_BE_ZERO", "stack")
    check_subfield(sf, dst=pop)
    return a.StackPop(sf) if pop else a.StackPush(sf)


def put_sample(w: Writer, action: a.Sample, _ctx: Put) -> None:
    """NXAST_SAMPLE; with a port NXAST_SAMPLE2, with a direction NXAST_SAMPLE3, with fields NXAST_SAMPLE4."""
    if action.obs_domain_src is not None or action.obs_point_src is not None:
        _put_sample4(w, action)
        return
    if action.direction:
        start = begin_nx(w, NXAST_SAMPLE3)
    elif action.sampling_port != OFPP_NONE:
        start = begin_nx(w, NXAST_SAMPLE2)
    else:
        start = begin_nx(w, NXAST_SAMPLE)
    w.u16(action.probability)
    w.u32(action.collector_set_id)
    w.u32(action.obs_domain_id)
    w.u32(action.obs_point_id)
    if action.direction or action.sampling_port != OFPP_NONE:
        w.u16(action.sampling_port)
        w.u8(SAMPLE_DIRECTIONS.index(action.direction))
        w.pad(5)
    end_action(w, start)


def _put_sample4(w: Writer, action: a.Sample) -> None:
    begin_nx(w, NXAST_SAMPLE4, 40)
    w.u16(action.probability)
    w.u32(action.collector_set_id)
    for source, value in ((action.obs_domain_src, action.obs_domain_id),
                          (action.obs_point_src, action.obs_point_id)):
        if source is None:
            w.u32(0)
            w.u32(value)
        else:
            put_field_header(w, source.field)
            put_ofs_nbits(w, source)
            w.pad(2)
    w.u16(action.sampling_port)
    w.u8(SAMPLE_DIRECTIONS.index(action.direction))
    w.pad(5)


def get_sample4(r: Reader) -> a.Action:
    """NXAST_SAMPLE4: each observer's number, or the field that holds it with offset and width."""
    probability: int = r.u16()
    collector: int = r.u32()
    if not probability:
        raise OfpError("OFPBAC_BAD_ARGUMENT", "sample with probability 0")
    domain_src, domain = _get_observer(r)
    point_src, point = _get_observer(r)
    port: int = r.u16()
    direction = r.u8()
    if not r.zeros(5):
        raise OfpError("NXBRC_MUST_BE_ZERO", "sample")
    if direction > 2:
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"sample direction {direction}")
    return a.Sample(probability, collector, domain, point, port, SAMPLE_DIRECTIONS[direction], domain_src,
                    point_src)


def _get_observer(r: Reader) -> tuple[a.MfSubfield | None, int]:
    if not r.u32():
        return None, r.u32()
    r.pos -= 4
    source = check_subfield(from_ofs_nbits(get_short_header(r), r.u16()), dst=False)
    r.skip(2)
    if source.n_bits > 32:
        raise OfpError("OFPBAC_BAD_SET_LEN", "an observer's number has more than 32 bits")
    return source, 0


def get_sample(r: Reader, kind: int) -> a.Action:
    """NXAST_SAMPLE (`kind` 1), NXAST_SAMPLE2, NXAST_SAMPLE3."""
    probability: int = r.u16()
    collector: int = r.u32()
    domain: int = r.u32()
    point: int = r.u32()
    port: int = 0
    direction = 0
    if kind > 1:
        port = r.u16()
        direction = r.u8()
        if not r.zeros(5) and kind == 3:
            raise OfpError("NXBRC_MUST_BE_ZERO", "sample")
    if not probability:
        raise OfpError("OFPBAC_BAD_ARGUMENT", "sample with probability 0")
    if kind == 1:
        return a.Sample(probability, collector, domain, point)
    if kind == 3:
        if direction > 2:
            raise OfpError("OFPBAC_BAD_ARGUMENT", f"sample direction {direction}")
        return a.Sample(probability, collector, domain, point, port, SAMPLE_DIRECTIONS[direction])
    return a.Sample(probability, collector, domain, point, port)


def put_conjunction(w: Writer, action: a.Conjunction, _ctx: Put) -> None:
    """NXAST_CONJUNCTION."""
    begin_nx(w, NXAST_CONJUNCTION, 16)
    w.u8(action.clause)
    w.u8(action.n_clauses)
    w.u32(action.id)


def get_conjunction(r: Reader) -> a.Action:
    """NXAST_CONJUNCTION. OfpError NXBAC_BAD_CONJUNCTION."""
    clause: int = r.u8()
    n_clauses: int = r.u8()
    if not 2 <= n_clauses <= MAX_CLAUSES or clause >= n_clauses:
        raise OfpError("NXBAC_BAD_CONJUNCTION", f"clause {clause + 1} of {n_clauses}")
    return a.Conjunction(r.u32(), clause, n_clauses)


def put_check_pkt_larger(w: Writer, action: a.CheckPktLarger, _ctx: Put) -> None:
    """NXAST_CHECK_PKT_LARGER."""
    start = begin_nx(w, NXAST_CHECK_PKT_LARGER)
    w.u16(action.pkt_len)
    w.u16(action.dst.ofs)
    put_field_header(w, action.dst.field)
    w.pad(24 - (w.position() - start))
    end_action(w, start)


def get_check_pkt_larger(r: Reader) -> a.Action:
    """NXAST_CHECK_PKT_LARGER."""
    pkt_len: int = r.u16()
    ofs: int = r.u16()
    dst = a.MfSubfield(get_field_header(r), ofs, 1)
    if not r.zeros(r.left):
        raise OfpError("NXBRC_MUST_BE_ZERO", "check_pkt_larger")
    return a.CheckPktLarger(pkt_len, check_subfield(dst, dst=True))


def put_delete_field(w: Writer, action: a.DeleteField, _ctx: Put) -> None:
    """NXAST_DELETE_FIELD."""
    start = begin_nx(w, NXAST_DELETE_FIELD)
    put_field_header(w, action.field)
    w.pad(24 - (w.position() - start))
    end_action(w, start)


def get_delete_field(r: Reader) -> a.Action:
    """NXAST_DELETE_FIELD, of tunnel options only."""
    field = get_field_header(r)
    if not is_tun_metadata(field):
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"delete_field:{field.name}")
    return a.DeleteField(field)
