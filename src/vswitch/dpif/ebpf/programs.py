"""The programs put together: the classifier at every port, its twin for recirculated packets, and the
interpreter of action lists.

A packet at a port: `parse` makes its key, `look_in_cache` and `try_masks` find its flow, `verify` sees that
it is its own, `hit` counts it and sends it on, or runs `interpret`. Who is odd or unknown goes `up_and_out`.

Each is loaded once a datapath: masks and action lists are in maps.
"""

from __future__ import annotations

import functools
import time
from typing import Final

from vswitch.dpif.ebpf.interpret import interpreter
from vswitch.dpif.ebpf.lookup import AGAIN, INTERPRETER, hit, look_in_cache, mask_function, try_masks, verify
from vswitch.dpif.ebpf.parse import parse
from vswitch.dpif.ebpf.ring import UpRing, up_and_out
from vswitch.dpif.ebpf.tables import Tables
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R1, R2, R3, R4, R10, Helper
from vswitch.ebpf.program import Program

CLASSIFIER_NAMES: Final = ("vs_classify", "vs_again")


def classifier(t: Tables, up: UpRing, again: bool, loops: bool) -> Asm:
    """The program that finds a packet's flow; `again`: a recirculated one's; `loops`: with bpf_loop."""
    a = Asm()
    parse(a, again, "odd")
    look_in_cache(a, t)
    verify(a, t)
    try_masks(a, t, again, loops)
    up_and_out(a, t, up, again)
    hit(a, t)
    if loops:
        mask_function(a, t)
    return a


class Programs:
    """The loaded programs: `classify` is the one to attach. Loading them took `load_ms`. With `loops` that is
    far less."""

    def __init__(self, t: Tables, up: UpRing) -> None:
        """BpfError."""
        began = time.monotonic()
        self.loops = kernel_loops()
        self._loaded: list[Program] = []
        try:
            self.interpreter = self._load(interpreter(t, up, self.loops), "vs_actions")
            self.classify, self.again = (
                self._load(classifier(t, up, again, self.loops), name)
                for again, name in zip((False, True), CLASSIFIER_NAMES, strict=True)
            )
        except OSError:
            self.close()
            raise
        t.programs.put(INTERPRETER, self.interpreter.fd)
        t.programs.put(AGAIN, self.again.fd)
        self.load_ms = 1000 * (time.monotonic() - began)

    def _load(self, code: Asm, name: str) -> Program:
        loaded = Program(code, name)
        self._loaded.append(loaded)
        return loaded

    def close(self) -> None:
        for program in self._loaded:
            program.close()


@functools.cache
def kernel_loops() -> bool:
    """Whether the kernel has bpf_loop (5.17, and programs are compiled): tried with one that does nothing."""
    a = Asm()
    a.mov(R1, 1)
    a.function(R2, "nothing")
    a.mov(R3, R10)
    a.mov(R4, 0)
    a.call(Helper.loop)
    a.ret(0)
    a.label("nothing")
    a.ret(0)
    try:
        Program(a, "vs_probe").close()
    except OSError:
        return False
    return True
