"""`Asm`: a program under construction, instruction by instruction, with labels to jump to.

Nothing is checked here but that jumps reach: the verifier knows the rest. `listing` prints the
program with its labels and notes, the golden text of tests and of `vswitch ebpf dump`.
"""

from __future__ import annotations

from typing import Final, final

from vswitch.base.signed import signed32
from vswitch.ebpf.insn import (
    ALU32,
    ALU64,
    ALU_OPS,
    ATOMIC,
    CALL,
    END,
    EXIT,
    JA,
    JMP,
    JMP32,
    JUMP_OPS,
    LD_IMM64,
    LDX,
    MEM,
    NEG,
    PSEUDO_FUNC,
    PSEUDO_MAP_FD,
    PSEUDO_MAP_VALUE,
    ST,
    STX,
    U64,
    Helper,
    Insn,
    Reg,
    X,
)
from vswitch.ebpf.map import Map

MAX_JUMP: Final = 32767


class AsmError(ValueError):
    """A label that is missing, set twice or too far away."""


@final
class Asm:
    """A program: `insns` so far, `labels` (name -> instruction number), `notes` likewise.

    Values are registers (`Reg`) or numbers; `dst` comes first, as in assignments.
    """

    def __init__(self) -> None:
        self.insns: list[Insn] = []
        self.labels: dict[str, int] = {}
        self.notes: dict[int, str] = {}
        self.maps: dict[int, str] = {}
        """Descriptor -> name of the maps that the program uses, for the listing."""
        self.functions: list[tuple[int, str]] = []
        """Functions that helpers call: where in the program a register gets which."""
        self._jumps: list[tuple[int, str]] = []
        self._fresh = 0

    # Labels.

    def fresh(self, stem: str) -> str:
        """A label that is not in use: "stem.7"."""
        self._fresh += 1
        return f"{stem}.{self._fresh}"

    def label(self, name: str) -> None:
        """The next instruction is `name`."""
        if name in self.labels:
            raise AsmError(f"label {name} is set twice")
        self.labels[name] = len(self.insns)

    def note(self, text: str) -> None:
        """Print `text` above the next instruction."""
        here = len(self.insns)
        self.notes[here] = f"{self.notes[here]}; {text}" if here in self.notes else text

    # Arithmetic.

    def alu(self, op: str, dst: Reg, value: Reg | int, wide: bool = True) -> None:
        """`dst op= value`; op "=" moves. Not `wide`: 32 bits, the upper half becomes 0."""
        code = ALU_OPS[op] | (ALU64 if wide else ALU32)
        if isinstance(value, Reg):
            self.insns.append(Insn(code | X, dst, value))
        else:
            self.insns.append(Insn(code, dst, 0, 0, signed32(value)))

    def mov(self, dst: Reg, value: Reg | int) -> None:
        self.alu("=", dst, value)

    def add(self, dst: Reg, value: Reg | int) -> None:
        self.alu("+", dst, value)

    def sub(self, dst: Reg, value: Reg | int) -> None:
        self.alu("-", dst, value)

    def and_(self, dst: Reg, value: Reg | int) -> None:
        self.alu("&", dst, value)

    def or_(self, dst: Reg, value: Reg | int) -> None:
        self.alu("|", dst, value)

    def shl(self, dst: Reg, value: Reg | int) -> None:
        self.alu("<<", dst, value)

    def shr(self, dst: Reg, value: Reg | int) -> None:
        self.alu(">>", dst, value)

    def neg(self, dst: Reg) -> None:
        self.insns.append(Insn(ALU64 | NEG, dst))

    def be(self, dst: Reg, bits: int) -> None:
        """Network order to host order, or back: the low `bits`, the rest becomes 0."""
        self.insns.append(Insn(ALU32 | X | END, dst, 0, 0, bits))

    def le(self, dst: Reg, bits: int) -> None:
        """Little-endian order to host order, or back: the low `bits`, the rest becomes 0."""
        self.insns.append(Insn(ALU32 | END, dst, 0, 0, bits))

    def imm64(self, dst: Reg, value: int) -> None:
        """Load 64 bits: one instruction if sign extension makes them, else two."""
        if -0x80000000 <= value <= 0x7FFFFFFF:
            self.mov(dst, value)
            return
        self.insns.append(Insn(LD_IMM64, dst, 0, 0, signed32(value & 0xFFFFFFFF)))
        self.insns.append(Insn(0, 0, 0, 0, signed32(value >> 32 & 0xFFFFFFFF)))

    # Memory.

    def load(self, size: int, dst: Reg, base: Reg, offset: int = 0) -> None:
        """`dst = *(size *)(base + offset)`."""
        self.insns.append(Insn(LDX | MEM | size, dst, base, offset))

    def store(self, size: int, base: Reg, offset: int, value: Reg | int) -> None:
        """`*(size *)(base + offset) = value`."""
        if isinstance(value, Reg):
            self.insns.append(Insn(STX | MEM | size, base, value, offset))
        else:
            self.insns.append(Insn(ST | MEM | size, base, 0, offset, signed32(value)))

    def atomic_add(self, base: Reg, offset: int, value: Reg) -> None:
        """Add 64 bits to memory atomically."""
        self.insns.append(Insn(STX | ATOMIC | U64, base, value, offset))

    def frame(self, dst: Reg, offset: int) -> None:
        """`dst` = address of the stack frame + `offset`."""
        self.mov(dst, Reg.R10)
        self.add(dst, offset)

    def map(self, dst: Reg, table: Map) -> None:
        """`dst` = the map, for helpers."""
        self.maps[table.fd] = table.name
        self.insns.append(Insn(LD_IMM64, dst, PSEUDO_MAP_FD, 0, table.fd))
        self.insns.append(Insn(0))

    def map_value(self, dst: Reg, table: Map, offset: int = 0) -> None:
        """`dst` = address of byte `offset` in the only value of array `table`."""
        self.maps[table.fd] = table.name
        self.insns.append(Insn(LD_IMM64, dst, PSEUDO_MAP_VALUE, 0, table.fd))
        self.insns.append(Insn(0, 0, 0, 0, offset))

    def function(self, dst: Reg, label: str) -> None:
        """`dst` = the function at `label`, for helpers that call one."""
        self.functions.append((len(self.insns), label))
        self.insns.append(Insn(LD_IMM64, dst, PSEUDO_FUNC))
        self.insns.append(Insn(0))

    # Control.

    def jump(self, label: str) -> None:
        self._jumps.append((len(self.insns), label))
        self.insns.append(Insn(JA))

    def jump_if(self, dst: Reg, op: str, value: Reg | int, label: str, wide: bool = True) -> None:
        """Jump if `dst op value`; not `wide`: by the low 32 bits."""
        code = JUMP_OPS[op] | (JMP if wide else JMP32)
        self._jumps.append((len(self.insns), label))
        if isinstance(value, Reg):
            self.insns.append(Insn(code | X, dst, value))
        else:
            self.insns.append(Insn(code, dst, 0, 0, signed32(value)))

    def call(self, helper: Helper) -> None:
        self.insns.append(Insn(CALL, 0, 0, 0, helper))

    def exit(self) -> None:
        self.insns.append(Insn(EXIT))

    def ret(self, value: int) -> None:
        """Return `value`."""
        self.mov(Reg.R0, value)
        self.exit()

    # The whole.

    def finish(self) -> list[Insn]:
        """The instructions with every jump resolved. AsmError."""
        insns = list(self.insns)
        for at, label in self.functions:
            insns[at] = insns[at]._replace(imm=self._distance(at, label))
        for at, label in self._jumps:
            distance = self._distance(at, label)
            if abs(distance) > MAX_JUMP:
                raise AsmError(f"label {label} is {distance} instructions away")
            insns[at] = insns[at]._replace(off=distance)
        return insns

    def _distance(self, at: int, label: str) -> int:
        """Instructions from behind number `at` to `label`. AsmError."""
        target = self.labels.get(label)
        if target is None:
            raise AsmError(f"no label {label}")
        return target - at - 1

    def listing(self) -> str:
        """The program as text: labels, notes, and jumps by label."""
        targets, functions = dict(self._jumps), dict(self.functions)
        names: dict[int, list[str]] = {}
        for name, at in self.labels.items():
            names.setdefault(at, []).append(name)
        lines: list[str] = []
        insns = self.finish()
        for n, insn in enumerate(insns):
            lines += [f"{name}:" for name in names.get(n, ())]
            if n in self.notes:
                lines.append(f"     ; {self.notes[n]}")
            text = insn.text()
            if n in targets:
                text = f"{text[: text.rindex('goto')]}goto {targets[n]}"
            elif n in functions:
                text = f"{text[: text.rindex(' ')]} {functions[n]}"
            elif insn.op == LD_IMM64 and insn.src in (PSEUDO_MAP_FD, PSEUDO_MAP_VALUE):
                text = f"{text[: text.rindex(' ')]} {self.maps.get(insn.imm, insn.imm)}"
            elif insn.op == LD_IMM64:
                whole = (insns[n + 1].imm & 0xFFFFFFFF) << 32 | insn.imm & 0xFFFFFFFF
                text = f"r{insn.dst} = {whole:#x} ll"
            if not (insn.op == 0 and n):
                lines.append(f"{n:5d}: {text}")
        return "\n".join(lines) + "\n"


def encode(insns: list[Insn]) -> bytes:
    """The program as the kernel takes it."""
    return b"".join([insn.encode() for insn in insns])
