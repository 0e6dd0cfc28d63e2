"""`Insn`: one BPF instruction as a value that compares, prints and becomes 8 bytes.

The encoding is that of RFC 9669, section 3. `text` writes instructions as the kernel's verifier
and `bpftool prog dump xlated` do, so that a verifier's log and a listing can be read side by side.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

# RFC 9669, section 3.1: classes.
LD, LDX, ST, STX, ALU32, JMP, JMP32, ALU64 = range(8)
X: Final = 0x08
"""The source is a register, not the immediate."""

# Section 5: sizes and modes of loads and stores.
U32, U16, U8, U64 = 0x00, 0x08, 0x10, 0x18
MEM: Final = 0x60
ATOMIC: Final = 0xC0

# Section 4.1.
ALU_OPS: Final = {
    "+": 0x00, "-": 0x10, "*": 0x20, "/": 0x30, "|": 0x40, "&": 0x50, "<<": 0x60, ">>": 0x70,
    "%": 0x90, "^": 0xA0, "=": 0xB0, "s>>": 0xC0,
}  # fmt: skip
NEG: Final = 0x80
END: Final = 0xD0

# Section 4.3.
JUMP_OPS: Final = {
    "==": 0x10, ">": 0x20, ">=": 0x30, "&": 0x40, "!=": 0x50, "s>": 0x60, "s>=": 0x70, "<": 0xA0,
    "<=": 0xB0, "s<": 0xC0, "s<=": 0xD0,
}  # fmt: skip
JA: Final = 0x05
CALL: Final = 0x85
EXIT: Final = 0x95
LD_IMM64: Final = 0x18

# Section 5.4: what the source register of a 64-bit immediate says of it.
PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, PSEUDO_FUNC = 1, 2, 4

_ALU_NAMES = {code: name for name, code in ALU_OPS.items()}
_JUMP_NAMES = {code: name for name, code in JUMP_OPS.items()}
_SIZES = {U8: "u8", U16: "u16", U32: "u32", U64: "u64"}
_BYTES = struct.Struct("=BBhi")


class Reg(IntEnum):
    """A register: R0 results, R1 to R5 arguments, R6 to R9 kept over calls, R10 the frame."""

    R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = range(11)


R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = Reg


class Helper(IntEnum):
    """Helper functions, by their numbers in `enum bpf_func_id` of <linux/bpf.h>."""

    map_lookup_elem = 1
    map_update_elem = 2
    map_delete_elem = 3
    ktime_get_ns = 5
    get_prandom_u32 = 7
    get_smp_processor_id = 8
    skb_store_bytes = 9
    l3_csum_replace = 10
    l4_csum_replace = 11
    tail_call = 12
    clone_redirect = 13
    skb_vlan_push = 18
    skb_vlan_pop = 19
    skb_get_tunnel_key = 20
    skb_set_tunnel_key = 21
    redirect = 23
    skb_load_bytes = 26
    csum_diff = 28
    skb_change_type = 32
    get_hash_recalc = 34
    skb_change_tail = 38
    skb_pull_data = 39
    spin_lock = 93
    spin_unlock = 94
    probe_read_kernel = 113
    ringbuf_reserve = 131
    ringbuf_submit = 132
    ringbuf_discard = 133
    ktime_get_coarse_ns = 160
    loop = 181


class Insn(NamedTuple):
    """One instruction. A 64-bit immediate is two: the second one has the upper half in `imm`."""

    op: int
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0

    def encode(self) -> bytes:
        """The 8 bytes, in the machine's own order."""
        return _BYTES.pack(self.op, self.dst | self.src << 4, self.off, self.imm)

    def text(self) -> str:
        """As the verifier writes it; jumps are relative ("goto +3")."""
        kind = self.op & 7
        if kind in (ALU32, ALU64):
            return self._alu()
        if kind in (JMP, JMP32):
            return self._jump()
        size = _SIZES[self.op & 0x18]
        if kind == LDX:
            return f"r{self.dst} = *({size} *)(r{self.src} {self.off:+d})"
        if kind == LD:
            return self._imm64()
        place = f"*({size} *)(r{self.dst} {self.off:+d})"
        if kind == ST:
            return f"{place} = {self.imm}"
        if self.op & 0xE0 == ATOMIC:
            return f"lock {place} += r{self.src}"
        return f"{place} = r{self.src}"

    def _alu(self) -> str:
        wide = self.op & 7 == ALU64
        name = f"{'r' if wide else 'w'}{self.dst}"
        code = self.op & 0xF0
        if code == NEG:
            return f"{name} = -{name}"
        if code == END:
            return f"r{self.dst} = {'be' if self.op & X else 'le'}{self.imm} r{self.dst}"
        value = f"{name[0]}{self.src}" if self.op & X else f"{self.imm}"
        op = _ALU_NAMES[code]
        return f"{name} = {value}" if op == "=" else f"{name} {op}= {value}"

    def _jump(self) -> str:
        if self.op == CALL:
            if self.src == 0:
                return f"call {Helper(self.imm).name if self.imm in _HELPERS else self.imm}"
            return f"call pc{self.imm:+d}" if self.src == 1 else f"call kernel-function#{self.imm}"
        if self.op == EXIT:
            return "exit"
        if self.op == JA:
            return f"goto {self.off:+d}"
        r = "r" if self.op & 7 == JMP else "w"
        value = f"{r}{self.src}" if self.op & X else f"{self.imm}"
        return f"if {r}{self.dst} {_JUMP_NAMES[self.op & 0xF0]} {value} goto {self.off:+d}"

    def _imm64(self) -> str:
        if self.op == 0:
            return f"(upper half {self.imm & 0xFFFFFFFF:#x})"
        kinds = {PSEUDO_MAP_FD: "map", PSEUDO_MAP_VALUE: "value of map", PSEUDO_FUNC: "function"}
        what = kinds.get(self.src, "")
        return f"r{self.dst} = {what} {self.imm}" if what else f"r{self.dst} = {self.imm & 0xFFFFFFFF:#x} ll"


_HELPERS = frozenset(map(int, Helper))
