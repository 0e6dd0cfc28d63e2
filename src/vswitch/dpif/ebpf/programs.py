"""The programs put together: the classifier at every port, its twin for recirculated packets, and the
interpreter of action lists.

A packet at a port: `parse` makes its key, `look_in_cache` and `try_masks` find its flow, `hit` counts it and
sends it on, or runs `interpret`. Nobody knows it, or it is odd: `up_and_out`.

The interpreter is loaded once; the classifiers whenever masks come or go, which takes a millisecond or so,
mostly the verifier's: in a thread, so that nobody waits (`Loader`).
"""

from __future__ import annotations

import os
import threading
from typing import Final, final

from vswitch.dpif.ebpf.interpret import interpreter
from vswitch.dpif.ebpf.lookup import AGAIN, INTERPRETER, found, hit, look_in_cache, try_masks
from vswitch.dpif.ebpf.parse import parse
from vswitch.dpif.ebpf.ring import UpRing, up_and_out
from vswitch.dpif.ebpf.tables import Subtable, Tables
from vswitch.ebpf.asm import Asm
from vswitch.ebpf.program import Program

CLASSIFIER_NAMES: Final = ("vs_classify", "vs_again")


def classifier(t: Tables, up: UpRing, subtables: list[Subtable], again: bool) -> Asm:
    """The program that finds a packet's flow among `subtables`."""
    a = Asm()
    parse(a, again, "odd")
    look_in_cache(a, t)
    try_masks(a, subtables)
    up_and_out(a, t, up, again)
    if subtables:
        found(a, t)
    hit(a, t)
    return a


class Programs:
    """The loaded programs: `classify` is the one to attach."""

    def __init__(self, t: Tables, up: UpRing) -> None:
        """Load them, with no masks yet. BpfError."""
        self.t = t
        self.up = up
        self.interpreter = Program(interpreter(t, up), "vs_actions")
        t.programs.put(INTERPRETER, self.interpreter.fd)
        self.classify, self.again = self.load([])
        t.programs.put(AGAIN, self.again.fd)

    def load(self, subtables: list[Subtable]) -> tuple[Program, Program]:
        """Both classifiers for `subtables`, loaded and not yet in use. BpfError."""
        first, second = (
            Program(classifier(self.t, self.up, [s for s in subtables if s.again == again], again), name)
            for again, name in zip((False, True), CLASSIFIER_NAMES, strict=True)
        )
        return first, second

    def use(self, classify: Program, again: Program) -> tuple[Program, Program]:
        """Put new classifiers in the place of the old ones, which the caller detaches and closes."""
        old = self.classify, self.again
        self.t.programs.put(AGAIN, again.fd)
        self.classify, self.again = classify, again
        return old

    def close(self) -> None:
        for program in (self.classify, self.again, self.interpreter):
            program.close()


@final
class Loader:
    """Loads classifiers in a thread. `fd` is readable when `take` has something."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread: threading.Thread | None = None
        self._made: tuple[Program, Program] | OSError | None = None

    def busy(self) -> bool:
        """Whether a load is under way, or waits to be taken."""
        return self._thread is not None

    def start(self, subtables: list[Subtable]) -> None:
        """Begin to load classifiers for `subtables`; not while `busy`."""
        self._thread = threading.Thread(target=self._run, args=(subtables,), name="bpf-load", daemon=True)
        self._thread.start()

    def _run(self, subtables: list[Subtable]) -> None:
        try:
            self._made = self._programs.load(subtables)
        except OSError as e:
            self._made = e
        os.eventfd_write(self.fd, 1)

    def take(self, wait: bool = False) -> tuple[Program, Program] | None:
        """What was loaded, if it is ready (or, with `wait`, when it is). BpfError: the kernel refused it."""
        thread = self._thread
        if thread is None or (self._made is None and not wait):
            return None
        thread.join()
        self._thread = None
        made, self._made = self._made, None
        os.eventfd_read(self.fd)
        if isinstance(made, OSError):
            raise made
        return made

    def close(self) -> None:
        """Wait for what is under way, and drop it."""
        try:
            for program in self.take(wait=True) or ():
                program.close()
        except OSError:
            pass
        os.close(self.fd)
