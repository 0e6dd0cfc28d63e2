"""The programs put together: the classifier at every port, its twin for recirculated packets, and the
interpreter of action lists.

A packet at a port: `parse` makes its key, `look_in_cache` and `try_masks` find its flow, `verify` sees that
it is its own, `hit` counts it and sends it on, or runs `interpret`. Who is odd or unknown goes `up_and_out`.

Each is loaded once a datapath: masks and action lists are in maps.
"""

from __future__ import annotations

import functools
import time
from enum import IntEnum
from typing import Final

from vswitch.dpif.ebpf.interpret import interpreter
from vswitch.dpif.ebpf.key import KEY_WORDS, TUNNEL_KEY_WORDS
from vswitch.dpif.ebpf.lookup import AGAIN, INTERPRETER, hit, look_in_cache, mask_function, try_masks, verify
from vswitch.dpif.ebpf.parse import parse
from vswitch.dpif.ebpf.ring import UpRing, up_and_out
from vswitch.dpif.ebpf.tables import Tables
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.insn import R1, R2, R3, R4, R10, Helper
from vswitch.ebpf.program import Program

CLASSIFIER_NAMES: Final = ("vs_classify", "vs_again", "vs_tunnel")


class Group(IntEnum):
    """Whose packets a classifier is for."""

    PORT = 0
    AGAIN = 1
    """Recirculated ones."""
    TUNNEL = 2
    """Those that come out of a tunnel's device."""


def classifier(t: Tables, up: UpRing, group: Group, loops: bool) -> Asm:
    """The program that finds a packet's flow; `loops`: with bpf_loop."""
    a = Asm()
    again, tunnel = group == Group.AGAIN, group == Group.TUNNEL
    n_words = TUNNEL_KEY_WORDS if tunnel else KEY_WORDS
    parse(a, again, tunnel, "odd")
    look_in_cache(a, t, n_words)
    verify(a, t, n_words)
    try_masks(a, t, group, n_words, loops)
    up_and_out(a, t, up, again, tunnel)
    hit(a, t)
    if loops:
        mask_function(a, t, n_words)
    return a


class Programs:
    """The loaded programs: `classify` is the one to attach. Loading them took `load_ms`. With `loops` that is
    far less."""

    def __init__(self, t: Tables, up: UpRing) -> None:
        """BpfError."""
        began = time.monotonic()
        self._t, self._up = t, up
        self.loops = kernel_loops()
        self._loaded: list[Program] = []
        try:
            self.interpreter = self._load(interpreter(t, up, self.loops), "vs_actions")
            self.classify, self.again = (
                self._load(classifier(t, up, group, self.loops), CLASSIFIER_NAMES[group])
                for group in (Group.PORT, Group.AGAIN)
            )
        except OSError:
            self.close()
            raise
        t.programs.put(INTERPRETER, self.interpreter.fd)
        t.programs.put(AGAIN, self.again.fd)
        self.load_ms = 1000 * (time.monotonic() - began)

    @functools.cached_property
    def tunnel(self) -> Program:
        """The one for tunnels' devices, loaded when it is wanted first. BpfError."""
        code = classifier(self._t, self._up, Group.TUNNEL, self.loops)
        return self._load(code, CLASSIFIER_NAMES[Group.TUNNEL])

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
