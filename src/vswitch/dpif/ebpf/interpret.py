"""The program that runs action lists (`code.py`), loaded once and tail-called by the classifier.

It goes round at most MAX_OPS times, each time with the next operation. Where that begins is read from the
list, so that the verifier knows nothing of it but its range, and walks each operation once a round instead of
once a combination of operations; with bpf_loop (5.17), whose function is a round, twice in all.
R6: context; R7: the round; R8: offset in the list; R9: the list.
"""

from __future__ import annotations

from typing import Final

from vswitch.dpif.ebpf import frame as f
from vswitch.dpif.ebpf.code import GROUP, ITEM, MAX_OPS, Base, Fix, Op
from vswitch.dpif.ebpf.frame import net16
from vswitch.dpif.ebpf.hashing import run_hash
from vswitch.dpif.ebpf.lookup import AGAIN, REDIRECT_INGRESS, count
from vswitch.dpif.ebpf.meters import METER_VERDICT, run_meter
from vswitch.dpif.ebpf.parse import L3
from vswitch.dpif.ebpf.ring import ACTION, UpRing, emit
from vswitch.dpif.ebpf.tables import COUNTER_WORDS, FIRST_REASON, LIST_SIZE, OTHER_REASON, Counter, Tables
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, U8, U16, U32, U64, Helper
from vswitch.packet.numbers import (
    ETH_TYPE_VLAN_8021Q,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    IPPROTO_TCP,
    IPPROTO_UDP,
)

OFFSETS: Final = LIST_SIZE - 8
"""The bits that an offset in a list has."""
PSEUDO_HEADER: Final = 0x10
MARK_MANGLED_0: Final = 0x20
RECOMPUTE_CSUM: Final = 1
"""BPF_F_RECOMPUTE_CSUM of bpf_skb_store_bytes: the device's sum over the whole packet follows."""
FIX_WHOLE: Final = int(Fix.WHOLE).bit_length() - 1
"""BPF_F_PSEUDO_HDR and BPF_F_MARK_MANGLED_0 of bpf_l4_csum_replace."""

# Stack, below f.SCRATCH.
OLD: Final = f.SCRATCH - 16
NEW: Final = OLD - 16
START: Final = NEW - 8
ROUND: Final = START - 8
LIST: Final = ROUND - 8
PC: Final = LIST - 8
LAST: Final = PC - 8
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
    _vlan(a)
    _set(a)
    _metadata(a)
    _branches(a)
    _dec_ttl(a)
    _again(a)
    _up(a, t, up)
    a.label("meter")
    a.store(U64, R10, LIST, R3)
    run_meter(a, t.meters, f.SCRATCH, "round", "metered", "remark")
    a.label("metered")
    count(a, t, Counter.METERED)
    a.jump("end")
    _remark(a)
    a.label("hash")
    run_hash(a, "round", "failed")
    _mpls(a)
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


def _vlan(a: Asm) -> None:
    a.label("push.vlan")
    a.mov(R2, R4)
    a.and_(R2, 0xFFFF)
    a.mov(R3, R4)
    a.shr(R3, 16)
    a.mov(R1, R6)
    a.call(Helper.skb_vlan_push)
    a.jump_if(R0, "!=", 0, "failed")
    a.jump("round")
    a.label("pop.vlan")
    a.mov(R1, R6)
    a.call(Helper.skb_vlan_pop)
    a.jump_if(R0, "!=", 0, "failed")
    a.jump("round")
    a.label("set.vlan")
    a.load(U32, R1, R6, f.C_VLAN_PRESENT)
    a.jump_if(R1, "==", 0, "round")
    a.load(U32, R3, R6, f.C_VLAN_TCI)
    a.and_(R3, R4)
    a.and_(R3, 0xFFFF)
    a.shr(R4, 16)
    a.or_(R3, R4)
    a.store(U64, R10, START, R3)
    a.load(U32, R1, R6, f.C_VLAN_PROTO)
    a.store(U64, R10, NEW, R1)
    a.mov(R1, R6)
    a.call(Helper.skb_vlan_pop)
    a.jump_if(R0, "!=", 0, "failed")
    a.mov(R1, R6)
    a.load(U64, R2, R10, NEW)
    a.load(U64, R3, R10, START)
    a.call(Helper.skb_vlan_push)
    a.jump_if(R0, "!=", 0, "failed")
    a.jump("round")


def _set(a: Asm) -> None:
    """Bytes of a header: read, change, and bring the checksums after them by what changed."""
    a.label("set")
    a.store(U64, R10, PC, R1)
    a.store(U64, R10, LIST, R4)
    a.load(U8, R2, R1, 8)
    a.load(U8, R5, R1, 9)
    a.load(U8, R3, R1, 10)
    a.store(U64, R10, ROUND, R3)
    a.jump_if(R2, "==", int(Base.L2), "set.from.l2")
    a.jump_if(R2, "==", int(Base.L3), "set.from.l3")
    a.load(U32, R2, R6, f.CB_INFO)
    a.mov(R3, R2)
    a.and_(R2, 0xFF)
    a.jump_if(R2, "==", 0, "failed")
    a.add(R5, R2)
    a.store(U64, R10, START, R5)
    a.shr(R3, 8)
    a.and_(R3, 0xFF)
    a.jump_if(R3, "!=", IPPROTO_UDP, "set.placed")
    # Without a checksum of its own, nothing makes up for the change in the device's sum.
    a.mov(R1, R6)
    a.add(R2, 6)
    a.frame(R3, NEW)
    a.mov(R4, 2)
    a.call(Helper.skb_load_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    a.load(U16, R1, R10, NEW)
    a.jump_if(R1, "!=", 0, "set.placed")
    a.load(U64, R1, R10, LIST)
    a.or_(R1, int(Fix.WHOLE))
    a.store(U64, R10, LIST, R1)
    a.jump("set.placed")
    a.label("set.from.l3")
    a.add(R5, L3)
    a.label("set.from.l2")
    a.store(U64, R10, START, R5)
    a.label("set.placed")
    a.load(U64, R5, R10, START)
    a.load(U64, R3, R10, ROUND)
    a.jump_if(R3, ">", 16, "failed")
    a.jump_if(R3, "<", 1, "failed")
    for n in range(0, 16, 8):
        a.store(U64, R10, OLD + n, 0)
    a.mov(R1, R6)
    a.mov(R2, R5)
    a.mov(R4, R3)
    a.frame(R3, OLD)
    a.call(Helper.skb_load_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    a.load(U64, R1, R10, PC)
    for n in range(0, 16, 8):
        a.load(U64, R2, R10, OLD + n)
        a.load(U64, R3, R1, 32 + n)
        a.alu("^", R3, -1)
        a.and_(R2, R3)
        a.load(U64, R3, R1, 16 + n)
        a.or_(R2, R3)
        a.store(U64, R10, NEW + n, R2)
    a.mov(R1, R6)
    a.load(U64, R2, R10, START)
    a.frame(R3, NEW)
    a.load(U64, R4, R10, ROUND)
    a.jump_if(R4, ">", 16, "failed")
    a.jump_if(R4, "<", 1, "failed")
    a.load(U64, R5, R10, LIST)
    a.shr(R5, FIX_WHOLE)
    a.and_(R5, RECOMPUTE_CSUM)
    a.call(Helper.skb_store_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    a.label("fix")
    a.frame(R1, OLD)
    a.mov(R2, 16)
    a.frame(R3, NEW)
    a.mov(R4, 16)
    a.mov(R5, 0)
    a.call(Helper.csum_diff)
    a.store(U64, R10, START, R0)
    a.load(U64, R1, R10, LIST)
    a.and_(R1, int(Fix.IPV4))
    a.jump_if(R1, "==", 0, "fix.l4")
    a.mov(R1, R6)
    a.mov(R2, L3 + 10)
    a.mov(R3, 0)
    a.load(U64, R4, R10, START)
    a.mov(R5, 0)
    a.call(Helper.l3_csum_replace)
    a.label("fix.l4")
    a.load(U64, R1, R10, LIST)
    a.and_(R1, int(Fix.L4))
    a.jump_if(R1, "==", 0, "round")
    a.load(U32, R2, R6, f.CB_INFO)
    a.mov(R3, R2)
    a.and_(R2, 0xFF)
    a.jump_if(R2, "==", 0, "round")
    a.shr(R3, 8)
    a.and_(R3, 0xFF)
    a.load(U64, R1, R10, LIST)
    a.and_(R1, int(Fix.PSEUDO))
    a.mov(R5, 0)
    a.jump_if(R1, "==", 0, "fix.own")
    a.jump_if(R3, "==", IPPROTO_ICMP, "round")
    a.mov(R5, PSEUDO_HEADER)
    a.label("fix.own")
    for protocol, offset, mangled in ((IPPROTO_TCP, 16, 0), (IPPROTO_UDP, 6, 1), (IPPROTO_ICMPV6, 2, 0),
                                      (IPPROTO_ICMP, 2, 0)):  # fmt: skip
        a.jump_if(R3, "!=", protocol, f"not.{protocol}")
        a.add(R2, offset)
        if mangled:
            a.or_(R5, MARK_MANGLED_0)
        a.jump("fix.replace")
        a.label(f"not.{protocol}")
    a.jump("round")
    a.label("fix.replace")
    a.mov(R1, R6)
    a.mov(R3, 0)
    a.load(U64, R4, R10, START)
    a.call(Helper.l4_csum_replace)
    a.jump("round")


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


def _dec_ttl(a: Asm) -> None:
    """Byte 8 of IPv4's header, 7 of IPv6's. With none left, the whole packet is userspace's."""
    a.label("dec.ttl")
    a.store(U64, R10, LIST, R4)
    a.mov(R2, L3 + 4)
    a.and_(R4, int(Fix.IPV4))
    a.jump_if(R4, "==", 0, "ttl.place")
    a.mov(R2, L3 + 8)
    a.label("ttl.place")
    a.store(U64, R10, START, R2)
    for n in range(0, 16, 8):
        a.store(U64, R10, OLD + n, 0)
    a.mov(R1, R6)
    a.frame(R3, OLD)
    a.mov(R4, 4)
    a.call(Helper.skb_load_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    a.load(U64, R1, R10, OLD)
    a.store(U64, R10, NEW, R1)
    a.store(U64, R10, NEW + 8, 0)
    a.load(U64, R1, R10, LIST)
    a.and_(R1, int(Fix.IPV4))
    a.jump_if(R1, "==", 0, "ttl.of.ipv6")
    a.load(U8, R2, R10, NEW)
    a.jump_if(R2, "<=", 1, "ttl.over")
    a.sub(R2, 1)
    a.store(U8, R10, NEW, R2)
    a.jump("ttl.store")
    a.label("ttl.of.ipv6")
    a.load(U8, R2, R10, NEW + 3)
    a.jump_if(R2, "<=", 1, "ttl.over")
    a.sub(R2, 1)
    a.store(U8, R10, NEW + 3, R2)
    a.label("ttl.store")
    a.mov(R1, R6)
    a.load(U64, R2, R10, START)
    a.frame(R3, NEW)
    a.mov(R4, 4)
    a.load(U64, R5, R10, LIST)
    a.shr(R5, FIX_WHOLE)
    a.and_(R5, RECOMPUTE_CSUM)
    a.call(Helper.skb_store_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    a.jump("fix")


def _remark(a: Asm) -> None:
    """Raise the drop precedence of an AF class (RFC 2597) by what stands at METER_VERDICT, minus one. LIST:
    `Fix` bits, 0 for what isn't IP."""
    a.label("remark")
    a.load(U64, R1, R10, LIST)
    a.jump_if(R1, "==", 0, "round")
    for n in range(0, 16, 8):
        a.store(U64, R10, OLD + n, 0)
        a.store(U64, R10, NEW + n, 0)
    a.mov(R1, R6)
    a.mov(R2, L3)
    a.frame(R3, OLD)
    a.mov(R4, 4)
    a.call(Helper.skb_load_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    # R1: the first four bytes; R2: how far from their end the DSCP is.
    a.load(U32, R1, R10, OLD)
    a.be(R1, 32)
    a.mov(R2, 18)
    a.load(U64, R3, R10, LIST)
    a.and_(R3, int(Fix.IPV4))
    a.jump_if(R3, "!=", 0, "dscp")
    a.mov(R2, 22)
    a.label("dscp")
    a.mov(R3, R1)
    a.shr(R3, R2)
    a.and_(R3, 0x3F)
    a.mov(R4, R3)
    a.and_(R4, 1)
    a.jump_if(R4, "!=", 0, "round")
    a.mov(R4, R3)
    a.shr(R4, 3)
    a.jump_if(R4, "<", 1, "round")
    a.jump_if(R4, ">", 4, "round")
    a.mov(R5, R3)
    a.shr(R5, 1)
    a.and_(R5, 3)
    a.jump_if(R5, "==", 0, "round")
    a.load(U64, R0, R10, f.SCRATCH + METER_VERDICT)
    a.add(R5, R0)
    a.sub(R5, 1)
    a.jump_if(R5, "<=", 3, "precedence")
    a.mov(R5, 3)
    a.label("precedence")
    a.shl(R4, 3)
    a.shl(R5, 1)
    a.or_(R4, R5)
    a.alu("^", R4, R3)
    a.shl(R4, R2)
    a.alu("^", R1, R4)
    a.be(R1, 32)
    a.store(U32, R10, NEW, R1)
    a.store(U64, R10, START, L3)
    a.load(U64, R1, R10, LIST)
    a.jump_if(R1, "!=", int(Fix.IPV6), "ttl.store")
    a.or_(R1, int(Fix.WHOLE))
    a.store(U64, R10, LIST, R1)
    a.jump("ttl.store")


def _mpls(a: Asm) -> None:
    """A label goes in and out where VLAN tags do: the helpers for tags move the headers, keep the device's
    sum and set `skb->protocol`, and a tag among tags is overwritten by the label, or the other way round. A
    tag that the packet has is put aside meanwhile."""
    a.label("push.mpls")
    a.load(U32, R2, R1, 12)
    a.store(U64, R10, PC, R2)
    a.store(U64, R10, LIST, R4)
    _tag_aside(a, "push")
    for tag in (1, 2, 3):
        _push_tag(a, tag)
    # Behind the addresses: tag 2, tag 1, the Ethernet type. Tag 1 and that become type and label.
    a.load(U64, R1, R10, PC)
    a.store(U16, R10, NEW, R1)
    a.load(U64, R1, R10, LIST)
    a.store(U16, R10, NEW + 2, R1)
    a.shr(R1, 16)
    a.store(U16, R10, NEW + 4, R1)
    # All of it is in front of what the device summed up.
    _overwrite(a, L3 + 2, NEW, 6)
    _pop_tag(a)
    _pop_tag(a)
    _tag_back(a)
    a.label("pop.mpls")
    a.store(U64, R10, LIST, R4)
    a.and_(R3, RECOMPUTE_CSUM)
    a.store(U64, R10, PC, R3)
    _tag_aside(a, "pop")
    for tag in (1, 2):
        _push_tag(a, tag)
    # Behind the addresses: tag 1, type and label. These become a tag and the Ethernet type.
    a.store(U16, R10, NEW, net16(ETH_TYPE_VLAN_8021Q))
    a.store(U16, R10, NEW + 2, 0)
    a.load(U64, R1, R10, LIST)
    a.store(U16, R10, NEW + 4, R1)
    _overwrite(a, L3 + 2, NEW, 2)
    _overwrite(a, L3 + 4, NEW + 2, 4, PC)
    for _ in range(3):
        _pop_tag(a)
    _tag_back(a)
    a.label("whole")
    a.load(U32, R1, R6, f.C_GSO_SIZE)
    a.jump_if(R1, "==", 0, "round")
    a.jump("ttl.over")


def _push_tag(a: Asm, tci: int) -> None:
    a.mov(R1, R6)
    a.mov(R2, net16(ETH_TYPE_VLAN_8021Q))
    a.mov(R3, tci)
    a.call(Helper.skb_vlan_push)
    a.jump_if(R0, "!=", 0, "failed")


def _pop_tag(a: Asm) -> None:
    a.mov(R1, R6)
    a.call(Helper.skb_vlan_pop)
    a.jump_if(R0, "!=", 0, "failed")


def _overwrite(a: Asm, at: int, source: int, size: int, flags: int = 0) -> None:
    """Copy bytes from the stack into the packet; `flags`: where on the stack the helper's flags are."""
    a.mov(R1, R6)
    a.mov(R2, at)
    a.frame(R3, source)
    a.mov(R4, size)
    a.mov(R5, 0)
    if flags:
        a.load(U64, R5, R10, flags)
    a.call(Helper.skb_store_bytes)
    a.jump_if(R0, "!=", 0, "failed")


def _tag_aside(a: Asm, which: str) -> None:
    """The packet's tag is at START (0: none) and ROUND, and no more in the packet."""
    a.load(U32, R1, R6, f.C_VLAN_PRESENT)
    a.store(U64, R10, START, R1)
    a.jump_if(R1, "==", 0, f"{which}.untagged")
    a.load(U32, R1, R6, f.C_VLAN_PROTO)
    a.store(U64, R10, START, R1)
    a.load(U32, R1, R6, f.C_VLAN_TCI)
    a.store(U64, R10, ROUND, R1)
    _pop_tag(a)
    a.label(f"{which}.untagged")


def _tag_back(a: Asm) -> None:
    a.load(U64, R2, R10, START)
    a.jump_if(R2, "==", 0, "round")
    a.load(U64, R3, R10, ROUND)
    a.mov(R1, R6)
    a.call(Helper.skb_vlan_push)
    a.jump_if(R0, "!=", 0, "failed")
    a.jump("round")


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
