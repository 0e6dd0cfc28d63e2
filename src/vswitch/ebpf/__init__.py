"""The kernel's BPF from Python: bpf(2), maps, programs, links, BTF and an assembler.

No compiler, no library: instructions are values (`insn.py`) that an `Asm` (`asm.py`) puts together
and `Program` (`program.py`) loads. What the kernel can do is tried, never inferred from its
version. Nothing here knows of switches. Open `asm.py` first.
"""
