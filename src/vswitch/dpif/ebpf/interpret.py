"""The program that runs action lists (`code.py`), loaded once and tail-called by the classifier.

It goes round a loop at most MAX_OPS times. Where the next operation begins is read from the list, so that
the verifier knows nothing of it but its range, and walks each operation once a round instead of once a
combination of operations. R6: context; R7: the round; R8: offset in the list; R9: the list.
"""

from __future__ import annotations

from typing import Final

from vswitch.dpif.ebpf import frame as f
from vswitch.dpif.ebpf.code import MAX_OPS, Base, Fix, Op
from vswitch.dpif.ebpf.lookup import AGAIN, REDIRECT_INGRESS, count
from vswitch.dpif.ebpf.meters import run_meter
from vswitch.dpif.ebpf.parse import L3
from vswitch.dpif.ebpf.ring import ACTION, UpRing, emit
from vswitch.dpif.ebpf.tables import LIST_SIZE, Counter, Tables
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, U8, U16, U32, U64, Helper
from vswitch.packet.numbers import IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP

OFFSETS: Final = LIST_SIZE - 8
"""The bits that an offset in a list has."""
PSEUDO_HEADER: Final = 0x10
MARK_MANGLED_0: Final = 0x20
"""BPF_F_PSEUDO_HDR and BPF_F_MARK_MANGLED_0 of bpf_l4_csum_replace."""

# Stack, below f.SCRATCH.
OLD: Final = f.SCRATCH - 16
NEW: Final = OLD - 16
START: Final = NEW - 8
ROUND: Final = START - 8
LIST: Final = ROUND - 8
PC: Final = LIST - 8


def interpreter(t: Tables, up: UpRing) -> Asm:
    """The whole program."""
    a = Asm()
    a.mov(R6, R1)
    for n in range(0, 16, 8):
        a.store(U64, R10, OLD + n, 0)
    a.load(U32, R1, R6, f.CB_LIST)
    a.store(U32, R10, f.SCRATCH, R1)
    a.map(R1, t.lists)
    a.frame(R2, f.SCRATCH)
    a.call(Helper.map_lookup_elem)
    a.jump_if(R0, "==", 0, "end")
    a.mov(R9, R0)
    a.mov(R7, 0)
    # Not a constant, as it never is later: the first operation begins at 0 because bits above are cut off.
    a.load(U32, R8, R6, f.CB_LIST)
    a.and_(R8, 0)
    a.label("round")
    for where in range(PC, f.SCRATCH + 48, 8):
        # The same in every round whatever came before: states that differ make the verifier's work grow.
        a.store(U64, R10, where, 0)
    a.jump_if(R7, ">=", MAX_OPS, "end")
    a.add(R7, 1)
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
    f.gone(a)
    _output(a)
    _vlan(a)
    _set(a)
    _metadata(a)
    _branches(a)
    _dec_ttl(a)
    _again(a, t)
    _up(a, t, up)
    a.label("meter")
    run_meter(a, t.meters, f.SCRATCH, "round", "metered")
    a.label("metered")
    count(a, t, Counter.METERED)
    f.gone(a)
    a.label("failed")
    count(a, t, Counter.ACTION_FAILED)
    f.gone(a)
    return a


_PARTS: Final = (
    (Op.OUTPUT, "output"), (Op.OUTPUT_LAST, "output.last"), (Op.PUSH_VLAN, "push.vlan"),
    (Op.POP_VLAN, "pop.vlan"), (Op.SET_VLAN, "set.vlan"), (Op.SET, "set"), (Op.UP, "up"),
    (Op.SET_MARK, "set.mark"),
    (Op.SET_PRIORITY, "set.priority"), (Op.RECIRC, "recirc"), (Op.SAMPLE, "sample"),
    (Op.IF_LONGER, "if.longer"), (Op.TRUNC, "trunc"), (Op.DEC_TTL, "dec.ttl"),
    (Op.METER, "meter"),
)  # fmt: skip


def _output(a: Asm) -> None:
    a.label("output")
    a.mov(R1, R6)
    a.mov(R2, R4)
    a.and_(R3, REDIRECT_INGRESS)
    a.call(Helper.clone_redirect)
    a.jump("round")
    a.label("output.last")
    a.mov(R1, R4)
    a.mov(R2, R3)
    a.and_(R2, REDIRECT_INGRESS)
    a.call(Helper.redirect)
    a.exit()


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
    a.jump_if(R2, "==", int(Base.L2), "set.from.l2")
    a.jump_if(R2, "==", int(Base.L3), "set.from.l3")
    a.load(U32, R2, R6, f.CB_INFO)
    a.and_(R2, 0xFF)
    a.jump_if(R2, "==", 0, "failed")
    a.add(R5, R2)
    a.jump("set.from.l2")
    a.label("set.from.l3")
    a.add(R5, L3)
    a.label("set.from.l2")
    a.store(U64, R10, START, R5)
    a.jump_if(R3, ">", 16, "failed")
    a.jump_if(R3, "<", 1, "failed")
    a.store(U64, R10, ROUND, R3)
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
    a.mov(R5, 0)
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
    a.mov(R5, 0)
    a.call(Helper.skb_store_bytes)
    a.jump_if(R0, "!=", 0, "failed")
    a.jump("fix")


def _again(a: Asm, t: Tables) -> None:
    """Into the classifier of recirculated packets, one recirculation deeper."""
    a.label("recirc")
    a.store(U32, R6, f.CB_LIST, R4)
    a.load(U32, R1, R6, f.CB_INFO)
    a.mov(R2, 1)
    a.shl(R2, f.INFO_DEPTH)
    a.add(R1, R2)
    a.store(U32, R6, f.CB_INFO, R1)
    a.mov(R1, R6)
    a.map(R2, t.programs)
    a.mov(R3, AGAIN)
    a.call(Helper.tail_call)
    a.jump("failed")


TTL_OVER: Final = 0xFFFFFFFF
"""The argument of an ACTION that is none: the flow's actions are to be done in userspace from the start."""


def _up(a: Asm, t: Tables, up: UpRing) -> None:
    """A copy of the packet as it is now, with the action's number; and of one whose TTL is over."""
    a.label("ttl.over")
    a.store(U32, R10, f.SCRATCH + 40, TTL_OVER)
    a.store(U64, R10, ROUND, MAX_OPS)
    a.jump("emit")
    a.label("up")
    a.store(U32, R10, f.SCRATCH + 40, R4)
    a.store(U64, R10, ROUND, R7)
    a.label("emit")
    a.store(U64, R10, LIST, R9)
    a.store(U64, R10, PC, R8)
    emit(a, t, up, ACTION, "emitted")
    a.label("emitted")
    a.load(U64, R9, R10, LIST)
    a.load(U64, R8, R10, PC)
    a.load(U64, R7, R10, ROUND)
    a.jump("round")
