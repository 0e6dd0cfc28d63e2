"""The assembler: instructions as values, text and bytes; jumps by label."""

from __future__ import annotations

import struct

import pytest

from vswitch.ebpf.asm import Asm, AsmError, encode
from vswitch.ebpf.insn import R0, R1, R2, R6, R7, R8, R10, U8, U16, U32, U64, Helper, Insn

EXAMPLE = """\
    0: r6 = r1
    1: r7 = *(u32 *)(r6 +76)
    2: r8 = *(u32 *)(r6 +80)
    3: r1 = r7
    4: r1 += 14
    5: if r1 > r8 goto short
     ; the Ethernet type
    6: r0 = *(u16 *)(r7 +12)
    7: r0 = be16 r0
    8: if w0 == 2048 goto ip
    9: goto short
ip:
   10: *(u64 *)(r10 -8) = 0
   11: *(u8 *)(r10 -16) = r0
   12: r2 = 0x123456789a ll
   14: lock *(u64 *)(r10 -8) += r2
   15: r2 = r10
   16: r2 += -8
   17: call get_smp_processor_id
   18: r0 = -r0
   19: r0 s>>= 3
short:
   20: r0 = 2
   21: exit
"""


def example() -> Asm:
    a = Asm()
    a.mov(R6, R1)
    a.load(U32, R7, R6, 76)
    a.load(U32, R8, R6, 80)
    a.mov(R1, R7)
    a.add(R1, 14)
    a.jump_if(R1, ">", R8, "short")
    a.note("the Ethernet type")
    a.load(U16, R0, R7, 12)
    a.be(R0, 16)
    a.jump_if(R0, "==", 0x800, "ip", wide=False)
    a.jump("short")
    a.label("ip")
    a.store(U64, R10, -8, 0)
    a.store(U8, R10, -16, R0)
    a.imm64(R2, 0x123456789A)
    a.atomic_add(R10, -8, R2)
    a.frame(R2, -8)
    a.call(Helper.get_smp_processor_id)
    a.neg(R0)
    a.alu("s>>", R0, 3)
    a.label("short")
    a.ret(2)
    return a


def test_a_listing_has_labels_and_notes() -> None:
    assert example().listing() == EXAMPLE


def test_instructions_are_values() -> None:
    a, b = Asm(), Asm()
    for one in (a, b):
        one.mov(R0, 1)
        one.exit()
    assert a.finish() == b.finish() == [Insn(0xB7, 0, 0, 0, 1), Insn(0x95)]
    assert str(a.finish()[0].text()) == "r0 = 1"


def test_the_encoding_is_that_of_rfc_9669() -> None:
    a = Asm()
    a.mov(R1, -1)
    a.load(U8, R2, R1, -3)
    a.store(U32, R10, -4, R2)
    assert encode(a.finish()) == b"".join(
        struct.pack("=BBhi", op, regs, off, imm)
        for op, regs, off, imm in ((0xB7, 1, 0, -1), (0x71, 0x12, -3, 0), (0x63, 0x2A, -4, 0))
    )


def test_a_64_bit_immediate_takes_two_instructions_only_where_it_must() -> None:
    a = Asm()
    a.imm64(R0, -5)
    a.imm64(R0, 0x80000000)
    assert [i.op for i in a.finish()] == [0xB7, 0x18, 0]
    assert a.finish()[1].imm == -0x80000000


def test_bad_labels_are_told() -> None:
    a = Asm()
    a.jump("nowhere")
    with pytest.raises(AsmError, match="no label nowhere"):
        a.finish()
    a.label("x")
    with pytest.raises(AsmError, match="label x is set twice"):
        a.label("x")
    far = Asm()
    far.jump("end")
    for _ in range(33000):
        far.mov(R0, 0)
    far.label("end")
    with pytest.raises(AsmError, match="label end is 33000 instructions away"):
        far.finish()
