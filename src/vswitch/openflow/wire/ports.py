"""Actions that send packets to ports and queues. Compiled by mypyc.

Ports have 16 bits in OpenFlow 1.0 and in Nicira's actions, 32 from 1.1 on, where reserved ones are
0xffffff00 and up.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from vswitch.flow.flow import port_from_oxm, ports_to_oxm
from vswitch.openflow import actions as a
from vswitch.openflow.constants import (
    OFPP_ALL,
    OFPP_CONTROLLER,
    OFPP_FLOOD,
    OFPP_IN_PORT,
    OFPP_LOCAL,
    OFPP_MAX,
    OFPP_NORMAL,
    OFPP_TABLE,
)
from vswitch.openflow.errors import OfpError
from vswitch.openflow.wire.buffer import Reader, Writer
from vswitch.openflow.wire.oxm import NXM, oxm_entry
from vswitch.openflow.wire.put import Put, begin_nx, end_action
from vswitch.openflow.wire.subfield import (
    check_subfield,
    from_ofs_nbits,
    get_field_header,
    get_short_header,
    put_field_header,
    put_ofs_nbits,
)
from vswitch.openflow.wire.version import OFP10

OFPAT_OUTPUT: Final = 0
OFPAT10_ENQUEUE: Final = 11
OFPAT11_SET_QUEUE: Final = 21
NXAST_RESUBMIT: Final = 1
NXAST_SET_QUEUE: Final = 4
NXAST_POP_QUEUE: Final = 5
NXAST_RESUBMIT_TABLE: Final = 14
NXAST_OUTPUT_REG: Final = 15
NXAST_OUTPUT_REG2: Final = 32
NXAST_OUTPUT_TRUNC: Final = 39
NXAST_RESUBMIT_TABLE_CT: Final = 44
OUTPUT_PORTS: Final = frozenset((
    OFPP_IN_PORT, OFPP_TABLE, OFPP_NORMAL, OFPP_FLOOD, OFPP_ALL, OFPP_CONTROLLER, OFPP_LOCAL,
))
"""Reserved ports that a packet can be output to."""


def put_port(w: Writer, port: i64, version: int) -> None:
    """A port number as `version` writes it."""
    if version == OFP10:
        w.u16(port)
    else:
        w.u32(ports_to_oxm(port))


def get_port(r: Reader, version: int) -> int:
    """A port number in its 16-bit form. OfpError OFPBAC_BAD_OUT_PORT: it has none."""
    if version == OFP10:
        return r.u16()
    number = r.u32()
    port = port_from_oxm(number)
    if port < 0:
        raise OfpError("OFPBAC_BAD_OUT_PORT", f"port {number}")
    return port


def put_output(w: Writer, port: int, max_len: int, version: int) -> None:
    """OFPAT_OUTPUT."""
    w.u16(OFPAT_OUTPUT)
    if version == OFP10:
        w.u16(8)
        w.u16(port)
        w.u16(max_len)
        return
    w.u16(16)
    w.u32(ports_to_oxm(port))
    w.u16(max_len)
    w.pad(6)


def get_output(r: Reader, version: int) -> a.Action:
    """OFPAT_OUTPUT. A max_len that means nothing is kept, to be written again."""
    port = get_port(r, version)
    if port >= OFPP_MAX and port not in OUTPUT_PORTS:
        raise OfpError("OFPBAC_BAD_OUT_PORT", f"output to port {port}")
    max_len: int = r.u16()
    return a.Output(port, max_len)


def put_enqueue(w: Writer, action: a.Enqueue, ctx: Put) -> None:
    """OFPAT_ENQUEUE of 1.0; from 1.1 on set_queue, output, pop_queue."""
    if ctx.version == OFP10:
        w.u16(OFPAT10_ENQUEUE)
        w.u16(16)
        w.u16(action.port)
        w.pad(6)
        w.u32(action.queue)
        return
    put_set_queue(w, action.queue, ctx.version)
    put_output(w, action.port, 0xFFFF, ctx.version)
    begin_nx(w, NXAST_POP_QUEUE, 16)
    w.pad(6)


def get_enqueue(r: Reader) -> a.Action:
    """OFPAT_ENQUEUE of 1.0."""
    port: int = r.u16()
    r.skip(6)
    if port >= OFPP_MAX and port not in (OFPP_IN_PORT, OFPP_LOCAL):
        raise OfpError("OFPBAC_BAD_OUT_PORT", f"enqueue to port {port}")
    return a.Enqueue(port, r.u32())


def put_set_queue(w: Writer, queue: int, version: int) -> None:
    """OFPAT_SET_QUEUE; in 1.0 NXAST_SET_QUEUE."""
    if version == OFP10:
        begin_nx(w, NXAST_SET_QUEUE, 16)
        w.pad(2)
    else:
        w.u16(OFPAT11_SET_QUEUE)
        w.u16(8)
    w.u32(queue)


def put_output_reg(w: Writer, action: a.OutputReg, _ctx: Put) -> None:
    """NXAST_OUTPUT_REG; for an experimenter's field NXAST_OUTPUT_REG2."""
    field = action.src.field
    if oxm_entry(field, NXM).experimenter:
        start = begin_nx(w, NXAST_OUTPUT_REG2)
        put_ofs_nbits(w, action.src)
        w.u16(action.max_len)
        put_field_header(w, field)
        end_action(w, start)
        return
    begin_nx(w, NXAST_OUTPUT_REG, 24)
    put_ofs_nbits(w, action.src)
    put_field_header(w, field)
    w.u16(action.max_len)
    w.pad(6)


def get_output_reg(r: Reader) -> a.Action:
    """NXAST_OUTPUT_REG."""
    bits = r.u16()
    src = from_ofs_nbits(get_short_header(r), bits)
    max_len: int = r.u16()
    if not r.zeros(6):
        raise OfpError("OFPBAC_BAD_ARGUMENT", "output_reg")
    return a.OutputReg(check_subfield(src, dst=False), max_len)


def get_output_reg2(r: Reader) -> a.Action:
    """NXAST_OUTPUT_REG2."""
    bits = r.u16()
    max_len: int = r.u16()
    src = from_ofs_nbits(get_field_header(r), bits)
    if not r.zeros(r.left):
        raise OfpError("NXBRC_MUST_BE_ZERO", "output_reg2")
    return a.OutputReg(check_subfield(src, dst=False), max_len)


def put_output_trunc(w: Writer, action: a.OutputTrunc, _ctx: Put) -> None:
    """NXAST_OUTPUT_TRUNC."""
    begin_nx(w, NXAST_OUTPUT_TRUNC, 16)
    w.u16(action.port)
    w.u32(action.max_len)


def get_output_trunc(r: Reader) -> a.Action:
    """NXAST_OUTPUT_TRUNC."""
    port: int = r.u16()
    max_len: int = r.u32()
    if max_len < 14:
        raise OfpError("OFPBAC_BAD_ARGUMENT", f"max_len {max_len}")
    return a.OutputTrunc(port, max_len)


def put_resubmit(w: Writer, action: a.Resubmit, _ctx: Put) -> None:
    """NXAST_RESUBMIT_TABLE, or NXAST_RESUBMIT_TABLE_CT."""
    begin_nx(w, NXAST_RESUBMIT_TABLE_CT if action.with_ct_orig else NXAST_RESUBMIT_TABLE, 16)
    w.u16(action.in_port)
    w.u8(action.table_id)
    w.pad(3)


def get_resubmit(r: Reader, with_table: bool, with_ct_orig: bool) -> a.Action:
    """NXAST_RESUBMIT, NXAST_RESUBMIT_TABLE, NXAST_RESUBMIT_TABLE_CT."""
    port: int = r.u16()
    if not with_table:
        return a.Resubmit(port)
    table: int = r.u8()
    if not r.zeros(3):
        raise OfpError("OFPBAC_BAD_ARGUMENT", "resubmit")
    return a.Resubmit(port, table, with_ct_orig)
