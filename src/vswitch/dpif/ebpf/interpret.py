"""The program that runs action lists (`code.py`), loaded once and tail-called by the classifier.

It goes round at most MAX_OPS times, each time with the next operation. Where that begins is read from the
list, so that the verifier knows nothing of it but its range, and walks each operation once a round instead of
once a combination of operations; with bpf_loop (5.17), whose function is a round, twice in all.
R6: context; R7: the round; R8: offset in the list; R9: the list.
"""

from __future__ import annotations

from typing import Final

from vswitch.dpif.ebpf import frame as f
from vswitch.dpif.ebpf.code import GROUP, ITEM, MAX_OPS, Op
from vswitch.dpif.ebpf.frame import LAST, LIST, NEW, OLD, PC, ROUND, START
from vswitch.dpif.ebpf.hashing import run_hash
from vswitch.dpif.ebpf.lookup import AGAIN, REDIRECT_INGRESS, count
from vswitch.dpif.ebpf.meters import run_meter
from vswitch.dpif.ebpf.rewrite import run_dec_ttl, run_mpls, run_remark, run_set, run_vlan
from vswitch.dpif.ebpf.ring import ACTION, UpRing, emit
from vswitch.dpif.ebpf.tables import COUNTER_WORDS, FIRST_REASON, LIST_SIZE, OTHER_REASON, Counter, Tables
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, U8, U16, U32, U64, Helper
from vswitch.packet.numbers import (
    IPPROTO_TCP,
)

OFFSETS: Final = LIST_SIZE - 8
"""The bits that an offset in a list has."""

S_LIST, S_CONTEXT, S_SIZE = 0, 8, 16
"""What the function of bpf_loop is given."""
CB_NEXT: Final = f.CB_LIST
CB_VERDICT: Final = f.CB_SLOT
"""What changes from round to round. On the stack, the verifier would go round for each value it knows."""
RECIRCULATE: Final = 256
"""The verdict of a packet that goes into the classifier of recirculated ones."""


def interpreter(t: Tables, up: UpRing, loops: bool) -> Asm:
    """The whole program; `loops`: with bpf_loop."""
    a = Asm()
    a.mov(R6, R1)
    a.load(U32, R1, R6, f.CB_LIST)
    a.store(U32, R10, -S_SIZE - 8, R1)
    a.map(R1, t.lists)
    a.frame(R2, -S_SIZE - 8)
    a.call(Helper.map_lookup_elem)
    a.jump_if(R0, "==", 0, "no.list")
    if loops:
        _loop(a)
    else:
        a.mov(R9, R0)
        a.mov(R7, 0)
        # No constant, as it never is later: the first operation begins at 0 because bits above are cut off.
        a.load(U32, R8, R6, f.CB_LIST)
        a.and_(R8, 0)
        a.jump("round")
    a.label("finish")
    a.jump_if(R0, "!=", RECIRCULATE, "verdict")
    a.mov(R1, R6)
    a.map(R2, t.programs)
    a.mov(R3, AGAIN)
    a.call(Helper.tail_call)
    a.label("no.list")
    f.gone(a, "verdict")
    a.label("verdict")
    a.exit()
    if loops:
        _begin_round(a)
    else:
        a.label("round")
        a.jump_if(R7, ">=", MAX_OPS, "end")
        a.add(R7, 1)
    for where in range(LAST, f.SCRATCH + 48, 8):
        # The same in every round whatever came before: states that differ make the verifier's work grow.
        a.store(U64, R10, where, 0)
    a.mov(R1, R9)
    a.add(R1, R8)
    a.load(U8, R2, R1, 0)
    a.load(U8, R3, R1, 1)
    a.load(U32, R4, R1, 4)
    # R1 stays the operation, R8 becomes the next one's offset.
    a.load(U16, R8, R1, 2)
    a.and_(R8, OFFSETS)
    for op, label in _PARTS:
        a.jump_if(R2, "==", int(op), label)
    a.label("end")
    f.gone(a, "leave" if loops else "finish")
    if not loops:
        a.label("leave")
        a.jump("finish")
    _output(a)
    run_vlan(a)
    run_set(a)
    _metadata(a)
    _branches(a)
    run_dec_ttl(a)
    _again(a)
    _up(a, t, up)
    a.label("meter")
    a.store(U64, R10, LIST, R3)
    run_meter(a, t.meters, f.SCRATCH, "round", "metered", "remark")
    a.label("metered")
    count(a, t, Counter.METERED)
    a.jump("end")
    run_remark(a)
    a.label("hash")
    run_hash(a, "round", "failed")
    run_mpls(a)
    a.label("drop")
    a.and_(R4, COUNTER_WORDS - 1)
    a.jump_if(R4, ">", OTHER_REASON, "failed")
    a.mov(R9, R4)
    a.shl(R9, 3)
    count(a, t, FIRST_REASON, R9)
    a.jump("end")
    a.label("failed")
    count(a, t, Counter.ACTION_FAILED)
    a.jump("end")
    if loops:
        _end_round(a)
    return a


def _loop(a: Asm) -> None:
    """Run the list R0, in a function of its own a round; R0 is the verdict then."""
    a.store(U64, R10, S_LIST - S_SIZE, R0)
    a.store(U64, R10, S_CONTEXT - S_SIZE, R6)
    a.mov(R1, 0)
    a.store(U32, R6, CB_NEXT, R1)
    a.mov(R1, MAX_OPS)
    a.function(R2, "operation")
    a.frame(R3, -S_SIZE)
    a.mov(R4, 0)
    a.call(Helper.loop)
    a.load(U32, R0, R6, CB_VERDICT)


def _begin_round(a: Asm) -> None:
    """The beginning of the function, which gets the round's number in R1 and list and context at R2."""
    a.label("operation")
    a.mov(R7, R1)
    a.load(U64, R6, R2, S_CONTEXT)
    a.load(U64, R9, R2, S_LIST)
    a.load(U32, R8, R6, CB_NEXT)
    a.and_(R8, OFFSETS)


def _end_round(a: Asm) -> None:
    """Its end before another round ("round"), and that of the last one ("leave"), with the verdict in R0."""
    a.label("round")
    a.store(U32, R6, CB_NEXT, R8)
    a.ret(0)
    a.label("leave")
    a.store(U32, R6, CB_VERDICT, R0)
    a.ret(1)


_PARTS: Final = (
    (Op.OUTPUT, "output"), (Op.OUTPUT_LAST, "output.last"), (Op.PUSH_VLAN, "push.vlan"),
    (Op.POP_VLAN, "pop.vlan"), (Op.SET_VLAN, "set.vlan"), (Op.SET, "set"), (Op.UP, "up"),
    (Op.SET_MARK, "set.mark"),
    (Op.SET_PRIORITY, "set.priority"), (Op.RECIRC, "recirc"), (Op.SAMPLE, "sample"),
    (Op.IF_LONGER, "if.longer"), (Op.TRUNC, "trunc"), (Op.DEC_TTL, "dec.ttl"),
    (Op.METER, "meter"), (Op.HASH, "hash"), (Op.WHOLE, "whole"), (Op.PUSH_MPLS, "push.mpls"),
    (Op.POP_MPLS, "pop.mpls"), (Op.SET_DP_HASH, "set.dp.hash"), (Op.OUTPUTS, "outputs"),
    (Op.DROP, "drop"), (Op.SET_TUNNEL, "set.tunnel"),
)  # fmt: skip


def _output(a: Asm) -> None:
    a.label("output")
    a.mov(R1, R6)
    a.mov(R2, R4)
    a.and_(R3, REDIRECT_INGRESS)
    a.call(Helper.clone_redirect)
    a.jump("round")
    a.label("outputs")
    a.store(U64, R10, PC, R1)
    a.store(U64, R10, LIST, R3)
    for n in range(GROUP):
        a.load(U64, R1, R10, PC)
        a.load(U32, R2, R1, ITEM.size + 4 * n)
        a.jump_if(R2, "==", 0, "round")
        a.load(U64, R3, R10, LIST)
        a.shr(R3, n)
        a.and_(R3, REDIRECT_INGRESS)
        a.mov(R1, R6)
        a.call(Helper.clone_redirect)
    a.jump("round")
    a.label("output.last")
    a.mov(R1, R4)
    a.mov(R2, R3)
    a.and_(R2, REDIRECT_INGRESS)
    a.call(Helper.redirect)
    a.jump("leave")


def _metadata(a: Asm) -> None:
    a.label("set.mark")
    a.load(U32, R2, R6, f.CB_MARK)
    a.load(U32, R3, R1, 12)
    a.alu("^", R3, -1)
    a.and_(R2, R3)
    a.or_(R2, R4)
    a.store(U32, R6, f.CB_MARK, R2)
    a.jump("round")
    a.label("set.dp.hash")
    a.load(U32, R2, R6, f.CB_DP_HASH)
    a.load(U32, R3, R1, 12)
    a.alu("^", R3, -1)
    a.and_(R2, R3)
    a.or_(R2, R4)
    a.store(U32, R6, f.CB_DP_HASH, R2)
    a.jump("round")
    a.label("set.tunnel")
    a.mov(R2, R1)
    a.add(R2, ITEM.size)
    a.mov(R1, R6)
    a.mov(R3, f.TUNNEL_KEY_BYTES)
    a.call(Helper.skb_set_tunnel_key)
    a.jump_if(R0, "!=", 0, "failed")
    a.jump("round")
    a.label("set.priority")
    a.store(U32, R6, f.C_PRIORITY, R4)
    a.jump("round")
    a.label("trunc")
    a.load(U32, R1, R6, f.C_VLAN_PRESENT)
    a.jump_if(R1, "==", 0, "trunc.untagged")
    a.add(R4, -4)
    a.label("trunc.untagged")
    a.load(U32, R1, R6, f.C_LEN)
    a.jump_if(R4, ">=", R1, "round")
    a.mov(R1, R6)
    a.mov(R2, R4)
    a.mov(R3, 0)
    a.call(Helper.skb_change_tail)
    a.jump_if(R0, "!=", 0, "failed")
    a.jump("round")


def _branches(a: Asm) -> None:
    """R1 is the operation: where else to go on stands behind it."""
    a.label("sample")
    a.store(U64, R10, PC, R1)
    a.store(U64, R10, LIST, R4)
    a.jump_if(R4, "==", -1, "round", wide=False)
    a.call(Helper.get_prandom_u32)
    a.load(U64, R4, R10, LIST)
    a.load(U64, R1, R10, PC)
    a.jump_if(R0, "<", R4, "round")
    a.label("other")
    a.load(U32, R8, R1, 12)
    a.and_(R8, OFFSETS)
    a.jump("round")
    a.label("if.longer")
    a.load(U32, R2, R6, f.C_LEN)
    a.load(U32, R3, R6, f.C_GSO_SIZE)
    a.jump_if(R3, "==", 0, "frame.length")
    # A segment: the headers and gso_size. TCP's own length is what tells where they end.
    a.store(U64, R10, PC, R1)
    a.store(U64, R10, LIST, R4)
    a.store(U64, R10, START, R3)
    a.load(U32, R2, R6, f.CB_INFO)
    a.and_(R2, 0xFF)
    a.jump_if(R2, "==", 0, "failed")
    a.store(U64, R10, NEW, R2)
    a.load(U32, R5, R6, f.CB_INFO)
    a.shr(R5, 8)
    a.and_(R5, 0xFF)
    a.mov(R1, 8)
    a.jump_if(R5, "!=", IPPROTO_TCP, "segment.header")
    a.mov(R1, R6)
    a.add(R2, 12)
    a.frame(R3, OLD)
    a.mov(R4, 1)
    a.call(Helper.skb_load_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    a.load(U8, R1, R10, OLD)
    a.shr(R1, 4)
    a.shl(R1, 2)
    a.label("segment.header")
    a.load(U64, R2, R10, NEW)
    a.add(R2, R1)
    a.load(U64, R3, R10, START)
    a.add(R2, R3)
    a.load(U64, R1, R10, PC)
    a.load(U64, R4, R10, LIST)
    a.label("frame.length")
    a.load(U32, R3, R6, f.C_VLAN_PRESENT)
    a.jump_if(R3, "==", 0, "length.untagged")
    a.add(R2, 4)
    a.label("length.untagged")
    a.jump_if(R2, ">", R4, "round")
    a.jump("other")


def _again(a: Asm) -> None:
    """Into the classifier of recirculated packets, one recirculation deeper."""
    a.label("recirc")
    a.store(U32, R6, f.CB_LIST, R4)
    a.load(U32, R1, R6, f.CB_INFO)
    a.mov(R2, 1)
    a.shl(R2, f.INFO_DEPTH)
    a.add(R1, R2)
    a.store(U32, R6, f.CB_INFO, R1)
    a.mov(R0, RECIRCULATE)
    a.jump("leave")


TTL_OVER: Final = 0xFFFFFFFF
"""The argument of an ACTION that is none: the flow's actions are to be done in userspace from the start."""


def _up(a: Asm, t: Tables, up: UpRing) -> None:
    """A copy of the packet as it is now, with the action's number; and of one whose TTL is over."""
    a.label("ttl.over")
    a.store(U32, R10, f.SCRATCH + 40, TTL_OVER)
    a.store(U64, R10, LAST, 1)
    a.jump("emit")
    a.label("up")
    a.store(U32, R10, f.SCRATCH + 40, R4)
    a.label("emit")
    a.store(U64, R10, ROUND, R7)
    a.store(U64, R10, LIST, R9)
    a.store(U64, R10, PC, R8)
    emit(a, t, up, ACTION, "emitted")
    a.label("emitted")
    a.load(U64, R1, R10, LAST)
    a.jump_if(R1, "!=", 0, "end")
    a.load(U64, R9, R10, LIST)
    a.load(U64, R8, R10, PC)
    a.load(U64, R7, R10, ROUND)
    a.jump("round")
